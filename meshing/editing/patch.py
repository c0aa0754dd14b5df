"""What verbs take and give: voxels of a grid within a box, and nothing outside the box.

Arrays run (i, j, k) like the grid; points are LPS mm. Masks of another grid are refused here, with the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.runs import tally
from meshing.segmentation import Labels
from meshing.threads import kernel, over_rows
from meshing.volume import Grid, Volume, Voxels, is_same_grid
from meshing.voxels.morphology import bounding_box
from meshing.voxels.upright import Box, Mask, Spacing

MOST_LABELS = 65_535
"""Labels are uint16 at most."""

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Patch:
    """Some voxels of a grid.

    Parameters
    ----------
    box
        Where `mask` lies in the grid; no voxel outside it belongs to the patch.
    mask
        bool, of the box's shape; read-only.
    """

    grid: Grid
    box: Box
    mask: Mask

    def __post_init__(self) -> None:
        if self.mask.dtype != np.bool_:
            raise SegmentationError(f"a mask is bool, got {self.mask.dtype}", hint="compare the labels: layer == label")
        object.__setattr__(self, "mask", _fitting(self.mask, self.box))

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return int(np.count_nonzero(self.mask))

    @property
    def volume_ml(self) -> float:
        """Voxel volume."""
        return self.voxels * self.grid.voxel_volume_mm3 / 1000.0

    def whole(self) -> Mask:
        """The mask on the whole grid."""
        full = np.zeros(self.grid.shape, np.bool_, order="F")
        full[self.box] = self.mask
        return full

    def within(self, box: Box) -> Mask:
        """The mask in another box."""
        cut = np.zeros(box_shape(box), np.bool_, order="F")
        shared = intersection(self.box, box)
        if shared is not None:
            cut[inside(shared, box)] = self.mask[inside(shared, self.box)]
        return cut

    def trimmed(self) -> Patch:
        """The same voxels in the smallest box; that of an empty patch has no voxel."""
        used = bounding_box(self.mask)
        if used is None:
            return empty_patch(self.grid)
        box = shifted(used, self.box)
        return Patch(self.grid, box, np.asfortranarray(self.mask[used]))


@dataclass(frozen=True, eq=False)
class LabelPatch:
    """Voxels of several labels.

    Parameters
    ----------
    labels
        uint8 or uint16, of the box's shape, 0 = none; read-only.
    """

    grid: Grid
    box: Box
    labels: Labels

    def __post_init__(self) -> None:
        if self.labels.dtype not in (np.uint8, np.uint16):
            raise SegmentationError(f"labels are uint8 or uint16, got {self.labels.dtype}")
        object.__setattr__(self, "labels", _fitting(self.labels, self.box))

    def of(self, label: int) -> Patch:
        """The voxels of one label."""
        return Patch(self.grid, self.box, self.labels == label)

    def numbers(self) -> list[int]:
        """The labels that some voxel has, ascending."""
        counts = tally(self.labels.ravel(order="K"), int(self.labels.max(initial=0)) + 1)
        return [int(label) for label in np.flatnonzero(counts) if label]


def _fitting(array: npt.NDArray[np.generic], box: Box) -> npt.NDArray[np.generic]:
    if array.shape != box_shape(box):
        raise SegmentationError(f"voxels of shape {array.shape} in a box of {box_shape(box)}")
    view = array.view()
    view.setflags(write=False)
    return view


def patch_of(mask: npt.NDArray[Any], grid: Grid) -> Patch:
    """A mask on the whole grid as a patch in its smallest box.

    Raises
    ------
    SegmentationError
        If the mask has another shape than the grid, or is not bool.
    """
    _refuse_shape(mask.shape, grid)
    return Patch(grid, whole_box(grid), mask).trimmed()


def label_patch_of(labels: npt.NDArray[Any], grid: Grid) -> LabelPatch:
    """Labels on the whole grid as a patch in the smallest box around those that are not 0.

    Raises
    ------
    SegmentationError
        If they have another shape than the grid, are no whole numbers, or lie outside 0 to 65,535.
    """
    _refuse_shape(labels.shape, grid)
    if not np.issubdtype(labels.dtype, np.integer):
        raise SegmentationError(f"labels are whole numbers, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > MOST_LABELS:
        raise SegmentationError(f"labels run from {low} to {high}; 0 to {MOST_LABELS} can be kept")
    box = bounding_box(labels != 0) or nowhere()
    kept: Labels = np.asfortranarray(labels[box].astype(np.uint8 if high < 256 else np.uint16))
    return LabelPatch(grid, box, kept)


def _refuse_shape(shape: tuple[int, ...], grid: Grid) -> None:
    if len(shape) != 3:
        raise SegmentationError(
            f"a mask has three axes, got shape {shape}", hint="choose one time or channel of a 4-D file first"
        )
    if shape != grid.shape:
        raise SegmentationError(f"the mask has shape {shape}, the grid {grid.shape}", hint="resample it onto the scan")


def one_grid(one: Grid, other: Grid) -> None:
    """Nothing.

    Raises
    ------
    SegmentationError
        If the two place their voxels elsewhere, with how far apart they lie.
    """
    if one is other or is_same_grid(one, other):
        return
    low, high = (np.stack([corners_mm(grid).min(axis=0), corners_mm(grid).max(axis=0)]) for grid in (one, other))
    gap = np.maximum(np.maximum(low[0] - high[1], high[0] - low[1]), 0.0)
    apart = float(np.linalg.norm(gap))
    where = f"they lie {apart:.1f} mm apart" if apart > 0 else "they overlap, but their voxels lie elsewhere"
    raise SegmentationError(
        f"one grid has {_told(one)}, the other {_told(other)}; {where}",
        hint="the mask may belong to another scan; resample it onto this one if it does not",
    )


def _told(grid: Grid) -> str:
    left, back, up = grid.origin_mm
    return f"{' × '.join(map(str, grid.shape))} voxels from L {left:.1f}, P {back:.1f}, S {up:.1f} mm"


def corners_mm(grid: Grid) -> FloatArray:
    """LPS mm of the eight outer voxel centres, shape (8, 3)."""
    ends = np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij")
    return grid.to_patient(np.stack(ends, axis=-1).reshape(-1, 3))


def seed_voxels(grid: Grid, seeds_mm: Sequence[Point] | FloatArray, where: str) -> npt.NDArray[np.int64]:
    """The voxels that seeds lie in, shape (N, 3).

    Raises
    ------
    SegmentationError
        If there is none, one is not finite, or one lies outside the scan, with the distance.
    """
    points = np.asarray(seeds_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or len(points) == 0:
        raise SegmentationError(f"seeds are points of three mm, got shape {points.shape}", where=where)
    if not np.isfinite(points).all():
        raise SegmentationError("a seed is not a finite point", where=where)
    index = grid.to_voxel(points)
    beyond = np.maximum(np.maximum(-0.5 - index, index - (np.array(grid.shape) - 0.5)), 0.0) * grid.spacing_mm
    far = np.linalg.norm(beyond, axis=1)
    if far.max() > 1e-6:
        worst = int(far.argmax())
        raise SegmentationError(
            f"the seed {point_text(points[worst])} lies {far[worst]:.1f} mm outside the scan",
            where=where,
            hint="seeds are LPS millimetres: left, posterior, superior",
        )
    # A seed on the border of two voxels takes the same one in every storage order: ties go by place, not by index.
    nudged = grid.to_voxel(points + 1e-6)
    return np.clip(np.rint(nudged), 0, np.array(grid.shape) - 1).astype(np.int64)


def point_text(point: FloatArray) -> str:
    """A point for people."""
    return "(" + ", ".join(f"{value:.1f}" for value in point) + ") mm"


def spacing_of(grid: Grid) -> Spacing:
    """Spacing along i, j, k in mm."""
    i, j, k = (float(mm) for mm in grid.spacing_mm)
    return i, j, k


def cropped(volume: Volume, box: Box) -> Voxels:
    """A copy of the scan's voxels in a box; x runs fastest."""
    return np.array(volume.voxels[box], order="F")


