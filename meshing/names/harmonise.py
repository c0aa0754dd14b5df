"""From a label to the structure that it means, with how that is known and how surely."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from typing import Literal, NamedTuple

from meshing.errors import NotFoundError
from meshing.library import asset
from meshing.names.corrections import KEEP, Corrections
from meshing.names.lexicon import Keys, is_known, lexicon
from meshing.names.likeness import nearest
from meshing.names.spelling import Guess, WordList
from meshing.names.spoken import abbreviates, is_side, read, says_nothing, tokens_of
from meshing.terminology import Structure, names_of, plain, structures

SURE = 0.8
"""The least confidence at which a name is matched; of the held-out names of tests/meshing/names none was wrong then."""

How = Literal[
    "exact", "alias", "word order", "synonym", "abbreviation", "spelling", "code", "class number", "correction", "none"
]

_CONFIDENCE: dict[How, float] = {
    "exact": 1.0,
    "alias": 1.0,
    "correction": 1.0,
    "word order": 0.98,
    "synonym": 0.95,
    "class number": 0.95,
    "code": 0.92,
    "abbreviation": 0.9,
}
_SPELT = 0.97
_PER_EDIT = 0.8
"""Of the name's letters: one wrong among five is just sure enough."""

_FIRST_LETTER = 0.03
_RIVAL_NEAR = 0.06
"""What a first letter that differs costs, and another structure only one edit farther."""

_NUMBERED = 0.9
"""Of a lesion with a number behind it: "tumour 2"."""

_LONGEST_NAME = 256
_MOST_MISSPELT = 3
_MOST_GUESSES = 6
_SHORTEST_WHOLE = 8
"""Letters that a name without spaces needs before it is mended as one."""


@dataclass(frozen=True)
class Label:
    """What a file says of one label; what it does not say is "" or None.

    Parameters
    ----------
    code, meaning
        SNOMED CT concept identifier, and its wording with the side: "Left Kidney".
    """

    number: int | None = None
    name: str = ""
    code: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Match:
    """What a label means.

    Parameters
    ----------
    structure
        None where nothing is sure enough, or a correction says so.
    confidence
        0 to 1; of a match at least `SURE`. Not a probability: an order, held against lists of names.
    how
        What the match rests on.
    rivals
        Of what is not matched, the nearest candidates; of a match, what else it may be.
    is_left_out
        A correction wants the label dropped.
    """

    structure: Structure | None
    confidence: float
    how: How
    rivals: tuple[Structure, ...] = ()
    is_left_out: bool = False


@dataclass(frozen=True)
class Matched:
    """A label and what it means."""

    label: Label
    match: Match


@dataclass(frozen=True)
class Naming:
    """How labels get their structures.

    Parameters
    ----------
    corrections
        What a person says; goes before all.
    scheme
        One of `schemes()`, for labels without a name; None where numbers mean nothing.
    """

    corrections: Corrections | None = None
    scheme: str | None = None

    def __post_init__(self) -> None:
        if self.scheme is not None and self.scheme not in schemes():
            raise NotFoundError(
                f"no class numbers are known of {self.scheme!r}", hint=f"one of: {', '.join(sorted(schemes()))}"
            )

    def match(self, label: Label) -> Match:
        """What one label means."""
        return (
            self._corrected(label)
            or self._by_class_number(label)
            or _by_name_and_code(label.name[:_LONGEST_NAME], label.code, label.meaning[:_LONGEST_NAME])
        )

    def _corrected(self, label: Label) -> Match | None:
        said = self.corrections.of(label.number, label.name) if self.corrections else None
        if said is None:
            return None
        structure = structures().get(said) if said != KEEP else None
        return Match(structure, 1.0, "correction", is_left_out=said == "")

    def _by_class_number(self, label: Label) -> Match | None:
        if self.scheme is None or label.name or label.number is None:
            return None
        key = schemes()[self.scheme].get(label.number)
        return _match(key, "class number") if key else Match(None, 0.0, "none")


BY_NAME = Naming()
"""No corrections, and numbers mean nothing."""


