"""Curves where three or more labels meet, put where the smooth walls round them do meet.

Smoothing by itself draws a curve into the mean of its neighbours, which lie to all sides of it. Here each of its
vertices goes to where the planes of the walls nearby miss least, in the least squares, and not far from its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import CURVE, Net
from meshing.nets.quads import Quads, normals_of, points_of
from meshing.nets.relax import Moves
from meshing.threads import kernel

Array = npt.NDArray[Any]

_ROUNDS = 2

_STAY = 0.1
"""Weight of staying against that of a plane."""


def sharpened(net: Net, moves: Moves, quads: Quads, spacing_mm: Array, *, reach: float) -> Moves:
    """The moves with those of curves' vertices changed, none beyond `reach` cells from the middle of its own."""
    curve = np.flatnonzero(net.mask == CURVE).astype(np.int32)
    if len(curve) == 0:
        return moves
    points = points_of(net, moves, spacing_mm)
    middles = points[curve] - moves[curve]
    normals = normals_of(quads, points, _near(net, curve))
    box = reach * np.asarray(spacing_mm, np.float64)
    for _ in range(_ROUNDS):
        placed = np.empty((len(curve), 3))
        _sharpen(curve, middles, placed, points, normals, net.beside, net.links, net.stencil, net.mask, box)
        points[curve] = placed
    moves[curve] = points[curve] - middles
    return moves


def _near(net: Net, curve: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """(V,): the two rings round every curve."""
    near = np.zeros(len(net.mask), np.bool_)
    near[curve] = True
    _mark_rings(curve, net.beside, net.links, near)
    return near


@kernel
def _mark_rings(curve: Array, beside: Array, links: Array, near: Array) -> None:
    for t in range(len(curve)):
        v = curve[t]
        for way in range(6):
            if links[v] >> way & 1:
                u = v + 2 * way - 1 if way < 2 else beside[v, way - 2]
                near[u] = True
                for on in range(6):
                    if links[u] >> on & 1:
                        near[u + 2 * on - 1 if on < 2 else beside[u, on - 2]] = True


@kernel
def _sharpen(
    curve: Array,
    middles: Array,
    placed: Array,
    points: Array,
    normals: Array,
    beside: Array,
    links: Array,
    stencil: Array,
    mask: Array,
    box: Array,
) -> None:
    system = np.zeros((3, 4))
    place = np.zeros(3)
    for t in range(len(curve)):
        v = curve[t]
        _between(v, points, beside, stencil, mask, place)
        system[:] = 0.0
        total = 0.0
        for way in range(6):
            if not links[v] >> way & 1:
                continue
            u = v + 2 * way - 1 if way < 2 else beside[v, way - 2]
            total += _add_plane(system, place, points, normals, mask, u, 1.0)
            for on in range(6):
                if on != (way ^ 1) and links[u] >> on & 1:
                    w = u + 2 * on - 1 if on < 2 else beside[u, on - 2]
                    total += _add_plane(system, place, points, normals, mask, w, 0.5)
        for axis in range(3):
            system[axis, axis] += _STAY * max(total, 1e-9)
        _solve(system)
        for axis in range(3):
            low, high = middles[t, axis] - box[axis], middles[t, axis] + box[axis]
            placed[t, axis] = min(max(place[axis] + system[axis, 3], low), high)


@kernel
def _between(v: int, points: Array, beside: Array, stencil: Array, mask: Array, place: Array) -> None:
    """Half-way to the mean of the neighbours on the curve."""
    n = 0
    place[:] = 0.0
    for way in range(6):
        if stencil[v] >> way & 1:
            u = v + 2 * way - 1 if way < 2 else beside[v, way - 2]
            if mask[u] == 0:
                for axis in range(3):
                    place[axis] += points[u, axis]
                n += 1
    for axis in range(3):
        place[axis] = 0.5 * points[v, axis] + 0.5 * place[axis] / n if n else points[v, axis]


@kernel
def _add_plane(system: Array, place: Array, points: Array, normals: Array, mask: Array, u: int, weight: float) -> float:
    """Adds the plane of a two-label vertex to the normal equations; its weight, or 0 for another vertex."""
    if mask[u] == 0:
        return 0.0
    away = 0.0
    for axis in range(3):
        away += normals[u, axis] * (points[u, axis] - place[axis])
    for row in range(3):
        for column in range(3):
            system[row, column] += weight * normals[u, row] * normals[u, column]
        system[row, 3] += weight * normals[u, row] * away
    return weight


@kernel
def _solve(system: Array) -> None:
    """Gauss elimination of three positive definite equations; the answer in the last column."""
    for pivot in range(3):
        for row in range(pivot + 1, 3):
            share = system[row, pivot] / system[pivot, pivot]
            for column in range(pivot, 4):
                system[row, column] -= share * system[pivot, column]
    for row in range(2, -1, -1):
        for column in range(row + 1, 3):
            system[row, 3] -= system[row, column] * system[column, 3]
        system[row, 3] /= system[row, row]
