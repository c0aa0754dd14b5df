"""The picture of where graders differ: for each structure two slices through its thickest dispute, and a coloured wall.

In come disputes, pairs that were measured, distances of walls and, where given, the scan; out comes an RGB page. Each
grader's outline has a colour of its own, what some drew and others did not is filled. The 3D panels are drawn elsewhere
(`viewer.render.draw_field`) and handed in. Points are LPS mm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from meshing.compare.agreement import Pair
from meshing.compare.apart import Dispute, WallDistances
from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.surface import vertex_normals
from meshing.volume import Grid, Volume
from viewer.compose import PAGE, Pixels, slice_panel
from viewer.contours import outline
from viewer.cube import draw_cube, edge_letters
from viewer.layout import text_px
from viewer.lettering import Ink, shortened, text_width, write
from viewer.scene import Region, Scene, SceneSlice
from viewer.slices import Plane, SliceView, fitted, position_text, reslice
from viewer.viewpoint import VIEWS, Camera, camera_from, direction
from viewer.windows import Window, apply_window
from viewer.words import Language, word

Colour = tuple[float, float, float]

PANEL = (600, 520)
"""Width and height of one panel, in pixels."""

_TYPE_SIZE = (1400, 1000)  # the picture whose type suits panels of that size
_GAP, _EDGE, _HEAD, _TITLE, _FOOT = 6, 28, 76, 62, 92
_PLANES: tuple[Plane, ...] = ("axial", "coronal")
_ROUND_MM = 12.0  # shown around what was drawn
_LIGHT: Ink = (232, 236, 240)
_SOFT: Ink = (178, 186, 194)
_DISPUTED: Colour = (0.93, 0.24, 0.36)
_FILL, _LINE = 0.42, 0.95
_NO_SCAN = 26  # grey level behind slices without a scan

# Told apart by people who see two of the three primaries too (after Okabe and Ito), light enough for a dark page.
GRADER_COLOURS: tuple[Colour, ...] = (
    (0.36, 0.74, 0.96),
    (0.98, 0.68, 0.20),
    (0.30, 0.82, 0.58),
    (0.88, 0.56, 0.80),
    (0.96, 0.92, 0.36),
    (0.92, 0.48, 0.26),
    (0.62, 0.62, 0.98),
    (0.85, 0.85, 0.85),
)

# Blue where the other wall lies inside, light at 0, orange outside: dark ends of equal lightness.
_SCALE = np.array([(0.13, 0.38, 0.78), (0.55, 0.74, 0.93), (0.93, 0.93, 0.91), (0.97, 0.72, 0.42), (0.83, 0.33, 0.06)])


@dataclass(frozen=True, eq=False)
class Difference:
    """One structure of the page.

    Parameters
    ----------
    name
        Of the structure, in the page's language.
    pair
        The two who differ most in it.
    missing
        Who did not draw it.
    wall
        Of the pair's reference, with its distances to the other; None where only one of them drew it.
    """

    name: str
    dispute: Dispute
    pair: Pair
    missing: tuple[str, ...] = ()
    wall: WallDistances | None = None


@dataclass(frozen=True)
class Background:
    """The scan behind the slices, and its window."""

    scan: Volume
    window: Window


def grader_colour(number: int) -> Colour:
    """Of the grader in that place; after eight they come again."""
    return GRADER_COLOURS[number % len(GRADER_COLOURS)]


def page(
    differences: Sequence[Difference],
    views: Sequence[Pixels | None],
    graders: Mapping[str, str],
    background: Background | None,
    language: Language,
) -> Image.Image:
    """The whole picture.

    Parameters
    ----------
    views
        The 3D panel of each difference, uint8 (H, W, 3) of `PANEL`'s size.
    graders
        Letter → what the legend calls that grader, in the order of their colours.

    Raises
    ------
    SegmentationError
        If the scan does not reach the place where they differ.
    """
    width = 2 * _EDGE + 3 * PANEL[0] + 2 * _GAP
    row = _TITLE + PANEL[1]
    canvas = Image.new("RGB", (width, _HEAD + len(differences) * row + _FOOT), PAGE)
    write(canvas, (_EDGE, 48), word("differ", language), px=30, ink=_LIGHT, weight="SemiBold")
    _write_graders(canvas, graders)
    for number, (difference, view) in enumerate(zip(differences, views, strict=True)):
        top = _HEAD + number * row
        _write_title(canvas, difference, top, language)
        for column, plane in enumerate(_PLANES):
            panel = _slice(difference.dispute, plane, list(graders), background, language)
            canvas.paste(panel, (_EDGE + column * (PANEL[0] + _GAP), top + _TITLE))
        panel = _wall_panel(difference, view, language)
        canvas.paste(panel, (_EDGE + 2 * (PANEL[0] + _GAP), top + _TITLE))
    _write_foot(canvas, language)
    return canvas


# ------------------------------------------------------------------------------------------------------------- slices


def _slice(
    dispute: Dispute, plane: Plane, graders: Sequence[str], background: Background | None, language: Language
) -> Image.Image:
    """One plane through the place of the dispute, with outlines and what is in dispute."""
    level = float(dispute.place_mm["LPS".index({"axial": "S", "coronal": "P", "sagittal": "L"}[plane])])
    view, bar_mm = fitted(plane, _box_mm(dispute.grid), level, (PANEL[1], PANEL[0]))
    regions = []
    if contours := outline(dispute.disputed.astype(np.uint8), dispute.grid, view, 1):
        regions.append(Region("disputed", contours, _DISPUTED, _FILL, 0.0))
    for name, mask in dispute.masks.items():
        if contours := outline(mask.astype(np.uint8), dispute.grid, view, 1):
            regions.append(Region(name, contours, grader_colour(graders.index(name)), 0.0, _LINE))
    place = view.to_pixels(dispute.place_mm)
    image = np.full(view.shape, _NO_SCAN, np.uint8) if background is None else _behind(background, view)
    shown = SceneSlice(
        view, image, tuple(regions), (float(place[0]), float(place[1])), position_text(plane, level), bar_mm
    )
    return slice_panel(_scene(dispute.grid, background, language), shown)


def _behind(background: Background, view: SliceView) -> npt.NDArray[np.uint8]:
    values = reslice(background.scan.voxels, background.scan.grid, view)
    if not np.isfinite(values).any():
        raise SegmentationError(
            "the scan ends before the place where the graders differ",
            where="--scan",
            hint="give the scan that they drew on, or leave it out",
        )
    return apply_window(values, background.window)


def _box_mm(grid: Grid) -> FloatArray:
    """Around the box of voxels and a little more, (2, 3)."""
    ends = np.array(np.meshgrid(*[(-0.5, size - 0.5) for size in grid.shape], indexing="ij")).reshape(3, -1).T
    corners = grid.to_patient(ends)
    box: FloatArray = np.stack([corners.min(axis=0) - _ROUND_MM, corners.max(axis=0) + _ROUND_MM])
    return box


def _scene(grid: Grid, background: Background | None, language: Language) -> Scene:
    """What a panel needs to know of its page; the panels stand in no layout of the viewer's own."""
    spacing = grid.spacing_mm
    return Scene(
        layout="slices",
        size=_TYPE_SIZE,
        language=language,
        surfaces=(),
        sheets=(),
        slices={},
        camera=camera_from("anterior", np.zeros((1, 3)), aspect=1.0),
        view=("anterior",),
        legend=(),
        window=background.window if background else Window("", "", "", 0.0, 0.0),
        modality=background.scan.modality if background else "",
        grid_shape=grid.shape,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
    )


