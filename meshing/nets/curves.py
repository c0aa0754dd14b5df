"""Curves where three or more labels meet, put where the smooth walls round them do meet.

Smoothing by itself draws a curve into the mean of its neighbours, which lie to all sides of it. Here each of its
vertices goes to where the planes of the walls nearby miss least, in the least squares, and not far from its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import CURVE, Net, neighbour
from meshing.nets.quads import NetPoints, Quads, normals_of
from meshing.nets.relax import Relaxing, held
from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

_ROUNDS = 2

_STAY = 0.1
"""Weight of staying against that of a plane."""


def sharpened(net: Net, points: NetPoints, quads: Quads, spacing_mm: Array, relaxing: Relaxing) -> NetPoints:
    """The points with those of curves' vertices changed, none further than when it was smoothed."""
    curve = np.flatnonzero(net.mask == CURVE).astype(np.int32)
    if len(curve) == 0:
        return points
    spacing = np.asarray(spacing_mm, np.float64)
    middles = (net.cells(curve) + 0.5) * spacing
    normals = normals_of(quads, points, _near(net, curve))
    points, reach = points.copy(), relaxing.reach_mm(spacing)
    for _ in range(_ROUNDS):
        placed = np.empty((len(curve), 3))
        over_rows(
            _sharpen,
            len(curve),
            curve,
            middles,
            placed,
            points,
            normals,
            net.beside,
            net.links,
            net.stencil,
            net.mask,
            reach,
        )
        points[curve] = placed
    return points


def _near(net: Net, curve: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """(V,): the two rings round every curve."""
    near = np.zeros(len(net.mask), np.bool_)
    near[curve] = True
    _mark_rings(curve, net.beside, net.links, near)
    return near


@kernel
def _mark_rings(curve: Array, beside: Array, links: Array, near: Array) -> None:
    for t in range(len(curve)):
        for way in range(6):
            if links[curve[t]] >> way & 1:
                u = neighbour(beside, np.uintp(curve[t]), way)
                near[u] = True
                for on in range(6):
                    if links[u] >> on & 1:
                        near[neighbour(beside, u, on)] = True


@kernel
def _sharpen(
    first: int,
    last: int,
    curve: Array,
    middles: Array,
    placed: Array,
    points: Array,
    normals: Array,
    beside: Array,
    links: Array,
    stencil: Array,
    mask: Array,
    reach: Array,
) -> None:
    system = np.zeros((3, 4))
    place = np.zeros(3)
    for t in range(first, last):
        v = np.uintp(curve[t])
        _between(v, points, beside, stencil, mask, place)
        system[:] = 0.0
        total = 0.0
        for way in range(6):
            if not links[v] >> way & 1:
                continue
            u = neighbour(beside, v, way)
            total += _add_plane(system, place, points, normals, mask, u, 1.0)
            for on in range(6):
                if on != (way ^ 1) and links[u] >> on & 1:
                    total += _add_plane(system, place, points, normals, mask, neighbour(beside, u, on), 0.5)
        for axis in range(3):
            system[axis, axis] += _STAY * max(total, 1e-9)
        _solve(system)
        x, y, z = middles[t, 0], middles[t, 1], middles[t, 2]
        dx, dy, dz = held(place[0] + system[0, 3] - x, place[1] + system[1, 3] - y, place[2] + system[2, 3] - z, reach)
        placed[t, 0], placed[t, 1], placed[t, 2] = x + dx, y + dy, z + dz


@kernel
def _between(v: Any, points: Array, beside: Array, stencil: Array, mask: Array, place: Array) -> None:
    """Half-way to the mean of the neighbours on the curve."""
    n = 0
    place[:] = 0.0
    for way in range(6):
        if stencil[v] >> way & 1:
            u = neighbour(beside, v, way)
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
    x, y, z = normals[u, 0], normals[u, 1], normals[u, 2]
    away = x * (points[u, 0] - place[0]) + y * (points[u, 1] - place[1]) + z * (points[u, 2] - place[2])
    system[0, 0] += weight * x * x
    system[0, 1] += weight * x * y
    system[0, 2] += weight * x * z
    system[1, 1] += weight * y * y
    system[1, 2] += weight * y * z
    system[2, 2] += weight * z * z
    system[0, 3] += weight * x * away
    system[1, 3] += weight * y * away
    system[2, 3] += weight * z * away
    return weight


@kernel
def _solve(system: Array) -> None:
    """Gauss elimination of three positive definite equations, of whose left side the upper half is given."""
    system[1, 0], system[2, 0], system[2, 1] = system[0, 1], system[0, 2], system[1, 2]
    for pivot in range(3):
        for row in range(pivot + 1, 3):
            share = system[row, pivot] / system[pivot, pivot]
            for column in range(pivot, 4):
                system[row, column] -= share * system[pivot, column]
    for row in range(2, -1, -1):
        for column in range(row + 1, 3):
            system[row, 3] -= system[row, column] * system[column, 3]
        system[row, 3] /= system[row, row]
