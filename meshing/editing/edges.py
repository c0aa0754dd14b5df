"""Grey values made smooth in millimetres, their gradients, and speeds of fronts; in boxes of a scan.

In: a scan and a box; out: float32 arrays of the box's shape. What was not measured reads like its lowest neighbour.
"""

from __future__ import annotations

import numpy as np

from meshing.editing.patch import cropped, spacing_of
from meshing.editing.thresholds import Range
from meshing.threads import kernel, over_rows
from meshing.volume import Volume
from meshing.voxels.upright import Box, Float32Array, Spacing


def grey(volume: Volume, box: Box) -> Float32Array:
    """The voxels of a box as float32; what is not finite reads as the lowest finite value there."""
    values = np.asfortranarray(cropped(volume, box), dtype=np.float32)
    if volume.voxels.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.all():
            values[~finite] = values[finite].min() if finite.any() else 0.0
    return values


def blurred(values: Float32Array, spacing_mm: Spacing, sigma_mm: float) -> Float32Array:
    """Smoothed by a Gaussian; 0 mm leaves the values as they are."""
    from scipy.ndimage import gaussian_filter

    if sigma_mm <= 0:
        return values
    # Transposed, the fastest axis comes last, as scipy likes it.
    soft = gaussian_filter(values.T, [sigma_mm / s for s in reversed(spacing_mm)], truncate=3.0, mode="nearest")
    turned: Float32Array = soft.T
    return turned


def gradient_magnitude(values: Float32Array, spacing_mm: Spacing) -> Float32Array:
    """Steepness per mm by central differences; one-sided at the border."""
    steep = np.empty(values.shape, np.float32, order="F")
    steps = np.array(spacing_mm, np.float32)
    over_rows(_steepness, values.shape[1] * values.shape[2], np.asfortranarray(values), steep, steps)
    return steep


@kernel
def _steepness(first: int, last: int, values: Float32Array, steep: Float32Array, steps: Float32Array) -> None:
    x_count, y_count, z_count = values.shape
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        before_y, after_y = max(y - 1, 0), min(y + 1, y_count - 1)
        before_z, after_z = max(z - 1, 0), min(z + 1, z_count - 1)
        in_y = np.float32(1.0) / (steps[1] * np.float32(max(after_y - before_y, 1)))
        in_z = np.float32(1.0) / (steps[2] * np.float32(max(after_z - before_z, 1)))
        for x in range(x_count):
            before_x, after_x = max(x - 1, 0), min(x + 1, x_count - 1)
            in_x = np.float32(1.0) / (steps[0] * np.float32(max(after_x - before_x, 1)))
            dx = (values[after_x, y, z] - values[before_x, y, z]) * in_x
            dy = (values[x, after_y, z] - values[x, before_y, z]) * in_y
            dz = (values[x, y, after_z] - values[x, y, before_z]) * in_z
            steep[x, y, z] = np.sqrt(dx * dx + dy * dy + dz * dz)


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
