"""A scan turned so that its array axes run to the patient's left, back and head, and copies of it at lower resolution.

In: a `Volume` in any storage order. Out: the same voxels as (x, y, z) = (L, P, S) as nearly as the grid allows, so
that a segmenter may speak of left, behind and above, and gives the same result for every storage order.
Nothing is resampled: axes are only permuted and reversed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.volume import Grid, Volume, Voxels

Mask = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Upright:
    """A scan in patient order.

    Parameters
    ----------
    voxels
        shape (X, Y, Z): x grows to the patient's left, y to the back, z to the head. Memory runs along x first.
    outside
        bool of that shape, or None: voxels that the scanner never measured.
    spacing_mm
        Along x, y, z.
    grid
        The grid that the scan is stored on.
    axes
        The storage axis that x, y, z come from.
    reversed_axes
        Whether x, y, z run against their storage axis.
    """

    voxels: Voxels
    outside: Mask | None
    spacing_mm: Spacing
    grid: Grid
    axes: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, the same to the last bit in every storage order."""
        return float(f"{self.grid.voxel_volume_mm3 / 1000.0:.12g}")


def upright(volume: Volume) -> Upright:
    """The scan in patient order."""
    direction = volume.grid.direction
    # The rounding makes the choice independent of the last bits, which differ between storage orders.
    axes = max(permutations(range(3)), key=lambda p: _alikeness(direction[:, list(p)]))
    reversed_axes = tuple(bool(direction[row, axes[row]] < 0) for row in range(3))
    # Rounded, for the last bits differ between storage orders, and so would ties of distances.
    spacing = volume.grid.spacing_mm.round(9)
    return Upright(
        voxels=_turn(volume.voxels, axes, reversed_axes),
        outside=None if volume.outside is None else _turn(volume.outside, axes, reversed_axes),
        spacing_mm=(float(spacing[axes[0]]), float(spacing[axes[1]]), float(spacing[axes[2]])),
        grid=volume.grid,
        axes=(axes[0], axes[1], axes[2]),
        reversed_axes=(reversed_axes[0], reversed_axes[1], reversed_axes[2]),
    )


def _alikeness(turned: FloatArray) -> tuple[float, ...]:
    """How nearly the columns of a direction run along x, y, z.

    Where two choices are as good, as for axes at 45 degrees, what no flip of a column changes decides.
    """
    along = np.abs(np.diag(turned))
    leaning = np.diag(turned) * turned[[1, 2, 0], [0, 1, 2]]
    return (float(along.sum().round(6)), *along.round(6).tolist(), *leaning.round(6).tolist())


def to_storage(mask: Mask, scan: Upright) -> Mask:
    """A mask in patient order, put back into the storage order of the scan."""
    straight = mask[tuple(slice(None, None, -1 if back else 1) for back in scan.reversed_axes)]
    stored: Mask = np.asfortranarray(np.transpose(straight, np.argsort(scan.axes)))
    return stored


def box_to_storage(values: Float32Array, box: Box, scan: Upright) -> tuple[Float32Array, Box]:
    """Values of a box in patient order, and the box, put back into the storage order of the scan."""
    straight = values[tuple(slice(None, None, -1 if back else 1) for back in scan.reversed_axes)]
    spans = [
        slice(n - part.stop, n - part.start) if back else part
        for part, back, n in zip(box, scan.reversed_axes, scan.voxels.shape, strict=True)
    ]
    order = np.argsort(scan.axes)
    return np.asfortranarray(np.transpose(straight, order)), (spans[order[0]], spans[order[1]], spans[order[2]])


def to_upright_index(points_mm: npt.ArrayLike, scan: Upright) -> FloatArray:
    """Continuous (x, y, z) indices of LPS points, shape (N, 3)."""
    stored = np.atleast_2d(scan.grid.to_voxel(points_mm))
    index = stored[:, list(scan.axes)]
    for column, back in enumerate(scan.reversed_axes):
        if back:
            index[:, column] = scan.voxels.shape[column] - 1 - index[:, column]
    # A seed half way between two voxels falls to the same one in every storage order.
    rounded: FloatArray = np.round(index, 6)
    return rounded


