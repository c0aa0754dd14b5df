"""Surfaces: never mirrored, closed, manifold, outward, with the volume of what they bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import NotFoundError, SurfaceError
from meshing.extract import Smoothing, extract, extract_grey
from meshing.progress import Cancelled
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Surface, check, volume_ml
from meshing.terminology import Structure
from meshing.volume import Grid, Volume
from tests.shapes import ball, capsule, centres, labelled, middle_of, oblique, storage_orders, upright_grid

RAW = Smoothing(passes=0)


def head_on(grid: Grid) -> Segmentation:
    """A head with one ear, at the patient's left, and a nose in front, in LPS whatever the storage order."""
    at = middle_of(HEAD_GRID)
    return labelled(
        grid,
        {
            "head": ball(at, 16.0),
            "ear_left": ball(at + [20.0, 1.0, 2.0], 5.0),
            "nose": ball(at + [0.0, -20.0, 0.0], 4.0),
        },
    )


HEAD_GRID = upright_grid((52, 44, 46), (1.25, 1.5, 1.4))
ORDERS = storage_orders(HEAD_GRID)


@pytest.mark.parametrize("order", range(48))
def test_surface_is_never_mirrored(order: int) -> None:
    surfaces = extract(head_on(ORDERS[order]))
    head, ear, nose = (surfaces[key].vertices.mean(axis=0) for key in ("head", "ear_left", "nose"))
    assert ear[0] - head[0] == pytest.approx(20.0, abs=0.5)
    assert nose[1] - head[1] == pytest.approx(-20.0, abs=0.5)
    assert abs(nose[0] - head[0]) < 0.5
    for surface in surfaces.values():
        found = check(surface)
        assert found.is_closed and found.is_manifold
        assert found.volume_ml > 0


def test_a_forgotten_flip_would_be_noticed_in_half_of_the_storage_orders() -> None:
    assert sum(order.is_left_handed for order in ORDERS) == 24
    surface = extract(head_on(ORDERS[0]))["head"]
    turned = Surface(surface.vertices, surface.faces[:, ::-1], "head")
    assert not check(turned).is_outward


def test_all_storage_orders_give_the_same_volume() -> None:
    volumes = [check(extract(head_on(order), RAW)["ear_left"]).volume_ml for order in ORDERS]
    assert np.ptp(volumes) < 1e-6 * volumes[0]


@pytest.mark.parametrize("radius_mm", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_ball_has_its_analytic_volume_within_one_percent(radius_mm: float, seed: int) -> None:
    grid = upright_grid((72, 72, 50), (0.7, 0.7, 1.0))
    centre = middle_of(grid) + np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    surface = extract(labelled(grid, {"ball": ball(centre, radius_mm)}))["ball"]
    assert check(surface).volume_ml == pytest.approx(4 / 3 * np.pi * radius_mm**3 / 1000, rel=0.01)


def test_smoothing_brings_a_ball_nearer_to_the_truth_in_distance_and_volume() -> None:
    grid = upright_grid((100, 100, 70), (0.7, 0.7, 1.0))
    centre = middle_of(grid) + [0.2, 0.1, 0.3]
    shapes = labelled(grid, {"ball": ball(centre, 30.0)})
    raw, smooth = extract(shapes, RAW)["ball"], extract(shapes)["ball"]
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
    raw, smooth = (check(extract(shapes, how)["vessel"]).volume_ml for how in (RAW, Smoothing()))
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
    raw, smooth = (check(extract(speck, how)["speck"]).volume_ml for how in (RAW, Smoothing()))
    assert abs(smooth - raw) <= 0.0301 * raw


def test_oblique_grid_gives_the_same_ball() -> None:
    grid = oblique(upright_grid((50, 50, 50), (0.6, 0.8, 1.0)), seed=3)
    centre = middle_of(grid)
    surface = extract(labelled(grid, {"ball": ball(centre, 12.0)}))["ball"]
    assert surface.vertices.mean(axis=0) == pytest.approx(centre, abs=0.1)
    assert check(surface).volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.01)


def test_structure_that_touches_the_border_is_closed() -> None:
    grid = upright_grid((20, 20, 20), (1.0, 1.0, 1.0))
    surface = extract(labelled(grid, {"half": lambda p: p[..., 0] < middle_of(grid)[0]}), RAW)["half"]
    assert check(surface).is_closed


def test_single_voxel_is_a_closed_surface() -> None:
    grid = upright_grid((9, 9, 9), (1.0, 1.0, 10.0))
    layer = np.zeros(grid.shape, np.uint8)
    layer[4, 4, 4] = 1
    one = Segmentation((layer,), grid, (Segment("dot", 1, 0, Structure("dot", "Dot", "点")),), "test")
    surface = extract(one)["dot"]
    assert check(surface).is_closed
    assert surface.vertices.mean(axis=0) == pytest.approx(grid.to_patient((4, 4, 4)), abs=1e-3)


def test_empty_segment_has_no_surface_and_unknown_key_is_an_error() -> None:
    grid = upright_grid((12, 12, 12), (1.0, 1.0, 1.0))
    shapes = labelled(grid, {"ball": ball(middle_of(grid), 4), "nothing": lambda p: np.zeros(p.shape[:-1], bool)})
    assert set(extract(shapes)) == {"ball"}
    with pytest.raises(NotFoundError, match="liver"):
        extract(shapes, keys=["liver"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_random_noise_is_closed_manifold_and_outward(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    layer = np.asfortranarray(rng.random((9, 8, 7)) < share).astype(np.uint8)
    grid = upright_grid((9, 8, 7), (0.7, 0.7, 5.0))
    noise = Segmentation((layer,), grid, (Segment("noise", 1, 0, Structure("noise", "n", "n")),), "test")
    for surface in extract(noise, RAW).values():
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


def test_cancel_stops_extraction() -> None:
    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        extract(head_on(HEAD_GRID), progress=stop)


def test_volume_of_a_cube_far_from_the_origin_is_exact() -> None:
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float) * 10 + 5000
    faces = [
        *[(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)],
        *[(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)],
    ]
    assert volume_ml(corner, faces) == pytest.approx(1.0, abs=1e-9)
