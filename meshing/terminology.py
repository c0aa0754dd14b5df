"""What structures are called, in both languages, with code, side, system and colour.

Reads `assets/terminology.toml`; foreign names ("kidney_left", "Kidney, left", "左肾") find their structure by alias.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from meshing.library import asset

Side = Literal["left", "right", ""]

# Words that label files add or leave out freely: "Structure of left kidney" is "left kidney".
_SILENT_WORDS = frozenset({"of", "the", "structure"})


@dataclass(frozen=True)
class Structure:
    """A kind of anatomy.

    Parameters
    ----------
    key
        Stable, words joined by underscores: "kidney_left"; TotalSegmentator's class name where it has one.
    name, name_zh
        Display names.
    code
        SNOMED CT concept identifier, or "" where none is known. Of a sided structure it is the concept without its
        side; where no table holds the very structure, the nearest broader concept.
    side
        The patient's side that it lies on, or "". Structures that are only *called* left or right (the left atrium,
        the left hepatic vein) have none.
    system
        Key of `systems()`: "skeletal", "vascular_arterial", "digestive", …
    colour
        sRGB, each 0 to 1.
    opacity
        How it is drawn unless the user says otherwise, 0 to 1.
    meaning, category
        The code's own wording, and the code of its category, as DICOM segments want them.

    References
    ----------
    DICOM PS3.3 C.8.20.2 (Segmented Property Category and Type), PS3.16 CID 7150 and 7151.
    """

    key: str
    name: str
    name_zh: str
    code: str = ""
    side: Side = ""
    system: str = "other"
    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0
    meaning: str = ""
    category: str = ""


@dataclass(frozen=True)
class System:
    """A group of structures, in the order that lists show them."""

    key: str
    name: str
    name_zh: str


@cache
def structures() -> dict[str, Structure]:
    """Every structure of the terminology by key."""
    return {key: _structure(key, row) for key, row in _table()["structures"].items()}


@cache
def systems() -> dict[str, System]:
    """Every system by key, in display order."""
    return {key: System(key, row["name"], row["name_zh"]) for key, row in _table()["systems"].items()}


def plain(name: str) -> str:
    """The name as a key: lower case, words joined by underscores; Chinese characters stay."""
    # NFKC folds the full-width brackets and letters of Chinese input into their ASCII forms.
    return re.sub(r"[^\w]+", "_", unicodedata.normalize("NFKC", name).strip().lower()).strip("_")


def match(name: str) -> Structure | None:
    """The structure of that name, key or alias in either language, or None; the order of words does not matter."""
    key = _aliases().get(plain(name)) or _word_sets().get(_words(name))
    return structures()[key] if key else None


def structure_for(name: str, number: int = 0) -> Structure:
    """The structure of that name; an unknown name keeps itself and gets a colour of its own from `number`."""
    return match(name) or unknown_structure(name, number)


def unknown_structure(name: str, number: int = 0) -> Structure:
    """A structure of that very name, with a side if it says one and a colour of its own from `number`."""
    key = plain(name) or f"structure_{number}"
    words = key.split("_")
    side: Side = "left" if "left" in words else "right" if "right" in words else ""
    return Structure(key, name.strip() or key, name.strip() or key, side=side, colour=_spread_colour(number))


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(asset("terminology.toml").read_text(encoding="utf-8"))


def names_of(key: str) -> tuple[str, ...]:
    """Every name that a structure is known by here: key, name, Chinese name, aliases."""
    return _names(key, _table()["structures"][key])


def _names(key: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (key, row["name"], row["name_zh"], *row.get("aliases", ()))


@cache
def _aliases() -> dict[str, str]:
    return {plain(name): key for key, row in _table()["structures"].items() for name in _names(key, row)}


@cache
def _word_sets() -> dict[tuple[str, ...], str]:
    """Sorted words to key; words that fit two structures fit none."""
    found: dict[tuple[str, ...], set[str]] = {}
    for key, row in _table()["structures"].items():
        for name in _names(key, row):
            found.setdefault(_words(name), set()).add(key)
    return {words: keys.pop() for words, keys in found.items() if words and len(keys) == 1}


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in plain(name).split("_") if word not in _SILENT_WORDS))


def _spread_colour(number: int) -> tuple[float, float, float]:
    """A colour that differs from its neighbours': hue steps by the golden ratio."""
    import colorsys

    return colorsys.hsv_to_rgb((0.61803398875 * number + 0.1) % 1.0, 0.45, 0.85)


def _structure(key: str, row: dict[str, Any]) -> Structure:
    red, green, blue = (int(row["colour"][at : at + 2], 16) / 255 for at in (1, 3, 5))
    plain_fields = {name: row[name] for name in ("name", "name_zh", "system", "opacity")}
    coded = {name: row.get(name, "") for name in ("code", "meaning", "category", "side")}
    return Structure(key=key, colour=(red, green, blue), **plain_fields, **coded)
