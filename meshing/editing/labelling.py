"""Several labels from a few seeds of each: grow-from-seeds, and watershed from markers.

In: a scan and seeds as a label patch, at least two labels of which one may be what lies around; out: a label patch in
the box of the seeds and a margin. Seeds keep their label.
"""

from __future__ import annotations

import numpy as np

from meshing.editing.edges import blurred, gradient_magnitude, grey
from meshing.editing.fronts import Ground, Rule, settled
from meshing.editing.halving import Levels
from meshing.editing.patch import LabelPatch, Patch, box_shape, inside, measured, one_grid, spacing_of, widened
from meshing.editing.turning import turning_of
from meshing.errors import SegmentationError
from meshing.progress import Progress, part, silent
from meshing.segmentation import Labels
from meshing.threads import kernel, over_rows
from meshing.volume import Volume, Voxels
from meshing.voxels.upright import Box, Mask


def grown_from_seeds(
    volume: Volume,
    seeds: LabelPatch,
    *,
    margin_mm: float = 10.0,
    within: Patch | None = None,
    exact: bool = False,
    progress: Progress = silent,
) -> LabelPatch:
    """Every voxel given to the seed from which the path of least change of brightness comes.

    Paths are shortest ones over 256 grey levels, which is what "grow from seeds" (fast GrowCut) computes. Boxes above
    a million voxels are solved at half the resolution and again where labels meet, unless `exact`.

    Parameters
    ----------
    margin_mm
        How far round the seeds to look; infinite for the whole scan.
    within
        Only these voxels are given away.

    Raises
    ------
    SegmentationError
        If the seeds lie on another grid or have fewer than two labels.

    References
    ----------
    Zhu et al., An effective interactive medical image segmentation method using fast GrowCut, MICCAI IMIC, 2014.
    """
    turning = turning_of(volume.grid)
    scan, seeds = turning.volume(volume), turned_seeds(volume, seeds, "grow from seeds")
    box, markers = placed(scan, seeds, margin_mm)
    progress(0.0, "growing labels")
    # Whole numbers need no copy.
    values = scan.voxels[box] if scan.voxels.dtype.kind in "iu" else grey(scan, box)
    levels = _levels(values, 0.5, 99.5)
    room = within and turning.patch(within)
    return turning.labels_back(_settled(scan, (box, markers, levels), room, "shortest path", exact, progress))


def watershed(
    volume: Volume,
    seeds: LabelPatch,
    *,
    sigma_mm: float = 1.0,
    margin_mm: float = 10.0,
    within: Patch | None = None,
    progress: Progress = silent,
) -> LabelPatch:
    """Every voxel given to the seed whose water comes first, when it rises over the steepness of the scan.

    Steepness is the gradient after a blur of `sigma_mm`, in 256 levels. Large boxes as in `grown_from_seeds`.

    Raises
    ------
    SegmentationError
        If the seeds lie on another grid or have fewer than two labels.

    References
    ----------
    Meyer, Color image segmentation, Int. Conf. on Image Processing, 1992: flooding from markers.
    """
    turning = turning_of(volume.grid)
    scan, seeds = turning.volume(volume), turned_seeds(volume, seeds, "watershed")
    box, markers = placed(scan, seeds, margin_mm)
    progress(0.0, "measuring edges")
    spacing = spacing_of(scan.grid)
    values = scan.voxels[box] if scan.voxels.dtype.kind in "iu" else grey(scan, box)
    steep = gradient_magnitude(blurred(values, spacing, sigma_mm), spacing)
    ground = box, markers, _levels(steep, 0.0, 99.5)
    room = within and turning.patch(within)
    return turning.labels_back(_settled(scan, ground, room, "flood", False, part(progress, 0.3, 1.0)))


def turned_seeds(volume: Volume, seeds: LabelPatch, where: str) -> LabelPatch:
    """The seeds in patient order.

    Raises
    ------
    SegmentationError
        If the seeds lie on another grid or have fewer than two labels.
    """
    one_grid(seeds.grid, volume.grid)
    numbers = seeds.numbers()
    if len(numbers) < 2:
        drawn = f"label {numbers[0]} alone" if numbers else "nothing"
        raise SegmentationError(
            f"{drawn} is drawn; two labels at least are needed",
            where=where,
            hint="draw what is wanted with one label and what lies around it with another",
        )
    return turning_of(volume.grid).labels(seeds)


def placed(volume: Volume, seeds: LabelPatch, margin_mm: float) -> tuple[Box, Labels]:
    """The box to work in, and the seeds in it."""
    reach = min(margin_mm, float(np.max(np.array(volume.grid.shape) * volume.grid.spacing_mm)))
    box = widened(seeds.box, volume.grid, reach)
    markers = np.zeros(box_shape(box), seeds.labels.dtype, order="F")
    markers[inside(seeds.box, box)] = seeds.labels
    return box, markers


def _settled(
    volume: Volume,
    placed: tuple[Box, Labels, Levels],
    within: Patch | None,
    rule: Rule,
    exact: bool,
    progress: Progress,
) -> LabelPatch:
    box, markers, levels = placed
    free = _free(volume, box, within) | (markers > 0)
    ground = Ground(levels, np.asfortranarray(free), spacing_of(volume.grid), rule)
    return LabelPatch(volume.grid, box, settled(ground, markers, exact=exact, progress=progress))


def _free(volume: Volume, box: Box, within: Patch | None) -> Mask:
    free = measured(volume, box)
    if within is not None:
        one_grid(within.grid, volume.grid)
        free &= within.within(box)
    return free


def _levels(values: Voxels, low_percent: float, high_percent: float) -> Levels:
    """256 steps between two percentiles; every 3rd voxel along each axis tells them."""
    low, high = np.percentile(values[::3, ::3, ::3], [low_percent, high_percent])
    levels = np.empty(values.shape, np.uint8, order="F")
    scale = np.float32(255.0 / max(float(high - low), 1e-6))
    flat = np.asfortranarray(values).ravel(order="F")
    over_rows(_quantise, values.size, flat, levels.ravel(order="F"), np.float32(low), scale)
    return levels


@kernel
def _quantise(first: int, last: int, values: Voxels, levels: Levels, low: np.float32, scale: np.float32) -> None:
    for at in range(first, last):
        level = (np.float32(values[at]) - low) * scale
        levels[at] = np.uint8(min(max(level, np.float32(0.0)), np.float32(255.0)))
