"""Small measurements of triangles that the writers and the verifier share."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.surface import Faces, Surface

Float = TypeVar("Float", bound=np.floating)


def used_part(surface: Surface) -> tuple[FloatArray, Faces]:
    """Vertices (float64, LPS mm) that some face uses, in their order, and the faces that name them."""
    is_used = np.zeros(len(surface.vertices), dtype=bool)
    is_used[surface.faces] = True
    vertices = surface.vertices[is_used].astype(np.float64)
    if is_used.all():
        return vertices, surface.faces
    number = np.cumsum(is_used, dtype=np.int32) - 1
    return vertices, number[surface.faces].astype(np.int32)


def box(points: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """(2, 3): the lowest and the highest corner."""
    columns = points.T  # one after the other: numpy's own way along rows of three takes thirty times as long
    return np.array([[column.min() for column in columns], [column.max() for column in columns]])


def centroid(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """(3,): the area-weighted mean of the faces; unlike the centre of the volume it is steady for open surfaces too."""
    from meshing.triangles.halfedges import middle

    return middle(vertices, faces)
