"""Planes through a scan as a reader sees them: axial from the feet, coronal from the front, sagittal from the left.

In: voxels on a grid, surfaces, a `SliceView` that says which pixels lie where. Out: grey values on square millimetre
pixels. Points are LPS mm; pixel positions are (column, row) with pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meshing.frames import PATIENT, FloatArray, Frame
from meshing.volume import Grid, Voxels

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
Greys = npt.NDArray[np.float32]

_ALIGNED_VOXELS = 0.1  # a grid that drifts less than this over its whole length is sliced along its own axes
_NICE = (1, 2, 5)

# What the rows (rightwards), the columns (downwards) and the normal of each plane point to: radiological convention,
# the patient's right on the reader's left, the front on the left of a sagittal picture.
_FRAMES: dict[Plane, Frame] = {
    "axial": Frame("axial slice", "LPS", 1.0),
    "coronal": Frame("coronal slice", "LIP", 1.0),
    "sagittal": Frame("sagittal slice", "PIR", 1.0),
}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


@dataclass(frozen=True)
class SliceView:
    """Which part of which plane is seen, and by which pixels.

    Parameters
    ----------
    level_mm
        Where the plane cuts its axis: L for sagittal, P for coronal, S for axial.
    first_mm
        (rightwards, downwards) position of the centre of pixel (0, 0) in the plane's own axes.
    shape
        Rows, columns.
    """

    plane: Plane
    level_mm: float
    first_mm: tuple[float, float]
    mm_per_pixel: float
    shape: tuple[int, int]

    def to_pixels(self, points_mm: npt.ArrayLike) -> FloatArray:
        """(column, row) of LPS points, shape (..., 2)."""
        flat = np.asarray(points_mm, dtype=np.float64) @ _FRAMES[self.plane].rows()[:2].T
        pixels: FloatArray = (flat - self.first_mm) / self.mm_per_pixel
        return pixels

    def to_patient(self, pixels: npt.ArrayLike) -> FloatArray:
        """LPS mm of (column, row) positions, shape (..., 3)."""
        flat = np.asarray(pixels, dtype=np.float64) * self.mm_per_pixel + self.first_mm
        rows = _FRAMES[self.plane].rows()
        points: FloatArray = flat @ rows[:2] + self.level_mm * normal(self.plane)
        return points


def normal(plane: Plane) -> FloatArray:
    """Unit vector (3,) in LPS along which the plane's level counts: L, P or S."""
    through: FloatArray = np.abs(_FRAMES[plane].rows()[2])
    return through


def axes(plane: Plane) -> FloatArray:
    """Unit vectors in LPS, shape (2, 3): rightwards and downwards in the picture."""
    return _FRAMES[plane].rows()[:2]


def letters(plane: Plane) -> tuple[str, str, str, str]:
    """What lies at the left, right, top and bottom edge of the picture."""
    right, down = _FRAMES[plane].axes[0], _FRAMES[plane].axes[1]
    return _OPPOSITE[right], right, _OPPOSITE[down], down


def position_text(plane: Plane, level_mm: float) -> str:
    """The level as readers write it: "S 12.5 mm", "R 3.0 mm"."""
    positive = PATIENT.axes[int(np.argmax(normal(plane)))]
    letter = positive if round(level_mm, 1) >= 0 else _OPPOSITE[positive]
    return f"{letter} {abs(level_mm):.1f} mm"


def fitted(plane: Plane, box_mm: FloatArray, level_mm: float, shape: tuple[int, int]) -> tuple[SliceView, float]:
    """The view that shows `box_mm`, shape (2, 3) lower and upper corner, as large as `shape` allows; and its scale bar.

    The zoom is rounded down until the scale bar is a whole number of pixels, so that the bar is exact.
    """
    corners = box_mm @ axes(plane).T
    low, high = corners.min(axis=0), corners.max(axis=0)
    needed = float(max((high[0] - low[0]) / shape[1], (high[1] - low[1]) / shape[0], 1e-3))
    bar_mm = nice_length(0.3 * shape[1] * needed)
    scale = bar_mm / max(math.floor(bar_mm / needed), 1)
    half = scale * (np.array([shape[1], shape[0]]) - 1) / 2
    first = (low + high) / 2 - half
    return SliceView(plane, level_mm, (float(first[0]), float(first[1])), scale, shape), bar_mm


def nice_length(limit_mm: float) -> float:
    """The longest of 1, 2, 5, 10, 20, 50, … mm (or tenths) that is not above `limit_mm`."""
    power = math.floor(math.log10(max(limit_mm, 1e-9)))
    return float(max(n * 10.0**p for p in (power - 1, power) for n in _NICE if n * 10.0**p <= limit_mm * (1 + 1e-9)))


def reslice(voxels: Voxels, grid: Grid, view: SliceView) -> Greys:
    """Grey values of the view, float32 of `view.shape`; NaN outside the scan.

    A grid along the patient's axes is blended between its two nearest planes and magnified by a cubic kernel, or
    averaged where it is shown smaller; an oblique one is interpolated trilinearly. No value leaves the range of its
    neighbours.

    References
    ----------
    Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29(6), 1981.
    """
    if _is_aligned(grid):
        return _along_own_axes(voxels, grid, view)
    return _oblique(voxels, grid, view)


