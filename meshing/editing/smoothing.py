"""Segments made smooth, and what that did to their volume: median, opening, closing, Gaussian, all labels together.

In: a patch or a label patch and a size in mm; out: the same kind, with the volume before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from meshing.editing.distances import within_mm
from meshing.editing.edges import blurred
from meshing.editing.patch import LabelPatch, Patch, inside, label_boxes, spacing_of, widened
from meshing.errors import SegmentationError
from meshing.progress import Progress, silent
from meshing.threads import kernel, over_rows
from meshing.volume import Grid
from meshing.voxels.upright import Mask, Spacing

Smoothing = Literal["median", "opening", "closing", "gaussian"]


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A segment made smooth."""

    patch: Patch
    before_ml: float
    after_ml: float

    @property
    def change_percent(self) -> float:
        """Of the volume before; negative where it lost some."""
        return 100.0 * (self.after_ml - self.before_ml) / self.before_ml


@dataclass(frozen=True, eq=False)
class SmoothedTogether:
    """Labels made smooth together; volumes by label, before and after."""

    labels: LabelPatch
    volumes_ml: dict[int, tuple[float, float]]


def smoothed(patch: Patch, smoothing: Smoothing, size_mm: float, *, progress: Progress = silent) -> Smoothed:
    """The segment made smooth; perhaps nothing is left of it.

    Parameters
    ----------
    smoothing
        "median": what most of a box, `size_mm` to each side, has. "opening": what a ball of that radius can reach
        from inside. "closing": with the gaps that such a ball cannot enter. "gaussian": blurred by that standard
        deviation, and cut at one half.

    Raises
    ------
    SegmentationError
        If nothing is drawn or the size is not positive.
    """
    _refuse_size(size_mm)
    if not patch.voxels:
        raise SegmentationError("there is nothing to smooth", where="smoothing")
    spacing = spacing_of(patch.grid)
    reach = {"median": size_mm, "opening": max(spacing), "closing": 2 * size_mm, "gaussian": 3 * size_mm}[smoothing]
    box = widened(patch.box, patch.grid, reach + max(spacing))
    mask = patch.within(box)
    progress(0.0, "smoothing")
    if smoothing == "median":
        mask = _majority(mask, spacing, size_mm, progress)
    elif smoothing == "gaussian":
        mask = np.asfortranarray(blurred(mask.view(np.uint8), spacing, size_mm) > 0.5)
    elif smoothing == "opening":
        mask = _opened(mask, spacing, size_mm, progress)
    else:
        mask = _closed(mask, spacing, size_mm, progress)
    made = Patch(patch.grid, box, mask)
    return Smoothed(made.trimmed(), patch.volume_ml, made.volume_ml)


def smoothed_together(labels: LabelPatch, sigma_mm: float, *, progress: Progress = silent) -> SmoothedTogether:
    """All labels blurred and each voxel given to the strongest, nothing included: no gap or overlap arises.

    Raises
    ------
    SegmentationError
        If nothing is drawn or the size is not positive.
    """
    _refuse_size(sigma_mm)
    boxes = label_boxes(labels.labels)
    if not boxes:
        raise SegmentationError("there is nothing to smooth", where="smoothing")
    spacing = spacing_of(labels.grid)
    box = widened(labels.box, labels.grid, 3 * sigma_mm)
    drawn = np.zeros([side.stop - side.start for side in box], labels.labels.dtype, order="F")
    drawn[inside(labels.box, box)] = labels.labels
    best = blurred((drawn == 0).view(np.uint8), spacing, sigma_mm)
    winner = np.zeros_like(drawn)
    offset = [a.start - b.start for a, b in zip(labels.box, box, strict=True)]
    whole = Grid(drawn.shape, labels.grid.voxel_to_patient)  # boxes count from the corner of `box`
    for number, (label, part_box) in enumerate(boxes.items()):
        progress(number / len(boxes), "smoothing")
        i, j, k = (slice(s.start + o, s.stop + o) for s, o in zip(part_box, offset, strict=True))
        reach = widened((i, j, k), whole, 3 * sigma_mm)
        share = blurred((drawn[reach] == label).view(np.uint8), spacing, sigma_mm)
        progress((number + 0.5) / len(boxes), "smoothing")
        over_rows(_claim, share.shape[1] * share.shape[2], share, best[reach], winner[reach], label)
    made = LabelPatch(labels.grid, box, winner)
    ml = labels.grid.voxel_volume_mm3 / 1000.0
    before, after = np.bincount(drawn.ravel(order="K")), np.bincount(winner.ravel(order="K"), minlength=max(boxes) + 1)
    return SmoothedTogether(made, {label: (float(before[label]) * ml, float(after[label]) * ml) for label in boxes})


@kernel
def _claim(first: int, last: int, share: Any, best: Any, winner: Any, label: int) -> None:
    """Voxels where the share is larger than the best so far get the label."""
    y_count = share.shape[1]
    for row in range(first, last):
        y, z = row % y_count, row // y_count
        for x in range(share.shape[0]):
            if share[x, y, z] > best[x, y, z]:
                best[x, y, z], winner[x, y, z] = share[x, y, z], label


def _refuse_size(size_mm: float) -> None:
    if not 0 < size_mm < np.inf:
        raise SegmentationError(f"a size of {size_mm:g} mm", where="smoothing", hint="give a size above 0 mm")


def _majority(mask: Mask, spacing: Spacing, size_mm: float, progress: Progress) -> Mask:
    from scipy.ndimage import uniform_filter1d

    share = mask.astype(np.float32)
    for axis, step in enumerate(spacing):
        progress(axis / 3, "smoothing")
        reach = int(size_mm / step + 1e-6)
        if reach:
            share = uniform_filter1d(share, 2 * reach + 1, axis, mode="nearest")
    # Shares are whole voxels over the box: half of it is passed by one voxel, not by rounding.
    most: Mask = np.asfortranarray(share > 0.5 + 1e-5)
    return most


def _opened(mask: Mask, spacing: Spacing, radius_mm: float, progress: Progress) -> Mask:
    limit = radius_mm + 1e-4 * min(spacing)
    if mask.all():
        return mask
    core = ~within_mm(~mask, spacing, limit)
    progress(0.5, "smoothing")
    return mask & within_mm(core, spacing, limit)


def _closed(mask: Mask, spacing: Spacing, radius_mm: float, progress: Progress) -> Mask:
    room = [int(np.ceil(radius_mm / step)) + 1 for step in spacing]  # nothing is added towards the edge of the scan
    inner = tuple(slice(n, -n) for n in room)
    padded = np.zeros([count + 2 * n for count, n in zip(mask.shape, room, strict=True)], np.bool_, order="F")
    padded[inner] = mask
    limit = radius_mm + 1e-4 * min(spacing)
    grown = within_mm(padded, spacing, limit)
    progress(0.5, "smoothing")
    return mask | ~within_mm(~grown, spacing, limit)[inner]
