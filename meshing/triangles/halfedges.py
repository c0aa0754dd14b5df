"""How triangles hang together: faults of edges and vertices, counted round each vertex; volume, middle and normals.

Each vertex has its corners in one row; a face at a vertex joins two neighbours of it, so one walk along the row sees
all uses of its edges, and how many fans its faces form. Most rows are one ring; only the others are counted out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError
from meshing.threads import kernel
from meshing.triangles.bins import contiguous, whole_numbers

Index = npt.NDArray[np.int32]
Points = npt.NDArray[np.float64]

_LONGEST_RING = 32
"""Corners round a vertex up to which a search through all is faster than a table."""


class Faults(NamedTuple):
    """Counts, and where they are.

    Parameters
    ----------
    boundary_edges, crowded_edges, flipped_edges
        Edges of one face; of more than two; run through twice in the same direction.
    pinched_vertices
        Vertices whose faces form more than one fan.
    folded_faces
        Faces that name a vertex twice, and vertices of two faces that lie back to back; 0 where there are none.
    is_faulty
        (V,) bool: vertices that are pinched, folded, or ends of a crowded or flipped edge.
    """

    boundary_edges: int
    crowded_edges: int
    flipped_edges: int
    pinched_vertices: int
    folded_faces: int
    is_faulty: npt.NDArray[np.bool_]


def faults(faces: npt.ArrayLike, count: int) -> Faults:
    """What keeps the triangles (F, 3) on `count` vertices from being closed and manifold.

    Raises
    ------
    SurfaceError
        If faces name vertices that are not there.
    """
    triangles = _inside(faces, count)
    is_faulty = np.zeros(count, dtype=np.bool_)
    if len(triangles) == 0:
        return Faults(0, 0, 0, 0, 0, is_faulty)
    starts = np.zeros(count + 1, np.int32)
    around = np.empty((triangles.size, 2), np.int32)
    most, folded = _rows_of(triangles, starts, around, is_faulty)
    boundary, crowded, flipped, pinched, opposite = _faults_of(starts, around, np.empty(most, np.int32), is_faulty)
    return Faults(int(boundary), int(crowded), int(flipped), int(pinched), int(folded + opposite), is_faulty)


def signed_volume_mm3(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> float:
    """Volume by the divergence theorem about the vertices' mean; positive when faces look outward.

    Raises
    ------
    SurfaceError
        If faces name vertices that are not there.
    """
    points = contiguous(vertices)
    triangles = _inside(faces, len(points))
    return float(_volume(points, triangles)) if len(triangles) else 0.0


def middle(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> Points:
    """(3,): the area-weighted mean of the faces.

    Raises
    ------
    SurfaceError
        If faces name vertices that are not there.
    """
    points = contiguous(vertices)
    triangles = _inside(faces, len(points))
    areas, total = np.empty(len(triangles)), np.zeros(3)
    _add_middles(points, triangles, areas, total)
    mean: Points = total / areas.sum()
    return mean


def normal_sums(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> tuple[Points, Points]:
    """(V, 3): the cross products of the edges of all faces round a vertex, added up; (F,): their lengths.

    Raises
    ------
    SurfaceError
        If faces name vertices that are not there.
    """
    points = contiguous(vertices)
    triangles = _inside(faces, len(points))
    sums, lengths = np.zeros((len(points), 3)), np.empty(len(triangles))
    _add_normals(points, triangles, sums, lengths)
    return sums, lengths


def _inside(faces: npt.ArrayLike, count: int) -> Index:
    """Faces as compiled code wants them: it does not watch bounds."""
    triangles = whole_numbers(faces)
    if triangles.shape[1:] != (3,):
        raise SurfaceError(f"faces of shape {triangles.shape} are not (F, 3)")
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= count):
        raise SurfaceError(f"faces name vertices {triangles.min()} to {triangles.max()} of {count}")
    return triangles


@kernel
def _across(points: Points, faces: Index, face: int) -> tuple[float, float, float]:
    """The cross product of two edges: along the normal, twice the area long."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@kernel
def _add_middles(points: Points, faces: Index, areas: Points, total: Points) -> None:
    for face in range(len(faces)):
        x, y, z = _across(points, faces, face)
        # A face without area counts for next to nothing, so that a model of such faces has a middle too.
        areas[face] = max(np.sqrt(x * x + y * y + z * z), 1e-30)
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        for axis in range(3):
            total[axis] += (points[a, axis] + points[b, axis] + points[c, axis]) / 3.0 * areas[face]


@kernel
def _add_normals(points: Points, faces: Index, sums: Points, lengths: Points) -> None:
    for face in range(len(faces)):
        x, y, z = _across(points, faces, face)
        lengths[face] = np.sqrt(x * x + y * y + z * z)
        for side in range(3):
            vertex = faces[face, side]
            sums[vertex, 0] += x
            sums[vertex, 1] += y
            sums[vertex, 2] += z


