"""Patient order: scans and patches turned so that their axes run left, back and up, and turned back.

Verbs that break ties by the order of voxels work on what is turned, so that their result is the same for all 48 storage
orders of a scan. Nothing is resampled; what lies in patient order already is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import LabelPatch, Patch
from meshing.volume import Grid, Volume
from meshing.voxels.upright import Box, Upright, upright


@dataclass(frozen=True, eq=False)
class Turning:
    """From the storage order of a grid to patient order, and back.

    Parameters
    ----------
    stored, turned
        The grid as it is, and in patient order.
    axes, reversed_axes
        The stored axis that each turned one comes from, and whether it runs against it.
    """

    stored: Grid
    turned: Grid
    axes: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]

    @property
    def is_upright(self) -> bool:
        """Whether the grid is in patient order already."""
        return self.axes == (0, 1, 2) and not any(self.reversed_axes)

    def volume(self, volume: Volume) -> Volume:
        """A scan in patient order."""
        if self.is_upright:
            return volume
        outside = None if volume.outside is None else self._array(volume.outside)
        return replace(volume, voxels=self._array(volume.voxels), grid=self.turned, outside=outside)

    def patch(self, patch: Patch) -> Patch:
        """A patch in patient order."""
        if self.is_upright:
            return patch
        return Patch(self.turned, self._box(patch.box), self._array(patch.mask))

    def labels(self, patch: LabelPatch) -> LabelPatch:
        """A label patch in patient order."""
        if self.is_upright:
            return patch
        return LabelPatch(self.turned, self._box(patch.box), self._array(patch.labels))

    def patch_back(self, patch: Patch) -> Patch:
        """A patch in storage order."""
        if self.is_upright:
            return patch
        return Patch(self.stored, self._box_back(patch.box), self.array_back(patch.mask))

    def labels_back(self, patch: LabelPatch) -> LabelPatch:
        """A label patch in storage order."""
        if self.is_upright:
            return patch
        return LabelPatch(self.stored, self._box_back(patch.box), self.array_back(patch.labels))

    def _array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asfortranarray(np.transpose(array, self.axes)[self._flips()])

    def array_back(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of the turned grid, or of a box of it, in storage order."""
        return np.asfortranarray(np.transpose(array[self._flips()], np.argsort(self.axes)))

    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if back else 1) for back in self.reversed_axes)

    def _box(self, box: Box) -> Box:
        sides = [box[axis] for axis in self.axes]
        x, y, z = (self._side(side, n) for n, side in enumerate(sides))
        return x, y, z

    def _box_back(self, box: Box) -> Box:
        sides = [self._side(side, n) for n, side in enumerate(box)]
        i, j, k = (sides[n] for n in np.argsort(self.axes))
        return i, j, k

    def _side(self, side: slice, axis: int) -> slice:
        if not self.reversed_axes[axis]:
            return side
        count = self.turned.shape[axis]
        return slice(count - side.stop, count - side.start)


def turning_of(grid: Grid) -> Turning:
    """How to turn what lies on a grid."""
    # Of a grid with the same axes and one voxel, which costs nothing to turn.
    point = upright(Volume(np.zeros((1, 1, 1), np.bool_), replace(grid, shape=(1, 1, 1)), "", ""))
    return _turning(grid, point)


def _turning(grid: Grid, scan: Upright) -> Turning:
    matrix, first = np.eye(4), np.zeros(3)
    for column, (axis, back) in enumerate(zip(scan.axes, scan.reversed_axes, strict=True)):
        step = grid.voxel_to_patient[:3, axis]
        matrix[:3, column] = -step if back else step
        first[axis] = grid.shape[axis] - 1 if back else 0
    matrix[:3, 3] = grid.to_patient(first)
    x, y, z = (grid.shape[axis] for axis in scan.axes)
    turned = replace(grid, shape=(x, y, z), voxel_to_patient=matrix)
    if scan.axes == (0, 1, 2) and not any(scan.reversed_axes):
        turned = grid  # not a copy: grids that are the same object need no comparison
    return Turning(grid, turned, scan.axes, scan.reversed_axes)
