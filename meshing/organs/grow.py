"""An organ or a lesion from clicks: `grow` from one, `refine` with more.

In: a CT in any storage order and LPS points. Out: a `Found`: the mask on the scan's own grid, how sure each voxel is,
and `Fact`s that say what a person should look at. Nothing is kept between calls, so a result can always be made again
from its clicks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.organs.clicks import KEEP_OUT_MM, Clicks, check_reach, checked_click, cubes_of, midline_side
from meshing.organs.ground import Ground, Index, ground_about, ground_of, on_scan
from meshing.organs.guesses import Guess, climbed, guesses, most_frequent
from meshing.organs.notes import notes_on
from meshing.organs.priors import Prior, prior_for, score_settings
from meshing.organs.votes import Vote, vote
from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation, stack_masks
from meshing.terminology import structure_for
from meshing.volume import Fact, Grid, Volume
from meshing.voxels.morphology import depth_of, dilated, eroded, from_image, nearest_of, to_image, touching
from meshing.voxels.upright import Box, Float32Array, Mask, Upright, box_to_storage, to_storage, upright

_CHANGED_HU = 4.0  # a typical value that moved by more is worth growing again
_TURNS = 2  # at most, of growing again
_FAT_HU = -100.0
_SMOOTH_MM = 1.2  # against the noise of fine voxels, below what borders blur
_LEAST_SHARE = 0.5
_NECK_SHARE = 0.6  # of the thinner side: what is wider is no neck


@dataclass(frozen=True, eq=False)
class Found:
    """What was grown.

    Parameters
    ----------
    kind
        Terminology key: "liver", "kidney_left".
    mask
        bool, shape `grid.shape`.
    confidence
        float32, shape of `confidence_box`, 0 to 1: how far the guesses agree on a voxel, be it inside or outside.
        Beyond the box every guess says outside.
    confidence_box
        Slices of the grid.
    clicks
        What it was grown from.
    volume_ml, volumes_ml
        Of the mask; the range of the middle 80 % of the guesses.
    facts
        What was noticed: leaks, necks, odd volumes.
    """

    kind: str
    mask: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float32]
    confidence_box: Box
    grid: Grid
    clicks: Clicks
    volume_ml: float
    volumes_ml: tuple[float, float]
    facts: tuple[Fact, ...]

    def segmentation(self) -> Segmentation:
        """The mask as a segmentation of one segment."""
        return stack_masks({self.kind: self.mask}, {self.kind: structure_for(self.kind)}, self.grid, source([self]))


def source(found: list[Found]) -> str:
    """Who drew it, for a segmentation of these."""
    clicks = sum(max(1, len(one.clicks.inside_mm)) + len(one.clicks.outside_mm) for one in found)
    return f"grown from {clicks} click{'s' if clicks != 1 else ''}"


def grow(
    volume: Volume,
    kind: str,
    seeds_mm: tuple[Point, ...],
    *,
    outside_mm: tuple[Point, ...] = (),
    box_mm: tuple[Point, Point] | None = None,
    progress: Progress = silent,
) -> Found:
    """The organ of that kind that holds the seeds.

    Parameters
    ----------
    kind
        One of `priors.KINDS`.
    seeds_mm
        LPS points inside; may be empty where there is a box, whose middle is then taken.
    outside_mm
        LPS points that do not belong to it.
    box_mm
        Two opposite corners; nothing outside is grown.

    Raises
    ------
    NotFoundError
        If that kind cannot be grown.
    SegmentationError
        If a seed lies outside the scan, in air, or in something that no such organ reads; if nothing grows, or the
        scan is no CT.
    """
    prior = prior_for(kind)
    if volume.modality != "CT":
        raise SegmentationError(
            f"growing knows the values of CT, the scan is {volume.modality or 'of unknown modality'}",
            where=kind,
            hint="draw it with the editing verbs, or give --labels",
        )
    scan = upright(volume)
    clicks = Clicks(tuple(seeds_mm), tuple(outside_mm), box_mm)
    inside, outside = cubes_of(clicks, scan, kind)
    if kind == "kidney":
        kind = f"kidney_{midline_side(scan, inside[0])}"
    progress(0.02, f"looking about the click in the {kind}")
    ground, barred = _ground(scan, inside, clicks, prior)
    check_reach(inside, ground, clicks, kind)
    ballot, values = _ballot(ground, prior, (inside, outside), barred, (kind, clicks, part(progress, 0.1, 0.8)))
    progress(0.8, "drawing the border")
    share = _without_outside(ballot.share, ground, [ground.cube_of(one) for one in inside], outside)
    fine = on_scan(_without_holes(share) if prior.fills_holes else share, ground)
    mask = _drawn(fine, scan, ground, prior, values, inside)
    if not mask.any():
        raise SegmentationError(
            "the guesses agree on nothing", where=kind, hint="click once more inside, or give a box"
        )
    progress(0.95, "storing")
    found = _found(kind, mask, fine, scan, ground, (ballot, clicks, inside, prior))
    if len(inside) == 1:
        return found
    first = replace(clicks, inside_mm=clicks.inside_mm[:1])
    alone, _ = _ballot(ground, prior, (inside[:1], outside), barred, (kind, first, silent))
    return _doubted(found, alone, [ground.cube_of(index) for index in inside])


def _doubted(found: Found, alone: Vote, cubes: list[Index]) -> Found:
    """The result, with a fact for every click that lies beyond what the first alone grows: it may be another organ."""
    beyond = [number for number, cube in enumerate(cubes, start=1) if alone.share[tuple(cube)] <= _LEAST_SHARE]
    if not beyond:
        return found
    alone_ml = alone.best.volume_ml
    name, clicks = structure_for(found.kind).name.lower(), ", ".join(map(str, beyond))
    text = (
        f"{name}: click {clicks} lies beyond what the first grows "
        f"alone, {alone_ml:.1f} ml, and was joined to it, {found.volume_ml:.1f} ml; look whether it is the same organ"
    )
    values = {"key": found.kind, "clicks": beyond, "alone_ml": alone_ml, "volume_ml": found.volume_ml}
    low, high = found.volumes_ml
    return replace(found, volumes_ml=(min(low, alone_ml), high), facts=(*found.facts, Fact("joined", text, values)))


def refine(
    found: Found,
    volume: Volume,
    *,
    inside_mm: tuple[Point, ...] = (),
    outside_mm: tuple[Point, ...] = (),
    progress: Progress = silent,
) -> Found:
    """The same organ with further clicks.

    Raises
    ------
    SegmentationError
        As `grow`.
    """
    clicks = found.clicks
    return grow(
        volume,
        found.kind,
        (*clicks.inside_mm, *inside_mm),
        outside_mm=(*clicks.outside_mm, *outside_mm),
        box_mm=clicks.box_mm,
        progress=progress,
    )


def _ground(scan: Upright, inside: list[FloatArray], clicks: Clicks, prior: Prior) -> tuple[Ground, Mask | None]:
    """Where to grow, and the cubes that the box leaves out."""
    if clicks.box_mm is None:
        return ground_about(scan, inside[0], prior), None  # further clicks lie in the same organ, so in its reach
    low, high = clicks.box_in(scan)
    margin = 12.0 / np.array(scan.spacing_mm)
    spans = zip(low - margin, high + margin, scan.voxels.shape, strict=True)
    one, two, three = (slice(int(max(0, np.floor(a))), int(min(n, np.ceil(b) + 1))) for a, b, n in spans)
    ground = ground_of(scan, (one, two, three), prior)
    first, last = ground.cube_of(low), ground.cube_of(high)
    barred = np.ones(ground.values.shape, np.bool_, order="F")
    barred[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = False
    return ground, barred


def _ballot(
    ground: Ground,
    prior: Prior,
    where: tuple[list[FloatArray], list[FloatArray]],
    barred: Mask | None,
    context: tuple[str, Clicks, Progress],
) -> tuple[Vote, float]:
    """The vote from every inside click together, and the typical value of the first."""
    kind, clicks, progress = context
    inside, outside = ([ground.cube_of(index) for index in indices] for indices in where)
    barred = _kept_out(ground, barred, outside)
    prior = _sized_by_box(prior, clicks)
    ballots: list[Vote] = []
    for number, cube in enumerate(inside):
        value = checked_click(ground, cube, prior, kind, clicks.inside(number))
        step = part(progress, number / len(inside), (number + 1) / len(inside))
        others = [other for other in inside if other is not cube]
        ballots.append(_ballot_of(ground, cube, prior, value, (barred, others, outside, kind, step)))
    first = ballots[0]
    share = np.maximum.reduce([ballot.share for ballot in ballots])
    return replace(first, share=share), first.best.value_hu


def _ballot_of(
    ground: Ground,
    cube: Index,
    prior: Prior,
    value: float,
    context: tuple[Mask | None, list[Index], list[Index], str, Progress],
) -> Vote:
    """The vote from one click; grown again where the inside turns out to read differently than the click's place."""
    barred, others, outside, kind, progress = context

    def voted(value_hu: float, step: Progress) -> Vote | None:
        found = guesses(ground, cube, prior, value_hu=value_hu, barred=barred, progress=step)
        return vote(found, prior, score_settings(), ground, inside=others, outside=outside) if found else None

    ballot = voted(value, part(progress, 0.0, 0.4))
    if ballot is None:
        raise SegmentationError(
            f"nothing of the size of this organ grows from the click, which reads {value:.0f} HU "
            f"(at most {prior.most_ml:.0f} ml)",
            where=kind,
            hint="click nearer to the middle, or give a box",
        )
    for turn in range(_TURNS):
        seen = _value_in(ballot.best, ground)
        if abs(seen - value) <= _CHANGED_HU:
            break
        value = seen
        ballot = voted(value, part(progress, 0.4 + 0.3 * turn, 0.7 + 0.3 * turn)) or ballot
    return ballot


