"""Boxes of labels, found row by row, against SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import find_objects

from meshing.importing.labels.drawn import boxes_of


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 12)] * 3), st.sampled_from([np.uint8, np.uint16, np.int32])
)
def test_boxes_are_those_of_scipy(seed: int, shape: tuple[int, int, int], width: type) -> None:
    rng = np.random.default_rng(seed)
    layer = np.asfortranarray(rng.integers(0, 6, shape) * (rng.random(shape) < 0.2)).astype(width)
    expected = {(0, n): box for n, box in enumerate(find_objects(layer.astype(int)), start=1) if box is not None}
    assert boxes_of([layer]) == expected


@pytest.mark.parametrize("label", [1, 255, 65_535])
def test_one_voxel_has_a_box_of_one_voxel(label: int) -> None:
    layer = np.zeros((1100, 3, 2), np.uint16, order="F")
    layer[1037, 2, 1] = label
    assert boxes_of([layer]) == {(0, label): (slice(1037, 1038), slice(2, 3), slice(1, 2))}
