"""Triangles that touch themselves become manifold; positions stay where they are.

Three moves, all combinatorial: doubled and degenerate faces go; at an edge with more than two faces each face is paired
with the neighbour that it encloses solid with, and every fan of faces round a vertex gets a vertex of its own; two
pairs that still share both ends of an edge are told apart by a vertex in the middle of one. Only the faces round faulty
vertices are looked at.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel
from meshing.triangles.halfedges import faults

Points = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def repair(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Closed triangles, manifold again.

    Parameters
    ----------
    vertices, faces
        (V, 3) and (F, 3); every directed edge has as many twins as copies, which closed input has.

    Returns
    -------
    vertices, faces
        With under a few hundred more vertices; unchanged where nothing was wrong, less unused vertices.
    """
    found = faults(faces, len(vertices))
    if not found.is_faulty.any():
        return _compact(vertices, faces)
    is_near = found.is_faulty[faces].any(axis=1)
    far, near = faces[~is_near], faces[is_near].astype(np.int64)
    points, mended, origin = _mended(vertices, near, found.is_faulty)
    # Vertices that were sound keep their place in both parts; the others get new ones behind.
    fresh = np.flatnonzero(origin < 0)
    number = origin.copy()
    number[fresh] = len(vertices) + np.arange(len(fresh))
    return _compact(np.vstack([vertices, points[fresh]]), np.vstack([far, number[mended]]))


def _mended(vertices: Points, faces: Index, is_faulty: Mask) -> tuple[Points, Index, Index]:
    """The faces round faulty vertices, mended, and for each of their vertices the sound one that it was, or −1."""
    used, packed = np.unique(faces, return_inverse=True)
    triangles = _without_doubles(packed.reshape(-1, 3))
    points, origin = vertices[used], np.where(is_faulty[used], -1, used)
    for _ in range(4):
        twin = _twins(points, triangles)
        place, triangles = _one_vertex_per_fan(triangles, twin, origin >= 0)
        points, origin = points[place], origin[place]
        points, triangles, split = _split_parallel_edges(points, triangles)
        origin = np.append(origin, np.full(split, -1))
        if split == 0:
            break
    return points, triangles, origin


def _without_doubles(faces: Index) -> Index:
    """Faces with three different corners, less pairs of the same corners in opposite order."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    while len(faces):
        lowest = faces.argmin(axis=1)
        turned = faces[np.arange(len(faces))[:, None], (lowest[:, None] + np.arange(3)) % 3]
        is_forward = turned[:, 1] < turned[:, 2]
        corners = np.column_stack([turned[:, 0], turned[:, 1:].min(axis=1), turned[:, 1:].max(axis=1)])
        _, same, count = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
        same = same.ravel()
        if count.max() == 1:
            break
        forward = np.bincount(same, weights=is_forward, minlength=len(count)).astype(np.int64)
        surplus = 2 * forward - count  # forward minus backward: what is left when pairs cancel
        keep = np.zeros(len(faces), dtype=bool)
        order = np.argsort(same, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(count)])
        keep[order[bounds[:-1]][count == 1]] = True
        for group in np.flatnonzero(count > 1):
            members = order[bounds[group] : bounds[group + 1]]
            wanted = members[is_forward[members] == (surplus[group] > 0)]
            keep[wanted[: abs(surplus[group])]] = True
        if keep.all():
            break
        faces = faces[keep]
    return faces


def _half_edges(faces: Index) -> tuple[Index, Index]:
    """Start and end of every half-edge; number 3 f + s runs from corner s of face f to the next."""
    return faces.ravel(), np.roll(faces, -1, axis=1).ravel()


def _twins(vertices: Points, faces: Index) -> Index:
    """For every half-edge the half-edge that it is glued to; -1 where none is left."""
    start, end = _half_edges(faces)
    key = np.minimum(start, end) * np.int64(len(vertices)) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    twin = np.full(faces.size, -1, dtype=np.int64)
    room = np.empty(int(np.diff(bounds).max(initial=0)))
    _glue(np.ascontiguousarray(vertices), faces.ravel(), start, end, order, bounds, room, twin)
    return twin


@kernel
def _glue(
    points: Points, corners: Index, start: Index, end: Index, order: Index, bounds: Index, turns: Points, twin: Index
) -> None:
    """Twins of every edge; `order` holds the half-edges edge by edge, `turns` is room for those of one."""
    for edge in range(len(bounds) - 1):
        ring = order[bounds[edge] : bounds[edge + 1]].copy()
        left = len(ring)
        if left == 2 and start[ring[0]] == end[ring[1]]:
            twin[ring[0]], twin[ring[1]] = ring[1], ring[0]
            continue
        low = min(start[ring[0]], end[ring[0]])
        _sort_round_edge(points, corners, ring, low, max(start[ring[0]], end[ring[0]]), turns)
        # A face that runs forward has its outward normal counter-clockwise, so solid lies between a backward face and
        # the next forward one.
        at = 0
        while left > 1 and at < left:
            after = (at + 1) % left
            one, other = ring[at], ring[after]
            if start[one] == low or start[other] != low:
                at += 1
                continue
            twin[one], twin[other] = other, one
            left = _without(ring, left, max(at, after))
            left = _without(ring, left, min(at, after))
            at = 0


@kernel
def _without(ring: Index, count: int, gone: int) -> int:
    """Moves what stands behind `gone` one place forward; what is left of `count`."""
    for at in range(gone, count - 1):
        ring[at] = ring[at + 1]
    return count - 1


@kernel
def _sort_round_edge(points: Points, corners: Index, ring: Index, low: int, high: int, turns: Points) -> None:
    """Half-edges of one crowded edge, sorted by the angle of their faces round it, in place."""
    axis = points[high] - points[low]
    axis /= max(np.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2), 1e-30)
    arms = np.empty((len(ring), 3))
    reference, longest = 0, -1.0
    for at in range(len(ring)):
        half = ring[at]
        arm = points[corners[half - half % 3 + (half + 2) % 3]] - points[low]
        arm -= (arm[0] * axis[0] + arm[1] * axis[1] + arm[2] * axis[2]) * axis
        arms[at] = arm
        length = arm[0] ** 2 + arm[1] ** 2 + arm[2] ** 2
        if length > longest:
            reference, longest = at, length
    x, y, z = arms[reference]
    across_x, across_y, across_z = axis[1] * z - axis[2] * y, axis[2] * x - axis[0] * z, axis[0] * y - axis[1] * x
    for at in range(len(ring)):
        arm, half = arms[at], ring[at]
        turn = np.arctan2(
            arm[0] * across_x + arm[1] * across_y + arm[2] * across_z, arm[0] * x + arm[1] * y + arm[2] * z
        )
        place = at
        while place > 0 and turns[place - 1] > turn:
            turns[place], ring[place] = turns[place - 1], ring[place - 1]
            place -= 1
        turns[place], ring[place] = turn, half


def _one_vertex_per_fan(faces: Index, twin: Index, is_whole: Mask) -> tuple[Index, Index]:
    """Corners joined across glued edges share a vertex; other corners at that place get copies.

    Parameters
    ----------
    is_whole
        Vertices that stay one, because faces round them are missing here.

    Returns
    -------
    place, faces
        The old vertex of each new one, and faces by new vertices.
    """
    corners = faces.ravel()
    fan = np.empty(corners.size, np.int64)
    count = _fans_of(corners, twin, is_whole, np.full(len(is_whole), -1, np.int64), fan)
    place = np.empty(count, dtype=np.int64)
    place[fan] = corners
    return place, fan.reshape(-1, 3)


@kernel
def _fans_of(corners: Index, twin: Index, is_whole: Mask, first: Index, fan: Index) -> int:
    """The number of each corner's fan, counted by first corners, and how many there are; `first` is −1 throughout."""
    for corner in range(len(corners)):
        fan[corner] = corner
    for corner in range(len(corners)):
        vertex, other = corners[corner], twin[corner]
        if is_whole[vertex]:
            first[vertex] = corner if first[vertex] < 0 else first[vertex]
            _join(fan, corner, first[vertex])
        if other >= 0:
            _join(fan, corner, other - other % 3 + (other + 1) % 3)
            _join(fan, corner - corner % 3 + (corner + 1) % 3, other)
    count = 0
    for corner in range(len(corners)):
        if fan[corner] == corner:
            fan[corner] = count
            count += 1
        else:
            fan[corner] = fan[fan[corner]]
    return count


