"""vtkSurfaceNets3D over all labels at once with its smoothing as it comes, split by label, then fast-simplification."""

from __future__ import annotations

import fast_simplification
import numpy as np
import numpy.typing as npt
import SimpleITK
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

from benchmarks.contenders.notes import Diary, job
from benchmarks.contenders.scene import Mesh, write_scene
from benchmarks.vtkmesh import arrays_of, image_of


def main() -> None:
    diary = Diary()
    work = job()
    with diary.stages.stage("reading"):
        image = SimpleITK.ReadImage(str(work.source))
        voxels = SimpleITK.GetArrayViewFromImage(image).T
        spacing = np.array(image.GetSpacing())
    diary.ready()
    with diary.stages.stage("surface nets, smoothing"):
        labels = [int(label) for label in np.unique(voxels) if label]
        nets = vtkSurfaceNets3D()
        nets.SetInputData(image_of(voxels))
        for number, label in enumerate(labels):
            nets.SetValue(number, label)
        nets.SetOutputMeshTypeToTriangles()
        nets.Update()
        vertices, faces = arrays_of(nets.GetOutput())
        sides = vtk_to_numpy(nets.GetOutput().GetCellData().GetArray("BoundaryLabels")).astype(np.int64)
    with diary.stages.stage("splitting"):
        parts = {label: _part(vertices, faces, sides, label) for label in labels}
    reduction = 1 - work.budget / sum(len(triangles) for _, triangles in parts.values())
    with diary.stages.stage("fast-simplification"):
        meshes = {
            f"label_{label}": fast_simplification.simplify(points * spacing, triangles, target_reduction=reduction)
            for label, (points, triangles) in parts.items()
        }
    with diary.stages.stage("writing"):
        write_scene(work.target, meshes)
    diary.write(work.notes)


def _part(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], sides: npt.NDArray[np.int64], label: int
) -> Mesh:
    """The triangles round a label, outward, with the vertices that they use."""
    mine = np.concatenate([faces[sides[:, 0] == label], faces[sides[:, 1] == label][:, ::-1]])
    used, corners = np.unique(mine, return_inverse=True)
    return vertices[used].astype(np.float32), corners.reshape(-1, 3)


if __name__ == "__main__":
    main()
