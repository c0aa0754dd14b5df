"""How far two surfaces lie apart: exact distances to triangles from dense samples, both ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.surface import Deviation, Surface

Points = npt.NDArray[np.float64]


def deviation(one: Surface, other: Surface, *, samples: int = 4_000) -> Deviation:
    """Two-sided distance between surfaces, in mm.

    Samples lie evenly by area, and at vertices, where a lost tip shows. The mean is over the even samples and weighs
    both directions alike; the maximum is the sampled Hausdorff distance.

    Parameters
    ----------
    samples
        Even ones per direction; 4,000 hold the mean stable to a few per cent.
    """
    if len(one.faces) == 0 or len(other.faces) == 0:
        return Deviation(float("inf"), float("inf"))
    there, back = _to_other(one, other, samples), _to_other(other, one, samples)
    mean = (there[:samples].mean() + back[:samples].mean()) / 2
    return Deviation(float(mean), float(max(there.max(), back.max())))


def distances_mm(points: Points, surface: Surface) -> Points:
    """Distance of every point, shape (N, 3), to the nearest point of the surface."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray, vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    corners = vtkPoints()
    corners.SetData(numpy_to_vtk(surface.vertices.astype(np.float64), deep=True))
    cells = vtkCellArray()
    cells.SetData(
        numpy_to_vtkIdTypeArray(np.arange(0, surface.faces.size + 1, 3, dtype=np.int64), deep=True),
        numpy_to_vtkIdTypeArray(surface.faces.ravel().astype(np.int64), deep=True),
    )
    triangles = vtkPolyData()
    triangles.SetPoints(corners)
    triangles.SetPolys(cells)
    distance = vtkImplicitPolyDataDistance()
    distance.SetInput(triangles)
    signed = vtkDoubleArray()
    distance.FunctionValue(numpy_to_vtk(np.ascontiguousarray(points)), signed)
    found: Points = np.abs(vtk_to_numpy(signed).astype(np.float64))
    return found


def _to_other(one: Surface, other: Surface, samples: int) -> Points:
    """Distances of the even samples of `one`, then of up to twice as many of its vertices."""
    step = max(len(one.vertices) // (2 * samples), 1)
    return distances_mm(np.vstack([_spread(one, samples), one.vertices[::step].astype(np.float64)]), other)


def _spread(surface: Surface, count: int) -> Points:
    """Points even by area; the same each time (a low-discrepancy sequence within the faces)."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    ends = np.cumsum(area) / max(area.sum(), 1e-30)
    face = np.searchsorted(ends, (np.arange(count) + 0.5) / count).clip(0, len(ends) - 1)
    number = np.arange(count)
    u, v = (number * 0.7548776662466927) % 1.0, (number * 0.5698402909980532) % 1.0
    is_outside = u + v > 1
    u, v = np.where(is_outside, 1 - u, u)[:, None], np.where(is_outside, 1 - v, v)[:, None]
    points: Points = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return points
