"""The page of a vessel: its tree in its translucent wall, its longest way laid straight, and how wide it is there.

In: a case, the key of a vessel and its `VesselTree`. Out: an image, uint8 (H, W, 3). Needs a plotter for the tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from PIL import Image, ImageDraw

from meshing.case import Case
from meshing.exporting.shapes import Shape, ball, tube
from meshing.frames import FloatArray
from meshing.vessels import Stenosis, VesselTree, joined, straightened
from viewer.compose import PAGE, Pixels, three_d_panel
from viewer.layout import Box, text_px
from viewer.legend import Colour
from viewer.lettering import Ink, wrapped, write
from viewer.render import draw_surfaces
from viewer.scene import Choices, Scene, SceneSurface, resolve
from viewer.words import Language, word

_LIGHT: Ink = (232, 236, 240)
_SOFT: Ink = (150, 159, 168)
_FAINT: Ink = (52, 58, 66)
_ALARM: Ink = (244, 122, 108)
_GENERATIONS: tuple[Ink, ...] = (
    (246, 193, 88), (96, 205, 150), (98, 172, 245), (203, 138, 245), (244, 122, 108), (140, 226, 220),
)  # fmt: skip
_WALL_OPACITY = 0.3
_TREE_SHARE = 0.5
_VIEWS = ("left", "anterior", "superior")  # along L, P, S
_THIN = 0.3
_SMOOTH = 3
_STEPS_MM = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False)
class Way:
    """The way that is laid straight.

    Parameters
    ----------
    points, radius, arc
        Of the centreline, in mm.
    branches
        (number, colour, from mm, to mm) of the branches on it.
    """

    points: FloatArray
    radius: FloatArray
    arc: FloatArray
    branches: tuple[tuple[int, Ink, float, float], ...]


def vessel_page(
    case: Case,
    key: str,
    tree: VesselTree,
    narrow: Sequence[Stenosis],
    *,
    language: Language = "en",
    size: tuple[int, int] = (1600, 1000),
) -> Pixels:
    """The page, for the way to the farthest tip."""
    choices = Choices(
        layout="3d",
        only=frozenset({key}),
        opacity={key: _WALL_OPACITY},
        view=_widest_view(tree),
        language=language,
        size=size,
    )
    scene = resolve(case, choices)
    px = text_px(size)
    head, foot = round(px * 3.4), round(px * 3.2)
    left = Box(0, 0, round(size[0] * _TREE_SHARE), size[1])
    body = (head + round(px * 3.6), size[1] - foot)
    way = _longest(tree)
    wanted = 2.0 * _half_width(way) / way.arc[-1] * (body[1] - body[0])
    width = round(min(max(wanted, px * 10.0), size[0] * 0.24))
    straight = Box(left.right + round(px * 1.6), body[0], width, body[1] - body[0])
    curve_left = straight.right + round(px * 4.2)
    curve = Box(curve_left, body[0], size[0] - curve_left - round(px * 1.6), body[1] - body[0])
    canvas = Image.new("RGB", size, PAGE)
    canvas.paste(_tree_panel(scene, tree, (left.width, left.height)), (0, 0))
    mm_per_pixel = max(way.arc[-1] / straight.height, 2.0 * _half_width(way) / straight.width)
    rows = round(way.arc[-1] / mm_per_pixel)
    _paint_straight(canvas, case, way, straight, mm_per_pixel)
    _paint_curve(canvas, tree, way, narrow, Box(curve.left, curve.top, curve.width, rows), px, language)
    _paint_titles(canvas, (straight, curve), head, px, language)
    _paint_legend(canvas, tree, (round(px * 0.8), size[1] - foot), px, language)
    return np.asarray(canvas)


def _widest_view(tree: VesselTree) -> str:
    """The side from which the tree spreads widest; from the front where that makes little difference."""
    points = np.concatenate([branch.points_mm for branch in tree.branches])
    spread = np.sqrt(np.maximum(points.var(axis=0), 1e-6))
    area = [float(np.prod(np.delete(spread, axis))) * (1.2 if axis == 1 else 1.0) for axis in range(3)]
    return _VIEWS[int(np.argmax(area))]


def _colour(generation: int) -> Ink:
    return _GENERATIONS[(generation - 1) % len(_GENERATIONS)]  # they come round again: neighbours differ


def _longest(tree: VesselTree) -> Way:
    ends = [branch for branch in tree.branches if tree.nodes[branch.end].kind == "tip"]
    branches = max((tree.way_to(end.number) for end in ends), key=lambda way: sum(one.length_mm for one in way))
    points, radius = joined(branches)
    stops = np.cumsum([0.0, *(branch.length_mm for branch in branches)])
    pieces = tuple(
        (branch.number, _colour(branch.generation), float(a), float(b))
        for branch, a, b in zip(branches, stops[:-1], stops[1:], strict=True)
    )
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return Way(points, radius, arc, pieces)


def _half_width(way: Way) -> float:
    return max(2.2 * float(way.radius.max()), 8.0)


def _tree_panel(scene: Scene, tree: VesselTree, size: tuple[int, int]) -> Image.Image:
    """The wall as glass, a line for each branch inside it."""
    shapes: dict[Ink, list[Shape]] = {}
    for branch in tree.branches:
        thin = max(_THIN * branch.mean_radius_mm, 0.35)
        line = list(branch.points_mm[:: max(len(branch.points_mm) // 160, 1)])
        shapes.setdefault(_colour(branch.generation), []).append(tube(line, thin))
    for node in tree.nodes:
        size_mm = max(0.34 * node.radius_mm, 0.6)
        ink = _ALARM if node.at_cut else _LIGHT
        shapes.setdefault(ink, []).append(ball(node.at_mm, (size_mm, size_mm, size_mm), refinements=2))
    # One surface for each colour: a tree of the lungs has some hundred branches, and each surface takes its time.
    surfaces = [SceneSurface(f"tree {ink}", *_as_one(alike), _unit(ink), 1.0) for ink, alike in shapes.items()]
    full = replace(scene, surfaces=(*surfaces, *scene.surfaces))
    return three_d_panel(full, draw_surfaces(full, size))


def _as_one(shapes: Sequence[Shape]) -> Shape:
    first = np.cumsum([0, *(len(vertices) for vertices, _ in shapes)])
    faces = [faces + start for (_, faces), start in zip(shapes, first, strict=False)]
    return np.vstack([vertices for vertices, _ in shapes]), np.vstack(faces).astype(np.int32)


def _unit(ink: Ink) -> Colour:
    return ink[0] / 255.0, ink[1] / 255.0, ink[2] / 255.0


def _paint_straight(canvas: Image.Image, case: Case, way: Way, box: Box, mm_per_pixel: float) -> None:
    """The way laid straight, with the largest spheres' outline."""
    half = min(_half_width(way), 0.5 * box.width * mm_per_pixel)
    found = straightened(case.scan, way.points, half_width_mm=half, mm_per_pixel=mm_per_pixel)
    low, high = np.percentile(found.pixels, (1.0, 99.7))
    grey = np.clip((found.pixels - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    picture = Image.fromarray(np.rint(255 * grey).astype(np.uint8)).convert("RGB")
    radius = np.interp(found.row_arc_mm, way.arc, way.radius) / mm_per_pixel
    middle = found.centre_column[0] + 0.5
    big = picture.resize((picture.width * _SMOOTH, picture.height * _SMOOTH), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(big)
    for number, (_, ink, start, stop) in enumerate(way.branches):
        rows = np.flatnonzero((found.row_arc_mm >= start) & (found.row_arc_mm <= stop))
        for side in (-1.0, 1.0):
            line = [((middle + side * radius[row]) * _SMOOTH, (row + 0.5) * _SMOOTH) for row in rows]
            if len(line) > 1:
                pen.line(line, fill=ink, width=_SMOOTH + 1, joint="curve")
        if number:
            y = start / mm_per_pixel * _SMOOTH
            pen.line([(0, y), (big.width, y)], fill=_SOFT, width=1)
    left = box.left + (box.width - picture.width) // 2
    canvas.paste(big.resize(picture.size, Image.Resampling.LANCZOS), (left, box.top))


def _paint_curve(
    canvas: Image.Image, tree: VesselTree, way: Way, narrow: Sequence[Stenosis], box: Box, px: int, language: Language
) -> None:
    """Diameter to the right, the way downward, row for row beside the straight picture."""
    most = float(2.0 * (way.radius.max() + tree.radius_uncertainty_mm)) * 1.08
    per_mm = box.height / way.arc[-1]
    big = Image.new("RGB", (box.width * _SMOOTH, box.height * _SMOOTH), PAGE)
    pen = ImageDraw.Draw(big)

    def at(diameter: float, along: float) -> tuple[float, float]:
        return diameter / most * box.width * _SMOOTH, along * per_mm * _SMOOTH

    across = _step(most, box.width / (px * 4.0))
    down = _step(float(way.arc[-1]), box.height / (px * 4.0))
    for tick in range(floor(most / across) + 1):
        pen.line([at(tick * across, 0.0), at(tick * across, way.arc[-1])], fill=_FAINT, width=_SMOOTH)
    for tick in range(floor(way.arc[-1] / down) + 1):
        pen.line([at(0.0, tick * down), at(most, tick * down)], fill=_FAINT, width=_SMOOTH)
    for _, ink, start, stop in way.branches:
        rows = np.flatnonzero((way.arc >= start) & (way.arc <= stop))
        doubt = tree.radius_uncertainty_mm
        rim = [at(2.0 * (way.radius[row] + doubt), way.arc[row]) for row in rows]
        rim += [at(2.0 * (way.radius[row] - doubt), way.arc[row]) for row in rows[::-1]]
        pen.polygon(rim, fill=_mixed(ink, PAGE, 0.3))
        pen.line([at(2.0 * way.radius[row], way.arc[row]) for row in rows], fill=ink, width=2 * _SMOOTH, joint="curve")
    canvas.paste(big.resize((box.width, box.height), Image.Resampling.LANCZOS), (box.left, box.top))
    small = round(px * 0.86)
    for tick in range(floor(most / across) + 1):
        place = (box.left + tick * across / most * box.width, box.top - px * 0.5)
        write(canvas, place, f"{tick * across:g}", px=small, ink=_SOFT, anchor="ms")
    for tick in range(floor(way.arc[-1] / down) + 1):
        place = (box.left - px * 0.6, box.top + tick * down * per_mm)
        write(canvas, place, f"{tick * down:g}", px=small, ink=_SOFT, anchor="rm")
    _mark_narrow(canvas, way, narrow, box, px, (most, per_mm, language))


def _mark_narrow(
    canvas: Image.Image, way: Way, narrow: Sequence[Stenosis], box: Box, px: int, scale: tuple[float, float, Language]
) -> None:
    most, per_mm, language = scale
    starts = {number: start for number, _, start, _ in way.branches}
    for one in narrow:
        if one.branch not in starts:
            continue
        y = box.top + (starts[one.branch] + one.arc_mm) * per_mm
        x = box.left + one.diameter_mm / most * box.width
        ImageDraw.Draw(canvas).ellipse(
            (x - px * 0.35, y - px * 0.35, x + px * 0.35, y + px * 0.35), outline=_ALARM, width=2
        )
        text = word("vessel_narrow", language).format(
            f"{one.diameter_percent:.0f} ± {one.uncertainty_percent:.0f}", f"{one.diameter_mm:.1f}"
        )
        write(
            canvas, (x + px * 0.8, y), text, px=round(px * 0.9), ink=_ALARM, weight="SemiBold", anchor="lm", halo=PAGE
        )


def _step(length: float, most: float) -> float:
    """Millimetres from tick to tick, so that at most so many fit."""
    return float(next((step for step in _STEPS_MM if length / step <= max(most, 1.0)), _STEPS_MM[-1]))


def _mixed(one: Ink, other: Ink, share: float) -> Ink:
    red, green, blue = (round(share * a + (1.0 - share) * b) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _paint_titles(canvas: Image.Image, boxes: tuple[Box, Box], head: int, px: int, language: Language) -> None:
    small = round(px * 0.86)
    for box, name in zip(boxes, ("vessel_straight", "vessel_wide"), strict=True):
        write(
            canvas,
            (box.left, px * 1.4),
            word(name, language),
            px=round(px * 1.15),
            ink=_LIGHT,
            weight="SemiBold",
            anchor="lt",
        )
        for number, line in enumerate(wrapped(word(f"{name}_note", language), small, box.width)):
            write(canvas, (box.left, head + px * (0.5 + 1.35 * number)), line, px=small, ink=_SOFT, anchor="ls")


def _paint_legend(canvas: Image.Image, tree: VesselTree, at: tuple[int, int], px: int, language: Language) -> None:
    """Colours of the generations at the top of the tree's panel, and what the picture is for at its foot."""
    counts = Counter(branch.generation for branch in tree.branches)
    y = px * 3.2
    for first in range(1, min(len(_GENERATIONS), max(counts)) + 1):
        alike = range(first, max(counts) + 1, len(_GENERATIONS))  # colours come round again: one line for each
        ImageDraw.Draw(canvas).rounded_rectangle(
            (at[0], y - px * 0.12, at[0] + px * 1.4, y + px * 0.12), px // 8, fill=_colour(first)
        )
        text = word("vessel_generation_n", language).format(
            ", ".join(map(str, alike)), sum(counts[generation] for generation in alike)
        )
        write(canvas, (at[0] + px * 1.9, y), text, px=px, ink=_LIGHT, anchor="lm")
        y += px * 1.6
    x = ceil(canvas.width * _TREE_SHARE + px * 1.6)
    doubt = word("vessel_doubt", language).format(f"{2.0 * tree.radius_uncertainty_mm:.1f}")
    write(
        canvas, (x, canvas.height - px * 1.6), f"{doubt}  {word('disclaimer', language)}", px=round(px * 0.8), ink=_SOFT
    )
