"""Shapes on a grid: which voxels lie inside, and what fraction of each does. Works on any grid, oblique or mirrored.

A voxel belongs to a shape when its centre is inside, so counting voxels gives the volume without bias. Fractions
count subsamples: of the shape itself for thin tubes, and elsewhere of a parabola through the neighbouring values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Carved, Tubes
from meshing.phantoms.shapes import Array, Bounds, Capsule, Shape
from meshing.volume import Grid

Box = tuple[slice, slice, slice]
Mask = npt.NDArray[np.bool_]

# Subsamples per axis.
_TUBE_SPLIT = 3
_SURFACE_SPLIT = 4


@dataclass(frozen=True, eq=False)
class Patch:
    """A shape within a box of a grid.

    Parameters
    ----------
    inside
        Voxels whose centre is inside.
    fraction
        float32, the part of each voxel that is inside.
    """

    box: Box
    inside: Mask
    fraction: npt.NDArray[np.float32]


def patch(shape: Shape, grid: Grid) -> Patch:
    """The shape on the grid, with partial volumes."""
    box = box_of(shape.bounds(), grid)
    distance = field_on(shape, grid, box)
    if isinstance(shape, Tubes) and shape.thinnest_mm < 1.25 * grid.spacing_mm.max():
        return Patch(box, distance < 0, fraction_of_tubes(shape, grid, box, _TUBE_SPLIT))
    return Patch(box, distance < 0, _fraction_of_surface(distance, grid))


def voxels_inside(shape: Shape, grid: Grid) -> tuple[Box, Mask]:
    """The box that a shape can touch, and which voxel centres of it are inside."""
    box = box_of(shape.bounds(), grid)
    return box, field_on(shape, grid, box) < 0


def pierced(starts_mm: npt.NDArray[np.float64], ends_mm: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.int64]:
    """The voxels that segments, shape (n, 3) each, run through: a chain of voxels that share faces, shape (m, 3).

    Voxels outside the grid are left out.
    """
    first, last = grid.to_voxel(starts_mm), grid.to_voxel(ends_mm)
    count = int(2.0 * np.abs(last - first).max(initial=1.0)) + 2  # half a voxel apart at most
    along = np.linspace(0.0, 1.0, count)[:, None, None]
    chain = np.rint(first + along * (last - first)).astype(np.int64)
    corners = [chain[:-1].copy(), chain[:-1].copy()]
    corners[0][..., :1] = chain[1:, :, :1]  # from one voxel to the next in steps along i, then j, then k
    corners[1][..., :2] = chain[1:, :, :2]
    index = np.concatenate([part.reshape(-1, 3) for part in (chain, *corners)])
    return np.unique(index[((index >= 0) & (index < grid.shape)).all(axis=1)], axis=0)


def box_of(bounds: Bounds, grid: Grid) -> Box:
    """The voxels that a box in LPS mm can touch, and one more all round; empty where it misses the grid."""
    (i, j, k), (i_end, j_end, k_end) = _boxes(np.array([bounds]), grid)[0].tolist()
    return slice(i, max(i, i_end)), slice(j, max(j, j_end)), slice(k, max(k, k_end))


def coordinates(grid: Grid, box: Box, split: int = 1) -> tuple[Array, Array, Array]:
    """LPS mm of the voxel centres in a box, or of `split`³ subsamples of each, as three arrays that broadcast.

    Axes that a coordinate does not depend on have length 1: on an axis-aligned grid nothing is spelled out.
    """
    steps = [(np.arange((s.stop - s.start) * split) + 0.5) / split - 0.5 + s.start for s in box]
    open_mesh = np.meshgrid(*steps, indexing="ij", sparse=True)
    found = []
    for row in grid.voxel_to_patient[:3].tolist():
        terms = [factor * along for factor, along in zip(row[:3], open_mesh, strict=True) if factor]
        found.append((sum(terms[1:], terms[0]) + row[3]).astype(np.float32))
    x, y, z = found
    return x, y, z


def _boxes(bounds: npt.NDArray[np.float64], grid: Grid, margin: float = 1.0) -> npt.NDArray[np.int64]:
    """First and past-the-last voxel, shape (n, 2, 3), of boxes in LPS mm, shape (n, 2, 3)."""
    corners = grid.to_patient(np.array(list(np.ndindex(2, 2, 2))) * np.array(grid.shape) - 0.5)
    low, high = (np.clip(bounds[:, end], corners.min(axis=0), corners.max(axis=0)) for end in (0, 1))
    middle = grid.to_voxel((low + high) / 2.0)
    half = (high - low) / 2.0 @ np.abs(np.linalg.inv(grid.voxel_to_patient[:3, :3])).T
    first = np.clip(np.ceil(middle - half - margin), 0, grid.shape)
    last = np.clip(np.floor(middle + half + margin) + 1, 0, grid.shape)
    return np.stack([first, last], axis=1).astype(np.int64)


def field_on(shape: Shape, grid: Grid, box: Box) -> Array:
    """The shape's field at the voxel centres of a box; tubes know theirs only within two voxels."""
    sizes = tuple(s.stop - s.start for s in box)
    if min(sizes) == 0:
        return np.ones(sizes, np.float32)
    if isinstance(shape, Tubes):
        return _field_of_tubes(shape, grid, box)
    points = coordinates(grid, box)
    if isinstance(shape, Carved) and isinstance(shape.solid, Tubes):
        return np.broadcast_to(shape.carved(_field_of_tubes(shape.solid, grid, box), *points), sizes)
    return np.broadcast_to(shape.field(*points), sizes)


