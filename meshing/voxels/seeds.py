"""Seeds: points that the user sets in a structure, checked against the scan before anything grows from them."""

from __future__ import annotations

import numpy as np

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.voxels.upright import Upright, to_upright_index

_LOOK_MM = 2.5


def checked_seeds(scan: Upright, seeds_mm: tuple[Point, ...], where: str) -> FloatArray:
    """The seeds as (x, y, z) indices, shape (N, 3).

    Raises
    ------
    SegmentationError
        If one lies outside the scan, with the distance.
    """
    if not seeds_mm:
        return np.zeros((0, 3))
    index = to_upright_index(np.asarray(seeds_mm, dtype=np.float64), scan)
    if not np.isfinite(index).all():
        raise SegmentationError("a seed is not a finite point", where=where)
    last = np.array(scan.voxels.shape) - 0.5
    beyond_mm = np.maximum(np.maximum(-0.5 - index, index - last), 0.0) * scan.spacing_mm
    for seed, beyond in zip(seeds_mm, np.linalg.norm(beyond_mm, axis=1), strict=True):
        if beyond > 0:
            raise SegmentationError(
                f"the seed {_text(seed)} lies {beyond:.1f} mm outside the scan",
                where=where,
                hint="seeds are LPS millimetres: left, posterior, superior",
            )
    return np.clip(index, 0, np.array(scan.voxels.shape) - 1)


def brightness_at(scan: Upright, seeds: FloatArray, seeds_mm: tuple[Point, ...], least: float, where: str) -> float:
    """Median of the scan round the seeds.

    Raises
    ------
    SegmentationError
        If a seed lies in something darker than `least`, with what it reads.
    """
    found = []
    for seed, point in zip(seeds, seeds_mm, strict=True):
        reach = np.maximum(np.round(_LOOK_MM / np.array(scan.spacing_mm)), 0).astype(int)
        middle = np.round(seed).astype(int)
        window = tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach, strict=True))
        # Upper quartile: a seed beside the wall still sees the lumen.
        bright = float(np.percentile(scan.voxels[window].astype(np.float32), 75))
        if bright < least:
            raise SegmentationError(
                f"the seed {_text(point)} lies in {bright:.0f}, a filled vessel reads at least {least:.0f}",
                where=where,
                hint="set the seed into the brightest part of the vessel",
            )
        found.append(bright)
    return float(np.median(found))


def _text(point: Point) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in point) + ") mm"
