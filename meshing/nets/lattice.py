"""The net of a label map: one vertex in every cell of 2×2×2 voxels that holds more than one label.

Voxels come cropped, with one voxel of nothing all round, x fastest. Vertices stand in the order of their cells, row by
row, so that neighbours along x are neighbours in memory. Gibson 1998, "Constrained elastic surface nets".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

Flat = npt.NDArray[Any]
"""uint8 or uint16, (X · Y · Z,), x fastest."""

CURVE = 0
"""Mask of a vertex where three or more labels meet."""


@dataclass(frozen=True, eq=False)
class Net:
    """Vertices of a net and their neighbours.

    Parameters
    ----------
    voxels
        Labels, flat, x fastest.
    shape
        (X, Y, Z) of the voxels; there are (Y − 1)(Z − 1) rows of cells.
    start
        (rows + 1,) int32: the vertices of row r are `start[r]:start[r + 1]`.
    xs
        (V,) int32: cell index along x.
    beside
        (V, 4) uint32: the vertices at −y, +y, −z, +z; v itself where the wall does not go there. Along x it is v ∓ 1.
    links, stencil
        (V,) uint8: bits −x, +x, −y, +y, −z, +z. `links` says where the wall goes on; `stencil` is what a vertex is
        smoothed with: along the curve where three labels meet.
    mask
        (V,) uint8: which corners hold the higher of two labels (bit x + 2y + 4z), or `CURVE`.
    """

    voxels: Flat
    shape: tuple[int, int, int]
    start: npt.NDArray[np.int32]
    xs: npt.NDArray[np.int32]
    beside: npt.NDArray[np.uint32]
    links: npt.NDArray[np.uint8]
    stencil: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return (self.shape[1] - 1) * (self.shape[2] - 1)

    def cells(self) -> npt.NDArray[np.int32]:
        """(V, 3): index of each vertex's cell; its middle lies half a voxel further along every axis."""
        row = np.repeat(np.arange(self.rows, dtype=np.int32), np.diff(self.start))
        return np.column_stack([self.xs, row % (self.shape[1] - 1), row // (self.shape[1] - 1)])


def net_of(voxels: Flat, shape: tuple[int, int, int]) -> Net:
    """The net of a cropped label map, (X, Y, Z) voxels with nothing (0) on every border."""
    width, depth, height = shape
    rows = (depth - 1) * (height - 1)
    counts = np.zeros(rows, np.int32)
    over_rows(_count, rows, voxels, width, depth, counts)
    start = np.zeros(rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    many = int(start[-1])
    xs = np.empty(many, np.int32)
    mask, links, stencil = (np.empty(many, np.uint8) for _ in range(3))
    over_rows(_fill, rows, voxels, width, depth, start, xs, mask, links, stencil)
    beside = np.empty((many, 4), np.uint32)  # unsigned, so that kernels need not ask whether −1 means the last
    beside[:] = np.arange(many, dtype=np.uint32)[:, None]
    over_rows(_join, rows, depth, start, xs, links, beside)
    return Net(voxels, shape, start, xs, beside, links, stencil, mask)


def cropped(layer: npt.NDArray[Any]) -> tuple[Flat, tuple[int, int, int], tuple[int, int, int]] | None:
    """The labels within the box of what is there, flat and padded by one; its shape, and the index of its first voxel.

    None when the layer is empty.
    """
    voxels = np.asfortranarray(layer)
    low, high = _extent(voxels)
    if high[0] < low[0]:
        return None
    shape = tuple(int(b - a) + 3 for a, b in zip(low, high, strict=True))
    padded = np.zeros(shape, layer.dtype, order="F")
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    padded[1:-1, 1:-1, 1:-1] = voxels[box]
    first = tuple(int(a) - 1 for a in low)
    return padded.reshape(-1, order="F"), (shape[0], shape[1], shape[2]), (first[0], first[1], first[2])


def _extent(voxels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lowest and highest index along each axis where a voxel is not 0; high < low when none is."""
    _, depth, height = voxels.shape
    lines = voxels.transpose(2, 1, 0).reshape(height * depth, -1)
    filled = lines.view(np.uint8).any(axis=1).reshape(height, depth)
    if not filled.any():
        return np.zeros(3, np.int64), np.full(3, -1, np.int64)
    slices, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    across = np.flatnonzero(np.bitwise_or.reduce(lines[filled.ravel()], axis=0))
    ends = [(axis[0], axis[-1]) for axis in (across, columns, slices)]
    return np.array([end[0] for end in ends]), np.array([end[1] for end in ends])


@kernel
def _find_mixed(voxels: Array, at: int, above: int, width: int, across: Array, mixed: Array) -> None:
    """Which cells of a row hold several labels. Without branches, so that the compiler does many voxels at once."""
    a = voxels[at : at + width]
    b = voxels[at + width : at + 2 * width]
    c = voxels[above : above + width]
    d = voxels[above + width : above + 2 * width]
    for i in range(width):
        across[i] = (a[i] ^ b[i]) | (a[i] ^ c[i]) | (a[i] ^ d[i])
    for i in range(width - 1):
        mixed[i] = (across[i] | across[i + 1] | (a[i] ^ a[i + 1])) != 0


@kernel
def _count(first: int, last: int, voxels: Array, width: int, depth: int, counts: Array) -> None:
    """Mixed cells in each row."""
    across = np.empty(width, voxels.dtype)
    mixed = np.empty(width, np.bool_)
    for row in range(first, last):
        k = row // (depth - 1)
        at = (k * depth + row - k * (depth - 1)) * width
        _find_mixed(voxels, at, at + width * depth, width, across, mixed)
        many = np.int32(0)
        for i in range(width - 1):
            many += np.int32(mixed[i])
        counts[row] = many


@kernel
def _fill(
    first: int,
    last: int,
    voxels: Array,
    width: int,
    depth: int,
    start: Array,
    xs: Array,
    mask: Array,
    links: Array,
    stencil: Array,
) -> None:
    corner = np.empty(8, np.int64)
    across = np.empty(width, voxels.dtype)
    mixed = np.empty(width, np.bool_)
    for row in range(first, last):
        v = start[row]
        if start[row + 1] == v:
            continue
        k = row // (depth - 1)
        at = (k * depth + row - k * (depth - 1)) * width
        above = at + width * depth
        _find_mixed(voxels, at, above, width, across, mixed)
        for i in range(width - 1):
            if not mixed[i]:
                continue
            corner[0] = voxels[at + i]
            corner[1] = voxels[at + i + 1]
            corner[2] = voxels[at + width + i]
            corner[3] = voxels[at + width + i + 1]
            corner[4] = voxels[above + i]
            corner[5] = voxels[above + i + 1]
            corner[6] = voxels[above + width + i]
            corner[7] = voxels[above + width + i + 1]
            low = high = corner[0]
            for c in range(1, 8):
                low = min(low, corner[c])
                high = max(high, corner[c])
            bits = 0
            three = False
            for c in range(8):
                if corner[c] == high:
                    bits |= 1 << c
                elif corner[c] != low:
                    three = True
            xs[v] = i
            mask[v] = 0 if three else bits
            links[v], stencil[v] = _ways(corner, three)
            v += 1


@kernel
def _ways(corner: Array, three: bool) -> tuple[int, int]:
    """Bits of the faces that are not of one label, and of those that a vertex is smoothed along."""
    links = 0
    curve = 0
    ends = 0
    for face in range(6):
        axis = face >> 1
        near = (face & 1) << axis
        p = 1 << ((axis + 1) % 3)
        q = 1 << ((axis + 2) % 3)
        a, b, c, d = corner[near], corner[near + p], corner[near + q], corner[near + p + q]
        if a == b and a == c and a == d:
            continue
        links |= 1 << face
        if three:
            other = b if b != a else (c if c != a else d)
            if (c != a and c != other) or (d != a and d != other):
                curve |= 1 << face
                ends += 1
    return links, (curve if ends >= 2 else links)


@kernel
def _join(first: int, last: int, depth: int, start: Array, xs: Array, links: Array, beside: Array) -> None:
    """Neighbours along +y and +z, found by walking two rows at once; and the same seen from there."""
    for row in range(first, last):
        along_y, end_y = start[row], start[row]
        along_z, end_z = start[row], start[row]
        if row + 1 < len(start) - 1:
            along_y, end_y = start[row + 1], start[row + 2]
        if row + depth < len(start):
            along_z, end_z = start[row + depth - 1], start[row + depth]
        for v in range(start[row], start[row + 1]):
            i = xs[v]
            if links[v] & 8:
                while along_y < end_y and xs[along_y] < i:
                    along_y += 1
                beside[v, 1] = along_y
                beside[along_y, 0] = v
            if links[v] & 32:
                while along_z < end_z and xs[along_z] < i:
                    along_z += 1
                beside[v, 3] = along_z
                beside[along_z, 2] = v


def tally(voxels: Flat, labels: int) -> npt.NDArray[np.int64]:
    """Voxels of each label below `labels`; numpy's own count would first copy a byte map to eight times its size."""
    counts: npt.NDArray[np.int64] = np.sum(over_rows(_tally, len(voxels), voxels, labels), axis=0)
    return counts


@kernel
def _tally(first: int, last: int, voxels: Array, labels: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(labels, np.int64)
    at = first
    while at < last:
        # Runs are long: compare ahead, add once.
        label = voxels[at]
        end = at + 1
        while end < last and voxels[end] == label:
            end += 1
        counts[label] += end - at
        at = end
    return counts
