"""The column beside the panels: what the scan is, the legend, and what the picture is for."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from viewer.layout import TITLE_TEXTS, Box, line_px, text_px
from viewer.legend import Colour, LegendEntry
from viewer.lettering import Ink, Weight, shortened, text_width, wrapped, write
from viewer.scene import Scene
from viewer.scene.certainty import colours_of
from viewer.words import word

_LIGHT: Ink = (232, 236, 240)
_SOFT: Ink = (150, 159, 168)
_SMOOTH = 4  # dots are drawn this much larger and shrunk
_BANDS = 4  # colours that a dot can show


def paint_column(canvas: Image.Image, scene: Scene, box: Box) -> None:
    """Title, legend and notice, painted into `box` of the canvas."""
    px = text_px(scene.size)
    left, right = box.left + px * 1.3, box.right - px * 1.1
    _write_title(canvas, scene, (left, box.top + px * 1.2), right - left)
    top = box.top + px * TITLE_TEXTS
    if any(entry.volume_ml is not None for entry in scene.legend):
        unit = (right, top - px * 0.6)
        write(canvas, unit, word("millilitres", scene.language), px=round(px * 0.82), ink=_SOFT, anchor="rs")
    for number, entry in enumerate(scene.legend):
        middle = top + (number + 0.5) * line_px(scene.size)
        _write_entry(canvas, entry, (left, middle), right, px, scene)
    if scene.is_confidence_shown:
        _draw_scale(canvas, scene, (left, top + (len(scene.legend) + 1) * line_px(scene.size)), right)
    _write_notice(canvas, scene, (left, box.bottom - px * 1.0), right - left)


def _write_title(canvas: Image.Image, scene: Scene, at: tuple[float, float], width: float) -> None:
    px, small = text_px(scene.size), round(text_px(scene.size) * 0.86)
    left, top = at
    write(canvas, at, scene.modality, px=round(px * 1.5), ink=_LIGHT, weight="SemiBold", anchor="lt")
    name = scene.window.name_zh if scene.language == "zh" else scene.window.name
    lines = (
        word("voxels", scene.language).format(" × ".join(str(count) for count in scene.grid_shape)),
        " × ".join(f"{mm:.2f}" for mm in scene.spacing_mm) + " mm",
        word("window_name", scene.language).format(name),
    )
    for number, line in enumerate(lines):
        baseline = top + px * 2.9 + number * px * 1.45
        write(canvas, (left, baseline), shortened(line, small, width), px=small, ink=_SOFT)


def _write_entry(
    canvas: Image.Image, entry: LegendEntry, at: tuple[float, float], right: float, px: int, scene: Scene
) -> None:
    left, middle = at
    if not entry.colours:
        small = round(px * 0.82)
        text = shortened(entry.name, small, right - left)
        weight: Weight = "SemiBold" if entry.is_heading else "Regular"
        write(canvas, (left, middle + px * 0.2), text, px=small, ink=_SOFT, weight=weight, anchor="lm")
        return
    swatch = px * 0.8
    dot = _swatch(entry.colours, round(swatch))
    canvas.paste(dot, (round(left), round(middle - swatch / 2)), dot)
    small = round(px * 0.82)
    volume = _figures(entry)
    write(canvas, (right, middle), volume, px=small, ink=_SOFT, anchor="rm")
    start = left + swatch + px * 0.55
    count = f" ×{len(entry.keys)}" if len(entry.keys) > 1 else ""
    room = right - text_width(volume, small) - text_width(count, small) - px * 0.4 - start
    name = shortened(entry.name, px, room)
    write(canvas, (start, middle), name, px=px, ink=_LIGHT, anchor="lm")
    write(canvas, (start + text_width(name, px), middle), count, px=small, ink=_SOFT, anchor="lm")


def _draw_scale(canvas: Image.Image, scene: Scene, at: tuple[float, float], right: float) -> None:
    """The colours of confidence as a bar, from where guesses differ to where they agree."""
    px = text_px(scene.size)
    small = round(px * 0.82)
    left, top = at
    write(canvas, at, word("confidence", scene.language), px=small, ink=_SOFT, weight="SemiBold", anchor="lt")
    width, height = round(right - left), round(px * 0.8)
    bar = np.rint(255 * colours_of(np.linspace(0, 1, width))).astype(np.uint8)
    canvas.paste(Image.fromarray(np.repeat(bar[None], height, axis=0)), (round(left), round(top + px * 1.4)))
    foot = top + px * 2.6
    write(canvas, (left, foot), word("guesses_differ", scene.language), px=small, ink=_SOFT, anchor="lt")
    write(canvas, (right, foot), word("guesses_agree", scene.language), px=small, ink=_SOFT, anchor="rt")


def _swatch(colours: tuple[Colour, ...], px: int) -> Image.Image:
    """A dot in one colour, or in bands of the first few."""
    side = px * _SMOOTH
    dot = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    bands = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(bands)
    shown = colours[:_BANDS]
    for number, colour in enumerate(shown):
        red, green, blue = (round(255 * channel) for channel in colour)
        draw.rectangle((number * side / len(shown), 0, side, side), fill=(red, green, blue, 255))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    dot.paste(bands, (0, 0), mask)
    return dot.resize((px, px), Image.Resampling.BOX)


def _figures(entry: LegendEntry) -> str:
    """The volume and its spread, with as many digits as the spread leaves meaning to."""
    if entry.volume_ml is None:
        return ""
    if entry.volume_ml < 0.01:
        return "<0.01"
    digits = 0 if entry.spread_ml >= 2 else 1 if entry.spread_ml >= 0.2 else 2
    return f"{entry.volume_ml:,.{digits}f} ± {entry.spread_ml:,.{digits}f}"


def _write_notice(canvas: Image.Image, scene: Scene, at: tuple[float, float], width: float) -> None:
    small = round(text_px(scene.size) * 0.78)
    left, bottom = at
    lines = wrapped(word("disclaimer", scene.language), small, width)
    for number, line in enumerate(reversed(lines)):
        write(canvas, (left, bottom - number * small * 1.5), line, px=small, ink=_SOFT)
