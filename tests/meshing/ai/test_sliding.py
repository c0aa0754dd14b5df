"""Sliding a model over a scan: what it says is put together without seams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from meshing.ai.sliding import Float32Array, gaussian, patch_starts, slide
from meshing.progress import Cancelled

SHAPES = st.tuples(*(st.integers(1, 30),) * 3)
PATCHES = st.tuples(*(st.integers(1, 16),) * 3)


def echo(patch: Float32Array) -> Float32Array:
    """A model of two channels: its input, and twice that."""
    return np.stack([patch, 2 * patch])


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(SHAPES, PATCHES, st.sampled_from([0.0, 0.25, 0.5, 0.8]))
def test_a_model_that_returns_its_input_returns_the_scan(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float
) -> None:
    scan = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seen: list[tuple[int, ...]] = []

    def model(given_patch: Float32Array) -> Float32Array:
        seen.append(given_patch.shape)
        return echo(given_patch)

    said = slide(model, scan, patch, overlap=overlap)
    assert said.shape == (2, *shape)
    assert said[0] == pytest.approx(scan, abs=1e-4)  # float32 sums of up to 125 patches
    assert said[1] == pytest.approx(2 * scan, abs=1e-4)  # float32 sums of up to 125 patches
    assert set(seen) == {patch}


@settings(max_examples=60, deadline=None)
@given(SHAPES, PATCHES, st.sampled_from([0.0, 0.25, 0.5, 0.8]))
def test_patches_cover_everything_and_overlap_enough(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float
) -> None:
    patch = tuple(min(p, n) for p, n in zip(patch, shape, strict=True))  # type: ignore[assignment]
    starts = np.array(list(patch_starts(shape, patch, overlap)))
    assert (starts >= 0).all() and (starts + patch <= shape).all()
    for axis in range(3):
        along = np.unique(starts[:, axis])
        assert along[0] == 0 and along[-1] + patch[axis] == shape[axis]
        most = max(1, int(patch[axis] * (1 - overlap)))
        assert (np.diff(along) <= most).all()


def test_the_middle_of_a_patch_counts_more_than_its_border() -> None:
    weights = gaussian((9, 8, 1))
    assert weights.max() == pytest.approx(weights[4, 3, 0]) and weights[4, 3, 0] == pytest.approx(weights[4, 4, 0])
    sigma = 9 / 8
    assert weights[5, 3, 0] / weights[4, 3, 0] == pytest.approx(np.exp(-0.5 / sigma**2), rel=1e-5)
    assert weights.min() > 0


def test_a_model_blind_at_its_border_sees_all_with_overlap() -> None:
    """It says 0 within two voxels of the border of a patch; blended, at most 2 % are lost along each axis."""

    def blind(patch: Float32Array) -> Float32Array:
        said = np.zeros_like(patch)
        said[2:-2, 2:-2, 2:-2] = patch[2:-2, 2:-2, 2:-2]
        return said[None]

    scan = np.ones((48, 48, 48), np.float32)
    inner = (slice(8, -8),) * 3
    assert slide(blind, scan, (16, 16, 16), overlap=0.5)[0][inner].min() > 0.98**3
    assert slide(blind, scan, (16, 16, 16), overlap=0.0)[0][inner].min() == 0.0


def test_progress_is_told_and_stopping_stops_before_the_next_patch() -> None:
    calls = 0

    def model(patch: Float32Array) -> Float32Array:
        nonlocal calls
        calls += 1
        return patch[None]

    def stop(done: float, doing: str) -> None:
        if done >= 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        slide(model, np.zeros((8, 8, 8), np.float32), (4, 4, 4), overlap=0.0, progress=stop)
    assert calls == 4
