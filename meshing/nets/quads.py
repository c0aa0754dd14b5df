"""A four-sided piece of wall for every pair of voxels that differ, cut into two triangles once for both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import Net
from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

Quads = npt.NDArray[np.int32]
"""(Q, 4): vertices, counter-clockwise as seen from the second side."""

QuadSides = npt.NDArray[Any]
"""(Q, 2), dtype of the voxels: labels behind and before; the higher one is behind."""


def quads_of(net: Net) -> tuple[Quads, QuadSides]:
    """The pieces of wall, in the order of the rows."""
    width, depth, _ = net.shape
    counts = np.zeros(net.rows, np.int32)
    over_rows(_count_quads, net.rows, net.voxels, width, depth, net.start, net.xs, counts)
    start = np.zeros(net.rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    quads = np.empty((int(start[-1]), 4), np.int32)
    sides = np.empty((int(start[-1]), 2), net.voxels.dtype)
    over_rows(_fill_quads, net.rows, net.voxels, width, depth, net.start, net.xs, net.beside, start, quads, sides)
    return quads, sides


def points_of(net: Net, moves: npt.NDArray[np.float32], spacing_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(V, 3) mm along the lattice's axes, from the middle of its first voxel."""
    points = np.empty((len(net.xs), 3))
    spacing = np.asarray(spacing_mm, np.float64)
    over_rows(_place, net.rows, net.shape[1], net.start, net.xs, moves, spacing, points)
    return points


def triangles_of(
    quads: Quads, sides: QuadSides, points: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Faces (F, 3) and sides (F, 2): two for each quad, cut along its shorter diagonal; those without corners go."""
    faces = np.empty((2 * len(quads), 3), np.int32)
    both = np.empty((2 * len(quads), 2), np.int32)
    many = _cut(quads, sides, points, faces, both)
    return faces[:many], both[:many]


def normals_of(
    quads: Quads, points: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """(V, 4): unit normal of each vertex towards the second side, and a quarter of the area of its quads.

    Parameters
    ----------
    wanted
        (V,): where normals are asked for; elsewhere they are wrong.
    """
    asked = np.ones(len(points), np.bool_) if wanted is None else wanted
    normals = np.zeros((len(points), 4), np.float32)
    _add_normals(quads, points, normals, asked)
    over_rows(_finish_normals, len(points), normals, asked)
    return normals


@kernel
def _place(
    first: int, last: int, depth: int, start: Array, xs: Array, moves: Array, spacing: Array, points: Array
) -> None:
    for row in range(first, last):
        k = row // (depth - 1)
        j = row - k * (depth - 1)
        for v in range(start[row], start[row + 1]):
            points[v, 0] = (xs[v] + 0.5) * spacing[0] + moves[v, 0]
            points[v, 1] = (j + 0.5) * spacing[1] + moves[v, 1]
            points[v, 2] = (k + 0.5) * spacing[2] + moves[v, 2]


@kernel
def _count_quads(
    first: int, last: int, voxels: Array, width: int, depth: int, start: Array, xs: Array, counts: Array
) -> None:
    for row in range(first, last):
        k = row // (depth - 1)
        at = (k * depth + row - k * (depth - 1)) * width
        above = at + width * depth
        n = 0
        for v in range(start[row], start[row + 1]):
            i = xs[v]
            top = voxels[above + width + i + 1]
            n += (
                (voxels[above + width + i] != top)
                + (voxels[above + i + 1] != top)
                + (voxels[at + width + i + 1] != top)
            )
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
    for row in range(first, last):
        k = row // (depth - 1)
        at = (k * depth + row - k * (depth - 1)) * width
        above = at + width * depth
        q = quad_start[row]
        for v in range(start[row], start[row + 1]):
            i = xs[v]
            top = voxels[above + width + i + 1]
            y = beside[v, 1]
            z = beside[v, 3]
            other = voxels[above + width + i]
            if other != top:
                _put(quads, sides, q, v, y, beside[y, 3], z, other, top)
                q += 1
            other = voxels[above + i + 1]
            if other != top:
                _put(quads, sides, q, v, z, z + 1, v + 1, other, top)
                q += 1
            other = voxels[at + width + i + 1]
            if other != top:
                _put(quads, sides, q, v, v + 1, y + 1, y, other, top)
                q += 1


@kernel
def _put(quads: Array, sides: Array, q: int, a: int, b: int, c: int, d: int, low: int, high: int) -> None:
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
def _cut(quads: Array, sides: Array, points: Array, faces: Array, both: Array) -> int:
    f = 0
    for q in range(len(quads)):
        a, b, c, d = quads[q]
        across = 0.0
        along = 0.0
        for axis in range(3):
            across += (points[a, axis] - points[c, axis]) ** 2
            along += (points[b, axis] - points[d, axis]) ** 2
        if along < across:
            a, b, c, d = b, c, d, a
        if a != b and b != c and a != c:
            faces[f, 0] = a
            faces[f, 1] = b
            faces[f, 2] = c
            both[f, 0] = sides[q, 0]
            both[f, 1] = sides[q, 1]
            f += 1
        if a != c and c != d and a != d:
            faces[f, 0] = a
            faces[f, 1] = c
            faces[f, 2] = d
            both[f, 0] = sides[q, 0]
            both[f, 1] = sides[q, 1]
            f += 1
    return f


@kernel
def _add_normals(quads: Array, points: Array, normals: Array, wanted: Array) -> None:
    """Half the cross product of the diagonals is the area vector of a quad."""
    for q in range(len(quads)):
        a, b, c, d = quads[q]
        if not (wanted[a] or wanted[b] or wanted[c] or wanted[d]):
            continue
        for axis in range(3):
            u = (axis + 1) % 3
            w = (axis + 2) % 3
            area = 0.125 * (
                (points[c, u] - points[a, u]) * (points[d, w] - points[b, w])
                - (points[c, w] - points[a, w]) * (points[d, u] - points[b, u])
            )
            normals[a, axis] += area
            normals[b, axis] += area
            normals[c, axis] += area
            normals[d, axis] += area


@kernel
def _finish_normals(first: int, last: int, normals: Array, wanted: Array) -> None:
    for v in range(first, last):
        if not wanted[v]:
            continue
        area = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        normals[v, 3] = area
        for axis in range(3):
            normals[v, axis] /= max(area, np.float32(1e-30))
