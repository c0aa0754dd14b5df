"""Tubes with known centrelines and radii on any grid, and how far a tree found in them lies from the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Tubes, polyline
from meshing.phantoms.shapes import Ball
from meshing.phantoms.tree import Growth, Tree, even_points, grow
from meshing.phantoms.voxelise import patch
from meshing.vessels import VesselTree
from meshing.volume import Grid, Volume
from tests.shapes import oblique

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
    return grid if turn is None else oblique(grid, turn)


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
def grown_tree(seed: int = 0) -> Tree:
    """A tree of some thirty tips whose branches keep 1.5 mm apart; another for every seed."""
    ball = Ball((0.0, 0.0, 0.0), 45.0)
    trunk = np.array([[0.0, 0.0, -60.0, 4.0], [0.0, 0.0, -45.0, 4.0], [0.0, 2.0, -30.0, 4.0]])
    targets = even_points(300 + 7 * seed, *ball.bounds())[7 * seed :]

    def depth_mm(points: Points) -> Points:
        return -ball.field(*points.T)

    targets = targets[depth_mm(targets) > 3.0]
    return grow([trunk], targets, depth_mm=depth_mm, growth=Growth(tip_radius_mm=1.0, clearance_mm=1.5))


@dataclass(frozen=True)
class Apart:
    """A tree found beside the true one; lengths in voxels.

    Parameters
    ----------
    missed, false
        True tips that none was found at, and found tips at none.
    radius, radius_bias, centre
        Mean of |error| and of the error, and the mean distance of points from the true centreline, away from forks and
        ends.
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
