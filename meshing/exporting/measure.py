"""Small measurements of triangles that the writers and the verifier share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.surface import Faces, Surface


def used_part(surface: Surface) -> tuple[FloatArray, Faces]:
    """Vertices (float64, LPS mm) that some face uses, in their order, and the faces that name them."""
    is_used = np.zeros(len(surface.vertices), dtype=bool)
    is_used[surface.faces] = True
    vertices = surface.vertices[is_used].astype(np.float64)
    if is_used.all():
        return vertices, surface.faces
    number = np.cumsum(is_used, dtype=np.int32) - 1
    return vertices, number[surface.faces].astype(np.int32)


def open_edges(faces: npt.NDArray[np.integer]) -> int:
    """Edges that run one way only: a closed surface runs along each both ways."""
    count = int(faces.max()) + 1
    start, stop = faces.astype(np.int64).ravel(), np.roll(faces, -1, axis=1).astype(np.int64).ravel()
    there, back = np.sort(start * count + stop), np.sort(stop * count + start)
    return 0 if np.array_equal(there, back) else len(np.setdiff1d(there, back))


def box(points: FloatArray) -> FloatArray:
    """(2, 3): the lowest and the highest corner."""
    return np.stack([points.min(axis=0), points.max(axis=0)])


def centroid(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """(3,): the area-weighted mean of the faces; unlike the centre of the volume it is steady for open surfaces too."""
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    middle: FloatArray = np.average(corners.mean(axis=1), axis=0, weights=np.maximum(areas, 1e-30))
    return middle