def _field_of_tubes(tubes: Tubes, grid: Grid, box: Box) -> Array:
    """The field within two voxels of any capsule, and far outside elsewhere: each is asked only about its own box."""
    field = np.full([s.stop - s.start for s in box], np.float32(1e3))
    for capsule, there, points in _capsule_boxes(tubes, grid, box, split=1):
        np.minimum(field[there], capsule.field(*points), out=field[there])
    return field


def fraction_of_tubes(tubes: Tubes, grid: Grid, box: Box, split: int) -> npt.NDArray[np.float32]:
    """The fraction of each voxel of a box in any capsule, from `split`³ subsamples (15 at most, 3375 of them)."""
    found = np.zeros([(s.stop - s.start) * split for s in box], bool)
    for capsule, there, points in _capsule_boxes(tubes, grid, box, split):
        found[there] |= capsule.field(*points) < 0
    counted = found.view(np.uint8).astype(np.uint16) if split > 6 else found.view(np.uint8)
    for axis in (2, 1, 0):
        counted = sum(counted[(slice(None),) * axis + (slice(at, None, split),)] for at in range(split))  # type: ignore[assignment]
    fraction: npt.NDArray[np.float32] = counted * np.float32(split**-3)
    return fraction


def _capsule_boxes(
    tubes: Tubes, grid: Grid, box: Box, split: int
) -> Iterator[tuple[Capsule, Box, tuple[Array, Array, Array]]]:
    """Every capsule with the (sub)samples of `box` that it can touch, and their coordinates."""
    whole = coordinates(grid, box, split)
    start, stop = np.array([[s.start, s.stop] for s in box]).T
    found = _boxes(np.array([capsule.bounds() for capsule in tubes.capsules]), grid, margin=2.0)
    first = (np.maximum(found[:, 0], start) - start) * split
    last = (np.minimum(found[:, 1], stop) - start) * split
    for capsule, low, high in zip(tubes.capsules, first.tolist(), last.tolist(), strict=True):
        if all(a < b for a, b in zip(low, high, strict=True)):
            i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
            x, y, z = (
                along[tuple(s if size > 1 else slice(None) for s, size in zip((i, j, k), along.shape, strict=True))]
                for along in whole
            )
            yield capsule, (i, j, k), (x, y, z)


def _fraction_of_surface(distance: Array, grid: Grid) -> npt.NDArray[np.float32]:
    """The fraction of each voxel below zero, taking the field as a parabola along each axis within it."""
    fraction = (distance < 0).astype(np.float32)
    # A distance changes over half a voxel by at most half its diagonal; first-order fields by a little more.
    border = np.nonzero(np.abs(distance) < 0.6 * float(np.linalg.norm(grid.spacing_mm)))
    steps = ((np.arange(_SURFACE_SPLIT) + 0.5) / _SURFACE_SPLIT - 0.5).astype(np.float32)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij")).reshape(3, -1)
    # Without the second derivative a ball of radius r would gain h² / 4r² of its volume.
    terms = np.concatenate([offsets, 0.5 * np.square(offsets)])
    slopes, bends = zip(*(_slope_and_bend(distance, border, axis) for axis in range(3)), strict=True)
    factors = np.stack([*slopes, *bends], axis=1)
    here = distance[border]
    share = np.empty(len(here), np.float32)
    for start in range(0, len(here), 16_384):  # pieces that stay in cache
        piece = slice(start, start + 16_384)
        samples = factors[piece] @ terms
        samples += here[piece, None]
        share[piece] = (samples < 0).mean(axis=1, dtype=np.float32)
    fraction[border] = share
    return fraction


def _slope_and_bend(
    distance: Array, at: tuple[npt.NDArray[np.int64], ...], axis: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """First and second difference along an axis, per voxel; at the edge of the box one-sided and straight."""
    before, after = list(at), list(at)
    before[axis] = np.maximum(at[axis] - 1, 0)
    after[axis] = np.minimum(at[axis] + 1, distance.shape[axis] - 1)
    low, high = distance[tuple(before)], distance[tuple(after)]
    width = after[axis] - before[axis]
    slope = ((high - low) / np.maximum(width, 1)).astype(np.float32)
    bend = np.where(width == 2, high + low - 2.0 * distance[at], 0.0).astype(np.float32)
    return slope, bend
