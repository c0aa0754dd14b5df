"""Quadrics of planes: how far a joint strays from the triangles round the two vertices that it takes the place of.

They are summed afresh before every pass, over the triangles that are there ("memoryless", Lindstrom and Turk, "Fast
and memory efficient polygonal simplification", IEEE Visualization 1998): with memory the mean error is a sixth larger.
All planes of a vertex pass through it, so with the vertex for origin six numbers hold their squared distances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.collapse.mesh import FREE, Mesh, faces_on
from meshing.threads import kernel

_DAMPING = 1e-4
"""Share of a quadric's weight that holds a joint to the middle of its edge, so that flat places have an optimum."""

_SHORTNESS = 1e-5
"""mm² of cost per mm² of squared length and weight: short edges first where all else is equal."""


def table_of(weights: Mapping[int, float] | None, labels: int) -> npt.NDArray[np.float64]:
    """Weights by label, 1 where none is given; outside weighs nothing."""
    table = np.ones(labels)
    for label, weight in (weights or {}).items():
        if label < labels:
            table[label] = weight
    table[0] = 0
    return table


@kernel
def set_quadrics(mesh: Mesh, weights: Any) -> None:
    """Sets the quadrics of all vertices: a², ab, ac, b², bc, c² summed over planes ax + by + cz = 0.

    The faces' planes are weighted by area; along feature edges upright planes are added, by the edge's squared length.
    """
    faces, sides, start, around, kind = mesh.faces, mesh.sides, mesh.start, mesh.around, mesh.kind
    points, quadrics = mesh.points, mesh.quadrics
    quadrics[:] = 0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x, y, z = _across(points, a, b, c)
        square = x * x + y * y + z * z
        if square < 1e-40:
            continue
        weight = max(weights[sides[face, 0]], weights[sides[face, 1]])
        _add_plane(quadrics, (a, b, c), x, y, z, weight / (2 * np.sqrt(square)))
        if (kind[a] == FREE) + (kind[b] == FREE) + (kind[c] == FREE) >= 2:
            continue
        for corner in range(3):
            one, other = faces[face, corner], faces[face, (corner + 1) % 3]
            if kind[one] == FREE or kind[other] == FREE or faces_on(faces, start, around, one, other) == 2:
                continue
            ex, ey = points[other, 0] - points[one, 0], points[other, 1] - points[one, 1]
            ez = points[other, 2] - points[one, 2]
            ux, uy, uz = ey * z - ez * y, ez * x - ex * z, ex * y - ey * x
            _add_plane(quadrics, (one, other), ux, uy, uz, weight / square)


@kernel
def _add_plane(quadrics: Any, vertices: Any, x: float, y: float, z: float, weight: float) -> None:
    """Adds a plane with the normal x, y, z, of any length, to vertices in it."""
    wx, wy, wz = weight * x, weight * y, weight * z
    for vertex in vertices:
        quadrics[vertex, 0] += wx * x
        quadrics[vertex, 1] += wx * y
        quadrics[vertex, 2] += wx * z
        quadrics[vertex, 3] += wy * y
        quadrics[vertex, 4] += wy * z
        quadrics[vertex, 5] += wz * z


@kernel
def _across(points: Any, a: int, b: int, c: int) -> Any:
    """(b − a) × (c − a)."""
    px, py, pz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    qx, qy, qz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    return py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx


@kernel
def joint(points: Any, quadrics: Any, one: int, other: int, free: bool) -> Any:
    """What it costs to join two vertices, and where: at the least cost near the middle, or else where `other` is."""
    x, y, z = points[other, 0], points[other, 1], points[other, 2]
    ex, ey, ez = x - points[one, 0], y - points[one, 1], z - points[one, 2]
    square = ex * ex + ey * ey + ez * ez
    a, ab, ac = float(quadrics[one, 0]), float(quadrics[one, 1]), float(quadrics[one, 2])
    b, bc, c = float(quadrics[one, 3]), float(quadrics[one, 4]), float(quadrics[one, 5])
    d, de, df = float(quadrics[other, 0]), float(quadrics[other, 1]), float(quadrics[other, 2])
    e, ef, f = float(quadrics[other, 3]), float(quadrics[other, 4]), float(quadrics[other, 5])
    area = a + b + c + d + e + f
    extra = _SHORTNESS * area * square
    if not free:
        return ex * (a * ex + 2 * (ab * ey + ac * ez)) + ey * (b * ey + 2 * bc * ez) + c * ez * ez + extra, x, y, z
    ex, ey, ez = ex / 2, ey / 2, ez / 2
    x, y, z = x - ex, y - ey, z - ez
    gx = (a - d) * ex + (ab - de) * ey + (ac - df) * ez
    gy = (ab - de) * ex + (b - e) * ey + (bc - ef) * ez
    gz = (ac - df) * ex + (bc - ef) * ey + (c - f) * ez
    a, ab, ac, b, bc, c = a + d, ab + de, ac + df, b + e, bc + ef, c + f
    cost = ex * (a * ex + 2 * (ab * ey + ac * ez)) + ey * (b * ey + 2 * bc * ez) + c * ez * ez
    # Damped towards the middle: flat and straight places leave the optimum undetermined along themselves.
    damp = _DAMPING * area
    d, e, f = a + damp, b + damp, c + damp
    xx, xy, xz = e * f - bc * bc, ac * bc - ab * f, ab * bc - ac * e
    yy, yz, zz = d * f - ac * ac, ab * ac - d * bc, d * e - ab * ab
    determinant = d * xx + ab * xy + ac * xz
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
    cost += mx * (a * mx + 2 * (ab * my + ac * mz)) + my * (b * my + 2 * bc * mz) + mz * c * mz
    return cost + extra, x + mx, y + my, z + mz
