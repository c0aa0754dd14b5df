"""Named frames and the rigid maps between them; the only room that knows axis letters.

Inside the project everything is `PATIENT`: L, P, S axes in millimetres (DICOM PS3.3 C.7.6.2.1.1). Doors convert.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import GeometryError

FloatArray = npt.NDArray[np.float64]

_DIRECTION = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Frame:
    """A right-handed frame: its name, what its axes point to in the patient, and the size of its unit.

    Raises
    ------
    GeometryError
        If the axes repeat a direction or are left-handed: a mirrored patient is never a frame.
    """

    name: str
    axes: str
    mm_per_unit: float

    def __post_init__(self) -> None:
        determinant = np.linalg.det(self.rows())
        if determinant < 0.5:
            raise GeometryError(
                f"axes {self.axes!r} have determinant {determinant:.0f}, wanted +1",
                where=f"frame {self.name}",
                hint="swap two axes or turn one round; a left-handed frame would mirror the patient",
            )

    def rows(self) -> FloatArray:
        """The axes as unit rows in LPS, shape (3, 3)."""
        rows = np.zeros((3, 3))
        for row, letter in enumerate(self.axes):
            if letter not in _DIRECTION:
                raise GeometryError(f"axis letter {letter!r} is none of L R P A S I", where=f"frame {self.name}")
            column, sign = _DIRECTION[letter]
            rows[row, column] = sign
        return rows


PATIENT = Frame("patient", "LPS", 1.0)
RAS = Frame("ras", "RAS", 1.0)
GLTF = Frame("gltf", "LSA", 1000.0)


@dataclass(frozen=True, eq=False)
class Transform:
    """A 4×4 map that carries points of `source` to points of `target`.

    `second @ first` composes and refuses frames that do not meet.
    """

    matrix: FloatArray
    source: Frame
    target: Frame

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise GeometryError(f"a transform needs a finite 4×4 matrix, got shape {matrix.shape}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __matmul__(self, first: Transform) -> Transform:
        if first.target != self.source:
            raise GeometryError(
                f"a transform to {first.target.name} is followed by one from {self.source.name}",
                hint="invert one of the two, or insert the missing transform",
            )
        return Transform(self.matrix @ first.matrix, first.source, self.target)

    def __call__(self, points: npt.ArrayLike) -> FloatArray:
        """The points, shape (..., 3), carried to `target`."""
        points = np.asarray(points, dtype=np.float64)
        carried: FloatArray = points @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return carried

    def inverse(self) -> Transform:
        return Transform(np.linalg.inv(self.matrix).astype(np.float64), self.target, self.source)


def between(source: Frame, target: Frame) -> Transform:
    """The transform that only renames axes and changes the unit."""
    matrix = np.eye(4)
    matrix[:3, :3] = (target.rows() @ source.rows().T) * (source.mm_per_unit / target.mm_per_unit)
    return Transform(matrix, source, target)


def patient_to_gltf(centre_mm: npt.ArrayLike) -> Transform:
    """PATIENT to glTF (metres, +Y up, +Z the patient's front) with `centre_mm`, shape (3,), at the origin.

    References
    ----------
    glTF 2.0 §3.4 "Coordinate System and Units".
    """
    recentre = np.eye(4)
    recentre[:3, 3] = -np.asarray(centre_mm, dtype=np.float64)
    return between(PATIENT, GLTF) @ Transform(recentre, PATIENT, PATIENT)