def _value_in(guess: Guess, ground: Ground) -> float:
    """The most frequent value inside, away from the blurred border where it is thick enough."""
    core = eroded(guess.mask, ground.spacings, 1.3 * ground.spacing_mm)
    return most_frequent(ground.values[guess.box][core if core.sum() >= 30 else guess.mask])


def _sized_by_box(prior: Prior, clicks: Clicks) -> Prior:
    """A box says how large the organ is: an ellipsoid takes π/6 of the box round it."""
    if clicks.box_mm is None:
        return prior
    size = np.abs(np.subtract(*clicks.box_mm))
    return replace(prior, typical_ml=float(np.prod(np.maximum(size, 1.0)) * np.pi / 6000.0), spread=0.5)


def _kept_out(ground: Ground, barred: Mask | None, outside: list[Index]) -> Mask | None:
    if not outside:
        return barred
    marks = np.zeros(ground.values.shape, np.bool_, order="F")
    for cube in outside:
        marks[tuple(cube)] = True
    kept_out = dilated(marks, ground.spacings, KEEP_OUT_MM)
    return kept_out if barred is None else kept_out | barred


def _without_outside(
    share: Float32Array, ground: Ground, inside: list[Index], outside_at: list[FloatArray]
) -> Float32Array:
    """What hangs on an outside click by a neck is cut there; else only the place about the click is left out."""
    outside = [ground.cube_of(index) for index in outside_at]
    mask = share > _LEAST_SHARE
    ring = dilated(_marks(mask.shape, outside), ground.spacings, KEEP_OUT_MM + 2.5 * ground.spacing_mm) & mask
    if not outside or not ring.any():
        return share
    depth = depth_of(mask, ground.spacings)
    if _are_one_blob(depth, inside, ring):
        return share
    markers = np.zeros(mask.shape, np.int32, order="F")
    markers[ring] = 2
    markers[_marks(mask.shape, inside) & mask] = 1
    parted = nearest_of(markers, mask, -depth)
    kept: Float32Array = np.where(parted == 2, np.float32(0.0), share)
    return kept


