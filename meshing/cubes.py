"""Marching cubes: grey values, or each label by itself, become closed triangle surfaces in LPS mm.

VTK's flying edges run on each structure's own box, padded by one voxel so that a structure which touches the border is
closed there; structures run side by side in threads. Neighbours share no walls here: for labels `nets` is the usual
way, and this one there to compare with. Marching cubes on a mask cut corners, so a smoothed surface is led towards the
volume that its voxels have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError
from meshing.progress import Progress, silent
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Faces, Surface, largest_change, require_sound, vertex_normals, volume_ml
from meshing.volume import Grid, Volume, Voxels

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Smoothing:
    """Windowed-sinc smoothing (Taubin 1995) that ends with the volume of the voxels, as far as `largest_change` allows.

    Parameters
    ----------
    passes
        Iterations; 0 leaves the marching-cubes surface as it is.
    pass_band
        0 to 2; smaller is smoother. At 0.1 a 30 mm sphere keeps a mean error of 0.07 mm on 0.7 mm voxels.
    """

    passes: int = 20
    pass_band: float = 0.1


def cubes_of(
    segmentation: Segmentation,
    smoothing: Smoothing = Smoothing(),
    *,
    keys: Sequence[str] | None = None,
    progress: Progress = silent,
) -> dict[str, Surface]:
    """A surface for every segment that has voxels, by key; each for itself.

    Raises
    ------
    SurfaceError
        If a surface comes out open, non-manifold or inward.
    NotFoundError
        If a key is not in the segmentation.
    """
    wanted = [segmentation.segment(key) for key in keys] if keys is not None else list(segmentation.segments)
    boxes = _boxes(segmentation)

    def surface_of(segment: Segment) -> Surface | None:
        box = boxes[segment.layer].get(segment.label)
        if box is None:
            return None
        return _surface_of_mask(
            segmentation.layers[segment.layer][box] == segment.label, box, segment.key, smoothing, grid
        )

    grid = segmentation.grid
    return {
        surface.key: surface
        for surface in _in_threads(surface_of, wanted, progress, "extracting surfaces")
        if surface is not None
    }


def extract_grey(
    volume: Volume, level: float, key: str, smoothing: Smoothing | None = None, *, progress: Progress = silent
) -> Surface:
    """The surface where grey values pass `level`, brighter voxels inside.

    On integer voxels an integer level would run exactly through voxel centres and make triangles without area; it is
    raised by half a unit.

    Raises
    ------
    SurfaceError
        If no voxel lies above `level`.
    """
    voxels = volume.voxels
    above = voxels > level
    if not above.any():
        raise SurfaceError(f"no voxel lies above {level:g} {volume.unit} (highest: {voxels.max():g})", where=key)
    if np.issubdtype(voxels.dtype, np.integer) and float(level).is_integer():
        level = level + 0.5
    box = _box_of(above)
    grown = tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, voxels.shape, strict=True))
    progress(0.2, "extracting surface")
    vertices, faces = _flying_edges(*_below(voxels[grown], float(voxels.min())), level)
    start = np.array([s.start for s in grown])
    return _finish(vertices + start, faces, key, smoothing or Smoothing(passes=0), volume.grid)


def _surface_of_mask(
    mask: npt.NDArray[np.bool_], box: tuple[slice, ...], key: str, smoothing: Smoothing, grid: Grid
) -> Surface:
    vertices, faces = _flying_edges(mask.astype(np.uint8), 0.0, 0.5)
    start = np.array([s.start for s in box])
    voxels_ml = int(np.count_nonzero(mask)) * grid.voxel_volume_mm3 / 1000.0
    return _finish(vertices + start, faces, key, smoothing, grid, voxels_ml)


def _finish(
    indices: Points, faces: Faces, key: str, smoothing: Smoothing, grid: Grid, voxels_ml: float | None = None
) -> Surface:
    """Voxel indices → LPS mm, outward faces, smoothed, checked."""
    vertices = grid.to_patient(indices)
    if grid.is_left_handed:
        faces = faces[:, ::-1].copy()
    raw_ml = volume_ml(vertices, faces)
    wanted_ml = raw_ml if voxels_ml is None else _towards(voxels_ml, raw_ml)
    vertices = _smoothed(vertices, faces, smoothing, wanted_ml, float(grid.spacing_mm.min()) / 2)
    surface = Surface(vertices.astype(np.float32), faces, key, raw_volume_ml=raw_ml)
    return require_sound(surface)


def _smoothed(vertices: Points, faces: Faces, smoothing: Smoothing, wanted_ml: float, most_mm: float) -> Points:
    """Smoothed vertices of the wanted volume; specks that no step leads back to it are smoothed less, or not at all."""
    raw_ml = volume_ml(vertices, faces)
    passes = smoothing.passes
    while passes > 0:
        smooth = _windowed_sinc(vertices, faces, Smoothing(passes, smoothing.pass_band))
        smooth = restore_volume(smooth, faces, wanted_ml, most_mm)
        if abs(volume_ml(smooth, faces) - raw_ml) <= largest_change(raw_ml) * raw_ml:
            return smooth
        passes //= 2
    return vertices


def _towards(voxels_ml: float, raw_ml: float) -> float:
    """The volume of the voxels, or the nearest to it within the allowed change, less 5 % of that for rounding."""
    most = 0.95 * largest_change(raw_ml) * raw_ml
    return float(np.clip(voxels_ml, raw_ml - most, raw_ml + most))


def restore_volume(vertices: Points, faces: Faces, wanted_ml: float, most_mm: float) -> Points:
    """Vertices moved along their normals, each by the same amount, until the volume is `wanted_ml`.

    A constant step keeps tubes round and centred. Newton steps: dV/dstep is the area. Together they stay within
    `most_mm`, so a surface never runs through itself to reach a volume it cannot hold.
    """
    moved = vertices
    left_mm = most_mm
    for _ in range(6):
        normals, area_mm2 = vertex_normals(moved, faces)
        missing_mm3 = (wanted_ml - volume_ml(moved, faces)) * 1000.0
        step = float(np.clip(missing_mm3 / max(area_mm2, 1e-9), -left_mm, left_mm))
        if abs(step) < 1e-7:
            break
        moved = moved + step * normals
        left_mm -= abs(step)
    return moved


def _below(voxels: Voxels, lowest: float) -> tuple[Voxels, float]:
    """Voxels of a type that VTK takes and that has a value below the lowest; that value."""
    if voxels.dtype == np.int16 and lowest > np.iinfo(np.int16).min:
        return voxels, lowest - 1.0
    return voxels.astype(np.float32), lowest - 1.0


def _flying_edges(voxels: Voxels, around: float, level: float) -> tuple[Points, Faces]:
    """Triangles of one box in its own index space, padded with `around`; outward for brighter insides."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    padded = np.full(tuple(n + 2 for n in voxels.shape), around, voxels.dtype, order="F")
    padded[1:-1, 1:-1, 1:-1] = voxels
    image = vtkImageData()
    image.SetDimensions(*padded.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(order="F")))
    contour = vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, level)
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    output = contour.GetOutput()
    vertices = vtk_to_numpy(output.GetPoints().GetData()).astype(np.float64) - 1.0
    faces = vtk_to_numpy(output.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)
    return vertices, faces


