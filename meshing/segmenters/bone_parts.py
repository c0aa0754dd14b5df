"""Bone cut into single bones: seeds where a bone is surely one, and every block given to the nearest seed.

In: bone on working blocks, the spinal canal and the discs. Out: a part number per block and what each part is.
Distances run through bone and are long where it is thin, so cuts fall on joints, where bones touch by a narrow bridge.
Vertebrae are counted from below, for without ribs or sacrum in view nobody can say which they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.segmenters.spine import Canal, Disc
from meshing.voxels.morphology import components, depth_of, distance_from
from meshing.voxels.upright import Coarse, Float32Array, Mask, Spacing
from meshing.voxels.ways import nearest_through

Kind = Literal[
    "vertebra", "sacrum", "rib_left", "rib_right", "sternum", "hip_left", "hip_right", "femur_left", "femur_right"
]
PartNumbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class BonePartsSettings:
    """Lengths in mm, areas in mm², volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    body_mm
        Radius round the middle of a vertebral body that is surely vertebra.
    disc_mm
        Half the height of a disc with its endplates, which is nobody's seed.
    spine_mm
        Farther to the side than this no vertebra reaches; ribs and hips begin.
    neck_mm
        Where bone is thinner than this a way through it counts longer.
    rib_mm, rib_mm2
        Half the greatest thickness and the greatest mean section of a rib.
    least_rib_ml
        Smaller pieces are no rib.
    rib_length_mm
        Shorter pieces are no rib, but where the scan cuts them.
    joint_mm
        A rib begins within that of its vertebra.
    midline_mm
        Half the width of sacrum and sternum that is surely theirs.
    femur_mm
        Half the thickness of a femoral head; no hip bone is so thick.
    below_mm
        A sacrum reaches at least that far below its disc without another disc.
    head_mm
        A femoral head and its socket reach no farther than that from the head's core.
    front_mm
        A sternum lies at least that far before the canal.
    """

    body_mm: float
    disc_mm: float
    spine_mm: float
    neck_mm: float
    rib_mm: float
    rib_mm2: float
    least_rib_ml: float
    rib_length_mm: float
    joint_mm: float
    midline_mm: float
    femur_mm: float
    below_mm: float
    head_mm: float
    front_mm: float


@dataclass(frozen=True)
class Part:
    """One bone.

    Parameters
    ----------
    kind
        What it is.
    level
        A vertebra's number, counted from below; for a rib that of the vertebra it begins at; 0 for none.
    is_cut
        Whether the scan cuts it off.
    is_parted
        Whether it was parted half way from another that it touches.
    """

    kind: Kind
    level: int = 0
    is_cut: bool = False
    is_parted: bool = False


@dataclass(eq=False)
class _Seeds:
    """Markers on the blocks, and the part that each number stands for (part 1 is `parts[0]`)."""

    numbers: PartNumbers
    parts: list[Part] = field(default_factory=list)

    def add(self, where: Mask, part: Part) -> None:
        free = where & (self.numbers == 0)
        if free.any():
            self.parts.append(part)
            self.numbers[free] = len(self.parts)


def bones_apart(
    low: Coarse, bone: Mask, canal: Canal, discs: list[Disc], settings: BonePartsSettings
) -> tuple[PartNumbers, list[Part]]:
    """The bones on the blocks: numbers (0 where no bone is told apart) and parts (number 1 is the first)."""
    depth = depth_of(bone, low.spacing_mm)
    seeds = _Seeds(np.zeros(bone.shape, np.int32, order="F"))
    place = _Place(low, canal, discs)
    has_sacrum = _sacrum(seeds, bone, place, settings)
    _vertebrae(seeds, bone, place, settings, has_sacrum=has_sacrum)
    outer = bone & (place.aside_mm > settings.spine_mm)
    _ribs(seeds, outer, depth, place, settings)
    if has_sacrum:
        _limbs(seeds, outer, depth, place, settings)
    _sternum(seeds, bone, place, settings)
    numbers = _nearest_in_bone(seeds.numbers, bone, depth, low.spacing_mm, settings.neck_mm)
    return _with_levels(numbers, seeds.parts, depth, low.spacing_mm, settings)


class _Place:
    """Where each block lies against the spine: beside and before the canal, and above which discs."""

    def __init__(self, low: Coarse, canal: Canal, discs: list[Disc]) -> None:
        axes = [np.arange(n) * s for n, s in zip(low.values.shape, low.spacing_mm, strict=True)]
        self.x, self.y, self.z = (axis.astype(np.float32) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
        self.spacing_mm, self.discs = low.spacing_mm, discs
        # Below the lowest disc the canal is lost in the sacrum; what is left of it there is no guide.
        known = canal.middle_mm[:, 2] >= discs[0].middle_mm[2] if discs else np.ones(len(canal.middle_mm), np.bool_)
        z = canal.middle_mm[known, 2]
        self.middle_x = np.interp(axes[2], z, canal.middle_mm[known, 0])
        self.middle_y = np.interp(axes[2], z, canal.middle_mm[known, 1])
        self.left_mm = self.x - self.middle_x[None, None, :]
        self.aside_mm = np.abs(self.left_mm)
        self.front_mm = self.middle_y[None, None, :] - self.y
        self.columns = np.array([disc.middle_mm for disc in discs])

    def above_mm(self, disc: Disc) -> FloatArray:
        """How far each block lies above a disc's plane."""
        (mx, my, mz), (nx, ny, nz) = disc.middle_mm, disc.normal
        above: FloatArray = (self.x - mx) * nx + (self.y - my) * ny + (self.z - mz) * nz
        return above

    def off_axis_mm(self, low_mm: FloatArray, high_mm: FloatArray) -> FloatArray:
        """Distance of each block from the line through two points."""
        along = (high_mm - low_mm) / np.linalg.norm(high_mm - low_mm)
        offset = [axis - at for axis, at in zip((self.x, self.y, self.z), low_mm, strict=True)]
        run = offset[0] * along[0] + offset[1] * along[1] + offset[2] * along[2]
        square = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2 - run**2
        distance: FloatArray = np.sqrt(np.maximum(square, 0.0))
        return distance


