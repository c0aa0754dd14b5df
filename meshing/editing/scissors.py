"""Scissors: what lies behind a closed line drawn on a view, cut away or kept.

In: the line as points in LPS mm on a plane, the direction of view, and how deep to cut; out: a patch. A voxel is inside
when its centre, moved along the direction of view, comes to lie inside the line (even-odd rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import Patch, Point, box_shape
from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.threads import kernel, over_rows
from meshing.volume import Grid
from meshing.voxels.upright import Box, Mask

Side = Literal["inside", "outside"]


@dataclass(frozen=True)
class Cut:
    """A closed line and how it cuts.

    Parameters
    ----------
    polygon_mm
        At least three points in LPS mm, not repeating the first.
    direction
        Of view, LPS; of any length.
    depth_mm
        From where to where along the direction, counted from the middle of the line; all the way when left out.
    """

    polygon_mm: Sequence[Point]
    direction: Point
    depth_mm: tuple[float, float] = (-np.inf, np.inf)


def cut_away(patch: Patch, cut: Cut, side: Side = "inside") -> Patch:
    """The segment without what lies inside the line within the depth, or without all that does not.

    Raises
    ------
    SegmentationError
        If the line has fewer than three points, no area as seen along the direction, or a number is not finite.
    """
    if not patch.voxels:
        return patch
    mask = _prism(patch.grid, patch.box, cut)
    return Patch(patch.grid, patch.box, patch.mask & (~mask if side == "inside" else mask)).trimmed()


def cut_out(grid: Grid, cut: Cut) -> Patch:
    """Every voxel of the grid inside the line within the depth: to fill rather than to cut.

    Raises
    ------
    SegmentationError
        As `cut_away`.
    """
    box = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    return Patch(grid, box, _prism(grid, box, cut)).trimmed()


def _prism(grid: Grid, box: Box, cut: Cut) -> Mask:
    polygon, axes = _checked(cut)
    middle = polygon.mean(axis=0)
    line = np.ascontiguousarray((polygon - middle) @ axes[:2].T)
    first = axes @ (grid.to_patient([side.start for side in box]) - middle)
    steps = np.ascontiguousarray(axes @ grid.voxel_to_patient[:3, :3])
    mask = np.zeros(box_shape(box), np.bool_, order="F")
    rows = mask.shape[1] * mask.shape[2]
    depth = (float(cut.depth_mm[0]), float(cut.depth_mm[1]))
    over_rows(_fill_rows, rows, mask.view(np.uint8), line, first, steps, depth)
    return mask


def _checked(cut: Cut) -> tuple[FloatArray, FloatArray]:
    """The polygon, and unit vectors in rows: two across the view, one along it."""
    polygon, direction = np.asarray(cut.polygon_mm, np.float64), np.asarray(cut.direction, np.float64)
    if polygon.ndim != 2 or polygon.shape[1:] != (3,) or len(polygon) < 3:
        raise SegmentationError(f"a closed line has three points at least, got shape {polygon.shape}", where="scissors")
    if not np.isfinite(polygon).all() or not np.isfinite(direction).all():
        raise SegmentationError("a point or the direction is not finite", where="scissors")
    length = float(np.linalg.norm(direction))
    if direction.shape != (3,) or length < 1e-9:
        raise SegmentationError(f"the direction {direction.tolist()} leads nowhere", where="scissors")
    if not cut.depth_mm[0] < cut.depth_mm[1]:
        raise SegmentationError(
            f"the depth from {cut.depth_mm[0]:g} to {cut.depth_mm[1]:g} mm is empty", where="scissors"
        )
    through = direction / length
    across = np.cross(through, np.eye(3)[np.abs(through).argmin()])
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(through, across), through])
    flat = (polygon - polygon.mean(axis=0)) @ axes[:2].T
    after = np.roll(flat, -1, axis=0)
    if np.abs(np.cross(np.c_[flat, flat[:, 0] * 0], np.c_[after, flat[:, 0] * 0])[:, 2]).sum() < 1e-6:
        raise SegmentationError(
            "seen along the direction the line encloses nothing", where="scissors", hint="turn the direction of view"
        )
    return polygon, axes


@kernel
def _fill_rows(
    first_row: int,
    last_row: int,
    mask: npt.NDArray[np.uint8],
    line: FloatArray,
    first: FloatArray,
    steps: FloatArray,
    depth: tuple[float, float],
) -> None:
    """Along each row of voxels, the places where it crosses the line switch inside and outside."""
    count, rows_j = mask.shape[0], mask.shape[1]
    crossings = np.empty(len(line))
    for row in range(first_row, last_row):
        j, k = row % rows_j, row // rows_j
        u = first[0] + steps[0, 1] * j + steps[0, 2] * k
        v = first[1] + steps[1, 1] * j + steps[1, 2] * k
        w = first[2] + steps[2, 1] * j + steps[2, 2] * k
        du, dv, dw = steps[0, 0], steps[1, 0], steps[2, 0]
        if du * du + dv * dv < 1e-18:  # the row runs along the view
            inside = _is_inside(line, u, v)
            for i in range(count):
                mask[i, j, k] = inside and depth[0] <= w + dw * i <= depth[1]
            continue
        found = 0
        for n in range(len(line)):
            m = n + 1 if n + 1 < len(line) else 0
            # Which side of the row the corner lies on; 0 counts as one side, so that a corner is crossed once.
            here = (line[n, 0] - u) * dv - (line[n, 1] - v) * du
            there = (line[m, 0] - u) * dv - (line[m, 1] - v) * du
            if (here >= 0) != (there >= 0):
                share = here / (here - there)
                cross_u = line[n, 0] + share * (line[m, 0] - line[n, 0]) - u
                cross_v = line[n, 1] + share * (line[m, 1] - line[n, 1]) - v
                crossings[found] = (cross_u * du + cross_v * dv) / (du * du + dv * dv)
                found += 1
        crossings[:found].sort()
        for pair in range(0, found - 1, 2):
            low = max(0, int(np.ceil(crossings[pair])))
            high = min(count - 1, int(np.floor(crossings[pair + 1])))
            for i in range(low, high + 1):
                mask[i, j, k] = depth[0] <= w + dw * i <= depth[1]


@kernel
def _is_inside(line: FloatArray, u: float, v: float) -> bool:
    inside = False
    for n in range(len(line)):
        m = n + 1 if n + 1 < len(line) else 0
        if (line[n, 1] > v) != (line[m, 1] > v):
            share = (v - line[n, 1]) / (line[m, 1] - line[n, 1])
            if u < line[n, 0] + share * (line[m, 0] - line[n, 0]):
                inside = not inside
    return inside
