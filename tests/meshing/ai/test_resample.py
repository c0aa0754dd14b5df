"""Resampling against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.ai.resample import axis_weights, resampled, shape_at

SIZES = st.integers(1, 40)


@given(SIZES, SIZES)
def test_every_new_voxel_takes_one_voxel_worth(old: int, new: int) -> None:
    weights = axis_weights(old, new)
    assert weights.shape == (new, old)
    assert (weights >= 0).all()
    assert weights.sum(axis=1) == pytest.approx(1.0, abs=1e-6)


@given(SIZES, SIZES)
def test_an_axis_may_be_reversed_before_or_after(old: int, new: int) -> None:
    weights = axis_weights(old, new)
    assert weights[::-1, ::-1] == pytest.approx(weights, abs=1e-6)


@settings(max_examples=30)
@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(SIZES, SIZES, SIZES))
def test_a_constant_stays_and_nothing_overshoots(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    assert resampled(np.full(old, 7.0, np.float32), new) == pytest.approx(7.0, abs=1e-4)
    noise = np.random.default_rng(0).normal(size=old).astype(np.float32)
    found = resampled(noise, new)
    assert found.shape == new and found.dtype == np.float32
    assert noise.min() - 1e-5 <= found.min() and found.max() <= noise.max() + 1e-5


def test_the_same_shape_changes_nothing() -> None:
    scan = np.random.default_rng(1).integers(-1000, 2000, (7, 8, 9)).astype(np.int16)
    assert (resampled(scan, (7, 8, 9)) == scan).all()


@pytest.mark.parametrize(("old", "new"), [(20, 40), (20, 50), (40, 20), (60, 20)])
def test_a_plane_stays_a_plane_away_from_the_border(old: int, new: int) -> None:
    """Tents reproduce planes where voxels get smaller, and where whole voxels become one."""
    ratio = old / new
    position = (np.arange(new) + 0.5) * ratio - 0.5
    ramp = np.broadcast_to(np.arange(old, dtype=np.float32)[:, None, None], (old, 3, 3))
    margin = int(np.ceil(max(ratio, 1 / ratio)))
    inner = slice(margin, -margin)
    assert resampled(ramp, (new, 3, 3))[inner, 1, 1] == pytest.approx(position[inner], abs=1e-4)


def test_what_is_finer_than_a_new_voxel_becomes_its_mean() -> None:
    stripes = np.zeros((60, 4, 4), np.float32)
    stripes[::4] = 100.0  # a sample every four voxels would see none of them
    found = resampled(stripes, (15, 4, 4))
    assert found[2:-2] == pytest.approx(25.0, abs=1e-3)


def test_a_box_keeps_its_edges() -> None:
    """512 voxels of 0.7 mm are 72 of 5 mm, of 358.4 mm both."""
    assert shape_at((512, 512, 200), (0.7, 0.7, 1.0), (5, 5, 5)) == (72, 72, 40)
    assert shape_at((2, 2, 2), (0.1, 0.1, 0.1), (5, 5, 5)) == (1, 1, 1)
    block = np.zeros((40, 8, 8), np.float32)
    block[20:] = 1.0
    assert resampled(block, (10, 8, 8)).sum() == pytest.approx(block.sum() / 4, rel=1e-5)
