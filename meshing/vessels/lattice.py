"""The voxels of a lumen as a graph: 26 neighbours each, cheapest paths, and what a path explains of the lumen.

In: a mask in patient order and the radius at each of its voxels. Out: numbers of voxels; no millimetres of the patient.
A voxel is known by its row in the list of all voxels of the mask, in the order in which memory holds them.

References
----------
Dijkstra, Numerische Mathematik 1 (1959). Sato et al., "TEASAR", Pacific Graphics (2000), for paths that explain what
lies within their spheres; here a sphere explains only what hangs together with its centre inside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel
from meshing.voxels.upright import Mask, Spacing

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

NOWHERE = -1


class Lattice(NamedTuple):
    """Voxels of a mask and who lies beside whom.

    Parameters
    ----------
    voxels
        (N, 3) int64, where each voxel lies in the mask.
    places
        (N, 3) float64, mm along the axes of the mask.
    beside
        (N, 26) int32, the rows of the neighbours; -1 where there is none.
    steps_mm
        (26,), the way to each neighbour.
    """

    voxels: Index
    places: Floats
    beside: npt.NDArray[np.int32]
    steps_mm: Floats


def lattice_of(mask: Mask, spacing_mm: Spacing) -> Lattice:
    """The graph of a mask."""
    index = np.argwhere(mask.T)[:, ::-1].astype(np.int64)  # x runs fastest, as memory does
    rows = np.full([n + 2 for n in mask.shape], NOWHERE, np.int32, order="F")
    rows[tuple((index + 1).T)] = np.arange(len(index), dtype=np.int32)
    ways = np.array([way for way in np.ndindex(3, 3, 3) if way != (1, 1, 1)], np.int64) - 1
    strides = np.array([1, rows.shape[0], rows.shape[0] * rows.shape[1]], np.int64)
    beside = np.empty((len(index), len(ways)), np.int32)
    _look_beside((index + 1) @ strides, rows.ravel(order="F"), ways @ strides, beside)
    spacing = np.asarray(spacing_mm, np.float64)
    return Lattice(index, index * spacing, beside, np.linalg.norm(ways * spacing, axis=1))


@kernel
def _look_beside(at: Array, rows: Array, ways: Array, beside: Array) -> None:
    for row in range(len(at)):
        for way in range(len(ways)):
            beside[row, way] = rows[at[row] + ways[way]]


class Reached(NamedTuple):
    """The cheapest ways from the starts.

    Parameters
    ----------
    before
        (N,) int32, the voxel before on the way; -1 at starts and where nothing leads.
    length_mm
        (N,), of the way; infinite where nothing leads.
    """

    before: npt.NDArray[np.int32]
    length_mm: Floats


def cheapest_ways(lattice: Lattice, price: Floats, starts: npt.ArrayLike) -> Reached:
    """The cheapest way to every voxel from the nearest of the starts; a step costs its length times the mean price."""
    count = len(lattice.voxels)
    before, length = np.full(count, NOWHERE, np.int32), np.full(count, np.inf)
    paid = np.full(count, np.inf)
    _spread(np.atleast_1d(np.asarray(starts, np.int64)), lattice.beside, lattice.steps_mm, price, paid, before, length)
    return Reached(before, length)


@kernel
def _spread(
    starts: Array, beside: Array, steps: Array, price: Array, paid: Array, before: Array, length: Array
) -> None:
    """Dijkstra with a binary heap; entries that were overtaken stay in it and are skipped."""
    room = 1024
    keys, rows = np.empty(room), np.empty(room, np.int64)
    size = 0
    for start in starts:
        paid[start], length[start] = 0.0, 0.0
        keys[size], rows[size] = 0.0, start
        size += 1
    while size > 0:
        key, row = keys[0], rows[0]
        size -= 1
        _sink(keys, rows, size, keys[size], rows[size])
        if key > paid[row]:
            continue
        if size + 32 > room:
            room *= 2
            more_keys, more_rows = np.empty(room), np.empty(room, np.int64)
            more_keys[:size], more_rows[:size] = keys[:size], rows[:size]
            keys, rows = more_keys, more_rows
        for way in range(beside.shape[1]):
            other = beside[row, way]
            if other < 0:
                continue
            cost = key + steps[way] * 0.5 * (price[row] + price[other])
            if cost < paid[other]:
                paid[other], before[other], length[other] = cost, row, length[row] + steps[way]
                _rise(keys, rows, size, cost, other)
                size += 1


@kernel
def _rise(keys: Array, rows: Array, at: int, key: float, row: int) -> None:
    """Put an entry into the heap at its end."""
    while at > 0:
        above = (at - 1) // 2
        if keys[above] <= key:
            break
        keys[at], rows[at] = keys[above], rows[above]
        at = above
    keys[at], rows[at] = key, row


@kernel
def _sink(keys: Array, rows: Array, size: int, key: float, row: int) -> None:
    """Put an entry in place of the heap's first."""
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], rows[at] = keys[below], rows[below]
        at = below
    keys[at], rows[at] = key, row


