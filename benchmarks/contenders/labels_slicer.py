"""3D Slicer's rule in a VTK script: each segment cropped, contoured, decimated and smoothed by itself.

`vtkBinaryLabelmapToClosedSurfaceConversionRule` filter by filter, in its order, with the smoothing that takes least of
thin vessels.
"""

from __future__ import annotations

import numpy as np
import SimpleITK
from scipy.ndimage import find_objects

from benchmarks.contenders.notes import Diary, job
from benchmarks.contenders.scene import write_scene
from benchmarks.vtkmesh import decimated_pro, discrete_flying_edges, windowed_sinc


def main() -> None:
    diary = Diary()
    work = job()
    with diary.stages.stage("reading"):
        image = SimpleITK.ReadImage(str(work.source))
        voxels = SimpleITK.GetArrayViewFromImage(image).T
        spacing = np.array(image.GetSpacing())
    diary.ready()
    contours = {}
    with diary.stages.stage("crop, flying edges"):
        for label, box in enumerate(find_objects(voxels), start=1):
            if box is not None:
                mask = np.pad((voxels[box] == label).astype(np.uint8), 1)
                contours[label] = discrete_flying_edges(mask), np.array([part.start - 1 for part in box])
    reduction = 1 - work.budget / sum(polygons.GetNumberOfPolys() for polygons, _ in contours.values())
    meshes = {}
    for label, (polygons, start) in contours.items():
        with diary.stages.stage("DecimatePro"):
            fewer = decimated_pro(polygons, reduction)
        with diary.stages.stage("windowed sinc"):
            vertices, faces = windowed_sinc(fewer, 20, 0.1)
        meshes[f"label_{label}"] = (vertices + start) * spacing, faces
    with diary.stages.stage("writing"):
        write_scene(work.target, meshes)
    diary.write(work.notes)


if __name__ == "__main__":
    main()
