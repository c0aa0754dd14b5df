"""How a picture is divided: which panel lies where, and how large its text is. Pixels from the top left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["3d", "slices", "four-up"]
PanelName = Literal["axial", "coronal", "sagittal", "3d", "column"]

_NARROW = 420  # pixels of width under which the column beside the panels is left out
TITLE_TEXTS = 9.2  # height of the title above the legend, in heights of the running text
SCALE_LINES = 4  # of the legend, that the scale of confidence takes
FOOT_TEXTS = 6.0  # height of the notice at the foot of the column


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height


def panels(layout: Layout, size: tuple[int, int]) -> dict[PanelName, Box]:
    """The panels of a layout for a picture of `size` (width, height).

    "four-up": axial and 3D above, coronal and sagittal below. "slices": a large axial above, the other two side
    by side below. The legend's column stands at the right, unless the picture is too narrow for it.
    """
    width, height = size
    column = column_width(size)
    gap = gutter(size)
    stage = width - column
    boxes: dict[PanelName, Box] = {}
    if column:
        boxes["column"] = Box(stage, 0, column, height)
    if layout == "3d":
        boxes["3d"] = Box(0, 0, stage, height)
    elif layout == "four-up":
        half, middle = (stage - gap) // 2, (height - gap) // 2
        boxes["axial"] = Box(0, 0, half, middle)
        boxes["3d"] = Box(half + gap, 0, stage - half - gap, middle)
        boxes["coronal"] = Box(0, middle + gap, half, height - middle - gap)
        boxes["sagittal"] = Box(half + gap, middle + gap, stage - half - gap, height - middle - gap)
    else:
        half, upper = (stage - gap) // 2, round((height - gap) * 0.54)
        boxes["axial"] = Box(0, 0, stage, upper)
        boxes["coronal"] = Box(0, upper + gap, half, height - upper - gap)
        boxes["sagittal"] = Box(half + gap, upper + gap, stage - half - gap, height - upper - gap)
    return boxes


def text_px(size: tuple[int, int]) -> int:
    """Height of the running text, in pixels."""
    return max(9, round(min(size[0] / 92, size[1] / 64)))


def gutter(size: tuple[int, int]) -> int:
    """Width of the gap between panels, in pixels."""
    return max(2, text_px(size) // 5)


def column_width(size: tuple[int, int]) -> int:
    """Width of the legend's column, in pixels; 0 where there is no room."""
    return 0 if size[0] < _NARROW else min(round(text_px(size) * 19.5), round(size[0] * 0.3))


def line_px(size: tuple[int, int]) -> int:
    """Height of a line of the legend, in pixels."""
    return round(text_px(size) * 1.6)


def legend_lines(size: tuple[int, int]) -> int:
    """How many lines the legend's column holds between its title and the notice at its foot."""
    return max(1, (size[1] - round(text_px(size) * TITLE_TEXTS) - round(text_px(size) * FOOT_TEXTS)) // line_px(size))
