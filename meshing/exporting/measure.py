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


def box(points: FloatArray) -> FloatArray:
    """(2, 3): the lowest and the highest corner."""
    return np.stack([points.min(axis=0), points.max(axis=0)])


def centroid(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """(3,): the area-weighted mean of the faces; unlike the centre of the volume it is steady for open surfaces too."""
    from meshing.halfedges import middle

    return middle(vertices, faces)
