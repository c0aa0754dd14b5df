"""Vessels from grey values alone: the half-maximum lumen, and tube-likeness that treats thin and fat alike."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, imaged, tube
from meshing.errors import SegmentationError, VesselError
from meshing.vessels import from_grey, lumen_mask, tubeness
from meshing.volume import Volume

SOLID = tube([(0, 0, -30), (4, 0, 0), (0, 0, 30)], 3.0)


@pytest.fixture(scope="module")
def image() -> Volume:
    return imaged(SOLID, grid_round(SOLID, (0.7, 0.7, 0.9)), noise=4.0)


def test_the_lumen_at_half_the_step_is_the_vessel(image: Volume) -> None:
    mask, true = lumen_mask(image, ((4.0, 0.0, 0.0),)), drawn(SOLID, image.grid)
    assert 2.0 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.95


def test_a_tree_grows_from_a_seed(image: Volume) -> None:
    (branch,) = from_grey(image, ((4.0, 0.0, 0.0),)).branches
    assert branch.mean_radius_mm == pytest.approx(3.0, abs=0.12)
    assert branch.length_mm == pytest.approx(2.0 * np.hypot(30.0, 4.0), abs=1.2)


def test_seeds_in_the_dark_outside_or_missing_are_refused(image: Volume) -> None:
    dark = tuple(image.grid.to_patient((1, 1, 1)).tolist())
    with pytest.raises(VesselError, match=r"no bright vessel there|brighter than half"):
        lumen_mask(image, (dark,))
    with pytest.raises(SegmentationError, match="outside the scan"):
        lumen_mask(image, ((500.0, 0.0, 0.0),))
    with pytest.raises(VesselError, match="no seed"):
        lumen_mask(image, ())
    with pytest.raises(VesselError, match="radii"):
        tubeness(image, (0.0,))


def test_tubes_of_all_radii_answer_alike_and_plates_and_balls_less() -> None:
    grid = grid_round(tube([(-30, 0, -25), (30, 0, 25)], 8.0), (1.0, 1.0, 1.0))
    x, y, z = np.moveaxis(grid.to_patient(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    grey = np.zeros(grid.shape, np.float32)
    grey[np.hypot(x + 22.0, y) < 2.5] = 100.0
    grey[np.hypot(x - 4.0, y) < 5.0] = 100.0
    grey[np.sqrt((x - 26.0) ** 2 + y**2 + z**2) < 4.0] = 100.0
    like = tubeness(Volume(grey, grid, "CT", "HU"), (2.5, 4.0, 5.0))

    def at(left: float) -> float:
        i, j, k = np.rint(grid.to_voxel((left, 0.0, 0.0))).astype(int)
        return float(like[i, j, k])

    thin, fat, ball = at(-22.0), at(4.0), at(26.0)
    # Without sigma squared the thin one would answer (5.0 / 2.5)² = 4 times as strongly.
    assert 0.75 < thin / fat < 1.3
    assert ball < 0.5 * min(thin, fat)
