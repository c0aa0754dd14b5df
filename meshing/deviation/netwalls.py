"""The walls of a net, which is its own index: distances to them are found through its lattice, without triangles.

A vertex lies near the middle of its cell, so whatever lies near a place hangs on vertices in cells near it; a row of
cells is looked up in `start`, a cell in the row by searching `xs`. Triangles are those that the net is cut into, though
none is ever stored. All is in mm along the lattice's axes, and stands in the order of `meshing.nets`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.deviation.sampling import Seen, nobody_saw, pair_of
from meshing.threads import inlined, kernel, over_rows
from meshing.triangles.bins import Box, bins_of, whole_numbers
from meshing.triangles.cutting import cut
from meshing.triangles.distances import apart, finite, root, settling, triangle_squared, wall_distances_mm
from meshing.walls import Walls

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

_FAR_ROWS = 8.0
"""Rows of cells up to which a point looks round itself: beyond that a search through bins is faster."""


class Lattice(NamedTuple):
    """A net and where its quads are; as a plain tuple it can be given to compiled code.

    Parameters
    ----------
    start, xs
        As in the net: the vertices of row r are `start[r]:start[r + 1]`; a vertex's cell along x.
    depth
        Rows of cells along y.
    spacing
        (3,) mm: of cells.
    slack
        (3,): how far a vertex lies from the middle of its cell at most, in cells.
    points, quads, sides
        (V, 3) mm, (Q, 4), (Q, 2): a quad's first corner, its owner, has the lowest cell; quads stand in its order.
    first
        (V + 1,) int32: the quads of vertex v are `first[v]:first[v + 1]`.
    """

    start: Array
    xs: Array
    depth: int
    spacing: Points
    slack: Points
    points: Array
    quads: Array
    sides: Array
    first: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class NetWalls:
    """The walls of a net, and where they lie.

    Parameters
    ----------
    to_patient
        (4, 4): mm along the lattice's axes to LPS; lengths stay.
    """

    lattice: Lattice
    to_patient: Points

    def here(self, walls: Walls) -> Walls:
        """Walls in LPS mm, as they lie in the lattice."""
        back = np.linalg.inv(self.to_patient)
        return replace(walls, vertices=walls.vertices @ back[:3, :3].T + back[:3, 3])


def net_walls(
    start: Array,
    xs: Array,
    depth: int,
    *,
    spacing_mm: npt.ArrayLike,
    points: Array,
    quads: Array,
    sides: Array,
    to_patient: npt.ArrayLike,
) -> NetWalls:
    """The walls of a net with `depth` rows of cells along y; points are mm along the lattice's axes."""
    spacing = np.ascontiguousarray(spacing_mm, np.float64)
    first = np.empty(len(xs) + 1, np.int32)
    first[-1] = len(quads)
    over_rows(_find_first, len(xs), quads, first)
    most = over_rows(_furthest, len(start) - 1, start, xs, depth, spacing, points)
    slack = np.max(np.array(most).reshape(-1, 3), axis=0, initial=0.0) + 1e-6
    lattice = Lattice(start, xs, depth, spacing, slack, points, quads, sides, first)
    return NetWalls(lattice, np.asarray(to_patient, np.float64))


def keeps_lengths(matrix: npt.ArrayLike) -> bool:
    """Whether lengths stay the same to 0.01 %: distances can then be measured before it is applied."""
    turn = np.asarray(matrix, np.float64)[:3, :3]
    return bool(np.abs(turn.T @ turn - np.eye(3)).max() < 1e-4)


