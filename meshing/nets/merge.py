"""Fewer vertices where the wall is flat: cells join eight to one, as often as that changes neither topology nor shape.

A block of 2×2×2 cells may become one cell if its 3×3×3 voxels hold two labels, each in one piece, and every middle
voxel agrees with an end, a corner of its face, or a corner of the block: then the wall through it is one sheet before
and after (Ju, Losasso, Schaefer, Warren 2002, "Dual contouring of Hermite data", section 5.2). Its vertex is where the
planes of the vertices that it replaces meet best, and it stays near all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import Net
from meshing.nets.quads import NetPoints, Quads, normals_of
from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.uint32]

_FLAT_COSINE = np.float32(0.8)
"""Planes that differ by more than 37° from their mean do not join."""


class Planes(NamedTuple):
    """What vertices stand for: (N, 3) points, (N, 4) unit normals and weights, (N,) by how much at most each misses."""

    points: Floats
    normals: Floats
    misses: Floats


@dataclass(frozen=True, eq=False)
class Level:
    """Cells of one size that hold a piece of wall, row by row, as in `Net`.

    Parameters
    ----------
    shape
        Cells along y and z.
    is_single
        (N,) bool: the wall through the cell is one sheet, with one vertex.
    """

    shape: tuple[int, int]
    start: npt.NDArray[np.int32]
    xs: Index
    is_single: npt.NDArray[np.bool_]
    planes: Planes


def merged(
    net: Net, quads: Quads, points: NetPoints, tolerance_mm: npt.NDArray[np.float64], levels: int = 3
) -> tuple[Index, NetPoints]:
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
        (V,) into (W, 3).
    """
    planes = Planes(points, normals_of(quads, points), np.zeros(len(points), np.float32))
    level = Level((net.shape[1] - 1, net.shape[2] - 1), net.start, net.xs, _SIMPLE[net.mask], planes)
    top = np.arange(len(points), dtype=np.uint32)
    every, shift = [points], len(points)
    of_level = top
    for number in range(1, levels + 1):
        level, parent = _joined(net, level, 1 << (number - 1), tolerance_mm)
        if not level.is_single.any():
            break
        of_level = parent if number == 1 else parent[of_level]
        over_rows(_raise, len(top), of_level, level.is_single, np.uint32(shift), top)
        every.append(level.planes.points)
        shift += len(level.planes.points)
    place = np.zeros(shift, np.uint32)
    kept = np.split(_number(top, place), np.cumsum([len(points) for points in every])[:-1])
    return top, np.concatenate([points[is_kept] for points, is_kept in zip(every, kept, strict=True)])


@kernel
def _raise(first: int, last: int, of_level: Array, is_single: Array, shift: int, top: Array) -> None:
    for v in range(np.uintp(first), np.uintp(last)):
        if is_single[of_level[v]]:
            top[v] = of_level[v] + shift


@kernel
def _number(top: Array, place: Array) -> Array:
    """Which of all stand for somebody; `top` then counts only those."""
    kept = np.zeros(len(place), np.bool_)
    for v in range(np.uintp(len(top))):
        kept[top[v]] = True
    count = np.uint32(0)
    for n in range(np.uintp(len(place))):
        place[n] = count
        count += np.uint32(kept[n])
    for v in range(np.uintp(len(top))):
        top[v] = place[top[v]]
    return kept


