"""A page of panels: slices with their structures, the 3D picture, the legend; drawn with Pillow, without a plotter.

In: a `Scene` and, where its layout wants one, the 3D picture. Out: an RGB image of the scene's size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from viewer.column import paint_column
from viewer.cube import draw_cube, edge_letters
from viewer.layout import Box, panels, text_px
from viewer.lettering import Ink, text_width, write
from viewer.scene import Region, Scene, SceneSlice
from viewer.slices import Plane, letters
from viewer.words import word

Pixels = npt.NDArray[np.uint8]

PAGE: Ink = (17, 19, 23)
_LIGHT: Ink = (232, 236, 240)
_SOFT: Ink = (178, 186, 194)
_BLACK: Ink = (0, 0, 0)
_PLANE_INK: dict[Plane, Ink] = {"axial": (240, 106, 96), "coronal": (104, 200, 134), "sagittal": (236, 188, 84)}
_CROSSED_BY: dict[Plane, tuple[Plane, Plane]] = {  # the plane seen as a vertical line, and the horizontal one
    "axial": ("sagittal", "coronal"),
    "coronal": ("sagittal", "axial"),
    "sagittal": ("coronal", "axial"),
}
_SMOOTH = 4  # contours are drawn this much larger and shrunk
_CROSSHAIR = 0.5


def page(scene: Scene, view_3d: Pixels | None) -> Image.Image:
    """The whole picture.

    Parameters
    ----------
    view_3d
        uint8 (H, W, 3) of the size of the panel "3d"; None where the layout has none.
    """
    canvas = Image.new("RGB", scene.size, PAGE)
    boxes = panels(scene.layout, scene.size)
    for plane, shown in scene.slices.items():
        canvas.paste(slice_panel(scene, shown), (boxes[plane].left, boxes[plane].top))
    if view_3d is not None:
        canvas.paste(three_d_panel(scene, view_3d), (boxes["3d"].left, boxes["3d"].top))
    if "column" in boxes:
        paint_column(canvas, scene, boxes["column"])
    return canvas


def slice_panel(scene: Scene, shown: SceneSlice) -> Image.Image:
    """One slice with structures, crosshair, letters, caption and scale bar."""
    pixels = np.repeat(shown.image[:, :, None], 3, axis=2).astype(np.float32)
    if shown.overlay is not None:
        pixels += shown.overlay[..., 3:] * (255 * shown.overlay[..., :3] - pixels)
    for region in shown.regions:
        lay_region(pixels, region, max(1.0, text_px(scene.size) / 10))
    _lay_crosshair(pixels, shown, text_px(scene.size))
    panel = Image.fromarray(np.rint(pixels).astype(np.uint8))
    head, foot = _write_caption(panel, scene, shown), _write_window(panel, scene)
    _write_edges(panel, letters(shown.view.plane), text_px(scene.size), head=head, foot=foot)
    _draw_bar(panel, shown, text_px(scene.size))
    return panel


def three_d_panel(scene: Scene, view_3d: Pixels) -> Image.Image:
    """The 3D picture with its caption and orientation cube."""
    panel = Image.fromarray(view_3d).convert("RGB")
    px = text_px(scene.size)
    side = word("joint", scene.language).join(word(name, scene.language) for name in scene.view)
    caption = word("view", scene.language).format(side)
    caption = caption[:1].upper() + caption[1:]
    write(panel, (px * 0.8, px * 0.8), caption, px=px, ink=_LIGHT, weight="SemiBold", anchor="lt")
    head = px * 0.8 + text_width(caption, px, "SemiBold")
    _write_edges(panel, edge_letters(scene.camera.axes()), px, head=head, foot=0.0)
    cube_px = round(px * 5)
    if panel.width > 3 * cube_px and panel.height > 3 * cube_px:
        cube = draw_cube(scene.camera.axes(), cube_px)
        panel.paste(cube, (round(px * 0.6), panel.height - cube_px - round(px * 0.6)), cube)
    return panel


def lay_region(pixels: npt.NDArray[np.float32], region: Region, line_px: float) -> None:
    """Blend a region's area and outline into `pixels`, float32 (H, W, 3), in place."""
    box = _bounds(region, pixels.shape, margin=int(line_px) + 2)
    if box is None:
        return
    area, line = _coverage(region, box, line_px)
    share = np.maximum(area * region.fill, line * region.line)[:, :, None]
    window = pixels[box.top : box.bottom, box.left : box.right]
    window += share * (np.array(region.colour, dtype=np.float32) * 255 - window)


