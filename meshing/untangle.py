"""Walls that run through themselves are drawn straight there: a few vertices go to the mean of their neighbours.

Smoothing and decimation fold a handful of triangles in a hundred thousand; a printer, a boolean and a trainee's
needle all mind. Only vertices of triangles that cross move, so the rest stays as it was measured.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from meshing.triangles.crossings import crossings
from meshing.walls import Points, Triangles, Walls

_ROUNDS = 10

_RINGS = 4
"""Faces so far from a crossing are not looked at again until the end."""


def untangled(walls: Walls, *, most_mm: float = np.inf) -> Walls:
    """The walls with as few crossing triangles as some rounds of local smoothing leave.

    No vertex goes further than `most_mm` from where it was: a coarse tip is not worth a crossing less.
    """
    found = crossings(walls.vertices, walls.faces) if len(walls.faces) else np.empty((0, 2), np.int32)
    if len(found) == 0:
        return walls
    tangled = np.unique(walls.faces[found])
    region = _touching(walls.faces, tangled, _RINGS)
    given = fewest = len(found)
    best = vertices = walls.vertices
    for number in range(_ROUNDS):
        near = _touching(region, tangled, _RINGS)
        moving = tangled if number < _ROUNDS // 2 else _around(near, tangled)
        vertices = _straightened(vertices, near, moving)
        vertices[moving] = _within(vertices[moving], walls.vertices[moving], most_mm)
        found = crossings(vertices, near)
        if len(found) < fewest:
            best, fewest = vertices, len(found)
        if len(found) == 0:
            break
        tangled = np.unique(near[found])
    # Only what hangs together with a crossing was looked at: what else is near in space is looked at once, here.
    return replace(walls, vertices=best) if len(crossings(best, walls.faces)) < given else walls


def _within(vertices: Points, before: Points, most_mm: float) -> Points:
    if not np.isfinite(most_mm):
        return vertices
    step = vertices - before
    length = np.linalg.norm(step, axis=1, keepdims=True)
    kept: Points = before + step * np.minimum(1.0, most_mm / np.maximum(length, 1e-30))
    return kept


def _touching(faces: Triangles, vertices: npt.NDArray[np.int32], rings: int) -> Triangles:
    """The faces of some vertices, and of theirs, so many times over."""
    is_in = np.zeros(int(faces.max()) + 1, bool)
    is_in[vertices] = True
    for _ in range(rings):
        touching = faces[is_in[faces[:, 0]] | is_in[faces[:, 1]] | is_in[faces[:, 2]]]
        is_in[touching] = True
    return touching


def _around(faces: npt.NDArray[np.int32], vertices: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Vertices and their neighbours."""
    return np.unique(faces[np.isin(faces, vertices).any(axis=1)])


def _straightened(vertices: Points, faces: Triangles, moving: npt.NDArray[np.int32]) -> Points:
    """Vertices with `moving` ones half-way to the mean of their neighbours; `faces` are at least theirs."""
    place = np.full(len(vertices), -1)
    place[moving] = np.arange(len(moving))
    total, count = np.zeros((len(moving), 3)), np.zeros(len(moving))
    for corner in range(3):
        its = place[faces[:, corner]]
        there = its >= 0
        for other in (1, 2):
            np.add.at(total, its[there], vertices[faces[there, (corner + other) % 3]])
            np.add.at(count, its[there], 1)
    moved = vertices.copy()
    moved[moving] = (vertices[moving] + total / count[:, None]) / 2
    return moved
