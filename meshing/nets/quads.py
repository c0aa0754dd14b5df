"""A four-sided piece of wall for every pair of voxels that differ, cut into two triangles once for both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import Net, rows_of_cells
from meshing.threads import kernel, over_rows
from meshing.triangles.cutting import cut

Array = npt.NDArray[Any]

Quads = npt.NDArray[np.uint32]
"""(Q, 4): vertices, counter-clockwise as seen from the second side."""

QuadSides = npt.NDArray[Any]
"""(Q, 2), dtype of the voxels: labels behind and before; the higher one is behind."""

NetPoints = npt.NDArray[np.float32]
"""(V, 3): mm along the lattice's axes, from the middle of its first voxel; exact to 0.00003 mm within half a metre."""


def quads_of(net: Net) -> tuple[Quads, QuadSides]:
    """The pieces of wall, in the order of the rows."""
    width, depth, _ = net.shape
    counts = np.zeros(net.rows, np.int32)
    over_rows(_count_quads, net.rows, net.voxels, width, depth, net.start, net.xs, counts)
    start = np.zeros(net.rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    quads = np.empty((int(start[-1]), 4), np.uint32)
    sides = np.empty((int(start[-1]), 2), net.voxels.dtype)
    over_rows(_fill_quads, net.rows, net.voxels, width, depth, net.start, net.xs, net.beside, start, quads, sides)
    return quads, sides


def points_of(net: Net, moves: npt.NDArray[np.float32], spacing_mm: npt.ArrayLike) -> NetPoints:
    """Where vertices are that moved so far from the middles of their cells, (V, 3) mm."""
    points = np.empty((len(net.xs), 3), np.float32)
    spacing = np.asarray(spacing_mm, np.float32)
    over_rows(_place, net.rows, net.shape[1], net.start, net.xs, moves, spacing, points)
    return points


def triangles_of(
    quads: Quads, sides: QuadSides, points: npt.NDArray[Any], stands_for: npt.NDArray[np.uint32] | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Faces (F, 3) and sides (F, 2): two for each quad, cut along its shorter diagonal; those without corners go.

    Parameters
    ----------
    stands_for
        (V,): for each vertex of the quads the row of `points` that stands for it; its own when None.
    """
    faces = np.empty((2 * len(quads), 3), np.int32)
    both = np.empty((2 * len(quads), 2), np.int32)
    if stands_for is None:
        many = _cut(quads, sides, points, faces, both)
    else:
        many = _cut(stands_for[quads], sides, points, faces, both)
    return faces[:many], both[:many]


def normals_of(quads: Quads, points: NetPoints, wanted: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float32]:
    """(V, 4): unit normal of each vertex towards the second side, and a quarter of the area of its quads.

    Parameters
    ----------
    wanted
        (V,): where normals are asked for; elsewhere they are wrong.
    """
    normals = np.zeros((len(points), 4), np.float32)
    if wanted is None:
        _add_normals(quads, points, normals)
    else:
        _add_some_normals(quads, points, normals, wanted)
    over_rows(_finish_normals, len(points), normals)
    return normals


@kernel
def _place(
    first: int, last: int, depth: int, start: Array, xs: Array, moves: Array, spacing: Array, points: Array
) -> None:
    half = np.float32(0.5)
    for row in range(first, last):
        k = row // (depth - 1)
        y, z = (np.float32(row - k * (depth - 1)) + half) * spacing[1], (np.float32(k) + half) * spacing[2]
        for v in range(np.uintp(start[row]), np.uintp(start[row + 1])):
            points[v, 0] = (np.float32(xs[v]) + half) * spacing[0] + moves[v, 0]
            points[v, 1] = y + moves[v, 1]
            points[v, 2] = z + moves[v, 2]


@kernel
def _count_quads(
    first: int, last: int, voxels: Array, width: int, depth: int, start: Array, xs: Array, counts: Array
) -> None:
    one = np.uintp(1)
    for row in range(first, last):
        if start[row] == start[row + 1]:
            counts[row] = 0
            continue
        _, b, c, d = rows_of_cells(voxels, row, width, depth)
        n = 0
        for v in range(np.uintp(start[row]), np.uintp(start[row + 1])):
            i = np.uintp(xs[v])
            top = d[i + one]
            n += (d[i] != top) + (c[i + one] != top) + (b[i + one] != top)
        counts[row] = n


@kernel
def _fill_quads(
    first: int,
    last: int,
    voxels: Array,
    width: int,
    depth: int,
    start: Array,
    xs: Array,
    beside: Array,
    quad_start: Array,
    quads: Array,
    sides: Array,
) -> None:
    """Each cell owns the three edges that end in its highest corner."""
    one = np.uintp(1)
    for row in range(first, last):
        if start[row] == start[row + 1]:
            continue
        _, b, c, d = rows_of_cells(voxels, row, width, depth)
        q = np.uintp(quad_start[row])
        for v in range(np.uintp(start[row]), np.uintp(start[row + 1])):
            i = np.uintp(xs[v])
            top = d[i + one]
            y, z = np.uintp(beside[v, 1]), np.uintp(beside[v, 3])
            if d[i] != top:
                _put(quads, sides, q, v, y, np.uintp(beside[y, 3]), z, d[i], top)
                q += one
            if c[i + one] != top:
                _put(quads, sides, q, v, z, z + one, v + one, c[i + one], top)
                q += one
            if b[i + one] != top:
                _put(quads, sides, q, v, v + one, y + one, y, b[i + one], top)
                q += one


@kernel
def _put(quads: Array, sides: Array, q: Any, a: Any, b: Any, c: Any, d: Any, low: int, high: int) -> None:
    # By label, not by place: a wall whose pieces look to different sides has no normal.
    quads[q, 0] = a
    quads[q, 2] = c
    if low < high:
        quads[q, 1] = d
        quads[q, 3] = b
        sides[q, 0] = high
        sides[q, 1] = low
    else:
        quads[q, 1] = b
        quads[q, 3] = d
        sides[q, 0] = low
        sides[q, 1] = high


@kernel
def _cut(quads: Array, sides: Array, points: Array, faces: Array, both: Array) -> Any:
    f, one = np.uintp(0), np.uintp(1)
    for q in range(np.uintp(len(quads))):
        a, b, c, d = cut(points, quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3])
        if a == c:
            continue
        if a != b and b != c:
            faces[f, 0], faces[f, 1], faces[f, 2] = a, b, c
            both[f, 0], both[f, 1] = sides[q, 0], sides[q, 1]
            f += one
        if c != d and a != d:
            faces[f, 0], faces[f, 1], faces[f, 2] = a, c, d
            both[f, 0], both[f, 1] = sides[q, 0], sides[q, 1]
            f += one
    return f


@kernel
def _add_normals(quads: Array, points: Array, normals: Array) -> None:
    for q in range(np.uintp(len(quads))):
        _add_normal(quads, points, normals, q)


@kernel
def _add_some_normals(quads: Array, points: Array, normals: Array, wanted: Array) -> None:
    for q in range(np.uintp(len(quads))):
        if wanted[quads[q, 0]] or wanted[quads[q, 1]] or wanted[quads[q, 2]] or wanted[quads[q, 3]]:
            _add_normal(quads, points, normals, q)


@kernel
def _add_normal(quads: Array, points: Array, normals: Array, q: int) -> None:
    """Half the cross product of the diagonals is the area vector of a quad."""
    a, b, c, d = quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3]
    ux, uy, uz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    wx, wy, wz = points[d, 0] - points[b, 0], points[d, 1] - points[b, 1], points[d, 2] - points[b, 2]
    eighth = np.float32(0.125)
    x, y, z = eighth * (uy * wz - uz * wy), eighth * (uz * wx - ux * wz), eighth * (ux * wy - uy * wx)
    for v in (a, b, c, d):
        normals[v, 0] += x
        normals[v, 1] += y
        normals[v, 2] += z


@kernel
def _finish_normals(first: int, last: int, normals: Array) -> None:
    for v in range(np.uintp(first), np.uintp(last)):
        area = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        normals[v, 3] = area
        share = np.float32(1) / max(area, np.float32(1e-30))
        normals[v, 0] *= share
        normals[v, 1] *= share
        normals[v, 2] *= share
