"""A lumen from grey values alone: grown from seeds to half the step to what is round it.

In: a `Volume` and seeds in LPS mm. Out: a mask on its grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.errors import VesselError
from meshing.plan import Point
from meshing.progress import Progress, silent
from meshing.volume import Volume
from meshing.voxels.morphology import bounding_box, components, dilated
from meshing.voxels.seeds import brightness_at, checked_seeds
from meshing.voxels.upright import Mask, to_storage, upright

WHERE = "vessel from grey values"
_AROUND_MM = 4.0
_ROUNDS = 4
_LEAK_SHARE = 0.3


def lumen_mask(volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress = silent) -> Mask:
    """The vessel under the seeds, out to half the step from its brightness to what lies round it.

    The step is measured where the vessel is found, and the vessel grown again, until both agree.

    Raises
    ------
    VesselError
        If no seed is given, nothing round the seed is darker, or what grows fills the scan.
    SegmentationError
        If a seed lies outside the scan.
    """
    if not seeds_mm:
        raise VesselError("no seed", where=WHERE, hint="set a seed into the vessel")
    scan = upright(volume)
    seeds = checked_seeds(scan, seeds_mm, WHERE)
    values = scan.voxels.astype(np.float32)
    inside = brightness_at(scan, seeds, seeds_mm, -np.inf, WHERE)
    around = float(np.median(values))
    if not inside > around:
        raise VesselError(
            f"the seed reads {inside:.4g}, half of the scan more than {around:.4g}: no bright vessel there",
            where=WHERE,
            hint="set the seed into the bright part of a vessel filled with contrast",
        )
    grown = np.zeros(values.shape, np.bool_, order="F")
    for turn in range(_ROUNDS):
        progress(turn / _ROUNDS, "growing to half the step")
        grown = _under(values > 0.5 * (inside + around), seeds)
        share = float(grown.mean())
        if share > _LEAK_SHARE:
            raise VesselError(
                f"what grows from the seed at half the step ({0.5 * (inside + around):.4g}) fills {100 * share:.0f} %"
                " of the scan",
                where=WHERE,
                hint="segment the vessel with a preset first",
            )
        next_around = _level_around(values, grown, scan.spacing_mm)
        if abs(next_around - around) < 0.02 * (inside - around):
            break
        around = min(next_around, inside - 1e-6)
    return to_storage(grown, scan)


def _under(lit: Mask, seeds: npt.NDArray[np.float64]) -> Mask:
    numbers, _ = components(lit)
    under = {int(numbers[tuple(np.rint(seed).astype(int))]) for seed in seeds} - {0}
    if not under:
        raise VesselError("no seed lies in something brighter than half the step", where=WHERE, hint="move the seed")
    return np.asfortranarray(np.isin(numbers, sorted(under)))


def _level_around(values: npt.NDArray[np.float32], grown: Mask, spacing: tuple[float, float, float]) -> float:
    box = bounding_box(grown, spacing, 2.0 * _AROUND_MM)
    if box is None:
        return float(np.median(values))
    near, part = values[box], grown[box]
    shell = dilated(part, spacing, _AROUND_MM) & ~dilated(part, spacing, 0.5 * _AROUND_MM)
    return float(np.median(near[shell])) if shell.any() else float(np.median(values))
