"""Labelled shapes with known truth, on any grid; for tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid

Points = npt.NDArray[np.float64]
Inside = Callable[[Points], npt.NDArray[np.bool_]]


def upright_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid along L, P, S whose middle lies off the origin, as scans' do."""
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = (-31.0, 12.5, 207.0)
    return Grid(shape, matrix)


def storage_orders(grid: Grid) -> list[Grid]:
    """The 48 grids that hold the same voxels in another order: 6 axis orders times 8 flips."""
    orders = []
    for axes in permutations(range(3)):
        for flips in product((False, True), repeat=3):
            matrix = np.eye(4)
            shape = tuple(grid.shape[axis] for axis in axes)
            origin = np.zeros(3)
            for column, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
                step = grid.voxel_to_patient[:3, axis]
                matrix[:3, column] = -step if flip else step
                if flip:
                    origin += step * (grid.shape[axis] - 1)
            matrix[:3, 3] = grid.voxel_to_patient[:3, 3] + origin
            orders.append(Grid((shape[0], shape[1], shape[2]), matrix))
    return orders


def oblique(grid: Grid, seed: int = 0) -> Grid:
    """The grid turned about its middle by a random rotation."""
    from scipy.spatial.transform import Rotation

    turn = np.eye(4)
    turn[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    middle = grid.to_patient((np.array(grid.shape) - 1) / 2)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    return Grid(grid.shape, turn @ grid.voxel_to_patient)


def centres(grid: Grid) -> Points:
    """Voxel centres in LPS mm, shape (*shape, 3)."""
    return grid.to_patient(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1))


def middle_of(grid: Grid) -> Points:
    return grid.to_patient((np.array(grid.shape) - 1) / 2)


def ball(centre: npt.ArrayLike, radius_mm: float) -> Inside:
    return lambda points: np.linalg.norm(points - np.asarray(centre), axis=-1) <= radius_mm


def capsule(start: npt.ArrayLike, end: npt.ArrayLike, radius_mm: float) -> Inside:
    a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)

    def inside(points: Points) -> npt.NDArray[np.bool_]:
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        return np.linalg.norm(points - a - t[..., None] * (b - a), axis=-1) <= radius_mm

    return inside


def labelled(grid: Grid, shapes: dict[str, Inside]) -> Segmentation:
    """One layer with a label per shape; later shapes overwrite earlier ones."""
    layer = np.zeros(grid.shape, np.uint8, order="F")
    points = centres(grid)
    for label, inside in enumerate(shapes.values(), start=1):
        layer[inside(points)] = label
    segments = tuple(
        Segment(key, label, 0, Structure(key, key.title(), key)) for label, key in enumerate(shapes, start=1)
    )
    return Segmentation((layer,), grid, segments, "test shapes")
