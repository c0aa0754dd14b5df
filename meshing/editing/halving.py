"""Arrays at half their resolution and back: blocks of 2×2×2 voxels, for work that begins coarse.

Blocks over the far edge repeat its last voxels. Arrays run (x, y, z), x fastest in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Labels
from meshing.threads import kernel, over_rows
from meshing.volume import Voxels
from meshing.voxels.upright import Float32Array, Mask, Spacing

Levels = npt.NDArray[np.uint8]


def doubled(spacing_mm: Spacing) -> Spacing:
    x, y, z = spacing_mm
    return 2 * x, 2 * y, 2 * z


def _halves(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0] + 1) // 2, (shape[1] + 1) // 2, (shape[2] + 1) // 2


def halved_levels(levels: Levels) -> Levels:
    """Means of 2×2×2 voxels; blocks over the far edge repeat its last voxels."""
    total = np.zeros(_halves(levels.shape), np.uint16, order="F")
    for corner in np.ndindex(2, 2, 2):
        total += _corner(levels, corner)
    return np.asfortranarray(((total + 4) >> 3).astype(np.uint8))


def halved_any(mask: Mask) -> Mask:
    some = np.zeros(_halves(mask.shape), np.bool_, order="F")
    for corner in np.ndindex(2, 2, 2):
        some |= _corner(mask, corner)
    return some


def halved_markers(markers: Labels) -> Labels:
    """The highest marker of 2×2×2 voxels."""
    highest = np.zeros(_halves(markers.shape), markers.dtype, order="F")
    for corner in np.ndindex(2, 2, 2):
        np.maximum(highest, _corner(markers, corner), out=highest)
    return highest


def halved_least(values: Float32Array) -> Float32Array:
    """The lowest of 2×2×2 values."""
    least = np.full(_halves(values.shape), np.inf, np.float32, order="F")
    for corner in np.ndindex(2, 2, 2):
        np.minimum(least, _corner(values, corner), out=least)
    return least


def _corner(array: npt.NDArray[Any], corner: tuple[int, ...]) -> npt.NDArray[Any]:
    part = array[corner[0] :: 2, corner[1] :: 2, corner[2] :: 2]
    missing = [(0, whole - own) for whole, own in zip(_halves(array.shape), part.shape, strict=True)]
    return np.pad(part, missing, mode="edge") if any(after for _, after in missing) else part


def halved_values(values: Voxels) -> Float32Array:
    """Means of 2×2×2 voxels."""
    half = np.empty(_halves(values.shape), np.float32, order="F")
    over_rows(_average, half.shape[1] * half.shape[2], np.asfortranarray(values), half)
    return half


@kernel
def _average(first: int, last: int, values: Voxels, half: Float32Array) -> None:
    x_count, y_count, z_count = values.shape
    for row in range(first, last):
        y, z = 2 * (row % half.shape[1]), 2 * (row // half.shape[1])
        far_y, far_z = min(y + 1, y_count - 1), min(z + 1, z_count - 1)
        for block in range(half.shape[0]):
            x, far_x = 2 * block, min(2 * block + 1, x_count - 1)
            total = np.float32(0.0)
            total += np.float32(values[x, y, z]) + np.float32(values[far_x, y, z])
            total += np.float32(values[x, far_y, z]) + np.float32(values[far_x, far_y, z])
            total += np.float32(values[x, y, far_z]) + np.float32(values[far_x, y, far_z])
            total += np.float32(values[x, far_y, far_z]) + np.float32(values[far_x, far_y, far_z])
            half[block, y // 2, z // 2] = np.float32(0.125) * total


def meeting(rough: Labels) -> npt.NDArray[np.uint8]:
    """1 where a block or one of its 26 neighbours has another label, 0 elsewhere."""
    from scipy.ndimage import maximum_filter, minimum_filter

    meets: npt.NDArray[np.uint8] = np.asfortranarray(
        (maximum_filter(rough, 3) != minimum_filter(rough, 3)).astype(np.uint8)
    )
    return meets


def doubled_values(values: Float32Array, shape: tuple[int, ...], fine: Float32Array | None = None) -> Float32Array:
    """Values of blocks at the voxels of an array of `shape`, interpolated linearly between block centres.

    They go into `fine` where it is given.
    """
    if fine is None:
        fine = np.empty(shape, np.float32, order="F")
    over_rows(_interpolate, shape[1] * shape[2], np.asfortranarray(values), fine)
    return fine


@kernel
def _interpolate(first: int, last: int, values: Float32Array, fine: Float32Array) -> None:
    x_count, y_count, z_count = values.shape
    near, far = np.float32(0.75), np.float32(0.25)
    line = np.empty(x_count + 2, np.float32)
    for row in range(first, last):
        y, z = row % fine.shape[1], row // fine.shape[1]
        y0, z0 = y // 2, z // 2
        y1 = min(max(y0 + 2 * (y % 2) - 1, 0), y_count - 1)
        z1 = min(max(z0 + 2 * (z % 2) - 1, 0), z_count - 1)
        one, two, three, four = values[:, y0, z0], values[:, y1, z0], values[:, y0, z1], values[:, y1, z1]
        for x in range(x_count):
            line[x + 1] = near * (near * one[x] + far * two[x]) + far * (near * three[x] + far * four[x])
        line[0], line[x_count + 1] = line[1], line[x_count]
        made = fine[:, y, z]
        for x in range(fine.shape[0] // 2):
            made[2 * x] = near * line[x + 1] + far * line[x]
            made[2 * x + 1] = near * line[x + 1] + far * line[x + 2]
        if fine.shape[0] % 2:
            made[fine.shape[0] - 1] = near * line[x_count] + far * line[x_count - 1]
