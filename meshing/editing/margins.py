"""Margins and walls in millimetres: a segment grown or shrunk by a ball, and hollowed out.

In and out: patches. The surface of a segment runs between its outermost voxel centres and the nearest ones outside;
what lies beyond the edge of the scan counts as more of the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.editing.distances import Sites, nearest
from meshing.editing.logical import minus
from meshing.editing.patch import Patch, empty_patch, spacing_of, widened
from meshing.editing.turning import turning_of
from meshing.errors import SegmentationError
from meshing.progress import Progress, part, silent
from meshing.threads import kernel, over_rows
from meshing.voxels.upright import Float32Array, Mask, Spacing

Wall = Literal["inside", "outside", "centred"]

_WINDOW = 0.8
"""Width of the Gaussian window in voxels."""

_SLACK = 1e-4
"""Of a voxel: distances in float32 differ by less between storage orders, and whole margins stay whole."""


def with_margin(patch: Patch, margin_mm: float, *, progress: Progress = silent) -> Patch:
    """The segment grown by a margin, or shrunk by a negative one; perhaps to nothing.

    On balls the mean radius is right to an eighth of the longest edge of a voxel, and mostly to a thirtieth.

    Raises
    ------
    SegmentationError
        If the margin is not finite.
    """
    if not np.isfinite(margin_mm):
        raise SegmentationError(f"a margin of {margin_mm:g} mm", where="margin", hint="give millimetres")
    if not patch.voxels or margin_mm == 0:
        return patch
    turning = turning_of(patch.grid)
    return turning.patch_back(_moved(turning.patch(patch), margin_mm, progress))


def _moved(patch: Patch, margin_mm: float, progress: Progress) -> Patch:
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

    That is the distance from the nearest voxel centre inside, less how deep that centre lies below the surface, and
    less what is due to its lying beside the perpendicular. Depth and normal come from a Gaussian window on the mask
    round it, which tells those of a plane exactly.
    """
    distance, sites = nearest(mask, spacing_mm, progress)
    over_rows(
        _less_depth,
        mask.shape[1] * mask.shape[2],
        np.asfortranarray(mask).view(np.uint8),
        distance,
        sites,
        np.full(mask.size, np.nan, np.float32),
        np.empty((mask.size, 3), np.float32),
        np.array(spacing_mm, np.float32),
    )
    return distance


@kernel
def _less_depth(
    first: int,
    last: int,
    mask: npt.NDArray[np.uint8],
    distance: Float32Array,
    sites: Sites,
    depths: Float32Array,
    normals: Float32Array,
    spacing: Float32Array,
) -> None:
    x_count, y_count = mask.shape[0], mask.shape[1]
    wide = spacing @ spacing
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        for x in range(x_count):
            site = sites[x, y, z]
            if mask[x, y, z] or site < 0:
                continue
            plane = site // x_count
            sx, sy, sz = site % x_count, plane % y_count, plane // y_count
            normal = normals[site]
            if np.isnan(depths[site]):
                # Two threads may both find it, and find the same; the depth comes last, for it says that all is there.
                depth = _depth(mask, (sx, sy, sz), spacing, normal)
                depths[site] = depth
            far = distance[x, y, z]
            up = (
                (x - sx) * spacing[0] * normal[0]
                + (y - sy) * spacing[1] * normal[1]
                + (z - sz) * spacing[2] * normal[2]
            )
            # A centre lies beside the perpendicular by half a voxel at most; more is the normal's error.
            half = 0.25 * max(wide - (spacing * normal) @ (spacing * normal), np.float32(0.0))
            beside = min(max(far * far - up * up, np.float32(0.0)), half)
            distance[x, y, z] = max(far - beside / (2.0 * far) - depths[site], np.float32(0.0))


@kernel
def _depth(
    mask: npt.NDArray[np.uint8], centre: tuple[int, int, int], spacing: Float32Array, normal: Float32Array
) -> float:
    """How deep in mm a centre of the mask lies below its surface; writes the outward normal."""
    x, y, z = centre
    share = whole = towards_x = towards_y = towards_z = 0.0
    for c in range(-2, 3):
        zc = min(max(z + c, 0), mask.shape[2] - 1)
        for b in range(-2, 3):
            yb = min(max(y + b, 0), mask.shape[1] - 1)
            for a in range(-2, 3):
                weight = np.exp(-(a * a + b * b + c * c) / (2 * _WINDOW * _WINDOW))
                whole += weight
                if mask[min(max(x + a, 0), mask.shape[0] - 1), yb, zc]:
                    share += weight
                    towards_x += weight * a
                    towards_y += weight * b
                    towards_z += weight * c
    steep_x, steep_y, steep_z = towards_x / spacing[0], towards_y / spacing[1], towards_z / spacing[2]
    length = np.sqrt(steep_x * steep_x + steep_y * steep_y + steep_z * steep_z)
    normal[:] = 0.0
    if length < 1e-9:
        return 0.5 * float(min(spacing[0], spacing[1], spacing[2]))
    normal[0], normal[1], normal[2] = -steep_x / length, -steep_y / length, -steep_z / length
    # Towards the normal, in mm, of the window's width and of half a voxel.
    nx, ny, nz = steep_x * spacing[0] / length, steep_y * spacing[1] / length, steep_z * spacing[2] / length
    sigma = _WINDOW * np.sqrt(nx * nx + ny * ny + nz * nz)
    most = 0.75 * (abs(nx) + abs(ny) + abs(nz))
    return float(min(max(sigma * _quantile(share / whole), 0.0), most))


@kernel
def _quantile(share: float) -> float:
    """Of the normal distribution, to 0.003.

    References
    ----------
    Winitzki, A handy approximation for the error function and its inverse, 2008.
    """
    x = min(max(2.0 * share - 1.0, -0.999), 0.999)
    log = np.log(1.0 - x * x)
    first = 2.0 / (np.pi * 0.147) + log / 2.0
    root = np.sqrt(np.sqrt(first * first - log / 0.147) - first)
    return float(np.sqrt(2.0) * root if x > 0 else -np.sqrt(2.0) * root)


def _limit(margin_mm: float, spacing: Spacing) -> np.float32:
    return np.float32(margin_mm + _SLACK * min(spacing))
