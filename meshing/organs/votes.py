"""Which guesses are good, and what they agree on.

A guess loses points for a border without an edge, for a ragged shape, and for a volume that such organs do not have.
Its vote falls off exponentially with the points that it is behind the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.frames import FloatArray
from meshing.organs.ground import Ground, Index
from meshing.organs.guesses import Guess
from meshing.organs.priors import Prior, ScoreSettings
from meshing.voxels.upright import Float32Array

_MISSED_CLICK = 8.0  # points for a click on the wrong side: more than any border or shape loses
_LEAST_EDGE_HU = 8.0
_MOST_EDGE_HU = 60.0


@dataclass(frozen=True, eq=False)
class Vote:
    """What the guesses agree on.

    Parameters
    ----------
    share
        float32, shape of the ground: how much of the votes holds a cube, 0 to 1.
    best
        The guess with most points.
    open_border
        Share of the best one's border at which values do not change.
    volumes_ml
        The volumes between which the middle 80 % of the votes lie.
    """

    share: Float32Array
    best: Guess
    open_border: float
    volumes_ml: tuple[float, float]


def vote(
    found: list[Guess],
    prior: Prior,
    settings: ScoreSettings,
    ground: Ground,
    *,
    inside: list[Index],
    outside: list[Index],
) -> Vote:
    """The vote over at least one guess.

    Parameters
    ----------
    inside, outside
        Cubes that the organ holds, and does not.
    """
    openness = open_borders(found, prior, ground.noise_hu)
    scores = np.array(
        [_points(guess, share, prior, settings) for guess, share in zip(found, openness, strict=True)]
    ) - _MISSED_CLICK * np.array([_wrong_clicks(guess, inside, outside) for guess in found])
    votes = np.exp((scores - scores.max()) / settings.temperature)
    votes /= votes.sum()
    share = np.zeros(ground.values.shape, np.float32, order="F")
    for guess, weight in zip(found, votes, strict=True):
        if weight > 1e-4:
            share[guess.box] += np.float32(weight) * guess.mask
    best = int(scores.argmax())
    return Vote(share, found[best], float(openness[best]), _middle_volumes(found, votes))


def open_borders(found: list[Guess], prior: Prior, noise_hu: float) -> FloatArray:
    """For each guess the share of its border without an edge, 0 to 1.

    What is an edge is known for organs, which fat and air surround. A lesion brings its own contrast: the largest
    that any guess has along its border, for that guess ends where the lesion does.
    """
    if prior.edge_hu > 0:
        return np.array(
            [float((guess.beyond_hu < prior.edge_hu).mean()) if guess.beyond_hu.size else 1.0 for guess in found]
        )
    contrasts = [float(np.median(guess.beyond_hu)) if guess.beyond_hu.size else 0.0 for guess in found]
    edge = float(np.clip(max(contrasts), max(_LEAST_EDGE_HU, 2.0 * noise_hu), _MOST_EDGE_HU))
    return np.array(
        [
            1.0 - float(np.minimum(guess.beyond_hu, edge).mean()) / edge if guess.beyond_hu.size else 1.0
            for guess in found
        ]
    )


def _points(guess: Guess, openness: float, prior: Prior, settings: ScoreSettings) -> float:
    odd = np.log(guess.volume_ml / prior.typical_ml) / prior.spread
    return float(-0.5 * odd**2 - settings.open_weight * openness - settings.shape_weight * guess.raggedness)


def _wrong_clicks(guess: Guess, inside: list[Index], outside: list[Index]) -> int:
    return sum(not _holds(guess, cube) for cube in inside) + sum(_holds(guess, cube) for cube in outside)


def _holds(guess: Guess, cube: Index) -> bool:
    local = cube - [part.start for part in guess.box]
    if (local < 0).any() or (local >= guess.mask.shape).any():
        return False
    return bool(guess.mask[tuple(local)])


def _middle_volumes(found: list[Guess], votes: FloatArray) -> tuple[float, float]:
    volumes = np.array([guess.volume_ml for guess in found])
    order = np.argsort(volumes)
    reached = np.cumsum(votes[order])
    at = np.minimum(np.searchsorted(reached, (0.1, 0.9)), len(found) - 1)
    low, high = volumes[order][at]
    return float(low), float(high)
