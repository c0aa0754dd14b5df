"""A label layer becomes shared walls: the steps of this room in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.deviation.netwalls import NetWalls, keeps_lengths, net_walls
from meshing.errors import SurfaceError
from meshing.nets.balance import balanced, weighed
from meshing.nets.curves import sharpened
from meshing.nets.edges import moved_to_edges
from meshing.nets.lattice import Flat, Net, cropped, net_of
from meshing.nets.merge import merged
from meshing.nets.quads import NetPoints, Quads, QuadSides, points_of, quads_of, triangles_of
from meshing.nets.relax import Relaxing, relaxed
from meshing.nets.scene import scene_of
from meshing.progress import Progress, silent
from meshing.runs import tally
from meshing.threads import kernel, over_rows
from meshing.volume import Grid, Voxels
from meshing.walls import Walls

Array = npt.NDArray[np.float64]

FINE = Relaxing(rounds=10, steps=7, degree=16, floor=0.003, reach=0.9999, diagonal=0.9999)
"""For a lattice of half the voxel size, whose corners are copies."""


@dataclass(frozen=True)
class NetSettings:
    """How a net is made.

    Parameters
    ----------
    is_fine
        Cut every voxel in eight first: four times the triangles, and a vessel of 1 mm comes out rounder.
    """

    relaxing: Relaxing = field(default_factory=Relaxing)
    is_fine: bool = False


@dataclass(frozen=True, eq=False)
class Netted:
    """A smooth net, before it becomes triangles.

    Parameters
    ----------
    points
        (V, 3) float32, mm along the lattice's axes.
    volumes_mm3, areas_mm2
        (labels,): of what came out.
    lattice_to_patient
        (4, 4): those millimetres to LPS.
    spacing_mm
        (3,): of the lattice.
    """

    net: Net
    points: NetPoints
    quads: Quads
    sides: QuadSides
    volumes_mm3: Array
    areas_mm2: Array
    lattice_to_patient: Array
    spacing_mm: Array


def netted(
    layer: npt.NDArray[Any],
    grid: Grid,
    settings: NetSettings,
    *,
    image: Voxels | None = None,
    progress: Progress = silent,
) -> Netted | None:
    """The smooth net of a layer; None when it holds no label.

    Parameters
    ----------
    image
        Grey values on the same grid: where they show an edge, walls move there. Not looked at when `is_fine`.
    """
    _refuse_shear(grid)
    crop = cropped(layer)
    if crop is None:
        return None
    voxels, shape, first = crop
    spacing = np.asarray(grid.spacing_mm, np.float64)
    frame = _frame(grid, first, spacing)
    relaxing = settings.relaxing
    if settings.is_fine:
        voxels, shape, spacing, relaxing = _doubled(voxels, shape), _twice(shape), spacing / 2, FINE
        frame = frame @ _shift(-spacing / 2)
    progress(0.1, "finding walls")
    net = net_of(voxels, shape)
    progress(0.2, "smoothing walls")
    points = points_of(net, relaxed(net, spacing, relaxing), spacing)
    walls = quads_of(net)
    progress(0.4, "balancing volumes")
    points = sharpened(net, points, walls[0], spacing, relaxing)
    wanted = tally(voxels, int(layer.max()) + 1) * spacing.prod()
    found = balanced(net, points, walls, wanted, spacing, relaxing)
    if image is not None and not settings.is_fine:
        progress(0.5, "looking for edges")
        scene = scene_of(image, voxels, shape, first, spacing)
        points, _ = moved_to_edges(net, found.points, pieces=walls, scene=scene)
        found = weighed(points, walls, len(wanted))
    return Netted(net, found.points, *walls, found.volumes_mm3, found.areas_mm2, frame, spacing)


def _refuse_shear(grid: Grid) -> None:
    """Distances along axes that are not at right angles would be wrong, and so would every volume."""
    upright = abs(np.linalg.det(grid.voxel_to_patient[:3, :3])) / np.prod(grid.spacing_mm)
    if upright < 0.999:
        raise SurfaceError(
            f"the axes of the grid are sheared: its voxels have {100 * upright:.1f} % of the volume of upright ones",
            where="grid",
            hint="resample the labels onto a grid with axes at right angles",
        )


def walls_of(netted: Netted) -> Walls:
    """All its triangles."""
    return _walls(netted, netted.points)


def index_of(netted: Netted) -> NetWalls | Walls:
    """All its walls, to measure distances to: without triangles, save on a grid whose axes lean a little."""
    matrix = netted.lattice_to_patient
    if not keeps_lengths(matrix):
        return walls_of(netted)
    net = netted.net
    return net_walls(
        net.start,
        net.xs,
        net.shape[1] - 1,
        spacing_mm=netted.spacing_mm,
        points=netted.points,
        quads=netted.quads,
        sides=netted.sides,
        to_patient=matrix,
    )


def fewer_walls_of(netted: Netted, tolerance_mm: Array) -> Walls:
    """Triangles with flat cells merged, by at most `tolerance_mm` (labels,) from what they replace."""
    stands_for, points = merged(netted.net, netted.quads, netted.points, tolerance_mm)
    return _walls(netted, points, stands_for)


def _walls(netted: Netted, points: NetPoints, stands_for: npt.NDArray[np.uint32] | None = None) -> Walls:
    faces, sides = triangles_of(netted.quads, netted.sides, points, stands_for)
    matrix = netted.lattice_to_patient
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces[:, [1, 2]] = faces[:, [2, 1]]
    placed = np.empty(points.shape)
    over_rows(_into_patient, len(points), points, np.ascontiguousarray(matrix), placed)
    return Walls(placed, faces, sides)


@kernel
def _into_patient(first: int, last: int, points: Array, matrix: Array, placed: Array) -> None:
    for v in range(first, last):
        for axis in range(3):
            placed[v, axis] = (
                matrix[axis, 0] * points[v, 0]
                + matrix[axis, 1] * points[v, 1]
                + matrix[axis, 2] * points[v, 2]
                + matrix[axis, 3]
            )


def _frame(grid: Grid, first: tuple[int, int, int], spacing: Array) -> Array:
    """Lattice millimetres to LPS: the lattice begins in the middle of voxel `first`."""
    scale = np.diag([*(1 / spacing), 1.0])
    scale[:3, 3] = first
    found: Array = grid.voxel_to_patient @ scale
    return found


def _shift(by_mm: Array) -> Array:
    matrix = np.eye(4)
    matrix[:3, 3] = by_mm
    return matrix


def _twice(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return 2 * shape[0], 2 * shape[1], 2 * shape[2]


def _doubled(voxels: Flat, shape: tuple[int, int, int]) -> Flat:
    """Every voxel in eight."""
    try:
        big = voxels.reshape(shape[::-1])
        for axis in range(3):
            big = np.repeat(big, 2, axis=axis)
    except MemoryError as error:
        raise SurfaceError(
            f"a finer net of {shape[0]} × {shape[1]} × {shape[2]} voxels needs {8 * voxels.nbytes / 1e9:.1f} GB",
            where="labels",
            hint="leave --fine out, or build fewer structures",
        ) from error
    return big.reshape(-1)
