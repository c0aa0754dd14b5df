"""The walls between the parts of one label layer, as one complex of triangles that all parts share.

A triangle between liver and kidney is there once, with both names: whoever moves it, moves it for both. Vertices are
LPS mm. Only surfaces cut from the same walls meet without gap or overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError

Points = npt.NDArray[np.float64]
Triangles = npt.NDArray[np.int32]
Sides = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Walls:
    """Triangles, each between two labels.

    Parameters
    ----------
    vertices
        (V, 3) float64, LPS mm; read-only.
    faces
        (F, 3) int32; counter-clockwise as seen from the second side: outward from the first; read-only.
    sides
        (F, 2) int32: the label behind and the label before each triangle; 0 is outside of everything and never stands
        first; read-only.
    """

    vertices: Points
    faces: Triangles
    sides: Sides

    def __post_init__(self) -> None:
        if self.vertices.shape[1:] != (3,) or self.faces.shape[1:] != (3,) or self.sides.shape != (len(self.faces), 2):
            shapes = f"{self.vertices.shape}, {self.faces.shape}, {self.sides.shape}"
            raise SurfaceError(f"shapes {shapes} are not (V, 3), (F, 3) and (F, 2)", where="walls")
        for name in ("vertices", "faces", "sides"):
            view = getattr(self, name).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @property
    def labels(self) -> list[int]:
        """Of the parts, in order, without 0."""
        return [int(label) for label in np.flatnonzero(np.bincount(self.sides.ravel())) if label]
