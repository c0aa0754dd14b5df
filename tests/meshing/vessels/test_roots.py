"""Where trees begin when no root is given: at the fat end, not in its rags, and rather at the edge of the scan."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, tube
from meshing.phantoms.compose import Tubes
from meshing.vessels import VesselTree, vessel_tree
from meshing.volume import Grid

SPACING = (1.0, 1.0, 1.0)
FAT_MM = 8.0
LEGS = (
    *tube([(0.0, 0.0, 0.0), (-22.0, 0.0, -50.0)], 3.0).capsules,
    *tube([(0.0, 0.0, 0.0), (22.0, 0.0, -50.0)], 3.0).capsules,
)


def ragged(rag_mm: float, turn_deg: float = 0.0) -> Tubes:
    """A fat vessel with two legs below, whose upper end frays into five threads of that length."""
    angles = np.radians(turn_deg + 72.0 * np.arange(5))
    feet = [np.array([5.0 * np.cos(angle), 5.0 * np.sin(angle), 60.0]) for angle in angles]
    ways = [np.array([0.35 * np.cos(angle), 0.35 * np.sin(angle), 1.0]) for angle in angles]
    rags = [
        capsule
        for foot, way in zip(feet, ways, strict=True)
        for capsule in tube([foot, foot + rag_mm * way], 1.3).capsules
    ]
    return Tubes((*tube([(0.0, 0.0, 0.0), (0.0, 0.0, 60.0)], FAT_MM).capsules, *LEGS, *rags))


def tree_in(solid: Tubes, **ends: tuple[tuple[float, float, float], ...]) -> VesselTree:
    grid = grid_round(solid, SPACING)
    return vessel_tree(drawn(solid, grid), grid, **ends)


@pytest.mark.parametrize("turn_deg", [0.0, 25.0])
def test_a_fat_vessel_that_ends_in_rags_begins_before_them(turn_deg: float) -> None:
    tree = tree_in(ragged(17.0, turn_deg))
    (root,) = tree.roots
    assert np.hypot(*root.at_mm[:2]) < 1.5
    assert 40.0 < root.at_mm[2] < 62.0
    assert root.radius_mm > 0.75 * FAT_MM
    assert len(tree.tips) == 2, "the legs, and no rag"
    assert [branch.parent for branch in tree.branches] == [None, 0, 0]
    (fact,) = [fact for fact in tree.facts if fact.kind == "rags"]
    assert fact.values["vessels"] == 1


def test_long_thin_vessels_beyond_a_fat_one_are_no_rags() -> None:
    tree = tree_in(ragged(45.0))
    assert len(tree.tips) >= 6
    assert not [fact for fact in tree.facts if fact.kind == "rags"]


def test_rags_are_kept_where_ends_are_given() -> None:
    tip = (5.0 + 0.35 * 16.0, 0.0, 76.0)
    (branch,) = tree_in(ragged(17.0), roots_mm=((-21.0, 0.0, -48.0),), tips_mm=(tip,)).branches
    assert np.linalg.norm(branch.points_mm[-1] - tip) < 4.0
    assert len(tree_in(ragged(17.0), roots_mm=((0.0, 0.0, 60.0),)).tips) >= 6
    (to_rag,) = tree_in(ragged(17.0), tips_mm=(tip,)).branches
    assert np.linalg.norm(to_rag.points_mm[-1] - tip) < 4.0


@pytest.mark.parametrize(("open_mm", "is_root"), [(3.0, True), (1.8, False)])
def test_an_end_at_the_edge_of_the_scan_is_the_root_unless_it_is_thin(open_mm: float, is_root: bool) -> None:
    points = np.linspace([0.0, 0.0, 0.0], [0.0, 0.0, 90.0], 46)
    solid = tube(points, np.linspace(open_mm, 3.4, 46))
    matrix = np.diag([0.8, 0.8, 0.8, 1.0])
    matrix[:3, 3] = (-10.0, -10.0, 10.0)
    grid = Grid((26, 26, 110), matrix)
    (root,) = vessel_tree(drawn(solid, grid), grid).roots
    assert root.at_border == is_root


def test_holes_of_a_lumen_are_filled_and_counted() -> None:
    solid = tube([(0.0, 0.0, -30.0), (0.0, 0.0, 30.0)], 5.0)
    grid = grid_round(solid, SPACING)
    mask = drawn(solid, grid)
    i, j, k = np.rint(grid.to_voxel((0.0, 0.0, 5.0))).astype(int)
    mask[i : i + 2, j, k : k + 3] = False
    tree = vessel_tree(mask, grid)
    (fact,) = [fact for fact in tree.facts if fact.kind == "holes"]
    assert fact.values["voxels"] == 6
    assert tree.branches[0].radius_mm[10:-10].min() > 4.5
