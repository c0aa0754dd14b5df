"""Fewer vertices where the wall is flat: cells join eight to one, as often as that changes neither topology nor shape.

A block of 2×2×2 cells may become one cell if its 3×3×3 voxels hold two labels, each in one piece, and every middle
voxel agrees with an end, a corner of its face, or a corner of the block: then the wall through it is one sheet before
and after (Ju, Losasso, Schaefer, Warren 2002, "Dual contouring of Hermite data", section 5.2). Its vertex is where the
planes of the vertices that it replaces meet best, and it stays near all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import Net
from meshing.nets.quads import Quads, normals_of
from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

Points = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]

_FLAT_COSINE = 0.8
"""Planes that differ by more than 37° from their mean do not join."""


@dataclass(frozen=True, eq=False)
class Level:
    """Cells of one size that hold a piece of wall, row by row, as in `Net`.

    Parameters
    ----------
    shape
        Cells along y and z.
    is_single
        (N,) bool: the wall through the cell is one sheet, with one vertex.
    planes
        (N, 8) float32: point, unit normal, weight, and by how much at most the point misses what it stands for, mm.
    """

    shape: tuple[int, int]
    start: Index
    xs: Index
    is_single: npt.NDArray[np.bool_]
    planes: npt.NDArray[np.float32]


def merged(net: Net, quads: Quads, points: Points, tolerance_mm: Points, levels: int = 3) -> tuple[Index, Points]:
    """For every vertex the one that stands for it, and where those are.

    Parameters
    ----------
    tolerance_mm
        (labels,): how far a vertex may go from the planes of those it replaces, by label; infinite for 0.
    levels
        Blocks of at most 2^levels cells along each axis.

    Returns
    -------
    stands_for, points
        (V,) int32 into (W, 3).
    """
    level = Level((net.shape[1] - 1, net.shape[2] - 1), net.start, net.xs, *_finest(net, quads, points))
    top = np.arange(len(points), dtype=np.int32)
    all_points, shift = [points], len(points)
    of_level = top
    for number in range(1, levels + 1):
        level, parent = _joined(net, level, 1 << (number - 1), tolerance_mm)
        if not level.is_single.any():
            break
        of_level = parent[of_level]
        joins = level.is_single[of_level]
        top[joins] = of_level[joins] + shift
        all_points.append(level.planes[:, :3].astype(np.float64))
        shift += len(level.planes)
    every = np.concatenate(all_points)
    used = np.zeros(len(every), np.bool_)
    used[top] = True
    place = np.cumsum(used, dtype=np.int32)
    return place[top] - np.int32(1), every[used]


def _finest(net: Net, quads: Quads, points: Points) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    planes = np.empty((len(points), 8), np.float32)
    over_rows(_as_planes, len(points), points, normals_of(quads, points), planes)
    return _SIMPLE[net.mask], planes


def _joined(net: Net, level: Level, stride: int, tolerance_mm: Points) -> tuple[Level, Index]:
    """The next level, and for each cell the block that it belongs to."""
    depth, height = level.shape
    shape = ((depth + 1) // 2, (height + 1) // 2)
    rows = shape[0] * shape[1]
    counts = np.zeros(rows, np.int32)
    over_rows(_count_blocks, rows, shape[0], depth, height, level.start, level.xs, counts)
    start = np.zeros(rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    many = int(start[-1])
    xs, parent = np.empty(many, np.int32), np.empty(len(level.xs), np.int32)
    is_single, planes = np.zeros(many, np.bool_), np.zeros((many, 8), np.float32)
    size = np.array([shape[0], depth, height, stride, *net.shape], np.int32)
    here = (level.start, level.xs, level.is_single, level.planes)
    over_rows(_join_blocks, rows, size, *here, net.voxels, _SIMPLE, tolerance_mm, start, xs, parent, is_single, planes)
    return Level(shape, start, xs, is_single, planes), parent


def _simple_masks() -> npt.NDArray[np.bool_]:
    """(256,): corner masks whose set and unset corners each hang together along edges: the wall is one sheet."""
    simple = np.zeros(256, np.bool_)
    for mask in range(1, 255):
        simple[mask] = all(_hangs_together({c for c in range(8) if (mask >> c & 1) == value}) for value in (0, 1))
    return simple


def _hangs_together(corners: set[int]) -> bool:
    reached = {min(corners)}
    for _ in range(8):
        reached |= {c for c in corners if any(c ^ bit in reached for bit in (1, 2, 4))}
    return reached == corners


_SIMPLE = _simple_masks()


@kernel
def _as_planes(first: int, last: int, points: Array, normals: Array, planes: Array) -> None:
    for v in range(first, last):
        for axis in range(3):
            planes[v, axis] = points[v, axis]
            planes[v, 3 + axis] = normals[v, axis]
        planes[v, 6] = normals[v, 3]
        planes[v, 7] = 0.0


@kernel
def _rows_below(
    row: int, depth_above: int, depth: int, height: int, start: Array, at: Array, end: Array
) -> tuple[int, int]:
    """Where the four rows of a block row begin and end; empty ones beyond the border."""
    k = row // depth_above
    j = row - k * depth_above
    for n in range(4):
        y = 2 * j + (n & 1)
        z = 2 * k + (n >> 1)
        at[n] = 0
        end[n] = 0
        if y < depth and z < height:
            at[n] = start[z * depth + y]
            end[n] = start[z * depth + y + 1]
    return j, k


@kernel
def _nearest(at: Array, end: Array, xs: Array) -> int:
    """The lowest block that any of four rows reaches next; -1 when all are done."""
    block = -1
    for n in range(4):
        if at[n] < end[n] and (block < 0 or xs[at[n]] >> 1 < block):
            block = xs[at[n]] >> 1
    return block


@kernel
def _count_blocks(
    first: int, last: int, depth_above: int, depth: int, height: int, start: Array, xs: Array, counts: Array
) -> None:
    at = np.zeros(4, np.int64)
    end = np.zeros(4, np.int64)
    for row in range(first, last):
        _rows_below(row, depth_above, depth, height, start, at, end)
        n = 0
        block = _nearest(at, end, xs)
        while block >= 0:
            n += 1
            for r in range(4):
                while at[r] < end[r] and xs[at[r]] >> 1 == block:
                    at[r] += 1
            block = _nearest(at, end, xs)
        counts[row] = n


@kernel
def _join_blocks(
    first: int,
    last: int,
    size: Array,
    start: Array,
    xs: Array,
    single: Array,
    planes: Array,
    voxels: Array,
    simple: Array,
    tolerance: Array,
    start_above: Array,
    xs_above: Array,
    parent: Array,
    is_single: Array,
    out: Array,
) -> None:
    depth_above, depth, height, stride = size[0], size[1], size[2], size[3]
    at = np.zeros(4, np.int64)
    end = np.zeros(4, np.int64)
    children = np.zeros(8, np.int64)
    for row in range(first, last):
        j, k = _rows_below(row, depth_above, depth, height, start, at, end)
        c = start_above[row]
        block = _nearest(at, end, xs)
        while block >= 0:
            n = 0
            every = True
            for r in range(4):
                while at[r] < end[r] and xs[at[r]] >> 1 == block:
                    parent[at[r]] = c
                    children[n] = at[r]
                    every = every and single[at[r]]
                    n += 1
                    at[r] += 1
            xs_above[c] = block
            if every:
                limit = _one_sheet(voxels, size, block, j, k, stride, simple, tolerance)
                is_single[c] = limit > 0 and _meet(planes, children, n, limit, out, c)
            c += 1
            block = _nearest(at, end, xs)


@kernel
def _one_sheet(
    voxels: Array, size: Array, i: int, j: int, k: int, stride: int, simple: Array, tolerance: Array
) -> float:
    """The tolerance of the two labels if the block's wall is one sheet that its corners show; else 0."""
    width, depth, height = size[4], size[5], size[6]
    x, y, z = 2 * i * stride, 2 * j * stride, 2 * k * stride
    if x + 2 * stride >= width or y + 2 * stride >= depth or z + 2 * stride >= height:
        return 0.0
    at = (z * depth + y) * width + x
    low = high = voxels[at]
    bits = 0
    for n in range(27):
        label = voxels[at + stride * (n % 3 + (n // 3 % 3) * width + (n // 9) * width * depth)]
        low = min(low, label)
        high = max(high, label)
    for n in range(27):
        label = voxels[at + stride * (n % 3 + (n // 3 % 3) * width + (n // 9) * width * depth)]
        if label == high:
            bits |= 1 << n
        elif label != low:
            return 0.0
    mask = 0
    for c in range(8):
        mask |= (bits >> (2 * (c & 1) + 6 * (c >> 1 & 1) + 18 * (c >> 2)) & 1) << c
    if not simple[mask]:
        return 0.0
    for n in range(27):
        if not _agrees(bits, n):
            return 0.0
    return float(min(tolerance[high], tolerance[low]))


@kernel
def _agrees(bits: int, n: int) -> bool:
    """Whether voxel n of 27 has the label of a corner of the smallest edge, face or block in whose middle it lies."""
    value = bits >> n & 1
    i, j, k = n % 3, n // 3 % 3, n // 9
    for c in range(8):
        x = i if i != 1 else 2 * (c & 1)
        y = j if j != 1 else 2 * (c >> 1 & 1)
        z = k if k != 1 else 2 * (c >> 2)
        if bits >> (x + 3 * y + 9 * z) & 1 == value:
            return True
    return False


@kernel
def _meet(planes: Array, children: Array, n: int, limit: float, out: Array, c: int) -> bool:
    """Writes the plane that stands for `n` others; False if it misses one of them by more than `limit`."""
    weight = 0.0
    for t in range(n):
        child = planes[children[t]]
        weight += child[6]
        for axis in range(3):
            out[c, axis] += child[6] * child[axis]
            out[c, 3 + axis] += child[6] * child[3 + axis]
    length = np.sqrt(out[c, 3] ** 2 + out[c, 4] ** 2 + out[c, 5] ** 2)
    if weight <= 0.0 or length <= 0.0:
        return False
    for axis in range(3):
        out[c, axis] /= weight
        out[c, 3 + axis] /= length
    out[c, 6] = length
    _fit(planes, children, n, out, c)
    worst = 0.0
    for t in range(n):
        child = planes[children[t]]
        away = 0.0
        cosine = 0.0
        for axis in range(3):
            away += child[3 + axis] * (out[c, axis] - child[axis])
            cosine += child[3 + axis] * out[c, 3 + axis]
        if cosine < _FLAT_COSINE:
            return False
        worst = max(worst, abs(away) + child[7])
    out[c, 7] = worst
    return worst <= limit


@kernel
def _fit(planes: Array, children: Array, n: int, out: Array, c: int) -> None:
    """Moves the mean along the mean normal to where it misses the planes least, in the least squares."""
    above = 0.0
    below = 1e-12
    for t in range(n):
        child = planes[children[t]]
        slope = 0.0
        away = 0.0
        for axis in range(3):
            slope += child[3 + axis] * out[c, 3 + axis]
            away += child[3 + axis] * (child[axis] - out[c, axis])
        above += child[6] * slope * away
        below += child[6] * slope * slope
    for axis in range(3):
        out[c, axis] += above / below * out[c, 3 + axis]