def _windowed_sinc(vertices: Points, faces: Faces, smoothing: Smoothing) -> Points:
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter

    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(vertices)))
    cells = vtkCellArray()
    offsets = np.arange(0, faces.size + 1, 3, dtype=np.int64)
    connectivity = np.ascontiguousarray(faces.ravel(), dtype=np.int64)
    cells.SetData(numpy_to_vtkIdTypeArray(offsets), numpy_to_vtkIdTypeArray(connectivity))
    polygons = vtkPolyData()
    polygons.SetPoints(points)
    polygons.SetPolys(cells)
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(polygons)
    smooth.SetNumberOfIterations(smoothing.passes)
    smooth.SetPassBand(smoothing.pass_band)
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    moved: Points = vtk_to_numpy(smooth.GetOutput().GetPoints().GetData()).astype(np.float64)
    return moved


def _boxes(segmentation: Segmentation) -> list[dict[int, tuple[slice, ...]]]:
    """Per layer, label → the box of its voxels."""
    from scipy.ndimage import find_objects

    return [
        {label: box for label, box in enumerate(find_objects(layer), start=1) if box is not None}
        for layer in segmentation.layers
    ]


def _box_of(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        lines = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(lines[0]), int(lines[-1]) + 1))
    return tuple(box)


def _in_threads(work: Callable[[Any], Any], items: Sequence[Any], progress: Progress, doing: str) -> list[Any]:
    """`work` of every item, in order; a raised `Cancelled` or error stops what has not begun."""
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            results = []
            for done, future in enumerate(futures):
                progress(done / max(len(futures), 1), doing)
                results.append(future.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    progress(1.0, doing)
    return results
