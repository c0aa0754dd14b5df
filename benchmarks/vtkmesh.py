"""VTK's filters as peers use them; arrays in, arrays out, index space unless said otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def image_of(voxels: Array) -> Any:
    """`vtkImageData` of an array in (i, j, k), unit spacing, origin 0; the caller keeps the array alive."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*voxels.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(order="F"), deep=True))
    return image


def discrete_flying_edges(mask: Array) -> Any:
    """The polygons round the ones of a padded mask."""
    from vtkmodules.vtkFiltersGeneral import vtkDiscreteFlyingEdges3D

    edges = vtkDiscreteFlyingEdges3D()
    edges.SetInputData(image_of(mask))
    edges.SetValue(0, 1)
    edges.ComputeGradientsOff()
    edges.ComputeNormalsOff()
    edges.Update()
    return edges.GetOutput()


def surface_nets(mask: Array) -> tuple[Array, Array]:
    """Vertices and triangles of `vtkSurfaceNets3D` with its own smoothing as it comes."""
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    nets = vtkSurfaceNets3D()
    nets.SetInputData(image_of(mask))
    nets.SetValue(0, 1)
    nets.SetOutputMeshTypeToTriangles()
    nets.Update()
    return arrays_of(nets.GetOutput())


def decimated_pro(polygons: Any, reduction: float) -> Any:
    """3D Slicer's decimation: no splitting, topology kept."""
    from vtkmodules.vtkFiltersCore import vtkDecimatePro

    decimate = vtkDecimatePro()
    decimate.SetInputData(polygons)
    decimate.SetFeatureAngle(60)
    decimate.SplittingOff()
    decimate.PreserveTopologyOn()
    decimate.SetMaximumError(1)
    decimate.SetTargetReduction(reduction)
    decimate.Update()
    return decimate.GetOutput()


def windowed_sinc(polygons: Any, passes: int, pass_band: float) -> tuple[Array, Array]:
    """3D Slicer's smoothing: boundaries and feature edges free."""
    from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter

    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(polygons)
    smooth.SetNumberOfIterations(passes)
    smooth.SetPassBand(pass_band)
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    return arrays_of(smooth.GetOutput())


def arrays_of(polygons: Any) -> tuple[Array, Array]:
    """Vertices (V, 3) float64 and triangles (F, 3) int64; both empty where nothing is left."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if polygons.GetNumberOfPolys() == 0:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    vertices = vtk_to_numpy(polygons.GetPoints().GetData()).astype(np.float64)
    return vertices, vtk_to_numpy(polygons.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)


def closest_distances(points: Array, vertices: Array, faces: Array) -> Array:
    """Exact distance of each point (N, 3) to the nearest triangle, shape (N,)."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    field = vtkImplicitPolyDataDistance()
    field.SetInput(polygons_of(vertices, faces))
    signed = vtkDoubleArray()
    field.EvaluateFunction(numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64)), signed)
    distances: Array = np.abs(vtk_to_numpy(signed))
    return distances


def polygons_of(vertices: Array, faces: Array) -> Any:
    """`vtkPolyData` with copies of both arrays."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(vertices, dtype=np.float64), deep=True))
    cells = vtkCellArray()
    corners = np.ascontiguousarray(faces.ravel(), dtype=np.int64)
    offsets = np.arange(0, corners.size + 1, 3, dtype=np.int64)
    cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(corners, deep=True))
    polygons = vtkPolyData()
    polygons.SetPoints(points)
    polygons.SetPolys(cells)
    return polygons
