"""Fronts of several labels that run from markers until they meet: shortest paths over grey steps, and floods.

In: grey levels (uint8) and markers of one shape, x fastest; out: which marker each voxel belongs to. Costs are whole
numbers, so a circle of buckets replaces the heap and the answer is exact for the levels. Large arrays are solved at
half the resolution first, and again at full resolution in the band where labels meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meshing.editing.flooding import neighbour_steps
from meshing.editing.halving import Levels, doubled, halved_any, halved_levels, halved_markers, meeting
from meshing.progress import Progress, part, silent
from meshing.segmentation import Labels
from meshing.threads import kernel, over_rows
from meshing.voxels.upright import Mask, Spacing

Costs = npt.NDArray[np.int32]
Rule = Literal["shortest path", "flood"]

_BUCKETS = 1024
_UNREACHED = np.int32(2**31 - 1)
_CLOSED = np.int32(-1)
_AT_ONCE = 500_000
MOST_AT_ONCE = 1_000_000
"""Voxels above which the work begins at half the resolution."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What fronts run over.

    Parameters
    ----------
    levels
        uint8, shape (X, Y, Z).
    open
        bool, same shape: where they may run.
    rule
        "shortest path": a step costs the difference of levels and its length; who is nearest has the voxel. "flood":
        water rises from the markers, a voxel belongs to whose water comes first.
    """

    levels: Levels
    open: Mask
    spacing_mm: Spacing
    rule: Rule


def settled(ground: Ground, markers: Labels, *, exact: bool = False, progress: Progress = silent) -> Labels:
    """The marker that each open voxel belongs to; 0 where no front comes.

    Parameters
    ----------
    exact
        Solve everything at full resolution, however large. Otherwise what is thinner than two voxels and has no
        marker of its own may be lost.
    """
    labels, _ = _settled(ground, markers, exact, progress)
    return labels[1:-1, 1:-1, 1:-1].copy(order="F")


def _settled(ground: Ground, markers: Labels, exact: bool, progress: Progress) -> tuple[Labels, Costs]:
    """Labels and costs, with a border of one voxel."""
    rows = markers.shape[1] * markers.shape[2]
    padded = tuple(n + 2 for n in markers.shape)
    # Zeros: pages that nothing is written to cost nothing. The border stays closed by `_close`.
    levels, owner = np.zeros(padded, np.uint8, order="F"), np.zeros(padded, markers.dtype, order="F")
    costs = np.empty(padded, np.int32, order="F")
    over_rows(_close, padded[1] * padded[2], costs)
    made = levels, owner, costs
    given = ground.levels, ground.open.view(np.uint8), markers
    if exact or markers.size <= MOST_AT_ONCE:
        over_rows(_begin, rows, given, made)
        return _run(made, ground, progress)
    low = Ground(halved_levels(ground.levels), halved_any(ground.open), doubled(ground.spacing_mm), ground.rule)
    rough, rough_costs = _settled(low, halved_markers(markers), False, part(progress, 0.0, 0.4))
    core = (slice(1, -1),) * 3
    progress(0.4, "growing labels")
    over_rows(_refine, rows, (rough, rough_costs, meeting(rough[core])), given, made)
    return _run(made, ground, part(progress, 0.4, 1.0))


def _run(made: tuple[Levels, Labels, Costs], ground: Ground, progress: Progress) -> tuple[Labels, Costs]:
    """Fronts from every voxel with a cost, through those without one."""
    levels, owner, costs = made
    steps = neighbour_steps(costs.shape)
    sources, total = _sources(costs, steps)
    tolls = _tolls(ground.spacing_mm) if ground.rule == "shortest path" else np.full(6, -1, np.int32)
    front = _Front(total)
    fields = levels.ravel(order="F"), costs.ravel(order="F"), owner.ravel(order="F")
    done = 0
    while True:
        progress(min(done / (total + 1), 0.99), "growing labels")
        pool = front.head, front.tail, front.voxel, front.following, front.state
        now = _advance(fields, (steps, tolls), sources, pool, _AT_ONCE)
        done += now
        if front.state[4]:
            front.widen()
        elif not now:
            break
    return owner, costs


class _Front:
    """Buckets by cost as linked lists in one pool; state: cost now, first free entry, waiting, sources used, full."""

    def __init__(self, voxels: int) -> None:
        size = max(1 << 16, voxels // 8)
        self.head = np.full(_BUCKETS, -1, np.int32)
        self.tail = np.full(_BUCKETS, -1, np.int32)
        self.voxel = np.empty(size, np.int32)
        self.following = np.arange(1, size + 1, dtype=np.int32)
        self.following[-1] = -1
        self.state = np.array([0, 0, 0, 0, 0], np.int64)

    def widen(self) -> None:
        """Twice the pool."""
        old = len(self.voxel)
        self.voxel = np.concatenate([self.voxel, np.empty(old, np.int32)])
        more = np.arange(old + 1, 2 * old + 1, dtype=np.int32)
        more[-1] = self.state[1]
        self.following = np.concatenate([self.following, more])
        self.state[1], self.state[4] = old, 0


def _sources(costs: Costs, steps: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], int]:
    """Flat indices of voxels that have a cost and a neighbour without one, cheapest first, ties in order of place.

    And how many have none.
    """
    found = over_rows(_rim, costs.shape[1] * costs.shape[2], costs.ravel(order="F"), costs.shape[0], steps)
    at = np.concatenate([rim for rim, _ in found])
    order: npt.NDArray[np.int32] = at[np.argsort(costs.ravel(order="F")[at], kind="stable")]
    return order, sum(waiting for _, waiting in found)


@kernel
def _rim(
    first: int, last: int, costs: Costs, width: int, steps: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], int]:
    found = np.empty(1 << 14, np.int32)
    count, waiting = 0, 0
    reach = steps[4]  # one plane: neither the first nor the last has a cost
    flags = np.empty(width, np.uint8)
    for row in range(max(first, reach // width), min(last, (len(costs) - reach) // width)):
        low = row * width
        line = costs[low : low + width]
        here = 0
        for x in range(width):
            here += line[x] == _UNREACHED
        waiting += here
        before, after = costs[low - width : low], costs[low + width : low + 2 * width]
        below, above = costs[low - reach : low - reach + width], costs[low + reach : low + reach + width]
        some = 0
        for x in range(1, width - 1):
            near = (before[x] == _UNREACHED) | (after[x] == _UNREACHED)
            near |= (below[x] == _UNREACHED) | (above[x] == _UNREACHED)
            near |= (line[x - 1] == _UNREACHED) | (line[x + 1] == _UNREACHED)
            flags[x] = near & (line[x] != _UNREACHED) & (line[x] >= 0)
            some += flags[x]
        if not some:
            continue
        if count + some > len(found):
            found = np.concatenate((found, np.empty(len(found) + some, np.int32)))
        for x in range(1, width - 1):
            if flags[x]:
                found[count] = low + x
                count += 1
    return found[:count], waiting


def _tolls(spacing_mm: Spacing) -> Costs:
    """What the length of a step costs: one level for the shortest edge, more along longer ones."""
    steps = np.maximum(np.rint(np.asarray(spacing_mm) / min(spacing_mm)), 1)
    return np.repeat(np.minimum(steps, _BUCKETS - 300), 2).astype(np.int32)


@kernel
def _advance(fields: Any, ways: Any, sources: Costs, front: Any, at_once: int) -> int:
    """Voxels taken from the front, at most `at_once`; 0 when all is settled."""
    levels, costs, owner = fields
    steps, tolls = ways
    head, tail, voxels, following, state = front
    cost, free, waiting, used = state[0], state[1], state[2], state[3]
    done = 0
    while done < at_once and (waiting > 0 or used < len(sources)):
        if waiting == 0:
            cost = max(cost, costs[sources[used]])
        bucket = cost % _BUCKETS
        if used < len(sources) and costs[sources[used]] <= cost:
            voxel = sources[used]
            used += 1
            here = costs[voxel]
        elif head[bucket] >= 0:
            entry = head[bucket]
            head[bucket] = following[entry]
            if head[bucket] < 0:
                tail[bucket] = -1
            voxel, following[entry], free = voxels[entry], free, entry
            waiting -= 1
            here = cost
        else:
            cost += 1
            continue
        done += 1
        if costs[voxel] != here:
            continue
        for way in range(6):
            near = voxel + steps[way]
            if costs[near] <= here:
                continue
            if tolls[way] < 0:
                reach = max(np.int64(here), np.int64(levels[near]))
            else:
                reach = here + tolls[way] + abs(np.int64(levels[near]) - np.int64(levels[voxel]))
            if reach >= costs[near]:
                continue
            costs[near], owner[near] = reach, owner[voxel]
            entry, free = free, following[free]
            voxels[entry], following[entry] = near, -1
            slot = reach % _BUCKETS
            if tail[slot] < 0:
                head[slot] = entry
            else:
                following[tail[slot]] = entry
            tail[slot] = entry
            waiting += 1
        if waiting + 6 > len(following):  # one voxel may need six entries
            state[4] = 1
            break
    state[0], state[1], state[2], state[3] = cost, free, waiting, used
    return done


@kernel
def _close(first: int, last: int, costs: Any) -> None:
    y_count = costs.shape[1]
    for row in range(first, last):
        costs[:, row % y_count, row // y_count] = _CLOSED


@kernel
def _begin(first: int, last: int, given: Any, made: Any) -> None:
    """Levels, labels and costs within their border: markers cost nothing."""
    levels, may_run, markers = given
    y_count = markers.shape[1]
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        for x in range(markers.shape[0]):
            made[0][x + 1, y + 1, z + 1] = levels[x, y, z]
            made[1][x + 1, y + 1, z + 1] = markers[x, y, z]
            if markers[x, y, z]:
                made[2][x + 1, y + 1, z + 1] = 0
            elif may_run[x, y, z]:
                made[2][x + 1, y + 1, z + 1] = _UNREACHED


@kernel
def _refine(first: int, last: int, rough: Any, given: Any, made: Any) -> None:
    """The same from blocks: only where rough labels meet has a front to come again."""
    rough_labels, rough_costs, meets = rough
    levels, may_run, markers = given
    y_count = markers.shape[1]
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        for x in range(markers.shape[0]):
            made[0][x + 1, y + 1, z + 1] = levels[x, y, z]
            if markers[x, y, z]:
                made[1][x + 1, y + 1, z + 1], made[2][x + 1, y + 1, z + 1] = markers[x, y, z], 0
            elif not may_run[x, y, z]:
                continue
            elif meets[x // 2, y // 2, z // 2]:
                made[2][x + 1, y + 1, z + 1] = _UNREACHED
            elif rough_labels[x // 2 + 1, y // 2 + 1, z // 2 + 1]:
                made[1][x + 1, y + 1, z + 1] = rough_labels[x // 2 + 1, y // 2 + 1, z // 2 + 1]
                made[2][x + 1, y + 1, z + 1] = rough_costs[x // 2 + 1, y // 2 + 1, z // 2 + 1]
