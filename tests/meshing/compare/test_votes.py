"""Kappa against tables worked by hand and published ones; the consensus against ITK's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.compare.votes import cohen_kappa, drawn_by, fleiss_kappa, fleiss_kappa_of, staple, votes_of
from tests.meshing.compare.graders import block, noisy

TRUTH = block((24, 22, 20), (6, 5, 4), (17, 16, 15))


def test_ballots_are_counted_by_who_drew_what() -> None:
    one, other = np.array([1, 1, 0, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0, 1], bool)
    masks = [mask.reshape(1, 2, 3) for mask in (one, other)]
    np.testing.assert_array_equal(votes_of(masks), [2, 1, 1, 2])  # nobody, the first, the second, both
    np.testing.assert_array_equal(drawn_by(votes_of(masks)), [[0, 0], [1, 0], [0, 1], [1, 1]])


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # observed 0.7, by chance 0.5
        ([[45, 15], [25, 15]], (0.60 - 0.54) / 0.46),
        ([[10, 0], [0, 30]], 1.0),
        ([[0, 10], [10, 0]], -1.0),
        ([[25, 25], [25, 25]], 0.0),
    ],
)
def test_kappa_of_two_is_that_of_the_table_worked_by_hand(table: list[list[int]], kappa: float) -> None:
    assert cohen_kappa(table) == pytest.approx(kappa, abs=1e-12)


def test_kappa_without_a_second_category_is_none() -> None:
    assert cohen_kappa([[0, 0], [0, 12]]) is None
    assert cohen_kappa([[0, 0], [0, 0]]) is None
    assert fleiss_kappa([[0, 3], [0, 3]]) is None
    assert staple(np.array([0, 0, 0, 0, 0, 0, 0, 12])) is None


def test_kappa_of_many_is_that_of_the_known_worked_example() -> None:
    """Ten subjects, fourteen graders, five categories: the example by which Fleiss' kappa is usually taught."""
    ratings = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert np.sum(ratings, axis=0).tolist() == [20, 28, 39, 21, 32]
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)  # published with three digits


@given(st.lists(st.integers(0, 200), min_size=8, max_size=8).filter(lambda votes: sum(votes[1:-1]) > 0))
def test_ballots_give_the_kappa_of_their_voxels_one_by_one(votes: list[int]) -> None:
    said = np.repeat(drawn_by(np.array(votes)), votes, axis=0).sum(axis=1)
    one_by_one = fleiss_kappa(np.stack([said, 3 - said], axis=1))
    assert fleiss_kappa_of(np.array(votes)) == pytest.approx(one_by_one, abs=1e-9)


def test_a_grader_who_is_right_among_careless_ones_is_found_out() -> None:
    masks = [TRUTH, *(noisy(TRUTH, seed, 0.08) for seed in range(4))]
    votes = votes_of(masks)
    found = staple(votes)
    assert found is not None
    assert found.sensitivity[0] > 0.999 and found.specificity[0] > 0.999
    right = [mask == TRUTH for mask in masks]
    np.testing.assert_allclose(found.sensitivity, [said[TRUTH].mean() for said in right], atol=2e-3)
    np.testing.assert_allclose(found.specificity, [said[~TRUTH].mean() for said in right], atol=2e-3)
    assert (votes * (found.probability > 0.5)).sum() == pytest.approx(TRUTH.sum(), rel=0.01)


@pytest.mark.parametrize("shares", [(0.0, 0.05, 0.05), (0.02, 0.1, 0.2), (0.03, 0.03, 0.03, 0.3)])
def test_consensus_is_that_of_itk(shares: tuple[float, ...]) -> None:
    import SimpleITK as sitk

    masks = [noisy(TRUTH, seed, share) for seed, share in enumerate(shares)]
    peer = sitk.STAPLEImageFilter()
    peer.SetForegroundValue(1.0)
    images = [sitk.GetImageFromArray(np.ascontiguousarray(mask.T).astype(np.uint8)) for mask in masks]
    probability = sitk.GetArrayFromImage(peer.Execute(images)).T
    found = staple(votes_of(masks))
    assert found is not None
    np.testing.assert_allclose(found.sensitivity, peer.GetSensitivity(), atol=1e-6)
    np.testing.assert_allclose(found.specificity, peer.GetSpecificity(), atol=1e-6)
    ballots = sum(mask.astype(int) << number for number, mask in enumerate(masks))
    np.testing.assert_allclose(found.probability[ballots], probability, atol=1e-4)  # ITK stops a little earlier
