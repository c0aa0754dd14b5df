"""Fast marching: when a front that starts at seeds arrives at every voxel, and where it breaks through.

In: a speed from 0 to 1 on a box of a grid and seeds in LPS mm; out: arrival in mm of way at full speed, so that no
front is ever further than its arrival. What is drawn is everything that arrived before a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.editing.flooding import Leak, leak_of, neighbour_steps
from meshing.editing.halving import doubled, doubled_values, halved_values
from meshing.editing.patch import Patch, Point, box_shape, seed_voxels, spacing_of, widened
from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.progress import Progress, silent
from meshing.threads import inlined, kernel
from meshing.volume import Grid
from meshing.voxels.upright import Box, Float32Array, Spacing

SLOWEST = 1e-3
"""Speeds below it are walls."""

MOST_AT_ONCE = 3_000_000
"""Voxels above which marching takes half the resolution."""

_AT_ONCE = 200_000
_BUCKETS_PER_STEP = 4.0


@dataclass(frozen=True, eq=False)
class Arrival:
    """When the front came.

    Parameters
    ----------
    box
        Where `at_mm` lies in the grid.
    at_mm
        float32, of the box's shape: mm of way at full speed; infinite where it did not come before the stop.
    stop_mm
        Where marching ended.
    leak
        The narrowest front with much more behind it, or None.
    """

    grid: Grid
    box: Box
    at_mm: Float32Array
    stop_mm: float
    leak: Leak | None

    def patch(self, stop_mm: float | None = None) -> Patch:
        """What had arrived by an earlier stop, or by the last."""
        reached = self.at_mm <= np.float32(self.stop_mm if stop_mm is None else stop_mm)
        return Patch(self.grid, self.box, reached).trimmed()

    def curve(self, steps: int = 50) -> tuple[FloatArray, FloatArray]:
        """Stops in mm, and the ml that had arrived by each."""
        edges = np.linspace(0.0, self.stop_mm, steps + 1)
        counts, _ = np.histogram(self.at_mm[np.isfinite(self.at_mm)], edges)
        return edges[1:], np.cumsum(counts) * self.grid.voxel_volume_mm3 / 1000.0


def marching_box(grid: Grid, seeds_mm: Sequence[Point], stop_mm: float) -> Box:
    """The box beyond which no front can come before the stop.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan, or the stop is not positive.
    """
    if not 0 < stop_mm < np.inf:
        raise SegmentationError(f"a front that stops at {stop_mm:g} mm goes nowhere", where="fast marching")
    seeds = seed_voxels(grid, seeds_mm, "fast marching")
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    i, j, k = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return widened((i, j, k), grid, stop_mm)


def marched(
    grid: Grid,
    seeds_mm: Sequence[Point],
    speed: Float32Array,
    stop_mm: float,
    *,
    exact: bool = False,
    progress: Progress = silent,
) -> Arrival:
    """When the front arrives at each voxel of `marching_box(grid, seeds_mm, stop_mm)`.

    Boxes above 3 million voxels are marched at half the resolution, slowness averaged, and interpolated; `exact`
    marches every voxel.

    Voxels are taken in order of arrival to within a quarter of the shortest step, which is below the error of the
    first-order scheme itself.

    Parameters
    ----------
    speed
        float32, of that box's shape, 0 to 1.

    Raises
    ------
    SegmentationError
        If the speed has another shape, leaves 0 to 1, or is a wall at a seed.

    References
    ----------
    Sethian, A fast marching level set method for monotonically advancing fronts, PNAS 93, 1996. Yatziv, Bartesaghi,
    Sapiro, O(N) implementation of the fast marching algorithm, J. Comput. Phys. 212, 2006.
    """
    box = marching_box(grid, seeds_mm, stop_mm)
    _refuse_speed(speed, box)
    seeds = seed_voxels(grid, seeds_mm, "fast marching") - [side.start for side in box]
    for seed in seeds:
        if speed[tuple(seed)] < SLOWEST:
            raise SegmentationError(
                f"the speed at a seed is {float(speed[tuple(seed)]):.2g}; no front starts there",
                where="fast marching",
                hint="set the seed away from the edge, or widen the range",
            )
    at_mm = _marched(speed, seeds, spacing_of(grid), stop_mm, exact=exact, progress=progress)
    return Arrival(grid, box, at_mm, stop_mm, _leak(at_mm, grid, box, stop_mm))


def _refuse_speed(speed: Float32Array, box: Box) -> None:
    if speed.shape != box_shape(box):
        raise SegmentationError(f"the speed has shape {speed.shape}, the box {box_shape(box)}", where="fast marching")
    low, high = float(speed.min()), float(speed.max())
    if not (low >= 0 and high <= 1 + 1e-6):
        raise SegmentationError(f"speeds run from {low:g} to {high:g}, 0 to 1 are allowed", where="fast marching")


def _marched(
    speed: Float32Array,
    seeds: npt.NDArray[np.int64],
    spacing_mm: Spacing,
    stop_mm: float,
    *,
    exact: bool,
    progress: Progress,
) -> Float32Array:
    if exact or speed.size <= MOST_AT_ONCE:
        return _march(speed, seeds, spacing_mm, stop_mm, progress)
    # A wall one voxel thick stays a wall: slowness, not speed, is averaged.
    slow = np.reciprocal(halved_values(np.reciprocal(np.maximum(speed, np.float32(SLOWEST / 8)))))
    rough = _marched(slow, seeds // 2, doubled(spacing_mm), stop_mm, exact=False, progress=progress)
    fine = doubled_values(np.where(np.isfinite(rough), rough, np.float32(2 * stop_mm)), speed.shape)
    fine[(fine > stop_mm) | (speed < SLOWEST)] = np.inf
    fine[tuple(seeds.T)] = 0.0
    return fine


def _march(
    speed: Float32Array, seeds: npt.NDArray[np.int64], spacing_mm: Spacing, stop_mm: float, progress: Progress
) -> Float32Array:
    padded = tuple(n + 2 for n in speed.shape)
    slow = np.zeros(padded, np.float32, order="F")
    slow[1:-1, 1:-1, 1:-1] = speed
    arrival = np.full(padded, np.inf, np.float32, order="F")
    flat = arrival.ravel(order="F")
    first = np.unique(np.ravel_multi_index(tuple(seeds.T + 1), padded, order="F")).astype(np.int32)
    flat[first] = 0.0
    width = min(spacing_mm) / _BUCKETS_PER_STEP
    count = int(stop_mm / width) + 2
    pool = _Pool(first, count)
    steps = neighbour_steps(padded)
    inverse = 1.0 / np.asarray(spacing_mm) ** 2
    while True:
        progress(min(pool.state[0] / count, 0.99), "marching")
        fields = (flat, slow.ravel(order="F"), pool.settled(len(flat)))
        if not _advance(fields, steps, inverse, (pool.head, pool.voxel, pool.following, pool.state), width, stop_mm):
            break
        pool.widen()
    arrived = arrival[1:-1, 1:-1, 1:-1]
    arrived[arrived > stop_mm] = np.inf
    return np.asfortranarray(arrived)


class _Pool:
    """Buckets of waiting voxels by arrival; state: bucket now, first unused entry, whether the pool is full."""

    def __init__(self, first: npt.NDArray[np.int32], buckets: int) -> None:
        size = max(1 << 18, 2 * len(first))
        self.head = np.full(buckets, -1, np.int32)
        self.voxel, self.following = np.empty(size, np.int32), np.full(size, -1, np.int32)
        self.voxel[: len(first)] = first
        self.following[: len(first) - 1] = np.arange(1, len(first))
        self.head[0] = 0
        self.state = np.array([0, len(first)], np.int64)
        self._settled: npt.NDArray[np.bool_] | None = None

    def settled(self, voxels: int) -> npt.NDArray[np.bool_]:
        """Which voxels were taken already."""
        if self._settled is None:
            self._settled = np.zeros(voxels, np.bool_)
        return self._settled

    def widen(self) -> None:
        """More room where less than half is free."""
        used = int(self.state[1])
        if 2 * used > len(self.voxel):
            self.voxel = np.concatenate([self.voxel, np.empty_like(self.voxel)])
            self.following = np.concatenate([self.following, np.full_like(self.following, -1)])


@kernel
def _advance(
    fields: Any, steps: npt.NDArray[np.int64], inverse: FloatArray, pool: Any, width: float, stop: float
) -> bool:
    """Takes some voxels; whether any wait still."""
    arrival, speed, settled = fields
    head, voxels, following, state = pool
    bucket, unused, done = state[0], state[1], 0
    while bucket < len(head):
        entry = head[bucket]
        if entry < 0:
            bucket += 1
            continue
        if done >= _AT_ONCE or unused + 6 > len(voxels):
            state[0], state[1] = bucket, unused
            return True
        head[bucket] = following[entry]
        voxel = voxels[entry]
        if settled[voxel]:
            continue
        settled[voxel] = True
        done += 1
        for step in steps:
            near = voxel + step
            if settled[near] or speed[near] < SLOWEST:
                continue
            came = _upwind(arrival, near, steps, inverse, 1.0 / speed[near])
            if came < arrival[near] and came <= stop:
                arrival[near] = came
                slot = max(bucket, int(came / width))
                voxels[unused], following[unused] = near, head[slot]
                head[slot] = unused
                unused += 1
    state[0], state[1] = bucket, unused
    return False


@inlined
def _upwind(
    arrival: Float32Array, voxel: int, steps: npt.NDArray[np.int64], inverse: FloatArray, slowness: float
) -> float:
    """The arrival that solves |∇T| = slowness from the neighbours that came before (first order, any spacing)."""
    a, wa = min(arrival[voxel + steps[0]], arrival[voxel + steps[1]]), inverse[0]
    b, wb = min(arrival[voxel + steps[2]], arrival[voxel + steps[3]]), inverse[1]
    c, wc = min(arrival[voxel + steps[4]], arrival[voxel + steps[5]]), inverse[2]
    if a > b:
        a, wa, b, wb = b, wb, a, wa
    if b > c:
        b, wb, c, wc = c, wc, b, wb
    if a > b:
        a, wa, b, wb = b, wb, a, wa
    found: float = a + slowness / np.sqrt(wa)
    if found > b:
        square, linear = wa + wb, wa * a + wb * b
        under = linear * linear - square * (wa * a * a + wb * b * b - slowness * slowness)
        if under >= 0:
            found = (linear + np.sqrt(under)) / square
        if found > c:
            square, linear = square + wc, linear + wc * c
            under = linear * linear - square * (wa * a * a + wb * b * b + wc * c * c - slowness * slowness)
            if under >= 0:
                found = (linear + np.sqrt(under)) / square
    return found


def _leak(at_mm: Float32Array, grid: Grid, box: Box, stop_mm: float) -> Leak | None:
    """A neck in the volumes of fronts one voxel apart, and the middle of that front."""
    thick = float(np.cbrt(grid.voxel_volume_mm3))
    came = np.isfinite(at_mm)
    number = (at_mm[came] / np.float32(thick)).astype(np.int64)
    found = leak_of(np.bincount(number), grid)
    if found is None:
        return None
    front, neck_mm2, beyond_ml = found
    there = np.argwhere(came & (at_mm >= front * thick) & (at_mm < (front + 1) * thick))
    middle = grid.to_patient(there.mean(axis=0) + [side.start for side in box])
    return Leak((float(middle[0]), float(middle[1]), float(middle[2])), neck_mm2, beyond_ml)
