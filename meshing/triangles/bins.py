"""Triangles in the cells of a regular grid, so that what is near a place is found at once.

A triangle stands in every cell that its bounding box meets. Memory grows with the number of triangles, not with the
room that they lie in: huge and skinny ones make cells larger.

References
----------
C. Ericson, Real-Time Collision Detection, 2005, section 7.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError
from meshing.threads import kernel

Points = npt.NDArray[np.float64]
Triangles = npt.NDArray[np.int32]
Labels = npt.NDArray[np.int32]
Box = tuple[int, int, int, int, int, int]

BLOCK = 8
"""Cells along the edge of a block, of which it is known whether it holds anything."""

_MOST_CELLS = 16_000_000
_CELLS_PER_TRIANGLE = 8
_ENTRIES_PER_TRIANGLE = 8
"""Beyond that, skinny or huge triangles fill cells that they only pass near: larger cells serve as well."""


class Bins(NamedTuple):
    """Triangles in the cells of a regular grid; as a plain tuple it can be given to compiled code.

    Parameters
    ----------
    low, cell_mm, shape
        Lowest corner (3,), edge of a cell, cells along each axis (3,).
    starts, entries
        Triangles of cell c, numbered as in C order: `entries[starts[c] : starts[c + 1]]`.
    is_filled
        (ceil(shape / 8)) uint8: whether a block of cells holds a triangle.
    vertices, faces, sides
        (V, 3), (F, 3), and (F, 2) or (0, 2) where triangles have no labels; read-only.
    """

    low: Points
    cell_mm: float
    shape: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int32]
    entries: npt.NDArray[np.int32]
    is_filled: npt.NDArray[np.uint8]
    vertices: Points
    faces: Triangles
    sides: Labels


def bins_of(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, *, sides: npt.ArrayLike | None = None, cell_mm: float | None = None
) -> Bins:
    """Triangles in bins of about their typical edge, in memory in proportion to their number.

    Parameters
    ----------
    vertices, faces
        (V, 3) and (F, 3) with F > 0; float64 and int32 are not copied.
    sides
        (F, 2): the labels before and behind each triangle.
    cell_mm
        Edge of a cell, at least.

    Raises
    ------
    SurfaceError
        Without triangles; for other shapes; for NaN or infinite vertices; for faces that name vertices which are not
        there.
    """
    points, triangles = contiguous(vertices), whole_numbers(faces)
    labels = whole_numbers(np.empty((0, 2)) if sides is None else sides)
    if points.ndim != 2 or points.shape[1:] != (3,) or triangles.shape[1:] != (3,) or labels.shape[1:] != (2,):
        shapes = f"{points.shape}, {triangles.shape} and {labels.shape}"
        raise SurfaceError(f"shapes {shapes} are not (V, 3), (F, 3) and (F, 2)")
    if len(triangles) == 0:
        raise SurfaceError("no triangles to measure to")
    if triangles.min() < 0 or triangles.max() >= len(points):
        raise SurfaceError(f"faces name vertices {triangles.min()} to {triangles.max()} of {len(points)}")
    low = np.array([points[:, axis].min() for axis in range(3)])  # along columns: ten times faster than axis=0
    extent = np.array([points[:, axis].max() for axis in range(3)]) - low
    if not np.isfinite(extent).all():
        raise SurfaceError("vertices hold NaN or infinity")
    cell = _cell_mm(points, triangles, extent, cell_mm or 0.0)
    most = _ENTRIES_PER_TRIANGLE * len(triangles) + 100_000
    while True:
        shape = np.floor(extent / cell).astype(np.int64) + 1
        blocks = -(-shape // BLOCK)
        starts = np.zeros(int(shape.prod()) + 1, np.int32)
        bins = Bins(
            low,
            cell,
            shape,
            starts,
            np.empty(0, np.int32),
            np.zeros(tuple(int(n) for n in blocks), np.uint8),
            points,
            triangles,
            labels,
        )
        count = int(_count(bins, most))
        if count <= most or len(starts) == 2:
            break
        cell *= 1.5
    bins = bins._replace(entries=np.empty(count, np.int32))
    _fill(bins)
    return bins


def contiguous(array: npt.ArrayLike) -> Points:
    """A read-only view, or a copy where it must be: compiled code then meets one kind of array only."""
    view: Points = np.ascontiguousarray(array, dtype=np.float64).view()
    view.setflags(write=False)
    return view


def whole_numbers(array: npt.ArrayLike) -> Triangles:
    """As `contiguous`, of whole numbers."""
    view: Triangles = np.ascontiguousarray(array, dtype=np.int32).view()
    view.setflags(write=False)
    return view


def _cell_mm(points: Points, triangles: Triangles, extent: Points, least: float) -> float:
    """The mean edge, or as much as keeps the number of cells in proportion."""
    some = points[triangles[:: max(len(triangles) // 5_000, 1)]]
    edge = float(np.linalg.norm(some[:, 1:] - some[:, :-1], axis=2).mean())
    widest = float(extent.max())
    cell = max(edge, least, 1e-6 * widest)
    if cell == 0.0:
        return 1.0
    most = min(max(_CELLS_PER_TRIANGLE * len(triangles), 4096), _MOST_CELLS)
    while np.prod(np.floor(extent / cell) + 1) > most:
        cell *= 1.1
    return cell


@kernel
def cell_at(at: float, cell: float, count: int) -> int:
    """Index of the cell at that place along one axis, or of the nearest one; every room bins by this."""
    index: int = int(min(max(at / cell, 0.0), count - 1.0))
    return index


@kernel
def _cells_of(
    face: int, v: Points, faces: Triangles, low: tuple[float, float, float], cell: float, shape: tuple[int, int, int]
) -> Box:
    """First and last cell along each axis that the bounding box of a triangle meets."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    return (
        cell_at(min(v[a, 0], v[b, 0], v[c, 0]) - low[0], cell, shape[0]),
        cell_at(max(v[a, 0], v[b, 0], v[c, 0]) - low[0], cell, shape[0]),
        cell_at(min(v[a, 1], v[b, 1], v[c, 1]) - low[1], cell, shape[1]),
        cell_at(max(v[a, 1], v[b, 1], v[c, 1]) - low[1], cell, shape[1]),
        cell_at(min(v[a, 2], v[b, 2], v[c, 2]) - low[2], cell, shape[2]),
        cell_at(max(v[a, 2], v[b, 2], v[c, 2]) - low[2], cell, shape[2]),
    )


