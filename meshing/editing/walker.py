"""Random walker: each voxel goes to the seed that a walker from there, who shuns steps of brightness, reaches first.

In: a scan and seeds as a label patch; out: labels, and the probability of the one that won. The equations are Grady's,
solved by conjugate gradients, first on blocks, whose solution the next finer level starts from. Boxes above 3 million
voxels are solved at their own resolution only in the band where labels meet, the probabilities around it held: there
the labels follow the voxels, but what lies far from every border follows averages over blocks.

References
----------
Grady, Random walks for image segmentation, IEEE PAMI 28(11), 2006. Bornemann, Deuflhard, The cascadic multigrid method
for elliptic problems, Numer. Math. 75, 1996.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.editing.edges import grey
from meshing.editing.flooding import neighbour_steps
from meshing.editing.halving import (
    doubled,
    doubled_mask,
    doubled_values,
    halved_any,
    halved_markers,
    halved_values,
    meeting,
)
from meshing.editing.labelling import placed, turned_seeds
from meshing.editing.patch import LabelPatch, measured, spacing_of
from meshing.editing.turning import turning_of
from meshing.progress import Progress, silent
from meshing.segmentation import Labels
from meshing.threads import kernel, over_rows
from meshing.volume import Volume
from meshing.voxels.upright import Float32Array, Mask, Spacing

_COARSEST = 40_000
"""Voxels at which the work begins: few enough that every step of the solver is cheap."""
_MOST_WHOLE = 3_000_000
"""Voxels above which only the band is solved."""
_ROUNDS = {"exact": 2000, "coarsest": 400, "whole": 50, "band": 20}
"""Most steps of the solver."""
_ENOUGH = {"exact": 1e-5, "coarsest": 1e-3, "whole": 1e-3, "band": 1e-3}
"""Of the first residual: at a thousandth probabilities are right to about two hundredths."""
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Walked:
    """Labels, and how sure they are.

    Parameters
    ----------
    probability
        float32, of the box's shape: that a walker reaches a seed of the label that the voxel has. Not a probability
        of being right.
    """

    labels: LabelPatch
    probability: Float32Array


def random_walker(
    volume: Volume,
    seeds: LabelPatch,
    *,
    beta: float = 130.0,
    margin_mm: float = 10.0,
    exact: bool = False,
    progress: Progress = silent,
) -> Walked:
    """Every voxel with the label whose seeds a random walker from there reaches first, most probably.

    Parameters
    ----------
    beta
        How much steps of brightness are shunned: edges weigh exp(−β d²), d the step as a share of the range of
        brightness in the box (percentiles 0.5 to 99.5).
    margin_mm
        How far round the seeds to look.
    exact
        Solve all voxels at full resolution: as exact as the solver, and many times slower.

    Raises
    ------
    SegmentationError
        If the seeds lie on another grid or have fewer than two labels.
    """
    turning = turning_of(volume.grid)
    scan, seeds = turning.volume(volume), turned_seeds(volume, seeds, "random walker")
    box, markers = placed(scan, seeds, margin_mm)
    progress(0.0, "walking")
    values = grey(scan, box)
    low, high = np.percentile(values[::3, ::3, ::3], [0.5, 99.5])
    values *= np.float32(np.sqrt(beta) / max(float(high - low), 1e-6))
    ground = _Ground(values, measured(scan, box) | (markers > 0), spacing_of(scan.grid))
    numbers = seeds.numbers()
    chances = _solved(ground, markers, numbers, exact, progress)
    winner, probability = _winner(chances, numbers, ground.open)
    labels = turning.labels_back(LabelPatch(scan.grid, box, winner))
    return Walked(labels, probability if turning.is_upright else turning.array_back(probability))


@dataclass(frozen=True, eq=False)
class _Ground:
    """Scaled grey values, where walkers may go, and the spacing."""

    values: Float32Array
    open: Mask
    spacing_mm: Spacing


def _solved(
    ground: _Ground, markers: Labels, numbers: list[int], exact: bool, progress: Progress
) -> list[Float32Array]:
    """For each number but the last the probability that a walker reaches its seeds first."""
    free = ground.open & (markers == 0)
    if exact or markers.size <= _COARSEST:
        effort = "exact" if exact else "coarsest"
        chances = [np.full(markers.shape, 1.0 / len(numbers), np.float32, order="F") for _ in numbers[1:]]
    else:
        half = _Ground(halved_values(ground.values), halved_any(ground.open), doubled(ground.spacing_mm))
        rough = _solved(half, halved_markers(markers), numbers, False, progress)
        chances = [doubled_values(chance, markers.shape) for chance in rough]
        effort = "whole"
        if markers.size > _MOST_WHOLE:
            effort = "band"
            free &= doubled_mask(meeting(_winner(rough, numbers, half.open)[0]), markers.shape)
    system = _System(ground, np.asfortranarray(free))
    for number, chance in zip(numbers, chances, strict=False):
        for other in numbers:
            chance[markers == other] = other == number
        system.solve(chance, effort, progress)
    return chances


def _winner(chances: list[Float32Array], numbers: list[int], room: Mask) -> tuple[Labels, Float32Array]:
    """The most probable number of every voxel, 0 where no walker may go, and how probable it is."""
    shape = chances[0].shape
    rest, best = np.ones(shape, np.float32, order="F"), np.zeros(shape, np.float32, order="F")
    winner = np.zeros(shape, np.uint8 if numbers[-1] < 256 else np.uint16, order="F")
    fields = [array.ravel(order="F") for array in (np.asfortranarray(room).view(np.uint8), rest, best, winner)]
    for number, chance in zip(numbers, chances, strict=False):
        over_rows(_claim, rest.size, chance.ravel(order="F"), *fields, number)
    over_rows(_claim, rest.size, fields[1].copy(), *fields, numbers[-1])
    return winner, best


@kernel
def _claim(
    first: int,
    last: int,
    chance: Float32Array,
    room: npt.NDArray[np.uint8],
    rest: Float32Array,
    best: Float32Array,
    winner: Labels,
    number: int,
) -> None:
    for at in range(first, last):
        if room[at]:
            rest[at] -= chance[at]
            if chance[at] > best[at]:
                best[at], winner[at] = chance[at], number


class _System:
    """The equations of the free voxels: each is the mean of its neighbours, weighted by likeness."""

    def __init__(self, ground: _Ground, free: Mask) -> None:
        padded = tuple(n + 2 for n in free.shape)
        self._core = (slice(1, -1),) * 3
        inner = np.zeros(padded, np.bool_, order="F")
        inner[self._core] = free
        values = np.full(padded, np.inf, np.float32, order="F")
        values[self._core] = np.where(ground.open, ground.values, np.float32(np.inf))
        self._at = np.flatnonzero(inner.ravel(order="F")).astype(np.int32)
        self._steps = neighbour_steps(padded)
        shortest = min(ground.spacing_mm)
        scale = np.repeat((shortest / np.asarray(ground.spacing_mm)) ** 2, 2).astype(np.float32)
        self._weights = np.empty((len(self._at), 6), np.float32)
        over_rows(_weigh, len(self._at), self._at, self._steps, values.ravel(order="F"), scale, self._weights)
        self._whole = np.maximum(self._weights.sum(axis=1), np.float32(_LEAST_WEIGHT))
        self._field = np.zeros(padded, np.float32, order="F")

    def solve(self, chance: Float32Array, effort: str, progress: Progress) -> None:
        """Conjugate gradients, preconditioned by the diagonal, from what `chance` holds; in place."""
        if not len(self._at):
            return
        flat, count = self._field.ravel(order="F"), len(self._at)
        pushed, way, residual = (np.zeros(count, np.float32) for _ in range(3))
        self._field[self._core] = chance
        found = flat[self._at]
        over_rows(_apply, count, self._at, self._steps, self._weights, flat, pushed)
        # From residual 0, one step of length 1 along what is pushed: the first residual.
        power = first = sum(over_rows(_step, count, pushed, way, self._whole, found, residual, np.float32(1.0)))
        flat[:] = 0
        share = np.float32(0.0)
        for step in range(_ROUNDS[effort]):
            if power <= _ENOUGH[effort] ** 2 * first or power <= 1e-14:
                break
            progress(min(0.99, step / _ROUNDS[effort]), "walking")
            over_rows(_turn, count, self._at, residual, self._whole, way, flat, share)
            steep = sum(over_rows(_apply, count, self._at, self._steps, self._weights, flat, pushed))
            length = np.float32(power / max(steep, 1e-30))
            before = power
            power = sum(over_rows(_step, count, pushed, way, self._whole, found, residual, length))
            share = np.float32(power / before)
        self._field[self._core] = chance
        flat[self._at] = found
        np.clip(self._field[self._core], 0.0, 1.0, out=chance)


@kernel
def _weigh(
    first: int,
    last: int,
    at: npt.NDArray[np.int32],
    steps: npt.NDArray[np.int64],
    values: Float32Array,
    scale: Float32Array,
    weights: Float32Array,
) -> None:
    for number in range(first, last):
        here = values[at[number]]
        for way in range(6):
            there = values[at[number] + steps[way]]
            step = there - here
            weight = np.float32(0.0)
            if there != np.inf:
                weight = scale[way] * (np.exp(-step * step) + np.float32(_LEAST_WEIGHT))
            weights[number, way] = weight


@kernel
def _apply(
    first: int,
    last: int,
    at: npt.NDArray[np.int32],
    steps: npt.NDArray[np.int64],
    weights: Float32Array,
    field: Float32Array,
    pushed: Float32Array,
) -> float:
    """The weighted sum of differences from the neighbours; gives its product with the field."""
    product = 0.0
    for number in range(first, last):
        voxel = at[number]
        here = field[voxel]
        total = np.float32(0.0)
        for way in range(6):
            total += weights[number, way] * (here - field[voxel + steps[way]])
        pushed[number] = total
        product += total * here
    return product


@kernel
def _step(
    first: int,
    last: int,
    pushed: Float32Array,
    way: Float32Array,
    whole: Float32Array,
    found: Float32Array,
    residual: Float32Array,
    length: np.float32,
) -> float:
    """One step along the way; gives how much is left, weighted by the diagonal."""
    left = 0.0
    for number in range(first, last):
        found[number] += length * way[number]
        rest = residual[number] - length * pushed[number]
        residual[number] = rest
        left += rest * rest / whole[number]
    return left


@kernel
def _turn(
    first: int,
    last: int,
    at: npt.NDArray[np.int32],
    residual: Float32Array,
    whole: Float32Array,
    way: Float32Array,
    field: Float32Array,
    share: np.float32,
) -> None:
    """The next way: downhill, and a share of the last one."""
    for number in range(first, last):
        way[number] = residual[number] / whole[number] + share * way[number]
        field[at[number]] = way[number]