def _sacrum(seeds: _Seeds, bone: Mask, place: _Place, settings: BonePartsSettings) -> bool:
    """Marks the sacrum below the lowest disc where it is in view, with the wide bone that goes with it."""
    lowest = place.discs[0]
    below = -place.above_mm(lowest)
    behind = place.y > lowest.middle_mm[1] - settings.body_mm
    here = bone & (below > settings.disc_mm) & (place.aside_mm < settings.midline_mm) & behind
    deep = here & (below > settings.below_mm)
    beside = bone & (below > 0) & (below < settings.below_mm) & (place.aside_mm > settings.spine_mm)
    if not deep.any() or not (beside & (place.left_mm > 0)).any() or not (beside & (place.left_mm < 0)).any():
        return False
    seeds.add(here, Part("sacrum"))
    return True


def _vertebrae(seeds: _Seeds, bone: Mask, place: _Place, settings: BonePartsSettings, *, has_sacrum: bool) -> None:
    """Marks the bodies between discs, and what is in view of those below the lowest and above the highest."""
    discs = place.discs
    spans: list[tuple[Disc | None, Disc | None]] = [(None, discs[0])] if not has_sacrum else []
    spans += [*pairwise(discs), (discs[-1], None)]
    level = 0
    for low, high in spans:
        ends = [disc for disc in (low, high) if disc is not None]
        if len(ends) == 2:
            first, second = ends[0].middle_mm, ends[1].middle_mm
        else:
            first = ends[0].middle_mm
            second = first + ends[0].normal
        inside = bone & (place.off_axis_mm(first, second) < settings.body_mm)
        if low is not None:
            inside &= place.above_mm(low) > settings.disc_mm
        if high is not None:
            inside &= place.above_mm(high) < -settings.disc_mm
        if low is None or high is None:
            inside &= np.abs(place.above_mm(ends[0])) < 30.0
        if inside.sum() * float(np.prod(place.spacing_mm)) < 500.0:
            continue
        level += 1
        seeds.add(inside, Part("vertebra", level, is_cut=len(ends) == 1))


def _ribs(seeds: _Seeds, outer: Mask, depth: Float32Array, place: _Place, settings: BonePartsSettings) -> None:
    """Marks the slim pieces beside the spine."""
    numbers, counts = components(outer, diagonal=True)
    voxel_ml = float(np.prod(place.spacing_mm)) / 1000.0
    thick = np.zeros(len(counts))
    np.maximum.at(thick, numbers[outer], depth[outer])
    for number in range(1, len(counts)):
        volume_ml = counts[number] * voxel_ml
        if volume_ml < settings.least_rib_ml:
            break  # parts come largest first
        if thick[number] > settings.rib_mm:
            continue
        piece = numbers == number
        spots = np.argwhere(piece) * np.array(place.spacing_mm)
        length = float(np.linalg.norm(np.ptp(spots, axis=0))) + max(place.spacing_mm)
        if 1000.0 * volume_ml / length > settings.rib_mm2:
            continue
        if length < settings.rib_length_mm and not _at_an_end(piece):
            continue  # a stone in a kidney, a clip
        row = np.rint(spots[:, 2] / place.spacing_mm[2]).astype(int)
        left = float(np.median(spots[:, 0] - place.middle_x[row]))
        seeds.add(piece, Part("rib_left" if left > 0 else "rib_right", is_cut=_at_an_end(piece)))


def _at_an_end(piece: Mask) -> bool:
    """Whether the scan's first or last slice cuts a piece."""
    return bool(piece[:, :, 0].any() or piece[:, :, -1].any())


