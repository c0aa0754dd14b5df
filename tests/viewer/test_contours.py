"""Contours: surfaces cut where the plane lies, closed, smooth, with holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.exporting.shapes import ball, tube
from tests.shapes import ball as ball_of_voxels
from tests.shapes import labelled, middle_of, storage_orders, upright_grid
from viewer.contours import area_and_centroid, cut, outline
from viewer.slices import PLANES, Plane, SliceView, axes, normal

CENTRE = np.array([12.0, -7.0, 40.0])


def view_at(plane: Plane, level_mm: float, mm_per_pixel: float = 0.5) -> SliceView:
    across, down = axes(plane) @ CENTRE
    return SliceView(plane, level_mm, (float(across) - 25, float(down) - 25), mm_per_pixel, (100, 100))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLANES), st.floats(-19.5, 19.5))
def test_a_ball_is_cut_in_circles_of_the_right_size(plane: Plane, height: float) -> None:
    vertices, faces = ball(CENTRE, (20.0, 20.0, 20.0), refinements=5)
    view = view_at(plane, float(normal(plane) @ CENTRE) + height)
    (contour,) = cut(vertices, faces, view)
    radius_px = np.linalg.norm(contour - view.to_pixels(CENTRE), axis=1)
    # Chords of 20·4⁵ triangles sag by 0.01 mm on a 20 mm ball; on a flat cap the sag is magnified by the slope.
    wanted = np.sqrt(400 - height**2) / view.mm_per_pixel
    sag = 0.02 * 20 / np.sqrt(400 - height**2) / view.mm_per_pixel
    assert np.abs(radius_px - wanted).max() < sag + 1e-3
    area, middle = area_and_centroid(contour)
    assert abs(area) == pytest.approx(np.pi * wanted**2, rel=0.02)
    np.testing.assert_allclose(middle, view.to_pixels(CENTRE), atol=0.1)


def test_a_plane_through_vertices_still_gives_closed_contours() -> None:
    """The equator of an octahedron runs exactly through four vertices."""
    vertices = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float32) * 10
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    view = SliceView("axial", 0.0, (-20.0, -20.0), 1.0, (40, 40))
    (contour,) = cut(vertices, faces, view)
    assert abs(area_and_centroid(contour)[0]) == pytest.approx(200.0)


def test_a_hole_runs_the_other_way_round_than_its_rim() -> None:
    outer, outer_faces = ball(CENTRE, (20.0, 20.0, 20.0), refinements=3)
    inner, inner_faces = ball(CENTRE, (8.0, 8.0, 8.0), refinements=3)
    faces = np.vstack([outer_faces, inner_faces[:, ::-1] + len(outer)])
    contours = cut(np.vstack([outer, inner]), faces, view_at("axial", float(CENTRE[2]) + 0.3))
    areas = sorted(area_and_centroid(contour)[0] for contour in contours)
    assert len(areas) == 2
    assert areas[0] * areas[1] < 0


def test_a_bent_tube_is_cut_twice() -> None:
    vertices, faces = tube(
        [CENTRE + [-15, 0, 0], CENTRE + [-10, 0, 12], CENTRE + [10, 0, 12], CENTRE + [15, 0, 0]], 3.0
    )
    assert len(cut(vertices, faces, view_at("axial", float(CENTRE[2]) + 4.0))) == 2
    assert len(cut(vertices, faces, view_at("axial", float(CENTRE[2]) + 30.0))) == 0


def test_an_open_surface_gives_a_contour_without_failing() -> None:
    vertices, faces = ball(CENTRE, (20.0, 20.0, 20.0), refinements=3)
    middle = vertices[faces].mean(axis=1)
    contours = cut(vertices, faces[middle[:, 0] < CENTRE[0] + 5], view_at("axial", float(CENTRE[2]) + 0.3))
    assert len(contours) == 1 and len(contours[0]) > 10


@pytest.mark.parametrize("order", [0, 5, 17, 30, 47])
def test_labels_without_a_surface_are_outlined_in_their_place(order: int) -> None:
    grid = storage_orders(upright_grid((40, 36, 30), (1.2, 1.3, 1.5)))[order]
    middle = middle_of(grid)
    segmentation = labelled(grid, {"ball": ball_of_voxels(middle + [6, -3, 2], 9.0)})
    view = SliceView("axial", float(middle[2]) + 2.0, (float(middle[0]) - 30, float(middle[1]) - 30), 0.4, (150, 150))
    contours = outline(segmentation.layers[0], grid, view, 1)
    assert len(contours) == 1
    area, centroid = area_and_centroid(contours[0])
    # Voxels of 1.2 mm: half a voxel round the rim of a 9 mm disc is 13 % of its area, and 0.3 mm of its middle.
    assert abs(area) * 0.16 == pytest.approx(np.pi * 81, rel=0.13)
    np.testing.assert_allclose(centroid, view.to_pixels(middle + [6, -3, 2]), atol=0.3 / 0.4)
    assert outline(segmentation.layers[0], grid, view, 2) == ()
