"""The walls of a net give the distances that its triangles give, whatever the labels, the grid and the moves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing import deviation as room
from meshing.deviation import deviations
from meshing.deviation.netwalls import NetWalls, net_distances_mm, vertices_near, walls_around
from meshing.nets.make import NetSettings, Netted, index_of, netted, walls_of
from meshing.triangles.bins import bins_of
from meshing.triangles.distances import wall_distances_mm
from meshing.volume import Grid
from meshing.walls import Walls


def turned(spacing: tuple[float, float, float], seed: int) -> np.ndarray:
    """An oblique grid, left-handed for odd seeds."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn[:, 0] *= np.sign(np.linalg.det(turn)) * (-1 if seed % 2 else 1)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * spacing, [-40.0, 300.0, -1200.0]
    return matrix


def blobs(shape: tuple[int, int, int], labels: int, seed: int) -> np.ndarray:
    """Labels in lumps, up to the border; some are specks."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    layer = np.zeros(shape, np.uint8)
    for label in range(1, labels + 1):
        away = np.linalg.norm(at - rng.uniform(0, shape), axis=-1)
        layer[away < rng.choice([0.9, 3.0, 6.0])] = label
    layer[tuple(rng.integers(0, shape))] = 1
    return np.asfortranarray(layer)


def net(layer: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), seed: int = 0) -> Netted:
    made = netted(layer, Grid(layer.shape, turned(spacing, seed)), NetSettings())
    assert made is not None
    return made


def index(made: Netted) -> NetWalls:
    found = index_of(made)
    assert isinstance(found, NetWalls)
    return found


def both_distances(made: Netted, points: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of points in LPS mm: to the net, and to its triangles in bins."""
    walls, net_walls = walls_of(made), index(made)
    triangles = wall_distances_mm(points, asked, bins_of(walls.vertices, walls.faces, sides=walls.sides))
    placed = Walls(points, np.zeros((0, 3), np.int32), np.zeros((0, 2), np.int32))
    return net_distances_mm(net_walls.here(placed).vertices, asked, net_walls.lattice), triangles


spacings = st.sampled_from([(1.0, 1.0, 1.0), (0.7, 0.7, 1.0), (0.3, 0.5, 3.0), (3.0, 0.3, 0.3), (0.4, 4.0, 0.4)])
shapes = st.tuples(st.integers(2, 14), st.integers(2, 14), st.integers(2, 14))


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(1, 12), st.integers(0, 2**32 - 1), spacings)
def test_distances_to_a_net_are_those_to_its_triangles(shape, labels: int, seed: int, spacing) -> None:
    made = net(blobs(shape, labels, seed), spacing, seed)
    rng, walls = np.random.default_rng(seed), walls_of(made)
    near = walls.vertices[rng.integers(0, len(walls.vertices), 150)]
    points = np.vstack([near + rng.normal(0, 0.5, near.shape) * rng.choice([0.0, 0.1, 1.0, 10.0], (150, 1)), near[:20]])
    asked = rng.integers(0, labels + 3, (len(points), 2)).astype(np.int32)
    found, expected = both_distances(made, points, asked)
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-9, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 2.5), spacings)
def test_vertices_far_from_their_cells_are_found_as_well(seed: int, far: float, spacing) -> None:
    """An image's edges may draw them out of their cells; how far is measured, not assumed."""
    made = net(blobs((9, 11, 8), 6, seed), spacing)
    rng = np.random.default_rng(seed)
    moved = made.points + rng.uniform(-far, far, made.points.shape) * spacing
    made = replace(made, points=np.where(rng.random((len(moved), 1)) < 0.3, moved, made.points))
    points = walls_of(made).vertices[rng.integers(0, len(moved), 150)] + rng.normal(0, 0.4, (150, 3))
    found, expected = both_distances(made, points, rng.integers(0, 8, (150, 2)).astype(np.int32))
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-9, abs=1e-9)


def test_what_lies_further_than_the_rows_looked_at_is_measured_all_the_same() -> None:
    layer = np.zeros((60, 50, 50), np.uint8)
    layer[2:6, 2:6, 2:6], layer[50:55, 40:45, 40:45], layer[20, 20, 20] = 1, 2, 3
    made = net(np.asfortranarray(layer), (0.5, 0.8, 1.1), seed=3)
    points = walls_of(made).vertices[::3]
    asked = np.tile([1, 2], (len(points), 1)).astype(np.int32)
    found, expected = both_distances(made, points, asked)
    assert expected.max() > 30.0
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_near_enough_is_between_the_true_distance_and_what_is_enough() -> None:
    made = net(blobs((20, 18, 16), 8, 5), (0.7, 0.7, 1.0), seed=1)
    walls, lattice = walls_of(made), index(made).lattice
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 9, (4000, 2)).astype(np.int32)
    points = walls.vertices[np.sort(rng.integers(0, len(walls.vertices), 4000))] + rng.normal(0, 0.5, (4000, 3))
    enough = rng.uniform(0, 2, 9)
    bins = bins_of(walls.vertices, walls.faces, sides=walls.sides)
    true = wall_distances_mm(points, asked, bins)
    here = index(made).here(Walls(points, walls.faces[:0], walls.sides[:0])).vertices
    for found in (
        wall_distances_mm(points, asked, bins, enough_mm=enough),
        net_distances_mm(here, asked, lattice, enough_mm=enough),
    ):
        is_far = true > enough[asked]
        assert found[is_far] == pytest.approx(true[is_far], rel=1e-9, abs=1e-9)
        rest = ~is_far & (asked > 0)
        assert (found[rest] >= true[rest] - 1e-9).all() and (found[rest] <= enough[asked][rest]).all()
        assert (found[rest] > true[rest] + 1e-6).mean() > 0.05  # else nothing was saved
        assert np.array_equal(np.isnan(found), asked == 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), spacings)
