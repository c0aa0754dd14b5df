"""Where a tree begins when nobody said so: the thickest end of each part of a lumen, or the end of its fattest vessel.

In: a lumen as a `Lattice` and the radius at each voxel. Out: a row of the lattice for each part, and the rags beyond.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.vessels.lattice import Floats, Index, Keeping, Lattice, Skeleton, cheapest_ways, skeleton_of
from meshing.vessels.lumen import Lumen
from meshing.vessels.segments import Segment, segments_of
from meshing.volume import Fact

_KEEPING_RATIO = 2.0
_MARGIN_VOXELS = 1.0
_FAT_END = 0.5
_RAG_RADII, _AXIS_RADII = 3.0, 1.5
_FULL = 0.8  # of its median radius: there a fat vessel is still itself, and no rag
_OPEN_END = 4.0 / 3.0  # what an end at the edge of the scan counts for: vessels do not end, scans do


class Roots(NamedTuple):
    """Where trees begin.

    Parameters
    ----------
    rows
        A row of the lattice for each part of the lumen.
    is_rag
        bool (N,): what lies beyond a root, where the mask of a fat vessel ends in rags.
    facts
        What was taken for rags.
    """

    rows: Index
    is_rag: npt.NDArray[np.bool_]
    facts: list[Fact]


def price_of(radius: Floats, voxel_mm: float) -> Floats:
    """What a step costs: the middle of a vessel is the cheapest way, however wide the vessel is."""
    price: Floats = 1.0 / np.square(radius + 0.1 * voxel_mm)
    return price


def keeping_in(lumen: Lumen) -> Keeping:
    """What counts as a branch of this lumen."""
    return Keeping(_MARGIN_VOXELS * lumen.voxel_mm, _KEEPING_RATIO, max(lumen.spacing_mm))


def found_roots(lumen: Lumen, lattice: Lattice, radius: Floats, part: Index) -> Roots:
    """The thickest end of every part; where all ends are thin, the end of its fattest vessel, or one beyond.

    Parameters
    ----------
    part
        (N,), the connected part of every voxel.
    """
    starts, skeleton = _from_any_end(lumen, lattice, radius, part)
    places, radii = lattice.places[skeleton.rows], radius[skeleton.rows]
    fans = np.bincount(skeleton.before[skeleton.before >= 0], minlength=len(skeleton.rows))
    ends = np.flatnonzero((fans == 0) | ((fans == 1) & (skeleton.before < 0)))
    thickness = np.array([_thickness(lattice, skeleton, fans, radius, int(end)) for end in ends])
    is_open = ((places[ends] < lumen.low_mm) | (places[ends] > lumen.high_mm)).any(axis=1)
    worth = np.where(is_open, _OPEN_END, 1.0) * thickness
    segments = segments_of(skeleton, places, radii, lumen.voxel_mm)
    rows, is_rag = starts.copy(), np.zeros(len(radius), np.bool_)
    of_part = part[skeleton.rows]
    ragged = []
    for number in np.unique(of_part).tolist():
        own = of_part[ends] == number
        if not own.any():
            continue
        pieces = [one for one in segments if of_part[one.entries[-1]] == number]
        best, thick = int(ends[own][worth[own].argmax()]), float(thickness[own].max())
        fattest = _fattest(pieces, radii)
        if fattest >= 0 and thick < _FAT_END * float(np.median(radii[pieces[fattest].entries])):
            # An aorta in whose mask the heart ends in rags: all ends are thin.
            beyond, at_last = _shorter_side(pieces, fattest, places)
            entry, rags = _end_of_fattest(pieces, fattest, at_last, beyond, places, radii)
            if len(rags):
                best = entry
                is_rag |= _beyond(
                    lattice, skeleton, radius, entry, rags, pieces[fattest].entries[:: -1 if at_last else 1]
                )
                ragged.append(int(np.isin(ends[own], rags).sum()))
            elif (there := own & np.isin(ends, beyond)).any():
                best = int(ends[there][worth[there].argmax()])
        rows[number] = skeleton.rows[best]
    if not ragged:
        return Roots(rows, is_rag, [])
    text = f"{len(ragged)} fat vessels end in rags, {sum(ragged)} ends in all: left out, roots there"
    return Roots(rows, is_rag, [Fact("rags", text, {"vessels": len(ragged), "ends": sum(ragged)})])


def _from_any_end(lumen: Lumen, lattice: Lattice, radius: Floats, part: Index) -> tuple[Index, Skeleton]:
    """An end of each part, and the skeleton from there."""
    price = price_of(radius, lumen.voxel_mm)
    starts = _first_of_parts(part, radius)
    far = cheapest_ways(lattice, price, starts).length_mm
    starts = _first_of_parts(part, far)  # an end each: none is hidden in its sphere
    reached = cheapest_ways(lattice, price, starts)
    return starts, skeleton_of(lattice, reached, radius, keeping_in(lumen), np.zeros(0, np.int64))


def _first_of_parts(part: Index, worth: Floats) -> Index:
    """The voxel of the greatest worth in every part."""
    order = np.lexsort((np.arange(len(part)), -worth.round(6), part))
    first: Index = order[np.searchsorted(part[order], np.arange(part.max() + 1))]
    return first


def _fattest(segments: list[Segment], radii: Floats) -> int:
    return int(np.argmax([np.median(radii[one.entries]) for one in segments])) if segments else -1


def _shorter_side(segments: list[Segment], fattest: int, places: Floats) -> tuple[Index, bool]:
    """Entries on that side of the fattest vessel where less hangs, and whether it is the side of its last entry."""
    way = [float(np.linalg.norm(np.diff(places[one.entries], axis=0), axis=1).sum()) for one in segments]
    nodes, after = {int(segments[fattest].entries[-1])}, {fattest}
    for at, one in enumerate(segments):
        if at != fattest and int(one.entries[0]) in nodes:
            nodes.add(int(one.entries[-1]))
            after.add(at)
    length = sum(way[at] for at in after) - way[fattest]
    is_after = length <= sum(way) - way[fattest] - length
    side = [one.entries for at, one in enumerate(segments) if at != fattest and (at in after) == is_after]
    own = segments[fattest].entries[[-1 if is_after else 0]]
    return np.unique(np.concatenate([own, *side])), is_after


def _end_of_fattest(
    segments: list[Segment], fattest: int, at_last: bool, beyond: Index, places: Floats, radii: Floats
) -> tuple[int, Index]:
    """The last entry of the fattest vessel that is of its full width, and the rags beyond; none if they reach far."""
    inward = segments[fattest].entries[:: -1 if at_last else 1]
    wide = float(np.median(radii[inward]))
    first = int(np.flatnonzero(radii[inward] >= _FULL * wide)[0])
    rags = np.union1d(beyond, inward[:first])
    rags = rags[rags != inward[first]]
    away = np.linalg.norm(places[rags] - places[inward[first]], axis=1)
    is_far = bool((away > _RAG_RADII * wide).any())
    return int(inward[first]), rags[:0] if is_far else rags


def _beyond(
    lattice: Lattice, skeleton: Skeleton, radius: Floats, root: int, rags: Index, inward: Index
) -> npt.NDArray[np.bool_]:
    """The voxels that hang together with rags beyond the plane across the fattest vessel at its root.

    Parameters
    ----------
    inward
        Entries of the fattest vessel, from its ragged end.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    at, wide = lattice.places[skeleton.rows[root]], float(np.median(radius[skeleton.rows[inward]]))
    inward = inward[int(np.flatnonzero(inward == root)[0]) :]
    ahead = lattice.places[skeleton.rows[inward]] - at
    away = np.linalg.norm(ahead, axis=1)
    ahead = ahead[min(int(np.searchsorted(away, _AXIS_RADII * wide)), len(away) - 1)]
    off = lattice.places - at
    is_beyond = (off @ ahead < 0.0) & (np.linalg.norm(off, axis=1) < (_RAG_RADII + 1.0) * wide)
    rows = np.flatnonzero(is_beyond)
    place = np.full(len(radius) + 1, -1)  # the last stands for no neighbour
    place[rows] = np.arange(len(rows))
    row, way = np.nonzero(place[lattice.beside[rows]] >= 0)
    graph = csr_matrix((np.ones(len(row)), (row, place[lattice.beside[rows][row, way]])), shape=(len(rows), len(rows)))
    number = connected_components(graph, directed=False)[1]
    held = np.unique(number[np.isin(skeleton.owner[rows], rags)])
    is_rag = np.zeros(len(radius), np.bool_)
    is_rag[rows[np.isin(number, held)]] = True
    return is_rag


def _thickness(lattice: Lattice, skeleton: Skeleton, fans: Index, radius: Floats, tip: int) -> float:
    """Median radius of the last stretch before an end: past its cap, four times as long as wide, and of no fork."""
    way, at = [tip], tip
    onward = -1
    if skeleton.before[tip] < 0:  # the start: it is walked from there outward
        onward = int(np.flatnonzero(skeleton.before == tip)[0])
    while True:
        at = int(skeleton.before[at]) if onward < 0 else onward
        if at < 0:
            break
        way.append(at)
        if fans[at] != 1:
            break
        if onward >= 0:
            onward = int(np.flatnonzero(skeleton.before == at)[0])
    rows = skeleton.rows[way]
    radii, places = radius[rows], lattice.places[rows]
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    is_own = np.linalg.norm(places - places[-1], axis=1) >= radii[-1]
    if not is_own.any():
        return float(radii[0])
    wide = float(np.median(radii[is_own]))
    past = is_own & (arc >= wide) & (arc <= 5.0 * wide)
    return float(np.median(radii[past if past.any() else is_own]))
