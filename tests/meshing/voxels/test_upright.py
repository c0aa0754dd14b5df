"""Scans in patient order: nothing is resampled, and no storage order matters."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.volume import Volume
from meshing.voxels.upright import coarse, to_coarse, to_full, to_storage, to_upright_index, upright
from tests.meshing.segmenters.scans import Known, orders, reordered
from tests.shapes import oblique, upright_grid


def numbered(
    shape: tuple[int, int, int] = (5, 6, 7), spacing_mm: tuple[float, float, float] = (1.0, 2.0, 3.0)
) -> Volume:
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape, order="F")
    return Volume(voxels, upright_grid(shape, spacing_mm), "CT", "HU")


def test_every_storage_order_turns_into_the_same_array() -> None:
    volume = numbered()
    known = Known(volume, {})
    for grid in orders(known):
        scan = upright(reordered(known, grid).volume)
        np.testing.assert_array_equal(scan.voxels, volume.voxels)
        assert scan.spacing_mm == pytest.approx((1.0, 2.0, 3.0))
        assert scan.voxels.flags.f_contiguous


def test_a_mask_goes_back_to_the_voxels_that_it_came_from() -> None:
    known = Known(numbered(), {})
    for grid in orders(known):
        stored = reordered(known, grid).volume
        back = to_storage(upright(stored).voxels > 100, upright(stored))
        np.testing.assert_array_equal(back, stored.voxels > 100)


def test_points_find_their_voxel_in_every_storage_order() -> None:
    known = Known(numbered(), {})
    point = known.volume.grid.to_patient((3, 1, 5))
    for grid in orders(known):
        scan = upright(reordered(known, grid).volume)
        np.testing.assert_allclose(to_upright_index(point, scan), [[3, 1, 5]], atol=1e-9)


def test_an_oblique_scan_keeps_its_nearest_axes() -> None:
    """A gantry tilted by 20 degrees still has its x to the left, y to the back and z to the head."""
    grid = upright_grid((4, 5, 6), (1.0, 1.0, 1.0))
    matrix = grid.voxel_to_patient.copy()
    angle = np.deg2rad(20.0)
    matrix[:3, :3] = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    volume = Volume(numbered((4, 5, 6)).voxels, type(grid)((4, 5, 6), matrix), "CT", "HU")
    scan = upright(volume)
    assert scan.axes == (0, 1, 2)
    assert scan.reversed_axes == (False, False, False)


@pytest.mark.parametrize("seed", range(5))
def test_any_rotation_gives_the_axes_nearest_to_the_patients(seed: int) -> None:
    volume = Volume(numbered().voxels, oblique(numbered().grid, seed), "CT", "HU")
    scan = upright(volume)
    columns = volume.grid.direction[:, list(scan.axes)] * np.where(scan.reversed_axes, -1, 1)
    assert (np.diag(columns) > 0).all()
    assert sorted(scan.axes) == [0, 1, 2]


def test_blocks_hold_the_mean_of_their_voxels() -> None:
    scan = upright(numbered((4, 6, 4), (1.0, 1.0, 2.0)))
    low = coarse(scan, 2.0, most_voxels=1e6)
    assert low.factors == (2, 2, 1)
    expected = scan.voxels.astype(float).reshape((2, 2, 2, 3, 4), order="F").mean(axis=(0, 2))
    np.testing.assert_allclose(low.values, expected, rtol=1e-6)
    assert low.voxel_ml == pytest.approx(2 * 2 * 2 / 1000)


def test_the_last_block_repeats_the_last_voxels() -> None:
    scan = upright(numbered((5, 1, 1), (1.0, 1.0, 1.0)))
    low = coarse(scan, 2.0, most_voxels=1e6)
    np.testing.assert_allclose(low.values[:, 0, 0], [0.5, 2.5, 4.0])


def test_too_many_blocks_make_larger_blocks() -> None:
    scan = upright(numbered((40, 40, 40), (1.0, 1.0, 1.0)))
    low = coarse(scan, 1.0, most_voxels=9000)
    assert low.values.size <= 9000
    assert max(low.factors) == 2


def test_masks_on_blocks_of_a_box_come_back_inside_that_box_alone() -> None:
    scan = upright(numbered((9, 9, 9), (1.0, 1.0, 1.0)))
    low = coarse(scan, 2.0, most_voxels=1e6, box=(slice(1, 6), slice(2, 9), slice(0, 3)))
    full = to_full(np.ones(low.values.shape, np.bool_), low)
    assert full.shape == (9, 9, 9)
    assert full.sum() == 5 * 7 * 3
    assert full[1:6, 2:9, 0:3].all()
    assert to_coarse(full, low).all()
    assert not to_coarse(~full, low).any()


def turned_about(axis: int, degrees: float) -> Volume:
    """Numbered voxels of odd spacings on a grid turned about one patient axis."""
    volume = numbered((5, 6, 7), (0.7, 1.1, 1.3))
    angle, (one, other) = np.deg2rad(degrees), [a for a in range(3) if a != axis]
    turn = np.eye(4)
    turn[[one, other], [one, other]] = np.cos(angle)
    turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
    return Volume(volume.voxels, type(volume.grid)(volume.grid.shape, turn @ volume.grid.voxel_to_patient), "CT", "HU")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [20.0, 45.0, 135.0])
def test_all_that_a_segmenter_sees_is_the_same_to_the_last_bit_in_all_48_storage_orders(
    axis: int, degrees: float
) -> None:
    """Voxels, spacing, voxel volume, and a seed half way between voxels; at 45 degrees either axis would do."""
    known = Known(turned_about(axis, degrees), {})
    first = upright(known.volume)
    seed = known.volume.grid.to_patient((2.5, 1.5, 3.5))
    for grid in orders(known):
        scan = upright(reordered(known, grid).volume)
        np.testing.assert_array_equal(scan.voxels, first.voxels)
        assert (scan.spacing_mm, scan.voxel_ml) == (first.spacing_mm, first.voxel_ml)
        np.testing.assert_array_equal(np.floor(to_upright_index(seed, scan)), np.floor(to_upright_index(seed, first)))