@kernel
def _join(fan: Index, one: int, other: int) -> None:
    """Both corners' chains end at the lower of their two ends; chains only lead down."""
    while fan[one] != one:
        fan[one] = fan[fan[one]]
        one = fan[one]
    while fan[other] != other:
        fan[other] = fan[fan[other]]
        other = fan[other]
    fan[max(one, other)] = min(one, other)


def _split_parallel_edges(vertices: Points, faces: Index) -> tuple[Points, Index, int]:
    """Edges still crowded: two sheets share both ends. One sheet gets a middle vertex."""
    start, end = _half_edges(faces)
    key = np.minimum(start, end) * np.int64(len(vertices)) + np.maximum(start, end)
    _, group, count = np.unique(key, return_inverse=True, return_counts=True)
    crowded = np.flatnonzero(count[group] > 2)
    if len(crowded) == 0:
        return vertices, faces, 0
    twin = _twins(vertices, faces)
    middles: list[Points] = []
    fresh: list[tuple[int, int, int]] = []
    gone: set[int] = set()
    seen: set[int] = set()
    for half in crowded.tolist():
        other = int(twin[half])
        edge = int(group[half])
        if other < 0 or half > other:
            continue
        if edge not in seen:  # the first pair of an edge keeps it
            seen.add(edge)
            continue
        if half // 3 in gone or other // 3 in gone:
            continue
        middle = len(vertices) + len(middles)
        middles.append((vertices[start[half]] + vertices[end[half]]) / 2)
        for side in (half, other):
            face, at = divmod(side, 3)
            a, b, c = (int(faces[face, (at + step) % 3]) for step in range(3))
            fresh += [(a, middle, c), (middle, b, c)]
            gone.add(face)
    kept = np.delete(faces, sorted(gone), axis=0)
    if middles:
        vertices = np.vstack([vertices, np.array(middles)])
        kept = np.vstack([kept, np.array(fresh, dtype=np.int64)])
    return vertices, kept, len(middles)


def _compact(vertices: Points, faces: npt.NDArray[np.integer]) -> tuple[Points, Faces]:
    is_used = np.zeros(len(vertices), dtype=bool)
    is_used[faces] = True
    if is_used.all():
        return vertices, faces.astype(np.int32)
    number = np.cumsum(is_used) - 1
    return vertices[is_used], number[faces].astype(np.int32)
