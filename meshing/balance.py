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
from meshing.walls import Points, Walls

Array = npt.NDArray[np.float64]

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
    pairs, pair_of = np.unique(walls.sides.astype(np.int64) @ [labels, 1], return_inverse=True)
    pair_labels = np.column_stack([pairs // labels, pairs % labels]).astype(np.int64)
    wall_of = _only_wall(walls, pair_of, len(pairs))
    free = np.flatnonzero(wall_of >= 0)
    left_mm = most_mm
    for _ in range(_STEPS):
        missing = wanted_mm3 - sizes_mm(walls, labels)[0]
        missing[0] = 0.0
        if (np.abs(missing) <= _CLOSE * np.maximum(wanted_mm3, 1e-9)).all():
            break
        across = _across(_corners(walls))
        areas = np.bincount(pair_of, np.linalg.norm(across, axis=1) / 2, len(pairs)).astype(np.float64)
        growth = growth_mm(pair_labels, areas, missing)
        step = np.clip(growth[pair_labels[:, 0]] - growth[pair_labels[:, 1]], -left_mm, left_mm)
        vertices = walls.vertices.copy()
        vertices[free] += _normals(walls, across)[free] * step[wall_of[free], None]
        walls = replace(walls, vertices=vertices)
        left_mm -= float(np.abs(step).max(initial=0.0))
        if left_mm <= 0:
            break
    return walls


def growth_mm(pairs: npt.NDArray[np.int64], areas: Array, missing: Array) -> Array:
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


def _corners(walls: Walls) -> Array:
    """(F, 3, 3), about the middle, where rounding is smallest."""
    middle = walls.vertices.mean(axis=0) if len(walls.vertices) else np.zeros(3)
    found: Array = (walls.vertices - middle)[walls.faces]
    return found


def _across(corners: Array) -> Array:
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _only_wall(walls: Walls, pair_of: npt.NDArray[np.int64], pairs: int) -> npt.NDArray[np.int64]:
    """(V,): the pair whose wall a vertex lies in; −1 where it lies in several, or in none."""
    low = np.full(len(walls.vertices), pairs, np.int64)
    high = np.full(len(walls.vertices), -1, np.int64)
    for corner in walls.faces.T:
        np.minimum.at(low, corner, pair_of)
        np.maximum.at(high, corner, pair_of)
    return np.where(low == high, low, -1)


def _normals(walls: Walls, across: Array) -> Points:
    normals = np.empty_like(walls.vertices)
    for axis in range(3):
        weights = np.repeat(across[:, axis], 3)
        normals[:, axis] = np.bincount(walls.faces.ravel(), weights, len(normals))
    unit: Points = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return unit


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
