"""What a name says, whatever its language and spelling: words, numbers, levels of the spine and a side.

In comes the text of a label, out comes a `Reading` that two names share when they mean the same. Words of many
languages become one (`assets/names.toml`); their order does not count. Numbers, levels and sides stand apart, and no
likeness of letters bridges them: rib 1 is not rib 11, L1 not L2, left not right.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from meshing.library import asset

SpokenSide = Literal["left", "right", "", "both"]

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TOKEN = re.compile(r"[a-z]+\d+|[a-z]+|\d+|[\u3400-\u9fff]+")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")
_LEVEL = re.compile(r"(th|[ctls])0?(\d{1,2})")
_PAIR_OF_LEVELS = re.compile(r"\b(th|[ctl])(\d{1,2})\s*[/_–-]\s*(\d{1,2})\b")
_LAST_LEVEL = {"c": 7, "t": 12, "l": 5, "s": 5}
_SPINE = {"cervical": "c", "thoracic": "t", "lumbar": "l", "sacral": "s"}
_SPINE_ZH = {"颈": "c", "胸": "t", "腰": "l", "骶": "s"}
_SAID_BY_LEVEL = frozenset({"vertebra", "body", *_SPINE})
"""Words that a level such as L3 says already."""

_NUMERALS = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth"]
_ORDINALS += ["seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"]
_COUNTED = frozenset({"rib", "vertebra", *_SPINE})
"""Beside these words, Roman numerals and "third" are numbers."""

_ZH_NUMBER = r"(\d{1,2}|[一二三四五六七八九十]{1,3})"
_ZH_LEVELS = (
    re.compile(rf"第?{_ZH_NUMBER}节?(?P<part>[颈胸腰骶])(?:椎体|椎骨|椎)"),
    re.compile(rf"(?P<part>[颈胸腰骶])椎?第?{_ZH_NUMBER}(?:节|椎体|椎骨|椎)*"),
)
_ZH_ORGAN = re.compile(r"(?<=[肝肾脾胰心肺])脏")


class Reading(NamedTuple):
    """What a name says.

    Parameters
    ----------
    words
        Sorted canonical words, without those that say nothing.
    numbers, levels
        Sorted: (3,) of "third rib", ("l4", "l5") of a disc.
    side
        As said; "both" where a name says left and right.
    """

    words: tuple[str, ...]
    numbers: tuple[int, ...]
    levels: tuple[str, ...]
    side: SpokenSide


@cache
def spellings() -> dict[str, Any]:
    """The tables of `assets/names.toml`."""
    return tomllib.loads(asset("names.toml").read_text(encoding="utf-8"))


def folded(text: str) -> str:
    """Lower case without accents, in simplified characters, camelCase cut."""
    text = unicodedata.normalize("NFKC", text)
    text = _CAMEL.sub(" ", text).casefold().replace("œ", "oe").replace("æ", "ae")
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return bare.translate(_simplified())


def tokens_of(text: str) -> tuple[str, ...]:
    """Words, numbers, levels ("l3") and runs of Chinese, folded and in their order."""
    spaced = _PAIR_OF_LEVELS.sub(r"\1\2 \1\3", _ORDINAL.sub(r"\1 ", _spaced_chinese(folded(text))))
    return tuple(token for found in _TOKEN.findall(spaced) for token in _parted(found))


def read(tokens: Sequence[str]) -> Reading:
    """What those tokens say together."""
    words: list[str] = []
    numbers: list[int] = []
    levels: set[str] = set()
    sides: set[SpokenSide] = set()
    for token in _counted(tokens):
        if token in _sides():
            sides.add(_sides()[token])
        elif token.isdigit():
            numbers.append(int(token))
        elif _is_level(token):
            levels.add(token)
        elif token not in _silent():
            words += _canonical(token)
    _raise_to_level(words, numbers, levels)
    if levels:
        words = [word for word in words if word not in _SAID_BY_LEVEL]
    side: SpokenSide = "both" if len(sides) > 1 else next(iter(sides), "")
    return Reading(tuple(sorted(words)), tuple(sorted(numbers)), tuple(sorted(levels)), side)


def abbreviates(tokens: Sequence[str]) -> bool:
    """Whether one of the words is only an abbreviation."""
    return any(token in _short() for token in tokens)


@cache
def known_words() -> frozenset[str]:
    """Every word of the tables as it may be written, sides with it; not those that say nothing.

    A word mended into one of those would leave its name without it: "segment of lung" is no lung.
    """
    translated = {part for words in _translations().values() for part in words}
    return frozenset({*_translations(), *translated, *_sides(), *_ORDINALS})


@cache
def other_words() -> frozenset[str]:
    """Real words that no structure is called by; they are spelt as meant."""
    return frozenset(spellings()["others"]["words"])


def says_nothing(token: str) -> bool:
    """Whether label files add or leave it out freely."""
    return token in _silent()


def is_side(token: str) -> bool:
    """Whether it says left or right."""
    return token in _sides()


def stem(word: str) -> str:
    """The word without the ending of its plural, as far as a rule goes: both sides of a comparison are cut alike."""
    if len(word) > 5 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "suia" else word


def _parted(token: str) -> Iterator[str]:
    """Letters and digits apart, unless they are a level; Chinese without what it leaves out freely."""
    if token[0] > "\u3400":
        yield from _parted_chinese(token)
    elif level := _LEVEL.fullmatch(token):
        yield f"{level[1][0]}{int(level[2])}"
    else:
        yield from re.findall(r"[a-z]+|\d+", token)


def _is_level(token: str) -> bool:
    return _LEVEL.fullmatch(token) is not None


def _canonical(word: str) -> tuple[str, ...]:
    return _translations().get(word) or _translations().get(stem(word)) or (stem(word),)


def _counted(tokens: Sequence[str]) -> list[str]:
    """Numerals beside a rib or a vertebra become digits: "costa XI", "third lumbar vertebra"."""
    if not any(_COUNTED & set(_canonical(token)) for token in tokens):
        return list(tokens)
    counts = {word: str(at + 1) for words in (_ORDINALS, _NUMERALS) for at, word in enumerate(words)}
    return [counts.get(token, token) for token in tokens]


def _raise_to_level(words: list[str], numbers: list[int], levels: set[str]) -> None:
    """ "Lumbar vertebra 3" says L3."""
    parts = [part for part in _SPINE if part in words]
    if len(parts) == 1 and len(numbers) == 1 and not levels:
        letter = _SPINE[parts[0]]
        if 1 <= numbers[0] <= _LAST_LEVEL[letter]:
            levels.add(f"{letter}{numbers.pop()}")


# ------------------------------------------------------------------------------------------------------------ Chinese


def _spaced_chinese(text: str) -> str:
    """Levels and ordinals of Chinese names written as "l3" and "3"; the organ's 脏 left away."""
    for pattern in _ZH_LEVELS:
        text = pattern.sub(lambda found: f" {_SPINE_ZH[found['part']]}{_zh_number(found)} ", text)
    text = re.sub(rf"第{_ZH_NUMBER}", lambda found: f" {_value(found[1])} ", text)
    if re.search(r"\d", text):
        text = text.replace("肋骨", "肋")
    return _ZH_ORGAN.sub("", text)