def test_all_vertices_near_a_place_are_given_once(seed: int, spacing) -> None:
    lattice = index(net(blobs((12, 9, 14), 5, seed), spacing)).lattice
    walls = walls_around(lattice, np.array([1]))
    place = walls.vertices[len(walls.vertices) // 2][None]
    points, sides = vertices_near(lattice, place, np.array([1.5]), np.array([1]), 10_000)
    assert (sides == 1).any(axis=1).all()
    # Where three labels meet a vertex is asked for each pair, now and then twice; elsewhere once.
    pairs = [frozenset(map(tuple, sides[(points == point).all(axis=1)].tolist())) for point in points]
    within_one = np.array([len(pair) == 1 for pair in pairs])
    assert len(np.unique(points[within_one], axis=0)) == within_one.sum() > 0
    wanted = walls.vertices[np.linalg.norm(walls.vertices - place, axis=1) <= 1.5]
    assert {tuple(point) for point in wanted} <= {tuple(point) for point in points}


def rolling(made: Netted, by_mm: float) -> Walls:
    """Its triangles, with the vertices moved along a wave."""
    walls = walls_of(made)
    return replace(walls, vertices=walls.vertices + by_mm * np.sin(walls.vertices[:, [1, 2, 0]] / 5.0))


@pytest.mark.parametrize("seed", range(4))
def test_deviations_from_a_net_are_those_from_its_triangles(seed: int) -> None:
    made = net(blobs((40, 36, 30), 12, seed), (0.7, 0.7, 1.5), seed)
    coarse = rolling(made, 0.4)
    one, other = deviations(coarse, index(made)), deviations(coarse, walls_of(made))
    assert list(one) == list(other) == coarse.labels
    for label, expected in other.items():
        assert one[label].mean_mm == pytest.approx(expected.mean_mm, rel=0.05, abs=0.003)
        assert one[label].max_mm == pytest.approx(expected.max_mm, rel=0.03)


def horned() -> Netted:
    """A ball of label 1 in a shell of label 2, and a horn of label 1 that sticks out of both."""
    at = np.stack(np.meshgrid(*(np.arange(64),) * 3, indexing="ij"), axis=-1) - 30.0
    away = np.linalg.norm(at, axis=-1)
    layer = np.where(away < 16, 1, np.where(away < 22, 2, 0)).astype(np.uint8)
    layer[(np.abs(at[..., :2]) < 1.5).all(axis=-1) & (at[..., 2] > 0)] = 1
    return net(np.asfortranarray(layer), (0.8, 0.8, 0.8), seed=1)


@pytest.mark.parametrize("asks_all", [True, False], ids=["every vertex", "some vertices"])
def test_a_lost_horn_is_found_in_a_net(asks_all: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = horned()
    walls = walls_of(made)
    on_ball = walls.vertices[
        np.unique(walls.faces[(walls.sides == 2).all(axis=1) | (walls.sides == [2, 0]).all(axis=1)])
    ]
    centre = (on_ball.min(axis=0) + on_ball.max(axis=0)) / 2
    out = walls.vertices - centre
    length = np.linalg.norm(out, axis=1)
    is_horn = length > 22.6 * 0.8
    flat = walls.vertices.copy()
    flat[is_horn] = centre + out[is_horn] * (22.0 * 0.8 / length[is_horn])[:, None]
    if not asks_all:
        monkeypatch.setattr(room, "_FINE_ALL", 0)
    found = deviations(replace(walls, vertices=flat), index(made))[1]
    bins = bins_of(flat, walls.faces, sides=walls.sides)
    true = np.nanmax(wall_distances_mm(walls.vertices, np.tile([1, 0], (len(flat), 1)), bins))
    assert true > 5.0
    assert found.max_mm == pytest.approx(true, rel=1e-6)


def test_a_label_that_the_coarser_walls_lost_is_infinitely_far_from_a_net() -> None:
    made = net(blobs((20, 20, 20), 3, 1))
    walls = walls_of(made)
    is_left = ~(walls.sides == 2).any(axis=1)
    found = deviations(Walls(walls.vertices, walls.faces[is_left], walls.sides[is_left]), index(made))
    assert found[2].max_mm == np.inf
    assert np.isfinite(found[1].max_mm)


def test_a_grid_that_leans_a_little_is_measured_in_patient_millimetres() -> None:
    layer = blobs((10, 10, 10), 2, 1)
    matrix = turned((1.0, 1.0, 1.0), 0)
    matrix[:3, 0] += 0.02 * matrix[:3, 1]
    made = netted(layer, Grid(layer.shape, matrix), NetSettings())
    assert made is not None
    assert isinstance(index_of(made), Walls)
    whole = walls_of(made)
    moved = replace(whole, vertices=whole.vertices + [0.0, 0.0, 0.05])
    for found in deviations(moved, index_of(made)).values():
        assert found.max_mm == pytest.approx(0.05, rel=0.02)
