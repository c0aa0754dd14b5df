"""Small scans and shapes with known truth on upright and turned grids; for tests of the editing verbs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import LabelPatch, Patch, label_patch_of, patch_of
from meshing.volume import Grid, Volume
from tests.shapes import centres, middle_of, upright_grid

Mask = npt.NDArray[np.bool_]

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (0.8, 0.8, 5.0)]
Point = tuple[float, float, float]


def room(extent_mm: float, spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid of about that extent on all sides."""
    i, j, k = (int(extent_mm / mm) | 1 for mm in spacing_mm)
    return upright_grid((i, j, k), spacing_mm)


def at(grid: Grid, l: float = 0.0, p: float = 0.0, s: float = 0.0) -> Point:
    """LPS mm of a place given from the middle of the grid."""
    point = middle_of(grid) + (l, p, s)
    return float(point[0]), float(point[1]), float(point[2])


def ball(grid: Grid, radius_mm: float, l: float = 0.0, p: float = 0.0, s: float = 0.0) -> Mask:
    inside: Mask = np.linalg.norm(centres(grid) - at(grid, l, p, s), axis=-1) <= radius_mm
    return inside


def ball_patch(grid: Grid, radius_mm: float, l: float = 0.0, p: float = 0.0, s: float = 0.0) -> Patch:
    return patch_of(ball(grid, radius_mm, l, p, s), grid)


def scanned(grid: Grid, parts: list[tuple[Mask, float]], *, background: float = 0.0, noise: float = 0.0) -> Volume:
    """An int16 scan of parts with their values, the later over the earlier."""
    values = np.full(grid.shape, background)
    for mask, value in parts:
        values[mask] = value
    values += np.random.default_rng(5).normal(0, noise, grid.shape) if noise else 0.0
    return Volume(np.asfortranarray(np.rint(values).astype(np.int16)), grid, "CT", "HU")


def marked(grid: Grid, parts: dict[int, Mask]) -> LabelPatch:
    """Seeds by label."""
    labels = np.zeros(grid.shape, np.uint8)
    for label, mask in parts.items():
        labels[mask] = label
    return label_patch_of(labels, grid)


def radius_of(patch: Patch) -> float:
    """Of the ball of the same volume, mm."""
    return float((patch.volume_ml * 750.0 / np.pi) ** (1 / 3))


def dice(one: Mask, other: Mask) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
