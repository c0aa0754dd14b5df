"""Views: clinical names, the patient upright, everything in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import NotFoundError
from viewer.cube import edge_letters, visible_faces
from viewer.viewpoint import VIEW_ANGLE_DEG, Camera, Projection, camera_from, view_words

BOX = np.array([[-90.0, -60, 10], [110, 70, 400], [-90, 70, 10], [110, -60, 400]])
SIDES = ("anterior", "posterior", "left", "right", "superior", "inferior")


@pytest.mark.parametrize(
    ("view", "edges", "face"),
    [
        ("anterior", ("R", "L", "S", "I"), "A"),
        ("posterior", ("L", "R", "S", "I"), "P"),
        ("left", ("A", "P", "S", "I"), "L"),
        ("right", ("P", "A", "S", "I"), "R"),
        ("superior", ("L", "R", "A", "P"), "S"),
        ("inferior", ("R", "L", "A", "P"), "I"),
    ],
)
def test_each_view_shows_its_side_with_the_patient_upright(view: str, edges: tuple[str, ...], face: str) -> None:
    axes = camera_from(view, BOX, aspect=1.3).axes()
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert edge_letters(axes) == edges
    assert visible_faces(axes) == [face]


def test_an_oblique_view_shows_both_sides() -> None:
    axes = camera_from("right-anterior", BOX, aspect=1.0).axes()
    assert set(visible_faces(axes)) == {"R", "A"}
    assert set(edge_letters(axes)[1]) == {"A", "L"}
    assert set(visible_faces(camera_from("left-posterior-superior", BOX, aspect=1.0).axes())) == {"L", "P", "S"}


@pytest.mark.parametrize("view", ["front", "left-right", "", "anterior-front", "anterior-anterior-posterior"])
def test_an_unknown_or_contradictory_view_is_refused(view: str) -> None:
    with pytest.raises(NotFoundError, match="view"):
        view_words(view)


def seen_at(camera: Camera, points: np.ndarray, aspect: float) -> np.ndarray:
    """Positions in the picture, −1 to 1 each way."""
    right, up, towards = camera.axes()
    relative = points - camera.position_mm
    depth = -(relative @ towards)
    tangent = np.tan(np.radians(VIEW_ANGLE_DEG / 2))
    half = tangent * depth if camera.projection == "perspective" else camera.half_height_mm
    return np.stack([relative @ right / half / aspect, relative @ up / half], axis=-1)


@settings(max_examples=80, deadline=None)
@given(
    view=st.sampled_from([*SIDES, "right-anterior", "left-anterior-superior"]),
    projection=st.sampled_from(["perspective", "parallel"]),
    aspect=st.floats(0.3, 3.0),
    seed=st.integers(0, 50),
)
def test_everything_is_in_the_picture_and_fills_it(view: str, projection: Projection, aspect: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(60, 3)) * random.uniform(5, 200, 3) + random.uniform(-300, 300, 3)
    camera = camera_from(view, points, aspect=aspect, projection=projection, margin=0.05)
    seen = seen_at(camera, points, aspect)
    assert np.abs(seen).max() <= 0.9 + 1e-6
    assert np.abs(seen).max() >= 0.9 - 1e-6  # the margin and no more, on the tighter axis
    low, high = seen.min(axis=0), seen.max(axis=0)
    tight = int(np.argmax(high - low)) if projection == "parallel" else int(np.argmax(np.abs(seen).max(axis=0)))
    assert low[tight] == pytest.approx(-high[tight], abs=1e-6)
