"""Fronts of several labels that run from markers until they meet: shortest paths over grey steps, and floods.

In: grey levels (uint8) and markers of one shape, x fastest; out: which marker each voxel belongs to. Costs are whole
numbers, so a circle of buckets replaces the heap and the answer is exact for the levels. Large arrays are solved at
half the resolution first, and again at full resolution in the band where labels meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meshing.editing.flooding import neighbour_steps
from meshing.editing.halving import Levels, doubled, halved_any, halved_levels, halved_markers, meeting
from meshing.progress import Progress, part, silent
from meshing.segmentation import Labels
from meshing.threads import kernel
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
    return labels


def _settled(ground: Ground, markers: Labels, exact: bool, progress: Progress) -> tuple[Labels, Costs]:
    if exact or markers.size <= MOST_AT_ONCE:
        start = np.where(markers > 0, np.int32(0), _UNREACHED).astype(np.int32, order="F")
        return _run(ground, markers, start, ground.open, progress)
    low = Ground(halved_levels(ground.levels), halved_any(ground.open), doubled(ground.spacing_mm), ground.rule)
    rough, costs = _settled(low, halved_markers(markers), False, part(progress, 0.0, 0.4))
    labels, start, band = _prepared(ground, markers, rough, costs)
    return _run(replace(ground, open=band), labels, start, band, part(progress, 0.4, 1.0))


def _prepared(ground: Ground, markers: Labels, rough: Labels, costs: Costs) -> tuple[Labels, Costs, Mask]:
    """Labels and costs to start the fine run from, and where it runs: the band where rough labels meet."""
    labels = np.zeros(markers.shape, markers.dtype, order="F")
    start = np.full(markers.shape, _UNREACHED, np.int32, order="F")
    band = np.zeros(markers.shape, np.bool_, order="F")
    _refine(rough, costs, meeting(rough), markers, ground.open.view(np.uint8), labels, start, band)
    return labels, start, band


def _run(ground: Ground, labels: Labels, start: Costs, room: Mask, progress: Progress) -> tuple[Labels, Costs]:
    """Fronts from every voxel with a label, at the cost it starts with, through `room`."""
    padded = tuple(n + 2 for n in labels.shape)
    core = (slice(1, -1),) * 3
    costs = np.full(padded, _CLOSED, np.int32, order="F")
    costs[core] = np.where(room | (labels > 0), start, _CLOSED)
    levels, owner = np.zeros(padded, np.uint8, order="F"), np.zeros(padded, labels.dtype, order="F")
    levels[core], owner[core] = ground.levels, labels
    flat = costs.ravel(order="F")
    sources = _sources(flat, neighbour_steps(padded))
    tolls = _tolls(ground.spacing_mm) if ground.rule == "shortest path" else np.full(6, -1, np.int32)
    front = _Front(len(flat))
    total = int(np.count_nonzero(room)) + 1
    done = 0
    while True:
        progress(min(done / total, 0.99), "growing labels")
        now = _advance(
            (levels.ravel(order="F"), flat, owner.ravel(order="F")),
            (neighbour_steps(padded), tolls),
            sources,
            (front.head, front.tail, front.voxel, front.following, front.state),
            _AT_ONCE,
        )
        done += now
        if front.state[4]:
            front.widen()
        elif not now:
            break
    owner[core][~ground.open & (labels == 0)] = 0
    return np.asfortranarray(owner[core]), np.asfortranarray(costs[core])


class _Front:
    """Buckets by cost as linked lists in one pool; state: cost now, first free entry, waiting, sources used, full."""

    def __init__(self, voxels: int) -> None:
        size = max(1 << 16, min(voxels, 1 << 31) // 4)
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


def _sources(costs: Costs, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Flat indices of voxels that have a cost and a neighbour without one, cheapest first; ties in order of place."""
    at = _rim(costs, steps)
    order: npt.NDArray[np.int32] = at[np.argsort(costs[at], kind="stable")]
    return order


@kernel
def _rim(costs: Costs, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    found = np.empty(1 << 16, np.int32)
    count = 0
    for voxel in range(len(costs)):
        if costs[voxel] != _UNREACHED and costs[voxel] >= 0:
            is_rim = False
            for step in steps:
                is_rim |= costs[voxel + step] == _UNREACHED
            if is_rim:
                if count == len(found):
                    found = np.concatenate((found, np.empty(count, np.int32)))
                found[count] = voxel
                count += 1
    return found[:count]


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
def _refine(rough: Any, costs: Any, meets: Any, markers: Any, may_run: Any, labels: Any, start: Any, band: Any) -> None:
    x_count, y_count, z_count = markers.shape
    for z in range(z_count):
        for y in range(y_count):
            for x in range(x_count):
                if markers[x, y, z]:
                    labels[x, y, z], start[x, y, z] = markers[x, y, z], 0
                elif not may_run[x, y, z]:
                    start[x, y, z] = _CLOSED
                elif meets[x // 2, y // 2, z // 2]:
                    band[x, y, z] = True
                elif rough[x // 2, y // 2, z // 2]:
                    labels[x, y, z] = rough[x // 2, y // 2, z // 2]
                    start[x, y, z] = costs[x // 2, y // 2, z // 2]