def measured(volume: Volume, box: Box) -> Mask:
    """bool: voxels of the box that the scanner measured and that are finite."""
    voxels = volume.voxels[box]
    valid = np.isfinite(voxels) if voxels.dtype.kind == "f" else np.ones(voxels.shape, np.bool_)
    if volume.outside is not None:
        valid &= ~volume.outside[box]
    return np.asfortranarray(valid)


def whole_box(grid: Grid) -> Box:
    """The box of all voxels."""
    i, j, k = grid.shape
    return slice(0, i), slice(0, j), slice(0, k)


def nowhere() -> Box:
    """The box of no voxel."""
    return slice(0, 0), slice(0, 0), slice(0, 0)


def empty_patch(grid: Grid) -> Patch:
    """No voxel of a grid."""
    return Patch(grid, nowhere(), np.zeros((0, 0, 0), np.bool_))


def box_shape(box: Box) -> tuple[int, int, int]:
    """Voxels along each axis."""
    i, j, k = (side.stop - side.start for side in box)
    return i, j, k


def box_voxels(box: Box) -> int:
    """How many voxels the box has."""
    i, j, k = box_shape(box)
    return i * j * k


def shifted(box: Box, frame: Box) -> Box:
    """A box given within `frame`, in the grid."""
    i, j, k = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(box, frame, strict=True))
    return i, j, k


