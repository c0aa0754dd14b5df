"""How triangles hang together: faults of edges and vertices, counted round each vertex, and the volume within.

Each vertex has its corners in one row; a face at a vertex joins two neighbours of it, so one walk along the row sees
all uses of its edges, and how many fans its faces form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError
from meshing.threads import kernel

Index = npt.NDArray[np.int32]


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
    corners = np.empty(triangles.size, np.int32)
    most = _corners_of(triangles, starts, corners)
    boundary, crowded, flipped, pinched, folded = _faults_of(
        triangles, starts, corners, np.empty(most, np.int32), is_faulty
    )
    return Faults(int(boundary), int(crowded), int(flipped), int(pinched), int(folded), is_faulty)


def signed_volume_mm3(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> float:
    """Volume by the divergence theorem about the vertices' mean; positive when faces look outward.

    Raises
    ------
    SurfaceError
        If faces name vertices that are not there.
    """
    points = np.ascontiguousarray(vertices, dtype=np.float64).view()
    points.setflags(write=False)
    triangles = _inside(faces, len(points))
    return float(_volume(points, triangles)) if len(triangles) else 0.0


def _inside(faces: npt.ArrayLike, count: int) -> Index:
    """Faces as a read-only view, so that compiled code meets one kind of array; it does not watch bounds."""
    triangles: Index = np.ascontiguousarray(faces, dtype=np.int32).view()
    triangles.setflags(write=False)
    if triangles.shape[1:] != (3,):
        raise SurfaceError(f"faces of shape {triangles.shape} are not (F, 3)")
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= count):
        raise SurfaceError(f"faces name vertices {triangles.min()} to {triangles.max()} of {count}")
    return triangles


@kernel
def _volume(points: npt.NDArray[np.float64], faces: Index) -> float:
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
def _corners_of(faces: Index, starts: Index, corners: Index) -> int:
    """Corners (3 f + s) of every vertex, in rows; the longest row's length."""
    for face in range(len(faces)):
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
            corners[starts[vertex]] = 3 * face + side
    return most


@kernel
def _faults_of(
    faces: Index, starts: Index, corners: Index, joined: Index, is_faulty: npt.NDArray[np.bool_]
) -> tuple[int, int, int, int, int]:
    """Counts of `Faults`, in its order; `joined` is room for the fans of one vertex (union-find)."""
    count = len(starts) - 1
    # Of every neighbour of the vertex at hand: which vertex that is, which face met it first, uses out and in.
    seen = np.full((count, 4), -1, np.int32)
    boundary, crowded, flipped, pinched, folded = 0, 0, 0, 0, 0
    for vertex in range(count):
        first, last = starts[vertex], starts[vertex + 1]
        fans = last - first
        for at in range(first, last):
            face, side = corners[at] // 3, corners[at] % 3
            after, before = faces[face, (side + 1) % 3], faces[face, (side + 2) % 3]
            is_thin = after == before
            is_thin |= after == vertex
            is_thin |= before == vertex
            if side == 0 and is_thin:
                folded += 1
                is_faulty[vertex] = is_faulty[after] = is_faulty[before] = True
            here = at - first
            joined[here] = here
            for turn in range(2):
                other = after if turn == 0 else before
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
            face, side = corners[first] // 3, corners[first] % 3
            after, before = faces[face, (side + 1) % 3], faces[face, (side + 2) % 3]
            if seen[after, 2] == seen[after, 3] == seen[before, 2] == seen[before, 3] == 1:
                folded += 1
                is_bad = True
        for at in range(first, last):
            face, side = corners[at] // 3, corners[at] % 3
            for turn in range(1, 3):
                other = faces[face, (side + turn) % 3]
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
    return boundary, crowded, flipped, pinched, folded


@kernel
def _root(joined: Index, one: int) -> int:
    while joined[one] != one:
        joined[one] = joined[joined[one]]
        one = joined[one]
    return one
