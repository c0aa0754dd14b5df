"""Why a model does not lie where it should: too large, turned, mirrored, shifted, or left and right exchanged.

A structure's bounds alone cannot tell: a mirrored patient has the same size and, recentred, the same place. So the
lowest corner, the highest corner and the centroid of every structure are held against all 48 ways to turn and mirror.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from meshing.exporting.expected import Expected, Measured
from meshing.exporting.findings import Problem, ProblemKind
from meshing.frames import FloatArray

_SCALE_SHARE = 0.02
"""Decimation changes a length by under 1 %; the mistakes looked for (mm, cm, inches) by far more."""

_BETTER = 0.5
"""Another orientation counts only when it fits twice as well as the right one."""

_AXES = "LPS"


def orientation_problems(expected: Sequence[Expected], measured: Mapping[str, Measured]) -> list[Problem]:
    """What is wrong with the model as a whole; empty when all is in place, or each structure is off in its own way."""
    pairs = [(one, measured[one.key]) for one in expected if one.key in measured]
    if all(one.fits(found) for one, found in pairs):
        return []
    problems = []
    scale = _scale(pairs)
    if abs(scale - 1) > _SCALE_SHARE:
        problems.append(
            Problem("units", f"the model is {scale:.4g} times as large as the case; lengths must be metres")
        )
    wanted = np.array([one.features_mm for one, _ in pairs])
    found = np.array([found.features_mm for _, found in pairs]) / scale
    shift = _middle(found) - _middle(wanted)
    # Orientation is judged with both at the origin, for a recentred model tells nothing by its place.
    allowed = float(np.mean([one.bounds_tolerance_mm for one, _ in pairs]))
    turned = _turn(wanted - _middle(wanted), found - _middle(found), allowed)
    if turned is not None:
        problems.append(_turn_problem(turned))
    elif not problems and _is_shifted(wanted, found, shift, allowed):
        far = ", ".join(f"{axis} {step:+.2f}" for axis, step in zip(_AXES, shift, strict=True))
        problems.append(Problem("matrix", f"the root matrix leads back beside the patient: {far} mm"))
    return problems


def exchanged(expected: Sequence[Expected], measured: Mapping[str, Measured]) -> dict[str, Problem]:
    """The problem of each structure that stands where another one should, by key."""
    problems = {}
    for one in expected:
        found = measured.get(one.key)
        if found is None or one.fits(found):
            continue
        for other in expected:
            if other.key != one.key and other.fits(found):
                kind: ProblemKind = "sides" if {one.side, other.side} == {"left", "right"} else "names"
                problems[one.key] = Problem(kind, f"{one.key} has the place and size of {other.key}")
                break
    return problems


def _scale(pairs: Sequence[tuple[Expected, Measured]]) -> float:
    """How many times too large the structures are: the median over them, from volumes, which no turn changes."""
    ratios = [abs(found.volume_ml / one.volume_ml) ** (1 / 3) for one, found in pairs if abs(one.volume_ml) > 1e-9]
    scale = float(np.median(ratios)) if ratios else 1.0
    return scale if np.isfinite(scale) and scale > 1e-9 else 1.0


def _turn(wanted: FloatArray, found: FloatArray, allowed_mm: float) -> FloatArray | None:
    """The signed permutation that carries `found` to `wanted`, when that is not the identity."""
    straight = _misfit(wanted, found)
    misfit, turn = min(((_misfit(wanted, _turned(found, turn)), turn) for turn in _turns()), key=lambda one: one[0])
    is_better = misfit <= allowed_mm and misfit < _BETTER * straight and straight > allowed_mm
    return turn if is_better else None


def _is_shifted(wanted: FloatArray, found: FloatArray, shift: FloatArray, allowed_mm: float) -> bool:
    """Whether all structures are off by one and the same step."""
    rest = np.abs(wanted - (found - shift)).max()
    return bool(rest <= allowed_mm < np.abs(shift).max())


def _turned(features: FloatArray, turn: FloatArray) -> FloatArray:
    """Features after a turn: what was the lowest corner need not be it any more."""
    turned = features @ turn.T
    turned[:, :2] = np.sort(turned[:, :2], axis=1)
    return turned


def _misfit(wanted: FloatArray, found: FloatArray) -> float:
    return float(np.abs(wanted - found).mean())


def _middle(features: FloatArray) -> FloatArray:
    """Centre of the box round all structures."""
    middle: FloatArray = (features[:, 0].min(axis=0) + features[:, 1].max(axis=0)) / 2
    return middle


def _turns() -> Iterator[FloatArray]:
    """The 48 signed permutations of three axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            yield np.eye(3)[list(order)] * np.array(signs)[:, None]


def _turn_problem(turn: FloatArray) -> Problem:
    """Says where the patient's L, P and S went."""
    opposite = {"L": "R", "P": "A", "S": "I"}
    words = []
    for axis, row in zip(_AXES, turn, strict=True):
        letter = _AXES[int(np.abs(row).argmax())]
        words.append(f"{axis} lies along {letter if row.max() > 0.5 else opposite[letter]}")
    moved = ", ".join(word for word in words if word[0] != word[-1])
    if np.linalg.det(turn) < 0:
        return Problem("mirrored", f"the model is mirrored: {moved}")
    return Problem("axes", f"the model is turned: {moved}")
