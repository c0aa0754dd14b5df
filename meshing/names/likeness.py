"""The structures whose names look most like another, for what could not be matched: shared pairs of letters."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.names.spoken import folded, read, tokens_of
from meshing.terminology import Structure, names_of, structures

_LEAST = 0.4
"""A cosine below which the likeness is chance."""


def nearest(text: str, count: int = 3) -> tuple[Structure, ...]:
    """Up to `count` structures, most alike first, none of the other side; empty where none is alike."""
    table = _table()
    likeness = np.zeros(len(table.keys))
    for pair, weight in _weighed(text).items():
        if pair in table.rows:
            likeness[table.rows[pair]] += weight * table.weights[pair]
    side = read(tokens_of(text)).side
    found: list[Structure] = []
    for at in np.argsort(-likeness, kind="stable")[: 8 * count].tolist():
        structure = structures()[table.keys[at]]
        is_other_side = side in ("left", "right") and structure.side not in ("", side)
        if likeness[at] >= _LEAST and structure not in found and not is_other_side:
            found.append(structure)
    return tuple(found[:count])


class _Table(NamedTuple):
    """Of every name its key; of every pair of letters the names that have it, and how much it weighs there."""

    keys: list[str]
    rows: dict[str, npt.NDArray[np.int64]]
    weights: dict[str, npt.NDArray[np.float64]]


@cache
def _table() -> _Table:
    named = [(key, name) for key in structures() for name in names_of(key)]
    found: dict[str, list[tuple[int, float]]] = {}
    for row, (_, name) in enumerate(named):
        for pair, weight in _weighed(name).items():
            found.setdefault(pair, []).append((row, weight))
    rows = {pair: np.array([row for row, _ in places]) for pair, places in found.items()}
    weights = {pair: np.array([weight for _, weight in places]) for pair, places in found.items()}
    return _Table([key for key, _ in named], rows, weights)


def _weighed(text: str) -> dict[str, float]:
    """Pairs of letters as a vector of length 1; of Chinese, single characters count too."""
    words = folded(text).replace("_", " ").split()
    pairs = Counter(word[at : at + 2] for word in (f" {word} " for word in words) for at in range(len(word) - 1))
    pairs.update(sign for word in words for sign in word if sign > "\u3400")
    length = sum(times**2 for times in pairs.values()) ** 0.5
    return {pair: times / length for pair, times in pairs.items()}
