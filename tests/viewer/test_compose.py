"""Pages: colours, letters, bars and legends stand where the scene says, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.viewer.heads import TUMOUR_MM, head
from viewer.compose import bar_ends, lay_region, page, slice_panel
from viewer.contours import Contour
from viewer.cube import draw_cube
from viewer.layout import Layout, gutter, panels, text_px
from viewer.scene import Choices, Region, Scene, resolve
from viewer.slices import PLANES
from viewer.viewpoint import camera_from

CHOICES = Choices(layout="slices", size=(640, 480))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return resolve(head(), CHOICES)


def disc(centre: tuple[float, float], radius: float) -> Contour:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=-1)


def laid(region: Region, size: int = 80) -> np.ndarray:
    pixels = np.zeros((size, size, 3), np.float32)
    lay_region(pixels, region, line_px=2.0)
    return pixels


def test_a_filled_area_covers_what_its_contour_encloses() -> None:
    region = Region("disc", (disc((40.0, 37.5), 20.3),), (1.0, 0.5, 0.0), fill=0.4, line=0.0)
    pixels = laid(region)
    assert pixels[37, 40].tolist() == pytest.approx([102, 51, 0])
    # Shares of covered pixels add up to the area; the quarter-pixel raster is good for half a per cent of it.
    assert pixels[..., 0].sum() / 102 == pytest.approx(np.pi * 20.3**2, rel=0.015)
    row, column = np.mgrid[:80, :80]
    middle = [(pixels[..., 0] * axis).sum() / pixels[..., 0].sum() for axis in (column, row)]
    assert middle == pytest.approx([40.0, 37.5], abs=0.15)


def test_a_hole_is_left_out() -> None:
    region = Region("ring", (disc((40, 40), 25), disc((40, 40), 10)[::-1]), (1.0, 1.0, 1.0), fill=0.5, line=0.0)
    pixels = laid(region)
    assert pixels[40, 40, 0] == 0 and pixels[40, 58, 0] == pytest.approx(127.5)


def test_an_outline_runs_along_its_contour_and_leaves_the_inside_free() -> None:
    pixels = laid(Region("disc", (disc((40, 40), 20),), (0.0, 1.0, 0.0), fill=0.0, line=1.0))
    assert pixels[40, 60, 1] > 240 and pixels[60, 40, 1] > 240
    assert pixels[40, 40].sum() == 0
    assert pixels[..., 1].sum() / 255 == pytest.approx(2 * np.pi * 20 * 2.0, rel=0.15)


@pytest.mark.parametrize("centre", [(-30.0, 40.0), (200.0, 40.0), (0.0, 0.0), (79.0, 85.0)])
def test_a_region_may_lie_across_the_edge_or_outside(centre: tuple[float, float]) -> None:
    pixels = laid(Region("disc", (disc(centre, 20),), (1.0, 1.0, 1.0), fill=1.0, line=0.0))
    row, column = np.mgrid[:80, :80]
    inside = np.hypot(column - centre[0], row - centre[1]) < 20
    assert pixels[..., 0].sum() / 255 == pytest.approx(inside.sum(), rel=0.05, abs=1)


def test_a_slice_shows_its_structures_in_the_legends_colours(scene: Scene) -> None:
    colours = {key: entry.colours[0] for entry in scene.legend if entry.colours for key in entry.keys}
    only_fill = resolve(head(), replace(CHOICES, overlay="fill", only=frozenset({"tumour"})))
    for plane in PLANES:
        shown = only_fill.slices[plane]
        (region,) = shown.regions
        at = shown.view.to_pixels(TUMOUR_MM + [3.0, 3.0, 3.0])  # beside the crosshair
        column, row = (round(float(place)) for place in at)
        grey = float(shown.image[row, column])
        wanted = [grey + region.fill * (255 * channel - grey) for channel in colours["tumour"]]
        assert np.asarray(slice_panel(only_fill, shown))[row, column].tolist() == pytest.approx(wanted, abs=1.5)


def test_the_scale_bar_is_as_long_as_it_says(scene: Scene) -> None:
    px = text_px(scene.size)
    for shown in scene.slices.values():
        panel = np.asarray(slice_panel(scene, shown)).astype(int)
        left, right = bar_ends(shown, panel.shape[1], px)
        assert (right - left) * shown.view.mm_per_pixel == pytest.approx(shown.bar_mm, abs=1e-9)
        line = panel[panel.shape[0] - round(px * 0.8) - 1]
        bright = np.flatnonzero((line == line[right - 2]).all(axis=1) & (line.sum(axis=1) > 600))
        bright = bright[bright > left - 20]  # a letter may stand further left
        assert (bright[0], bright[-1]) == (left, right - 1)
        assert len(bright) == right - left


def test_crosshairs_have_the_colours_of_the_planes_they_show(scene: Scene) -> None:
    from viewer.compose import _PLANE_INK

    bare = resolve(head(), replace(CHOICES, overlay="none"))
    for plane, vertical, horizontal in (
        ("axial", "sagittal", "coronal"),
        ("coronal", "sagittal", "axial"),
        ("sagittal", "coronal", "axial"),
    ):
        shown = bare.slices[plane]  # type: ignore[index]
        panel = np.asarray(slice_panel(bare, shown)).astype(float)
        column, row = (round(place) for place in shown.crosshair)
        height, width = shown.view.shape
        for at, other in (((height // 4, column), vertical), ((row, width // 4), horizontal)):
            grey = float(shown.image[at])
            wanted = [grey + 0.5 * (channel - grey) for channel in _PLANE_INK[other]]  # type: ignore[index]
            assert panel[at].tolist() == pytest.approx(wanted, abs=1.5)
        assert (panel[row, column] == shown.image[row, column]).all()  # the middle stays free


@pytest.mark.parametrize("layout", ["3d", "slices", "four-up"])
@pytest.mark.parametrize("size", [(64, 64), (300, 900), (640, 480), (1600, 1200), (1920, 1080)])
def test_panels_fill_the_picture_without_overlap(layout: Layout, size: tuple[int, int]) -> None:
    boxes = panels(layout, size)
    covered = np.zeros((size[1], size[0]), int)
    for box in boxes.values():
        assert box.width > 0 and box.height > 0
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.max() == 1
    assert (covered == 0).mean() < 2.5 * gutter(size) / min(size)
    assert ("3d" in boxes) == (layout != "slices")
    assert len(set(boxes) & set(PLANES)) == (0 if layout == "3d" else 3)


def test_a_hidden_structure_leaves_the_page(scene: Scene) -> None:
    """Its colour is in the picture, and is not when it is hidden."""

    def has_colour(one: Scene, colour: tuple[float, float, float]) -> bool:
        box = panels(one.layout, one.size)["column"]
        column = np.asarray(page(one, None))[:, box.left :].astype(int)
        return bool((np.abs(column - np.round(np.array(colour) * 255)).max(axis=2) <= 2).any())

    colour = next(entry.colours[0] for entry in scene.legend if entry.keys == ("tumour",))
    assert has_colour(scene, colour)
    assert not has_colour(resolve(head(), replace(CHOICES, hidden=frozenset({"tumour"}))), colour)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [(64, 64), (200, 150), (420, 300), (900, 300)])
def test_a_page_of_any_size_is_drawn(language: str, size: tuple[int, int]) -> None:
    small = resolve(head(), replace(CHOICES, size=size, language=language))  # type: ignore[arg-type]
    assert np.asarray(page(small, None)).shape == (size[1], size[0], 3)


def test_the_two_languages_differ_only_in_text(scene: Scene) -> None:
    chinese = np.asarray(page(resolve(head(), replace(CHOICES, language="zh")), None)).astype(int)
    english = np.asarray(page(scene, None)).astype(int)
    differs = np.abs(chinese - english).max(axis=2) > 8
    assert 0.002 < differs.mean() < 0.1


def test_the_cube_turns_with_the_camera() -> None:
    points = np.array([[-1.0, -1, -1], [1, 1, 1]])
    views = ("anterior", "posterior", "left", "right-anterior", "superior")
    cubes = [np.asarray(draw_cube(camera_from(view, points, aspect=1.0).axes(), 60)).astype(int) for view in views]
    for number, one in enumerate(cubes):
        assert one[30, 30, 3] > 200 and one[0, 0, 3] == 0
        for other in cubes[number + 1 :]:
            assert np.abs(one - other).mean() > 1.0


def test_letters_on_the_cube_are_not_mirrored() -> None:
    """Seen from the right the R reads as R: its upright stroke lies left of its bowl."""
    axes = camera_from("right", np.array([[-1.0, -1, -1], [1, 1, 1]]), aspect=1.0).axes()
    face = np.asarray(draw_cube(axes, 120))[..., :3].astype(float)
    dark = face[34:86, 34:86].sum(axis=2) < 200
    columns = np.flatnonzero(dark.any(axis=0))
    stroke = dark[:, columns[0] : columns[0] + 6].sum()
    opposite = dark[:, columns[-1] - 5 : columns[-1] + 1].sum()
    assert stroke > 1.3 * opposite
