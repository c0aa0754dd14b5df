"""cta-vessels: one tree from whatever seed in it, the same voxels in every storage order; on known angiograms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.segmenters.presets import segment
from meshing.volume import Volume
from tests.meshing.segmenters.scans import Known, angiogram, arterial_abdomen, dice, orders, reordered
from tests.shapes import oblique

Mask = npt.NDArray[np.bool_]


def tree_of(volume: Volume, *seeds_mm: Point) -> Mask:
    return segment(volume, "cta-vessels", seeds_mm=seeds_mm).mask("arterial_tree")


def places(mask: Mask, volume: Volume, count: int, seed: int = 0) -> list[Point]:
    """Middles of voxels of a mask, drawn at random."""
    indices = np.argwhere(mask)
    drawn = np.random.default_rng(seed).choice(len(indices), count, replace=False)
    return [(float(x), float(y), float(z)) for x, y, z in volume.grid.to_patient(indices[drawn])]


@pytest.fixture(scope="module")
def known() -> Known:
    return angiogram()


@pytest.fixture(scope="module")
def seedless(known: Known) -> Mask:
    return tree_of(known.volume)


def test_the_tree_holds_the_arteries_and_nothing_else(known: Known, seedless: Mask) -> None:
    truth = known.truth
    assert (seedless & truth["aorta"]).sum() > 0.99 * truth["aorta"].sum()
    # Six voxels wide in a kidney that is bright itself: what half-filled voxels at its rim read is kidney.
    assert (seedless & truth["artery"]).sum() > 0.85 * truth["artery"].sum()
    for key in ("chamber", "kidney", "vein"):
        assert (seedless & truth[key]).sum() < 0.002 * truth[key].sum(), key
    # The spine's front lies 1.5 mm behind an aorta of voxels of 2 mm.
    assert (seedless & truth["bone"]).sum() < 0.05 * truth["bone"].sum()


@pytest.mark.parametrize("key", ["aorta", "artery"])
def test_any_seed_in_the_tree_gives_the_tree_that_is_found_without_one(key: str, known: Known, seedless: Mask) -> None:
    for seed in places(known.truth[key], known.volume, 4):
        assert dice(tree_of(known.volume, seed), seedless) >= 0.98, seed


def test_any_seed_in_the_tree_of_the_abdomen_gives_all_of_it() -> None:
    volume, parts = arterial_abdomen().volume, arterial_abdomen().segmentation
    whole = tree_of(volume)
    for key in ("renal_artery_left", "hepatic_artery", "iliac_artery_right"):
        for seed in places(parts.mask(key) & whole, volume, 1):
            assert dice(tree_of(volume, seed), whole) >= 0.98, (key, seed)


def test_every_seed_in_a_vein_gives_the_same_vein_and_no_artery(known: Known) -> None:
    vein = known.truth["vein"]
    first, *others = [tree_of(known.volume, seed) for seed in places(vein, known.volume, 3)]
    assert dice(first, vein) > 0.85  # a rod of 8 mm radius in voxels of 2 mm
    assert not (first & known.truth["aorta"]).any()
    for other in others:
        assert dice(first, other) >= 0.98


def test_seeds_in_two_trees_give_both(known: Known, seedless: Mask) -> None:
    seeds = places(known.truth["aorta"], known.volume, 1) + places(known.truth["vein"], known.volume, 1)
    both = tree_of(known.volume, *seeds)
    assert (both >= seedless).all()
    assert (both & known.truth["vein"]).sum() > 0.9 * known.truth["vein"].sum()


def test_a_dark_seed_is_refused_with_what_it_reads(known: Known) -> None:
    muscle = known.volume.grid.to_patient((20, 50, 20))
    with pytest.raises(SegmentationError, match=r"lies in \d+, a filled vessel reads at least 150"):
        tree_of(known.volume, tuple(map(float, muscle)))


@pytest.mark.slow
def test_the_tree_is_the_same_voxels_in_all_48_storage_orders() -> None:
    """Oblique, with a seed half way between voxels: the last bits of spacings and seeds differ from order to order."""
    known = angiogram((3.3, 3.1, 4.7))
    known = Known(Volume(known.volume.voxels, oblique(known.volume.grid, 3), "CT", "HU"), known.truth)
    lumen = np.argwhere(known.truth["aorta"])
    x, y, z = known.volume.grid.to_patient(lumen[len(lumen) // 2] + 0.5)
    first = tree_of(known.volume, (float(x), float(y), float(z)))
    for grid in orders(known):
        expected = reordered(Known(known.volume, {"tree": first}), grid).truth["tree"]
        found = tree_of(reordered(known, grid).volume, (float(x), float(y), float(z)))
        np.testing.assert_array_equal(found, expected)