def _are_one_blob(depth: Float32Array, inside: list[Index], ring: Mask) -> bool:
    """Whether no neck lies between the inside clicks and what is left about an outside click: nothing to cut there."""
    from scipy import ndimage

    peaks = [climbed(depth, place) for place in (*inside, np.argwhere(ring)[int(depth[ring].argmax())])]
    level = _NECK_SHARE * min(float(depth[tuple(peak)]) for peak in peaks)
    parts, _ = ndimage.label(depth > level)
    return parts[tuple(peaks[-1])] in {parts[tuple(peak)] for peak in peaks[:-1]}


def _without_holes(share: Float32Array) -> Float32Array:
    """The share with one where the mask shuts something in: vessels and contents."""
    from scipy import ndimage

    mask = share > _LEAST_SHARE
    full: Float32Array = np.where(ndimage.binary_fill_holes(mask) & ~mask, np.float32(1.0), share)
    return full


def _marks(shape: tuple[int, ...], cubes: list[Index]) -> Mask:
    marks = np.zeros(shape, np.bool_, order="F")
    for cube in cubes:
        marks[tuple(cube)] = True
    return marks


def _drawn(
    fine: Float32Array, scan: Upright, ground: Ground, prior: Prior, value: float, inside: list[FloatArray]
) -> Mask:
    """The mask on the voxels of the box: where most votes lie, drawn to the voxel against fat and air."""
    mask: Mask = fine > _LEAST_SHARE
    if prior.edge_hu > 0:
        mask &= _smoothed(scan, ground) > (value + _FAT_HU) / 2
    corner = np.array([part.start for part in ground.box])
    seeds = np.zeros(mask.shape, np.bool_, order="F")
    for index in inside:
        seeds[tuple(np.clip(np.rint(index - corner).astype(int), 0, np.array(mask.shape) - 1))] = True
    seeds = dilated(seeds, scan.spacing_mm, 2.5 * ground.spacing_mm)
    return touching(mask, seeds & mask) if (mask & seeds).any() else mask


