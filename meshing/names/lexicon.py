"""Every name that a structure is known by, read: from what a name says to the structures that it may mean.

Names come from the terminology and from the phrases of `assets/names.toml`. Muscles, bones and glands are found with
and without that word. Beside the readings stand names written as one ("leftkidney"), for those who leave out spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, TypeVar

from meshing.names.spoken import Reading, known_words, other_words, read, spellings, stem, tokens_of
from meshing.terminology import names_of, structures

Keys = frozenset[str]
_Name = TypeVar("_Name")

_KINDS = {"muscular": "muscle", "skeletal": "bone", "endocrine": "gland"}
"""The word that names of a system bear or leave out."""

_NAMED_BY_KIND = ("skeletal_muscle", "bone")
"""What is left of their names without it says nothing."""


class Lexicon(NamedTuple):
    """Keys by reading, by the name written as one, and by initials; words as they may be spelt."""

    by_reading: dict[Reading, Keys]
    by_whole: dict[str, Keys]
    by_initials: dict[str, Keys]
    words: frozenset[str]


@cache
def lexicon() -> Lexicon:
    """The one of this project."""
    by_reading: dict[Reading, set[str]] = {}
    by_whole: dict[str, set[str]] = {}
    words: set[str] = set()
    for key, name, is_own in _all_names():
        tokens = tokens_of(name)
        words.update(tokens)
        for reading in _readings(read(tokens), key) if is_own else (read(tokens),):
            by_reading.setdefault(reading, set()).add(key)
        for whole in _wholes(tokens):
            by_whole.setdefault(whole, set()).add(key)
    words |= {stem(word) for word in words} | known_words()
    return Lexicon(_frozen(by_reading), _frozen(by_whole), _initials(), frozenset(words))


def is_known(word: str) -> bool:
    """Whether a word is spelt as one of those known here."""
    known, others = lexicon().words, other_words()
    return word in known or word in others or stem(word) in known


def _all_names() -> Iterator[tuple[str, str, bool]]:
    """Key, name, and whether the terminology has it: "breast bone" is the sternum, "breast" is not."""
    for key in structures():
        yield from ((key, name, True) for name in names_of(key))
    for base, phrases in spellings()["phrases"].items():
        for phrase in phrases:
            yield from ((key, f"{side} {phrase}".strip(), False) for key, side in _keys_of(base))


def _keys_of(base: str) -> Iterator[tuple[str, str]]:
    """The structure of that key, and those of its two sides."""
    if base in structures():
        yield base, ""
    yield from ((f"{base}_{side}", side) for side in ("left", "right") if f"{base}_{side}" in structures())


def _readings(reading: Reading, key: str) -> Iterator[Reading]:
    yield reading
    kind = _KINDS.get(structures()[key].system, "gland" if "gland" in reading.words else "")
    if not kind:
        return
    bare = tuple(word for word in reading.words if word != kind)
    if bare and key not in _NAMED_BY_KIND:
        yield reading._replace(words=bare)
        yield reading._replace(words=tuple(sorted((*bare, kind))))


def _wholes(tokens: tuple[str, ...]) -> Iterator[str]:
    """The name without spaces; a side, spelled out, at either end. One letter would make "clavicler" a right one."""
    yield "".join(tokens)
    sides = [token for token in tokens if token in ("left", "right")]
    if len(sides) == 1:
        rest = "".join(token for token in tokens if token not in sides)
        yield from (f"{sides[0]}{rest}", f"{rest}{sides[0]}")


def _initials() -> dict[str, Keys]:
    found: dict[str, set[str]] = {}
    for key, initials in spellings()["initials"].items():
        for letters in initials:
            found.setdefault(letters, set()).add(key)
    return _frozen(found)


def _frozen(table: dict[_Name, set[str]]) -> dict[_Name, Keys]:
    return {name: frozenset(keys) for name, keys in table.items()}