def _zh_number(found: re.Match[str]) -> int:
    return _value(next(group for group in found.groups() if group and group not in _SPINE_ZH))


def _value(numeral: str) -> int:
    """Of digits, or of Chinese numerals below 100."""
    if numeral.isdigit():
        return int(numeral)
    tens, ten, ones = numeral.rpartition("十") if "十" in numeral else ("", "", numeral)
    digits = "一二三四五六七八九"
    return (10 * (digits.find(tens) + 1 if tens else 1) if ten else 0) + (digits.find(ones) + 1 if ones else 0)


def _parted_chinese(token: str) -> Iterator[str]:
    """Side and the rest; runs that say nothing are left away, unless nothing else is said."""
    for side in "左右":
        if side in token:
            yield side
            token = token.replace(side, "")
    bare = token
    for silent in spellings()["silent"]["chinese"]:
        bare = bare.replace(silent, "")
    if bare:
        yield bare


# -------------------------------------------------------------------------------------------------------------- tables


@cache
def _simplified() -> dict[int, int]:
    table = spellings()["characters"]
    return {ord(a): ord(b) for a, b in zip(table["traditional"], table["simplified"], strict=True)}


@cache
def _sides() -> dict[str, SpokenSide]:
    table = spellings()["sides"]
    left: dict[str, SpokenSide] = dict.fromkeys(["left", *table["left"]], "left")
    return {**left, **dict.fromkeys(["right", *table["right"]], "right")}


@cache
def _silent() -> frozenset[str]:
    return frozenset(spellings()["silent"]["words"])


@cache
def _short() -> frozenset[str]:
    return frozenset(short for variants in spellings()["abbreviations"].values() for short in variants)


@cache
def _abbreviations() -> dict[str, tuple[str, ...]]:
    return _inverted(spellings()["abbreviations"])


@cache
def _translations() -> dict[str, tuple[str, ...]]:
    return {**_abbreviations(), **_inverted(spellings()["words"])}


def _inverted(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    said = {variant: tuple(words.split()) for words, variants in table.items() for variant in variants}
    return {**said, **{word: (word,) for words in table for word in words.split() if word not in said}}
