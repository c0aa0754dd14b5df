"""Plain-text tables; a Chinese character is two columns wide."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]], texts: Collection[int] = (0,)) -> list[str]:
    """Lines with columns aligned: `texts`, by number, to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(_width(row[at]) for row in cells) for at in range(len(header))]
    return ["  ".join(_padded(cell, widths[at], at in texts) for at, cell in enumerate(row)).rstrip() for row in cells]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, width: int, to_left: bool) -> str:
    gap = " " * (width - _width(text))
    return text + gap if to_left else gap + text