# --------------------------------------------------------------------------------------------------------------- walls


def wall_camera(wall: WallDistances) -> Camera:
    """From the side that shows most of what lies apart, its distances squared."""
    normals, _ = vertex_normals(wall.vertices, wall.faces)
    weights = wall.distance_mm**2
    shown = {view: float(weights @ np.maximum(normals @ direction(view), 0.0)) for view in VIEWS}
    view = max(shown, key=lambda name: shown[name])
    return camera_from(view, wall.vertices, aspect=PANEL[0] / PANEL[1], margin=0.12)


def scale_mm(wall: WallDistances) -> float:
    """Where the colours end: 97 % of the vertices lie nearer, rounded up to one figure; 1 mm at least."""
    most = max(float(np.percentile(np.abs(wall.distance_mm), 97.0)), 1.0)
    power = 10.0 ** math.floor(math.log10(most))
    return math.ceil(most / power - 1e-9) * power


def wall_colours(wall: WallDistances) -> npt.NDArray[np.uint8]:
    """sRGB of every vertex, (V, 3)."""
    return _coloured(wall.distance_mm / scale_mm(wall))


def _coloured(share: FloatArray) -> npt.NDArray[np.uint8]:
    """Of −1 … 1."""
    at = (np.clip(share, -1.0, 1.0) + 1.0) / 2.0 * (len(_SCALE) - 1)
    stops = np.arange(len(_SCALE))
    mixed = np.stack([np.interp(at, stops, _SCALE[:, channel]) for channel in range(3)], axis=-1)
    colours: npt.NDArray[np.uint8] = np.rint(mixed * 255).astype(np.uint8)
    return colours


