"""The words that pictures and panels write, in English and Chinese; from `assets/words.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Literal

from meshing.library import asset

Language = Literal["en", "zh"]


def word(key: str, language: Language) -> str:
    """What `key` is called; may hold `{}` for `str.format`."""
    return _words()[key][language]


@cache
def _words() -> dict[str, dict[str, str]]:
    return tomllib.loads(asset("words.toml").read_text(encoding="utf-8"))
