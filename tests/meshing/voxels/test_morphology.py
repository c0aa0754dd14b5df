"""Shapes of masks in millimetres, against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshing.voxels import morphology as m

MASKS = arrays(np.bool_, st.tuples(*[st.integers(1, 7)] * 3))
SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 2.0, 5.0])] * 3)


def brute_distance(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    places = np.argwhere(mask) * spacing
    all_places = np.indices(mask.shape).reshape(3, -1).T * spacing
    far = np.linalg.norm(all_places[:, None] - places[None], axis=2).min(axis=1)
    return far.reshape(mask.shape)


@given(MASKS.filter(np.any), SPACINGS)
@settings(max_examples=60, deadline=None)
def test_distance_is_that_to_the_nearest_voxel_centre(mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(m.distance_from(mask, spacing), brute_distance(mask, spacing), rtol=1e-4, atol=1e-4)


@given(MASKS, SPACINGS, st.sampled_from([0.6, 1.1, 2.1]))
@settings(max_examples=60, deadline=None)
def test_opening_shrinks_closing_grows_and_both_are_idempotent(
    mask: np.ndarray, spacing: tuple[float, float, float], radius: float
) -> None:
    opened, closed = m.opened(mask, spacing, radius), m.closed(mask, spacing, radius)
    assert (opened <= mask).all()
    assert (closed >= mask).all()
    np.testing.assert_array_equal(m.opened(opened, spacing, radius), opened)
    np.testing.assert_array_equal(m.closed(closed, spacing, radius), closed)


@given(MASKS, SPACINGS, st.sampled_from([0.6, 1.1, 2.1]))
@settings(max_examples=60, deadline=None)
def test_eroding_the_mask_is_dilating_the_rest(
    mask: np.ndarray, spacing: tuple[float, float, float], radius: float
) -> None:
    np.testing.assert_array_equal(m.eroded(mask, spacing, radius), ~m.dilated(~mask, spacing, radius))


def test_a_ball_is_as_wide_in_thick_slices_as_in_thin_ones() -> None:
    for spacing in ((1.0, 1.0, 1.0), (1.0, 1.0, 5.0), (0.5, 0.5, 2.5)):
        shape = tuple(int(60 / s) | 1 for s in spacing)
        point = np.zeros(shape, np.bool_)
        point[tuple(n // 2 for n in shape)] = True
        ball = m.dilated(point, spacing, 20.0)
        # Counting voxel centres in a ball of 20 mm errs by the surface: about half a voxel, ±8 % for 5 mm slices.
        assert ball.sum() * np.prod(spacing) == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.08)


def test_a_body_cut_by_the_edge_is_not_eroded_there() -> None:
    slab = np.zeros((10, 10, 10), np.bool_)
    slab[:, :, :6] = True
    np.testing.assert_array_equal(np.flatnonzero(m.eroded(slab, (1, 1, 1), 2.0).all(axis=(0, 1))), [0, 1, 2, 3])


def test_closing_adds_nothing_towards_the_edge() -> None:
    wall = np.zeros((12, 12, 12), np.bool_)
    wall[:, :, 2] = True
    np.testing.assert_array_equal(m.closed(wall, (1, 1, 1), 5.0), wall)


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_components_are_those_of_scipy_largest_first(mask: np.ndarray) -> None:
    from scipy import ndimage

    labels, counts = m.components(mask)
    reference, count = ndimage.label(mask)
    assert len(counts) == count + 1
    assert counts.sum() == mask.size
    assert (np.diff(counts[1:]) <= 0).all()
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), reference.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@given(MASKS, st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_parts_touching_seeds_are_reached_from_them_and_no_others(mask: np.ndarray, seed: int) -> None:
    from scipy import ndimage

    seeds = np.random.default_rng(seed).random(mask.shape) < 0.1
    expected = ndimage.binary_propagation(seeds & mask, mask=mask)
    np.testing.assert_array_equal(m.touching(mask, seeds), expected)


def test_small_parts_go_and_the_largest_stays() -> None:
    mask = np.zeros((10, 5, 5), np.bool_)
    mask[0:2, 0, 0] = True
    mask[4:9, 2, 2] = True
    assert m.without_small(mask, 3).sum() == 5
    assert m.largest(mask).sum() == 5
    assert m.without_small(mask, 6).sum() == 0


def test_holes_are_filled_in_their_slice_up_to_an_area() -> None:
    ring = np.ones((9, 9, 3), np.bool_)
    ring[3:6, 3:6, 1] = False
    ring[4, 4, 0] = False
    assert m.filled_in_slices(ring, 2).all()
    partly = m.filled_in_slices(ring, 2, 2.0, spacing_mm=(1.0, 1.0, 4.0))
    assert partly[4, 4, 0]
    assert not partly[4, 4, 1]


def test_boxes_hold_the_mask_and_its_margin() -> None:
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[5:8, 10, 19] = True
    assert m.bounding_box(mask) == (slice(5, 8), slice(10, 11), slice(19, 20))
    assert m.bounding_box(mask, (1.0, 2.0, 4.0), 4.0) == (slice(1, 12), slice(8, 13), slice(18, 20))
    assert m.bounding_box(np.zeros((3, 3, 3), np.bool_)) is None


def test_floods_from_two_markers_meet_on_the_ridge() -> None:
    cost = np.abs(np.arange(11, dtype=np.float32) - 6)[::-1].copy().reshape(11, 1, 1) * -1
    markers = np.zeros((11, 1, 1), np.int32)
    markers[0], markers[10] = 1, 2
    flooded = m.nearest_of(markers, np.ones((11, 1, 1), np.bool_), cost)[:, 0, 0]
    assert flooded[0] == 1
    assert flooded[10] == 2
    assert (np.diff(flooded) != 0).sum() == 1
    assert flooded[3] == 1  # the ridge is at 4
    assert flooded[5] == 2
