"""Marks: what they refuse, that their meshes are what they say, and that their numbers come back from a file."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import DamagedFileError, ExportError
from meshing.exporting.annotations import (
    Curve,
    Ellipsoid,
    Line,
    Plane,
    Point,
    annotation_from,
    kind_of,
    shape_of,
)
from meshing.exporting.fields import Fields
from meshing.exporting.gltf import export_glb
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball, tube
from meshing.surface import Surface, check, volume_ml

MARKS = (
    Point("target", (-80.5, -10, -1050), 3.0),
    Line("needle", (-170, -60, -1040), (-80, -10, -1050), 0.75),
    Curve("route", ((8, 25, -1180), (9, 20, -1140), (30, 15, -1100))),
    Ellipsoid("zone", (-80, -10, -1050), (20, 15, 10), ((0, 1, 0), (0, 0, 1), (1, 0, 0))),
    Plane("cut", (0, 0, -1100), (0, 0.6, 0.8), 150.0),
)
coordinate = st.floats(-2000, 2000)
position = st.tuples(coordinate, coordinate, coordinate)


@pytest.mark.parametrize("mark", MARKS, ids=kind_of)
def test_its_numbers_come_back_from_the_file(lab, case, tmp_path, mark):
    export_glb(case, tmp_path / "a.glb", ExportSettings(annotations=(mark,)))
    node = lab.open_glb(tmp_path / "a.glb").node(mark.name)
    assert node["extras"]["kind"] == kind_of(mark)
    assert annotation_from(mark.name, Fields(node["extras"], "")) == mark


@pytest.mark.parametrize("mark", MARKS[:4], ids=kind_of)
def test_its_mesh_is_closed_manifold_and_outward(mark):
    found = check(Surface(*shape_of(mark), mark.name))
    assert found.is_closed and found.is_manifold and found.is_outward


def test_a_ball_has_the_volume_of_a_ball():
    # Inscribed icosphere of 20·4^n faces: short by 0.8 % at n = 3, and each refinement takes 3/4 of the error away.
    short = [1 - volume_ml(*ball((5, 6, 7), (10, 20, 30), refinements=n)) / (4 / 3 * np.pi * 6.0) for n in range(5)]
    assert 0.007 < short[3] < 0.009
    assert all(0.2 < later / sooner < 0.35 for sooner, later in itertools.pairwise(short))


def test_the_vertices_of_an_ellipsoid_lie_on_it():
    turn = np.array(MARKS[3].directions)
    vertices, _ = shape_of(MARKS[3])
    along = (vertices - MARKS[3].centre_mm) @ turn.T / MARKS[3].radii_mm
    assert np.allclose(np.linalg.norm(along, axis=1), 1, atol=1e-12)


def test_a_rod_has_the_volume_of_its_prism():
    # A prism over the regular 16-gon inscribed in the circle.
    wanted = 16 / 2 * np.sin(2 * np.pi / 16) * 2.0**2 * 50 / 1000
    assert volume_ml(*tube(((0, 0, 0), (30, 40, 0)), 2.0)) == pytest.approx(wanted, rel=1e-9)


@given(st.lists(position, min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_ring_of_a_tube_has_its_radius_about_its_point(points):
    way = np.array(points)
    if np.linalg.norm(np.diff(way, axis=0), axis=1).min() < 1e-3:
        return
    vertices, faces = tube(points, 1.5)
    rings = vertices[:-2].reshape(len(way), -1, 3)
    assert np.allclose(np.linalg.norm(rings - way[:, None], axis=2), 1.5, atol=1e-6)
    found = check(Surface(vertices - way[0], faces, "tube"))
    assert found.is_closed and found.is_manifold


def test_a_tube_along_a_helix_does_not_twist():
    turn = np.linspace(0, 12, 200)
    way = np.stack([20 * np.cos(turn), 20 * np.sin(turn), 3 * turn], axis=1)
    rings = tube(way, 2.0)[0][:-2].reshape(len(way), 16, 3)
    spokes = (rings - way[:, None])[:, 0] / 2.0
    # Rotation-minimising: a spoke turns no faster than the tangent (0.06 rad a step here).
    steps = np.arccos(np.clip(np.einsum("ni,ni->n", spokes[1:], spokes[:-1]), -1, 1))
    assert steps.max() < 0.065


def test_a_sheet_is_square_and_looks_along_its_normal():
    vertices, faces = shape_of(MARKS[4])
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.allclose(across / np.linalg.norm(across, axis=1, keepdims=True), (0, 0.6, 0.8))
    assert np.linalg.norm(across, axis=1).sum() / 2 == pytest.approx(150.0**2)
    assert np.allclose(vertices.mean(axis=0), MARKS[4].point_mm)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Point(" ", (0, 0, 0)), "no name"),
        (lambda: Point("p", (0, 0, float("nan"))), "at_mm"),
        (lambda: Point("p", (0, 0)), "at_mm"),
        (lambda: Point("p", "here"), "at_mm"),
        (lambda: Point("p", (0, 0, 0), 0.0), "radius_mm is 0.0"),
        (lambda: Point("p", (0, 0, 0), float("inf")), "radius_mm"),
        (lambda: Line("l", (1, 2, 3), (1, 2, 3)), "points 0 and 1 coincide"),
        (lambda: Curve("c", ((1, 2, 3),)), "1 points make no way"),
        (lambda: Curve("c", ((1, 2, 3), (4, 5, 6), (4, 5, 6))), "points 1 and 2 coincide"),
        (lambda: Ellipsoid("e", (0, 0, 0), (1, -1, 1)), "radii_mm"),
        (lambda: Ellipsoid("e", (0, 0, 0), (1, 1, 1), ((1, 0, 0), (0, 1, 0), (0, 0.1, 1))), "perpendicular"),
        (lambda: Plane("s", (0, 0, 0), (0, 0, 0)), "no length"),
        (lambda: Plane("s", (0, 0, 0), (0, 0, 1), -5.0), "size_mm"),
    ],
)
def test_a_mark_that_draws_nothing_is_refused_with_its_numbers(make, says):
    with pytest.raises(ExportError, match=says):
        make()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "laser"},
        {"kind": "point"},
        {"kind": "point", "at_mm": [1, 2], "radius_mm": 1},
        {"kind": "point", "at_mm": [1, 2, "3"], "radius_mm": 1},
        {"kind": "point", "at_mm": [1, 2, 3], "radius_mm": -1},
        {"kind": "curve", "points_mm": [], "radius_mm": 1},
        {"kind": "line", "start_mm": [1, 2, 3], "end_mm": [1, 2, 3], "radius_mm": 1},
    ],
)
def test_numbers_that_make_no_mark_are_a_damaged_file(fields):
    with pytest.raises(DamagedFileError):
        annotation_from("mark", Fields(fields, "nodes[3].extras"))
