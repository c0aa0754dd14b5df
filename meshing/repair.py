"""Triangles that touch themselves become manifold; positions stay where they are.

Three moves, all combinatorial: doubled and degenerate faces go; at an edge with more than two faces each face is paired
with the neighbour that it encloses solid with, and every fan of faces round a vertex gets a vertex of its own; two
pairs that still share both ends of an edge are told apart by a vertex in the middle of one. Only the faces round faulty
vertices are looked at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meshing.halfedges import faults
from meshing.surface import Faces

Points = npt.NDArray[np.float64]
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
    sizes = np.diff(bounds)
    twin = np.full(faces.size, -1, dtype=np.int64)
    plain = bounds[:-1][sizes == 2]
    first, second = order[plain], order[plain + 1]
    opposite = start[first] == end[second]
    twin[first[opposite]], twin[second[opposite]] = second[opposite], first[opposite]
    for at in np.flatnonzero((sizes > 2) | ~_opposite(sizes, bounds, order, start, end)):
        members = order[bounds[at] : bounds[at + 1]]
        for one, other in _pair_round_edge(vertices, faces, members, start, end):
            twin[one], twin[other] = other, one
    return twin


def _opposite(sizes: Index, bounds: Index, order: Index, start: Index, end: Index) -> npt.NDArray[np.bool_]:
    right = np.ones(len(sizes), dtype=bool)
    plain = np.flatnonzero(sizes == 2)
    right[plain] = start[order[bounds[plain]]] == end[order[bounds[plain] + 1]]
    return right


def _pair_round_edge(vertices: Points, faces: Index, members: Index, start: Index, end: Index) -> list[tuple[int, int]]:
    """Half-edges of one crowded edge, paired so that each pair bounds one wedge of solid.

    Faces are sorted by their angle round the edge. A face that runs forward along the edge has its outward normal
    counter-clockwise, so solid lies between a backward face and the next forward one.
    """
    low = min(start[members[0]], end[members[0]])
    high = max(start[members[0]], end[members[0]])
    axis = vertices[high] - vertices[low]
    axis = axis / max(float(np.linalg.norm(axis)), 1e-30)
    tip = faces.reshape(-1)[members - members % 3 + (members + 2) % 3]
    arm = vertices[tip] - vertices[low]
    arm = arm - np.outer(arm @ axis, axis)
    reference = arm[int(np.argmax(np.linalg.norm(arm, axis=1)))]
    side = np.cross(axis, reference)
    turn = np.arctan2(arm @ side, arm @ reference)
    ring = members[np.argsort(turn, kind="stable")].tolist()
    is_forward = {half: start[half] == low for half in ring}
    pairs: list[tuple[int, int]] = []
    while len(ring) > 1:
        for at, (one, other) in enumerate(pairwise([*ring, ring[0]])):
            if is_forward[other] and not is_forward[one]:
                pairs.append((one, other))
                del ring[at], ring[ring.index(other)]
                break
        else:
            break
    return pairs


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
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    half = np.flatnonzero(twin >= 0)
    after = half - half % 3 + (half + 1) % 3
    twin_after = twin[half] - twin[half] % 3 + (twin[half] + 1) % 3
    corners = np.argsort(faces.ravel(), kind="stable")
    around = faces.ravel()[corners]
    same = (around[1:] == around[:-1]) & is_whole[around[1:]]
    rows = np.concatenate([half, after, corners[:-1][same]])
    columns = np.concatenate([twin_after, twin[half], corners[1:][same]])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(faces.size, faces.size))
    count, fan = connected_components(graph, directed=False)
    place = np.empty(count, dtype=np.int64)
    place[fan] = faces.ravel()
    return place, fan.astype(np.int64).reshape(-1, 3)


def _split_parallel_edges(vertices: Points, faces: Index) -> tuple[Points, Index, int]:
    """Edges still crowded: two sheets share both ends. One sheet gets a middle vertex."""
    twin = _twins(vertices, faces)
    start, end = _half_edges(faces)
    key = np.minimum(start, end) * np.int64(len(vertices)) + np.maximum(start, end)
    _, group, count = np.unique(key, return_inverse=True, return_counts=True)
    crowded = np.flatnonzero(count[group] > 2)
    if len(crowded) == 0:
        return vertices, faces, 0
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
