"""Islands: the parts of a segment that do not touch, kept, dropped or given labels of their own.

In and out: patches. Parts hang together by faces. Sizes are ml; thousands of islands are no trouble.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshing.editing.patch import MOST_LABELS, LabelPatch, Patch, Point, point_text, seed_voxels
from meshing.errors import SegmentationError
from meshing.segmentation import Labels
from meshing.voxels.morphology import components, largest, parts_that, touching


def largest_island(patch: Patch) -> Patch:
    """The largest part; of equal ones the first along i, then j, then k."""
    if not patch.voxels:
        return patch
    return Patch(patch.grid, patch.box, largest(patch.mask)).trimmed()


def islands_at(patch: Patch, seeds_mm: Sequence[Point]) -> Patch:
    """The parts that seeds lie in.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan or in no part.
    """
    seeds = seed_voxels(patch.grid, seeds_mm, "islands") - [side.start for side in patch.box]
    within = np.zeros(patch.mask.shape, np.bool_, order="F")
    for seed, point in zip(seeds, seeds_mm, strict=True):
        if not ((seed >= 0) & (seed < patch.mask.shape)).all() or not patch.mask[tuple(seed)]:
            raise SegmentationError(
                f"no part lies at {point_text(np.asarray(point))}", where="islands", hint="click on the part to keep"
            )
        within[tuple(seed)] = True
    return Patch(patch.grid, patch.box, touching(patch.mask, within)).trimmed()


def without_small_islands(patch: Patch, least_ml: float) -> Patch:
    """The segment without parts below a volume; perhaps nothing.

    Raises
    ------
    SegmentationError
        If the volume is negative or not finite.
    """
    if not 0 <= least_ml < np.inf:
        raise SegmentationError(f"islands below {least_ml:g} ml", where="islands")
    if not patch.voxels:
        return patch
    least_voxels = least_ml * 1000.0 / patch.grid.voxel_volume_mm3 - 1e-6
    kept = parts_that(patch.mask, lambda labels, counts, box: counts >= least_voxels)
    return Patch(patch.grid, patch.box, kept).trimmed()


def split_islands(patch: Patch, *, first_label: int = 1, least_ml: float = 0.0) -> LabelPatch:
    """Every part with a label of its own, the largest first.

    Raises
    ------
    SegmentationError
        If labels would pass 65,535, with how many parts there are.
    """
    if not patch.voxels:
        return LabelPatch(patch.grid, patch.box, np.zeros(patch.mask.shape, np.uint8))
    numbers, counts = components(patch.mask)
    parts = int(np.count_nonzero(counts[1:] * patch.grid.voxel_volume_mm3 >= least_ml * 1000.0 - 1e-6))
    if first_label < 1 or first_label + parts - 1 > MOST_LABELS:
        raise SegmentationError(
            f"{parts} parts need the labels {first_label} to {first_label + parts - 1}; 1 to {MOST_LABELS} can be kept",
            where="islands",
            hint="drop the small ones first: least_ml",
        )
    wide = np.uint8 if first_label + parts <= 256 else np.uint16
    label_of = np.zeros(len(counts), wide)
    label_of[1 : parts + 1] = np.arange(first_label, first_label + parts)
    labels: Labels = np.zeros(numbers.shape, wide, order="F")
    np.take(label_of, numbers, out=labels)
    return LabelPatch(patch.grid, patch.box, labels)
