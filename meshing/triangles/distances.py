"""Exact distances from points to triangles in bins.

A point looks in its own cell, then in shells of cells around it until what it found lies within the shell; far from
everything it goes by blocks of cells. Triangles may carry the two labels that they part (`meshing.walls`): then a point
may ask for the nearest one that bounds a given label, so that a wall of others next to it cannot hide a lost one.

References
----------
C. Ericson, Real-Time Collision Detection, 2005, section 5.1.5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError
from meshing.threads import inlined, kernel, over_rows
from meshing.triangles.bins import (
    BLOCK,
    Bins,
    Box,
    Labels,
    Points,
    Triangles,
    bins_of,
    cell_at,
    contiguous,
    whole_numbers,
)

Best = tuple[float, float, int]
"""Squared distances found for the first and the second label, and the last triangle that was nearer than others."""

_NEAR = 2
"""Cells around its own in which a point looks before it goes by blocks."""


def distances_mm(points: npt.ArrayLike, vertices: npt.ArrayLike, faces: npt.ArrayLike) -> Points:
    """Distance of every point, shape (N, 3), to the nearest point of the triangles; infinite where there are none.

    Raises
    ------
    SurfaceError
        For NaN or infinite points, and as `bins_of`.
    """
    if np.asarray(faces).shape[0] == 0:
        return np.full(len(finite(points)), np.inf)
    return nearest_mm(points, bins_of(vertices, faces))


def nearest_mm(points: npt.ArrayLike, bins: Bins, *, most_mm: float = math.inf) -> Points:
    """Distance of every point (N, 3) to the nearest triangle in the bins; infinite beyond `most_mm`.

    Raises
    ------
    SurfaceError
        For NaN or infinite points.
    """
    asked = whole_numbers(np.empty((0, 2)))
    found = _found(finite(points), asked, bins._replace(sides=asked), most_mm, settling(asked, None))
    return np.ascontiguousarray(found[:, 0])


def wall_distances_mm(
    points: npt.ArrayLike,
    sides: npt.ArrayLike,
    bins: Bins,
    *,
    most_mm: float = math.inf,
    enough_mm: npt.ArrayLike | None = None,
) -> Points:
    """Distances (N, 2) of every point to the nearest triangle that bounds its first, and that bounds its second label.

    Parameters
    ----------
    points, sides
        (N, 3), and the labels (N, 2) that each is between; 0 is outside of everything, and not measured to.
    bins
        Of triangles with labels.
    enough_mm
        (labels,): who looks for the farthest need not know how near the others are. Where a triangle lies as near as
        that to its label's point, the distance to it is given, nearest or not.

    Returns
    -------
    distances
        Infinite where no triangle within `most_mm` bounds the label; NaN for label 0.

    Raises
    ------
    SurfaceError
        For NaN or infinite points, labels that are not one pair a point, or bins without labels.
    """
    at, asked = finite(points), whole_numbers(sides)
    if asked.shape != (len(at), 2) or len(bins.sides) != len(bins.faces):
        raise SurfaceError(
            f"{len(at)} points with labels {asked.shape}, {len(bins.faces)} triangles with {len(bins.sides)}"
        )
    return _found(at, asked, bins, most_mm, settling(asked, enough_mm))


def settling(asked: Labels, enough_mm: npt.ArrayLike | None) -> Points:
    """Squared distances (labels,) at which a point has looked enough; negative, never, where not given."""
    enough = np.empty(0) if enough_mm is None else np.asarray(enough_mm, np.float64)
    squared = np.full(max(int(asked.max(initial=1)) + 1, len(enough)), -1.0)
    squared[: len(enough)] = np.where(enough >= 0.0, enough * enough, -1.0)
    return contiguous(squared)


def _found(points: Points, asked: Labels, bins: Bins, most_mm: float, enough: Points) -> Points:
    found = np.empty((len(points), 2))
    over_rows(_search, len(points), points, asked, bins, float(most_mm) ** 2, enough, found)
    return found


def finite(points: npt.ArrayLike) -> Points:
    at: Points = contiguous(points)
    if at.ndim != 2 or at.shape[1] != 3:
        raise SurfaceError(f"points of shape {at.shape} are not (N, 3)")
    bad = len(at) - int(np.isfinite(at).all(axis=1).sum())
    if bad:
        raise SurfaceError(f"{bad} of {len(at)} points hold NaN or infinity")
    return at


@kernel
def _search(
    first: int, last: int, points: Points, asked: Labels, bins: Bins, most: float, enough: Points, found: Points
) -> None:
    """Distances for rows of points; squared within, and negative once they are enough: nothing is nearer than that.

    Arrays leave the tuple here, once: to take one out costs compiled code two counted references.
    """
    starts, entries, is_filled = bins.starts, bins.entries, bins.is_filled
    vertices, faces, sides = bins.vertices, bins.faces, bins.sides
    low, cell = (bins.low[0], bins.low[1], bins.low[2]), bins.cell_mm
    shape = (bins.shape[0], bins.shape[1], bins.shape[2])
    best = (most, most, -1)
    for row in range(first, last):
        wanted = (1, -1)
        if len(asked) > 0:
            wanted = (int(asked[row, 0]), int(asked[row, 1]))
        point = (points[row, 0], points[row, 1], points[row, 2])
        at = (point[0] - low[0], point[1] - low[1], point[2] - low[2])
        # −1 for a label that is not asked for.
        best = (most if wanted[0] > 0 else -1.0, most if wanted[1] > 0 else -1.0, best[2])
        enough_here = (enough[wanted[0]] if wanted[0] > 0 else -1.0, enough[wanted[1]] if wanted[1] > 0 else -1.0)
        i, j, k = cell_at(at[0], cell, shape[0]), cell_at(at[1], cell, shape[1]), cell_at(at[2], cell, shape[2])
        done = nothing = (i, i - 1, j, j - 1, k, k - 1)
        # Where points come side by side, the next is near to what the last one was near to.
        if best[2] >= 0 and _is_beside(points, row, cell / 4):
            best = _nearer(point, wanted, enough_here, best, best[2], vertices, faces, sides)
        is_near = False
        for reach in range(_NEAR + 1):
            box = (i - reach, i + reach, j - reach, j + reach, k - reach, k + reach)
            best = _scan(
                point, at, wanted, enough_here, best, box, done, cell, shape, starts, entries, vertices, faces, sides
            )
            done = box
            is_near = max(best[0], best[1]) <= _clear(at, box, cell, shape)
            if is_near:
                break
        i, j, k, done = i // BLOCK, j // BLOCK, k // BLOCK, nothing
        reach = 0
        while not is_near:
            box = (i - reach, i + reach, j - reach, j + reach, k - reach, k + reach)
            best = _scan_blocks(
                point,
                at,
                wanted,
                enough_here,
                best,
                box,
                done,
                is_filled,
                cell,
                shape,
                starts,
                entries,
                vertices,
                faces,
                sides,
            )
            done = box
            reach += 1
            is_near = max(best[0], best[1]) <= _clear(at, box, BLOCK * cell, is_filled.shape)
        found[row, 0] = root(best[0], most) if wanted[0] > 0 else np.nan
        found[row, 1] = root(best[1], most) if wanted[1] > 0 else np.nan


@kernel
def _is_beside(points: Points, row: int, near: float) -> bool:
    """Whether a point lies near the one before."""
    x, y, z = (
        points[row, 0] - points[row - 1, 0],
        points[row, 1] - points[row - 1, 1],
        points[row, 2] - points[row - 1, 2],
    )
    return bool(x * x + y * y + z * z < near * near)


@kernel
def root(squared: float, most: float) -> float:
    """The distance of one that may be settled; infinite where nothing nearer than `most` was found."""
    return math.sqrt(abs(squared)) if squared < most else math.inf


@kernel
def _clear(at: tuple[float, float, float], box: Box, edge: float, shape: tuple[int, int, int]) -> float:
    """Squared distance within which all triangles lie in a box of cells; infinite where that holds them all."""
    clear = np.inf
    for axis in range(3):
        if box[2 * axis] > 0:
            clear = min(clear, at[axis] - box[2 * axis] * edge)
        if box[2 * axis + 1] < shape[axis] - 1:
            clear = min(clear, (box[2 * axis + 1] + 1) * edge - at[axis])
    return max(clear, 0.0) ** 2


@kernel
def _gap(at: float, index: int, edge: float) -> float:
    """Squared distance along one axis to the cell of that index; `at` counts from the grid's low end."""
    low = index * edge
    gap = max(low - at, at - low - edge, 0.0)
    return gap * gap


