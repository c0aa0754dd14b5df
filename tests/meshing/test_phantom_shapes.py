"""Shapes: distances are distances, closed forms are volumes, bounds hold, and blends round without leaking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.errors import GeometryError
from meshing.phantoms.compose import Carved, Grown, Tubes, Union, grown, path, smooth_minimum, spline
from meshing.phantoms.measure import sampled_volume_ml
from meshing.phantoms.recipe import read_recipe
from meshing.phantoms.shapes import Ball, Capsule, Column, Ellipsoid, HalfSpace, Point, Shape, turned
from meshing.phantoms.tree import even_points
from meshing.volume import Grid

coordinate = st.floats(-40.0, 40.0)
places = st.tuples(coordinate, coordinate, coordinate)


def field_at(shape: Shape, place: Point) -> float:
    x, y, z = (np.array([value]) for value in place)
    return float(np.broadcast_to(shape.field(x, y, z), (1,))[0])


def grid_round(shape: Shape, spacing_mm: float = 1.0) -> Grid:
    low, high = (np.array(corner) for corner in shape.bounds())
    matrix = np.diag([spacing_mm] * 3 + [1.0])
    matrix[:3, 3] = low - 1.3
    i, j, k = (np.ceil((high - low) / spacing_mm) + 4).astype(int).tolist()
    return Grid((i, j, k), matrix)


CLOSED_FORMS: dict[str, Shape] = {
    "ball": Ball((0.3, -0.2, 0.1), 9.0),
    "ellipsoid": Ellipsoid((1.0, 2.0, 3.0), (7.0, 11.0, 5.0)),
    "turned ellipsoid": Ellipsoid((1.0, 2.0, 3.0), (7.0, 11.0, 5.0), turn_deg=(20.0, -35.0, 60.0)),
    "rounded cylinder": Ellipsoid((0.0, 0.0, 0.0), (9.0, 7.0, 6.0), turn_deg=(13.0, 7.0, 0.0), powers=(2.0, 8.0)),
    "rounded box": Ellipsoid((0.0, 0.0, 0.0), (9.0, 7.0, 6.0), turn_deg=(13.0, -21.0, 30.0), powers=(5.0, 4.0)),
    "capsule": Capsule((-8.0, 1.0, 2.0), (7.0, 4.0, -3.0), 4.0, 4.0),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_closed_form_is_the_volume_that_samples_count(name: str) -> None:
    shape = CLOSED_FORMS[name]
    assert shape.volume_mm3 is not None
    counted = 1000.0 * sampled_volume_ml(shape, grid_round(shape), split=6)
    assert counted == pytest.approx(shape.volume_mm3, rel=3e-4)  # six samples per mm on bodies of centimetres


def test_the_ball_formula_is_the_ellipsoid_formula_with_equal_radii() -> None:
    assert Ellipsoid((0, 0, 0), (5, 5, 5)).volume_mm3 == pytest.approx(Ball((0, 0, 0), 5).volume_mm3, rel=1e-12)


def test_what_has_no_closed_form_does_not_claim_one() -> None:
    ball = Ball((0, 0, 0), 5)
    assert Union((ball, Ball((3, 0, 0), 5))).volume_mm3 is None
    assert Carved(ball, cuts=(HalfSpace((0, 0, 0), (1, 0, 0)),)).volume_mm3 is None
    assert Capsule((0, 0, 0), (9, 0, 0), 2, 3).volume_mm3 is None
    assert path([[0, 0, 0], [9, 0, 0], [9, 9, 0]], 2.0).volume_mm3 is None
    assert Union((ball,)).volume_mm3 == ball.volume_mm3


@given(places, places, places, st.floats(0.5, 9.0))
def test_capsule_and_ball_fields_are_exact_distances(place: Point, start: Point, end: Point, radius: float) -> None:
    along = np.array(start) + np.linspace(0, 1, 4001)[:, None] * (np.array(end) - np.array(start))
    nearest = float(np.linalg.norm(along - np.array(place), axis=1).min()) - radius
    # The samples of the segment lie up to 0.02 mm apart.
    assert field_at(Capsule(start, end, radius, radius), place) == pytest.approx(nearest, abs=0.02)
    assert field_at(Ball(start, radius), place) == pytest.approx(math.dist(start, place) - radius, abs=1e-9)


@given(places, st.tuples(*[st.floats(2.0, 30.0)] * 3), st.tuples(*[st.floats(-180, 180)] * 3))
def test_an_ellipsoid_is_negative_exactly_inside(place: Point, radii: Point, turn_deg: Point) -> None:
    own = turned(turn_deg).T @ np.array(place)
    level = float(np.square(own / radii).sum())
    if abs(level - 1.0) > 1e-6:
        assert (field_at(Ellipsoid((0.0, 0.0, 0.0), radii, turn_deg), place) < 0) == (level < 1)


@given(st.tuples(*[st.floats(4.0, 30.0)] * 3), st.floats(0, 2 * math.pi), st.floats(0.2, 2.9))
def test_near_its_boundary_an_ellipsoid_knows_the_distance(radii: Point, turn: float, lift: float) -> None:
    direction = np.array([math.cos(turn) * math.sin(lift), math.sin(turn) * math.sin(lift), math.cos(lift)])
    surface = direction * radii
    normal = surface / np.square(radii)
    normal /= np.linalg.norm(normal)
    shape = Ellipsoid((0.0, 0.0, 0.0), radii)
    step = 0.02 * min(radii) ** 2 / max(radii)  # small against the least radius of curvature
    x, y, z = (surface + step * normal).tolist()
    assert field_at(shape, (x, y, z)) == pytest.approx(step, rel=0.1)


def test_turns_go_about_l_then_p_then_s_by_the_right_hand() -> None:
    assert turned((0.0, 0.0, 90.0)) @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert turned((90.0, 0.0, 0.0)) @ [0, 1, 0] == pytest.approx([0, 0, 1])
    assert turned((0.0, 90.0, 0.0)) @ [0, 0, 1] == pytest.approx([1, 0, 0])
    assert turned((90.0, 0.0, 90.0)) @ [0, 1, 0] == pytest.approx([0, 0, 1])


def test_a_column_is_endless_and_narrow_at_its_waist() -> None:
    column = Column((1.0, -2.0), (10.0, 6.0), 2.0, waist=(0.2, 0.0, 5.0))
    for z in (-1e4, 1e4):
        assert field_at(column, (10.9, -2.0, z)) < 0 < field_at(column, (11.1, -2.0, z))
    assert field_at(column, (8.9, -2.0, 0.0)) < 0 < field_at(column, (9.1, -2.0, 0.0))


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0.1, 20))
def test_a_blend_only_adds_and_never_more_than_a_quarter_of_its_width(one: float, other: float, blend: float) -> None:
    blended = float(smooth_minimum(np.array([one]), np.array([other]), blend)[0])
    assert min(one, other) - blend / 4 - 1e-9 <= blended <= min(one, other)
    if abs(one - other) >= blend:
        assert blended == min(one, other)


@given(places)
def test_cutting_takes_away_and_keeping_keeps_only_common_points(place: Point) -> None:
    solid, tool = Ball((0, 0, 0), 20), Ball((12, 0, 0), 15)
    is_in = field_at(solid, place) < 0
    in_tool = field_at(tool, place) < 0
    assert (field_at(Carved(solid, cuts=(tool,)), place) < 0) == (is_in and not field_at(tool, place) <= 0)
    assert (field_at(Carved(solid, keeps=(tool,)), place) < 0) == (is_in and in_tool)
    assert field_at(Carved(solid, cuts=(tool,), blend_mm=4), place) >= field_at(solid, place)


def test_a_path_runs_through_its_knots_with_their_radii() -> None:
    knots = np.array([[0, 0, 0], [20, 5, 3], [30, 25, -4], [28, 40, 10]], dtype=float)
    radii = np.array([3.0, 5.0, 4.0, 2.0])
    tube = path(knots, radii, step_mm=1.0)
    for knot, radius in zip(knots.tolist(), radii, strict=True):
        # A neighbouring capsule of the taper may reach a little deeper than the knot's own radius.
        assert field_at(tube, tuple(knot)) == pytest.approx(-radius, abs=0.25)
    assert spline(np.hstack([knots, radii[:, None]]), 1.0)[-1] == pytest.approx([28, 40, 10, 2])


def test_thicker_tubes_stay_tubes_and_too_thin_ones_vanish() -> None:
    tube = Tubes((Capsule((0, 0, 0), (9, 0, 0), 3, 3), Capsule((9, 0, 0), (18, 0, 0), 1, 1)))
    thin = grown(tube, -2.0)
    assert isinstance(thin, Tubes)
    assert [capsule.start_radius for capsule in thin.capsules] == [1.0]
    assert isinstance(grown(Ball((0, 0, 0), 4), 1.0), Grown)


def test_an_empty_union_is_refused() -> None:
    with pytest.raises(GeometryError):
        Union(())


def test_bounds_hold_every_point_that_is_inside() -> None:
    recipe = read_recipe("abdomen")
    places = even_points(6000, *recipe.field_mm)
    for part in recipe.parts:
        is_inside = np.broadcast_to(part.shape.field(*places.T), len(places)) < 0
        low, high = part.shape.bounds()
        held = ((places >= low) & (places <= high)).all(axis=1)
        assert not (is_inside & ~held).any(), part.key