def inside(box: Box, frame: Box) -> Box:
    """A box of the grid, seen from within `frame`."""
    i, j, k = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, frame, strict=True))
    return i, j, k


def intersection(one: Box, other: Box) -> Box | None:
    """What two boxes share, or None."""
    sides = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    return None if any(side.stop <= side.start for side in sides) else (sides[0], sides[1], sides[2])


def around(*boxes: Box) -> Box:
    """The smallest box around boxes; those without a voxel do not count."""
    full = [box for box in boxes if box_voxels(box)]
    if not full:
        return nowhere()
    sides = [slice(min(b[axis].start for b in full), max(b[axis].stop for b in full)) for axis in range(3)]
    return sides[0], sides[1], sides[2]


def widened(box: Box, grid: Grid, margin_mm: float) -> Box:
    """The box and a margin on all sides, within the grid."""
    if not box_voxels(box):
        return box
    sides = []
    for side, count, spacing in zip(box, grid.shape, grid.spacing_mm, strict=True):
        steps = int(np.ceil(margin_mm / spacing - 1e-6))
        sides.append(slice(max(0, side.start - steps), min(count, side.stop + steps)))
    return sides[0], sides[1], sides[2]


def label_boxes(layer: Labels) -> dict[int, Box]:
    """The smallest box around each label of a layer that some voxel has."""
    rows = layer.reshape(layer.shape[0], -1, order="F")
    most = int(layer.max(initial=0)) + 1
    bounds = np.stack(over_rows(_bounds, rows.shape[1], rows, layer.shape[1], most) or [np.zeros((most, 6), np.int64)])
    low, high = bounds[:, :, :3].min(axis=0), bounds[:, :, 3:].max(axis=0)
    found = {}
    for label in range(1, most):
        if high[label, 0] > 0:
            i, j, k = (slice(int(a), int(b)) for a, b in zip(low[label], high[label], strict=True))
            found[label] = (i, j, k)
    return found


@kernel
def _bounds(first: int, last: int, rows: Labels, count_j: int, most: int) -> npt.NDArray[np.int64]:
    """Per label: lowest i, j, k and one past the highest."""
    bounds = np.zeros((most, 6), np.int64)
    bounds[:, :3] = 1 << 60
    for row in range(first, last):
        j, k = row % count_j, row // count_j
        line = rows[:, row]
        at = 0
        while at < len(line):
            label = line[at]
            end = at + 1
            while end < len(line) and line[end] == label:
                end += 1
            if label:
                box = bounds[label]
                box[0], box[3] = min(box[0], at), max(box[3], end)
                box[1], box[4] = min(box[1], j), max(box[4], j + 1)
                box[2], box[5] = min(box[2], k), max(box[5], k + 1)
            at = end
    return bounds
