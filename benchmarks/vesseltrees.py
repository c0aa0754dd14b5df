"""Tubes with known centrelines and radii on any grid, and how far a tree found in them lies from the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Tubes, polyline
from meshing.phantoms.tree import Tree
from meshing.phantoms.voxelise import patch
from meshing.vessels import VesselTree
from meshing.volume import Grid, Volume

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


def grid_round(solid: Tubes, spacing_mm: Spacing, *, turn: int | None = None, shift: float = 0.3) -> Grid:
    """A grid that holds a solid with room round it; turned by a random rotation of that seed."""
    low, high = np.array(solid.bounds())
    if turn is not None:
        reach = np.linalg.norm(high - low) / 2.0
        low, high = (low + high) / 2.0 - reach, (low + high) / 2.0 + reach
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = low - 3.0 * np.array(spacing_mm) + shift * np.array(spacing_mm)
    shape = np.ceil((high - low) / spacing_mm + 7.0).astype(int)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), matrix)
    return grid if turn is None else _turned(grid, turn)


def _turned(grid: Grid, seed: int) -> Grid:
    from scipy.spatial.transform import Rotation

    turn = np.eye(4)
    turn[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    middle = grid.to_patient((np.array(grid.shape) - 1) / 2)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    return Grid(grid.shape, turn @ grid.voxel_to_patient)


def drawn(solid: Tubes, grid: Grid) -> Mask:
    """The voxels whose centre lies inside."""
    mask = np.zeros(grid.shape, np.bool_, order="F")
    part = patch(solid, grid)
    mask[part.box] = part.inside
    return mask


def imaged(solid: Tubes, grid: Grid, *, noise: float = 0.0, seed: int = 0) -> Volume:
    """A scan of it: 100 inside, 0 outside, partial volumes, blurred by half a voxel, with noise."""
    from scipy import ndimage

    grey = np.zeros(grid.shape, np.float32, order="F")
    part = patch(solid, grid)
    grey[part.box] = 100.0 * part.fraction
    grey = ndimage.gaussian_filter(grey, 0.5)
    grey += np.random.default_rng(seed).normal(0.0, noise, grey.shape).astype(np.float32)
    return Volume(np.asfortranarray(grey), grid, "CT", "HU")


def tube(points: npt.ArrayLike, radii: npt.ArrayLike) -> Tubes:
    """Straight capsules from point to point."""
    corners = np.asarray(points, np.float64)
    return polyline(corners, np.broadcast_to(np.asarray(radii, np.float64), (len(corners),)))


@cache
def grown_tree(seed: int = 0, generations: int = 4) -> Tree:
    """A tree that forks at every generation, curved, of Murray's radii; its vessels keep 1.5 mm apart but at forks."""
    for attempt in range(200):
        chance = np.random.default_rng((seed, attempt))
        points, parents, radii = [np.zeros(3)], [-1], [4.0]
        buds = [(0, np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]), 4.0, 26.0)]
        for generation in range(generations + 1):
            after = []
            for start, way, side, radius, length in buds:
                bend = chance.normal(0.0, 0.12, 3)
                end, way = _stem(points, parents, radii, (start, way + bend, radius, length))
                if generation == generations:
                    continue
                turned = np.cross(way, side)
                turned /= np.linalg.norm(turned)
                share = chance.uniform(0.35, 0.5)
                for part, sign in ((share, 1.0), (1.0 - share, -1.0)):
                    angle = np.radians(chance.uniform(28.0, 48.0)) * (1.0 - part) / 0.5
                    out = np.cos(angle) * way + sign * np.sin(angle) * turned
                    after.append((end, out, turned, radius * part ** (1 / 3), length * chance.uniform(0.75, 0.9)))
            buds = after
        tree = Tree(np.array(points), np.array(parents), np.array(radii))
        if _keeps_apart(tree, 1.5):
            return tree
    raise ValueError(f"no tree of seed {seed} keeps its vessels apart")


