"""The wall cut by planes across a vessel: segments round a point, the largest circle, the first wall each way.

In: triangles in bins, points and the two directions of each plane; all in one frame. Numbers only; compiled.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.threads import kernel, over_rows
from meshing.triangles.bins import Bins

Array = npt.NDArray[Any]

_TETHER = 0.02
"""Where the lumen is flat its widest place is not one point: staying is worth this share of the radius."""
_LEAST_STEP = 0.01  # of the radius: where the search for the widest place ends
_FARTHEST = 2.0  # radii that a point may move


class Planes(NamedTuple):
    """Planes through points (N, 3), along unit vectors `one` and `other` (N, 3), looked at out to `reach_mm` (N,)."""

    points: FloatArray
    one: FloatArray
    other: FloatArray
    reach_mm: FloatArray


def widest_places(planes: Planes, wall: Bins) -> FloatArray:
    """(N, 3): the centre of the largest circle in each plane that grows round its point without crossing the wall.

    A step never leaves the circle round its point, so it never leaves the lumen.
    """
    moved = np.array(planes.points)
    over_rows(_to_widest, len(moved), *_arrays(planes), wall, moved)
    return moved


def first_walls(planes: Planes, wall: Bins, rays: int) -> FloatArray:
    """(N, rays) mm from each point to the first wall at even angles from `one` towards `other`; NaN where none is."""
    found = np.full((len(planes.points), rays), np.nan)
    over_rows(_to_walls, len(found), *_arrays(planes), wall, found)
    return found


def _arrays(planes: Planes) -> tuple[FloatArray, ...]:
    points, one, other, reach = (np.ascontiguousarray(array, np.float64) for array in planes)
    return points, one, other, reach


@kernel
def _to_widest(
    first: int, last: int, points: Array, one: Array, other: Array, reach: Array, wall: Any, moved: Array
) -> None:
    segments = np.empty((256, 4))
    for row in range(first, last):
        segments, count = _cut(points[row], one[row], other[row], reach[row], wall, segments)
        if count == 0:
            continue
        x, y = 0.0, 0.0
        room = _nearest(segments, count, x, y)
        best, at_start = room, room
        step, least = 0.5 * room, _LEAST_STEP * room
        turn = 0
        while step > least and turn < 60:
            turn += 1
            shift = (turn % 2) * math.pi / 8
            new_x, new_y, new_best = x, y, best
            for way in range(8):
                angle = shift + way * math.pi / 4
                try_x, try_y = x + step * math.cos(angle), y + step * math.sin(angle)
                away = try_x * try_x + try_y * try_y
                if away > (_FARTHEST * at_start) ** 2:
                    continue
                worth = _nearest(segments, count, try_x, try_y) - _TETHER * away / at_start
                if worth > new_best + 1e-9:
                    new_x, new_y, new_best = try_x, try_y, worth
            if new_best > best:
                x, y, best = new_x, new_y, new_best
            else:
                step *= 0.5
        for axis in range(3):
            moved[row, axis] = points[row, axis] + x * one[row, axis] + y * other[row, axis]


@kernel
def _to_walls(
    first: int, last: int, points: Array, one: Array, other: Array, reach: Array, wall: Any, found: Array
) -> None:
    segments = np.empty((256, 4))
    rays = found.shape[1]
    turn = 2.0 * math.pi / rays
    for row in range(first, last):
        segments, count = _cut(points[row], one[row], other[row], reach[row], wall, segments)
        for number in range(count):
            ax, ay, bx, by = segments[number]
            start = math.atan2(ay, ax)
            sweep = math.atan2(by, bx) - start
            if sweep > math.pi:
                sweep -= 2.0 * math.pi
            elif sweep < -math.pi:
                sweep += 2.0 * math.pi
            low = start if sweep >= 0.0 else start + sweep
            ray = math.ceil(low / turn - 1e-9)
            while ray * turn <= low + abs(sweep) + 1e-9:
                c, s = math.cos(ray * turn), math.sin(ray * turn)
                # r (c, s) = a + t (b - a)
                ex, ey = bx - ax, by - ay
                across = c * ey - s * ex
                if abs(across) > 1e-15:
                    far = (ax * ey - ay * ex) / across
                    slot = ray % rays
                    if far >= 0.0 and not far >= found[row, slot]:
                        found[row, slot] = far
                ray += 1


@kernel
def _nearest(segments: Array, count: int, x: float, y: float) -> float:
    """Distance of a point in the plane from the segments."""
    best = np.inf
    for number in range(count):
        ax, ay = segments[number, 0] - x, segments[number, 1] - y
        ex, ey = segments[number, 2] - segments[number, 0], segments[number, 3] - segments[number, 1]
        length = ex * ex + ey * ey
        share = 0.0
        if length > 0.0:
            share = min(max(-(ax * ex + ay * ey) / length, 0.0), 1.0)
        dx, dy = ax + share * ex, ay + share * ey
        best = min(best, dx * dx + dy * dy)
    return math.sqrt(best)


@kernel
def _cut(point: Array, one: Array, other: Array, reach: float, wall: Any, segments: Array) -> tuple[Array, int]:
    """Segments (ax, ay, bx, by) of the wall in the plane, some of them twice, and their count.

    Only cells that the plane passes are looked in: for each column of cells along the axis nearest to the normal,
    those between the lowest and the highest place where the plane meets it.
    """
    low, cell, shape, starts, entries = wall.low, wall.cell_mm, wall.shape, wall.starts, wall.entries
    normal = (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )
    c = 0
    if abs(normal[1]) > abs(normal[c]):
        c = 1
    if abs(normal[2]) > abs(normal[c]):
        c = 2
    a, b = (c + 1) % 3, (c + 2) % 3
    index = np.zeros(3, np.int64)
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for axis in range(3):
        half = reach * math.sqrt(max(1.0 - normal[axis] * normal[axis], 0.0))
        first[axis] = min(max(math.floor((point[axis] - half - low[axis]) / cell), 0), shape[axis] - 1)
        last[axis] = min(max(math.floor((point[axis] + half - low[axis]) / cell), 0), shape[axis] - 1)
    slope_a, slope_b = -normal[a] / normal[c], -normal[b] / normal[c]
    half = 0.5 * cell * (abs(slope_a) + abs(slope_b))
    count = 0
    for i in range(first[a], last[a] + 1):
        for j in range(first[b], last[b] + 1):
            off_a = low[a] + (i + 0.5) * cell - point[a]
            off_b = low[b] + (j + 0.5) * cell - point[b]
            middle = point[c] + slope_a * off_a + slope_b * off_b - low[c]
            for k in range(
                max(math.floor((middle - half) / cell), first[c]), min(math.floor((middle + half) / cell), last[c]) + 1
            ):
                index[a], index[b], index[c] = i, j, k
                row = (index[0] * shape[1] + index[1]) * shape[2] + index[2]
                for entry in range(starts[row], starts[row + 1]):
                    if count + 1 > len(segments):
                        more = np.empty((2 * len(segments), 4))
                        more[:count] = segments[:count]
                        segments = more
                    count += _cut_one(
                        wall.vertices, wall.faces, entries[entry], point, one, other, normal, segments, count
                    )
    return segments, count


@kernel
def _cut_one(
    vertices: Array,
    faces: Array,
    face: int,
    point: Array,
    one: Array,
    other: Array,
    normal: Any,
    segments: Array,
    at: int,
) -> int:
    """The segment in which a triangle meets the plane; how many there are, 0 or 1."""
    filled = 0
    for corner in range(3):
        p, q = faces[face, corner], faces[face, (corner + 1) % 3]
        px, py, pz = vertices[p, 0] - point[0], vertices[p, 1] - point[1], vertices[p, 2] - point[2]
        qx, qy, qz = vertices[q, 0] - point[0], vertices[q, 1] - point[1], vertices[q, 2] - point[2]
        above = px * normal[0] + py * normal[1] + pz * normal[2]
        below = qx * normal[0] + qy * normal[1] + qz * normal[2]
        if (above >= 0.0) == (below >= 0.0):
            continue
        share = above / (above - below)
        x, y, z = px + share * (qx - px), py + share * (qy - py), pz + share * (qz - pz)
        segments[at, 2 * filled] = x * one[0] + y * one[1] + z * one[2]
        segments[at, 2 * filled + 1] = x * other[0] + y * other[1] + z * other[2]
        filled += 1
    return 1 if filled == 2 else 0