@kernel
def _count(bins: Bins, most: int) -> int:
    """Entries in all cells; `starts` then holds where each cell ends. Gives up beyond `most`, save with one cell."""
    starts, vertices, faces, is_filled = bins.starts, bins.vertices, bins.faces, bins.is_filled
    low, shape = (bins.low[0], bins.low[1], bins.low[2]), (bins.shape[0], bins.shape[1], bins.shape[2])
    ny, nz, cell = shape[1], shape[2], bins.cell_mm
    total: int = 0
    for face in range(len(faces)):
        i0, i1, j0, j1, k0, k1 = _cells_of(face, vertices, faces, low, cell, shape)
        total += (i1 - i0 + 1) * (j1 - j0 + 1) * (k1 - k0 + 1)
        if total > most and len(starts) > 2:
            return total
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                row = (i * ny + j) * nz
                for k in range(k0, k1 + 1):
                    starts[row + k] += 1
    end = 0
    for row in range(shape[0] * ny):
        for k in range(nz):
            if starts[row * nz + k] > 0:
                is_filled[row // ny // BLOCK, row % ny // BLOCK, k // BLOCK] = 1
                end += starts[row * nz + k]
            starts[row * nz + k] = end
    starts[len(starts) - 1] = end
    return total


@kernel
def _fill(bins: Bins) -> None:
    """Entries from the back, so that `starts` ends where each cell starts."""
    starts, entries, vertices, faces = bins.starts, bins.entries, bins.vertices, bins.faces
    low, shape = (bins.low[0], bins.low[1], bins.low[2]), (bins.shape[0], bins.shape[1], bins.shape[2])
    ny, nz, cell = shape[1], shape[2], bins.cell_mm
    for face in range(len(faces) - 1, -1, -1):
        i0, i1, j0, j1, k0, k1 = _cells_of(face, vertices, faces, low, cell, shape)
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                row = (i * ny + j) * nz
                for k in range(k0, k1 + 1):
                    starts[row + k] -= 1
                    entries[starts[row + k]] = face