def _stem(
    points: list[Points], parents: list[int], radii: list[float], bud: tuple[int, Points, float, float]
) -> tuple[int, Points]:
    """Points of a vessel that bends evenly; its last point and direction there."""
    at, way, radius, length = bud
    way = way / np.linalg.norm(way)
    bend = 0.02 * np.cross(way, (0.3, -0.5, 0.8))
    steps = int(np.ceil(length / 2.0))
    for _ in range(steps):
        way = way + bend
        way /= np.linalg.norm(way)
        points.append(points[at] + way * (length / steps))
        parents.append(at)
        radii.append(radius)
        at = len(points) - 1
    return at, way


def _keeps_apart(tree: Tree, clearance_mm: float) -> bool:
    """Whether vessels that are no neighbours along the tree stay that far from each other."""
    gap = np.linalg.norm(tree.points[:, None] - tree.points[None], axis=2) - tree.radius[:, None] - tree.radius[None]
    along = np.zeros_like(gap)
    for point in range(1, len(tree.points)):
        back = tree.parent[point]
        along[point, :point] = along[:point, point] = along[back, :point] + np.linalg.norm(
            tree.points[point] - tree.points[back]
        )
    wide = tree.radius[:, None] + tree.radius[None]
    return bool((gap[along > 4.0 * wide] > clearance_mm).all())


@dataclass(frozen=True)
class Apart:
    """A tree found beside the true one; lengths in voxels.

    Parameters
    ----------
    missed, false
        True tips that none was found at, and found tips at none.
    radius, radius_bias, radius_worst, centre
        Mean of |error|, of the error, the worst, and the mean distance of points from the true centreline, away from
        forks and ends.
    covered
        95th percentile of the distance from the true centreline to the found one.
    """

    missed: int
    false: int
    radius: float
    radius_bias: float
    radius_worst: float
    centre: float
    covered: float


def apart(found: VesselTree, true: Tree) -> Apart:
    """How far a found tree lies from the truth."""
    from scipy.spatial import cKDTree

    voxel = float(np.cbrt(np.prod(found.voxel_mm)))
    ends = np.flatnonzero(true.parent >= 0)
    axis, radii = _sampled(true.points[true.parent[ends]], true.points[ends], true.radius[true.parent[ends]],
                           true.radius[ends])  # fmt: skip
    tips, tip_radii = true.points[true.tips], true.radius[true.tips]
    at = np.array([node.at_mm for node in found.tips])
    missed = cKDTree(at).query(tips)[0] > 2.0 * tip_radii + 1.5 * voxel
    wide = np.array([node.radius_mm for node in found.tips])
    false = cKDTree(tips).query(at)[0] > 2.0 * wide + 2.0 * voxel
    points = np.vstack([branch.points_mm[branch.own_from :] for branch in found.branches])
    radius = np.concatenate([branch.radius_mm[branch.own_from :] for branch in found.branches])
    away, row = cKDTree(axis).query(points)
    forks, fork_radii = true.points[true.forks], true.radius[true.forks]
    free = cKDTree(np.vstack([tips, true.points[:1]])).query(points)[0] > radii[row]
    if len(forks):
        gap = np.linalg.norm(points[:, None] - forks[None], axis=2)
        free &= (gap > 2.0 * fork_radii).all(axis=1)
    error = (radius - radii[row])[free] / voxel
    line = np.vstack([branch.points_mm for branch in found.branches])
    covered = cKDTree(line).query(axis)[0]
    return Apart(
        int(missed.sum()),
        int(false.sum()),
        float(np.abs(error).mean()),
        float(error.mean()),
        float(np.abs(error).max()),
        float(away[free].mean() / voxel),
        float(np.quantile(covered, 0.95) / voxel),
    )


def _sampled(starts: Points, ends: Points, start_radii: Points, end_radii: Points) -> tuple[Points, Points]:
    share = np.linspace(0.0, 1.0, 41)[:, None]
    points = [a + share * (b - a) for a, b in zip(starts, ends, strict=True)]
    radii = [r + share[:, 0] * (s - r) for r, s in zip(start_radii, end_radii, strict=True)]
    return np.vstack(points), np.concatenate(radii)