def harmonise(
    labels: Iterable[Label], *, corrections: Corrections | None = None, scheme: str | None = None
) -> tuple[Matched, ...]:
    """Every label, in the order given, and what it means.

    Examples
    --------
    >>> from meshing.names import Label, harmonise
    >>> found = harmonise([Label(1, "ren sinister"), Label(2, "couch")])
    >>> [one.match.structure and one.match.structure.key for one in found]
    ['kidney_left', None]

    Raises
    ------
    NotFoundError
        If no class numbers are known of that scheme.
    """
    naming = Naming(corrections, scheme)
    return tuple(Matched(label, naming.match(label)) for label in labels)


def match_name(name: str) -> Match:
    """What a name alone means."""
    return BY_NAME.match(Label(name=name))


@cache
def schemes() -> dict[str, dict[int, str]]:
    """Scheme → class number → key."""
    tables = tomllib.loads(asset("classes.toml").read_text(encoding="utf-8"))
    return {scheme: {int(number): key for number, key in table.items()} for scheme, table in tables.items()}


# ----------------------------------------------------------------------------------------------------- names and codes


@lru_cache(maxsize=16_384)
def _by_name_and_code(name: str, code: str, meaning: str) -> Match:
    """By the name; where it says nothing, by the code and its wording."""
    found = _by_name(name)
    by_code = _by_code(code, name, meaning) if code or meaning else None
    if found.structure is None:
        return by_code or found
    if by_code and by_code.structure and by_code.structure.code != found.structure.code:
        return replace(found, confidence=min(found.confidence, SURE), rivals=(by_code.structure,))
    return found


def _by_code(code: str, name: str, meaning: str) -> Match | None:
    """The one structure of that code and side; of several, or of a code that is not known, what its wording means."""
    sides = {read(tokens_of(text)).side for text in (name, meaning)} - {""}
    side = sides.pop() if len(sides) == 1 else "both" if sides else ""
    keys = [key for key in _coded().get(code, ()) if structures()[key].side == side]
    said = _by_name(meaning).structure if meaning else None
    if said and (not keys or said.key in keys) and side in ("", said.side):
        return _match(said.key, "code")
    return _match(keys[0], "code") if len(keys) == 1 else None


@cache
def _coded() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, structure in structures().items():
        found.setdefault(structure.code, []).append(key)
    return {code: keys for code, keys in found.items() if code}


def _by_name(name: str) -> Match:
    if key := _as_written().get(plain(name)):
        is_name = plain(name) in {plain(text) for text in names_of(key)[:3]}
        return _match(key, "exact" if is_name else "alias")
    for text in dict.fromkeys((name, name.lower())):  # once more without camelCase, which a slip of the hand makes too
        tokens = tokens_of(text)
        for found in (_by_words(tokens), _by_whole(tokens), _numbered(tokens), _mended(tokens)):
            if found and found.confidence >= SURE:
                return found
    return Match(None, 0.0, "none", nearest(name)) if name.strip() else Match(None, 0.0, "none")


@cache
def _as_written() -> dict[str, str]:
    return {plain(name): key for key in structures() for name in names_of(key)}


def _match(key: str, how: How, confidence: float | None = None) -> Match:
    return Match(structures()[key], _CONFIDENCE[how] if confidence is None else round(confidence, 3), how)


def _by_words(tokens: tuple[str, ...]) -> Match | None:
    """What the words say in any order and language."""
    reading = read(tokens)
    keys = lexicon().by_reading.get(reading, frozenset())
    if len(keys) != 1:
        return None
    (key,) = keys
    if abbreviates(tokens):
        return _match(key, "abbreviation") if not all(abbreviates([token]) for token in tokens) else None
    own = {tuple(sorted(tokens_of(name))) for name in names_of(key)}
    return _match(key, "word order" if tuple(sorted(tokens)) in own else "synonym")


