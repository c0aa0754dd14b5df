"""Fill between slices: structures drawn on some slices, and what lies between them by the shape of both neighbours.

In: labels drawn on slices across one axis; out: the same with the gaps filled. Signed distances from the outlines, in
millimetres, are blended from slice to slice. Of outlines in one piece the middles are laid over each other first, so
that an oblique vessel is followed.

References
----------
Raya, Udupa, Shape-based interpolation of multidimensional objects, IEEE Trans. Med. Imaging 9(1), 1990. Herman, Zheng,
Bucholtz, Shape-based interpolation, IEEE CG&A 12(3), 1992.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meshing.editing.patch import LabelPatch, shifted
from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.progress import Progress, silent
from meshing.volume import Grid
from meshing.voxels.morphology import bounding_box
from meshing.voxels.upright import Float32Array, Mask

Pixels = tuple[float, float]


def filled_between(drawn: LabelPatch, *, axis: int | None = None, progress: Progress = silent) -> LabelPatch:
    """The labels with the gaps between drawn slices filled, each label by itself; where two meet the deeper one wins.

    Drawn voxels stay as they are. A label is filled between the slices that show it, however far they lie apart, and
    never beyond its last ones.

    Parameters
    ----------
    axis
        The grid axis across which slices were drawn; found from the gaps when left out.

    Raises
    ------
    SegmentationError
        If nothing is drawn, or no label has a gap across the axis.
    """
    box = bounding_box(drawn.labels != 0)
    if box is None:
        raise SegmentationError("nothing is drawn", where="fill between slices", hint="draw on two slices at least")
    labels = drawn.labels[box].copy(order="F")
    axis = _axis_of_slices(labels) if axis is None else axis
    gaps = [(label, gap) for label in drawn.numbers() for gap in _gaps(labels == label, axis)]
    if not gaps:
        slices = int(np.count_nonzero(_used(labels != 0, axis)))
        raise SegmentationError(
            f"the {slices} drawn slices across axis {axis} have no gap between them",
            where="fill between slices",
            hint="leave slices between the drawn ones out, or name the axis",
        )
    grid_box = shifted(box, drawn.box)
    free, deepest = labels == 0, np.zeros(labels.shape, np.float32, order="F")
    pixel_mm = _pixel_mm(drawn.grid, axis)
    for number, (label, (low, high)) in enumerate(gaps):
        progress(number / len(gaps), "filling between slices")
        _fill((labels, free, deepest), label, axis, (low, high), pixel_mm)
    return LabelPatch(drawn.grid, grid_box, labels)


def _axis_of_slices(labels: npt.NDArray[np.generic]) -> int:
    """The axis along which the least share of slices is drawn on."""
    mask = labels != 0
    return int(np.argmin([np.count_nonzero(_used(mask, axis)) / mask.shape[axis] for axis in range(3)]))


def _used(mask: Mask, axis: int) -> Mask:
    return np.array([plane.any() for plane in np.moveaxis(mask, axis, 0)], np.bool_)


def _gaps(mask: Mask, axis: int) -> list[tuple[int, int]]:
    """Neighbouring drawn slices with some between them."""
    drawn = np.flatnonzero(_used(mask, axis)).tolist()
    return [(low, high) for low, high in pairwise(drawn) if high - low > 1]


def _pixel_mm(grid: Grid, axis: int) -> Pixels:
    rows, columns = (float(mm) for other, mm in enumerate(grid.spacing_mm) if other != axis)
    return rows, columns


def _fill(
    fields: tuple[npt.NDArray[np.generic], Mask, Float32Array],
    label: int,
    axis: int,
    gap: tuple[int, int],
    pixel_mm: Pixels,
) -> None:
    """Draws a label into the slices of a gap, in place."""
    labels, free, deepest = (np.moveaxis(field, axis, 0) for field in fields)
    ends = [labels[at] == label for at in gap]
    # A frame around both outlines: outside it no blend of the two is inside.
    window = _window(ends[0] | ends[1])
    below, above = (_depth_mm(end[window], pixel_mm) for end in ends)
    shift = _shift(ends[0][window], ends[1][window])
    for at in range(gap[0] + 1, gap[1]):
        share = (at - gap[0]) / (gap[1] - gap[0])
        depth = (1 - share) * _moved(below, share * shift) + share * _moved(above, (share - 1) * shift)
        wins = (depth > 0) & free[at][window] & (depth > deepest[at][window])
        labels[at][window][wins] = label
        deepest[at][window][wins] = depth[wins]


def _window(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _depth_mm(outline: Mask, pixel_mm: Pixels) -> FloatArray:
    """How deep in the outline each pixel lies, in mm; negative outside."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(outline, 1)
    half = 0.5 * min(pixel_mm)
    inside = distance_transform_edt(padded, pixel_mm) - half
    outside = distance_transform_edt(~padded, pixel_mm) - half
    depth: FloatArray = np.where(padded, inside, -outside)[1:-1, 1:-1]
    return depth


def _shift(below: Mask, above: Mask) -> FloatArray:
    """From the middle of one outline to that of the other, in pixels; none where either has several pieces."""
    from scipy.ndimage import label

    if label(below, np.ones((3, 3)))[1] > 1 or label(above, np.ones((3, 3)))[1] > 1:
        return np.zeros(2)
    shift: FloatArray = np.argwhere(above).mean(axis=0) - np.argwhere(below).mean(axis=0)
    return shift


def _moved(depth: FloatArray, by: FloatArray) -> FloatArray:
    from scipy.ndimage import shift

    if not np.abs(by).max() > 1e-9:
        return depth
    moved: FloatArray = shift(depth, by, order=1, mode="nearest")
    return moved
