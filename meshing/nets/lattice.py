"""The net of a label map: one vertex in every cell of 2×2×2 voxels that holds more than one label.

Voxels come cropped, with one voxel of nothing all round, x fastest. Vertices stand in the order of their cells, row by
row, so that neighbours along x are neighbours in memory. Gibson 1998, "Constrained elastic surface nets".

Kernels index with unsigned numbers (`np.uintp`, uint32): a signed index costs a comparison, since −1 means the last.
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
        (V,) uint32: cell index along x.
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
    xs: npt.NDArray[np.uint32]
    beside: npt.NDArray[np.uint32]
    links: npt.NDArray[np.uint8]
    stencil: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return (self.shape[1] - 1) * (self.shape[2] - 1)

    def cells(self, vertices: npt.NDArray[Any] | None = None) -> npt.NDArray[np.int32]:
        """(V, 3), or (N, 3) of some vertices: cell of each; its middle lies half a voxel further along every axis."""
        every = np.arange(len(self.xs)) if vertices is None else vertices
        row = (np.searchsorted(self.start, every, side="right") - 1).astype(np.int32)
        return np.column_stack([self.xs[every].astype(np.int32), row % (self.shape[1] - 1), row // (self.shape[1] - 1)])


def net_of(voxels: Flat, shape: tuple[int, int, int]) -> Net:
    """The net of a cropped label map, (X, Y, Z) voxels with nothing (0) on every border."""
    width, depth, height = shape
    rows = (depth - 1) * (height - 1)
    counts = np.zeros(rows, np.int32)
    over_rows(_count, rows, voxels, width, depth, counts)
    start = np.zeros(rows + 1, np.int32)
    np.cumsum(counts, out=start[1:])
    many = int(start[-1])
    xs = np.empty(many, np.uint32)
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
    width, depth, height = voxels.shape
    flat = voxels.reshape(-1, order="F").view()
    flat.setflags(write=False)
    ends = np.empty((depth * height, 2), np.int32)
    over_rows(_find_ends, depth * height, flat, width, ends)
    rows = np.flatnonzero(ends[:, 0] < width)
    if len(rows) == 0:
        return np.zeros(3, np.int64), np.full(3, -1, np.int64)
    found = ends[rows]
    low = [found[:, 0].min(), (rows % depth).min(), rows[0] // depth]
    high = [found[:, 1].max(), (rows % depth).max(), rows[-1] // depth]
    return np.array(low, np.int64), np.array(high, np.int64)


def _links_by_mask() -> npt.NDArray[np.uint8]:
    """(256,): which faces of a cell of two labels hold both, for each mask."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    links = np.zeros(256, np.uint8)
    for face in range(6):
        on = [corner for corner in range(8) if corner >> (face >> 1) & 1 == face & 1]
        many = bits[:, on].sum(axis=1)
        links |= (((many > 0) & (many < 4)) << face).astype(np.uint8)
    return links


_LINKS = _links_by_mask()


@kernel
def _find_ends(first: int, last: int, voxels: Array, width: int, ends: Array) -> None:
    """First and last voxel of each row that is not 0; beyond the row where all are."""
    for row in range(first, last):
        line = voxels[row * width : (row + 1) * width]
        low, high = 0, width - 1
        while low < width and line[low] == 0:
            low += 1
        while high > low and line[high] == 0:
            high -= 1
        ends[row, 0], ends[row, 1] = low, high


@kernel
def rows_of_cells(voxels: Array, row: int, width: int, depth: int) -> tuple[Array, Array, Array, Array]:
    """The four rows of voxels round a row of cells: at −y −z, +y −z, −y +z, +y +z."""
    k = row // (depth - 1)
    at = (k * depth + row - k * (depth - 1)) * width
    above = at + width * depth
    return (
        voxels[at : at + width],
        voxels[at + width : at + 2 * width],
        voxels[above : above + width],
        voxels[above + width : above + 2 * width],
    )