@kernel
def _volume(points: Points, faces: Index) -> float:
    mx, my, mz = 0.0, 0.0, 0.0
    for row in range(len(points)):
        mx += points[row, 0]
        my += points[row, 1]
        mz += points[row, 2]
    mx, my, mz = mx / len(points), my / len(points), mz / len(points)
    total = 0.0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = points[a, 0] - mx, points[a, 1] - my, points[a, 2] - mz
        bx, by, bz = points[b, 0] - mx, points[b, 1] - my, points[b, 2] - mz
        cx, cy, cz = points[c, 0] - mx, points[c, 1] - my, points[c, 2] - mz
        total += ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return total / 6.0


@kernel
def _rows_of(faces: Index, starts: Index, around: Index, is_faulty: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The vertices after and before each corner, in a row for every vertex; the longest row, and thin faces."""
    folded = 0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if a in (b, c) or b == c:
            folded += 1
            is_faulty[a] = is_faulty[b] = is_faulty[c] = True
        for side in range(3):
            starts[faces[face, side]] += 1
    most, end = 0, 0
    for vertex in range(len(starts)):
        most = max(most, starts[vertex])
        end += starts[vertex]
        starts[vertex] = end
    for face in range(len(faces) - 1, -1, -1):
        for side in range(2, -1, -1):
            vertex = faces[face, side]
            starts[vertex] -= 1
            at = starts[vertex]
            around[at, 0], around[at, 1] = faces[face, (side + 1) % 3], faces[face, (side + 2) % 3]
    return most, folded


@kernel
def _faults_of(
    starts: Index, around: Index, joined: Index, is_faulty: npt.NDArray[np.bool_]
) -> tuple[int, int, int, int, int]:
    """Edges and vertices of `Faults` in its order, at last vertices of two faces back to back.

    `joined` is room for the fans of one vertex (union-find).
    """
    count = len(starts) - 1
    # Of every neighbour of the vertex at hand: which vertex that is, which face met it first, uses out and in.
    seen = np.full((count, 4), -1, np.int32)
    boundary, crowded, flipped, pinched, opposite = 0, 0, 0, 0, 0
    for vertex in range(count):
        first, last = starts[vertex], starts[vertex + 1]
        if _is_one_ring(around, first, last):
            continue
        fans = last - first
        for at in range(first, last):
            here = at - first
            joined[here] = here
            for turn in range(2):
                other = around[at, turn]
                if seen[other, 0] != vertex:
                    seen[other, 0], seen[other, 1], seen[other, 2], seen[other, 3] = vertex, here, 0, 0
                seen[other, 2 + turn] += 1
                one, two = _root(joined, here), _root(joined, seen[other, 1])
                if one != two:
                    joined[max(one, two)] = min(one, two)
                    fans -= 1
        is_bad = fans > 1
        pinched += is_bad
        if last - first == 2:
            after, before = around[first, 0], around[first, 1]
            if seen[after, 2] == seen[after, 3] == seen[before, 2] == seen[before, 3] == 1:
                opposite += 1
                is_bad = True
        for at in range(first, last):
            for turn in range(2):
                other = around[at, turn]
                out, back = seen[other, 2], seen[other, 3]
                if other == vertex:  # an edge from a vertex to itself is met at both of its corners
                    back = 0
                if out + back > 2 or out > 1 or back > 1:
                    is_bad = True
                if other >= vertex and out + back > 0:
                    boundary += out + back == 1
                    crowded += out + back > 2
                    flipped += (out > 1) + (back > 1)
                if other >= vertex:
                    seen[other, 2], seen[other, 3] = 0, 0
        if is_bad:
            is_faulty[vertex] = True
    return boundary, crowded, flipped, pinched, opposite


@kernel
def _is_one_ring(around: Index, first: int, last: int) -> bool:
    """Whether each corner's next one, found by the neighbour they share, leads once round all: then nothing is wrong.

    The first corner found stands for all before that neighbour, so with an edge too many the way ends early.
    """
    if not 3 <= last - first <= _LONGEST_RING:
        return False
    at = first
    for _ in range(last - first - 1):
        wanted = around[at, 0]
        if wanted == around[first, 1]:
            return False
        at = first + 1
        while at < last and around[at, 1] != wanted:
            at += 1
        if at == last:
            return False
    is_closed: bool = around[at, 0] == around[first, 1]
    return is_closed


@kernel
def _root(joined: Index, one: int) -> int:
    while joined[one] != one:
        joined[one] = joined[joined[one]]
        one = joined[one]
    return one
