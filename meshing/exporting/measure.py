"""Small measurements of triangles that the writers and the verifier share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.surface import Faces, Surface


def used_part(surface: Surface) -> tuple[FloatArray, Faces]:
    """Vertices (float64, LPS mm) that some face uses, in their order, and the faces that name them."""
    used, faces = np.unique(surface.faces, return_inverse=True)
    return surface.vertices[used].astype(np.float64), faces.reshape(-1, 3).astype(np.int32)


def box(points: FloatArray) -> FloatArray:
    """(2, 3): the lowest and the highest corner."""
    return np.stack([points.min(axis=0), points.max(axis=0)])


def centroid(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """(3,): the area-weighted mean of the faces; unlike the centre of the volume it is steady for open surfaces too."""
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    middle: FloatArray = np.average(corners.mean(axis=1), axis=0, weights=np.maximum(areas, 1e-30))
    return middle
