"""Axes, grey values and scores: what the sidecar says is what the model sees, and back."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from meshing.ai.exchange import Scan
from meshing.ai.feeding import activated, check_channels, drawn, fed, scaled, turned, turned_back
from meshing.ai.sidecar import Feed, Reading
from meshing.errors import SegmentationError

ALL_AXES = ["".join(letters) for axes in permutations(("LR", "PA", "SI")) for letters in product(*axes)]


def scan_of(voxels: np.ndarray, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Scan:
    return Scan(voxels, spacing_mm, np.diag([*spacing_mm, 1.0]), "CT")


def feed(**changed: object) -> Feed:
    return Feed(**{"spacing_mm": (1.0, 1.0, 1.0), "patch": (8, 8, 8), **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", ALL_AXES)
def test_turning_and_back_is_nothing(axes: str) -> None:
    voxels = np.arange(24).reshape(2, 3, 4)
    assert (turned_back(turned(voxels, axes), axes) == voxels).all()


@pytest.mark.parametrize("axes", ALL_AXES)
def test_the_models_axes_run_where_the_letters_say(axes: str) -> None:
    """The array holds left, back and head coordinates; along each axis of the model one of them grows or falls."""
    left, back, head = np.meshgrid(*(np.arange(n) for n in (3, 4, 5)), indexing="ij")
    for axis, letter in enumerate(axes):
        grows = {"L": left, "P": back, "S": head, "R": -left, "A": -back, "I": -head}[letter]
        assert (np.diff(turned(grows, axes), axis=axis) == 1).all()


def test_spacing_belongs_to_the_models_axes() -> None:
    scan = scan_of(np.zeros((10, 20, 30), np.int16), (1.0, 2.0, 3.0))
    assert fed(scan, feed(axes="SPL", spacing_mm=(3.0, 2.0, 1.0))).shape == (30, 20, 10)
    assert fed(scan, feed(axes="SPL", spacing_mm=(6.0, 1.0, 0.5))).shape == (15, 40, 20)


def test_grey_values_are_clipped_and_scaled_as_said() -> None:
    values = np.array([[[-1000.0, 0.0, 50.0, 100.0, 900.0]]], np.float32)
    clipped = np.array([-100.0, 0.0, 50.0, 100.0, 300.0])
    clip = (-100.0, 300.0)
    assert scaled(values, feed(clip=clip)).ravel() == pytest.approx(clipped)
    assert scaled(values, feed(clip=clip, scale="z-score", mean=50.0, sd=25.0)).ravel() == pytest.approx(
        (clipped - 50) / 25
    )
    assert scaled(values, feed(clip=clip, scale="unit")).ravel() == pytest.approx((clipped + 100) / 400)
    own = scaled(values, feed(clip=clip, scale="per-scan"))
    assert own.mean() == pytest.approx(0, abs=1e-6) and own.std() == pytest.approx(1, abs=1e-6)
    assert (scaled(values, feed()) == values).all()
    assert np.isfinite(scaled(np.full((2, 2, 2), 5.0, np.float32), feed(scale="per-scan"))).all()


def test_softmax_and_sigmoid_have_their_closed_forms_and_survive_large_scores() -> None:
    scores = np.array([0.0, np.log(3.0), 1000.0, -1000.0], np.float32).reshape(2, 2, 1, 1)
    shares = activated(scores, Reading({1: "a"}))
    assert shares.sum(axis=0) == pytest.approx(1.0)
    assert activated(scores[:1], Reading({1: "a"}, "sigmoid")).ravel() == pytest.approx([0.5, 0.75])
    assert activated(scores[1:], Reading({1: "a"}, "sigmoid")).ravel() == pytest.approx([1.0, 0.0])
    assert (activated(scores, Reading({1: "a"}, "argmax")) == scores).all()


@pytest.mark.parametrize("axes", ["LPS", "SAR", "IRA"])
def test_labels_come_back_to_the_voxels_that_they_came_from(axes: str) -> None:
    truth = np.zeros((12, 14, 10), int)
    truth[2:6, 3:9, 4:8] = 1
    truth[8:11, 3:9, 4:8] = 2
    scores = np.stack([turned(truth == label, axes) for label in range(3)]).astype(np.float32)
    found = drawn(scores, truth.shape, feed(axes=axes), Reading({1: "a", 2: "b"}, "argmax"))
    assert (found == truth).all()


def test_a_border_runs_between_the_models_voxels() -> None:
    """A ball at 4 mm, drawn at 1 mm: closer than half a voxel of the model's."""
    at = np.stack(np.meshgrid(*(np.arange(16) * 4.0 - 30.0,) * 3, indexing="ij"))
    share = np.clip(0.5 + (20.0 - np.linalg.norm(at, axis=0)) / 4.0, 0, 1).astype(np.float32)
    found = drawn(np.stack([1 - share, share]), (64, 64, 64), feed(), Reading({1: "ball"}))
    fine = np.linalg.norm(np.stack(np.meshgrid(*(np.arange(64) - 31.5,) * 3, indexing="ij")), axis=0)
    assert fine[found == 1].max() < 22.0 and fine[found == 0].min() > 18.0


def test_a_sigmoid_draws_structures_over_each_other() -> None:
    scores = np.zeros((2, 4, 4, 4), np.float32)
    scores[0], scores[1, :2] = 0.9, 0.8
    found = drawn(scores, (4, 4, 4), feed(), Reading({1: "liver", 2: "tumour"}, "sigmoid"))
    assert found.shape == (2, 4, 4, 4)
    assert (found[0] == 1).all() and (found[1, :2] == 2).all() and not found[1, 2:].any()


@pytest.mark.parametrize(("channels", "activation"), [(2, "softmax"), (4, "argmax"), (3, "sigmoid")])
def test_channels_must_be_those_of_the_labels(channels: int, activation: str) -> None:
    reading = Reading({1: "a", 2: "b"}, activation)  # type: ignore[arg-type]
    needed = 2 if activation == "sigmoid" else 3
    with pytest.raises(SegmentationError, match=f"gives {channels} channels.* need {needed}"):
        check_channels(channels, reading)
    check_channels(needed, reading)
