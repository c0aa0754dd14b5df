"""Where the planes of one stack lie, measured from their positions alone: spacing, tilt, gaps, jitter.

Tags that claim the same (SliceThickness, SpacingBetweenSlices, GantryDetectorTilt, SliceLocation) are not believed:
each of them is absent or wrong in real files, and only positions place voxels in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray

Order = Literal["regular", "tilted", "uneven"]

SLIGHT_TILT_DEG = 0.05
"""Below this a drift across the stack comes from rounded direction cosines, not from a gantry; it shears an affine
by less than 1 in 1000 and needs no resampling."""

_HOLE = 1.5
"""A gap is a hole from this many spacings on: halfway to one missing slice."""

_RUN = 3
"""So many equal gaps in a row are a protocol that changes its spacing, not a loss of slices."""


def tolerance_mm(spacing_mm: float) -> float:
    """How far a slice may lie from the grid: 0.01 mm, or 1 % of the slice spacing when that is more."""
    return max(0.01, 0.01 * spacing_mm)


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
        Angle between the line of positions and the normal.
    holes
        Gaps where slices are missing.
    uneven
        Whether depths stray from even spacing by more than the tolerance, holes set aside.
    jitter_mm
        Largest distance of a plane from the regular stack that fits best, tilt included; holes set aside.
    """

    order: npt.NDArray[np.intp]
    axes: FloatArray
    pixel_mm: tuple[float, float]
    origin_mm: FloatArray
    depths_mm: FloatArray
    drift_mm: FloatArray
    spacing_mm: float
    tilt_deg: float
    holes: tuple[Hole, ...]
    uneven: bool
    jitter_mm: float

    @property
    def gaps_mm(self) -> tuple[float, ...]:
        """The distances of neighbours that differ from `spacing_mm` by more than the tolerance, along the stack."""
        gaps = np.diff(self.depths_mm)
        return tuple(gaps[abs(gaps - self.spacing_mm) > 2 * tolerance_mm(self.spacing_mm)].tolist())

    @property
    def is_tilted(self) -> bool:
        return self.tilt_deg >= SLIGHT_TILT_DEG and self._orthogonal_error_mm > tolerance_mm(self.spacing_mm)

    @property
    def is_shifted(self) -> bool:
        """Whether planes lie sideways of each other in a way that no tilt explains."""
        return (
            not self.is_tilted
            and self._orthogonal_error_mm > tolerance_mm(self.spacing_mm)
            and bool(_line_residual(self.depths_mm, self.drift_mm).max() > tolerance_mm(self.spacing_mm))
        )

    @property
    def needs_regularising(self) -> bool:
        return bool(self.holes) or self.uneven or self.is_tilted or self.is_shifted

    @property
    def _orthogonal_error_mm(self) -> float:
        """Largest sideways distance of a plane from an upright stack."""
        return float(np.linalg.norm(self.drift_mm - self.drift_mm.mean(axis=0), axis=1).max())

    def voxel_to_patient(self) -> FloatArray:
        """(4, 4) of a stack that needs no regularising: the even stack that fits its planes best."""
        steps = np.arange(len(self.depths_mm), dtype=np.float64)
        spacing, first = np.polyfit(steps, self.depths_mm, 1)
        sideways, start = np.polyfit(steps, self.drift_mm, 1)
        if self._orthogonal_error_mm <= tolerance_mm(self.spacing_mm):
            sideways, start = np.zeros(2), self.drift_mm.mean(axis=0)
        return lattice(
            self.axes,
            (*self.pixel_mm, spacing),
            self.origin_mm + self.axes @ np.array([*start, first]),
            sideways_mm=sideways,
        )


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


def measure(
    positions_mm: FloatArray,
    axes: FloatArray,
    pixel_mm: tuple[float, float],
    instances: list[int | None],
) -> Stack:
    """The geometry of at least two planes at different depths.

    Parameters
    ----------
    positions_mm
        (K, 3), LPS.
    instances
        Their instance numbers, which may confirm that slices are missing.
    """
    along = positions_mm @ axes
    order = np.argsort(along[:, 2], kind="stable")
    along = along[order] - along[order[0]]
    depths, drift = along[:, 2], along[:, :2]
    gaps = np.diff(depths)
    spacing = _usual(gaps)
    holes = _holes(gaps, spacing, [instances[index] for index in order])
    steps = _steps(gaps, spacing, holes)
    fitted = np.polyval(np.polyfit(steps, depths, 1), steps)
    stray = abs(depths - fitted)
    even = bool(stray.max() <= tolerance_mm(spacing))
    if even:
        spacing = float(np.polyfit(steps, depths, 1)[0])
    sideways = np.polyfit(depths, drift, 1)[0]
    return Stack(
        order=order,
        axes=axes,
        pixel_mm=pixel_mm,
        origin_mm=positions_mm[order[0]],
        depths_mm=depths,
        drift_mm=drift,
        spacing_mm=spacing,
        tilt_deg=float(np.degrees(np.arctan(np.linalg.norm(sideways)))),
        holes=holes,
        uneven=not even,
        jitter_mm=float(np.hypot(stray, _line_residual(depths, drift)).max()) if even else 0.0,
    )


def axes_of(along_row: npt.ArrayLike, along_column: npt.ArrayLike) -> FloatArray:
    """(3, 3); columns are rows, columns and their right-handed normal."""
    row, column = np.asarray(along_row, dtype=np.float64), np.asarray(along_column, dtype=np.float64)
    return np.column_stack([row, column, np.cross(row, column)])


def _usual(gaps: FloatArray) -> float:
    """The median gap, taken low, so that of 5, 5, 10, 10 the finer one counts as usual."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def _holes(gaps: FloatArray, spacing: float, instances: list[int | None]) -> tuple[Hole, ...]:
    holes = []
    for after, gap in enumerate(gaps):
        if gap < _HOLE * spacing:
            continue
        if _in_a_run(gaps, after) and not _is_skipped(instances, after):
            continue
        holes.append(Hole(after, float(gap), max(round(gap / spacing) - 1, 1)))
    return tuple(holes)


def _in_a_run(gaps: FloatArray, at: int) -> bool:
    alike = abs(gaps - gaps[at]) <= 2 * tolerance_mm(float(gaps[at]))
    first = last = at
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(gaps) and alike[last + 1]:
        last += 1
    return last - first + 1 >= _RUN


def _is_skipped(instances: list[int | None], after: int) -> bool:
    """Whether instance numbers count one by one along the stack, but jump at this gap."""
    if any(number is None for number in instances):
        return False
    jumps = abs(np.diff(np.array(instances, dtype=np.int64)))
    return bool(_usual(jumps.astype(np.float64)) == 1 and jumps[after] > 1)


def _steps(gaps: FloatArray, spacing: float, holes: tuple[Hole, ...]) -> FloatArray:
    """(K,) slice numbers: neighbours one apart, more across a hole."""
    counts = np.ones(len(gaps))
    for hole in holes:
        counts[hole.after] = hole.missing + 1
    return np.concatenate([[0.0], np.cumsum(counts)])


def _line_residual(depths: FloatArray, drift: FloatArray) -> FloatArray:
    """(K,) mm sideways from the straight line that fits the drift best."""
    line = np.polyfit(depths, drift, 1)
    residual: FloatArray = np.linalg.norm(drift - (depths[:, None] * line[0] + line[1]), axis=1)
    return residual
