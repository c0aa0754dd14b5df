"""A scan on the spacing that a model was trained with, and its answer back on the scan's own voxels.

Arrays are (X, Y, Z) of any axes; spacings in mm. Both grids cover the same box, edge to edge. Each axis is one matrix
of tent-shaped weights: linear interpolation where voxels get smaller, and where they get larger a tent as wide as the
new voxel, so that what is finer than that does not alias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def shape_at(shape: Sequence[int], spacing_mm: Sequence[float], wanted_mm: Sequence[float]) -> tuple[int, int, int]:
    """Voxels along each axis when a box is cut into voxels of about `wanted_mm`; at least one."""
    i, j, k = (max(1, round(n * own / wanted)) for n, own, wanted in zip(shape, spacing_mm, wanted_mm, strict=True))
    return i, j, k


def resampled(array: npt.NDArray[np.generic], shape: Sequence[int]) -> Float32Array:
    """The array on as many voxels along each axis of the same box, float32; the array itself where they agree."""
    values = np.asarray(array, np.float32)
    # The axis that shrinks most goes first: the others then have less to do.
    for axis in sorted(range(3), key=lambda axis: shape[axis] / values.shape[axis]):
        if shape[axis] != values.shape[axis]:
            weights = axis_weights(values.shape[axis], shape[axis])
            values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return values


def axis_weights(old: int, new: int) -> Float32Array:
    """Weights, shape (new, old), rows summing to one: what each new voxel takes of each old one along an axis.

    Beyond the edge the last voxel goes on.
    """
    ratio = old / new
    centres = (np.arange(new) + 0.5) * ratio - 0.5
    reach = max(ratio, 1.0)
    weights = np.zeros((new, old))
    first = np.floor(centres - reach).astype(int)
    for offset in range(int(np.ceil(2 * reach)) + 2):
        at = first + offset
        np.add.at(weights, (np.arange(new), np.clip(at, 0, old - 1)), np.maximum(1.0 - np.abs(at - centres) / reach, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