def net_distances_mm(
    points: npt.ArrayLike, sides: npt.ArrayLike, lattice: Lattice, *, enough_mm: npt.ArrayLike | None = None
) -> Points:
    """As `wall_distances_mm`, to the walls of a net; points are mm along the lattice's axes."""
    at, asked = finite(points), whole_numbers(sides)
    found = np.empty((len(at), 2))
    most = _FAR_ROWS * math.sqrt(lattice.spacing[1] * lattice.spacing[2])
    over_rows(_search, len(at), at, asked, lattice, most, settling(asked, enough_mm), found)
    is_far = np.isinf(found)
    rows = np.flatnonzero(is_far.any(axis=1))
    if len(rows):
        missing = np.where(is_far[rows], asked[rows], 0)
        there = walls_around(lattice, np.unique(missing))
        if len(there.faces):
            bins = bins_of(there.vertices, there.faces, sides=there.sides)
            further = wall_distances_mm(at[rows], missing, bins, enough_mm=enough_mm)
            found[rows] = np.where(is_far[rows], further, found[rows])
    return found


def walls_around(lattice: Lattice, labels: npt.NDArray[np.integer[Any]]) -> Walls:
    """Triangles that bound any of the labels, in the order of the net."""
    is_wanted = np.zeros(int(max(lattice.sides.max(initial=0), labels.max(initial=0))) + 1, np.bool_)
    is_wanted[labels] = True
    is_wanted[0] = False
    chosen = np.flatnonzero(is_wanted[lattice.sides].any(axis=1))
    faces = np.empty((2 * len(chosen), 3), np.int32)
    _cut_all(np.ascontiguousarray(lattice.quads[chosen]), lattice.points, faces)
    used, corners = np.unique(faces, return_inverse=True)
    sides = np.repeat(lattice.sides[chosen], 2, axis=0)
    return Walls(
        np.asarray(lattice.points[used], np.float64), corners.reshape(-1, 3).astype(np.int32), sides.astype(np.int32)
    )


def vertices_near(
    lattice: Lattice, places: Points, reach_mm: Points, labels: npt.NDArray[np.int64], most: int
) -> tuple[Points, Labels]:
    """Vertices of the label's walls in cells within reach of each place, and what they are between.

    Parameters
    ----------
    most
        Vertices for each place, on average at most.
    """
    room = len(places) * most
    points, sides = np.empty((room, 3)), np.empty((room, 2), np.int32)
    used = _gather(places, reach_mm, labels, lattice, nobody_saw(len(lattice.points)), points, sides)
    return points[:used], sides[:used]


@kernel
def _find_first(low: int, high: int, quads: Array, first: npt.NDArray[np.int32]) -> None:
    """Quads stand in the order of their owners; some vertices own none."""
    q, end = 0, len(quads)
    while q < end:
        middle = (q + end) // 2
        if quads[middle, 0] < low:
            q = middle + 1
        else:
            end = middle
    for v in range(low, high):
        while q < len(quads) and quads[q, 0] < v:
            q += 1
        first[v] = q


@kernel
def _furthest(
    low: int, high: int, start: Array, xs: Array, depth: int, spacing: Points, points: Array
) -> tuple[float, float, float]:
    """Largest distance of vertices from the middles of their cells along each axis, in cells."""
    x, y, z = 0.0, 0.0, 0.0
    for row in range(low, high):
        k = row // depth
        j = row - k * depth
        for v in range(start[row], start[row + 1]):
            x = max(x, abs(points[v, 0] - (xs[v] + 0.5) * spacing[0]))
            y = max(y, abs(points[v, 1] - (j + 0.5) * spacing[1]))
            z = max(z, abs(points[v, 2] - (k + 0.5) * spacing[2]))
    return x / spacing[0], y / spacing[1], z / spacing[2]


@kernel
def _cut_all(quads: Array, points: Array, faces: Labels) -> None:
    for q in range(len(quads)):
        a, b, c, d = cut(points, quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3])
        faces[2 * q, 0], faces[2 * q, 1], faces[2 * q, 2] = a, b, c
        faces[2 * q + 1, 0], faces[2 * q + 1, 1], faces[2 * q + 1, 2] = a, c, d


