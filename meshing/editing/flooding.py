"""Region growing: from seeds to all neighbours in a range, shell by shell, and what looks like a leak on the way.

In: a scan, seeds in LPS mm and a range; out: a patch, whether it reaches the edge of the scan, and the narrowest neck
that growth squeezed through. A shell is what takes the same number of steps, face to face, from the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import Patch, Point, one_grid, point_text, seed_voxels, whole_box
from meshing.editing.thresholds import Range, range_mask
from meshing.errors import SegmentationError
from meshing.progress import Progress, silent
from meshing.threads import kernel
from meshing.volume import Grid, Volume
from meshing.voxels.upright import Mask

_AT_ONCE = 1_000_000
_NECK = 0.15
"""A shell this much smaller than the larger ones before and behind it is a neck."""
_LEAST_BEYOND = 0.1
"""Of all that was grown: less behind a neck is a branch, no leak."""


@dataclass(frozen=True)
class Leak:
    """Where growth squeezed through.

    Parameters
    ----------
    at_mm
        LPS mm, the middle of the neck.
    neck_mm2
        Its cross section, as a count of voxels tells it: good to a factor of two.
    beyond_ml
        What was grown behind it.
    """

    at_mm: Point
    neck_mm2: float
    beyond_ml: float

    def text(self) -> str:
        """One sentence for people."""
        where = point_text(np.asarray(self.at_mm))
        return f"{self.beyond_ml:.1f} ml lie beyond a neck of about {self.neck_mm2:.0f} mm² at {where}"


@dataclass(frozen=True, eq=False)
class Growth:
    """What grew from seeds.

    Parameters
    ----------
    leak
        The narrowest neck with much behind it, or None.
    reaches_edge
        Whether a voxel lies at the edge of the scan.
    """

    patch: Patch
    leak: Leak | None
    reaches_edge: bool


def region_grown(
    volume: Volume,
    seeds_mm: Sequence[Point],
    values: Range,
    *,
    within: Patch | None = None,
    progress: Progress = silent,
) -> Growth:
    """The voxels in the range that hang together with a seed, by faces.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan, outside the range (with what it reads) or outside `within`.
    """
    seeds = seed_voxels(volume.grid, seeds_mm, "region growing")
    box = whole_box(volume.grid)
    if within is not None:
        one_grid(within.grid, volume.grid)
        box = within.box
    progress(0.0, "growing")
    mask = range_mask(volume, values, box)
    if within is not None:
        mask &= within.mask
    local = seeds - [side.start for side in box]
    _refuse_outside(volume, seeds, local, mask, values)
    grown, order, shells = _flooded(mask, local, progress)
    patch = Patch(volume.grid, box, grown).trimmed()
    touches = any(side.start == 0 or side.stop == n for side, n in zip(patch.box, volume.grid.shape, strict=True))
    leak = leak_of(np.diff(shells), volume.grid)
    if leak is None:
        return Growth(patch, None, touches)
    shell, neck_mm2, beyond_ml = leak
    members = np.stack(np.unravel_index(order[shells[shell] : shells[shell + 1]], _padded(mask.shape), "F"), axis=1)
    middle = volume.grid.to_patient(members.mean(axis=0) - 1 + [side.start for side in box])
    at = (float(middle[0]), float(middle[1]), float(middle[2]))
    return Growth(patch, Leak(at, neck_mm2, beyond_ml), touches)


def _refuse_outside(
    volume: Volume, seeds: npt.NDArray[np.int64], local: npt.NDArray[np.int64], mask: Mask, values: Range
) -> None:
    for seed, at in zip(seeds, local, strict=True):
        if ((at >= 0) & (at < mask.shape)).all() and mask[tuple(at)]:
            continue
        where = point_text(volume.grid.to_patient(seed))
        reads = float(volume.voxels[tuple(seed)])
        if values.low <= reads <= values.high:
            raise SegmentationError(f"the seed {where} lies outside what may grow", where="region growing")
        raise SegmentationError(
            f"the seed {where} reads {reads:g}, the range is {values.low:g} to {values.high:g}",
            where="region growing",
            hint="set the seed inside the structure, or take the range from it: range_at(volume, seeds)",
        )


def _flooded(
    mask: Mask, seeds: npt.NDArray[np.int64], progress: Progress
) -> tuple[Mask, npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """What was reached, its padded flat indices in order, and where in that order each shell begins."""
    waiting = np.zeros(_padded(mask.shape), np.uint8, order="F")
    waiting[1:-1, 1:-1, 1:-1] = mask
    flat = waiting.ravel(order="F")
    steps = neighbour_steps(waiting.shape)
    order = np.empty(int(np.count_nonzero(mask)), np.int32)
    first = np.unique(np.ravel_multi_index(tuple(seeds.T + 1), waiting.shape, order="F"))
    order[: len(first)] = first
    flat[first] = 2
    shells = [0, len(first)]
    read, written = 0, len(first)
    while read < written:
        progress(min(written / len(order), 0.99), "growing")
        written, begun = _flood(flat, steps, order, read, written, shells[-1], _AT_ONCE)
        read = int(begun[-1])
        shells.extend(begun[:-1].tolist())
    reached: Mask = np.asfortranarray(waiting[1:-1, 1:-1, 1:-1] == 2)
    bounds = np.array(shells if shells[-1] == written else [*shells, written], np.int64)
    return reached, order[:written], np.unique(bounds)


@kernel
def _flood(
    waiting: npt.NDArray[np.uint8],
    steps: npt.NDArray[np.int64],
    order: npt.NDArray[np.int32],
    read: int,
    written: int,
    shell_end: int,
    at_once: int,
) -> tuple[int, npt.NDArray[np.int64]]:
    """How many are reached now; where new shells begin, and last how many were looked at."""
    begun = []
    stop = read + at_once
    while read < written and read < stop:
        if read == shell_end:
            shell_end = written
            begun.append(shell_end)
        voxel = order[read]
        read += 1
        for step in steps:
            near = voxel + step
            if waiting[near] == 1:
                waiting[near] = 2
                order[written] = near
                written += 1
    begun.append(read)
    return written, np.array(begun)


def neighbour_steps(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Flat steps to the six neighbours in an array with x fastest."""
    x, y = shape[0], shape[0] * shape[1]
    return np.array([1, -1, x, -x, y, -y], np.int64)


def _padded(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0] + 2, shape[1] + 2, shape[2] + 2


def leak_of(shells: npt.NDArray[np.int64], grid: Grid) -> tuple[int, float, float] | None:
    """The narrowest shell between larger ones: its number, area in mm² and the ml behind it; None without a neck.

    Parameters
    ----------
    shells
        Voxels of each shell, from the seeds outwards.
    """
    if len(shells) < 3:
        return None
    before = np.maximum.accumulate(shells)
    behind = np.maximum.accumulate(shells[::-1])[::-1]
    beyond = shells[::-1].cumsum()[::-1] - shells
    lesser = np.minimum(before, behind)
    share = np.where(beyond >= _LEAST_BEYOND * shells.sum(), shells / lesser, 1.0)
    shell = int(share.argmin())
    if share[shell] > _NECK or lesser[shell] < 20:
        return None
    thick_mm = float(np.cbrt(grid.voxel_volume_mm3))
    area = float(shells[shell]) * grid.voxel_volume_mm3 / thick_mm
    return shell, area, float(beyond[shell]) * grid.voxel_volume_mm3 / 1000.0
