"""Labels from their own grid to the scan's, by nearest neighbour: a label is never averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.volume import Grid

# A direction cosine below this moves the far corner of 1000 voxels by less than a tenth of one: the axes coincide.
_ALIGNED = 1e-4


def on_grid(layer: npt.NDArray[Any], own: Grid, target: Grid) -> npt.NDArray[Any]:
    """The label at each voxel centre of `target`: that of the nearest voxel of `own`, 0 outside it. Fortran-ordered."""
    target_to_own: FloatArray = np.linalg.inv(own.voxel_to_patient) @ target.voxel_to_patient
    axes = np.abs(target_to_own[:3, :3])
    if (np.sort(axes, axis=1)[:, :2] <= _ALIGNED * axes.max(axis=1, keepdims=True)).all():
        return _by_axes(layer, target_to_own, target.shape)
    return _by_points(layer, target_to_own, target.shape)


def _by_axes(layer: npt.NDArray[Any], target_to_own: FloatArray, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Grids whose axes coincide, in whatever order and direction: three lists of indices are enough."""
    order = np.abs(target_to_own[:3, :3]).argmax(axis=1)
    # Axis a of `own` runs along axis order[a] of the target: bring `own` into the target's order, then pick.
    picked: npt.NDArray[Any] = layer.transpose(np.argsort(order))
    for axis in range(3):
        own_axis = int(np.flatnonzero(order == axis)[0])
        along = target_to_own[own_axis, axis] * np.arange(shape[axis]) + target_to_own[own_axis, 3]
        # The small cross terms of nearly aligned axes, taken at the middle of the grid.
        along += sum(target_to_own[own_axis, b] * (shape[b] - 1) / 2 for b in range(3) if b != axis)
        nearest = np.floor(along + 0.5).astype(np.intp)
        within = (nearest >= 0) & (nearest < layer.shape[own_axis])
        picked = picked.take(np.where(within, nearest, 0), axis=axis)
        keep = [np.newaxis] * 3
        keep[axis] = slice(None)  # type: ignore[call-overload]  # a list of None and slices
        picked = picked * within[tuple(keep)]
    return np.asfortranarray(picked)


def _by_points(layer: npt.NDArray[Any], target_to_own: FloatArray, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    from scipy.ndimage import affine_transform

    # Transposed, so that SciPy's C order is our Fortran order.
    reverse = np.ix_([2, 1, 0], [2, 1, 0])
    resampled: npt.NDArray[Any] = affine_transform(
        layer.T,
        target_to_own[:3, :3][reverse],
        offset=target_to_own[2::-1, 3],
        output_shape=shape[::-1],
        order=0,
        mode="grid-constant",
        cval=0,
        prefilter=False,
    )
    return resampled.T


def extent_mm(grid: Grid) -> str:
    """Where the voxel centres of a grid lie, for an error message: "L −120 … 80, P 10 … 200, S −40 … 90 mm"."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid.to_patient(corners)
    spans = zip("LPS", points.min(axis=0), points.max(axis=0), strict=True)
    return ", ".join(f"{letter} {low:.0f} … {high:.0f}" for letter, low, high in spans) + " mm"