@kernel
def _owners(x: float, y: float, z: float, reach: float, spacing: Points, slack: Points) -> Box:
    """Cells whose quads may come within reach: these hang between the middles of a cell and of the next."""
    return (
        math.ceil((x - reach) / spacing[0] - 1.5 - slack[0]),
        math.floor((x + reach) / spacing[0] - 0.5 + slack[0]),
        math.ceil((y - reach) / spacing[1] - 1.5 - slack[1]),
        math.floor((y + reach) / spacing[1] - 0.5 + slack[1]),
        math.ceil((z - reach) / spacing[2] - 1.5 - slack[2]),
        math.floor((z + reach) / spacing[2] - 0.5 + slack[2]),
    )


@kernel
def _search(
    first: int, last: int, points: Points, asked: Labels, lattice: Lattice, most: float, enough: Points, found: Points
) -> None:
    """Distances for rows of points; as in `distances._search` squared within, and negative once they are enough."""
    start, xs, depth, spacing, slack = lattice.start, lattice.xs, lattice.depth, lattice.spacing, lattice.slack
    vertices, quads, sides, owned = lattice.points, lattice.quads, lattice.sides, lattice.first
    least = min(spacing[0], spacing[1], spacing[2])
    for row in range(first, last):
        wanted = (int(asked[row, 0]), int(asked[row, 1]))
        x, y, z = points[row, 0], points[row, 1], points[row, 2]
        best = (most * most if wanted[0] > 0 else -1.0, most * most if wanted[1] > 0 else -1.0)
        enough_here = (enough[wanted[0]] if wanted[0] > 0 else -1.0, enough[wanted[1]] if wanted[1] > 0 else -1.0)
        # The quads that hang over the point along one of the axes hold what is nearest, mostly.
        u, v, w = x / spacing[0], y / spacing[1], z / spacing[2]
        low, high = (math.floor(u - 0.5), math.floor(v - 0.5), math.floor(w - 0.5)), (int(u), int(v), int(w))
        box = (low[0], high[0], low[1], high[1], low[2], high[2])
        done, reach = (0, -1, 0, -1, 0, -1), 0.0
        while True:
            best = _scan(
                (x, y, z),
                wanted,
                enough_here,
                best,
                box,
                done,
                depth,
                spacing,
                slack,
                start,
                xs,
                owned,
                quads,
                sides,
                vertices,
            )
            nearest = math.sqrt(max(best[0], best[1], 0.0))
            if nearest <= reach or max(best[0], best[1]) < 0.0:
                break
            done = box
            reach = min(nearest, max(2.0 * reach, 2.0 * least))
            box = _owners(x, y, z, reach, spacing, slack)
        found[row, 0] = root(best[0], most * most) if wanted[0] > 0 else np.nan
        found[row, 1] = root(best[1], most * most) if wanted[1] > 0 else np.nan


@kernel
def _gap(at: float, index: int, edge: float, slack: float) -> float:
    """Squared distance along one axis to the quads of the cell of that index."""
    gap = max((index + 0.5 - slack) * edge - at, at - (index + 1.5 + slack) * edge, 0.0)
    return gap * gap


@kernel
def _from(xs: Array, begin: int, end: int, least: int) -> int:
    """The first vertex of a row in a cell of that index or further."""
    while end - begin > 4:
        middle = (begin + end) >> 1
        if xs[middle] < least:
            begin = middle + 1
        else:
            end = middle
    while begin < end and xs[begin] < least:
        begin += 1
    return begin


@inlined
def _quad_squared(point: tuple[float, float, float], vertices: Array, quads: Array, q: int, limit: float) -> float:
    """Squared distance to the two triangles of a quad; infinite where it is `limit` at least."""
    a, b, c, d = cut(vertices, quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3])
    ax, ay, az = vertices[a, 0] - point[0], vertices[a, 1] - point[1], vertices[a, 2] - point[2]
    cx, cy, cz = vertices[c, 0] - point[0], vertices[c, 1] - point[1], vertices[c, 2] - point[2]
    bx, by, bz = vertices[b, 0] - point[0], vertices[b, 1] - point[1], vertices[b, 2] - point[2]
    dx, dy, dz = vertices[d, 0] - point[0], vertices[d, 1] - point[1], vertices[d, 2] - point[2]
    gap = apart(min(ax, bx, cx, dx), max(ax, bx, cx, dx)) + apart(min(ay, by, cy, dy), max(ay, by, cy, dy))
    squared = np.inf
    if gap + apart(min(az, bz, cz, dz), max(az, bz, cz, dz)) < limit:
        squared = triangle_squared(ax, ay, az, bx, by, bz, cx, cy, cz, limit)
        squared = min(squared, triangle_squared(ax, ay, az, cx, cy, cz, dx, dy, dz, min(limit, squared)))
    return squared


