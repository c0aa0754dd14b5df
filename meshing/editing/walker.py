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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.editing.contrast import seed_contrast
from meshing.editing.edges import grey
from meshing.editing.flooding import neighbour_steps
from meshing.editing.halving import (
    doubled,
    doubled_values,
    halved_any,
    halved_markers,
    halved_values,
    meeting,
)
from meshing.editing.labelling import placed, turned_seeds
from meshing.editing.patch import LabelPatch, measured, spacing_of
from meshing.editing.turning import turning_of
from meshing.progress import Progress, part, silent
from meshing.segmentation import Labels
from meshing.threads import kernel, many_over_rows, over_rows
from meshing.volume import Volume, Voxels
from meshing.voxels.upright import Float32Array, Mask, Spacing

_COARSEST = 40_000
"""Voxels at which the work begins: few enough that every step of the solver is cheap."""
_MOST_WHOLE = 3_000_000
"""Voxels above which only the band is solved."""
_ROUNDS = {"exact": 2000, "coarsest": 400, "whole": 100, "band": 20}
"""Most steps of the solver."""
_ENOUGH = {"exact": 1e-5, "coarsest": 1e-3, "whole": 1e-3, "band": 1e-3}
"""Of the first residual: at a thousandth probabilities are right to about two hundredths."""
_LEAST_WEIGHT = 1e-6
_ALONE = 60_000
"""Voxels up to which threads cost more than they save."""


@dataclass(frozen=True, eq=False)
class Walked:
    """Labels, and how sure they are.

    Parameters
    ----------
    probability
        float32, of the box's shape: that a walker reaches a seed of the label that the voxel has. Not a probability
        of being right.
    contrast
        The step of brightness that counts as 1, in the scan's unit.
    """

    labels: LabelPatch
    probability: Float32Array
    contrast: float


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
        How much steps of brightness are shunned: edges weigh exp(−β d²), d the step as a share of the contrast
        between seeds (`seed_contrast`).
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
    values = scan.voxels[box] if scan.voxels.dtype.kind in "iu" else grey(scan, box)  # whole numbers need no copy
    numbers = seeds.numbers()
    contrast = seed_contrast(values, markers, numbers)
    room = np.asfortranarray(measured(scan, box) | (markers > 0))
    ground = _Ground(np.asfortranarray(values), room, spacing_of(scan.grid), beta / contrast**2)
    chances = _solved(ground, markers, numbers, exact, progress)
    winner, probability = _winner(chances, numbers, ground.open)
    labels = turning.labels_back(LabelPatch(scan.grid, box, winner))
    return Walked(labels, probability if turning.is_upright else turning.array_back(probability), contrast)


@dataclass(frozen=True, eq=False)
class _Ground:
    """Grey values, where walkers may go, the spacing, and what a squared step of brightness costs."""

    values: Voxels
    open: Mask
    spacing_mm: Spacing
    beta: float


def _solved(ground: _Ground, markers: Labels, numbers: list[int], exact: bool, progress: Progress) -> Float32Array:
    """For each number but the last the probability that a walker reaches its seeds first, shape (X, Y, Z, N − 1)."""
    chances = np.empty((*markers.shape, len(numbers) - 1), np.float32, order="F")
    if exact or markers.size <= _COARSEST:
        effort = "exact" if exact else "coarsest"
        chances[...] = 1.0 / len(numbers)
        meets = np.ones(_halves(markers.shape), np.uint8, order="F")
    else:
        half = _Ground(halved_values(ground.values), halved_any(ground.open), doubled(ground.spacing_mm), ground.beta)
        rough = _solved(half, halved_markers(markers), numbers, False, part(progress, 0.0, 0.5))
        for number in range(len(numbers) - 1):
            doubled_values(rough[..., number], markers.shape, chances[..., number])
        is_small = markers.size <= _MOST_WHOLE
        effort = "whole" if is_small else "band"
        meets = np.ones(half.open.shape, np.uint8, order="F")
        if not is_small:
            meets = meeting(_winner(rough, numbers, half.open)[0])
        progress = part(progress, 0.5, 1.0)
    progress(0.0, "walking")
    rows = markers.shape[1] * markers.shape[2]
    over_rows(_hold, rows, markers, np.array(numbers), chances)
    found = over_rows(_free, rows, markers, ground.open.view(np.uint8), meets)
    system = _System(ground, np.concatenate(found))
    for number in range(len(numbers) - 1):
        system.solve(chances[..., number], effort, part(progress, number / len(numbers), (number + 1) / len(numbers)))
    return chances


