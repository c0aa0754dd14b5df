"""The structures whose names look most like another, for what could not be matched: shared pairs of letters."""

from __future__ import annotations

from functools import cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from meshing.names.spoken import folded, read, tokens_of
from meshing.terminology import Structure, names_of, structures

_BINS = 1024
_LEAST = 0.3
"""A cosine below which the likeness is chance."""


def nearest(text: str, count: int = 3) -> tuple[Structure, ...]:
    """Up to `count` structures, most alike first, none of the other side; empty where none is alike."""
    names, rows = _table()
    likeness = rows @ _pairs(text)
    side = read(tokens_of(text)).side
    found: list[Structure] = []
    for at in np.argsort(-likeness, kind="stable")[: 8 * count].tolist():
        structure = structures()[names[at]]
        is_other_side = side in ("left", "right") and structure.side not in ("", side)
        if likeness[at] >= _LEAST and structure not in found and not is_other_side:
            found.append(structure)
    return tuple(found[:count])


@cache
def _table() -> tuple[list[str], npt.NDArray[np.float32]]:
    """Keys, and the pairs of each of their names."""
    named = [(key, name) for key in structures() for name in names_of(key)]
    return [key for key, _ in named], np.stack([_pairs(name) for _, name in named])


def _pairs(text: str) -> npt.NDArray[np.float32]:
    """Unit vector of the pairs of letters; of Chinese, single characters count too."""
    words = folded(text).replace("_", " ").split()
    pieces = [word[at : at + 2] for word in (f" {word} " for word in words) for at in range(len(word) - 1)]
    pieces += [sign for word in words for sign in word if sign > "\u3400"]
    counts = np.zeros(_BINS, np.float32)
    for piece in pieces:
        counts[crc32(piece.encode()) % _BINS] += 1
    return counts / max(float(np.linalg.norm(counts)), 1e-6)
