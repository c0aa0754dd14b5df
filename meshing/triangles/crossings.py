"""Where triangles run through each other: a count for reports and tests, not a repair.

Two triangles cross where each has corners on both sides of the other's plane, and the pieces that they cut from the
line common to both planes overlap. Touching is no crossing, nor is lying in one plane, with or without overlap:
surfaces that were cut apart at a vertex or an edge still touch there. What is nearer than 1e-9 of the triangles' size
touches.

References
----------
T. Möller, A fast triangle-triangle intersection test, Journal of Graphics Tools 2(2), 1997.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows
from meshing.triangles.bins import Bins, bins_of, cell_at

Points = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]
Point = tuple[float, float, float]

_TOUCH = 1e-9


def crossings(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> Index:
    """Pairs (N, 2) of triangles that share no vertex and cross, the lower number first, in order.

    Raises
    ------
    SurfaceError
        For NaN or infinite vertices, and faces that name vertices which are not there.
    """
    triangles = np.asarray(faces)
    if len(triangles) < 2:
        return np.empty((0, 2), np.int32)
    bins = bins_of(vertices, triangles)
    boxes = _boxes(bins)
    pairs: Index = np.vstack(over_rows(_pairs, len(bins.starts) - 1, bins, boxes))
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


@kernel
def _boxes(bins: Bins) -> Points:
    """Least and largest x, y and z of each triangle, (F, 6)."""
    v, faces = bins.vertices, bins.faces
    boxes = np.empty((len(faces), 6))
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        for axis in range(3):
            boxes[face, axis] = min(v[a, axis], v[b, axis], v[c, axis])
            boxes[face, 3 + axis] = max(v[a, axis], v[b, axis], v[c, axis])
    return boxes


@kernel
def _pairs(first: int, last: int, bins: Bins, boxes: Points) -> Index:
    """Crossing pairs that are looked at in these cells: the first that both boxes have in common."""
    v, faces, starts, entries = bins.vertices, bins.faces, bins.starts, bins.entries
    low, shape, cell = bins.low, bins.shape, bins.cell_mm
    pairs, used = np.empty((64, 2), np.int32), 0
    for at in range(first, last):
        for entry in range(starts[at], starts[at + 1]):
            face = entries[entry]
            x0, y0, z0 = boxes[face, 0], boxes[face, 1], boxes[face, 2]
            x1, y1, z1 = boxes[face, 3], boxes[face, 4], boxes[face, 5]
            for again in range(entry + 1, starts[at + 1]):
                other = entries[again]
                # One jump, not six: most boxes are apart along one axis or another, which nobody can foresee.
                if (
                    (x0 > boxes[other, 3])
                    | (boxes[other, 0] > x1)
                    | (y0 > boxes[other, 4])
                    | (boxes[other, 1] > y1)
                    | (z0 > boxes[other, 5])
                    | (boxes[other, 2] > z1)
                ) or _share(faces, face, other):
                    continue
                i = cell_at(max(boxes[face, 0], boxes[other, 0]) - low[0], cell, shape[0])
                j = cell_at(max(boxes[face, 1], boxes[other, 1]) - low[1], cell, shape[1])
                k = cell_at(max(boxes[face, 2], boxes[other, 2]) - low[2], cell, shape[2])
                if (i * shape[1] + j) * shape[2] + k != at or not _cross(v, faces, face, other):
                    continue
                if used == len(pairs):
                    grown = np.empty((2 * used, 2), np.int32)
                    grown[:used] = pairs
                    pairs = grown
                pairs[used, 0], pairs[used, 1] = min(face, other), max(face, other)
                used += 1
    return pairs[:used].copy()


@kernel
def _share(faces: Index, one: int, other: int) -> bool:
    for side in range(3):
        for turn in range(3):
            if faces[one, side] == faces[other, turn]:
                return True
    return False


@kernel
def _cross(v: Points, faces: Index, one: int, other: int) -> bool:
    """Whether two triangles cross."""
    # All seen from one corner: differences of near places are exact where large coordinates are not.
    ox, oy, oz = v[faces[other, 0], 0], v[faces[other, 0], 1], v[faces[other, 0], 2]
    p0, p1 = _seen(v, faces[one, 0], ox, oy, oz), _seen(v, faces[one, 1], ox, oy, oz)
    p2 = _seen(v, faces[one, 2], ox, oy, oz)
    q0, q1, q2 = (0.0, 0.0, 0.0), _seen(v, faces[other, 1], ox, oy, oz), _seen(v, faces[other, 2], ox, oy, oz)
    size = max(_size(p0), _size(p1), _size(p2), _size(q1), _size(q2))
    of_q, of_p = _normal(q0, q1, q2), _normal(p0, p1, p2)
    d0, d1, d2 = _above(of_q, q0, p0, size), _above(of_q, q0, p1, size), _above(of_q, q0, p2, size)
    if not (min(d0, d1, d2) < 0.0 < max(d0, d1, d2)):
        return False
    e0, e1, e2 = _above(of_p, p0, q0, size), _above(of_p, p0, q1, size), _above(of_p, p0, q2, size)
    if not (min(e0, e1, e2) < 0.0 < max(e0, e1, e2)):
        return False
    along = _normal((0.0, 0.0, 0.0), of_p, of_q)
    axis = 0
    if abs(along[1]) > abs(along[axis]):
        axis = 1
    if abs(along[2]) > abs(along[axis]):
        axis = 2
    low, high = _piece(p0[axis], p1[axis], p2[axis], d0, d1, d2)
    start, end = _piece(q0[axis], q1[axis], q2[axis], e0, e1, e2)
    overlap: bool = min(high, end) - max(low, start) > _TOUCH * size
    return overlap


@kernel
def _seen(v: Points, vertex: int, x: float, y: float, z: float) -> Point:
    return v[vertex, 0] - x, v[vertex, 1] - y, v[vertex, 2] - z


@kernel
def _size(p: Point) -> float:
    return max(abs(p[0]), abs(p[1]), abs(p[2]))


@kernel
def _normal(a: Point, b: Point, c: Point) -> Point:
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    wx, wy, wz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx


@kernel
def _above(normal: Point, origin: Point, p: Point, size: float) -> float:
    """Height over a plane times the length of its normal; 0 where that is rounding, or next to nothing."""
    x, y, z = p[0] - origin[0], p[1] - origin[1], p[2] - origin[2]
    height = normal[0] * x + normal[1] * y + normal[2] * z
    length = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    # The second term is the rounding of the product itself, which slivers leave over the first.
    return 0.0 if abs(height) <= _TOUCH * size * length + 1e-14 * size**3 else height


@kernel
def _piece(s0: float, s1: float, s2: float, d0: float, d1: float, d2: float) -> tuple[float, float]:
    """Where a triangle passes the other's plane: two places along the common line; corners have heights d."""
    low, high = np.inf, -np.inf
    for one, other, above, below in ((s0, s1, d0, d1), (s1, s2, d1, d2), (s2, s0, d2, d0)):
        if above * below < 0.0:
            place = one + (other - one) * (above / (above - below))
            low, high = min(low, place), max(high, place)
        elif above == 0.0:
            low, high = min(low, one), max(high, one)
    return low, high