@kernel
def _find_mixed(a: Array, b: Array, c: Array, d: Array, across: Array, mixed: Array) -> None:
    """Which cells of a row hold several labels. Without branches, so that the compiler does many voxels at once."""
    for i in range(len(a)):
        across[i] = (a[i] ^ b[i]) | (a[i] ^ c[i]) | (a[i] ^ d[i])
    for i in range(len(a) - 1):
        mixed[i] = (across[i] | across[i + 1] | (a[i] ^ a[i + 1])) != 0


@kernel
def _count(first: int, last: int, voxels: Array, width: int, depth: int, counts: Array) -> None:
    """Mixed cells in each row."""
    across = np.empty(width, voxels.dtype)
    mixed = np.empty(width, np.bool_)
    for row in range(first, last):
        a, b, c, d = rows_of_cells(voxels, row, width, depth)
        _find_mixed(a, b, c, d, across, mixed)
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
    mixed = np.zeros((width + 7) // 8 * 8, np.bool_)
    eights = mixed.view(np.uint64)
    one, eight = np.uintp(1), np.uintp(8)
    for row in range(first, last):
        v = np.uintp(start[row])
        if start[row + 1] == v:
            continue
        a, b, c, d = rows_of_cells(voxels, row, width, depth)
        _find_mixed(a, b, c, d, across, mixed)
        i = np.uintp(0)
        while v < start[row + 1]:
            if eights[i // eight] == 0:
                i = (i // eight + one) * eight
                continue
            if not mixed[i]:
                i += one
                continue
            p, q, r, s = a[i], a[i + one], b[i], b[i + one]
            t, u, w, x = c[i], c[i + one], d[i], d[i + one]
            low = min(min(min(p, q), min(r, s)), min(min(t, u), min(w, x)))
            high = max(max(max(p, q), max(r, s)), max(max(t, u), max(w, x)))
            is_high = (p == high) | (q == high) << 1 | (r == high) << 2 | (s == high) << 3
            is_high |= (t == high) << 4 | (u == high) << 5 | (w == high) << 6 | (x == high) << 7
            is_low = (p == low) | (q == low) << 1 | (r == low) << 2 | (s == low) << 3
            is_low |= (t == low) << 4 | (u == low) << 5 | (w == low) << 6 | (x == low) << 7
            xs[v] = i
            if is_low | is_high == 255:
                mask[v] = is_high
                links[v] = stencil[v] = _LINKS[is_high]
            else:
                mask[v] = CURVE
                corner[:] = p, q, r, s, t, u, w, x
                links[v], stencil[v] = _ways(corner)
            v += one
            i += one


@kernel
def _ways(corner: Array) -> tuple[int, int]:
    """Bits of the faces that are not of one label, and of those along which a vertex of a curve is smoothed."""
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
        other = b if b != a else (c if c != a else d)
        if (c != a and c != other) or (d != a and d != other):
            curve |= 1 << face
            ends += 1
    return links, (curve if ends >= 2 else links)


@kernel
def _join(first: int, last: int, depth: int, start: Array, xs: Array, links: Array, beside: Array) -> None:
    """Neighbours along +y and +z, found by walking two rows at once; and the same seen from there."""
    one = np.uintp(1)
    for row in range(first, last):
        along_y = end_y = along_z = end_z = np.uintp(start[row])
        if row + 1 < len(start) - 1:
            along_y, end_y = np.uintp(start[row + 1]), np.uintp(start[row + 2])
        if row + depth < len(start):
            along_z, end_z = np.uintp(start[row + depth - 1]), np.uintp(start[row + depth])
        for v in range(np.uintp(start[row]), np.uintp(start[row + 1])):
            i = xs[v]
            if links[v] & 8:
                while along_y < end_y and xs[along_y] < i:
                    along_y += one
                beside[v, 1] = along_y
                beside[along_y, 0] = v
            if links[v] & 32:
                while along_z < end_z and xs[along_z] < i:
                    along_z += one
                beside[v, 3] = along_z
                beside[along_z, 2] = v


@kernel
def neighbour(beside: Array, v: Any, way: int) -> Any:
    """The vertex that one of the six links leads to; `v` is unsigned."""
    if way < 2:
        return v + np.uintp(1) if way else v - np.uintp(1)
    return np.uintp(beside[v, np.uintp(way - 2)])