def _halves(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((n + 1) // 2 for n in shape)


@kernel
def _hold(first: int, last: int, markers: Labels, numbers: npt.NDArray[np.int64], chances: Float32Array) -> None:
    """Seeds are sure."""
    y_count = markers.shape[1]
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        for x in range(markers.shape[0]):
            if markers[x, y, z]:
                for number in range(chances.shape[3]):
                    chances[x, y, z, number] = np.float32(markers[x, y, z] == numbers[number])


@kernel
def _free(
    first: int, last: int, markers: Labels, room: npt.NDArray[np.uint8], meets: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int32]:
    """Flat indices of voxels without a seed where walkers may go, within blocks that are not 0."""
    x_count, y_count = markers.shape[0], markers.shape[1]
    found, count = np.empty(1 << 14, np.int32), 0
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        if count + x_count > len(found):
            found = np.concatenate((found, np.empty(len(found) + x_count, np.int32)))
        for x in range(x_count):
            if room[x, y, z] and not markers[x, y, z] and meets[x // 2, y // 2, z // 2]:
                found[count] = row * x_count + x
                count += 1
    return found[:count]


def _winner(chances: Float32Array, numbers: list[int], room: Mask) -> tuple[Labels, Float32Array]:
    """The most probable number of every voxel, 0 where no walker may go, and how probable it is."""
    best = np.zeros(room.shape, np.float32, order="F")
    winner = np.zeros(room.shape, np.uint8 if numbers[-1] < 256 else np.uint16, order="F")
    shares = chances.reshape(room.size, len(numbers) - 1, order="F")
    flat = np.asfortranarray(room).view(np.uint8).ravel(order="F"), best.ravel(order="F"), winner.ravel(order="F")
    over_rows(_claim, room.size, shares, np.array(numbers), *flat)
    return winner, best


@kernel
def _claim(
    first: int,
    last: int,
    shares: Float32Array,
    numbers: npt.NDArray[np.int64],
    room: npt.NDArray[np.uint8],
    best: Float32Array,
    winner: Labels,
) -> None:
    for at in range(first, last):
        if not room[at]:
            continue
        rest, most, whose = np.float32(1.0), np.float32(0.0), numbers[0]
        for number in range(shares.shape[1]):
            share = shares[at, number]
            rest -= share
            if share > most:
                most, whose = share, numbers[number]
        if rest > most:
            most, whose = rest, numbers[-1]
        best[at], winner[at] = most, whose


class _System:
    """The equations of the free voxels: each is the mean of its neighbours, weighted by likeness.

    Free voxels are numbered through, so that what the solver goes over lies close together. One number more stands for
    all that is held.
    """

    def __init__(self, ground: _Ground, at: npt.NDArray[np.int32]) -> None:
        count = len(at)
        self._at, self._steps = at, neighbour_steps(ground.values.shape)
        self._near, self._weights = np.empty((count, 6), np.int32), np.empty((count, 6), np.float32)
        self._whole = np.empty(count, np.float32)
        numbers = np.zeros(ground.values.shape, np.int32, order="F")  # pages that nothing is written to cost nothing
        over_rows(_number, count, at, numbers.ravel(order="F"))
        shortest = min(ground.spacing_mm)
        scale = np.repeat((shortest / np.asarray(ground.spacing_mm)) ** 2, 2).astype(np.float32)
        voxels = ground.values, ground.open.view(np.uint8), numbers
        over_rows(_weigh, count, at, voxels, scale, np.float32(ground.beta), (self._near, self._weights, self._whole))

    def solve(self, chance: Float32Array, effort: str, progress: Progress) -> None:
        """Conjugate gradients, preconditioned by the diagonal, from what `chance` holds; in place."""
        if not len(self._at):
            return
        if len(self._at) <= _ALONE:
            self._solve(chance, effort, lambda kernel, count, *arrays: [kernel(0, count, *arrays)], progress)
            return
        with many_over_rows() as over:
            self._solve(chance, effort, over, progress)

    def _solve(self, chance: Float32Array, effort: str, over: Callable[..., list[Any]], progress: Progress) -> None:
        count, flat = len(self._at), chance.reshape(-1, order="F")
        found, pushed, residual = (np.zeros(count, np.float32) for _ in range(3))
        way = np.zeros(count + 1, np.float32)
        made = found, residual
        power = first = sum(over(_begin, count, self._at, self._steps, self._weights, self._whole, flat, made))
        share = np.float32(0.0)
        for step in range(_ROUNDS[effort]):
            if power <= _ENOUGH[effort] ** 2 * first or power <= 1e-14:
                break
            progress(min(0.99, step / _ROUNDS[effort]), "walking")
            over(_turn, count, residual, self._whole, way, share)
            steep = sum(over(_apply, count, self._near, self._weights, way, pushed))
            length = np.float32(power / max(steep, 1e-30))
            before = power
            power = sum(over(_step, count, pushed, way, self._whole, found, residual, length))
            share = np.float32(power / before)
        over(_finish, count, self._at, found, flat)


@kernel
def _number(first: int, last: int, at: npt.NDArray[np.int32], numbers: npt.NDArray[np.int32]) -> None:
    """Free voxels from 1, the others 0."""
    for number in range(first, last):
        numbers[at[number]] = number + 1


@kernel
def _weigh(
    first: int, last: int, at: npt.NDArray[np.int32], voxels: Any, scale: Float32Array, beta: np.float32, made: Any
) -> None:
    """The neighbours of each free voxel, their weights, and the sum of these."""
    values, room, numbers = voxels
    nears, weights, whole = made
    x_count, y_count, z_count = values.shape
    for number in range(first, last):
        x, row = at[number] % x_count, at[number] // x_count
        y, z = row % y_count, row // y_count
        here = np.float32(values[x, y, z])
        total = np.float32(0.0)
        for way in range(6):
            step = 1 - 2 * (way % 2)
            i = x + (step if way < 2 else 0)
            j = y + (step if 2 <= way < 4 else 0)
            k = z + (step if way >= 4 else 0)
            weight, near = np.float32(0.0), 0
            if 0 <= i < x_count and 0 <= j < y_count and 0 <= k < z_count and room[i, j, k]:
                away = np.float32(values[i, j, k]) - here
                weight = scale[way] * (np.exp(-beta * away * away) + np.float32(_LEAST_WEIGHT))
                near = numbers[i, j, k]
            weights[number, way] = weight
            nears[number, way] = near - 1 if near else len(at)
            total += weight
        whole[number] = max(total, np.float32(_LEAST_WEIGHT))


@kernel
def _begin(
    first: int,
    last: int,
    at: npt.NDArray[np.int32],
    steps: npt.NDArray[np.int64],
    weights: Float32Array,
    whole: Float32Array,
    chance: Float32Array,
    made: Any,
) -> float:
    """The first residual; gives how much it is, weighted by the diagonal."""
    found, residual = made
    left = 0.0
    for number in range(first, last):
        here = chance[at[number]]
        rest = np.float32(0.0)
        for way in range(6):
            if weights[number, way] > 0:
                rest += weights[number, way] * (chance[at[number] + steps[way]] - here)
        found[number], residual[number] = here, rest
        left += rest * rest / whole[number]
    return left


@kernel
def _apply(
    first: int,
    last: int,
    near: npt.NDArray[np.int32],
    weights: Float32Array,
    field: Float32Array,
    pushed: Float32Array,
) -> float:
    """The weighted sum of differences from the neighbours; gives its product with the field."""
    product = 0.0
    for number in range(first, last):
        here = field[number]
        total = np.float32(0.0)
        for way in range(6):
            total += weights[number, way] * (here - field[near[number, way]])
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
    first: int, last: int, residual: Float32Array, whole: Float32Array, way: Float32Array, share: np.float32
) -> None:
    """The next way: downhill, and a share of the last one."""
    for number in range(first, last):
        way[number] = residual[number] / whole[number] + share * way[number]


@kernel
def _finish(first: int, last: int, at: npt.NDArray[np.int32], found: Float32Array, chance: Float32Array) -> None:
    for number in range(first, last):
        chance[at[number]] = min(max(found[number], np.float32(0.0)), np.float32(1.0))
