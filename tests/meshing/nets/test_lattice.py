"""The net of a label map: where its vertices are, and what the raw one encloses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.nets.lattice import CURVE, Flat, Net, cropped, net_of
from meshing.nets.quads import quads_of, triangles_of
from meshing.runs import tally
from meshing.surface import volume_ml

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def noise(seed: int, shape: tuple[int, int, int], labels: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asfortranarray(rng.integers(0, labels, shape).astype(np.uint8))


def cells_of(layer: np.ndarray) -> np.ndarray:
    """(…, 8): the corners of every cell of the padded layer."""
    padded = np.pad(layer, 1)
    ends = [(slice(None, -1), slice(1, None))[bit] for bit in (0, 1)]
    corners = [padded[ends[c & 1], ends[c >> 1 & 1], ends[c >> 2]] for c in range(8)]
    return np.stack(corners, axis=-1)


def raw(layer: np.ndarray) -> tuple[Net, np.ndarray, np.ndarray, np.ndarray]:
    """Net, its vertices in the middle of their cells, faces and sides."""
    padded = np.asfortranarray(np.pad(layer, 1))
    net = net_of(padded.reshape(-1, order="F"), padded.shape)
    points = net.cells() + 0.5
    return net, points, *triangles_of(*quads_of(net), points)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SHAPES)
def test_every_cell_of_several_labels_has_one_vertex_and_no_other_has(seed: int, shape: tuple[int, int, int]) -> None:
    layer = noise(seed, shape)
    net = raw(layer)[0]
    corners = cells_of(layer)
    mixed = (corners != corners[..., :1]).any(axis=-1)
    expected = np.argwhere(mixed.transpose(2, 1, 0))[:, ::-1]
    assert np.array_equal(net.cells(), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SHAPES)
def test_curve_vertices_are_those_of_three_labels_or_more(seed: int, shape: tuple[int, int, int]) -> None:
    layer = noise(seed, shape)
    net = raw(layer)[0]
    i, j, k = net.cells().T
    kinds = np.array([len(np.unique(corners)) for corners in cells_of(layer)[i, j, k]])
    assert np.array_equal(net.mask == CURVE, kinds > 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SHAPES)
def test_neighbours_know_each_other_and_lie_one_cell_apart(seed: int, shape: tuple[int, int, int]) -> None:
    net = raw(noise(seed, shape))[0]
    cells = net.cells()
    for way in range(6):
        has = np.flatnonzero(net.links >> way & 1)
        other = has + 2 * way - 1 if way < 2 else net.beside[has, way - 2]
        step = np.zeros(3, int)
        step[way >> 1] = 1 if way & 1 else -1
        assert (cells[other] - cells[has] == step).all()
        assert (net.links[other] >> (way ^ 1) & 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), SHAPES)
def test_raw_net_encloses_exactly_the_voxels_of_each_label(seed: int, shape: tuple[int, int, int]) -> None:
    layer = noise(seed, shape)
    _, points, faces, sides = raw(layer)
    for label in range(1, 4):
        own = np.vstack([faces[sides[:, 0] == label], faces[sides[:, 1] == label][:, ::-1]])
        assert volume_ml(points, own) * 1000 == pytest.approx((layer == label).sum(), abs=1e-6)


def test_walls_look_from_the_higher_label_to_the_lower() -> None:
    """A wall whose pieces look to different sides has no normal."""
    _, _, _, sides = raw(noise(3, (8, 8, 8)))
    assert (sides[:, 0] > sides[:, 1]).all()


@pytest.mark.parametrize("width", [np.uint8, np.uint16])
def test_crop_is_the_box_of_what_is_there_with_nothing_all_round(width: type) -> None:
    layer = np.zeros((12, 10, 8), width, order="F")
    layer[3, 4, 5] = layer[7, 9, 0] = np.iinfo(width).max
    found = cropped(layer)
    assert found is not None
    voxels, shape, first = found
    assert shape == (7, 8, 8) and first == (2, 3, -1)
    assert np.array_equal(voxels.reshape(shape, order="F"), np.pad(layer[3:8, 4:10, 0:6], 1))
    assert cropped(np.zeros_like(layer)) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_tally_counts_as_numpy_does(seed: int, count: int) -> None:
    voxels: Flat = np.random.default_rng(seed).integers(0, 3, count).repeat(2).astype(np.uint8)
    assert np.array_equal(tally(voxels, 5), np.bincount(voxels, minlength=5))
