"""Voxels by what the scan reads there: a range of values, and patches kept to one.

In: a scan and two limits in its unit, both included; out: a patch. What the scanner never measured and what is not
finite is in no range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshing.editing.patch import (
    Patch,
    Point,
    cropped,
    empty_patch,
    measured,
    one_grid,
    seed_voxels,
    whole_box,
)
from meshing.errors import SegmentationError
from meshing.threads import kernel, over_rows
from meshing.volume import Volume, Voxels
from meshing.voxels.upright import Box, Mask


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included; either may be infinite.

    Raises
    ------
    SegmentationError
        If the range is empty or a limit is not a number.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:  # false for NaN too
            raise SegmentationError(
                f"the range from {self.low:g} to {self.high:g} is empty", hint="give the lower limit first"
            )


def in_range(volume: Volume, values: Range, within: Patch | None = None) -> Patch:
    """The voxels whose value lies in the range, of the whole scan or of a patch.

    Raises
    ------
    SegmentationError
        If there is none, with what the scan holds.
    """
    box = whole_box(volume.grid)
    if within is not None:
        one_grid(within.grid, volume.grid)
        box = within.box
    mask = range_mask(volume, values, box)
    if within is not None:
        mask &= within.mask
    if not mask.any():
        raise SegmentationError(
            f"no voxel reads {values.low:g} to {values.high:g}; {_holdings(volume, box)}",
            hint="choose the range from the histogram, or pick a point in what is wanted",
        )
    return Patch(volume.grid, box, mask)


def masked_by_range(patch: Patch, volume: Volume, values: Range) -> Patch:
    """The voxels of a patch whose value lies in the range; perhaps none."""
    one_grid(patch.grid, volume.grid)
    if not patch.voxels:
        return empty_patch(patch.grid)
    return Patch(patch.grid, patch.box, range_mask(volume, values, patch.box) & patch.mask)


def range_mask(volume: Volume, values: Range, box: Box) -> Mask:
    """bool, of the box's shape: where the value lies in the range."""
    voxels = cropped(volume, box)
    mask = np.empty(voxels.shape, np.bool_, order="F")
    low, high = values.low, values.high
    if voxels.dtype.kind == "i":
        limits = np.iinfo(voxels.dtype)
        low, high = max(low, limits.min - 1), min(high, limits.max + 1)
    over_rows(_compare, voxels.size, voxels.ravel(order="F"), mask.ravel(order="F").view(np.uint8), low, high)
    if volume.outside is not None:
        mask &= ~volume.outside[box]
    return mask


@kernel
def _compare(first: int, last: int, voxels: Voxels, mask: Voxels, low: float, high: float) -> None:
    for at in range(first, last):
        value = voxels[at]
        mask[at] = (value >= low) & (value <= high)


def range_at(volume: Volume, seeds_mm: Sequence[Point], *, radius_mm: float = 3.0, deviations: float = 2.5) -> Range:
    """The range of what lies round seeds: the median, and so many robust standard deviations to both sides.

    A robust deviation is 1.4826 times the median distance from the median, so that a vessel beside the seed hardly
    widens the range; it is never less than one step of the scan.
    """
    found = []
    for seed in seed_voxels(volume.grid, seeds_mm, "range"):
        reach = np.maximum(np.rint(radius_mm / volume.grid.spacing_mm), 0).astype(int)
        window = tuple(slice(max(0, int(m - r)), int(m + r + 1)) for m, r in zip(seed, reach, strict=True))
        box: Box = (window[0], window[1], window[2])
        values = volume.voxels[box][measured(volume, box)]
        found.append(values.astype(np.float64))
    values = np.concatenate(found)
    if not values.size:
        raise SegmentationError("nothing was measured round the seeds", hint="set them inside the body")
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 1.0 if volume.voxels.dtype.kind == "i" else 1e-6)
    return Range(middle - deviations * spread, middle + deviations * spread)


def _holdings(volume: Volume, box: Box) -> str:
    values = volume.voxels[box][measured(volume, box)]
    if not values.size:
        return "no finite value was measured there"
    low, high = float(values.min()), float(values.max())
    return f"the scan holds {low:g} to {high:g} {volume.unit}".rstrip()
