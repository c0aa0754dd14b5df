"""Varied phantoms: each seed another abdomen, each for ever the same, with every organ whole."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.phantoms import phantom
from meshing.phantoms.shapes import Ball
from meshing.phantoms.varied import Bend, Bent, _bend, varied

STILL = ((0.0, 0.0, 0.0),)


def test_a_seed_gives_one_phantom_for_ever() -> None:
    one, again, other = (varied(seed, spacing_mm=15.0) for seed in (3, 3, 4))
    assert (one.volume.voxels == again.volume.voxels).all()
    assert one.recipe.noise_hu != other.recipe.noise_hu
    assert one.volume.grid.shape != other.volume.grid.shape or (one.volume.voxels != other.volume.voxels).any()


def test_organs_differ_in_size_but_stay_organs() -> None:
    own = phantom("abdomen", spacing_mm=10.0)

    def liver_ml(made: object) -> float:
        mask = made.segmentation.mask("liver")  # type: ignore[attr-defined]
        return float(mask.sum() * made.volume.grid.voxel_volume_mm3 / 1e3)  # type: ignore[attr-defined]

    wanted = liver_ml(own)
    found = [liver_ml(varied(seed, spacing_mm=10.0)) for seed in range(3)]
    assert np.ptp(found) > 0.05 * wanted
    assert all(0.5 * wanted < volume < 1.6 * wanted for volume in found)  # 1.12³ = 1.4, 0.88³ = 0.68, and a cut field


def test_lesions_lie_in_the_liver_and_are_numbered() -> None:
    counts = set()
    for seed in range(3):
        parts = varied(seed, spacing_mm=20.0).recipe.parts
        lesions = [part for part in parts if part.key.startswith("tumour")]
        assert all(part.inside == "liver" for part in lesions)
        assert [part.key for part in lesions] == [f"tumour_{number}" for number in range(1, len(lesions) + 1)]
        counts.add(len(lesions))
    assert len(counts) > 1


def test_a_stretch_alone_makes_a_ball_an_ellipsoid() -> None:
    bend = Bend((2.0, 1.0, 0.5), STILL, STILL, (0.0,))
    bent = Bent(Ball((10.0, 0.0, 0.0), 4.0), bend)
    low, high = bent.bounds()
    assert low == pytest.approx((12.0, -4.0, -2.0)) and high == pytest.approx((28.0, 4.0, 2.0))
    for point, inside in [((27.9, 0, 0), True), ((28.1, 0, 0), False), ((20, 0, 1.9), True), ((20, 0, 2.1), False)]:
        assert (bent.field(*(np.array([along]) for along in point))[0] < 0) == inside


def test_a_wave_moves_no_point_further_than_it_says() -> None:
    waves = ((0.02, 0.01, 0.0), (0.0, 0.03, 0.01))
    bend = Bend((1.0, 1.0, 1.0), ((3.0, -2.0, 1.0), (0.5, 1.0, -1.0)), waves, (0.3, 1.0))
    points = np.random.default_rng(0).uniform(-200, 200, (3, 1000))
    moved = np.stack(bend.of(*points)) - points
    assert np.abs(moved).max() <= bend.reach_mm == 4.0
    assert np.abs(moved).max() > 2.0


def test_a_point_goes_where_it_comes_from() -> None:
    bend = _bend(np.random.default_rng(5))
    points = np.array([(0.0, 0.0, 0.0), (120.0, -80.0, 60.0), (-50.0, 30.0, -140.0)])
    assert np.stack(bend.of(*bend.to(points).T), axis=1) == pytest.approx(points, abs=0.01)