@kernel
def _scan_blocks(
    point: tuple[float, float, float],
    at: tuple[float, float, float],
    wanted: tuple[int, int],
    enough: tuple[float, float],
    best: Best,
    box: Box,
    done: Box,
    is_filled: npt.NDArray[np.uint8],
    cell: float,
    shape: tuple[int, int, int],
    starts: Labels,
    entries: Labels,
    vertices: Points,
    faces: Triangles,
    sides: Labels,
) -> Best:
    """Smaller distances in a box of blocks, save those in the box `done`."""
    edge = BLOCK * cell
    for i in range(max(box[0], 0), min(box[1] + 1, is_filled.shape[0])):
        gap_x = _gap(at[0], i, edge)
        for j in range(max(box[2], 0), min(box[3] + 1, is_filled.shape[1])):
            gap_xy = gap_x + _gap(at[1], j, edge)
            if gap_xy >= max(best[0], best[1]):
                continue
            is_done = done[0] <= i <= done[1] and done[2] <= j <= done[3]
            for k in range(max(box[4], 0), min(box[5] + 1, is_filled.shape[2])):
                if (is_done and done[4] <= k <= done[5]) or is_filled[i, j, k] == 0:
                    continue
                if gap_xy + _gap(at[2], k, edge) >= max(best[0], best[1]):
                    continue
                a, b, c = BLOCK * i, BLOCK * j, BLOCK * k
                cells = (a, a + BLOCK - 1, b, b + BLOCK - 1, c, c + BLOCK - 1)
                none = (a, a - 1, b, b - 1, c, c - 1)
                best = _scan(
                    point, at, wanted, enough, best, cells, none, cell, shape, starts, entries, vertices, faces, sides
                )
    return best