def _joined(net: Net, level: Level, stride: int, tolerance_mm: npt.NDArray[np.float64]) -> tuple[Level, Index]:
    """The next level, and for each cell the block that it belongs to."""
    depth, height = level.shape
    shape = ((depth + 1) // 2, (height + 1) // 2)
    rows = shape[0] * shape[1]
    counts = np.zeros(rows, np.int32)
    over_rows(_count_blocks, rows, shape[0], depth, height, level.start, level.xs, counts)
    start = np.zeros(rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    many = int(start[-1])
    xs, parent = np.empty(many, np.uint32), np.empty(len(level.xs), np.uint32)
    is_single = np.zeros(many, np.bool_)
    planes = Planes(np.zeros((many, 3), np.float32), np.zeros((many, 4), np.float32), np.zeros(many, np.float32))
    size = np.array([shape[0], depth, height, stride, *net.shape], np.int64)
    here = (level.start, level.xs, level.is_single, level.planes)
    over_rows(_join_blocks, rows, size, *here, net.voxels, tolerance_mm, start, xs, parent, is_single, planes)
    return Level(shape, start, xs, is_single, planes), parent


def _simple_masks() -> npt.NDArray[np.bool_]:
    """(256,): corner masks whose set and unset corners each hang together along edges: the wall is one sheet."""
    masks = np.arange(256)
    return _hang_together(masks) & _hang_together(255 - masks)


def _hang_together(masks: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a walk along edges from the lowest corner reaches all; not so where there is none."""
    reached = masks & -masks
    for _ in range(6):  # no way round a cube is longer
        x = (reached & 0x55) << 1 | (reached & 0xAA) >> 1
        y = (reached & 0x33) << 2 | (reached & 0xCC) >> 2
        z = (reached & 0x0F) << 4 | (reached & 0xF0) >> 4
        reached |= (x | y | z) & masks
    found: npt.NDArray[np.bool_] = (reached == masks) & (masks > 0)
    return found


_SIMPLE = _simple_masks()


def _ends_of_middles() -> npt.NDArray[np.int64]:
    """(19, 2): of each voxel of 27 that is no corner its bit, and those of the corners of its edge, face or block."""
    rows = []
    for n in range(27):
        place = (n % 3, n // 3 % 3, n // 9)
        if 1 in place:
            ends = [(x, y, z) for x in (0, 2) for y in (0, 2) for z in (0, 2)]
            mine = {tuple(e if p == 1 else p for p, e in zip(place, end, strict=True)) for end in ends}
            rows.append((1 << n, sum(1 << (x + 3 * y + 9 * z) for x, y, z in mine)))
    return np.array(rows, np.int64)


_MIDDLES = _ends_of_middles()


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
def _nearest(at: Array, end: Array, xs: Array) -> Any:
    """The lowest block that any of four rows reaches next; -1 when all are done."""
    block = np.int64(-1)
    for n in range(4):
        if at[n] < end[n] and (block < 0 or np.int64(xs[np.uintp(at[n])] >> 1) < block):
            block = np.int64(xs[np.uintp(at[n])] >> 1)
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
                while at[r] < end[r] and xs[np.uintp(at[r])] >> 1 == block:
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
    planes: Planes,
    voxels: Array,
    tolerance: Array,
    start_above: Array,
    xs_above: Array,
    parent: Array,
    is_single: Array,
    out: Planes,
) -> None:
    depth_above, depth, height, stride = size[0], size[1], size[2], size[3]
    at = np.zeros(4, np.int64)
    end = np.zeros(4, np.int64)
    children = np.zeros(8, np.uintp)
    for row in range(first, last):
        j, k = _rows_below(row, depth_above, depth, height, start, at, end)
        c = np.uintp(start_above[row])
        block = _nearest(at, end, xs)
        while block >= 0:
            n = 0
            every = True
            for r in range(4):
                while at[r] < end[r] and xs[np.uintp(at[r])] >> 1 == block:
                    child = np.uintp(at[r])
                    parent[child] = c
                    children[n] = child
                    every = every and single[child]
                    n += 1
                    at[r] += 1
            xs_above[c] = block
            if every:
                limit = _one_sheet(voxels, size, block, j, k, stride, tolerance)
                is_single[c] = limit > 0 and _meet(planes, children, n, limit, out, c)
            c += np.uintp(1)
            block = _nearest(at, end, xs)


@kernel
def _one_sheet(voxels: Array, size: Array, i: int, j: int, k: int, stride: int, tolerance: Array) -> float:
    """The tolerance of the two labels if the block's wall is one sheet that its corners show; else 0."""
    width, depth, height = size[4], size[5], size[6]
    x, y, z = 2 * i * stride, 2 * j * stride, 2 * k * stride
    if x + 2 * stride >= width or y + 2 * stride >= depth or z + 2 * stride >= height:
        return 0.0
    at = (z * depth + y) * width + x
    one = other = voxels[np.uintp(at)]
    bits, n = 0, 0
    for up in range(3):
        for back in range(3):
            line = at + stride * (back + up * depth) * width
            for _ in range(3):
                label = voxels[np.uintp(line)]
                if label != one:
                    if other == one:
                        other = label
                    elif other != label:
                        return 0.0
                    bits |= 1 << n
                line += stride
                n += 1
    mask = 0
    for c in range(8):
        mask |= (bits >> (2 * (c & 1) + 6 * (c >> 1 & 1) + 18 * (c >> 2)) & 1) << c
    if not _SIMPLE[mask]:
        return 0.0
    for n in range(19):
        ends = bits & _MIDDLES[n, 1]
        if ends == 0 if bits & _MIDDLES[n, 0] else ends == _MIDDLES[n, 1]:
            return 0.0  # the corners would not show that voxel
    return float(min(tolerance[one], tolerance[other]))


@kernel
def _meet(planes: Planes, children: Array, n: int, limit: float, out: Planes, c: Any) -> bool:
    """Writes the plane that stands for `n` others; False if it misses one of them by more than `limit`."""
    zero = np.float32(0)
    x, y, z, u, v, w, weight = zero, zero, zero, zero, zero, zero, zero
    for t in range(n):
        child = children[t]
        share = planes.normals[child, 3]
        weight += share
        x += share * planes.points[child, 0]
        y += share * planes.points[child, 1]
        z += share * planes.points[child, 2]
        u += share * planes.normals[child, 0]
        v += share * planes.normals[child, 1]
        w += share * planes.normals[child, 2]
    length = np.sqrt(u * u + v * v + w * w)
    if weight <= 0 or length <= 0:
        return False
    x, y, z, u, v, w = x / weight, y / weight, z / weight, u / length, v / length, w / length
    above, below = zero, np.float32(1e-12)
    for t in range(n):
        cosine, away = _beside(planes, children[t], x, y, z, u, v, w)
        if cosine < _FLAT_COSINE:
            return False
        above -= planes.normals[children[t], 3] * cosine * away
        below += planes.normals[children[t], 3] * cosine * cosine
    # Along the mean normal, to where it misses the planes least, in the least squares.
    step = above / below
    x, y, z = x + step * u, y + step * v, z + step * w
    worst = zero
    for t in range(n):
        away = _beside(planes, children[t], x, y, z, u, v, w)[1]
        worst = max(worst, abs(away) + planes.misses[children[t]])
    out.points[c, 0], out.points[c, 1], out.points[c, 2] = x, y, z
    out.normals[c, 0], out.normals[c, 1], out.normals[c, 2], out.normals[c, 3] = u, v, w, length
    out.misses[c] = worst
    return bool(worst <= limit)


@kernel
def _beside(planes: Planes, child: int, x: Any, y: Any, z: Any, u: float, v: float, w: float) -> Any:
    """Cosine between a plane and the direction u, v, w, and how far x, y, z lies before it."""
    points, normals = planes.points, planes.normals
    p, q, r = normals[child, 0], normals[child, 1], normals[child, 2]
    away = p * (x - points[child, 0]) + q * (y - points[child, 1]) + r * (z - points[child, 2])
    return p * u + q * v + r * w, away