def _is_aligned(grid: Grid) -> bool:
    length = np.array(grid.shape) * grid.spacing_mm
    off_axis = np.sort(np.abs(grid.direction), axis=0)[:2].max(axis=0)
    return bool((length * off_axis).max() < _ALIGNED_VOXELS * grid.spacing_mm.min())


def _along_own_axes(voxels: Voxels, grid: Grid, view: SliceView) -> Greys:
    rows, columns = view.shape
    to_voxel = np.linalg.inv(grid.voxel_to_patient)[:3, :3]
    right, down = axes(view.plane) * view.mm_per_pixel
    across, along = int(np.argmax(np.abs(to_voxel @ right))), int(np.argmax(np.abs(to_voxel @ down)))
    through = 3 - across - along
    first = grid.to_voxel(view.to_patient([0.0, 0.0]))
    plane = _blended(voxels, through, float(first[through]))
    if plane is None:
        return np.full(view.shape, np.nan, np.float32)
    plane = plane if along < across else plane.T
    column = first[across] + (to_voxel @ right)[across] * np.arange(columns)
    row = first[along] + (to_voxel @ down)[along] * np.arange(rows)
    values = _resampled(_resampled(plane, row).T, column).T
    values[~_within(row, plane.shape[0])] = np.nan
    values[:, ~_within(column, plane.shape[1])] = np.nan
    return values


def _within(position: FloatArray, count: int) -> npt.NDArray[np.bool_]:
    """Whether positions lie in a voxel, which reaches half a step beyond its centre."""
    return (position >= -0.5) & (position <= count - 0.5)


def _blended(voxels: Voxels, axis: int, index: float) -> Greys | None:
    """The plane at a continuous index along `axis`, or None outside."""
    count = voxels.shape[axis]
    if not -0.5 - 1e-6 <= index <= count - 0.5 + 1e-6:
        return None
    index = min(max(index, 0.0), count - 1.0)
    below = min(int(index), max(count - 2, 0))
    share = np.float32(index - below)
    planes = np.moveaxis(voxels, axis, 0)  # a view: `np.take` would copy a Fortran-ordered scan first
    lower: Greys = planes[below].astype(np.float32)
    if share < 1e-4:
        return lower
    lower += share * (planes[below + 1].astype(np.float32) - lower)
    return lower


def _resampled(plane: Greys, position: FloatArray) -> Greys:
    """Rows of `plane` at continuous places, shape (len(position), columns).

    Magnified by Keys' kernel (a = −1/2), held between the two nearest rows: a bare cubic would paint a bright rim of
    seven per cent of the step from air to skin. Shrunk by a triangle as wide as the step.
    """
    count = len(plane)
    step = abs(position[1] - position[0]) if len(position) > 1 else 1.0
    if step > 1.0:
        shrunk: Greys = _weights(position, count, step, _triangle) @ plane
        return shrunk
    values: Greys = _weights(position, count, 2.0, _keys) @ plane
    below = np.clip(np.floor(position).astype(np.intp), 0, count - 1)
    lower, upper = plane[below], plane[np.minimum(below + 1, count - 1)]
    return np.clip(values, np.minimum(lower, upper), np.maximum(lower, upper), out=values)


def _weights(position: FloatArray, count: int, reach: float, kernel: Callable[[FloatArray, float], FloatArray]) -> Any:
    """Sparse (len(position), count) weights of a kernel that ends `reach` away; the border's voxels go on outside."""
    from scipy.sparse import csr_matrix

    taps = np.floor(position)[:, None].astype(np.intp) + np.arange(1 - math.ceil(reach), math.ceil(reach) + 1)
    weights = kernel(np.abs(position[:, None] - taps), reach)
    weights /= weights.sum(axis=1, keepdims=True)
    ends = np.arange(len(position) + 1) * taps.shape[1]
    within = np.clip(taps, 0, count - 1)
    return csr_matrix((weights.astype(np.float32).ravel(), within.ravel(), ends), shape=(len(position), count))


def _keys(x: FloatArray, reach: float) -> FloatArray:
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < reach, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0.0))


def _triangle(x: FloatArray, reach: float) -> FloatArray:
    return np.maximum(1.0 - x / reach, 0.0)


def _oblique(voxels: Voxels, grid: Grid, view: SliceView) -> Greys:
    from scipy.ndimage import map_coordinates

    row, column = np.mgrid[: view.shape[0], : view.shape[1]]
    index = np.moveaxis(grid.to_voxel(view.to_patient(np.stack([column, row], axis=-1))), -1, 0)
    values: Greys = map_coordinates(voxels, index, output=np.float32, order=1, mode="nearest", prefilter=False)
    limits = np.array(grid.shape).reshape(3, 1, 1) - 0.5
    values[((index < -0.5) | (index > limits)).any(axis=0)] = np.nan
    return values
