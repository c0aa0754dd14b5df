"""Vessels from grey values alone: the half-maximum lumen, and tube-likeness that treats thin and fat alike."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, imaged, tube
from meshing.errors import SegmentationError, VesselError
from meshing.vessels import from_grey, lumen_mask
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
