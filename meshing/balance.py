"""Every part of shared walls gets the volume that it should have: each wall moves by the difference of two numbers.

Part a grows by α_a everywhere, its neighbour b by α_b; their wall moves by α_a − α_b along its normal. With A_ab the
area of that wall, the volumes ask for (diag(Σ_b A_ab) − A) α = ΔV, α = 0 outside of everything: a weighted graph
Laplacian, solved by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from meshing.walls import Points, Walls

Array = npt.NDArray[np.float64]

_STEPS = 3
_CLOSE = 1e-4
"""Share of its volume that a part may lack when the steps end."""


def volumes_mm3(walls: Walls, labels: int) -> Array:
    """(labels,): volume by label, by the divergence theorem."""
    swept = _swept(_corners(walls))
    behind, before = walls.sides.T
    found = (np.bincount(behind, swept, labels) - np.bincount(before, swept, labels)).astype(np.float64)
    found[0] = 0.0
    return found


def areas_mm2(walls: Walls, labels: int) -> Array:
    """(labels,): area by label; a shared wall counts for both."""
    area = np.linalg.norm(_across(_corners(walls)), axis=1) / 2
    behind, before = walls.sides.T
    return (np.bincount(behind, area, labels) + np.bincount(before, area, labels)).astype(np.float64)


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
        missing = wanted_mm3 - volumes_mm3(walls, labels)
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


def _swept(corners: Array) -> Array:
    found: Array = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    return found


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
