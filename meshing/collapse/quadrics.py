"""Quadrics of planes: how far a vertex strays from the triangles that it stands for.

Garland and Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997. Positions are mm about an
origin near the vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshing.collapse.mesh import FREE, Mesh, Values, faces_on, opened, turned
from meshing.threads import kernel
from meshing.walls import Points, Walls

_THIN_MM = 4.0
"""Volume over area, from which on a structure needs no more than its share."""

_HEAVIEST = 1000.0
"""Weight of the thinnest structures: of more, the others would feel nothing but rounding."""

_DAMPING = 1e-4
"""Share of a quadric's weight that holds a joint to the middle of its edge, so that flat places have an optimum."""

_SHORTNESS = 1e-5
"""mm² of cost per mm² of squared length and weight: short edges first where all else is equal."""


@dataclass(frozen=True, eq=False)
class Quadrics:
    """Sums of squared distances to planes, for each vertex.

    Parameters
    ----------
    values
        (V, 10) float64: a², ab, ac, ad, b², bc, bd, c², cd, d², summed over planes ax + by + cz + d = 0 with unit
        normals, each times its weight in mm².
    origin
        (3,) LPS mm, from where d is counted; near the vertices, or digits are lost.
    """

    values: Values
    origin: Points


def thickness_weights(walls: Walls) -> dict[int, float]:
    """How much more than by its area each label counts: (4 mm over its volume by its area)², from 1 to 1000.

    Volume over area is a third of a ball's radius and half of a tube's.
    """
    labels = int(walls.sides.max(initial=0)) + 1
    points = walls.vertices - middle_of(walls)
    sums = volumes_and_areas(points, np.array(walls.faces), np.array(walls.sides), labels)
    sums[0] = 0
    present = np.flatnonzero(sums[:, 1])
    thickness_mm = np.maximum(np.abs(sums[present, 0]) / sums[present, 1], 1e-9)
    weights = np.clip(np.square(_THIN_MM / thickness_mm), 1.0, _HEAVIEST)
    return dict(zip(present.tolist(), weights.tolist(), strict=True))


def quadrics_of(walls: Walls, weights: Mapping[int, float] | None = None) -> Quadrics:
    """Quadrics of the triangles themselves, each by its area, and of upright planes along curves and borders.

    Parameters
    ----------
    weights
        Of labels, 1 where none is given; a triangle takes the larger of its two sides.
    """
    origin = middle_of(walls)
    mesh = opened(turned(np.array(walls.faces), walls.sides), walls.vertices - origin, None)
    add_plane_quadrics(mesh, np.array(walls.sides), table_of(walls, weights))
    return Quadrics(mesh.quadrics, origin)


def middle_of(walls: Walls) -> Points:
    middle: Points = walls.vertices.mean(axis=0) if len(walls.vertices) else np.zeros(3)
    return middle


def table_of(walls: Walls, weights: Mapping[int, float] | None) -> Values:
    """Weights by label; outside weighs nothing."""
    table = np.ones(int(walls.sides.max(initial=0)) + 1)
    for label, weight in (weights or {}).items():
        if label < len(table):
            table[label] = weight
    table[0] = 0
    return table


@kernel
def volumes_and_areas(points: Any, faces: Any, sides: Any, labels: int) -> Any:
    """Signed volume (mm³) and area (mm²) of every label below `labels`: (labels, 2)."""
    sums = np.zeros((labels, 2))
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x, y, z, twice = _cross(points, a, b, a, c)
        sixth = (x * points[a, 0] + y * points[a, 1] + z * points[a, 2]) / 6
        sums[sides[face, 0], 0] += sixth
        sums[sides[face, 1], 0] -= sixth
        sums[sides[face, 0], 1] += twice / 2
        sums[sides[face, 1], 1] += twice / 2
    return sums


@kernel
def add_plane_quadrics(mesh: Mesh, sides: Any, weights: Any) -> None:
    """Adds the planes of the faces, weighted by area, and upright planes along feature edges, to `quadrics`."""
    faces, points, quadrics = mesh.faces, mesh.points, mesh.quadrics
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x, y, z, twice = _cross(points, a, b, a, c)
        if twice < 1e-20:
            continue
        x, y, z = x / twice, y / twice, z / twice
        weight = max(weights[sides[face, 0]], weights[sides[face, 1]])
        for corner in range(3):
            one, other = faces[face, corner], faces[face, (corner + 1) % 3]
            _add_plane(quadrics, one, points, a, x, y, z, weight * twice / 2)
            if mesh.kind[one] == FREE or mesh.kind[other] == FREE or faces_on(mesh, one, other) == 2:
                continue
            ex, ey = points[other, 0] - points[one, 0], points[other, 1] - points[one, 1]
            ez = points[other, 2] - points[one, 2]
            ux, uy, uz = ey * z - ez * y, ez * x - ex * z, ex * y - ey * x
            square = ux * ux + uy * uy + uz * uz
            if square > 0:
                long = np.sqrt(square)
                for end in (one, other):
                    _add_plane(quadrics, end, points, one, ux / long, uy / long, uz / long, weight * square)