@kernel
def _scan(
    point: tuple[float, float, float],
    at: tuple[float, float, float],
    wanted: tuple[int, int],
    enough: tuple[float, float],
    best: Best,
    box: Box,
    done: Box,
    edge: float,
    shape: tuple[int, int, int],
    starts: Labels,
    entries: Labels,
    vertices: Points,
    faces: Triangles,
    sides: Labels,
) -> Best:
    """Smaller distances in a box of cells, save those in the box `done`."""
    nx, ny, nz = shape
    for i in range(max(box[0], 0), min(box[1] + 1, nx)):
        gap_x = _gap(at[0], i, edge)
        if gap_x >= max(best[0], best[1]):
            continue
        for j in range(max(box[2], 0), min(box[3] + 1, ny)):
            gap_xy = gap_x + _gap(at[1], j, edge)
            if gap_xy >= max(best[0], best[1]):
                continue
            is_done = done[0] <= i <= done[1] and done[2] <= j <= done[3]
            row = (i * ny + j) * nz
            for k in range(max(box[4], 0), min(box[5] + 1, nz)):
                if is_done and done[4] <= k <= done[5]:
                    continue
                begin, end = starts[row + k], starts[row + k + 1]
                if begin == end or gap_xy + _gap(at[2], k, edge) >= max(best[0], best[1]):
                    continue
                for entry in range(begin, end):
                    best = _nearer(point, wanted, enough, best, entries[entry], vertices, faces, sides)
    return best


