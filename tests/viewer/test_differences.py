"""The page of where graders differ: outlines, disputes and walls have the colours that its legend says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from meshing.compare import compare
from meshing.compare.apart import WallDistances, dispute_of, wall_distances
from meshing.segmentation import Segmentation
from tests.shapes import ball, labelled, middle_of, upright_grid
from viewer.differences import (
    GRADER_COLOURS,
    PANEL,
    Difference,
    grader_colour,
    page,
    scale_mm,
    wall_camera,
    wall_colours,
)
from viewer.words import Language

GRID_MM = upright_grid((50, 44, 40), (1.0, 1.0, 1.0))
NAMES = {"A": "first.nii.gz", "B": "second.nii.gz"}


def graders(shift: tuple[float, float, float] = (6.0, 0.0, 0.0)) -> dict[str, Segmentation]:
    middle = middle_of(GRID_MM)
    return {
        "A": labelled(GRID_MM, {"liver": ball(middle, 12.0)}),
        "B": labelled(GRID_MM, {"liver": ball(middle + shift, 12.0)}),
    }


def difference(**who: Segmentation) -> Difference:
    (structure,) = compare(who).structures
    wall = wall_distances(who["A"], who["B"], "liver")
    return Difference("Liver", dispute_of(who, "liver"), structure.pairs[0], wall=wall)


def drawn_page(language: Language = "en") -> np.ndarray:
    view = np.full((PANEL[1], PANEL[0], 3), 30, np.uint8)
    return np.asarray(page([difference(**graders())], [view], NAMES, None, language))


def near(pixels: np.ndarray, colour: tuple[float, float, float], most: float = 24.0) -> np.ndarray:
    found: np.ndarray = np.abs(pixels.astype(float) - np.array(colour) * 255).max(axis=-1) < most
    return found


def test_both_outlines_and_the_dispute_between_them_are_drawn() -> None:
    axial = drawn_page()[138 : 138 + PANEL[1], 28 : 28 + PANEL[0]]
    columns = [np.flatnonzero(near(axial, grader_colour(number)).any(axis=0)) for number in range(2)]
    # B lies six millimetres on to the patient's left, which is the reader's right.
    per_mm = (columns[0].max() - columns[0].min()) / 24.0
    assert columns[1].min() - columns[0].min() == pytest.approx(6 * per_mm, abs=0.06 * PANEL[0])
    assert columns[1].max() > columns[0].max()
    red = (axial[..., 0].astype(int) - axial[..., 1] > 60) & (axial[..., 1] < 60)  # B's outline is orange
    middle = (columns[1].min() + columns[0].max()) // 2
    assert red[:, : columns[1].min()].sum() > 500 and red[:, columns[0].max() :].sum() > 500
    assert not red[PANEL[1] // 2 - 40 : PANEL[1] // 2 + 40, middle - 3 : middle + 3].any()  # what both drew is not


def test_colours_of_a_wall_say_which_side_the_other_lies() -> None:
    wall = difference(**graders()).wall
    assert wall is not None
    red, _, blue = wall_colours(wall).T.astype(int)
    end = scale_mm(wall)
    assert (red > blue)[wall.distance_mm > 0.3 * end].all() and (red < blue)[wall.distance_mm < -0.3 * end].all()
    level = np.abs(wall.distance_mm) < 0.01 * end
    assert np.abs(red - blue)[level].max(initial=0) < 16


def test_the_scale_ends_where_most_of_the_wall_has_ended() -> None:
    def wall(*distances: float) -> WallDistances:
        return WallDistances(np.zeros((len(distances), 3)), np.zeros((0, 3), np.int32), np.array(distances))

    assert scale_mm(wall(0.0, 0.1)) == 1.0
    assert scale_mm(wall(-4.2, 4.2)) == 5.0
    assert scale_mm(wall(*[12.0] * 99, 90.0)) == 20.0


@pytest.mark.parametrize(
    ("shift", "towards"),
    [((0.0, -6.0, 0.0), (0, -1, 0)), ((0.0, 0.0, 6.0), (0, 0, 1)), ((-6.0, 0.0, 0.0), (-1, 0, 0))],
)
def test_the_wall_is_seen_along_the_axis_on_which_they_differ(
    shift: tuple[float, float, float], towards: tuple[int, int, int]
) -> None:
    found = difference(**graders(shift)).wall
    assert found is not None
    camera = wall_camera(found)
    looking = np.subtract(camera.position_mm, camera.focal_mm)
    assert abs(looking @ np.array(towards)) / np.linalg.norm(looking) == pytest.approx(1.0)


def test_graders_colours_are_told_apart() -> None:
    colours = np.array(GRADER_COLOURS)
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=-1)
    assert (apart[~np.eye(len(colours), dtype=bool)] > 0.25).all()
    assert grader_colour(8) == grader_colour(0)


def test_the_page_speaks_both_languages() -> None:
    english, chinese = drawn_page("en"), drawn_page("zh")
    assert english.shape == chinese.shape
    assert (english[:70, :600] != chinese[:70, :600]).any()


def test_a_structure_without_a_second_wall_says_so_in_place_of_it() -> None:
    alone = difference(**graders())
    picture = page([Difference("Liver", alone.dispute, alone.pair, ("C",))], [None], NAMES, None, "en")
    assert isinstance(picture, Image.Image)
    panel = np.asarray(picture)[138 : 138 + PANEL[1], -28 - PANEL[0] : -28]
    assert 10 < (panel.max(axis=-1) > 120).sum() < 4000
