"""Where the planes of one stack lie, measured from their positions alone: spacing, tilt, gaps, drift.

Tags that claim the same (SliceThickness, SpacingBetweenSlices, GantryDetectorTilt, SliceLocation) are not believed:
each of them is absent or wrong in real files, and only positions place voxels in the patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray

_SLIGHT_TILT_DEG = 0.05
"""Below this a drift across the stack comes from rounded direction cosines, not from a gantry: it shears voxels by
less than 1 in 1000, which an affine says exactly and no resampling improves."""

_HOLE = 1.5
"""A gap is a hole from this many spacings on: halfway to one missing slice."""

_RUN = 3
"""So many equal gaps in a row are a protocol that changes its spacing, not a loss of slices."""


def tolerance_mm(spacing_mm: float) -> float:
    """How far a slice may lie from the grid: 0.01 mm, or 1 % of the slice spacing when that is more."""
    return max(0.01, 0.01 * spacing_mm)


def axes_of(along_row: npt.ArrayLike, along_column: npt.ArrayLike) -> FloatArray:
    """(3, 3); columns are rows, columns and their right-handed normal."""
    row, column = np.asarray(along_row, dtype=np.float64), np.asarray(along_column, dtype=np.float64)
    return np.column_stack([row, column, np.cross(row, column)])


def lattice(
    axes: FloatArray,
    spacing_mm: tuple[float, float, float],
    origin_mm: FloatArray,
    sideways_mm: npt.ArrayLike = (0.0, 0.0),
) -> FloatArray:
    """The (4, 4) voxel-to-patient matrix; `sideways_mm` moves each further slice along i and j."""
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.asarray(spacing_mm)
    matrix[:3, 2] += axes[:, :2] @ np.asarray(sideways_mm, dtype=np.float64)
    matrix[:3, 3] = origin_mm
    return matrix


@dataclass(frozen=True)
class Hole:
    """A gap that slices should fill: between slices `after` and `after + 1`, `gap_mm` wide, `missing` slices short."""

    after: int
    gap_mm: float
    missing: int


@dataclass(frozen=True, eq=False)
class Stack:
    """The geometry of planes sorted along their normal.

    Parameters
    ----------
    order
        (K,) indices that sort the planes as given to `measure`.
    axes
        (3, 3); columns are the unit vectors of rows (i), columns (j) and their right-handed normal (k), in LPS.
    pixel_mm
        Voxel distance along i and j.
    origin_mm
        Position of the first plane after sorting.
    depths_mm
        (K,) along the normal, from the first plane.
    drift_mm
        (K, 2) along i and j, from the first plane.
    spacing_mm
        The usual distance of neighbours along the normal.
    tilt_deg
        Angle between the line of positions and the normal; 0 when no resampling for it is needed.
    is_uneven, is_shifted
        Whether planes stray from even spacing, or lie sideways in a way that no tilt explains, beyond the tolerance.
    holes
        Gaps where slices are missing.
    voxel_to_patient
        (4, 4) of the even stack that fits best; true for every plane within the tolerance when `is_regular`.
    """

    order: npt.NDArray[np.intp]
    axes: FloatArray
    pixel_mm: tuple[float, float]
    origin_mm: FloatArray
    depths_mm: FloatArray
    drift_mm: FloatArray
    spacing_mm: float
    tilt_deg: float
    is_uneven: bool
    is_shifted: bool
    holes: tuple[Hole, ...]
    voxel_to_patient: FloatArray

    @property
    def is_regular(self) -> bool:
        return not (self.holes or self.is_uneven or self.is_shifted or self.tilt_deg)

    @property
    def gaps_mm(self) -> tuple[float, ...]:
        """The distances of neighbours that differ from `spacing_mm` by more than the tolerance, along the stack."""
        if not (self.holes or self.is_uneven):
            return ()
        gaps = np.diff(self.depths_mm)
        return tuple(gaps[abs(gaps - self.spacing_mm) > tolerance_mm(self.spacing_mm)].tolist())


def measure(
    positions_mm: FloatArray,
    axes: FloatArray,
    pixel_mm: tuple[float, float],
    instances: Sequence[int | None],
) -> Stack:
    """The geometry of at least two planes at different depths.

    Parameters
    ----------
    positions_mm
        (K, 3), LPS.
    instances
        What counts the planes, so that a jump may confirm that slices are missing.
    """
    along = positions_mm @ axes
    order = np.argsort(along[:, 2], kind="stable")
    along = along[order] - along[order[0]]
    depths, drift = along[:, 2], along[:, :2]
    usual = _usual(np.diff(depths))
    holes = _holes(np.diff(depths), usual, [instances[index] for index in order])
    fit = _Fit.of(depths, drift, _steps(len(depths), holes), tolerance_mm(usual))
    return Stack(
        order=order,
        axes=axes,
        pixel_mm=pixel_mm,
        origin_mm=positions_mm[order[0]],
        depths_mm=depths,
        drift_mm=drift,
        spacing_mm=usual if fit.is_uneven else fit.spacing_mm,
        tilt_deg=fit.tilt_deg,
        is_uneven=fit.is_uneven,
        is_shifted=fit.is_shifted,
        holes=holes,
        voxel_to_patient=lattice(
            axes,
            (*pixel_mm, fit.spacing_mm),
            positions_mm[order[0]] + axes @ np.array([*fit.start_mm, fit.first_mm]),
            sideways_mm=fit.sideways_mm,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    """The even stack nearest to the planes by least squares, and in what the planes stray from it.

    Parameters
    ----------
    spacing_mm, first_mm
        Depth of plane s is `first_mm + s * spacing_mm`.
    sideways_mm, start_mm
        (2,) each: its drift is `start_mm + s * sideways_mm`.
    """

    spacing_mm: float
    first_mm: float
    sideways_mm: FloatArray
    start_mm: FloatArray
    tilt_deg: float
    is_uneven: bool
    is_shifted: bool

    @classmethod
    def of(cls, depths: FloatArray, drift: FloatArray, steps: FloatArray, tolerance: float) -> _Fit:
        spacing, first = (float(value) for value in np.polyfit(steps, depths, 1))
        stray = depths - (first + steps * spacing)
        upright = drift - drift.mean(axis=0)
        slope, start = np.polyfit(depths, drift, 1)
        slanted = drift - (start + np.outer(depths, slope))
        tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
        if _farthest(upright, stray) <= tolerance:
            return cls(spacing, first, np.zeros(2), drift.mean(axis=0), 0.0, False, False)
        if tilt < _SLIGHT_TILT_DEG and _farthest(slanted, stray) <= tolerance:
            return cls(spacing, first, slope * spacing, start + slope * first, 0.0, False, False)
        is_shifted = _farthest(slanted) > tolerance
        # A tilt is a drift that a line explains; a line through planes that are merely shifted explains little.
        is_tilted = tilt >= _SLIGHT_TILT_DEG and _farthest(upright) > max(tolerance, 2 * _farthest(slanted))
        is_uneven = bool(abs(stray).max() > tolerance) or not (is_tilted or is_shifted)
        return cls(spacing, first, np.zeros(2), drift[0], tilt if is_tilted else 0.0, is_uneven, is_shifted)


def _farthest(sideways: FloatArray, stray: FloatArray | float = 0.0) -> float:
    return float(np.hypot(np.linalg.norm(sideways, axis=1), stray).max())


def _usual(gaps: FloatArray) -> float:
    """The median gap, taken low, so that of 5, 5, 10, 10 the finer one counts as usual."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def _holes(gaps: FloatArray, usual: float, instances: Sequence[int | None]) -> tuple[Hole, ...]:
    holes = []
    for after, gap in enumerate(gaps):
        if gap >= _HOLE * usual and (not _is_in_a_run(gaps, after) or _is_skipped(instances, after)):
            holes.append(Hole(after, float(gap), max(round(gap / usual) - 1, 1)))
    return tuple(holes)


def _is_in_a_run(gaps: FloatArray, at: int) -> bool:
    alike = abs(gaps - gaps[at]) <= 2 * tolerance_mm(float(gaps[at]))
    first = last = at
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(gaps) and alike[last + 1]:
        last += 1
    return last - first + 1 >= _RUN


def _is_skipped(instances: Sequence[int | None], after: int) -> bool:
    """Whether instance numbers count one by one along the stack, but jump at this gap."""
    if any(number is None for number in instances):
        return False
    jumps = abs(np.diff(np.array(instances, dtype=np.float64)))
    return bool(_usual(jumps) == 1 and jumps[after] > 1)


def _steps(count: int, holes: Sequence[Hole]) -> FloatArray:
    """(K,) slice numbers: neighbours one apart, more across a hole."""
    strides = np.ones(count - 1)
    for hole in holes:
        strides[hole.after] = hole.missing + 1
    return np.concatenate([[0.0], np.cumsum(strides)])
