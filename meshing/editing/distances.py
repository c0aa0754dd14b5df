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
_FEW_ROWS = 16
"""Rows to each side that are looked at one by one."""


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


def within_mm(mask: Mask, spacing_mm: Spacing, reach_mm: float) -> Mask:
    """Voxels whose centre lies at most `reach_mm` from the centre of a voxel of the mask.

    Looks at all rows in reach, which for a few voxels is several times faster than measuring; long ones are measured.
    """
    steps = np.asarray(spacing_mm, np.float32)
    if max(reach_mm / step for step in spacing_mm[1:]) > _FEW_ROWS:
        return np.asfortranarray(distance_mm(mask, spacing_mm) <= np.float32(reach_mm))
    made = np.zeros(mask.shape, np.bool_, order="F")
    if not mask.size:
        return made
    flags, squares = np.asfortranarray(mask).view(np.uint8), np.empty(mask.shape, np.float32, order="F")
    limit = np.float32(reach_mm) ** 2
    rows = mask.shape[1] * mask.shape[2]
    over_rows(_near_in_planes, rows, flags, squares, steps, limit)
    over_rows(_near_upwards, rows, squares, steps[2], limit, made.view(np.uint8))
    return made


@kernel
def _near_in_planes(
    first: int,
    last: int,
    flags: npt.NDArray[np.uint8],
    squares: Float32Array,
    steps: Float32Array,
    limit: np.float32,
) -> None:
    """Squared distances within planes, of those whose first row lies in the chunk; far beyond the limit."""
    x_count, y_count = flags.shape[0], flags.shape[1]
    plane, some = np.empty((y_count, x_count), np.float32), np.empty(y_count, np.bool_)
    for z in range(-(-first // y_count), -(-last // y_count)):
        for y in range(y_count):
            some[y] = _along_row(flags[:, y, z], plane[y], steps[0])
        for y in range(y_count):
            _lowest(plane, some, y, steps[1], limit, squares[:, y, z])


@kernel
def _near_upwards(
    first: int, last: int, squares: Float32Array, step: np.float32, limit: np.float32, near: npt.NDArray[np.uint8]
) -> None:
    x_count, z_count = squares.shape[0], squares.shape[2]
    upright, some = np.empty((z_count, x_count), np.float32), np.empty(z_count, np.bool_)
    lowest = np.empty(x_count, np.float32)
    for y in range(-(-first // z_count), -(-last // z_count)):
        for z in range(z_count):
            row, column = upright[z], squares[:, y, z]
            least = _FAR
            for x in range(x_count):
                row[x] = column[x]
                least = min(least, column[x])
            some[z] = least <= limit
        for z in range(z_count):
            _lowest(upright, some, z, step, limit, lowest)
            made = near[:, y, z]
            for x in range(x_count):
                made[x] = lowest[x] <= limit


@kernel
def _along_row(flags: npt.NDArray[np.uint8], squares: Float32Array, step: np.float32) -> bool:
    """Squared distances along a row; whether it has any voxel."""
    away = _FAR
    some = False
    for x in range(len(flags)):
        away = np.float32(0.0) if flags[x] else away + step
        squares[x] = away
        some |= flags[x] > 0
    if not some:
        squares[:] = _FAR
        return False
    away = _FAR
    for x in range(len(flags) - 1, -1, -1):
        away = np.float32(0.0) if flags[x] else away + step
        nearer = min(away, squares[x])
        squares[x] = min(nearer * nearer, _FAR)
    return True


@kernel
def _lowest(rows: Float32Array, some: Mask, at: int, step: np.float32, limit: np.float32, lowest: Float32Array) -> None:
    """The least of row `at` and of those around it that the limit reaches, raised by the square of how far they lie."""
    lowest[:] = rows[at]
    reach = int(np.sqrt(limit) / step)
    for other in range(max(at - reach, 0), min(at + reach + 1, len(rows))):
        if other != at and some[other]:
            away = np.float32(other - at) * step
            square, row = away * away, rows[other]
            for x in range(len(lowest)):
                lowest[x] = min(lowest[x], row[x] + square)


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
