"""Exact Euclidean distances of voxel centres, in millimetres, fast enough for a margin drawn while one waits.

In: masks of shape (X, Y, Z) and the spacing; out: float32 distances of that shape. Three passes, one per axis, each in
chunks on all processors.

References
----------
Felzenszwalb, Huttenlocher, Distance transforms of sampled functions, Theory of Computing 8, 2012.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.progress import Progress, silent
from meshing.threads import kernel, over_rows
from meshing.voxels.upright import Float32Array, Mask, Spacing

_FAR = np.float32(1e18)
_TILE = 16
"""Columns taken together along z: one cache line of float32."""


def distance_mm(mask: Mask, spacing_mm: Spacing, progress: Progress = silent) -> Float32Array:
    """Distance of every voxel centre from the nearest voxel centre of the mask; infinite for an empty mask."""
    squares = np.empty(mask.shape, np.float32, order="F")
    if mask.size == 0:
        return squares
    x, y, z = mask.shape
    progress(0.0, "measuring distances")
    flags = np.asfortranarray(mask).view(np.uint8).reshape(x, y * z, order="F")
    over_rows(_along_x, y * z, flags, squares.reshape(x, y * z, order="F"), np.float32(spacing_mm[0]))
    progress(0.3, "measuring distances")
    tiles = -(-x // _TILE)
    over_rows(_along_second, z * tiles, squares, np.float32(spacing_mm[1]), tiles)
    progress(0.6, "measuring distances")
    over_rows(_along_second, y * tiles, squares.transpose(0, 2, 1), np.float32(spacing_mm[2]), tiles)
    squares[squares >= _FAR / 2] = np.inf
    distance: Float32Array = np.sqrt(squares, out=squares)
    return distance


@kernel
def _along_x(first: int, last: int, flags: npt.NDArray[np.uint8], squares: Float32Array, step: np.float32) -> None:
    count = flags.shape[0]
    for row in range(first, last):
        away = _FAR
        for at in range(count):
            away = np.float32(0) if flags[at, row] else away + step
            squares[at, row] = away
        away = _FAR
        for at in range(count - 1, -1, -1):
            away = np.float32(0) if flags[at, row] else away + step
            near = min(away, squares[at, row])
            squares[at, row] = near * near if near < np.float32(1e8) else _FAR


@kernel
def _along_second(first: int, last: int, squares: Float32Array, step: np.float32, tiles: int) -> None:
    """Lower envelope of parabolas along the second axis, a tile of x at a time."""
    width, count = squares.shape[0], squares.shape[1]
    heights = np.empty((_TILE, count), np.float32)
    at = np.empty(count, np.int32)
    starts = np.empty(count + 1, np.float32)
    for row in range(first, last):
        plane, low = row // tiles, (row % tiles) * _TILE
        high = min(low + _TILE, width)
        for q in range(count):
            for x in range(low, high):
                heights[x - low, q] = squares[x, q, plane]
        for x in range(high - low):
            _envelope(heights[x], step * step, at, starts)
        for q in range(count):
            for x in range(low, high):
                squares[x, q, plane] = heights[x - low, q]


@kernel
def _envelope(height: Float32Array, square: np.float32, at: npt.NDArray[np.int32], starts: Float32Array) -> None:
    """height[q] becomes min over p of height[p] + square·(q − p)²."""
    count = len(height)
    last = -1
    for q in range(count):
        if height[q] >= _FAR:
            continue
        meet = np.float32(-1e30)
        while last >= 0:
            p = at[last]
            meet = (height[q] - height[p]) / (np.float32(2 * (q - p)) * square) + np.float32(0.5) * np.float32(q + p)
            if meet > starts[last]:
                break
            last -= 1
            meet = np.float32(-1e30)
        last += 1
        at[last] = q
        starts[last] = meet
    if last < 0:
        return
    kept = np.empty(last + 1, np.float32)
    for n in range(last + 1):
        kept[n] = height[at[n]]
    starts[last + 1] = np.float32(1e30)
    n = 0
    for q in range(count):
        while starts[n + 1] < q:
            n += 1
        away = np.float32(q - at[n])
        height[q] = kept[n] + square * away * away