def _smoothed(scan: Upright, ground: Ground) -> Float32Array:
    import SimpleITK

    values = np.clip(scan.voxels[ground.box], -200, 500).astype(np.float32)
    if min(scan.spacing_mm) > _SMOOTH_MM:
        return values
    image = to_image(np.asfortranarray(values), scan.spacing_mm)
    smooth: Float32Array = from_image(SimpleITK.SmoothingRecursiveGaussian(image, [_SMOOTH_MM] * 3))
    return smooth


def _found(
    kind: str,
    mask: Mask,
    fine: Float32Array,
    scan: Upright,
    ground: Ground,
    made: tuple[Vote, Clicks, list[FloatArray], Prior],
) -> Found:
    ballot, clicks, inside, prior = made
    whole = np.zeros(scan.voxels.shape, np.bool_, order="F")
    whole[ground.box] = mask
    stored, box = box_to_storage(np.abs(2.0 * fine - 1.0).astype(np.float32), ground.box, scan)
    volume = float(mask.sum()) * scan.voxel_ml
    return Found(
        kind=kind,
        mask=to_storage(whole, scan),
        confidence=stored,
        confidence_box=box,
        grid=scan.grid,
        clicks=clicks,
        volume_ml=volume,
        volumes_ml=(min(ballot.volumes_ml[0], volume), max(ballot.volumes_ml[1], volume)),
        facts=notes_on(kind, volume, mask, scan, ground, (ballot, prior, midline_side(scan, inside[0]))),
    )
