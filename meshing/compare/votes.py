"""How graders voted, voxel by voxel: kappa of two or many, and the consensus that weighs them (STAPLE).

Of many graders only the ballots are counted, not the voxels kept: two to the power of the graders numbers say all that
these measures need, so that a liver costs as little as a lymph node.

References
----------
J. Cohen, Educ Psychol Meas 20, 1960, 37–46. J. L. Fleiss, Psychol Bull 76, 1971, 378–382.
S. K. Warfield, K. H. Zou, W. M. Wells, IEEE Trans Med Imaging 23, 2004, 903–921 (STAPLE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.runs import tally

Votes = npt.NDArray[np.int64]
"""(2 ** graders,): voxels of each ballot; grader n drew the voxels of the ballots whose bit n is set."""

_START = 0.99999
"""Sensitivity and specificity from which STAPLE starts, as in ITK: graders mostly right."""

_SETTLED = 1e-10
_MOST_ROUNDS = 10_000
_SURE = 1e-12
"""Nobody is held for infallible, or two who are and differ would leave nothing to divide by."""


def votes_of(masks: Sequence[npt.NDArray[np.bool_]]) -> Votes:
    """Voxels of each ballot; masks have one shape, and are 16 at most."""
    ballots = np.zeros(masks[0].shape, np.uint16, order="F")
    for number, mask in enumerate(masks):
        ballots[mask] |= np.uint16(1 << number)
    return tally(ballots.reshape(-1, order="A"), 1 << len(masks))


def drawn_by(votes: Votes) -> npt.NDArray[np.bool_]:
    """(ballots, graders): who drew the voxels of each ballot."""
    graders = len(votes).bit_length() - 1
    said: npt.NDArray[np.bool_] = (np.arange(len(votes))[:, None] >> np.arange(graders) & 1).astype(bool)
    return said


def cohen_kappa(table: npt.ArrayLike) -> float | None:
    """Agreement of two graders beyond chance; None where chance alone explains all (one category is left).

    Parameters
    ----------
    table
        (C, C): how often the first said the row's category and the second the column's.
    """
    counts = np.asarray(table, np.float64)
    total = float(counts.sum())
    if total == 0:
        return None
    by_chance = float(counts.sum(axis=0) @ counts.sum(axis=1)) / total**2
    return _beyond_chance(float(np.trace(counts)) / total, by_chance)


def fleiss_kappa(ratings: npt.ArrayLike, times: npt.ArrayLike | None = None) -> float | None:
    """Agreement of many graders beyond chance; None where chance alone explains all.

    Parameters
    ----------
    ratings
        (N, C): how many graders put subject n into category c; each row has the same sum, 2 or more.
    times
        (N,): how many subjects were rated like that row; 1 each when left out.
    """
    counts = np.asarray(ratings, np.float64)
    weights = np.ones(len(counts)) if times is None else np.asarray(times, np.float64)
    if weights.sum() == 0:
        return None
    graders = counts[0].sum()
    alike = ((counts**2).sum(axis=1) - graders) / (graders * (graders - 1))
    shares = weights @ counts / (weights.sum() * graders)
    return _beyond_chance(float(weights @ alike / weights.sum()), float((shares**2).sum()))


def fleiss_kappa_of(votes: Votes) -> float | None:
    """Of ballots: the voxels are the subjects, drawn and not drawn the categories."""
    said = drawn_by(votes)
    drew = said.sum(axis=1)
    return fleiss_kappa(np.stack([drew, said.shape[1] - drew], axis=1), votes)


class Staple(NamedTuple):
    """Sensitivity and specificity (graders,), and for each ballot the probability that its voxels belong to it."""

    sensitivity: npt.NDArray[np.float64]
    specificity: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]


def staple(votes: Votes) -> Staple | None:
    """The consensus that explains the ballots best, with what it makes of each grader; None without two categories.

    Expectation and maximisation as Warfield, with one prior for all voxels: the share that graders drew.
    """
    said, total = drawn_by(votes), float(votes.sum())
    graders = said.shape[1]
    prior = float((votes @ said).sum()) / max(total * graders, 1.0)
    if not 0.0 < prior < 1.0:
        return None
    rates = np.full((2, graders), _START)
    probability = _believed(said, prior, rates)
    for _ in range(_MOST_ROUNDS):
        before = rates
        rates = np.stack([_rates(votes * probability, said), _rates(votes * (1.0 - probability), ~said)])
        probability = _believed(said, prior, rates)
        if np.abs(rates - before).max() < _SETTLED:
            break
    return Staple(rates[0], rates[1], probability)


def _believed(said: npt.NDArray[np.bool_], prior: float, rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Equation 15: the probability that a voxel belongs to the structure, by its ballot."""
    sensitivity, specificity = rates.clip(_SURE, 1.0 - _SURE)
    yes = prior * np.where(said, sensitivity, 1.0 - sensitivity).prod(axis=1)
    no = (1.0 - prior) * np.where(said, 1.0 - specificity, specificity).prod(axis=1)
    probability: npt.NDArray[np.float64] = yes / (yes + no)
    return probability


def _rates(weights: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Equations 18 and 19: the share of the weighted voxels in which each grader is right."""
    rates: npt.NDArray[np.float64] = weights @ right / max(float(weights.sum()), _SURE)
    return rates


def _beyond_chance(observed: float, by_chance: float) -> float | None:
    return None if by_chance >= 1.0 else (observed - by_chance) / (1.0 - by_chance)
