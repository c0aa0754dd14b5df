"""Which known words a misspelt one may mean: Damerau and Levenshtein's distance, weighed by length.

References
----------
F. J. Damerau, Commun ACM 7, 1964, 171–176 (four out of five misspellings are one letter wrong, more, less, or two
swapped).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_SHORTEST = 3
"""Letters of a word to be mended; known ones have four or more, so that only a lost letter leads there."""

_LETTERS = 26
_MOST_EDITS = 2
_FEWEST_LETTERS_FOR_TWO = 7


class Guess(NamedTuple):
    """A known word, and how many edits lead to it."""

    word: str
    edits: int


class WordList:
    """Known words, ready to be asked for those near another."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._counts = np.stack([_counts(word) for word in words])

    def near(self, word: str, most: int | None = None) -> list[Guess]:
        """Known words within so many edits, nearest first; by default one, two from seven letters on."""
        if len(word) < _SHORTEST:
            return []
        most = most or (_MOST_EDITS if len(word) >= _FEWEST_LETTERS_FOR_TWO else 1)
        # An edit changes the bag of letters by two at most, so that few words need be looked at.
        apart = np.abs(self._counts - _counts(word)).sum(axis=1)
        guesses = [
            Guess(self._words[at], edits)
            for at in np.flatnonzero(apart <= 2 * most).tolist()
            if (edits := distance(word, self._words[at], most)) <= most
        ]
        return sorted(guesses, key=lambda guess: (guess.edits, guess.word))


def _counts(word: str) -> npt.NDArray[np.int8]:
    letters = np.frombuffer(word.encode("ascii", "replace"), np.uint8).astype(np.int64) - ord("a")
    kept = letters[(letters >= 0) & (letters < _LETTERS)]
    return np.bincount(kept, minlength=_LETTERS).astype(np.int8)


def distance(one: str, other: str, most: int) -> int:
    """Letters wrong, more, less or swapped with their neighbour; `most` + 1 where there are more than `most`."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        last, row = row, [i, *[0] * len(other)]
        for j, its in enumerate(other, start=1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != its))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == its:
                row[j] = min(row[j], before[j - 2] + 1)
        if min(row) > most:
            return most + 1
        before = last
    return min(row[-1], most + 1)
