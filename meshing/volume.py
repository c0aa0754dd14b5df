"""The scan as numbers in space: `Grid` says where voxels lie, `Volume` what they hold.

Index order is (i, j, k) everywhere; `voxel_to_patient` carries voxel centres to LPS millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import GeometryError
from meshing.frames import FloatArray

Voxels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxel centres.

    Parameters
    ----------
    shape
        Voxels along i, j, k.
    voxel_to_patient
        (4, 4), indices to LPS mm. May be left-handed (its surfaces are then flipped) and oblique, never singular.
    frame_of_reference
        A salted identifier: equal for grids whose millimetres may be compared.
    """

    shape: tuple[int, int, int]
    voxel_to_patient: FloatArray
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        matrix = np.array(self.voxel_to_patient, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"a grid needs three positive sizes, got {shape}")
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise GeometryError("voxel_to_patient is not a finite 4×4 matrix")
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if spacing.min() < 1e-6 or abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-3:
            raise GeometryError(f"voxel axes are singular: spacing {spacing.round(6).tolist()} mm")
        matrix.setflags(write=False)
        object.__setattr__(self, "voxel_to_patient", matrix)
        object.__setattr__(self, "shape", shape)

    @property
    def spacing_mm(self) -> FloatArray:
        spacing: FloatArray = np.linalg.norm(self.voxel_to_patient[:3, :3], axis=0)
        return spacing

    @property
    def origin_mm(self) -> FloatArray:
        return self.voxel_to_patient[:3, 3]

    @property
    def direction(self) -> FloatArray:
        """(3, 3); columns are the unit vectors of i, j, k in LPS."""
        direction: FloatArray = self.voxel_to_patient[:3, :3] / self.spacing_mm
        return direction

    @property
    def voxel_volume_mm3(self) -> float:
        return float(abs(np.linalg.det(self.voxel_to_patient[:3, :3])))

    @property
    def is_left_handed(self) -> bool:
        return bool(np.linalg.det(self.voxel_to_patient[:3, :3]) < 0)

    def to_patient(self, indices: npt.ArrayLike) -> FloatArray:
        """LPS mm of (continuous) voxel indices, shape (..., 3)."""
        m = self.voxel_to_patient
        carried: FloatArray = np.asarray(indices, dtype=np.float64) @ m[:3, :3].T + m[:3, 3]
        return carried

    def to_voxel(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Continuous voxel indices of LPS points, shape (..., 3)."""
        m = np.linalg.inv(self.voxel_to_patient)
        carried: FloatArray = np.asarray(points_mm, dtype=np.float64) @ m[:3, :3].T + m[:3, 3]
        return carried


def is_same_grid(one: Grid, other: Grid, tolerance_voxel: float = 0.01) -> bool:
    """Whether both grids place every voxel within `tolerance_voxel` of each other."""
    if one.shape != other.shape:
        return False
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in one.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(one.to_patient(corners) - other.to_patient(corners), axis=1)
    return bool(distance.max() <= tolerance_voxel * one.spacing_mm.min())


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan: voxels on a grid.

    Parameters
    ----------
    voxels
        shape `grid.shape`, int16 or float32, read-only; `modality` CT means Hounsfield units.
    outside
        bool, shape `grid.shape`, or None: voxels that the scanner never measured (padding, the wedge left by a
        tilt correction). `voxels` there hold the lowest real value, so that they read as air.
    """

    voxels: Voxels
    grid: Grid
    modality: str
    unit: str
    outside: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name, array in (("voxels", self.voxels), ("outside", self.outside)):
            if array is None:
                continue
            if tuple(array.shape) != self.grid.shape:
                raise GeometryError(f"{name} have shape {array.shape}, the grid {self.grid.shape}")
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)


@dataclass(frozen=True)
class Fact:
    """Something done to the scan, or noticed in it, that the user must be able to read later.

    Parameters
    ----------
    kind
        A stable word: "tilt", "gaps", "jitter", "padding", "duplicates", "rescale", "labels", …
    text
        One sentence for people, with the numbers.
    values
        The numbers alone, JSON-ready.
    """

    kind: str
    text: str
    values: dict[str, Any]
