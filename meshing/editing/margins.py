"""Margins and walls in millimetres: a segment grown or shrunk by a ball, and hollowed out.

In and out: patches. The surface of a segment is taken to lie between its outermost voxel centres and the nearest ones
outside, a quarter of the way; what lies beyond the edge of the scan counts as more of the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from meshing.editing.distances import distance_mm
from meshing.editing.logical import minus
from meshing.editing.patch import Patch, empty_patch, spacing_of, widened
from meshing.errors import SegmentationError
from meshing.progress import Progress, part, silent
from meshing.voxels.upright import Float32Array, Mask, Spacing

Wall = Literal["inside", "outside", "centred"]

_SLACK = 1e-4
"""Of a voxel: distances in float32 differ by less between storage orders, and whole margins stay whole."""


def with_margin(patch: Patch, margin_mm: float, *, progress: Progress = silent) -> Patch:
    """The segment grown by a margin, or shrunk by a negative one; perhaps to nothing.

    On balls in voxels of 1 mm the mean radius is right to 0.05 mm, in 0.7 × 0.7 × 2.5 mm to 0.05 mm; on faces that
    run along the grid the margin is wrong by up to a quarter of a voxel.

    Raises
    ------
    SegmentationError
        If the margin is not finite.
    """
    if not np.isfinite(margin_mm):
        raise SegmentationError(f"a margin of {margin_mm:g} mm", where="margin", hint="give millimetres")
    if not patch.voxels or margin_mm == 0:
        return patch
    spacing = spacing_of(patch.grid)
    if margin_mm > 0:
        box = widened(patch.box, patch.grid, margin_mm + max(spacing))
        mask = patch.within(box)
        return Patch(patch.grid, box, mask | (surface_mm(mask, spacing, progress) <= _limit(margin_mm, spacing)))
    box = widened(patch.box, patch.grid, max(spacing))
    mask = patch.within(box)
    if mask.all():
        return patch
    kept = mask & (surface_mm(~mask, spacing, progress) > _limit(-margin_mm, spacing))
    return Patch(patch.grid, box, kept).trimmed()


def hollowed(patch: Patch, wall_mm: float, wall: Wall = "inside", *, progress: Progress = silent) -> Patch:
    """A wall of that thickness along the surface of the segment: inside it, outside it, or half of each.

    Raises
    ------
    SegmentationError
        If the wall is not thicker than nothing, or so thick that no hollow is left where one is asked for.
    """
    if not 0 < wall_mm < np.inf:
        raise SegmentationError(f"a wall of {wall_mm:g} mm", where="hollow", hint="give a thickness above 0 mm")
    if not patch.voxels:
        return empty_patch(patch.grid)
    outwards = {"inside": 0.0, "outside": wall_mm, "centred": wall_mm / 2}[wall]
    outer = with_margin(patch, outwards, progress=part(progress, 0.0, 0.5))
    hollow = with_margin(patch, outwards - wall_mm, progress=part(progress, 0.5, 1.0))
    if not hollow.voxels:
        raise SegmentationError(
            f"a wall of {wall_mm:g} mm leaves no hollow in {patch.volume_ml:.2f} ml",
            where="hollow",
            hint="take a thinner wall, or put it outside",
        )
    return minus(outer, hollow)


def surface_mm(mask: Mask, spacing_mm: Spacing, progress: Progress = silent) -> Float32Array:
    """Distance in mm of voxels outside a mask from its surface; 0 inside it.

    The distance from the nearest centre inside is too long, as the surface lies beyond that centre; the distance from
    the first layer outside is too short. Of the first three quarters and of the second one are taken: measured on
    balls, this is what errs least.
    """
    inner = distance_mm(mask, spacing_mm, part(progress, 0.0, 0.5))
    ring = touching_outside(mask)
    if not ring.any():
        return inner
    outer = distance_mm(ring, spacing_mm, part(progress, 0.5, 1.0))
    inner *= np.float32(0.75)
    outer *= np.float32(0.25)
    inner += outer
    inner[mask] = 0.0
    return inner


def touching_outside(mask: Mask) -> Mask:
    """Voxels outside the mask with a face on it."""
    near = np.zeros(mask.shape, np.bool_, order="F")
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        near[tuple(low)] |= mask[tuple(high)]
        near[tuple(high)] |= mask[tuple(low)]
    near &= ~mask
    return near


def _limit(margin_mm: float, spacing: Spacing) -> np.float32:
    return np.float32(margin_mm + _SLACK * min(spacing))
