"""Single vessels of known form, and what is no vessel."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vesseltrees import Spacing, drawn, grid_round, tube
from meshing.errors import VesselError
from meshing.phantoms.compose import Tubes
from meshing.progress import Cancelled
from meshing.vessels import VesselTree, bifurcation_angles, joined, routes, tortuosity, vessel_tree
from meshing.volume import Grid
from tests.shapes import ball, centres, middle_of, upright_grid

FINE: Spacing = (0.8, 0.8, 0.8)


def tree_in(solid: Tubes, spacing_mm: Spacing = FINE, **ends: tuple[tuple[float, float, float], ...]) -> VesselTree:
    grid = grid_round(solid, spacing_mm)
    return vessel_tree(drawn(solid, grid), grid, **ends)


def test_a_straight_tube_is_one_branch_of_its_length_and_radius() -> None:
    start, end = np.array([1.0, 2.0, 3.0]), np.array([31.0, 22.0, 63.0])
    (branch,) = tree_in(tube([start, end], 3.0)).branches
    # From the middle of one round end to that of the other, each known to about a voxel.
    assert branch.length_mm == pytest.approx(70.0, abs=1.0)
    assert branch.mean_radius_mm == pytest.approx(3.0, abs=0.08)
    along = (end - start) / 70.0
    away = np.linalg.norm(np.cross(branch.points_mm - start, along), axis=1)
    assert away.max() < 0.25
    assert tortuosity(branch.points_mm) < 0.005


def test_a_helix_has_the_tortuosity_of_the_closed_form() -> None:
    turns, wide, rise = 2.0, 12.0, 30.0
    angle = np.linspace(0.0, 2.0 * np.pi * turns, 161)
    points = np.column_stack([wide * np.cos(angle), wide * np.sin(angle), rise * angle / (2.0 * np.pi)])
    (branch,) = tree_in(tube(points, 2.5)).branches
    per_turn = np.hypot(2.0 * np.pi * wide, rise)
    assert branch.length_mm == pytest.approx(turns * per_turn, rel=0.01)
    inner = np.hypot(branch.points_mm[8:-8, 0], branch.points_mm[8:-8, 1])
    assert inner.mean() == pytest.approx(wide, abs=0.12)  # smoothing does not pull bends tight
    assert tortuosity(branch.points_mm) == pytest.approx(per_turn / rise - 1.0, rel=0.05)


def test_a_cone_keeps_its_taper() -> None:
    points = np.linspace([0.0, 0.0, 0.0], [0.0, 0.0, 80.0], 41)
    (branch,) = tree_in(tube(points, np.linspace(6.0, 2.0, 41))).branches
    slope = np.cos(np.arctan(4.0 / 80.0))  # the sphere touches the cone's side, not the plane across
    true = (6.0 - branch.points_mm[:, 2] * 4.0 / 80.0) * slope
    np.testing.assert_allclose(branch.radius_mm[3:-3], true[3:-3], atol=0.2)
    assert abs((branch.radius_mm - true)[3:-3].mean()) < 0.08
    assert branch.points_mm[0, 2] < branch.points_mm[-1, 2], "the root is the thick end"


@pytest.mark.parametrize("half_deg", [25.0, 40.0, 60.0])
def test_a_fork_has_three_branches_and_its_angle(half_deg: float) -> None:
    half = np.radians(half_deg)
    arms = [np.array([0.0, sign * np.sin(half), np.cos(half)]) * 40.0 for sign in (-1.0, 1.0)]
    solid = Tubes(
        (
            *tube([(0, 0, -40), (0, 0, 0)], 3.0).capsules,
            *(c for arm in arms for c in tube([(0, 0, 0), arm], 3.0).capsules),
        )
    )
    tree = tree_in(solid, roots_mm=((0.0, 0.0, -39.0),))
    assert len(tree.branches) == 3
    (fork,) = bifurcation_angles(tree)
    assert fork.spread_deg == pytest.approx(2.0 * half_deg, abs=3.0)
    assert fork.turn_deg == pytest.approx((half_deg, half_deg), abs=3.0)
    (node,) = tree.bifurcations
    assert np.linalg.norm(node.at_mm) < 1.2
    assert [branch.generation for branch in tree.branches] == [1, 2, 2]
    assert [branch.strahler for branch in tree.branches] == [2, 1, 1]


def test_a_narrow_fork_is_no_loop() -> None:
    """Its arms touch all the way from the fork: a contact, but no way round."""
    half = np.radians(9.0)
    arms = [np.array([0.0, sign * np.sin(half), np.cos(half)]) * 55.0 for sign in (-1.0, 1.0)]
    solid = Tubes(
        (
            *tube([(0, 0, -30), (0, 0, 0)], 3.0).capsules,
            *(capsule for arm in arms for capsule in tube([(0, 0, 0), arm], 2.5).capsules),
        )
    )
    tree = tree_in(solid)
    assert len(tree.tips) == 2
    assert not tree.loops


def test_a_ring_is_reported_as_a_loop_and_cut() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 97)
    points = np.column_stack([20.0 * np.cos(angle), 20.0 * np.sin(angle), 0.0 * angle])
    tree = tree_in(tube(points, 3.0))
    (loop,) = tree.loops
    assert loop.length_mm == pytest.approx(2.0 * np.pi * 20.0, rel=0.1)
    assert np.linalg.norm(loop.middle_mm) < 4.0
    assert tree.length_mm == pytest.approx(2.0 * np.pi * 20.0, rel=0.12)
    assert any(node.at_cut for node in tree.tips)


def test_vessels_that_kiss_are_cut_where_they_touch() -> None:
    bow = np.linspace(-1.0, 1.0, 41)
    left = np.column_stack([8.0 * np.abs(bow) ** 1.5 + 1.9, 0.0 * bow, 30.0 * bow])
    right = left * (-1.0, 1.0, 1.0)
    start = tube([(-9.9, 0.0, -30.0), (0.0, 0.0, -42.0), (9.9, 0.0, -30.0)], 2.2)
    trunk = tube([(0.0, 0.0, -60.0), (0.0, 0.0, -42.0)], 3.0)
    solid = Tubes((*trunk.capsules, *start.capsules, *tube(left, 2.0).capsules, *tube(right, 2.0).capsules))
    tree = tree_in(solid, (0.6, 0.6, 0.6))
    assert len(tree.tips) == 2
    (loop,) = tree.loops
    assert np.linalg.norm(loop.cut_mm) < 4.0, "the neck between the bows is cut, no vessel"
    assert sorted(round(float(np.sign(node.at_mm[0]))) for node in tree.tips) == [-1, 1]


def test_an_end_at_the_border_is_open() -> None:
    solid = tube([(0.0, 0.0, -60.0), (8.0, 4.0, 60.0)], 4.0)
    grid = upright_grid((40, 40, 50), (0.8, 0.8, 0.8))
    matrix = grid.voxel_to_patient.copy()
    matrix[:3, 3] = (-14.0, -14.0, -20.0)
    grid = Grid(grid.shape, matrix)
    tree = vessel_tree(drawn(solid, grid), grid)
    (branch,) = tree.branches
    assert all(node.at_border for node in tree.nodes)
    low, high = grid.to_patient([(0, 0, -0.5), (0, 0, 49.5)])[:, 2]
    assert sorted(branch.points_mm[[0, -1], 2]) == pytest.approx([low, high], abs=1e-6)
    assert branch.radius_mm.min() > 3.7, "the edge of the scan is no wall"


def test_a_thin_branch_leaves_a_fat_vessel() -> None:
    solid = Tubes(
        (
            *tube([(0.0, 0.0, -60.0), (0.0, 0.0, 60.0)], 15.0).capsules,
            *tube([(0.0, 0.0, 5.0), (50.0, 0.0, -5.0)], 1.5).capsules,
            *tube([(0.0, 0.0, -10.0), (-20.0, 30.0, -30.0)], 1.5).capsules,
        )
    )
    tree = tree_in(solid, (1.0, 1.0, 1.0))
    thin = sorted(branch.mean_radius_mm for branch in tree.branches)[:2]
    assert len(tree.tips) == 3
    assert thin == pytest.approx([1.5, 1.5], abs=0.15)
    for branch in tree.branches:
        if branch.mean_radius_mm < 3.0:
            start = np.linalg.norm(branch.points_mm[branch.own_from, :2])
            assert start == pytest.approx(15.0, abs=2.0), "it begins at the fat vessel's wall"


@pytest.mark.parametrize("radius_mm", [4.0, 12.0])
def test_a_ball_is_no_vessel(radius_mm: float) -> None:
    grid = upright_grid((40, 40, 40), (0.9, 0.9, 0.9))
    with pytest.raises(VesselError, match=r"no vessel: the longest way .* mm, and it is .* mm wide"):
        vessel_tree(ball(middle_of(grid), radius_mm)(centres(grid)), grid)


def test_a_voxel_and_an_empty_mask_are_refused_with_their_counts() -> None:
    grid = upright_grid((20, 20, 20), (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, np.bool_)
    with pytest.raises(VesselError, match="empty"):
        vessel_tree(mask, grid)
    mask[5, 6, 7] = True
    with pytest.raises(VesselError, match="holds 1 voxels in 1 parts"):
        vessel_tree(mask, grid)


def test_ten_thousand_islands_are_left_out_and_counted() -> None:
    solid = tube([(0.0, 0.0, -40.0), (0.0, 0.0, 40.0)], 4.0)
    grid = grid_round(solid, (0.4, 0.4, 0.8))
    mask = drawn(solid, grid)
    clean = vessel_tree(mask, grid)
    place = np.random.default_rng(1).permutation(np.argwhere(~mask[::3, ::3, ::3]))[:10_000] * 3
    far = np.linalg.norm(grid.to_patient(place)[:, :2], axis=1) > 5.5
    mask[tuple(place[far].T)] = True
    tree = vessel_tree(mask, grid)
    (fact,) = [fact for fact in tree.facts if fact.kind == "specks"]
    assert fact.values["parts"] == far.sum()
    assert len(tree.branches) == 1
    np.testing.assert_allclose(tree.branches[0].points_mm, clean.branches[0].points_mm, atol=1e-4)


def test_two_vessels_are_two_trees() -> None:
    one, other = [(-10.0, 0.0, -30.0), (-10.0, 0.0, 30.0)], [(10.0, 0.0, -30.0), (12.0, 5.0, 30.0)]
    tree = tree_in(Tubes((*tube(one, 3.0).capsules, *tube(other, 2.0).capsules)))
    assert len(tree.roots) == 2
    assert sorted(b.mean_radius_mm for b in tree.branches) == pytest.approx([2.0, 3.0], abs=0.1)
    with pytest.raises(VesselError, match=r"no way leads from a root to the tip .* mm apart"):
        tree_in(
            Tubes((*tube(one, 3.0).capsules, *tube(other, 2.0).capsules)),
            roots_mm=((-10.0, 0.0, -30.0),),
            tips_mm=((12.0, 5.0, 30.0),),
        )


def test_an_end_outside_the_lumen_is_refused_with_the_distance() -> None:
    solid = tube([(0.0, 0.0, -30.0), (0.0, 0.0, 30.0)], 3.0)
    with pytest.raises(VesselError, match=r"the root \(20.0, 0.0, 0.0\) mm lies 1[67]\.\d mm outside"):
        tree_in(solid, roots_mm=((20.0, 0.0, 0.0),))
    with pytest.raises(VesselError, match="not a finite point"):
        tree_in(solid, tips_mm=((np.nan, 0.0, 0.0),))


def test_given_ends_are_the_only_ones() -> None:
    solid = Tubes(
        (
            *tube([(0.0, 0.0, -40.0), (0.0, 0.0, 40.0)], 3.0).capsules,
            *tube([(0.0, 0.0, 0.0), (30.0, 0.0, 20.0)], 2.5).capsules,
        )
    )
    tree = tree_in(solid, roots_mm=((0.0, 0.0, 39.0),), tips_mm=((29.0, 0.0, 19.0),))
    (branch,) = tree.branches
    assert branch.points_mm[0, 2] > 35.0
    assert branch.points_mm[-1, 0] > 26.0


def test_a_way_is_a_route_of_the_plan_from_the_root() -> None:
    solid = Tubes(
        (
            *tube([(0.0, 0.0, -40.0), (0.0, 0.0, 40.0)], 3.0).capsules,
            *tube([(0.0, 0.0, 0.0), (30.0, 0.0, 20.0)], 2.5).capsules,
        )
    )
    tree = tree_in(solid)
    ways = routes(tree, "artery")
    assert len(ways) == len(tree.tips)
    for way in ways:
        assert way.points_mm[0] == pytest.approx(tree.roots[0].at_mm)
        points, radii = joined(tree.way_to(int(way.name.split()[-1])))
        assert len(points) == len(radii) == len(way.points_mm)
        assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() < 1.0


def test_masks_of_another_grid_and_sheared_grids_are_refused() -> None:
    grid = upright_grid((20, 20, 20), (1.0, 1.0, 1.0))
    with pytest.raises(VesselError, match="shape"):
        vessel_tree(np.zeros((20, 20, 21), np.bool_), grid)
    matrix = grid.voxel_to_patient.copy()
    matrix[0, 2] = 0.3
    mask = np.zeros(grid.shape, np.bool_)
    mask[8:12, 8:12, 2:18] = True
    with pytest.raises(VesselError, match="sheared"):
        vessel_tree(mask, Grid(grid.shape, matrix))


def test_it_can_be_stopped() -> None:
    solid = tube([(0.0, 0.0, -30.0), (0.0, 0.0, 30.0)], 3.0)
    grid = grid_round(solid, FINE)
    heard: list[float] = []

    def stop(fraction: float, doing: str) -> None:
        heard.append(fraction)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        vessel_tree(drawn(solid, grid), grid, progress=stop)
    assert heard == sorted(heard)
