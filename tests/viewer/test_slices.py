"""Slices: every pixel lies where its view says, in every storage order, at every angle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.volume import Grid
from tests.shapes import centres, oblique, storage_orders, upright_grid
from viewer.slices import PLANES, Plane, SliceView, axes, fitted, letters, nice_length, normal, position_text, reslice

GRID = upright_grid((31, 27, 22), (1.1, 0.9, 2.5))
ORDERS = storage_orders(GRID)
SLOPE = np.array([3.0, -2.0, 5.0])


def ramp(grid: Grid) -> npt.NDArray[np.float32]:
    """Values that rise linearly in space: any right interpolation returns them exactly."""
    return np.asfortranarray(centres(grid) @ SLOPE + 7.0, dtype=np.float32)


def ramp_at(view: SliceView) -> npt.NDArray[np.float64]:
    row, column = np.mgrid[: view.shape[0], : view.shape[1]]
    return view.to_patient(np.stack([column, row], axis=-1)) @ SLOPE + 7.0


def inner_view(plane: Plane, mm_per_pixel: float) -> SliceView:
    """A view in the middle of the grid, far enough from its border for every kernel."""
    middle = GRID.to_patient((np.array(GRID.shape) - 1) / 2)
    across, down = axes(plane) @ middle
    shape = (int(14 / mm_per_pixel), int(12 / mm_per_pixel))
    first = (across - 6.0, down - 7.0)
    return SliceView(plane, float(normal(plane) @ middle) + 0.37, first, mm_per_pixel, shape)


@pytest.mark.parametrize("order", range(48))
@pytest.mark.parametrize("plane", PLANES)
def test_every_pixel_shows_its_own_place_in_all_storage_orders(plane: Plane, order: int) -> None:
    view = inner_view(plane, 0.4)
    # Keys' kernel and linear blending both return a ramp exactly; float32 leaves 1e-3 of values around 1000.
    np.testing.assert_allclose(reslice(ramp(ORDERS[order]), ORDERS[order], view), ramp_at(view), atol=2e-3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("plane", PLANES)
def test_every_pixel_shows_its_own_place_in_oblique_scans(plane: Plane, seed: int) -> None:
    grid = oblique(GRID, seed)
    view = inner_view(plane, 0.5)
    values = reslice(ramp(grid), grid, view)
    inside = np.isfinite(values)
    assert inside.mean() > 0.5
    index = grid.to_voxel(
        view.to_patient(np.stack(np.mgrid[: view.shape[0], : view.shape[1]][::-1], axis=-1).astype(float))
    )
    within = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=-1)
    np.testing.assert_allclose(values[within], ramp_at(view)[within], atol=2e-3)


def test_a_slightly_turned_scan_is_not_treated_as_straight() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.02), -np.sin(0.02)], [np.sin(0.02), np.cos(0.02)]]
    grid = Grid(GRID.shape, turn @ GRID.voxel_to_patient)
    middle = grid.to_patient((np.array(grid.shape) - 1) / 2)
    view = SliceView("axial", float(middle[2]), (float(middle[0]) - 5, float(middle[1]) - 5), 0.5, (20, 20))
    np.testing.assert_allclose(reslice(ramp(grid), grid, view), ramp_at(view), atol=2e-3)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("mm_per_pixel", [0.2, 0.7, 3.1])
def test_no_edge_gets_a_brighter_rim(plane: Plane, mm_per_pixel: float) -> None:
    """Air beside tissue: a bare cubic would overshoot by some 70 HU, which a narrow window shows as white skin."""
    voxels = np.where(centres(GRID) @ [0.6, 0.7, 0.4] > 101.5, -1000, 60).astype(np.int16)
    values = reslice(np.asfortranarray(voxels), GRID, inner_view(plane, mm_per_pixel))
    assert values.min() >= -1000.01 and values.max() <= 60.01  # float32
    assert values.min() < -900.0 and values.max() > 0.0


@pytest.mark.parametrize("mm_per_pixel", [0.31, 1.0, 2.7])
def test_a_uniform_scan_stays_uniform_at_any_zoom(mm_per_pixel: float) -> None:
    voxels = np.full(GRID.shape, 42, np.int16, order="F")
    values = reslice(voxels, GRID, inner_view("coronal", mm_per_pixel))
    np.testing.assert_allclose(values, 42.0, rtol=1e-6)


def test_shrinking_averages_instead_of_skipping() -> None:
    """A checkerboard of single voxels becomes grey, not stripes."""
    i, j, _ = np.indices(GRID.shape)
    voxels = np.asfortranarray(((i + j) % 2) * 100.0, dtype=np.float32)
    view = SliceView(
        "axial", float(GRID.origin_mm[2] + 2.5 * 10), (GRID.origin_mm[0] + 9, GRID.origin_mm[1] + 8), 4.4, (2, 3)
    )
    assert np.abs(reslice(voxels, GRID, view) - 50.0).max() < 8.0


def test_nothing_is_shown_outside_the_scan() -> None:
    voxels = np.full(GRID.shape, 5, np.int16, order="F")
    view = SliceView(
        "axial", float(GRID.origin_mm[2]) + 5.0, (GRID.origin_mm[0] - 10.0, GRID.origin_mm[1] - 10.0), 0.5, (140, 140)
    )
    values = reslice(voxels, GRID, view)
    points = view.to_patient(np.stack(np.mgrid[:140, :140][::-1], axis=-1).astype(float))
    index = GRID.to_voxel(points)[..., :2]
    inside = ((index >= -0.5) & (index <= np.array(GRID.shape[:2]) - 0.5)).all(axis=-1)
    assert (np.isfinite(values) == inside).all()
    above = SliceView("axial", float(GRID.origin_mm[2]) - 1.3, view.first_mm, 0.5, (140, 140))
    assert np.isnan(reslice(voxels, GRID, above)).all()


@pytest.mark.parametrize(
    ("plane", "edges", "towards_right", "towards_bottom"),
    [
        ("axial", ("R", "L", "A", "P"), (1, 0, 0), (0, 1, 0)),
        ("coronal", ("R", "L", "S", "I"), (1, 0, 0), (0, 0, -1)),
        ("sagittal", ("A", "P", "S", "I"), (0, 1, 0), (0, 0, -1)),
    ],
)
def test_letters_name_the_directions_of_the_pixels(
    plane: Plane, edges: tuple[str, ...], towards_right: tuple[int, ...], towards_bottom: tuple[int, ...]
) -> None:
    view = inner_view(plane, 1.0)
    origin, right, down = view.to_patient([[0, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(right - origin, towards_right, atol=1e-9)
    np.testing.assert_allclose(down - origin, towards_bottom, atol=1e-9)
    assert letters(plane) == edges


@pytest.mark.parametrize("plane", PLANES)
def test_pixels_and_points_are_inverse(plane: Plane) -> None:
    view = inner_view(plane, 0.37)
    pixels = np.array([[0.0, 0.0], [3.25, 8.5], [-4.0, 12.0]])
    np.testing.assert_allclose(view.to_pixels(view.to_patient(pixels)), pixels, atol=1e-9)
    np.testing.assert_allclose(view.to_patient(pixels) @ normal(plane), view.level_mm)


@settings(max_examples=200, deadline=None)
@given(
    width=st.floats(5, 900),
    height=st.floats(5, 900),
    rows=st.integers(16, 2000),
    columns=st.integers(16, 2000),
    plane=st.sampled_from(PLANES),
)
def test_the_fitted_view_holds_the_box_and_its_bar_is_exact(
    width: float, height: float, rows: int, columns: int, plane: Plane
) -> None:
    low = np.array([-30.0, 20.0, 100.0])
    size = width * np.abs(axes(plane)[0]) + height * np.abs(axes(plane)[1])
    view, bar_mm = fitted(plane, np.stack([low, low + size]), 0.0, (rows, columns))
    bar_px = bar_mm / view.mm_per_pixel
    assert bar_px == pytest.approx(round(bar_px), abs=1e-9)
    assert 1 <= round(bar_px) <= 0.3 * columns + 1
    corners = view.to_pixels(np.stack([low, low + size]))
    assert corners.min() >= -0.5 - 1e-6
    assert (corners.max(axis=0) <= np.array([columns, rows]) - 0.5 + 1e-6).all()


@settings(max_examples=200, deadline=None)
@given(st.floats(0.02, 5000))
def test_a_bar_length_is_one_two_or_five(limit_mm: float) -> None:
    length = nice_length(limit_mm)
    assert length <= limit_mm * (1 + 1e-6) < 2.5 * length * (1 + 1e-3)
    mantissa = length / 10 ** np.floor(np.log10(length) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-6


def test_a_level_reads_as_its_side_and_distance() -> None:
    assert position_text("axial", 12.34) == "S 12.3 mm"
    assert position_text("axial", -7.0) == "I 7.0 mm"
    assert position_text("coronal", 3.0) == "P 3.0 mm"
    assert position_text("coronal", -3.0) == "A 3.0 mm"
    assert position_text("sagittal", 8.0) == "L 8.0 mm"
    assert position_text("sagittal", -0.01) == "L 0.0 mm"
