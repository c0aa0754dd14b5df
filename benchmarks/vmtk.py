"""VMTK's own centrelines of mra_aorta_vmtk, carried from its RAS to LPS; for tests and the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.vessels import VesselTree

Points = npt.NDArray[np.float64]
SMALLEST_EDGE_MM = 0.879
SAMPLE_MM = 0.1


@dataclass(frozen=True, eq=False)
class Piece:
    """A branch of VMTK's: its group, whether it lies within the bifurcation (blanked), points (N, 3), radii (N,)."""

    group: int
    is_blanked: bool
    points: Points
    radius: Points


def read_surface(folder: Path) -> tuple[Points, npt.NDArray[np.int32]]:
    """Vertices in LPS mm, and outward faces: two axes turned are no mirror."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    mesh = _read(folder / "aorta-surface.vtp")
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64) * (-1.0, -1.0, 1.0)
    return points, vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)


def read_pieces(folder: Path) -> list[Piece]:
    """VMTK's branches: one line for each of its two centrelines and groups."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    mesh = _read(folder / "aorta-centerline-branches.vtp")
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64) * (-1.0, -1.0, 1.0)
    radius = vtk_to_numpy(mesh.GetPointData().GetArray("MaximumInscribedSphereRadius")).astype(np.float64)
    group, blanked = (mesh.GetCellData().GetArray(name) for name in ("GroupIds", "Blanking"))
    found = []
    for number in range(mesh.GetNumberOfCells()):
        cell = mesh.GetCell(number)
        rows = [cell.GetPointId(at) for at in range(cell.GetNumberOfPoints())]
        found.append(Piece(int(group.GetTuple1(number)), bool(blanked.GetTuple1(number)), points[rows], radius[rows]))
    return found


def _read(path: Path) -> Any:
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput()


@dataclass(frozen=True)
class Beside:
    """A line of VMTK's beside the tree, mm: distances to the tree and back, and the bias of the radius as a share."""

    mean_mm: float
    most_mm: float
    back_mean_mm: float
    back_most_mm: float
    radius_bias: float


def beside(piece: Piece, tree: VesselTree) -> Beside:
    """How far a piece lies from the tree; back, the points of the tree whose nearest point is not the piece's end."""
    from scipy.spatial import cKDTree

    theirs, their_radius = sampled(piece.points, piece.radius)
    lines = [sampled(branch.points_mm, branch.radius_mm) for branch in tree.branches]
    ours, our_radius = np.vstack([line for line, _ in lines]), np.concatenate([radius for _, radius in lines])
    away, row = cKDTree(ours).query(theirs)
    back, their_row = cKDTree(theirs).query(ours[np.unique(row)])
    inner = (their_row > 0) & (their_row < len(theirs) - 1)
    back = back[inner] if inner.any() else back
    bias = float((our_radius[row] / their_radius - 1.0).mean())
    return Beside(float(away.mean()), float(away.max()), float(back.mean()), float(back.max()), bias)


def sampled(points: Points, radius: Points) -> tuple[Points, Points]:
    """A line and its radii at even steps of 0.1 mm."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    even = np.arange(0.0, arc[-1], SAMPLE_MM)
    return np.stack([np.interp(even, arc, points[:, axis]) for axis in range(3)], axis=1), np.interp(even, arc, radius)
