"""Every part of shared walls gets the volume that it should have: each wall moves by the difference of two numbers.

Part a grows by α_a everywhere, its neighbour b by α_b; their wall moves by α_a − α_b along its normal. With A_ab the
area of that wall, the volumes ask for (diag(Σ_b A_ab) − A) α = ΔV, α = 0 outside of everything: a weighted graph
Laplacian, solved by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows
from meshing.walls import Triangles, Walls

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_STEPS = 3
_CLOSE = 1e-4
"""Share of its volume that a part may lack when the steps end."""


def sizes_mm(walls: Walls, labels: int) -> tuple[Array, Array]:
    """Volume in mm³ and area in mm² by label, (labels,) each; a shared wall counts for both its parts."""
    volumes, areas = np.zeros(labels), np.zeros(labels)
    if len(walls.faces):
        # Single mm³ far from the origin would drown in rounding.
        middle = walls.vertices.mean(axis=0)
        parts = over_rows(_weigh, len(walls.faces), walls.faces, walls.sides, walls.vertices, middle, labels)
        volumes, areas = (np.sum([part[number] for part in parts], axis=0) for number in (0, 1))
    volumes[0] = 0.0
    return volumes, areas


def restored(walls: Walls, wanted_mm3: Array, most_mm: float) -> Walls:
    """The walls moved so that label n has the volume `wanted_mm3[n]`, no vertex by more than about `most_mm`.

    Vertices where three or more labels meet stay.
    """
    labels = len(wanted_mm3)
    pairs, pair_of = _pairs_of(walls)
    left_mm = most_mm
    for _ in range(_STEPS):
        missing = wanted_mm3 - sizes_mm(walls, labels)[0]
        missing[0] = 0.0
        if (np.abs(missing) <= _CLOSE * np.maximum(wanted_mm3, 1e-9)).all():
            break
        normals, wall_of, areas = _normals(walls.faces, walls.vertices, pair_of, len(pairs))
        growth = growth_mm(pairs, areas, missing)
        step = np.clip(growth[pairs[:, 0]] - growth[pairs[:, 1]], -left_mm, left_mm)
        moves = np.append(step, 0.0)[wall_of]  # the last, for −1, are those that stay
        walls = replace(walls, vertices=walls.vertices + normals * moves[:, None])
        left_mm -= float(np.abs(step).max(initial=0.0))
        if left_mm <= 0:
            break
    return walls


def _pairs_of(walls: Walls) -> tuple[Index, Index]:
    """(N, 2): the labels that touch; and (F,): which of them each triangle parts."""
    keys = walls.sides[:, 0] * np.int64(2**32) + walls.sides[:, 1]
    # Triangles of one wall follow on each other in memory: there are fewer runs than triangles to sort.
    runs = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
    pairs, pair_of_run = np.unique(keys[runs], return_inverse=True)
    pair_of = np.repeat(pair_of_run, np.diff(runs, append=len(keys)))
    return np.column_stack([pairs >> 32, pairs & (2**32 - 1)]), pair_of


def growth_mm(pairs: Index, areas: Array, missing: Array) -> Array:
    """α of every label, by conjugate gradients with the diagonal as preconditioner.

    Parameters
    ----------
    pairs
        (N, 2) labels that touch.
    areas
        (N,) mm².
    missing
        (labels,) mm³; that of label 0 is not asked for.
    """
    count = len(missing)
    behind, before = pairs[:, 0], pairs[:, 1]
    diagonal = np.bincount(behind, areas, count) + np.bincount(before, areas, count)
    is_free = diagonal > 0
    is_free[0] = False
    scale = np.where(is_free, 1.0 / np.where(is_free, diagonal, 1.0), 0.0)

    def product(alpha: Array) -> Array:
        flow = areas * (alpha[behind] - alpha[before])
        found: Array = np.where(is_free, np.bincount(behind, flow, count) - np.bincount(before, flow, count), 0.0)
        return found

    alpha = np.zeros(count)
    rest = np.where(is_free, missing, 0.0)
    direction = towards = scale * rest
    energy = float(rest @ towards)
    enough = 1e-16 * max(energy, 1e-300)
    for _ in range(200):
        if energy <= enough:
            break
        image = product(direction)
        step = energy / float(direction @ image)
        alpha = alpha + step * direction
        rest = rest - step * image
        towards = scale * rest
        last, energy = energy, float(rest @ towards)
        direction = towards + energy / last * direction
    return alpha


@kernel
def _normals(faces: Triangles, vertices: Array, pair_of: Index, pairs: int) -> tuple[Array, Index, Array]:
    """(V, 3) unit normals; (V,) the pair whose wall a vertex lies in, −1 in several or none; (pairs,) areas in mm²."""
    normals, wall_of, areas = np.zeros((len(vertices), 3)), np.full(len(vertices), -2), np.zeros(pairs)
    for f in range(len(faces)):
        a, b, c = faces[f]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        areas[pair_of[f]] += np.sqrt(nx * nx + ny * ny + nz * nz) / 2
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
            wall_of[corner] = pair_of[f] if wall_of[corner] in (-2, pair_of[f]) else -1
    for vertex in range(len(vertices)):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = max(np.sqrt(x * x + y * y + z * z), 1e-30)
        normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = x / length, y / length, z / length
        wall_of[vertex] = max(wall_of[vertex], -1)
    return normals, wall_of, areas


@kernel
def _weigh(
    first: int, last: int, faces: Array, sides: Array, vertices: Array, middle: Array, labels: int
) -> tuple[Array, Array]:
    volumes = np.zeros(labels)
    areas = np.zeros(labels)
    for f in range(first, last):
        a, b, c = faces[f]
        px, py, pz = vertices[a, 0] - middle[0], vertices[a, 1] - middle[1], vertices[a, 2] - middle[2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        swept = (px * nx + py * ny + pz * nz) / 6.0
        area = 0.5 * np.sqrt(nx * nx + ny * ny + nz * nz)
        volumes[sides[f, 0]] += swept
        volumes[sides[f, 1]] -= swept
        areas[sides[f, 0]] += area
        areas[sides[f, 1]] += area
    return volumes, areas
