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

Sites = npt.NDArray[np.int32]

_FAR = np.float32(1e18)
_TILE = 16
"""Columns taken together along z: one cache line of float32."""


def distance_mm(mask: Mask, spacing_mm: Spacing, progress: Progress = silent) -> Float32Array:
    """Distance of every voxel centre from the nearest voxel centre of the mask; infinite for an empty mask."""
    return nearest(mask, spacing_mm, progress)[0]


def nearest(mask: Mask, spacing_mm: Spacing, progress: Progress = silent) -> tuple[Float32Array, Sites]:
    """Distance of every voxel centre from the nearest voxel of the mask, and which one that is.

    Sites are flat indices with x fastest; infinite and -1 for an empty mask.
    """
    squares = np.empty(mask.shape, np.float32, order="F")
    sites = np.full(mask.shape, -1, np.int32, order="F")
    if mask.size == 0:
        return squares, sites
    x, y, z = mask.shape
    progress(0.0, "measuring distances")
    rows = [array.reshape(x, y * z, order="F") for array in (np.asfortranarray(mask).view(np.uint8), squares, sites)]
    over_rows(_along_x, y * z, *rows, np.float32(spacing_mm[0]))
    tiles = -(-x // _TILE)
    progress(0.3, "measuring distances")
    over_rows(_along_second, z * tiles, squares, sites, np.float32(spacing_mm[1]), tiles)
    progress(0.6, "measuring distances")
    turned = squares.transpose(0, 2, 1), sites.transpose(0, 2, 1)
    over_rows(_along_second, y * tiles, *turned, np.float32(spacing_mm[2]), tiles)
    squares[squares >= _FAR / 2] = np.inf
    distance: Float32Array = np.sqrt(squares, out=squares)
    return distance, sites


@kernel
def _along_x(
    first: int, last: int, flags: npt.NDArray[np.uint8], squares: Float32Array, sites: Sites, step: np.float32
) -> None:
    count = flags.shape[0]
    for row in range(first, last):
        site = -1
        for at in range(count):
            if flags[at, row]:
                site = row * count + at
            sites[at, row] = site
        site = -1
        for at in range(count - 1, -1, -1):
            if flags[at, row]:
                site = row * count + at
            before = sites[at, row]
            here = row * count + at
            if before < 0 or (site >= 0 and site - here < here - before):
                sites[at, row] = site
            away = np.float32(abs(sites[at, row] - here)) * step
            squares[at, row] = away * away if sites[at, row] >= 0 else _FAR


@kernel
def _along_second(first: int, last: int, squares: Float32Array, sites: Sites, step: np.float32, tiles: int) -> None:
    """Lower envelope of parabolas along the second axis, a tile of x at a time."""
    width, count = squares.shape[0], squares.shape[1]
    heights, owners = np.empty((_TILE, count), np.float32), np.empty((_TILE, count), np.int32)
    at = np.empty(count, np.int32)
    starts = np.empty(count + 1, np.float32)
    for row in range(first, last):
        plane, low = row // tiles, (row % tiles) * _TILE
        high = min(low + _TILE, width)
        for q in range(count):
            for x in range(low, high):
                heights[x - low, q] = squares[x, q, plane]
                owners[x - low, q] = sites[x, q, plane]
        for x in range(high - low):
            _envelope(heights[x], owners[x], step * step, at, starts)
        for q in range(count):
            for x in range(low, high):
                squares[x, q, plane] = heights[x - low, q]
                sites[x, q, plane] = owners[x - low, q]


@kernel
def _envelope(height: Float32Array, owner: Sites, square: np.float32, at: Sites, starts: Float32Array) -> None:
    """height[q] becomes min over p of height[p] + square·(q − p)², and owner[q] the owner of that p."""
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
    kept, kept_owner = np.empty(last + 1, np.float32), np.empty(last + 1, np.int32)
    for n in range(last + 1):
        kept[n], kept_owner[n] = height[at[n]], owner[at[n]]
    starts[last + 1] = np.float32(1e30)
    n = 0
    for q in range(count):
        while starts[n + 1] < q:
            n += 1
        away = np.float32(q - at[n])
        height[q], owner[q] = kept[n] + square * away * away, kept_owner[n]