def _bounds(region: Region, shape: tuple[int, ...], margin: int) -> Box | None:
    """The pixels that the region can touch, or None."""
    points = np.concatenate(region.contours)
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin + 1, (shape[1], shape[0]))
    if (high <= low).any():
        return None
    return Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def _coverage(region: Region, box: Box, line_px: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Shares of each pixel of the box under the area (even-odd) and under the outline, 0 to 1."""
    size = (box.width * _SMOOTH, box.height * _SMOOTH)
    area, line = Image.new("1", size), Image.new("L", size)
    pen = ImageDraw.Draw(line)
    inside = np.zeros((size[1], size[0]), dtype=bool)
    for contour in region.contours:
        # A pixel's centre is a whole number in the contour, and at half a pixel in the picture.
        corners = [tuple(corner) for corner in ((contour - (box.left, box.top) + 0.5) * _SMOOTH - 0.5).tolist()]
        pen.line([*corners, *corners[:2]], fill=255, width=round(line_px * _SMOOTH), joint="curve")
        if region.fill:
            area.paste(0, (0, 0, *size))
            ImageDraw.Draw(area).polygon(corners, fill=1)
            inside ^= np.asarray(area)
    whole = Image.fromarray(inside.astype(np.uint8) * 255)
    return _shrunk(whole), _shrunk(line)


def _shrunk(image: Image.Image) -> npt.NDArray[np.float32]:
    return np.asarray(image.reduce(_SMOOTH), dtype=np.float32) / np.float32(255)


def _lay_crosshair(pixels: npt.NDArray[np.float32], shown: SceneSlice, px: int) -> None:
    """Where the other two planes cross, each in its own colour, with a gap that leaves the middle free."""
    column, row = (round(place) for place in shown.crosshair)
    upright, level = (np.array(_PLANE_INK[plane], dtype=np.float32) for plane in _CROSSED_BY[shown.view.plane])
    rows, columns = np.arange(pixels.shape[0]), np.arange(pixels.shape[1])
    if 0 <= column < pixels.shape[1]:
        line = pixels[np.abs(rows - row) > px, column]
        pixels[np.abs(rows - row) > px, column] = line + _CROSSHAIR * (upright - line)
    if 0 <= row < pixels.shape[0]:
        line = pixels[row, np.abs(columns - column) > px]
        pixels[row, np.abs(columns - column) > px] = line + _CROSSHAIR * (level - line)


def _write_edges(panel: Image.Image, edges: tuple[str, str, str, str], px: int, *, head: float, foot: float) -> None:
    """Letters at the left, right, top and bottom edge.

    `head` and `foot` say how far the lines at the top and bottom left reach; a letter that would meet one makes room.
    """
    left, right, top, bottom = edges
    pad = px * 0.7
    middle_x, middle_y = panel.width / 2, panel.height / 2
    below, above = (px * 1.6 * (reach > middle_x - px) for reach in (head, foot))
    for letter, at, anchor in (
        (left, (pad, middle_y), "lm"),
        (right, (panel.width - pad, middle_y), "rm"),
        (top, (middle_x, pad + below), "mt"),
        (bottom, (middle_x, panel.height - pad - above), "ms"),
    ):
        write(panel, at, letter, px=round(px * 1.1), ink=_LIGHT, weight="SemiBold", anchor=anchor, halo=_BLACK)


def _write_caption(panel: Image.Image, scene: Scene, shown: SceneSlice) -> float:
    """Plane and position at the top left; returns how far they reach."""
    px, plane = text_px(scene.size), shown.view.plane
    name = word(plane, scene.language)
    at = (px * 0.8, px * 0.8)
    write(panel, at, name, px=px, ink=_PLANE_INK[plane], weight="SemiBold", anchor="lt", halo=_BLACK)
    beside = (at[0] + text_width(name, px, "SemiBold") + px * 0.6, at[1])
    write(panel, beside, shown.position, px=px, ink=_LIGHT, anchor="lt", halo=_BLACK)
    return beside[0] + text_width(shown.position, px)


def _write_window(panel: Image.Image, scene: Scene) -> float:
    """Width and level at the bottom left, where there is a scan; returns how far they reach."""
    if scene.window.width <= 0:
        return 0.0
    px = text_px(scene.size)
    small = round(px * 0.86)
    text = word("window", scene.language).format(width=_short(scene.window.width), level=_short(scene.window.level))
    write(panel, (px * 0.8, panel.height - px * 0.8), text, px=small, ink=_SOFT, anchor="ls", halo=_BLACK)
    return px * 0.8 + text_width(text, small)


def _short(number: float) -> str:
    """A window's number: whole where it is large, with a proper minus sign."""
    return f"{number:.0f}".replace("-", "−") if abs(number) >= 10 or number == round(number) else f"{number:.3g}"


def _draw_bar(panel: Image.Image, shown: SceneSlice, px: int) -> None:
    """A bar of exactly `bar_mm` at the bottom right, its length written above it."""
    draw = ImageDraw.Draw(panel)
    thick = max(2, px // 6)
    left, right = bar_ends(shown, panel.width, px)
    bottom = panel.height - round(px * 0.8)
    draw.rectangle((left - 1, bottom - thick - 1, right, bottom), fill=_BLACK)
    draw.rectangle((left, bottom - thick, right - 1, bottom - 1), fill=_LIGHT)
    label = f"{shown.bar_mm:g} mm"
    above = ((left + right) / 2, bottom - thick - px * 0.4)
    write(panel, above, label, px=round(px * 0.86), ink=_LIGHT, anchor="ms", halo=_BLACK)


def bar_ends(shown: SceneSlice, panel_width: int, px: int) -> tuple[int, int]:
    """First column of the scale bar, and the first one after it."""
    length = round(shown.bar_mm / shown.view.mm_per_pixel)
    right = panel_width - round(px * 0.8)
    return right - length, right