@kernel
def _scan(
    point: tuple[float, float, float],
    wanted: tuple[int, int],
    enough: tuple[float, float],
    best: tuple[float, float],
    box: Box,
    done: Box,
    depth: int,
    spacing: Points,
    slack: Points,
    start: Array,
    xs: Array,
    owned: Labels,
    quads: Array,
    sides: Array,
    vertices: Array,
) -> tuple[float, float]:
    """Smaller distances among the quads of a box of cells, save those in the box `done`."""
    near, far = best
    for k in range(max(box[4], 0), min(box[5] + 1, (len(start) - 1) // depth)):
        gap_z = _gap(point[2], k, spacing[2], slack[2])
        if gap_z >= max(near, far):
            continue
        for j in range(max(box[2], 0), min(box[3] + 1, depth)):
            row = k * depth + j
            begin, end = start[row], start[row + 1]
            if begin == end or gap_z + _gap(point[1], j, spacing[1], slack[1]) >= max(near, far):
                continue
            is_done = done[2] <= j <= done[3] and done[4] <= k <= done[5]
            v = _from(xs, begin, end, box[0])
            while v < end and xs[v] <= box[1]:
                if not (is_done and done[0] <= xs[v] <= done[1]):
                    for q in range(owned[v], owned[v + 1]):
                        behind, before = sides[q, 0], sides[q, 1]
                        bounds_first = behind == wanted[0] or before == wanted[0]
                        bounds_second = behind == wanted[1] or before == wanted[1]
                        limit = max(near if bounds_first else -1.0, far if bounds_second else -1.0)
                        if limit < 0.0:
                            continue
                        squared = _quad_squared(point, vertices, quads, q, limit)
                        if bounds_first and squared < near:
                            near = squared if squared > enough[0] else -squared
                        if bounds_second and squared < far:
                            far = squared if squared > enough[1] else -squared
                v += 1
    return near, far


@kernel
def _gather(
    places: Points,
    reach: Points,
    wanted: npt.NDArray[np.int64],
    lattice: Lattice,
    seen: Seen,
    points: Points,
    labels: Labels,
) -> int:
    """Fills `vertices_near`, and says how many they are."""
    start, xs, depth, spacing, slack = lattice.start, lattice.xs, lattice.depth, lattice.spacing, lattice.slack
    vertices, quads, sides, owned = lattice.points, lattice.quads, lattice.sides, lattice.first
    used = 0
    for place in range(len(places)):
        box = _owners(places[place, 0], places[place, 1], places[place, 2], reach[place], spacing, slack)
        most = (len(points) // len(places)) * (place + 1)
        for k in range(max(box[4], 0), min(box[5] + 1, (len(start) - 1) // depth)):
            for j in range(max(box[2], 0), min(box[3] + 1, depth)):
                row = k * depth + j
                v = _from(xs, start[row], start[row + 1], box[0])
                while v < start[row + 1] and xs[v] <= box[1]:
                    for q in range(owned[v], owned[v + 1]):
                        if sides[q, 0] != wanted[place] and sides[q, 1] != wanted[place]:
                            continue
                        pair = pair_of(sides[q, 0], sides[q, 1])
                        for corner in range(4):
                            vertex = quads[q, corner]
                            if seen[vertex] == pair or used >= most:
                                continue
                            seen[vertex] = pair
                            for axis in range(3):
                                points[used, axis] = vertices[vertex, axis]
                            labels[used, 0], labels[used, 1] = sides[q, 0], sides[q, 1]
                            used += 1
                    v += 1
    return used