@inlined
def _nearer(
    point: tuple[float, float, float],
    wanted: tuple[int, int],
    enough: tuple[float, float],
    best: Best,
    face: int,
    vertices: Points,
    faces: Triangles,
    sides: Labels,
) -> Best:
    """The smaller distances, with those to one triangle, if it bounds what is wanted."""
    near, far, nearest = best
    bounds_first, bounds_second = True, False
    if len(sides) > 0:
        behind, before = sides[face, 0], sides[face, 1]
        bounds_first = behind == wanted[0] or before == wanted[0]
        bounds_second = behind == wanted[1] or before == wanted[1]
    limit = max(near if bounds_first else -1.0, far if bounds_second else -1.0)
    if limit >= 0.0:
        # The corners as seen from the point.
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[a, 0] - point[0], vertices[a, 1] - point[1], vertices[a, 2] - point[2]
        bx, by, bz = vertices[b, 0] - point[0], vertices[b, 1] - point[1], vertices[b, 2] - point[2]
        cx, cy, cz = vertices[c, 0] - point[0], vertices[c, 1] - point[1], vertices[c, 2] - point[2]
        gap = apart(min(ax, bx, cx), max(ax, bx, cx)) + apart(min(ay, by, cy), max(ay, by, cy))
        if gap + apart(min(az, bz, cz), max(az, bz, cz)) < limit:
            squared = triangle_squared(ax, ay, az, bx, by, bz, cx, cy, cz, limit)
            if squared < limit:
                nearest = face
            if bounds_first and squared < near:
                near = squared if squared > enough[0] else -squared
            if bounds_second and squared < far:
                far = squared if squared > enough[1] else -squared
    return near, far, nearest


@kernel
def apart(low: float, high: float) -> float:
    """Squared distance from 0 to a range."""
    gap = max(low, -high, 0.0)
    return gap * gap


@kernel
def triangle_squared(
    ax: float, ay: float, az: float, bx: float, by: float, bz: float, cx: float, cy: float, cz: float, limit: float
) -> float:
    """Squared distance from the origin to a triangle, or infinity where its plane is not nearer than `limit`."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    wx, wy, wz = cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    area = nx * nx + ny * ny + nz * nz
    best: float = np.inf
    # Slivers whose sine is under 1e-9 are measured as their edges: their normal is rounding.
    if area > 1e-18 * (ux * ux + uy * uy + uz * uz) * (wx * wx + wy * wy + wz * wz):
        height = ax * nx + ay * ny + az * nz
        if height * height >= limit * area:
            return best
        over_ab = nx * (ay * bz - az * by) + ny * (az * bx - ax * bz) + nz * (ax * by - ay * bx)
        over_bc = nx * (by * cz - bz * cy) + ny * (bz * cx - bx * cz) + nz * (bx * cy - by * cx)
        over_ca = nx * (cy * az - cz * ay) + ny * (cz * ax - cx * az) + nz * (cx * ay - cy * ax)
        if over_ab >= 0.0 and over_bc >= 0.0 and over_ca >= 0.0:
            best = height * height / area
        # Else the nearest point lies on an edge that the point is outside of.
        if over_ab < 0.0:
            best = min(best, _to_edge(ax, ay, az, bx, by, bz))
        if over_bc < 0.0:
            best = min(best, _to_edge(bx, by, bz, cx, cy, cz))
        if over_ca < 0.0:
            best = min(best, _to_edge(cx, cy, cz, ax, ay, az))
    else:
        best = min(_to_edge(ax, ay, az, bx, by, bz), _to_edge(bx, by, bz, cx, cy, cz))
        best = min(best, _to_edge(cx, cy, cz, ax, ay, az))
    return best


@kernel
def _to_edge(ax: float, ay: float, az: float, bx: float, by: float, bz: float) -> float:
    """Squared distance from the origin to a segment."""
    x, y, z = bx - ax, by - ay, bz - az
    length = x * x + y * y + z * z
    along = -(ax * x + ay * y + az * z)
    share = 0.0 if along <= 0.0 or length == 0.0 else (1.0 if along >= length else along / length)
    x, y, z = ax + share * x, ay + share * y, az + share * z
    return x * x + y * y + z * z
