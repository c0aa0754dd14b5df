"""Graders who draw known shapes, as the tests of agreement want them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid
from tests.shapes import upright_grid

Mask = npt.NDArray[np.bool_]


def drawn(grid: Grid, **masks: Mask) -> Segmentation:
    """A layer for each mask; an empty mask is a segment without a voxel."""
    layers = tuple(np.asfortranarray(mask).astype(np.uint8) for mask in masks.values())
    segments = tuple(Segment(key, 1, number, Structure(key, key.title(), key)) for number, key in enumerate(masks))
    return Segmentation(layers, grid, segments, "a test")


def block(shape: tuple[int, int, int], low: tuple[int, int, int], high: tuple[int, int, int]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def noisy(mask: Mask, seed: int, share: float) -> Mask:
    """The mask with that share of all voxels drawn wrong."""
    wrong: Mask = np.random.default_rng(seed).random(mask.shape) < share
    return mask ^ wrong


SHAPE = (40, 30, 30)
GRID = upright_grid(SHAPE, (0.5, 0.5, 0.5))
"""For cubes of 20 voxels, 10 mm: `cube(0)`, and the same some voxels on along i."""


def cube(shift: int) -> Mask:
    return block(SHAPE, (4 + shift, 5, 5), (24 + shift, 25, 25))