def _wall_panel(difference: Difference, view: Pixels | None, language: Language) -> Image.Image:
    px = text_px(_TYPE_SIZE)
    if view is None or difference.wall is None:
        panel = Image.new("RGB", PANEL, (27, 31, 37))
        write(panel, (PANEL[0] / 2, PANEL[1] / 2), word("one_wall", language), px=px, ink=_SOFT, anchor="mm")
        return panel
    panel = Image.fromarray(view).convert("RGB")
    pair = difference.pair
    caption = word("wall_of", language).format(pair.reference, pair.other)
    write(panel, (px * 0.8, px * 0.8), caption, px=px, ink=_LIGHT, weight="SemiBold", anchor="lt")
    camera = wall_camera(difference.wall)
    cube_px = px * 5
    panel.paste(draw_cube(camera.axes(), cube_px), (round(px * 0.6), PANEL[1] - cube_px - round(px * 0.6)))
    left, right, top, _ = edge_letters(camera.axes())
    write(panel, (px * 0.7, PANEL[1] / 2), left, px=px + 1, ink=_LIGHT, weight="SemiBold", anchor="lm")
    write(panel, (PANEL[0] - px * 0.7, PANEL[1] / 2), right, px=px + 1, ink=_LIGHT, weight="SemiBold", anchor="rm")
    write(panel, (PANEL[0] / 2, px * 2.6), top, px=px + 1, ink=_LIGHT, weight="SemiBold", anchor="mt")
    _draw_scale(panel, difference, scale_mm(difference.wall), language)
    return panel


def _draw_scale(panel: Image.Image, difference: Difference, end_mm: float, language: Language) -> None:
    """The colours with their millimetres, and what their ends mean."""
    small, length, thick = 13, 300, 12
    left, top = PANEL[0] - length - 44, PANEL[1] - 46
    strip = _coloured(np.broadcast_to(np.linspace(-1.0, 1.0, length), (thick, length)))
    panel.paste(Image.fromarray(strip), (left, top))
    end = f"{end_mm:g}"
    for at, text in ((0.0, f"−{end}"), (0.5, "0"), (1.0, f"+{end} mm")):
        write(panel, (left + at * length, top + thick + 17), text, px=small, ink=_LIGHT, anchor="ms")
    other = difference.pair.other
    write(panel, (left, top - 8), word("lies_inside", language).format(other), px=small, ink=_SOFT)
    says = word("lies_outside", language).format(other)
    write(panel, (left + length, top - 8), says, px=small, ink=_SOFT, anchor="rs")


# ---------------------------------------------------------------------------------------------------------------- words


def _write_title(canvas: Image.Image, difference: Difference, top: int, language: Language) -> None:
    """The structure, what is in dispute, and the measures of the pair that differs most."""
    base = top + 44
    name = shortened(difference.name, 22, PANEL[0])
    write(canvas, (_EDGE, base), name, px=22, ink=_LIGHT, weight="SemiBold")
    beside = _EDGE + text_width(name, 22, "SemiBold") + 22
    dispute = difference.dispute
    said = word("dispute" if dispute.thickness_mm else "no_dispute", language)
    text = said.format(ml=dispute.disputed_ml, mm=dispute.thickness_mm)
    if difference.missing:
        text += " · " + word("not_drawn", language).format(", ".join(difference.missing))
    write(canvas, (beside, base), text, px=17, ink=_SOFT)
    write(canvas, (canvas.width - _EDGE, base), _measures(difference.pair), px=17, ink=_LIGHT, anchor="rs")


def _measures(pair: Pair) -> str:
    both = f"{pair.reference} {pair.reference_ml:.1f} ml · {pair.other} {pair.other_ml:.1f} ml"
    if pair.dice is None or pair.distances is None:
        return both
    apart = pair.distances
    return f"{both} · Dice {pair.dice:.3f} · HD95 {apart.hd95_mm:.1f} mm · ASSD {apart.assd_mm:.2f} mm"


def _write_graders(canvas: Image.Image, graders: Mapping[str, str]) -> None:
    """Letter and name of each grader beside a stroke of its colour, from the right."""
    draw = ImageDraw.Draw(canvas)
    at = float(canvas.width - _EDGE)
    room = (canvas.width - 560) / max(len(graders), 1) - 70
    for number, (letter, name) in reversed(list(enumerate(graders.items()))):
        text = shortened(f"{letter}  {name}", 17, max(room, 24))
        at -= text_width(text, 17)
        write(canvas, (at, 46), text, px=17, ink=_LIGHT)
        red, green, blue = (round(255 * channel) for channel in grader_colour(number))
        draw.rounded_rectangle((at - 42, 37, at - 10, 42), 2, fill=(red, green, blue))
        at -= 66


def _write_foot(canvas: Image.Image, language: Language) -> None:
    draw = ImageDraw.Draw(canvas)
    base = canvas.height - 36
    ground, ink = np.array(PAGE), np.array(_DISPUTED) * 255
    red, green, blue = (round(float(value)) for value in ground + 0.75 * (ink - ground))
    draw.rounded_rectangle((_EDGE, base - 14, _EDGE + 26, base + 2), 3, fill=(red, green, blue))
    write(canvas, (_EDGE + 36, base), word("disputed", language), px=17, ink=_LIGHT)
    write(canvas, (canvas.width - _EDGE, base), word("not_truth", language), px=15, ink=_SOFT, anchor="rs")
