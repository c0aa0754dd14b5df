"""Marching cubes: closed, manifold and outward, near the raw volume; grey surfaces at their level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.cubes import Smoothing, cubes_of, extract_grey
from meshing.errors import SurfaceError
from meshing.segmentation import Segment, Segmentation
from meshing.surface import check
from meshing.terminology import Structure
from meshing.volume import Volume
from tests.meshing.heads import ORDERS, head_on
from tests.shapes import ball, capsule, centres, labelled, middle_of, upright_grid

RAW = Smoothing(passes=0)


def test_all_storage_orders_give_the_same_volume() -> None:
    volumes = [check(cubes_of(head_on(order), RAW)["ear_left"]).volume_ml for order in ORDERS]
    assert np.ptp(volumes) < 1e-6 * volumes[0]


@pytest.mark.parametrize("radius_mm", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_ball_has_its_analytic_volume_within_one_percent(radius_mm: float, seed: int) -> None:
    grid = upright_grid((72, 72, 50), (0.7, 0.7, 1.0))
    centre = middle_of(grid) + np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    surface = cubes_of(labelled(grid, {"ball": ball(centre, radius_mm)}))["ball"]
    assert check(surface).volume_ml == pytest.approx(4 / 3 * np.pi * radius_mm**3 / 1000, rel=0.01)


def test_smoothing_brings_a_ball_nearer_to_the_truth_in_distance_and_volume() -> None:
    grid = upright_grid((100, 100, 70), (0.7, 0.7, 1.0))
    centre = middle_of(grid) + [0.2, 0.1, 0.3]
    shapes = labelled(grid, {"ball": ball(centre, 30.0)})
    raw, smooth = cubes_of(shapes, RAW)["ball"], cubes_of(shapes)["ball"]
    error = [np.abs(np.linalg.norm(s.vertices - centre, axis=1) - 30.0).mean() for s in (raw, smooth)]
    assert error[1] < 0.08  # 0.072 mm is the published mean of this filter at this spacing
    assert error[1] < 0.7 * error[0]
    truth = 4 / 3 * np.pi * 30.0**3 / 1000
    assert abs(check(smooth).volume_ml - truth) < abs(check(raw).volume_ml - truth)


@pytest.mark.parametrize("radius_mm", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_thin_vessel_gains_on_the_raw_surface_within_the_allowed_change(radius_mm: float, seed: int) -> None:
    grid = upright_grid((60, 60, 60), (0.7, 0.7, 1.0))
    rng = np.random.default_rng(seed)
    along = rng.normal(size=3)
    along *= 12.0 / np.linalg.norm(along)
    centre = middle_of(grid) + rng.uniform(-0.5, 0.5, 3)
    shapes = labelled(grid, {"vessel": capsule(centre - along, centre + along, radius_mm)})
    raw, smooth = (check(cubes_of(shapes, how)["vessel"]).volume_ml for how in (RAW, Smoothing()))
    voxels = np.count_nonzero(shapes.mask("vessel")) * grid.voxel_volume_mm3 / 1000
    assert raw < smooth <= 1.03 * raw
    assert abs(smooth - voxels) < abs(raw - voxels)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_specks_of_a_few_voxels_stay_within_the_allowed_change(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    grid = upright_grid((9, 9, 9), (0.7, 0.7, 2.0))
    layer = np.zeros(grid.shape, np.uint8, order="F")
    at = np.array([4, 4, 4])
    for _ in range(count):
        layer[tuple(at)] = 1
        at = np.clip(at + rng.integers(-1, 2, 3), 1, 7)
    speck = Segmentation((layer,), grid, (Segment("speck", 1, 0, Structure("speck", "s", "s")),), "test")
    raw, smooth = (check(cubes_of(speck, how)["speck"]).volume_ml for how in (RAW, Smoothing()))
    assert abs(smooth - raw) <= 0.0301 * raw


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_random_noise_is_closed_manifold_and_outward(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    layer = np.asfortranarray(rng.random((9, 8, 7)) < share).astype(np.uint8)
    grid = upright_grid((9, 8, 7), (0.7, 0.7, 5.0))
    noise = Segmentation((layer,), grid, (Segment("noise", 1, 0, Structure("noise", "n", "n")),), "test")
    for surface in cubes_of(noise, RAW).values():
        found = check(surface)
        assert found.is_closed and found.is_manifold and found.is_outward


def test_grey_surface_lies_at_the_level() -> None:
    grid = upright_grid((50, 50, 50), (0.8, 0.8, 0.8))
    centre = middle_of(grid) + [0.1, 0.2, 0.3]
    voxels = (1000.0 - 40.0 * np.linalg.norm(centres(grid) - centre, axis=-1)).astype(np.float32)
    surface = extract_grey(Volume(voxels, grid, "CT", "HU"), 600.0, "ball")
    distance = np.linalg.norm(surface.vertices - centre, axis=1)
    assert np.abs(distance - 10.0).max() < 0.02  # linear interpolation of a cone: h²/8r


def test_integer_level_on_integer_voxels_makes_no_triangle_without_area() -> None:
    grid = upright_grid((30, 30, 30), (1.0, 1.0, 1.0))
    rng = np.random.default_rng(1)
    voxels = rng.integers(195, 206, grid.shape).astype(np.int16)
    surface = extract_grey(Volume(voxels, grid, "CT", "HU"), 200, "noise")
    corners = surface.vertices.astype(float)[surface.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert area.min() > 1e-6
    assert check(surface).is_closed


def test_grey_level_above_everything_is_an_error_with_the_numbers() -> None:
    grid = upright_grid((5, 5, 5), (1.0, 1.0, 1.0))
    with pytest.raises(SurfaceError, match=r"above 3000 HU \(highest: 7\)"):
        extract_grey(Volume(np.full(grid.shape, 7, np.int16), grid, "CT", "HU"), 3000, "metal")
