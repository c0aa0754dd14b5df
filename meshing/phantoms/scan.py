"""The scanner: parts become Hounsfield units with partial volume, blur and noise.

Each part is painted by the fraction of the voxel that it fills, the whole is blurred by the point spread, and noise
of a given strength and the grain of a soft kernel is laid over it. The same seed gives the same voxels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import grown
from meshing.phantoms.recipe import Part, Recipe
from meshing.phantoms.voxelise import Patch, patch
from meshing.volume import Grid

_GRAIN_VOXELS = 0.6


def patches(recipe: Recipe, grid: Grid) -> Iterator[tuple[Part, Patch, Patch | None]]:
    """Every part with where it lies and where its core lies, in painting order; made ahead in threads."""

    def made(part: Part) -> tuple[Part, Patch, Patch | None]:
        core = patch(grown(part.shape, -part.core_depth_mm), grid) if part.core_depth_mm else None
        return part, patch(part.shape, grid), core

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(made, recipe.parts)


def paint(hu: npt.NDArray[np.float32], where: Patch, value: float) -> None:
    """Mix `value` into the voxels of a patch, in place, by the fraction that it fills of each."""
    there = hu[where.box]
    there += where.fraction * (np.float32(value) - there)


def exposed(hu: npt.NDArray[np.float32], recipe: Recipe, grid: Grid, seed: int) -> npt.NDArray[np.int16]:
    """What the scanner records of ideal Hounsfield units: blurred, noisy, int16."""
    from scipy.ndimage import gaussian_filter

    seen: npt.NDArray[np.float32] = gaussian_filter(hu, recipe.psf_mm / grid.spacing_mm, mode="nearest", truncate=3.0)
    seen += _noise(grid.shape, recipe.noise_hu, seed)
    return np.clip(np.rint(seen), -1024, 3071).astype(np.int16)


def _noise(shape: tuple[int, int, int], strength_hu: float, seed: int) -> npt.NDArray[np.float32]:
    """Noise of that standard deviation whose neighbours are correlated as after a soft reconstruction kernel."""
    from scipy.ndimage import gaussian_filter

    white = np.random.default_rng(seed).standard_normal(shape[::-1], dtype=np.float32).T
    grain: npt.NDArray[np.float32] = gaussian_filter(white, _GRAIN_VOXELS, mode="wrap", truncate=3.0)
    grain *= np.float32(strength_hu / max(float(grain.std()), 1e-6))
    return grain