def _turn(array: npt.NDArray[np.generic], axes: tuple[int, ...], reversed_axes: tuple[bool, ...]) -> Voxels:
    turned = np.transpose(array, axes)[tuple(slice(None, None, -1 if back else 1) for back in reversed_axes)]
    return np.asfortranarray(turned)


@dataclass(frozen=True, eq=False)
class Coarse:
    """A scan, or a box of it, averaged over blocks of voxels.

    Parameters
    ----------
    values
        float32, shape (X, Y, Z): block means; blocks over the far edge repeat its last voxels.
    spacing_mm
        Of the blocks.
    factors
        Voxels per block along x, y, z.
    box
        The voxels of the scan that the blocks cover.
    full_shape
        Shape of the scan.
    """

    values: Float32Array
    spacing_mm: Spacing
    factors: tuple[int, int, int]
    box: Box
    full_shape: tuple[int, int, int]

    @property
    def voxel_ml(self) -> float:
        """Volume of one block."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def mean_spacing_mm(self) -> float:
        """Edge of a cube of the same volume as a block."""
        return float(np.cbrt(np.prod(self.spacing_mm)))


def coarse(scan: Upright, spacing_mm: float, *, most_voxels: float, box: Box | None = None) -> Coarse:
    """The scan at about `spacing_mm`, coarser where it would pass `most_voxels`; never finer than it is."""
    shape = scan.voxels.shape
    box = box or (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    values = scan.voxels[box]
    while True:
        factors = [max(1, round(spacing_mm / own)) for own in scan.spacing_mm]
        if np.prod([-(-n // f) for n, f in zip(values.shape, factors, strict=True)]) <= most_voxels:
            break
        spacing_mm *= 1.1
    for axis, factor in enumerate(factors):
        values = _block_mean(values, axis, factor)
    sx, sy, sz = (own * factor for own, factor in zip(scan.spacing_mm, factors, strict=True))
    return Coarse(
        values=np.asfortranarray(values, dtype=np.float32),
        spacing_mm=(sx, sy, sz),
        factors=(factors[0], factors[1], factors[2]),
        box=box,
        full_shape=(shape[0], shape[1], shape[2]),
    )


def _block_mean(values: Voxels, axis: int, factor: int) -> Voxels:
    if factor == 1:
        return values
    blocks = -(-values.shape[axis] // factor)
    shape = list(values.shape)
    shape[axis] = blocks
    total = np.zeros(shape, np.float32, order="F")
    for offset in range(factor):
        part = values[_along(axis, slice(offset, None, factor))]
        whole = part.shape[axis]
        total[_along(axis, slice(0, whole))] += part
        if whole < blocks:
            total[_along(axis, slice(whole, None))] += values[_along(axis, slice(-1, None))]
    total /= np.float32(factor)
    return total


def _along(axis: int, part: slice) -> Box:
    parts = [slice(None)] * 3
    parts[axis] = part
    return parts[0], parts[1], parts[2]


def to_full(mask: Mask, low: Coarse) -> Mask:
    """A mask on blocks, drawn on the voxels of the scan; nothing outside the box of the blocks."""
    for axis, factor in enumerate(low.factors):
        if factor > 1:
            mask = np.repeat(mask, factor, axis=axis)
    full = np.zeros(low.full_shape, np.bool_, order="F")
    full[low.box] = mask[tuple(slice(0, part.stop - part.start) for part in low.box)]
    return full


def to_coarse(mask: Mask, low: Coarse) -> Mask:
    """The blocks of which at least half lies in the mask of the scan."""
    share: Voxels = mask[low.box]
    for axis, factor in enumerate(low.factors):
        share = _block_mean(share, axis, factor)
    half: Mask = np.asfortranarray(share >= 0.5)
    return half
