"""A tilted, uneven or holed stack resampled to the regular, upright grid that covers it.

Planes stay in themselves: a plane that lies sideways of the grid is shifted within itself, by four-tap cubic
interpolation held to the range of its taps, so that no edge rings. Only where the grid has a slice that the scan has
not are two neighbouring planes mixed, linearly. A grid slice that meets a plane is that plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.importing.dicom.geometry import Stack, lattice, tolerance_mm
from meshing.progress import Progress, silent

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.int16] | npt.NDArray[np.float32]
Pixels = npt.NDArray[np.float32]

# Shifts below this fraction of a pixel are the rounding of positions, not a shift.
_WHOLE = 1e-3

# Slices that an uneven stack may turn into, per source slice.
_MOST_REFINED = 4


@dataclass(frozen=True, eq=False)
class Target:
    """The regular grid to resample to.

    Parameters
    ----------
    shape
        Columns, rows, slices.
    extent_mm
        Depth of its last slice; its first lies at the first source plane.
    first_pixel
        Whole pixels along i and j from the first source plane's first voxel to the grid's; never positive.
    """

    shape: tuple[int, int, int]
    voxel_to_patient: FloatArray
    extent_mm: float
    first_pixel: tuple[int, int]

    @property
    def depths_mm(self) -> FloatArray:
        """(K,) of its slices."""
        return np.linspace(0.0, self.extent_mm, self.shape[2])


def target_of(stack: Stack, columns: int, rows: int) -> Target:
    """The finest regular grid that the stack asks for: every plane lies in it, most of them on one of its slices."""
    extent, count = float(stack.depths_mm[-1]), _slice_count(stack)
    pixel = np.array(stack.pixel_mm)
    shifts = stack.drift_mm / pixel
    low = np.floor(shifts.min(axis=0) + _WHOLE).astype(int)
    high = np.ceil(shifts.max(axis=0) - _WHOLE).astype(int)
    origin = stack.origin_mm + stack.axes[:, :2] @ (low * pixel)
    return Target(
        shape=(columns + int(high[0] - low[0]), rows + int(high[1] - low[1]), count),
        voxel_to_patient=lattice(stack.axes, (*stack.pixel_mm, extent / (count - 1)), origin),
        extent_mm=extent,
        first_pixel=(int(low[0]), int(low[1])),
    )


def _slice_count(stack: Stack) -> int:
    extent = float(stack.depths_mm[-1])
    if not stack.is_uneven:
        return round(extent / stack.spacing_mm) + 1
    finest = max(float(np.diff(stack.depths_mm).min()), extent / (_MOST_REFINED * len(stack.depths_mm)))
    return max(round(extent / finest), 1) + 1


def resample(
    values: Values, outside: Mask | None, stack: Stack, target: Target, progress: Progress = silent
) -> tuple[Values, Mask]:
    """The values on the target grid, in their own type, and what of the grid no plane covers.

    Parameters
    ----------
    values
        (K, rows, columns), sorted as `stack`; what is outside already holds the lowest real value.
    outside
        The same shape, or None.
    """
    columns, rows, count = target.shape
    voxels = np.full((count, rows, columns), values.min(), values.dtype)
    empty = np.ones((count, rows, columns), np.bool_)
    moved = _Moved(values, outside, stack, target)
    for k, depth in enumerate(target.depths_mm):
        plane, empty[k] = _plane_at(float(depth), stack, moved)
        if values.dtype == np.int16:
            np.rint(plane, out=plane)
        np.copyto(voxels[k], plane, where=~empty[k], casting="unsafe")
        progress((k + 1) / count, "resampling to a regular grid")
    return voxels, empty


def _plane_at(depth: float, stack: Stack, moved: _Moved) -> tuple[Pixels, Mask]:
    """The plane that lies at this depth, or the mix of the two around it."""
    below = int(np.clip(np.searchsorted(stack.depths_mm, depth, side="right") - 1, 0, len(stack.depths_mm) - 2))
    share = float((depth - stack.depths_mm[below]) / (stack.depths_mm[below + 1] - stack.depths_mm[below]))
    near = below + round(min(max(share, 0.0), 1.0))
    if abs(depth - stack.depths_mm[near]) <= tolerance_mm(stack.spacing_mm):
        return moved[near]
    (low, low_empty), (high, high_empty) = moved[below], moved[below + 1]
    return low + np.float32(share) * (high - low), low_empty | high_empty


class _Moved:
    """Source planes moved into the target's rows and columns; the last two are kept, as neighbours ask for both."""

    def __init__(self, values: Values, outside: Mask | None, stack: Stack, target: Target) -> None:
        self._values, self._outside, self._target = values, outside, target
        self._shifts = stack.drift_mm / np.array(stack.pixel_mm) - np.array(target.first_pixel)
        self._kept: dict[int, tuple[Pixels, Mask]] = {}

    def __getitem__(self, index: int) -> tuple[Pixels, Mask]:
        if index not in self._kept:
            self._kept = {kept: self._kept[kept] for kept in list(self._kept)[-1:]}
            self._kept[index] = self._move(index)
        plane, empty = self._kept[index]
        return plane.copy(), empty

    def _move(self, index: int) -> tuple[Pixels, Mask]:
        columns, rows, _ = self._target.shape
        plane = self._values[index].astype(np.float32)
        empty = np.zeros(plane.shape, np.bool_) if self._outside is None else self._outside[index]
        shift_i, shift_j = (float(shift) for shift in self._shifts[index])
        plane, empty = _shift_along(plane, empty, 1, columns, shift_i)
        return _shift_along(plane, empty, 0, rows, shift_j)


