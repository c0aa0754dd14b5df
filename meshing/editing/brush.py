"""Strokes of a ball: the voxels whose centres a brush of some millimetres passes over, whatever the voxels' shape.

In: points of the stroke in LPS mm; out: a patch in the box of the stroke, to be added or erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import Patch, Point, box_shape, point_text
from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.threads import kernel
from meshing.volume import Grid
from meshing.voxels.upright import Box


def stroke(grid: Grid, points_mm: Sequence[Point], radius_mm: float) -> Patch:
    """The voxels that a ball passes over on straight ways from point to point.

    Raises
    ------
    SegmentationError
        If there is no point, one is not finite, the radius is not positive, or the ball never meets the scan; a ball
        too small to reach any voxel centre takes the voxel that its first point lies in.
    """
    points = _checked(points_mm, radius_mm)
    box = _reach(grid, points, radius_mm)
    mask = np.zeros(box_shape(box), np.bool_, order="F")
    matrix = np.ascontiguousarray(grid.voxel_to_patient)
    first = grid.to_patient([side.start for side in box])
    ends = np.concatenate([points[1:], points[-1:]])
    for start, end in zip(points, ends, strict=True):
        part = _reach(grid, np.stack([start, end]), radius_mm, box)
        local = np.array([[s.start - b.start, s.stop - b.start] for s, b in zip(part, box, strict=True)], np.int64)
        _capsule(mask, local, matrix[:3, :3], first, (start, end), radius_mm * (1 + 1e-9) + 1e-9)
    if not mask.any():
        nearest = np.rint(grid.to_voxel(points[0])).astype(int)
        here = nearest - [side.start for side in box]
        if ((here >= 0) & (here < mask.shape)).all():
            mask[tuple(here)] = True
    return Patch(grid, box, mask)


def _checked(points_mm: Sequence[Point], radius_mm: float) -> FloatArray:
    points = np.asarray(points_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or len(points) == 0:
        raise SegmentationError(f"a stroke is points of three mm, got shape {points.shape}", where="brush")
    if not np.isfinite(points).all():
        raise SegmentationError("a point of the stroke is not finite", where="brush")
    if not 0 < radius_mm < np.inf:
        raise SegmentationError(f"a brush of {radius_mm:g} mm radius", where="brush", hint="give a radius above 0 mm")
    return points


def _reach(grid: Grid, points: FloatArray, radius_mm: float, within: Box | None = None) -> Box:
    """The box of all voxels whose centre may lie within the radius of a way between points."""
    inverse = np.linalg.inv(grid.voxel_to_patient[:3, :3])
    # How far an index can change within a ball: the length of the rows of the inverse.
    steps = radius_mm * np.linalg.norm(inverse, axis=1) + 1e-6
    index = grid.to_voxel(points)
    low = np.maximum(np.floor(index.min(axis=0) - steps + 0.5), [side.start for side in within] if within else 0)
    high = np.minimum(np.ceil(index.max(axis=0) + steps + 0.5), [s.stop for s in within] if within else grid.shape)
    if (high <= low).any():
        if within:
            return slice(0, 0), slice(0, 0), slice(0, 0)
        last = np.array(grid.shape) - 0.5
        beyond = np.maximum(np.maximum(-0.5 - index, index - last), 0.0) * grid.spacing_mm
        away = float(np.linalg.norm(beyond, axis=1).min())
        raise SegmentationError(
            f"the stroke from {point_text(points[0])} with {radius_mm:g} mm radius passes the scan at {away:.1f} mm",
            where="brush",
            hint="points are LPS millimetres: left, posterior, superior",
        )
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return i, j, k


@kernel
def _capsule(
    mask: npt.NDArray[np.bool_],
    box: npt.NDArray[np.int64],
    axes: FloatArray,
    first: FloatArray,
    way: tuple[FloatArray, FloatArray],
    radius: float,
) -> None:
    start, end = way
    along = end - start
    length = along @ along
    for k in range(box[2, 0], box[2, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for i in range(box[0, 0], box[0, 1]):
                square: Any = 0.0
                dot: Any = 0.0
                for n in range(3):
                    away = first[n] + axes[n, 0] * i + axes[n, 1] * j + axes[n, 2] * k - start[n]
                    square += away * away
                    dot += away * along[n]
                if length > 0:
                    share = min(max(float(dot / length), 0.0), 1.0)
                    square += share * share * length - 2 * share * dot
                if square <= radius * radius:
                    mask[i, j, k] = True
