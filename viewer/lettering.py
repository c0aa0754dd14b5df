"""Text on pictures in the bundled fonts, Latin and Chinese in one line, the same on every machine.

Positions are pixels; `anchor` is Pillow's, of which "l", "m", "r" and "a", "m", "s" are known here.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import groupby
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from meshing.library import asset

Weight = Literal["Regular", "SemiBold"]
Ink = tuple[int, int, int]

_FIRST_CHINESE = 0x2E80  # CJK radicals begin here; every later character comes from the Chinese font
_CAP_HEIGHT = 0.73  # of the size, in Inter


def text_width(text: str, px: int, weight: Weight = "Regular") -> float:
    """Width in pixels."""
    return sum(font.getlength(run) for run, font in _runs(text, px, weight))


def write(
    picture: Image.Image,
    at: tuple[float, float],
    text: str,
    *,
    px: int,
    ink: Ink,
    weight: Weight = "Regular",
    anchor: str = "ls",
    halo: Ink | None = None,
) -> None:
    """Write one line.

    Parameters
    ----------
    anchor
        "l", "m" or "r" of the width, then "t" (top of capitals), "m" (their middle) or "s" (baseline).
    halo
        Colour of a thin edge that keeps text readable over a scan.
    """
    x, y = at
    width = text_width(text, px, weight)
    x -= {"l": 0.0, "m": width / 2, "r": width}[anchor[0]]
    y += {"t": 1.0, "m": 0.5, "s": 0.0}[anchor[1]] * _CAP_HEIGHT * px
    left, top = math.floor(x) - px, math.floor(y) - 2 * px
    shape = Image.new("L", (math.ceil(width) + 3 * px, 3 * px), 0)
    draw = ImageDraw.Draw(shape)
    for run, font in _runs(text, px, weight):
        draw.text((x - left, y - top), run, font=font, fill=255, anchor="ls")
        x += font.getlength(run)
    if halo:
        picture.paste(halo, (left, top), shape.filter(ImageFilter.MaxFilter(2 * max(1, round(px / 14)) + 1)))
    picture.paste(ink, (left, top), shape)


def wrapped(text: str, px: int, width: float) -> list[str]:
    """The text in lines of at most `width` pixels; Chinese may break anywhere, Latin between words."""
    words = [word for piece in text.split(" ") for word in _breakable(piece)]
    lines, line = [], ""
    for word in words:
        longer = line + word
        if line and text_width(longer.rstrip(), px) > width:
            lines.append(line.rstrip())
            longer = word
        line = longer
    return [*lines, line.rstrip()] if line.strip() else lines


def shortened(text: str, px: int, width: float) -> str:
    """The text, its end replaced by "…" where it is wider than `width` pixels."""
    if text_width(text, px) <= width:
        return text
    while text and text_width(text + "…", px) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _breakable(piece: str) -> list[str]:
    if not any(ord(character) >= _FIRST_CHINESE for character in piece):
        return [piece + " "]
    return list(piece)


def _runs(text: str, px: int, weight: Weight) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    return [
        ("".join(run), _font("NotoSansSC-Regular" if is_chinese else f"Inter-{weight}", px))
        for is_chinese, run in groupby(text, key=lambda character: ord(character) >= _FIRST_CHINESE)
    ]


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    # The basic layout engine: the other one depends on what is installed beside Pillow.
    return ImageFont.truetype(asset(f"fonts/{name}.otf"), px, layout_engine=ImageFont.Layout.BASIC)
