"""Every part of a net gets the volume of its voxels, as far as cells reach; see `meshing.balance`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.balance import growth_mm
from meshing.nets.lattice import Net
from meshing.nets.quads import Quads, QuadSides, points_of
from meshing.nets.relax import Moves, normal_table
from meshing.threads import kernel, over_rows

Points = npt.NDArray[np.float64]
Array = npt.NDArray[np.float64]

_STEPS = 3
_CLOSE = 5e-4
"""Share of its volume that a part may lack when the steps end."""

_DENSE_PAIRS = 1 << 24
"""Entries of a table over all pairs of labels; for more labels the pairs are sorted."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which labels touch: (N, 2) labels, and for each quad its row there."""

    labels: npt.NDArray[np.int64]
    of_quad: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Balanced:
    """A net whose parts have their volumes, as far as cells reach.

    Parameters
    ----------
    moves
        (V, 3) float32, mm from the middle of each vertex's cell.
    points
        (V, 3) float64, mm along the lattice's axes.
    volumes_mm3, areas_mm2
        (labels,): what came out; a wall counts for both its parts.
    """

    moves: Moves
    points: Points
    volumes_mm3: Array
    areas_mm2: Array


def balanced(
    net: Net, moves: Moves, walls: tuple[Quads, QuadSides], wanted_mm3: Array, spacing_mm: Array, *, reach: float
) -> Balanced:
    """The net with label n at the volume `wanted_mm3[n]`; no vertex goes further than `reach` cells from its own."""
    quads, sides = walls
    labels = len(wanted_mm3)
    pairs = _pairs(sides, labels)
    normals = normal_table(np.asarray(spacing_mm, np.float32))
    box = np.asarray(reach * np.asarray(spacing_mm), np.float32)
    for step in range(_STEPS + 1):
        points = points_of(net, moves, spacing_mm)
        volumes, areas = _measured(quads, pairs, points, labels)
        missing = wanted_mm3 - volumes
        missing[0] = 0.0
        if step == _STEPS or (np.abs(missing) <= _CLOSE * np.maximum(wanted_mm3, 1e-9)).all():
            break
        growth = growth_mm(pairs.labels, areas, missing)
        over_rows(_grow, net.rows, net.voxels, *net.shape[:2], net.start, net.xs, net.mask, growth, normals, box, moves)
    return Balanced(moves, points, volumes, _by_label(pairs, areas, labels))


def weighed(net: Net, moves: Moves, walls: tuple[Quads, QuadSides], labels: int, spacing_mm: Array) -> Balanced:
    """The net as the moves put it, with its volumes and areas."""
    quads, sides = walls
    pairs = _pairs(sides, labels)
    points = points_of(net, moves, spacing_mm)
    volumes, areas = _measured(quads, pairs, points, labels)
    return Balanced(moves, points, volumes, _by_label(pairs, areas, labels))


def _by_label(pairs: Pairs, areas: Array, labels: int) -> Array:
    behind, before = pairs.labels.T
    return (np.bincount(behind, areas, labels) + np.bincount(before, areas, labels)).astype(np.float64)


def _pairs(sides: QuadSides, labels: int) -> Pairs:
    if labels * labels <= _DENSE_PAIRS:
        seen = np.zeros(labels * labels, np.bool_)
        over_rows(_mark, len(sides), sides, labels, seen)
        codes = np.flatnonzero(seen)
        row = np.full(labels * labels, -1, np.int32)
        row[codes] = np.arange(len(codes), dtype=np.int32)
        of_quad = np.empty(len(sides), np.int32)
        over_rows(_look_up, len(sides), sides, labels, row, of_quad)
    else:
        codes, found = np.unique(sides[:, 0].astype(np.int64) * labels + sides[:, 1], return_inverse=True)
        of_quad = found.astype(np.int32)
    return Pairs(np.column_stack([codes // labels, codes % labels]), of_quad)


def _measured(quads: Quads, pairs: Pairs, points: Points, labels: int) -> tuple[Array, Array]:
    """Volume of every label, and area of every pair's wall."""
    origin = points.mean(axis=0) if len(points) else np.zeros(3)
    parts = over_rows(_measure, len(quads), quads, pairs.of_quad, len(pairs.labels), points, origin)
    swept, areas = (np.sum([part[number] for part in parts], axis=0) for number in (0, 1))
    behind, before = pairs.labels.T
    volumes = (np.bincount(behind, swept, labels) - np.bincount(before, swept, labels)).astype(np.float64)
    return volumes, areas


@kernel
def _mark(first: int, last: int, sides: Array, labels: int, seen: Array) -> None:
    for q in range(first, last):
        seen[np.int64(sides[q, 0]) * labels + sides[q, 1]] = True


@kernel
def _look_up(first: int, last: int, sides: Array, labels: int, row: Array, of_quad: Array) -> None:
    for q in range(first, last):
        of_quad[q] = row[np.int64(sides[q, 0]) * labels + sides[q, 1]]


@kernel
def _measure(
    first: int, last: int, quads: Array, pair_of: Array, pairs: int, points: Array, origin: Array
) -> tuple[Array, Array]:
    """Swept volume and area by pair; quads are cut along the shorter diagonal, as they will be."""
    swept = np.zeros(pairs)
    areas = np.zeros(pairs)
    for q in range(first, last):
        a, b, c, d = quads[q]
        across = along = 0.0
        for axis in range(3):
            across += (points[a, axis] - points[c, axis]) ** 2
            along += (points[b, axis] - points[d, axis]) ** 2
        if along < across:
            a, b, c, d = b, c, d, a
        px, py, pz = points[a, 0] - origin[0], points[a, 1] - origin[1], points[a, 2] - origin[2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        wx, wy, wz = points[d, 0] - points[a, 0], points[d, 1] - points[a, 1], points[d, 2] - points[a, 2]
        mx, my, mz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        nx, ny, nz = vy * wz - vz * wy, vz * wx - vx * wz, vx * wy - vy * wx
        pair = pair_of[q]
        swept[pair] += (px * (mx + nx) + py * (my + ny) + pz * (mz + nz)) / 6.0
        areas[pair] += 0.5 * (np.sqrt(mx * mx + my * my + mz * mz) + np.sqrt(nx * nx + ny * ny + nz * nz))
    return swept, areas


@kernel
def _grow(
    first: int,
    last: int,
    voxels: Array,
    width: int,
    depth: int,
    start: Array,
    xs: Array,
    mask: Array,
    growth: Array,
    normals: Array,
    box: Array,
    moves: Array,
) -> None:
    """Vertices between two labels along their normal; the normal looks towards the higher label."""
    for row in range(first, last):
        k = row // (depth - 1)
        at = (k * depth + row - k * (depth - 1)) * width
        for v in range(start[row], start[row + 1]):
            m = mask[v]
            if m == 0:
                continue
            low = high = voxels[at + xs[v]]
            for c in range(1, 8):
                label = voxels[at + xs[v] + (c & 1) + (c >> 1 & 1) * width + (c >> 2) * width * depth]
                low = min(low, label)
                high = max(high, label)
            step = np.float32(growth[low] - growth[high])
            for axis in range(3):
                moved = moves[v, axis] + step * normals[m, axis]
                moves[v, axis] = min(max(moved, -box[axis]), box[axis])
