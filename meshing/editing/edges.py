"""Grey values made smooth in millimetres, their gradients, and speeds of fronts; in boxes of a scan.

In: a scan and a box; out: float32 arrays of the box's shape. What was not measured reads like its lowest neighbour.
"""

from __future__ import annotations

import numpy as np

from meshing.editing.patch import cropped, spacing_of
from meshing.editing.thresholds import Range
from meshing.threads import kernel, over_rows
from meshing.volume import Volume, Voxels
from meshing.voxels.upright import Box, Float32Array, Spacing


def grey(volume: Volume, box: Box) -> Float32Array:
    """The voxels of a box as float32; what is not finite reads as the lowest finite value there."""
    values = np.asfortranarray(cropped(volume, box), dtype=np.float32)
    if volume.voxels.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.all():
            values[~finite] = values[finite].min() if finite.any() else 0.0
    return values


def blurred(values: Voxels, spacing_mm: Spacing, sigma_mm: float) -> Float32Array:
    """Smoothed by a Gaussian cut at three deviations, border voxels repeated; 0 mm leaves the values as they are."""
    values = np.asfortranarray(values)
    if sigma_mm <= 0 or not values.size:
        return values.astype(np.float32, order="F", copy=False)
    x, y, z = (_taps(sigma_mm / step) for step in spacing_mm)
    soft = np.empty(values.shape, np.float32, order="F")
    over_rows(_blur_planes, values.shape[1] * values.shape[2], values, soft, x, y)
    over_rows(_blur_upwards, values.shape[1] * values.shape[2], soft, z)
    return soft


def _taps(sigma: float) -> Float32Array:
    """Weights of a voxel and of its neighbours on one side; both sides sum to 1."""
    away = np.arange(int(3.0 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (away / sigma) ** 2)
    taps: Float32Array = (weights / (2.0 * weights.sum() - 1.0)).astype(np.float32)
    return taps


@kernel
def _blur_planes(
    first: int, last: int, values: Voxels, soft: Float32Array, in_x: Float32Array, in_y: Float32Array
) -> None:
    """Along x and y, of the planes whose first row lies in the chunk."""
    x_count, y_count = values.shape[0], values.shape[1]
    reach = len(in_x) - 1
    line = np.empty(x_count + 2 * reach, np.float32)
    plane = np.empty((y_count, x_count), np.float32)
    for z in range(-(-first // y_count), -(-last // y_count)):
        for y in range(y_count):
            for x in range(x_count):
                line[reach + x] = values[x, y, z]
            line[:reach] = line[reach]
            line[reach + x_count :] = line[reach + x_count - 1]
            row = plane[y]
            for x in range(x_count):
                row[x] = in_x[0] * line[reach + x]
            for away in range(1, reach + 1):
                weight = in_x[away]
                before, after = line[reach - away :], line[reach + away :]
                for x in range(x_count):
                    row[x] += weight * (before[x] + after[x])
        for y in range(y_count):
            _blend(plane, y, in_y, soft[:, y, z])


@kernel
def _blur_upwards(first: int, last: int, soft: Float32Array, in_z: Float32Array) -> None:
    """Along z, in place, of the rows that the chunk holds when z runs fastest."""
    x_count, z_count = soft.shape[0], soft.shape[2]
    upright = np.empty((z_count, x_count), np.float32)
    for y in range(-(-first // z_count), -(-last // z_count)):
        for z in range(z_count):
            upright[z, :] = soft[:, y, z]
        for z in range(z_count):
            _blend(upright, z, in_z, soft[:, y, z])


@kernel
def _blend(rows: Float32Array, at: int, taps: Float32Array, made: Float32Array) -> None:
    """Row `at` and those around it, weighted."""
    middle = rows[at]
    for x in range(len(made)):
        made[x] = taps[0] * middle[x]
    for away in range(1, len(taps)):
        weight = taps[away]
        before, after = rows[max(at - away, 0)], rows[min(at + away, len(rows) - 1)]
        for x in range(len(made)):
            made[x] += weight * (before[x] + after[x])


def gradient_magnitude(values: Float32Array, spacing_mm: Spacing) -> Float32Array:
    """Steepness per mm by central differences; one-sided at the border."""
    steep = np.empty(values.shape, np.float32, order="F")
    steps = np.array(spacing_mm, np.float32)
    over_rows(_steepness, values.shape[1] * values.shape[2], np.asfortranarray(values), steep, steps)
    return steep


@kernel
def _steepness(first: int, last: int, values: Float32Array, steep: Float32Array, steps: Float32Array) -> None:
    x_count, y_count, z_count = values.shape
    line = np.empty(x_count + 2, np.float32)
    half = np.float32(0.5) / steps[0]
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        before_y, after_y = max(y - 1, 0), min(y + 1, y_count - 1)
        before_z, after_z = max(z - 1, 0), min(z + 1, z_count - 1)
        in_y = np.float32(1.0) / (steps[1] * np.float32(max(after_y - before_y, 1)))
        in_z = np.float32(1.0) / (steps[2] * np.float32(max(after_z - before_z, 1)))
        south, north = values[:, before_y, z], values[:, after_y, z]
        below, above = values[:, y, before_z], values[:, y, after_z]
        made = steep[:, y, z]
        line[1:-1] = values[:, y, z]
        # One-sided at both ends: the border is carried on as it runs.
        line[0] = line[1] - (line[min(2, x_count)] - line[1])
        line[x_count + 1] = line[x_count] + (line[x_count] - line[max(x_count - 1, 1)])
        west, east = line[:x_count], line[2:]
        for x in range(x_count):
            dx = (east[x] - west[x]) * half
            dy = (north[x] - south[x]) * in_y
            dz = (above[x] - below[x]) * in_z
            made[x] = np.sqrt(dx * dx + dy * dy + dz * dz)


def edge_speed(volume: Volume, box: Box, *, sigma_mm: float = 1.0, steepness: float) -> Float32Array:
    """1 where the scan is flat, towards 0 at edges: 1 / (1 + (|∇I| / steepness)²).

    Parameters
    ----------
    sigma_mm
        Blur before the gradient is taken.
    steepness
        In the scan's unit per mm; there the speed is one half.

    References
    ----------
    Perona, Malik, Scale-space and edge detection using anisotropic diffusion, IEEE PAMI 12(7), 1990: its second g.
    """
    spacing = spacing_of(volume.grid)
    steep = gradient_magnitude(blurred(grey(volume, box), spacing, sigma_mm), spacing)
    steep /= np.float32(steepness)
    speed: Float32Array = 1.0 / (1.0 + steep * steep)
    return speed


def range_speed(volume: Volume, box: Box, values: Range, *, sigma_mm: float = 0.0) -> Float32Array:
    """1 in the middle of a range, 0.14 at its limits, towards 0 beyond: exp(−2 ((I − middle) / half width)²)."""
    middle, half = (values.low + values.high) / 2, max((values.high - values.low) / 2, 1e-6)
    away = blurred(grey(volume, box), spacing_of(volume.grid), sigma_mm)
    away = (away - np.float32(middle)) / np.float32(half)
    speed: Float32Array = np.exp(-2.0 * away * away)
    return speed
