"""ct-portal: veins of the phantom's liver, whose trees are known point by point; tubes of known radius."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from meshing.errors import SegmentationError
from meshing.phantoms import Phantom, phantom
from meshing.progress import Cancelled
from meshing.segmentation import Segmentation
from meshing.segmenters import liver_veins
from meshing.segmenters.presets import segment
from meshing.voxels.curvature import curvature_across
from meshing.voxels.ways import nearest_through
from tests.meshing.segmenters.scans import Known, dice, orders, reordered

VEINS = ("portal_vein", "hepatic_vein")


@cache
def abdomen() -> Phantom:
    return phantom("abdomen", phase="portal")


@cache
def found() -> Segmentation:
    return segment(abdomen().volume, "ct-portal")


@pytest.mark.parametrize("key", VEINS)
def test_every_vein_of_two_voxels_or_wider_is_followed(key: str) -> None:
    """Voxels of 1.5 mm: the points of the known tree whose radius passes 2 mm, away from where it leaves the liver."""
    tree, volume = abdomen().trees[key], abdomen().volume
    liver, mask = abdomen().segmentation.mask("liver"), found().mask(key)
    at = np.rint(volume.grid.to_voxel(tree.points)).astype(int)
    wide = np.array([r >= 2.0 and bool(liver[tuple(i)]) for r, i in zip(tree.radius, at, strict=True)])
    hit = np.array([mask[tuple(i)] for i in at[wide]])
    assert len(hit) > 100
    assert hit.mean() > (0.97 if key == "portal_vein" else 0.9)  # hepatic trunks end in what is too wide for a vein


@pytest.mark.parametrize(("key", "other"), [VEINS, VEINS[::-1]])
def test_the_trees_are_not_taken_for_each_other(key: str, other: str) -> None:
    truth = abdomen().segmentation
    mask = found().mask(key)
    assert (mask & truth.mask(other)).sum() < 0.06 * mask.sum()
    # Branches of one voxel's radius are half of either tree's volume; half of them is missed, and walls blur.
    assert dice(mask & truth.mask("liver"), truth.mask(key) & truth.mask("liver")) > 0.68


def test_veins_keep_out_of_kidney_and_vena_cava() -> None:
    truth = abdomen().segmentation
    for key in VEINS:
        for other in ("kidney_right", "inferior_vena_cava", "gallbladder", "aorta"):
            assert (found().mask(key) & truth.mask(other)).sum() < 0.02 * found().mask(key).sum(), (key, other)


def test_a_click_in_either_trunk_confirms_what_was_found() -> None:
    clicks = tuple(tuple(map(float, abdomen().trees[key].points[12])) for key in VEINS)
    clicked = segment(abdomen().volume, "ct-portal", seeds_mm=clicks)  # type: ignore[arg-type]
    for key in VEINS:
        assert dice(clicked.mask(key), found().mask(key)) > 0.9
    assert clicked.facts[0].values["clicks"] == 2


def test_the_fact_says_how_bright_veins_are_and_what_was_left_out() -> None:
    (fact,) = found().facts
    assert fact.values["tissue_hu"] == pytest.approx(112, abs=3)  # the recipe's liver
    assert fact.values["step_hu"] == pytest.approx(178 - 112, abs=15)
    assert "were left out" in fact.text


@pytest.mark.slow
def test_another_storage_order_gives_the_very_same_veins() -> None:
    known = Known(abdomen().volume, {key: found().mask(key) for key in VEINS})
    turned = reordered(known, orders(known)[29])
    other = segment(turned.volume, "ct-portal")
    for key in VEINS:
        np.testing.assert_array_equal(other.mask(key), turned.truth[key])


def test_a_scan_without_contrast_has_no_portal_phase() -> None:
    with pytest.raises(SegmentationError, match=r"no (enhanced liver|vein): .*\d+ (ml|more)"):
        segment(phantom("abdomen", phase="native", spacing_mm=3.0).volume, "ct-portal")


def test_a_click_beside_the_liver_is_refused_with_the_distance() -> None:
    with pytest.raises(SegmentationError, match=r"lies \d+ mm from the nearest vein"):
        segment(abdomen().volume, "ct-portal", seeds_mm=((110.0, 30.0, 0.0),))


def test_stopping_stops_among_the_tubes() -> None:
    def stop(done: float, doing: str) -> None:
        if "tubes" in doing:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(abdomen().volume, "ct-portal", progress=stop)


def rod(radius: float, spacing: tuple[float, float, float]) -> tuple[np.ndarray, tuple[int, int, int]]:
    shape = tuple(round(40.0 / s) for s in spacing)
    x, y = ((np.arange(n) - n // 2) * s for n, s in zip(shape[:2], spacing[:2], strict=True))
    inside = np.hypot(x[:, None], y[None, :]) <= radius
    values = np.repeat(inside[:, :, None].astype(np.float32), shape[2], axis=2)
    return values, (shape[0] // 2, shape[1] // 2, shape[2] // 2)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.5, 0.5, 1.5)])
def test_tubes_of_every_radius_answer_alike(spacing: tuple[float, float, float]) -> None:
    """In closed form a rod of contrast 1 answers (r/σ)² exp(−r²/2σ²)/2 on its axis: 1/e at σ = r/√2, whatever r is."""
    for radius in (1.5, 2.0, 3.0, 4.0):
        values, middle = rod(radius, spacing)
        answer = curvature_across(values, spacing, (radius / np.sqrt(2.0),), np.ones(values.shape, np.bool_))
        assert answer[middle] == pytest.approx(np.exp(-1.0), rel=0.08), radius


def test_sheets_and_dark_tubes_do_not_answer() -> None:
    values, middle = rod(3.0, (0.5, 0.5, 0.5))
    everywhere = np.ones(values.shape, np.bool_)
    assert curvature_across(-values, (0.5, 0.5, 0.5), (2.0,), everywhere)[middle] == 0.0
    sheet = np.zeros(values.shape, np.float32)
    sheet[middle[0] - 3 : middle[0] + 4] = 1.0
    assert curvature_across(sheet, (0.5, 0.5, 0.5), (2.0,), everywhere)[middle] == pytest.approx(0.0, abs=1e-3)


def test_the_nearest_seed_is_the_nearest_one_through_the_mask() -> None:
    """A wall between: the seed beyond it is nearer as the crow flies, and not by the way round."""
    inside = np.ones((20, 20, 1), np.bool_)
    inside[10, :15] = False
    seeds = np.zeros(inside.shape, np.int32)
    seeds[11, 0], seeds[0, 0] = 1, 2
    owner = nearest_through(seeds, inside, np.ones(inside.shape, np.float32), (1.0, 1.0, 1.0))
    assert owner[9, 0, 0] == 2 and owner[12, 3, 0] == 1
    assert not owner[~inside].any() and (owner[inside] > 0).all()
    alone = inside.copy()
    alone[10, :] = False
    cut = nearest_through(np.where(seeds == 1, 0, seeds), alone, np.ones(inside.shape, np.float32), (1.0, 1.0, 1.0))
    assert not cut[11:].any()


def test_with_one_root_alone_nothing_is_parted() -> None:
    markers = np.zeros((4, 4, 4), np.int32)
    markers[1, 1, 1] = 1
    with pytest.raises(SegmentationError, match="where the hepatic_vein leaves the liver was not found"):
        liver_veins._both(markers)
    markers[2, 2, 2] = 2
    assert liver_veins._both(markers) is markers


def test_more_than_two_seeds_are_refused() -> None:
    seed = (0.0, 0.0, 0.0)
    with pytest.raises(SegmentationError, match="3 seeds"):
        segment(abdomen().volume, "ct-portal", seeds_mm=(seed, seed, seed))