class Skeleton(NamedTuple):
    """Voxels on the paths that were kept, from the start outward.

    Parameters
    ----------
    rows
        (M,) voxels of the lattice; who stands before stands earlier.
    before
        (M,) the entry before on its path; -1 at the start.
    owner
        (N,) for every voxel of the lattice the entry whose sphere holds it best; -1 where none does.
    """

    rows: Index
    before: Index
    owner: npt.NDArray[np.int32]


class Keeping(NamedTuple):
    """What counts as a branch.

    Parameters
    ----------
    margin_mm
        What lies within a sphere grown by so much is not asked about.
    least_ratio, least_mm
        A branch reaches out of the spheres of the rest by this many of its own radii and so much more.
    """

    margin_mm: float
    least_ratio: float
    least_mm: float


def skeleton_of(lattice: Lattice, reached: Reached, radius_mm: Floats, keeping: Keeping, goals: Index) -> Skeleton:
    """The paths that explain the lumen, longest first.

    Parameters
    ----------
    radius_mm
        (N,), of the sphere round each voxel.
    goals
        Voxels that paths must reach; when there are any, no others are looked for.
    """
    count = len(lattice.voxels)
    order = np.argsort(-np.where(np.isfinite(reached.length_mm), reached.length_mm, -1.0), kind="stable")
    order = order[np.isfinite(reached.length_mm[order])]
    place, slack = np.full(count, NOWHERE, np.int32), np.full(count, -np.inf)
    owner = np.full(count, NOWHERE, np.int32)
    rows, before = np.empty(count, np.int64), np.full(count, NOWHERE, np.int64)
    asked = goals if len(goals) else order
    made = _explain(
        asked, len(goals) > 0, lattice.places, lattice.beside, reached.before, radius_mm,
        np.array(keeping, np.float64), place, slack, owner, rows, before,
    )  # fmt: skip
    return Skeleton(rows[:made].copy(), before[:made].copy(), owner)


@kernel
def _explain(
    asked: Array,
    is_wanted: bool,
    places: Array,
    beside: Array,
    back: Array,
    radius: Array,
    keeping: Array,
    place: Array,
    slack: Array,
    owner: Array,
    rows: Array,
    before: Array,
) -> int:
    """Trace each asked voxel that nothing explains back to the skeleton; keep its path if it reaches out enough."""
    margin, ratio, least = keeping[0], keeping[1], keeping[2]
    made = 0
    stack, way = np.empty(1024, np.int64), np.empty(len(places), np.int64)
    for tip in asked:
        if place[tip] >= 0 or (slack[tip] >= 0.0 and not is_wanted):
            continue
        count, at = 0, tip
        while at >= 0 and place[at] < 0:
            way[count] = at
            count += 1
            at = back[at]
        root = place[at] if at >= 0 else -1
        # How far it goes outside the spheres of all others, and how fat it is there.
        out, fattest = 0.0, 0.0
        for step in range(count):
            if slack[way[step]] < margin:
                fattest = max(fattest, radius[way[step]])
                if step > 0:
                    out += _apart(places, way[step], way[step - 1])
        is_branch = root < 0 or is_wanted or out >= ratio * fattest + least
        for step in range(count - 1, -1, -1):
            row = way[step]
            number = root
            if is_branch:
                place[row], rows[made], before[made] = made, row, root
                number, root = made, made
                made += 1
            stack = _flood(row, number, radius[row] + margin, places, beside, slack, owner, stack)
    return made


@kernel
def _apart(places: Array, one: int, other: int) -> float:
    x, y, z = (
        places[one, 0] - places[other, 0],
        places[one, 1] - places[other, 1],
        places[one, 2] - places[other, 2],
    )
    return float(np.sqrt(x * x + y * y + z * z))


@kernel
def _flood(
    centre: int, number: int, reach: float, places: Array, beside: Array, slack: Array, owner: Array, stack: Array
) -> Array:
    """Explain what hangs together with a centre inside its sphere; returns the stack, which may have grown."""
    if reach > slack[centre]:
        slack[centre], owner[centre] = reach, number
    size = 1
    stack[0] = centre
    while size > 0:
        size -= 1
        row = stack[size]
        if size + 32 > len(stack):
            more = np.empty(2 * len(stack), np.int64)
            more[:size] = stack[:size]
            stack = more
        for way in range(beside.shape[1]):
            other = beside[row, way]
            if other < 0:
                continue
            left = reach - _apart(places, other, centre)
            if left >= 0.0 and left > slack[other] + 1e-9:
                slack[other], owner[other] = left, number
                stack[size] = other
                size += 1
    return stack
