"""How much a place looks like the middle of a tube: the optimally oriented flux of the grey values.

In: values on a regular lattice in patient order, radii in mm. Out: one response per voxel and the radius that gave it.
The flux of the gradient through a small sphere is a symmetric tensor; across a bright tube of that radius two of its
eigenvalues are strongly negative, and a tube that touches another keeps its own middle, which a Hessian loses.

References
----------
Law and Chung, Three dimensional curvilinear structure detection using optimally oriented flux, ECCV 2008.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.progress import Progress, part, silent
from meshing.threads import kernel, over_rows
from meshing.voxels.upright import Float32Array, Spacing

_TILE_VOXELS = 4_000_000
"""Of a slab, without its margins: about 400 MB of work."""


def tube_likeness(
    values: Float32Array,
    spacing_mm: Spacing,
    radii_mm: tuple[float, ...],
    *,
    smoothing_mm: float,
    progress: Progress = silent,
) -> Float32Array:
    """Response of every voxel as the middle of a bright tube, the greatest over the radii; 0 where it is none.

    Parameters
    ----------
    values
        float32, shape (X, Y, Z). The response is linear in them.
    radii_mm
        Of the tubes looked for.
    smoothing_mm
        Standard deviation of the Gaussian before the gradient; about half a voxel.
    """
    reach = max(radii_mm) + 3 * smoothing_mm
    found = np.zeros(values.shape, np.float32, order="F")
    tiles = _tiles(values.shape, [int(np.ceil(reach / spacing)) for spacing in spacing_mm])
    for number, (seen, own, core) in enumerate(tiles):
        step = part(progress, number / len(tiles), (number + 1) / len(tiles))
        found[own] = _responses(values[seen], spacing_mm, radii_mm, smoothing_mm, step)[core]
    return found


def _tiles(shape: tuple[int, ...], margin: list[int]) -> list[tuple[tuple[slice, ...], ...]]:
    """Slabs that cover the array: what each looks at, what of the array is its own, and where that lies in it."""
    axis = int(np.argmax(shape))
    across = int(np.prod(shape)) // shape[axis]
    thick = max(_TILE_VOXELS // max(across, 1), 2 * margin[axis], 1)
    tiles = []
    for first in range(0, shape[axis], thick):
        last = min(first + thick, shape[axis])
        low, high = max(0, first - margin[axis]), min(shape[axis], last + margin[axis])
        spans = ((low, high), (first, last), (first - low, last - low))
        tiles.append(tuple(_slab(axis, *span) for span in spans))
    return tiles


def _slab(axis: int, first: int, last: int) -> tuple[slice, ...]:
    return tuple(slice(first, last) if axis == at else slice(None) for at in range(3))


def _responses(
    values: Float32Array, spacing_mm: Spacing, radii_mm: tuple[float, ...], smoothing_mm: float, progress: Progress
) -> Float32Array:
    """The greatest response over the radii, of one slab."""
    reach = max(radii_mm) + 3 * smoothing_mm
    padded, inner = _padded(values, spacing_mm, reach)
    spectrum, waves = _spectrum(padded, spacing_mm)
    length = np.sqrt(sum(np.square(wave) for wave in waves)).astype(np.float32)
    length.flat[0] = 1.0
    spectrum *= np.exp(-0.5 * np.square(length * np.float32(smoothing_mm)))
    found = np.zeros(values.shape, np.float32)
    for number, radius in enumerate(radii_mm):
        progress(number / len(radii_mm), "looking for tubes")
        through = spectrum * _sphere(length, radius)
        tensor = _tensor(through, waves, padded.shape, inner)
        response = np.concatenate(over_rows(_two_lowest, len(tensor), tensor))
        np.maximum(found, response.reshape(values.shape), out=found)
    return found


def _padded(values: Float32Array, spacing_mm: Spacing, reach_mm: float) -> tuple[Float32Array, tuple[slice, ...]]:
    """The values with their edge repeated as far as a sphere looks, in sizes that transform fast."""
    from scipy.fft import next_fast_len

    before = [int(np.ceil(reach_mm / spacing)) for spacing in spacing_mm]
    sizes = [next_fast_len(n + 2 * b, real=True) for n, b in zip(values.shape, before, strict=True)]
    pads = [(b, size - n - b) for n, b, size in zip(values.shape, before, sizes, strict=True)]
    inner = tuple(slice(b, b + n) for n, b in zip(values.shape, before, strict=True))
    return np.pad(values, pads, mode="edge"), inner


def _spectrum(padded: Float32Array, spacing_mm: Spacing) -> tuple[npt.NDArray[Any], list[Float32Array]]:
    """The real transform, and the wave numbers (radian per mm) along each axis, ready to broadcast."""
    from scipy.fft import fftfreq, rfftfreq, rfftn

    sx, sy, sz = spacing_mm
    nx, ny, nz = padded.shape
    along = (fftfreq(nx, sx)[:, None, None], fftfreq(ny, sy)[None, :, None], rfftfreq(nz, sz)[None, None, :])
    return rfftn(padded, workers=-1), [(2 * np.pi * wave).astype(np.float32) for wave in along]


def _sphere(length: Float32Array, radius_mm: float) -> Float32Array:
    """Transform of the ball's indicator over the area of its sphere: flux per area, by Gauss's theorem."""
    turn = length * np.float32(radius_mm)
    ball: Float32Array = (np.sin(turn) - turn * np.cos(turn)) / length**3 / np.float32(radius_mm**2)
    ball.flat[0] = radius_mm / 3.0
    return ball


def _tensor(
    through: npt.NDArray[Any], waves: list[Float32Array], shape: tuple[int, ...], inner: tuple[slice, ...]
) -> Float32Array:
    """(voxels, 6): xx, xy, xz, yy, yz, zz."""
    from scipy.fft import irfftn

    entries = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    parts = [irfftn(-through * waves[i] * waves[j], shape, workers=-1)[inner].ravel() for i, j in entries]
    return np.stack(parts, axis=1).astype(np.float32)


@kernel
def _two_lowest(first: int, last: int, tensor: Float32Array) -> Float32Array:
    """Geometric mean of the two lowest eigenvalues where both are negative, else 0 (trigonometric closed form)."""
    found = np.zeros(last - first, np.float32)
    for at in range(first, last):
        xx, xy, xz = float(tensor[at, 0]), float(tensor[at, 1]), float(tensor[at, 2])
        yy, yz, zz = float(tensor[at, 3]), float(tensor[at, 4]), float(tensor[at, 5])
        mean = (xx + yy + zz) / 3
        p = np.sqrt(((xx - mean) ** 2 + (yy - mean) ** 2 + (zz - mean) ** 2 + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
        if p < 1e-12:
            found[at - first] = -min(mean, 0.0)
            continue
        a, b, c = (xx - mean) / p, (yy - mean) / p, (zz - mean) / p
        d, e, f = xy / p, xz / p, yz / p
        half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / 2
        turn = np.arccos(min(max(half, -1.0), 1.0)) / 3
        highest = mean + 2 * p * np.cos(turn)
        lowest = mean + 2 * p * np.cos(turn + 2.0943951023931953)
        middle = 3 * mean - highest - lowest
        if middle < 0:
            found[at - first] = np.sqrt(middle * lowest)
    return found
