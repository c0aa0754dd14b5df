"""The graph of voxels: cheapest ways are those of another program, and the skeleton is a tree of neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.vesseltrees import drawn, grid_round, tube
from meshing.vessels.centreline import arc_of, smoothed, trimmed
from meshing.vessels.lattice import Keeping, cheapest_ways, lattice_of, skeleton_of


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_cheapest_ways_are_those_of_scipy(seed: int) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    chance = np.random.default_rng(seed)
    mask = np.asfortranarray(chance.random((7, 6, 8)) < 0.6)
    mask[0, 0, 0] = True
    lattice = lattice_of(mask, (0.5, 0.7, 1.1))
    price = chance.uniform(0.5, 2.0, len(lattice.voxels))
    row, way = np.nonzero(lattice.beside >= 0)
    other = lattice.beside[row, way]
    cost = lattice.steps_mm[way] * 0.5 * (price[row] + price[other])
    graph = csr_matrix((cost, (row, other)), shape=(len(price), len(price)))
    true = dijkstra(graph, indices=0)
    reached = cheapest_ways(lattice, price, 0)
    np.testing.assert_array_equal(np.isfinite(reached.length_mm), np.isfinite(true))
    for end in np.flatnonzero(np.isfinite(true)):
        paid, at = 0.0, int(end)
        while reached.before[at] >= 0:
            back = int(reached.before[at])
            paid += float(np.linalg.norm(lattice.places[at] - lattice.places[back])) * 0.5 * (price[at] + price[back])
            at = back
        assert at == 0
        np.testing.assert_allclose(paid, true[end], rtol=1e-12)


def test_every_voxel_is_explained_and_entries_follow_neighbours() -> None:
    solid = tube([(0, 0, -20), (0, 0, 20)], 3.0)
    mask = drawn(solid, grid_round(solid, (0.8, 0.8, 0.8)))
    lattice = lattice_of(mask, (0.8, 0.8, 0.8))
    reached = cheapest_ways(lattice, np.ones(len(lattice.voxels)), 0)
    skeleton = skeleton_of(
        lattice, reached, np.full(len(lattice.voxels), 3.0), Keeping(0.8, 2.0, 0.8), np.zeros(0, int)
    )
    assert (skeleton.owner >= 0).all()
    assert skeleton.before[0] == -1
    assert (skeleton.before[1:] < np.arange(1, len(skeleton.rows))).all()
    steps = np.abs(lattice.voxels[skeleton.rows[1:]] - lattice.voxels[skeleton.rows[skeleton.before[1:]]])
    assert steps.max() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60))
def test_smoothing_leaves_parabolas_alone(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    t = np.linspace(-1.0, 1.0, count)[:, None]
    line = chance.normal(size=3) + t * chance.normal(size=3) + t**2 * chance.normal(size=3)
    weights = chance.choice([0.0, 1.0], count)
    weights[[0, count // 2, -1, 1]] = 1.0
    np.testing.assert_allclose(smoothed(line, weights, 12.0), line, atol=1e-5)


def test_smoothing_takes_noise_out_and_keeps_a_bend() -> None:
    angle = np.linspace(0.0, np.pi, 200)
    bend = 20.0 * np.column_stack([np.cos(angle), np.sin(angle), 0.0 * angle])
    rough = bend + np.random.default_rng(0).normal(0.0, 0.3, bend.shape)
    smooth = smoothed(rough, np.ones(200), 20.0)
    radius = np.linalg.norm(smooth, axis=1)[10:-10]
    assert abs(radius.mean() - 20.0) < 0.05
    assert np.abs(radius - 20.0).std() < 0.12
    assert arc_of(smooth)[-1] < 1.02 * 20.0 * np.pi < arc_of(rough)[-1]


def test_caps_are_cut_off_and_tapers_are_not() -> None:
    arc = np.linspace(0.0, 30.0, 61)
    capped = np.minimum(3.0, 30.0 - arc)
    assert arc[trimmed(capped, arc, at_start=False)] == 27.0
    taper = 6.0 - 0.15 * arc
    assert trimmed(taper, arc, at_start=False) == 60
    assert trimmed(taper[::-1], arc, at_start=True) == 0