def _by_whole(tokens: tuple[str, ...]) -> Match | None:
    """Names written as one, and initials with or without the region before them."""
    words = lexicon()
    whole = "".join(tokens)
    keys = words.by_initials.get(whole) or words.by_initials.get(tokens[-1] if tokens else "") or frozenset()
    if len(keys) == 1:
        (key,) = keys
        rest = set(read(tokens[:-1]).words) if whole not in words.by_initials else set()
        return _match(key, "abbreviation") if rest <= set(read(tokens_of(names_of(key)[0])).words) else None
    return _only(words.by_whole.get(whole, frozenset()), "synonym")


def _only(keys: Keys, how: How) -> Match | None:
    return _match(next(iter(keys)), how) if len(keys) == 1 else None


def _numbered(tokens: tuple[str, ...]) -> Match | None:
    """A lesion with a number behind it; there may be many."""
    if len(tokens) < 2 or not tokens[-1].isdigit():
        return None
    found = _by_words(tokens[:-1])
    if found is None or found.structure is None or found.structure.system != "lesion":
        return None
    return replace(found, confidence=min(found.confidence, _NUMBERED))


# ------------------------------------------------------------------------------------------------------------ spelling


class _Mended(NamedTuple):
    """A way to spell a name, by which it means a structure."""

    key: str
    edits: int
    first_letters: int
    """Words whose first letter changed."""
    letters: int
    """Of the mended name."""


def _mended(tokens: tuple[str, ...]) -> Match | None:
    """What a name means when its misspelt words are mended, if nothing else is as near."""
    ways = [*_by_mended_words(tokens), *_by_mended_whole(tokens)]
    if not ways:
        return None
    best = min(ways, key=lambda way: (way.edits, way.first_letters))
    others = [way.edits for way in ways if way.key != best.key]
    if best.edits >= min(others, default=99):
        return None
    confidence = _SPELT - _PER_EDIT * best.edits / best.letters - _FIRST_LETTER * best.first_letters
    if min(others, default=99) == best.edits + 1:
        confidence -= _RIVAL_NEAR
    return _match(best.key, "spelling", confidence)


def _by_mended_words(tokens: tuple[str, ...]) -> Iterator[_Mended]:
    wrong = [at for at, token in enumerate(tokens) if token.isascii() and token.isalpha() and not _is_fine(token)]
    if not 0 < len(wrong) <= _MOST_MISSPELT:
        return
    for guesses in product(*[_guesses(tokens[at]) for at in wrong]):
        spelt = list(tokens)
        for at, guess in zip(wrong, guesses, strict=True):
            spelt[at] = guess.word
        edits = sum(guess.edits for guess in guesses)
        first = sum(guess.word[0] != tokens[at][0] for at, guess in zip(wrong, guesses, strict=True))
        for key in lexicon().by_reading.get(read(spelt), ()):
            yield _Mended(key, edits, first, sum(map(len, spelt)))


def _is_fine(token: str) -> bool:
    return is_known(token) or is_side(token) or says_nothing(token) or abbreviates([token])


@lru_cache(maxsize=16_384)
def _guesses(word: str) -> tuple[Guess, ...]:
    return tuple(_words().near(word)[:_MOST_GUESSES])


def _by_mended_whole(tokens: tuple[str, ...]) -> Iterator[_Mended]:
    """One letter wrong in a name written as one, or a letter instead of a space; digits stand."""
    whole = "".join(tokens)
    if len(whole) < _SHORTEST_WHOLE or not whole.isascii() or not whole.isalpha():
        return
    if all(_is_fine(token) for token in tokens):
        return
    for guess in _wholes().near(whole, 1):
        for key in lexicon().by_whole[guess.word]:
            yield _Mended(key, guess.edits, int(guess.word[0] != whole[0]), len(guess.word))


@cache
def _words() -> WordList:
    return WordList(_lettered(lexicon().words, 4))


def _lettered(words: Iterable[str], least: int) -> list[str]:
    """Those of so many Latin letters and nothing else."""
    return sorted(word for word in words if len(word) >= least and word.isascii() and word.isalpha())


@cache
def _wholes() -> WordList:
    return WordList(_lettered(lexicon().by_whole, _SHORTEST_WHOLE - 1))
