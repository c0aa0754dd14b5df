"""Organs and lesions from one click: right on what is known, alike for every storage order, and honest."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from meshing.errors import NotFoundError, SegmentationError
from meshing.importing.labels import read_labels
from meshing.importing.scan import import_scan
from meshing.organs.grow import Found, grow, refine
from meshing.progress import Cancelled
from meshing.volume import Volume
from tests.meshing.organs.lesions import box_round, inner_point, lesion
from tests.meshing.segmenters.scans import Canvas, Known, dice, orders, reordered


@cache
def abdomen(contrast_hu: float = 0.0) -> Known:
    """A trunk with liver, spleen and kidneys in fat; the spleen touches a stomach of its own values at a neck."""
    canvas = Canvas((84, 60, 56), (4.0, 4.0, 4.0), -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (160, 112, 1e6)), -100.0)
    canvas.paint(canvas.rod(0, 62, 20), 350.0, "bone")
    canvas.paint(canvas.ellipsoid((-70, -10, 20), (75, 68, 70)), 55.0 + contrast_hu, "liver")
    canvas.paint(canvas.ellipsoid((62, -40, 30), (34, 40, 60)), 45.0 + contrast_hu)
    canvas.paint(canvas.ellipsoid((104, 20, 30), (30, 34, 50)), 45.0 + contrast_hu, "spleen")
    canvas.paint(canvas.ellipsoid((-52, 62, -50), (24, 22, 46)), 30.0 + contrast_hu, "kidney_right")
    canvas.paint(canvas.ellipsoid((52, 62, -50), (24, 22, 46)), 30.0 + contrast_hu, "kidney_left")
    return canvas.scanned("CT", 12.0)


def grown(known: Known, kind: str, seed: int = 0) -> Found:
    return grow(known.volume, kind, (inner_point(known, kind, 0.3, seed),))


@pytest.mark.parametrize("contrast_hu", [0.0, 60.0])
@pytest.mark.parametrize("kind", ["liver", "spleen", "kidney_left", "kidney_right"])
def test_an_organ_is_found_from_one_click_wherever_it_falls(kind: str, contrast_hu: float) -> None:
    """0.85 on cubes of 4 mm: half a voxel of border alone costs a kidney 0.06."""
    for seed in range(3):
        assert dice(grown(abdomen(contrast_hu), kind, seed).mask, abdomen(contrast_hu).truth[kind]) >= 0.85


@pytest.mark.parametrize("radius", [6.0, 10.0, 16.0])
@pytest.mark.parametrize("contrast_hu", [-60.0, 80.0])
def test_a_lesion_is_found_from_one_click_and_from_one_box(radius: float, contrast_hu: float) -> None:
    known = lesion((radius, 0.85 * radius, 0.9 * radius), contrast_hu, seed=int(radius))
    by_click = grow(known.volume, "lesion", (inner_point(known, "lesion", 0.35, 1),))
    by_box = grow(known.volume, "lesion", (), box_mm=box_round(known, "lesion"))
    assert dice(by_click.mask, known.truth["lesion"]) >= 0.9
    assert dice(by_box.mask, known.truth["lesion"]) >= 0.9


def test_all_storage_orders_give_the_same_voxels() -> None:
    known = lesion((9.0, 7.0, 8.0), -60.0, spacing_mm=(2.0, 1.5, 2.5))
    point, box = inner_point(known, "lesion", 0.5, 0), box_round(known, "lesion")
    first = grow(known.volume, "lesion", (point,), box_mm=box)
    for grid in orders(known):
        turned = reordered(Known(known.volume, {"found": first.mask}), grid)
        again = grow(turned.volume, "lesion", (point,), box_mm=box)
        assert (again.mask == turned.truth["found"]).all()
        assert np.allclose(middle_of_doubt(again), middle_of_doubt(first), atol=1e-6)


def middle_of_doubt(found: Found) -> np.ndarray:
    """Mean place in mm of the voxels that are not sure."""
    sure = np.ones(found.grid.shape, np.float32)
    sure[found.confidence_box] = found.confidence
    middle: np.ndarray = found.grid.to_patient(np.argwhere(sure < 0.9)).mean(axis=0)
    return middle


def test_a_kidney_takes_the_side_of_its_click() -> None:
    known = abdomen()
    for kind in ("kidney_left", "kidney_right"):
        assert grow(known.volume, "kidney", (inner_point(known, kind, 0.5, 0),)).kind == kind
    wrong = grow(known.volume, "kidney_left", (inner_point(known, "kidney_right", 0.5, 0),))
    assert "side" in {fact.kind for fact in wrong.facts}


def test_an_outside_click_is_never_in_the_mask() -> None:
    """In the organ that touches, and even in the organ itself, 30 mm from the inside click; the rest stays."""
    known = abdomen()
    found = grown(known, "spleen")
    middle = known.volume.grid.to_patient((np.array(known.volume.grid.shape) - 1) / 2)
    for offset in ((62.0, -40.0, 30.0), (104.0, 20.0, 70.0)):
        left, posterior, superior = (middle + offset).tolist()
        again = refine(found, known.volume, outside_mm=((left, posterior, superior),))
        index = tuple(np.rint(known.volume.grid.to_voxel((left, posterior, superior))).astype(int))
        assert not again.mask[index]
        assert dice(again.mask, known.truth["spleen"]) >= 0.75


def test_a_further_inside_click_is_held() -> None:
    known = abdomen()
    found = grown(known, "liver")
    point = inner_point(known, "liver", 0.2, 9)
    again = refine(found, known.volume, inside_mm=(point,))
    index = tuple(np.rint(known.volume.grid.to_voxel(point)).astype(int))
    assert again.mask[index]
    assert again.clicks.inside_mm[-1] == point


def test_a_further_click_in_another_organ_is_said_and_one_in_the_same_is_not() -> None:
    known = abdomen()
    liver, spleen = inner_point(known, "liver", 0.5, 0), inner_point(known, "spleen", 0.5, 0)
    joined = [fact for fact in grow(known.volume, "liver", (liver, spleen)).facts if fact.kind == "joined"]
    assert [fact.values["clicks"] for fact in joined] == [[2]]
    assert joined[0].values["alone_ml"] < joined[0].values["volume_ml"]
    again = grow(known.volume, "liver", (liver, inner_point(known, "liver", 0.3, 5)))
    assert not [fact for fact in again.facts if fact.kind == "joined"]


def test_clicks_that_contradict_each_other_or_lie_in_two_organs_are_errors() -> None:
    known = abdomen()
    point = inner_point(known, "kidney_left", 0.3, 0)
    with pytest.raises(SegmentationError, match=r"0\.0 mm from an inside one"):
        grow(known.volume, "kidney_left", (point,), outside_mm=(point,))
    left, posterior, superior = known.volume.grid.to_patient((0, 0, 0)).tolist()
    far = (left, posterior, superior)
    with pytest.raises(SegmentationError, match="mm from the first"):
        grow(known.volume, "kidney_left", (point, far))


def test_nothing_grows_outside_a_box() -> None:
    known = abdomen()
    low, (left, posterior, _) = box_round(known, "spleen")
    high = (left, posterior, low[2] + 60.0)
    found = grow(known.volume, "spleen", (), box_mm=(low, high))
    places = known.volume.grid.to_patient(np.argwhere(found.mask))
    reach = 3.0  # borders are drawn between cubes of 3 mm
    assert (places.min(axis=0) >= np.minimum(low, high) - reach).all()
    assert (places.max(axis=0) <= np.maximum(low, high) + reach).all()


def test_a_confident_voxel_is_right_more_often() -> None:
    known = lesion((12.0, 10.0, 11.0), -35.0, noise_hu=15.0, seed=4)
    found = grow(known.volume, "lesion", (inner_point(known, "lesion", 0.35, 1),))
    assert found.confidence.dtype == np.float32
    assert 0.0 <= found.confidence.min() <= found.confidence.max() <= 1.0 + 1e-6
    near = ndimage.binary_dilation(known.truth["lesion"], iterations=5)[found.confidence_box]
    right = (found.mask == known.truth["lesion"])[found.confidence_box]
    sure = found.confidence > 0.9
    assert right[near & sure].mean() > 0.97
    assert right[near & sure].mean() > right[near & ~sure].mean()


@pytest.mark.parametrize(
    ("kind", "offset", "reads"),
    [("liver", (0.0, 62.0, 0.0), "bone"), ("liver", (0.0, -90.0, -60.0), "fat"), ("spleen", (0.0, -118.0, 0.0), "air")],
)
def test_a_click_in_another_tissue_is_an_error_with_its_value(
    kind: str, offset: tuple[float, float, float], reads: str
) -> None:
    volume = abdomen().volume
    middle = volume.grid.to_patient((np.array(volume.grid.shape) - 1) / 2)
    left, posterior, superior = (middle + offset).tolist()
    with pytest.raises(SegmentationError, match=rf"{reads}.* HU"):
        grow(volume, kind, ((left, posterior, superior),))


def test_bad_requests_are_errors_that_say_what_is_wrong() -> None:
    volume = abdomen().volume
    with pytest.raises(SegmentationError, match="outside the scan"):
        grow(volume, "liver", ((9999.0, 0.0, 0.0),))
    with pytest.raises(SegmentationError, match="not a finite"):
        grow(volume, "liver", ((float("nan"), 0.0, 0.0),))
    with pytest.raises(SegmentationError, match="no click"):
        grow(volume, "liver", ())
    with pytest.raises(SegmentationError, match=r"box measures 0\.0"):
        grow(volume, "liver", (), box_mm=((0.0, 0.0, 200.0), (0.0, 10.0, 210.0)))
    with pytest.raises(SegmentationError, match="box lies outside"):
        grow(volume, "liver", (), box_mm=((5000.0, 0.0, 200.0), (5010.0, 10.0, 210.0)))
    with pytest.raises(NotFoundError, match="cannot be grown"):
        grow(volume, "femur_left", ((0.0, 0.0, 0.0),))
    with pytest.raises(SegmentationError, match="the scan is MR"):
        grow(Volume(volume.voxels, volume.grid, "MR", ""), "liver", ((0.0, 0.0, 200.0),))


def test_what_looks_wrong_is_said_with_numbers() -> None:
    """A liver of 60 ml, cut by two sides of the scan."""
    canvas = Canvas((40, 40, 40), (3.0, 3.0, 3.0), -100.0)
    canvas.paint(canvas.ellipsoid((-50, -50, 0), (30, 30, 30)), 55.0, "liver")
    known = canvas.scanned("CT", 8.0)
    found = grown(known, "liver")
    facts = {fact.kind: fact for fact in found.facts}
    assert facts["small"].values["volume_ml"] == pytest.approx(found.volume_ml)
    assert facts["cut"].values["sides"] == 2
    low, high = found.volumes_ml
    assert low <= found.volume_ml <= high


def test_growing_is_never_silent_for_long() -> None:
    known = abdomen()
    grown(known, "liver")  # compiles
    last = [time.perf_counter()]
    gaps = []

    def listen(fraction: float, doing: str) -> None:
        gaps.append(time.perf_counter() - last[0])
        last[0] = time.perf_counter()
        if fraction > 0.9:
            raise Cancelled

    with pytest.raises(Cancelled):
        grow(known.volume, "liver", (inner_point(known, "liver", 0.5, 0),), progress=listen)
    assert max(gaps) < 1.0  # a third of a second on an idle machine; the rest is for busy ones


@pytest.mark.parametrize("kind", ["liver", "spleen", "kidney_left", "kidney_right", "urinary_bladder"])
def test_real_organs_agree_with_ai_labels(kind: str, real_data: Callable[[str], Path]) -> None:
    """Agreement, not truth. Twenty places each: python -m tools.measure_organs agreement."""
    volume = import_scan(real_data("ct_abdomen_labels/example_ct.nii.gz")).volume
    labels = read_labels(real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz"), volume.grid)[0]
    mask = labels.mask(kind)
    places = np.argwhere(ndimage.binary_erosion(mask))
    for place in places[np.random.default_rng(0).choice(len(places), 3, replace=False)]:
        left, posterior, superior = volume.grid.to_patient(place).tolist()
        assert dice(grow(volume, kind, ((left, posterior, superior),)).mask, mask) >= 0.85
