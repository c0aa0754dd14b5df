"""Every part of a net gets the volume of its voxels, as far as cells reach; see `meshing.balance`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.balance import growth_mm
from meshing.nets.lattice import Net, rows_of_cells
from meshing.nets.quads import NetPoints, Quads, QuadSides
from meshing.nets.relax import Relaxing, held, normal_table
from meshing.threads import kernel, over_rows
from meshing.triangles.cutting import cut

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
    points
        (V, 3) float32, mm along the lattice's axes.
    volumes_mm3, areas_mm2
        (labels,): what came out; a wall counts for both its parts.
    """

    points: NetPoints
    volumes_mm3: Array
    areas_mm2: Array


def balanced(
    net: Net,
    points: NetPoints,
    walls: tuple[Quads, QuadSides],
    wanted_mm3: Array,
    spacing_mm: Array,
    relaxing: Relaxing,
) -> Balanced:
    """The net with label n at the volume `wanted_mm3[n]`; no vertex goes further than when it was smoothed."""
    quads, sides = walls
    labels = len(wanted_mm3)
    pairs = _pairs(sides, labels)
    spacing = np.asarray(spacing_mm, np.float32)
    normals, reach = normal_table(spacing), relaxing.reach_mm(spacing)
    points = points.copy()
    for step in range(_STEPS + 1):
        volumes, areas = _measured(quads, pairs, points, labels)
        missing = wanted_mm3 - volumes
        missing[0] = 0.0
        if step == _STEPS or (np.abs(missing) <= _CLOSE * np.maximum(wanted_mm3, 1e-9)).all():
            break
        growth = growth_mm(pairs.labels, areas, missing).astype(np.float32)
        width, depth = net.shape[:2]
        rows = (net.voxels, width, depth, net.start, net.xs, net.mask)
        over_rows(_grow, net.rows, *rows, growth, normals, spacing, reach, points)
    return Balanced(points, volumes, _by_label(pairs, areas, labels))


def weighed(points: NetPoints, walls: tuple[Quads, QuadSides], labels: int) -> Balanced:
    """A net with its volumes and areas."""
    quads, sides = walls
    pairs = _pairs(sides, labels)
    volumes, areas = _measured(quads, pairs, points, labels)
    return Balanced(points, volumes, _by_label(pairs, areas, labels))


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


def _measured(quads: Quads, pairs: Pairs, points: NetPoints, labels: int) -> tuple[Array, Array]:
    """Volume of every label, and area of every pair's wall."""
    origin = points[:: max(len(points) // 1000, 1)].mean(axis=0, dtype=np.float64) if len(points) else np.zeros(3)
    parts = over_rows(_measure, len(quads), quads, pairs.of_quad, len(pairs.labels), points, origin)
    swept, areas = (np.sum([part[number] for part in parts], axis=0) for number in (0, 1))
    behind, before = pairs.labels.T
    volumes = (np.bincount(behind, swept, labels) - np.bincount(before, swept, labels)).astype(np.float64)
    return volumes, areas


@kernel
def _mark(first: int, last: int, sides: Array, labels: int, seen: Array) -> None:
    many = np.uintp(labels)
    for q in range(np.uintp(first), np.uintp(last)):
        seen[np.uintp(sides[q, 0]) * many + np.uintp(sides[q, 1])] = True


@kernel
def _look_up(first: int, last: int, sides: Array, labels: int, row: Array, of_quad: Array) -> None:
    many = np.uintp(labels)
    for q in range(np.uintp(first), np.uintp(last)):
        of_quad[q] = row[np.uintp(sides[q, 0]) * many + np.uintp(sides[q, 1])]


@kernel
def _measure(
    first: int, last: int, quads: Array, pair_of: Array, pairs: int, points: Array, origin: Array
) -> tuple[Array, Array]:
    """Swept volume and area by pair; quads are cut along the shorter diagonal, as they will be."""
    swept = np.zeros(pairs)
    areas = np.zeros(pairs)
    ox, oy, oz = origin[0], origin[1], origin[2]
    for q in range(np.uintp(first), np.uintp(last)):
        a, b, c, d = cut(points, quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3])
        ax, ay, az = np.float64(points[a, 0]), np.float64(points[a, 1]), np.float64(points[a, 2])
        ux, uy, uz = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
        vx, vy, vz = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - az
        wx, wy, wz = points[d, 0] - ax, points[d, 1] - ay, points[d, 2] - az
        mx, my, mz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        nx, ny, nz = vy * wz - vz * wy, vz * wx - vx * wz, vx * wy - vy * wx
        pair = np.uintp(pair_of[q])
        swept[pair] += ((ax - ox) * (mx + nx) + (ay - oy) * (my + ny) + (az - oz) * (mz + nz)) / 6.0
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
    spacing: Array,
    reach: Array,
    points: Array,
) -> None:
    """Vertices between two labels along their normal; the normal looks towards the higher label."""
    half, one = np.float32(0.5), np.uintp(1)
    for row in range(first, last):
        if start[row] == start[row + 1]:
            continue
        k = row // (depth - 1)
        y, z = (np.float32(row - k * (depth - 1)) + half) * spacing[1], (np.float32(k) + half) * spacing[2]
        a, b, c, d = rows_of_cells(voxels, row, width, depth)
        for v in range(np.uintp(start[row]), np.uintp(start[row + 1])):
            m = mask[v]
            if m == 0:
                continue
            i = np.uintp(xs[v])
            x = (np.float32(i) + half) * spacing[0]
            low = min(
                min(min(a[i], b[i]), min(c[i], d[i])), min(min(a[i + one], b[i + one]), min(c[i + one], d[i + one]))
            )
            high = max(
                max(max(a[i], b[i]), max(c[i], d[i])), max(max(a[i + one], b[i + one]), max(c[i + one], d[i + one]))
            )
            step = growth[low] - growth[high]
            dx, dy, dz = held(
                points[v, 0] + step * normals[m, 0] - x,
                points[v, 1] + step * normals[m, 1] - y,
                points[v, 2] + step * normals[m, 2] - z,
                reach,
            )
            points[v, 0], points[v, 1], points[v, 2] = x + dx, y + dy, z + dz
