"""The skeleton of a lumen cut into segments from node to node, and the ways round that its tree leaves out.

In: a `Skeleton` on a `Lattice`. Out: segments as entries of the skeleton, and contacts: places where two segments touch
that come together elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel
from meshing.vessels.lattice import Array, Floats, Index, Lattice, Skeleton

_SHORT_RADII = 0.5
_APART_RADII, _APART_VOXELS = 2.5, 4.0
_GAPS = np.linspace(0.0, 0.95, 20)
_CLUMP_VOXELS = 1.5


@dataclass(frozen=True, eq=False)
class Segment:
    """Entries of the skeleton from node to node, both with it; `parent` numbers the segment before, or is -1."""

    entries: Index
    parent: int


def segments_of(skeleton: Skeleton, places: Floats, radius_mm: Floats, voxel_mm: float) -> list[Segment]:
    """The segments, parents before children; those much shorter than their node is wide are no segments of their own.

    Parameters
    ----------
    places, radius_mm
        (M, 3) and (M,), of the skeleton's entries.
    """
    before = skeleton.before
    fans = np.bincount(before[before >= 0], minlength=len(before))
    is_node = (fans != 1) | (before < 0)
    entries: list[list[int]] = []
    parents: list[int] = []
    segment = np.full(len(before), -1)
    for entry, back in enumerate(before.tolist()):
        if back < 0:
            continue
        if is_node[back]:
            segment[entry] = len(entries)
            entries.append([back])
            parents.append(int(segment[back]))
        else:
            segment[entry] = segment[back]
        entries[segment[entry]].append(entry)
    found = [Segment(np.array(one, np.int64), parent) for one, parent in zip(entries, parents, strict=True)]
    return _without_short(found, places, radius_mm, voxel_mm)


def _without_short(segments: list[Segment], places: Floats, radius_mm: Floats, voxel_mm: float) -> list[Segment]:
    kept: dict[int, Segment] = {}
    has_children = {segment.parent for segment in segments}
    short: set[int] = set()
    for number, segment in enumerate(segments):
        if segment.parent in short:
            back = kept[segment.parent]
            segment = Segment(np.concatenate([back.entries[:-1], segment.entries]), back.parent)
        kept[number] = segment
        way = np.linalg.norm(np.diff(places[segment.entries], axis=0), axis=1).sum()
        is_narrow = way < max(_SHORT_RADII * radius_mm[segment.entries[0]], 2.0 * voxel_mm)
        if is_narrow and number in has_children and segment.parent >= 0:
            short.add(number)
    numbers = [number for number in kept if number not in short]
    place = {number: at for at, number in enumerate(numbers)} | {-1: -1}
    return [replace(kept[number], parent=place[kept[number].parent]) for number in numbers]


@dataclass(frozen=True, eq=False)
class Contact:
    """Where two parts of the skeleton touch that come together only a long way round.

    Parameters
    ----------
    row
        The voxel of the lattice in the middle of where they touch.
    way
        Entries of the skeleton from one part to the other.
    """

    row: int
    way: Index


def contacts_of(lattice: Lattice, skeleton: Skeleton, radius_mm: Floats, voxel_mm: float) -> list[Contact]:
    """The ways round of the lumen, one contact each.

    Parameters
    ----------
    radius_mm
        (N,), of the lattice's voxels.
    """
    places, radii = lattice.places[skeleton.rows], radius_mm[skeleton.rows]
    depth = _depths(skeleton.before, places)
    pairs = _far_pairs(
        lattice.beside, skeleton.owner, skeleton.before, places, radii, depth,
        np.array([_APART_RADII, _APART_VOXELS * voxel_mm, 1.5 * max(lattice.steps_mm)]),
    )  # fmt: skip
    found = []
    for clump in _clumps(pairs, lattice.places, _CLUMP_VOXELS * float(lattice.steps_mm.max())):
        row, other = max(clump.tolist(), key=lambda pair: (radius_mm[pair[0]] + radius_mm[pair[1]], -pair[0]))
        way = _way_between(skeleton.before, depth, int(skeleton.owner[row]), int(skeleton.owner[other]))
        if _gap_mm(places[way], radii[way]) > voxel_mm:
            found.append(Contact(int(row), way))
    return found


def _depths(before: Index, places: Floats) -> Floats:
    depth = np.zeros(len(before))
    for entry, back in enumerate(before.tolist()):
        if back >= 0:
            depth[entry] = depth[back] + np.linalg.norm(places[entry] - places[back])
    return depth


@kernel
def _far_pairs(
    beside: Array, owner: Array, before: Array, places: Array, radii: Array, depth: Array, limits: Array
) -> npt.NDArray[np.int64]:
    """Neighbouring voxels whose owners are far apart along the skeleton."""
    room, size = 1024, 0
    pairs = np.empty((room, 2), np.int64)
    for row in range(len(owner)):
        one = owner[row]
        if one < 0:
            continue
        for way in range(13):
            other_row = beside[row, way]
            if other_row < 0:
                continue
            other = owner[other_row]
            if other < 0 or other == one:
                continue
            x, y, z = (
                places[one, 0] - places[other, 0],
                places[one, 1] - places[other, 1],
                places[one, 2] - places[other, 2],
            )
            straight = np.sqrt(x * x + y * y + z * z)
            if straight < limits[2]:
                continue
            limit = max(limits[0] * (radii[one] + radii[other]) + limits[1], 2.0 * straight)
            a, b, gone = one, other, 0.0
            while a != b and gone <= limit and a >= 0 and b >= 0:
                if depth[a] >= depth[b]:
                    back = before[a]
                    gone += depth[a] - depth[max(back, 0)] if back >= 0 else limit
                    a = back
                else:
                    back = before[b]
                    gone += depth[b] - depth[max(back, 0)] if back >= 0 else limit
                    b = back
            if gone > limit:
                if size == room:
                    room *= 2
                    more = np.empty((room, 2), np.int64)
                    more[:size] = pairs
                    pairs = more
                pairs[size, 0], pairs[size, 1] = row, other_row
                size += 1
    return pairs[:size].copy()


def _clumps(pairs: Index, places: Floats, reach_mm: float) -> list[Index]:
    """Pairs that lie beside each other, together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    if not len(pairs):
        return []
    tree = cKDTree((places[pairs[:, 0]] + places[pairs[:, 1]]) / 2.0)
    near = tree.query_pairs(reach_mm, output_type="ndarray")
    graph = coo_matrix((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(pairs), len(pairs)))
    count, number = connected_components(graph, directed=False)
    return [pairs[number == clump] for clump in range(count)]


def _way_between(before: Index, depth: Floats, one: int, other: int) -> Index:
    """Entries from one to the other along the skeleton."""
    left, right = [one], [other]
    while left[-1] != right[-1]:
        if depth[left[-1]] >= depth[right[-1]]:
            left.append(int(before[left[-1]]))
        else:
            right.append(int(before[right[-1]]))
    return np.array([*left, *right[-2::-1]], np.int64)


def _gap_mm(places: Floats, radii: Floats) -> float:
    """By how much the two halves of a way part between its ends, which touch, walked from both ends at once.

    Where two vessels leave a node at a narrow angle they touch all the way from there: no gap, and no way round.
    """
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    ahead, behind = 0.5 * _GAPS * arc[-1], (1.0 - 0.5 * _GAPS) * arc[-1]

    def at(values: Floats, where: Floats) -> Floats:
        return np.interp(where, arc, values)

    apart = np.stack([at(places[:, axis], ahead) - at(places[:, axis], behind) for axis in range(3)])
    gaps = np.linalg.norm(apart, axis=0) - at(radii, ahead) - at(radii, behind)
    return float(gaps.max() - max(float(gaps[0]), 0.0))
