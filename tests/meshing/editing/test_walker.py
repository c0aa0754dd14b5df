"""The random walker against scikit-image's, its own exact solution, and tissues beside air."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.editing.walker import random_walker
from tests.meshing.editing.drawings import ball, dice, marked, room, scanned


def test_the_walker_solves_the_equations_of_scikit_image() -> None:
    from skimage.segmentation import random_walker as theirs

    grid = room(30.0, (1.0, 1.0, 1.0))
    volume = scanned(grid, [(ball(grid, 9.0), 100.0)], noise=15.0)
    seeds = marked(grid, {1: ball(grid, 3.0), 2: ~ball(grid, 13.0)})
    # Theirs goes by the range of brightness: the same weights, said in our contrast.
    whole = float(np.subtract(*np.percentile(volume.voxels[::3, ::3, ::3], [99.5, 0.5])))
    contrast = random_walker(volume, seeds, margin_mm=100.0).contrast
    ours = random_walker(volume, seeds, beta=90.0 * (contrast / whole) ** 2, margin_mm=100.0, exact=True)
    values = volume.voxels.astype(np.float64) / whole
    markers = seeds.labels.astype(np.int32)
    asked = theirs(
        values, markers, beta=90.0 * 10 * values.std(), mode="cg_j", tol=1e-6, return_full_prob=True, prob_tol=0.1
    )
    assert (
        np.abs(ours.probability - asked.max(axis=0)).max() < 0.005
    )  # where walkers hardly come, single precision tells
    usual = theirs(values, markers, beta=130.0 * 10 * values.std(), mode="cg_j", tol=1e-6, prob_tol=0.1)
    assert dice(random_walker(volume, seeds, margin_mm=100.0).labels.of(1).mask, usual == 1) > 0.99


@pytest.mark.parametrize(("low", "high", "noise"), [(40.0, 110.0, 12.0), (300.0, 900.0, 30.0)])
def test_the_walker_needs_no_other_beta_for_air_in_the_box(low: float, high: float, noise: float) -> None:
    """Tissues of a CT and of an MR beside air of −1000, which is a seed's background too."""
    grid = room(60.0, (1.0, 1.0, 1.5))
    organ, body = ball(grid, 12.0), ball(grid, 24.0)
    volume = scanned(grid, [(body, low), (organ, high)], background=-1000.0, noise=noise)
    shell = ball(grid, 27.0) & ~ball(grid, 22.0)  # two fifths body, the rest air
    found = random_walker(volume, marked(grid, {1: ball(grid, 4.0), 2: shell}))
    assert dice(found.labels.of(1).whole(), organ) > 0.98
    assert found.contrast == pytest.approx(max(high - low, 8.6 * noise), rel=0.2)  # walls widen steps


def test_the_contrast_of_seeds_without_noise_is_their_range() -> None:
    grid = room(30.0, (1.0, 1.0, 1.0))
    volume = scanned(grid, [(ball(grid, 9.0), 100.0)])
    seeds = marked(grid, {1: ball(grid, 3.0), 2: ~ball(grid, 13.0)})
    assert random_walker(volume, seeds).contrast == pytest.approx(100.0)
    flat = scanned(grid, [(ball(grid, 4.0), 100.0), (~ball(grid, 12.0), 100.0)])  # seeds that do not differ
    assert random_walker(flat, seeds).contrast == pytest.approx(100.0)


def test_a_small_seed_far_from_the_others_is_solved_well_on_blocks_too() -> None:
    """What is hard for a solver that begins coarse: probabilities that change slowly over the whole box."""
    grid = room(74.0, (1.0, 1.0, 1.0))
    volume = scanned(grid, [(ball(grid, 22.0), 100.0)], noise=35.0)
    seeds = marked(grid, {1: ball(grid, 2.5), 2: ~ball(grid, 35.0)})
    quick, exact = (random_walker(volume, seeds, exact=exact).labels.of(1).whole() for exact in (False, True))
    assert dice(quick, exact) > 0.9