def _limbs(seeds: _Seeds, outer: Mask, depth: Float32Array, place: _Place, settings: BonePartsSettings) -> None:
    """Marks hips and femurs: the largest thick piece on either side, its thickest balls the femoral heads."""
    below = place.above_mm(place.discs[0]) < 30.0
    for side, where in (("left", place.left_mm > 0), ("right", place.left_mm < 0)):
        here = outer & where & below & (seeds.numbers == 0)
        numbers, counts = components(here)
        if len(counts) < 2:
            continue
        heads = here & (depth > settings.femur_mm) & (place.above_mm(place.discs[0]) < -settings.below_mm)
        femur, hip = heads, numbers == 1
        if heads.any():
            aside = float(np.median(np.broadcast_to(place.aside_mm, heads.shape)[heads]))
            above, medial = place.z > _top(heads, place), place.aside_mm < aside - settings.head_mm
            femur = femur | (here & ~above & (place.aside_mm > aside + 0.7 * settings.head_mm))
            hip &= (distance_from(heads, place.spacing_mm) > settings.head_mm) & (above | medial)
        seeds.add(femur, Part("femur_left" if side == "left" else "femur_right", is_cut=True))
        seeds.add(hip, Part("hip_left" if side == "left" else "hip_right"))


def _top(mask: Mask, place: _Place) -> float:
    """Height of the highest block of a mask in mm; below everything where it is empty."""
    heights = np.flatnonzero(mask.any(axis=(0, 1)))
    return float(heights[-1]) * place.spacing_mm[2] if len(heights) else -1.0


def _sternum(seeds: _Seeds, bone: Mask, place: _Place, settings: BonePartsSettings) -> None:
    """Marks bone in the midline far before the spine, above the lowest disc."""
    front = bone & (place.front_mm > settings.front_mm) & (place.aside_mm < settings.midline_mm)
    front &= (place.above_mm(place.discs[0]) > 100.0) & (seeds.numbers == 0)
    numbers, counts = components(front)
    if len(counts) > 1 and counts[1] * float(np.prod(place.spacing_mm)) > 3000.0:
        seeds.add(numbers == 1, Part("sternum", is_cut=_at_an_end(numbers == 1)))


def _nearest_in_bone(
    seeds: PartNumbers, bone: Mask, depth: Float32Array, spacing: Spacing, neck_mm: float
) -> PartNumbers:
    """Every block of bone given to the seed from which the way through bone is shortest; thin bone counts longer."""
    slowness = (1.0 + (neck_mm / np.maximum(depth, 0.5 * min(spacing))) ** 2).astype(np.float32)
    return nearest_through(seeds, bone, slowness, spacing)


def _with_levels(
    numbers: PartNumbers, parts: list[Part], depth: Float32Array, spacing: Spacing, settings: BonePartsSettings
) -> tuple[PartNumbers, list[Part]]:
    """Ribs told apart by the vertebra that they begin at; two that touch on their way are parted half way."""
    from scipy.spatial import cKDTree

    is_vertebra = np.array([False, *(part.kind == "vertebra" for part in parts)])
    spine = np.argwhere(is_vertebra[numbers])
    levelled, parted = list(parts), numbers.copy(order="F")
    if not len(spine):
        return parted, levelled
    tree = cKDTree(spine * np.array(spacing))
    of_spine = numbers[tuple(spine.T)]
    for at, part in enumerate(parts, start=1):
        if part.kind not in ("rib_left", "rib_right"):
            continue
        spots = np.argwhere(numbers == at)
        gap, nearest = tree.query(spots * np.array(spacing), distance_upper_bound=settings.joint_mm)
        close = np.isfinite(gap)
        if not close.any():
            continue
        beside = of_spine[nearest[close]]
        heads = _heads(spots[close], beside, gap[close], spacing, settings.spine_mm / 2.5)
        levelled[at - 1] = Part(part.kind, parts[beside[gap[close].argmin()] - 1].level, part.is_cut)
        if len(heads) > 1:
            seeds = _Seeds(np.zeros(numbers.shape, np.int32, order="F"))
            for vertebra, places in heads.items():
                where = np.zeros(numbers.shape, np.bool_, order="F")
                where[tuple(places.T)] = True
                seeds.add(where, Part(part.kind, parts[vertebra - 1].level, part.is_cut, is_parted=True))
            halves = _nearest_in_bone(seeds.numbers, numbers == at, depth, spacing, settings.neck_mm)
            levelled[at - 1] = seeds.parts[0]
            for number, half in enumerate(seeds.parts[1:], start=2):
                levelled.append(half)
                parted[halves == number] = len(levelled)
    return parted, levelled


def _heads(
    spots: npt.NDArray[np.int64], beside: npt.NDArray[np.int32], gap: FloatArray, spacing: Spacing, apart_mm: float
) -> dict[int, npt.NDArray[np.int64]]:
    """Where a piece begins, by vertebra; places nearer to each other than that are one rib's head and neck."""
    heads: dict[int, npt.NDArray[np.int64]] = {}
    for vertebra in sorted(set(beside.tolist()), key=lambda v: (gap[beside == v].min(), v)):
        places = spots[beside == vertebra]
        middle = places.mean(axis=0)
        if all(np.linalg.norm((middle - other.mean(axis=0)) * spacing) >= apart_mm for other in heads.values()):
            heads[vertebra] = places
    return heads