def _shift_along(plane: Pixels, empty: Mask, axis: int, size: int, shift: float) -> tuple[Pixels, Mask]:
    """The plane moved by `shift` ≥ 0 pixels along an axis into an array of `size`; what it does not reach is empty."""
    whole = int(np.floor(shift + _WHOLE))
    fraction = shift - whole
    fraction = 0.0 if abs(fraction) < _WHOLE else fraction
    plane, empty = np.moveaxis(plane, axis, 0), np.moveaxis(empty, axis, 0)
    length = plane.shape[0]
    moved = np.zeros((size, plane.shape[1]), np.float32)
    gone = np.ones((size, plane.shape[1]), np.bool_)
    if not fraction:
        moved[whole : whole + length] = plane
        gone[whole : whole + length] = empty
    else:
        # Target row t holds the source at t - whole - fraction, between rows t - whole - 1 and t - whole.
        moved[whole + 1 : whole + length] = _between_rows(plane, empty, 1.0 - fraction)
        gone[whole + 1 : whole + length] = empty[:-1] | empty[1:]
    return np.moveaxis(moved, 0, axis), np.moveaxis(gone, 0, axis)


def _between_rows(plane: Pixels, empty: Mask, share: float) -> Pixels:
    """(n-1, m): the plane at row r + share for every pair of rows, held to the range of the four rows around.

    Where one of the outer two was never measured, the pair alone is mixed.

    References
    ----------
    R. G. Keys, Cubic convolution interpolation for digital image processing, 1981 (a = -1/2).
    """
    s = share
    weights = np.array(
        [
            -0.5 * s + s**2 - 0.5 * s**3,
            1 - 2.5 * s**2 + 1.5 * s**3,
            0.5 * s + 2 * s**2 - 1.5 * s**3,
            -0.5 * s**2 + 0.5 * s**3,
        ],
        np.float32,
    )
    beyond = [2 * plane[:1] - plane[1:2], plane, 2 * plane[-1:] - plane[-2:-1]]
    taps = _four_rows(np.concatenate(beyond))
    mixed: Pixels = weights[0] * taps[0]
    for weight, tap in zip(weights[1:], taps[1:], strict=True):
        mixed += weight * tap
    around = _four_rows(np.concatenate([plane[:1], plane, plane[-1:]]))
    np.clip(mixed, np.minimum.reduce(around), np.maximum.reduce(around), out=mixed)
    if empty.any():
        before, _, _, after = _four_rows(np.concatenate([empty[:1], empty, empty[-1:]]))
        np.copyto(mixed, plane[:-1] + np.float32(share) * (plane[1:] - plane[:-1]), where=before | after)
    return mixed


def _four_rows(padded: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """For every pair of neighbouring rows: the row before, the two, the row after."""
    return [padded[offset : offset + len(padded) - 3] for offset in range(4)]
