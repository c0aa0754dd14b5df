"""Bright pieces, what lies between them, and the cheapest way to part them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.segmenters.blobs import Blobs, Contacts, find_blobs, local_deviation
from meshing.segmenters.cuts import FIRM, cheapest_cut, groups, joined
from tests.meshing.segmenters.scans import Canvas


def blobs_of(canvas: Canvas, threshold: float = 150.0) -> Blobs:
    spacing = tuple(float(s) for s in canvas.grid.spacing_mm)
    return find_blobs(canvas.values, canvas.values > threshold, spacing, 1.0)  # type: ignore[arg-type]


def dumbbell(spacing_mm: tuple[float, float, float], neck_mm: float, neck_hu: float = 400.0) -> Canvas:
    shape = tuple(round(e / s) for e, s in zip((110, 50, 50), spacing_mm, strict=True))
    canvas = Canvas(shape, spacing_mm, 50.0)  # type: ignore[arg-type]
    canvas.paint(canvas.box((-20, 20), (-neck_mm, neck_mm), (-neck_mm, neck_mm)), neck_hu)
    canvas.paint(canvas.ellipsoid((-28, 0, 0), (18, 18, 18)), 400.0)
    canvas.paint(canvas.ellipsoid((28, 0, 0), (18, 18, 18)), 400.0)
    return canvas


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 1.0, 3.0)])
def test_a_dumbbell_parts_at_its_neck(spacing: tuple[float, float, float]) -> None:
    blobs = blobs_of(dumbbell(spacing, 5.0))
    large = np.flatnonzero(blobs.volume_ml > 10)
    assert len(large) == 2
    # A ball of 18 mm holds 24.4 ml; half of the neck comes to it, and a voxel of partial volume on either side.
    np.testing.assert_allclose(blobs.volume_ml[large], 25.0, rtol=0.1)
    np.testing.assert_allclose(blobs.radius_mm[large], 18.0, atol=1.5 * max(spacing))
    assert blobs.contacts.neck_mm.max() == pytest.approx(5.0, abs=1.5 * max(spacing))
    np.testing.assert_allclose(blobs.median[large], 400.0)
    assert blobs.volume_ml[0] == 0


def test_a_straight_tube_is_one_blob() -> None:
    canvas = Canvas((40, 40, 80), (1.0, 1.0, 1.0), 50.0)
    canvas.paint(canvas.rod(0, 0, 8), 400.0)
    assert len(blobs_of(canvas)) == 1


def twin_lumens(door: bool) -> Blobs:
    """Two lumens with a wall of 1 mm between, seen in voxels of 1.5 mm; a door of 10 mm may lie in the wall."""
    from scipy import ndimage

    fine = Canvas((120, 66, 66), (0.5, 0.5, 0.5), 50.0)
    fine.paint(fine.ellipsoid((-9, 0, 0), (11, 11, 11)) | fine.ellipsoid((9, 0, 0), (11, 11, 11)), 400.0)
    fine.paint(fine.box((-0.5, 0.5), (-40, 40)), 50.0)
    if door:
        fine.paint(fine.box((-2, 2), (-5, 5), (-5, 5)), 400.0)
    blurred = np.asfortranarray(ndimage.gaussian_filter(fine.values, 1.6)[1::3, 1::3, 1::3])
    return find_blobs(blurred, blurred > 150, (1.5, 1.5, 1.5), 1.0)


def test_a_wall_between_two_lumens_darkens_their_contact_and_a_door_does_not() -> None:
    for door, least, most in ((False, 0.5, 0.75), (True, 0.85, 1.1)):
        blobs = twin_lumens(door)
        large = np.flatnonzero(blobs.volume_ml > 2)
        assert len(large) == 2
        pairs = zip(blobs.contacts.first, blobs.contacts.second, blobs.contacts.brightness, strict=True)
        (brightness,) = [b for i, j, b in pairs if {int(i), int(j)} == set(large.tolist())]
        assert least < brightness < most


def test_spongy_bone_is_rougher_than_a_lumen_and_its_rim_brighter_than_its_core() -> None:
    from scipy import ndimage

    canvas = Canvas((60, 60, 40), (1.5, 1.5, 1.5), 50.0)
    canvas.paint(canvas.rod(-20, 0, 16), 600.0)
    canvas.paint(canvas.rod(-20, 0, 11), 200.0)
    canvas.paint(canvas.rod(20, 0, 12), 400.0)
    rng = np.random.default_rng(0)
    canvas.values += rng.normal(0, 20, canvas.values.shape).astype(np.float32)
    spongy = canvas.rod(-20, 0, 11)
    canvas.values[spongy] += rng.normal(0, 60, int(spongy.sum()))
    canvas.values = ndimage.gaussian_filter(canvas.values, 0.7)
    blobs = blobs_of(canvas, 120.0)
    bone, lumen = (int(blobs.numbers[x, 30, 20]) for x in (17, 43))
    assert blobs.texture[bone] > 2 * blobs.texture[lumen]
    assert blobs.core_minus_rim[bone] < -20
    assert blobs.core_minus_rim[lumen] > -10


def test_thick_slices_do_not_make_a_tube_rough() -> None:
    """A tube across thick slices changes from slice to slice; its texture is measured within them."""
    canvas = Canvas((60, 60, 12), (1.0, 1.0, 5.0), 50.0)
    leaning = (canvas.x - 0.8 * canvas.z) ** 2 + canvas.y**2 <= 100
    canvas.paint(leaning, 400.0)
    assert local_deviation(canvas.values, (1.0, 1.0, 5.0))[leaning].min() == pytest.approx(0.0, abs=1e-3)
    assert np.median(local_deviation(canvas.values, (1.0, 1.0, 1.0))[leaning]) > 10


def test_nothing_bright_gives_no_blobs() -> None:
    blobs = find_blobs(np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 8), np.bool_), (1.0, 1.0, 1.0), 1.0)
    assert len(blobs) == 0
    assert len(blobs.contacts.first) == 0
    assert not blobs.mask(np.ones(1, np.bool_)).any()


def chain(weights: list[float]) -> tuple[Contacts, np.ndarray]:
    count = len(weights)
    numbers = np.arange(1, count + 1)
    ones = np.ones(count)
    return Contacts(numbers, numbers + 1, ones, ones, ones), np.array(weights)


def test_a_chain_is_cut_at_its_narrowest_link() -> None:
    contacts, weight = chain([5.0, 2.0, 7.0])
    source, sink = np.zeros(5), np.zeros(5)
    source[1], sink[4] = FIRM, FIRM
    cut = cheapest_cut(contacts, weight, source, sink)
    np.testing.assert_array_equal(np.flatnonzero(cut.source), [1, 2])
    np.testing.assert_array_equal(np.flatnonzero(cut.sink), [3, 4])


def test_equal_links_leave_the_middle_to_neither_side() -> None:
    contacts, weight = chain([3.0, 3.0])
    source, sink = np.zeros(4), np.zeros(4)
    source[1], sink[3] = FIRM, FIRM
    cut = cheapest_cut(contacts, weight, source, sink)
    assert cut.source[1] and cut.sink[3]
    assert not cut.source[2] and not cut.sink[2]


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_no_other_cut_of_a_small_graph_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 6
    pairs = [(i, j) for i in range(1, count + 1) for j in range(i + 1, count + 1) if rng.random() < 0.6]
    first, second = (np.array([p[side] for p in pairs], np.int64) for side in (0, 1))
    weight = rng.integers(0, 40, len(pairs)) / 4.0
    source, sink = rng.integers(0, 20, (2, count + 1)) / 4.0
    ones = np.ones(len(pairs))
    cut = cheapest_cut(Contacts(first, second, ones, ones, ones), weight, source, sink)
    assert not (cut.source & cut.sink).any()

    def price(side: np.ndarray) -> float:
        parted = side[first] != side[second]
        return float(weight[parted].sum() + source[1:][~side[1:]].sum() + sink[1:][side[1:]].sum())

    cheapest = min(price(np.array([False, *bits])) for bits in product((False, True), repeat=count))
    assert price(cut.source) == pytest.approx(cheapest)
    assert price(~cut.sink) == pytest.approx(cheapest)


def test_groups_hang_together_through_passable_contacts_alone() -> None:
    contacts, _ = chain([1.0, 1.0, 1.0])
    passable = np.array([True, False, True])
    group = groups(contacts, passable, 5)
    assert group[1] == group[2] != group[3] == group[4]
    starts = np.array([False, True, False, False, False])
    np.testing.assert_array_equal(np.flatnonzero(joined(contacts, passable, starts)), [1, 2])