@kernel
def _cross(points: Any, a: int, b: int, c: int, d: int) -> Any:
    """(b − a) × (d − c), and its length."""
    px, py, pz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    qx, qy, qz = points[d, 0] - points[c, 0], points[d, 1] - points[c, 1], points[d, 2] - points[c, 2]
    x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
    return x, y, z, np.sqrt(x * x + y * y + z * z)


@kernel
def _add_plane(quadrics: Any, vertex: int, points: Any, at: int, a: float, b: float, c: float, weight: float) -> None:
    d = -(a * points[at, 0] + b * points[at, 1] + c * points[at, 2])
    quadrics[vertex, 0] += weight * a * a
    quadrics[vertex, 1] += weight * a * b
    quadrics[vertex, 2] += weight * a * c
    quadrics[vertex, 3] += weight * a * d
    quadrics[vertex, 4] += weight * b * b
    quadrics[vertex, 5] += weight * b * c
    quadrics[vertex, 6] += weight * b * d
    quadrics[vertex, 7] += weight * c * c
    quadrics[vertex, 8] += weight * c * d
    quadrics[vertex, 9] += weight * d * d


@kernel
def joint(points: Any, quadrics: Any, one: int, other: int, free: bool) -> Any:
    """What it costs to join two vertices, and where: at the least cost near the middle, or else where `other` is."""
    aa, ab, ac, ad = (
        quadrics[one, 0] + quadrics[other, 0],
        quadrics[one, 1] + quadrics[other, 1],
        quadrics[one, 2] + quadrics[other, 2],
        quadrics[one, 3] + quadrics[other, 3],
    )
    bb, bc, bd = (
        quadrics[one, 4] + quadrics[other, 4],
        quadrics[one, 5] + quadrics[other, 5],
        quadrics[one, 6] + quadrics[other, 6],
    )
    cc, cd, dd = (
        quadrics[one, 7] + quadrics[other, 7],
        quadrics[one, 8] + quadrics[other, 8],
        quadrics[one, 9] + quadrics[other, 9],
    )
    px, py, pz = points[one, 0], points[one, 1], points[one, 2]
    x, y, z = points[other, 0], points[other, 1], points[other, 2]
    square = (px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2
    area = aa + bb + cc
    extra = _SHORTNESS * area * square
    if free:
        x, y, z = (px + x) / 2, (py + y) / 2, (pz + z) / 2
    gx = aa * x + ab * y + ac * z + ad
    gy = ab * x + bb * y + bc * z + bd
    gz = ac * x + bc * y + cc * z + cd
    cost = x * (gx + ad) + y * (gy + bd) + z * (gz + cd) + dd
    if not free:
        return cost + extra, x, y, z
    # Damped towards the middle: flat and straight places leave the optimum undetermined along themselves.
    damp = _DAMPING * area
    a, b, c = aa + damp, bb + damp, cc + damp
    xx, xy, xz = b * c - bc * bc, ac * bc - ab * c, ab * bc - ac * b
    yy, yz, zz = a * c - ac * ac, ab * ac - a * bc, a * b - ab * ab
    determinant = a * xx + ab * xy + ac * xz
    if not determinant > 1e-300:
        return cost + extra, x, y, z
    mx = -(xx * gx + xy * gy + xz * gz) / determinant
    my = -(xy * gx + yy * gy + yz * gz) / determinant
    mz = -(xz * gx + yz * gy + zz * gz) / determinant
    move = mx * mx + my * my + mz * mz
    if move > 4 * square:
        short = np.sqrt(4 * square / move)
        mx, my, mz = mx * short, my * short, mz * short
    cost += 2 * (gx * mx + gy * my + gz * mz)
    cost += mx * (aa * mx + 2 * (ab * my + ac * mz)) + my * (bb * my + 2 * bc * mz) + mz * cc * mz
    return cost + extra, x + mx, y + my, z + mz
