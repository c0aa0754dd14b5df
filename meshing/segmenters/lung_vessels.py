"""The vessels of the lungs in a CT, with contrast medium or without: bright trees in the dark lung.

In: a scan in patient order, and seeds or none. Out: one mask of arteries and veins together, which no threshold can
tell apart. Walls lie at half height between the lung and the brightest place near, so a vessel thinner than a voxel
keeps about its width. Walls of airways that run beside a vessel are part of it; fissures and scars, which are plates,
are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.progress import Progress, part
from meshing.segmenters.ct_body import CtBodySettings, lungs_in_body
from meshing.voxels.flux import tube_likeness
from meshing.voxels.morphology import bounding_box, components, dilated, eroded, touching
from meshing.voxels.seeds import checked_seeds
from meshing.voxels.upright import Box, Coarse, Float32Array, Mask, Upright, coarse


@dataclass(frozen=True)
class LungVesselSettings:
    """Lengths in mm, CT values in HU; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    pleura_mm
        Nearer to the edge of the lung nothing is looked for: the chest wall is as bright as a vessel.
    tube_spacing_mm, radii_mm
        Blocks on which tubes are looked for, and their radii.
    tube, sure_tube
        Responses of a vessel, and of one that needs no neighbour to be believed.
    least_hu, sure_hu
        Values of the same.
    height
        Where the wall lies between the lung's median and the brightest place within `near_mm`.
    least_ml
        Smaller parts are noise.
    seed_mm
        A seed may lie that far beside its vessel.
    """

    pleura_mm: float
    tube_spacing_mm: float
    radii_mm: tuple[float, ...]
    tube: float
    sure_tube: float
    least_hu: float
    sure_hu: float
    height: float
    near_mm: float
    least_ml: float
    seed_mm: float


def vessels_of_lungs(
    scan: Upright, body: CtBodySettings, settings: LungVesselSettings, seeds_mm: tuple[Point, ...], progress: Progress
) -> Mask:
    """The vessels in the lungs: those that hold a seed, or all.

    Raises
    ------
    SegmentationError
        If no lung is in view, no vessel was found, or a seed lies in none.
    """
    where = "preset ct-lung-vessels"
    seeds = checked_seeds(scan, seeds_mm, where)
    lungs = lungs_in_body(scan, body, part(progress, 0.0, 0.4))
    lung = lungs["lung_left"] | lungs["lung_right"]
    box = bounding_box(lung)
    if box is None:
        raise SegmentationError(
            f"no lung is in view: nothing in {scan.voxels.size * scan.voxel_ml:.0f} ml of scan reads like one",
            where=where,
            hint="this preset needs a CT of the chest",
        )
    tubes = _tubes(scan, box, settings, part(progress, 0.4, 0.85))
    progress(0.85, "drawing the vessels")
    vessels = np.zeros(lung.shape, np.bool_, order="F")
    vessels[box] = _drawn(scan, box, lung, tubes, settings)
    if len(seeds):
        vessels = _seeded(vessels, seeds, seeds_mm, scan, settings)
    if not vessels.any():
        raise SegmentationError(
            f"no vessel brighter than {settings.sure_hu:g} HU was found in {lung.sum() * scan.voxel_ml:.0f} ml of lung",
            where=where,
        )
    return vessels


def _tubes(scan: Upright, box: Box, settings: LungVesselSettings, progress: Progress) -> Float32Array:
    """How much like a tube every voxel of the box is, the greatest within a block."""
    low: Coarse = coarse(scan, settings.tube_spacing_mm, most_voxels=60e6, box=box)
    clipped = np.clip(low.values, -950.0, 50.0)
    likeness = tube_likeness(
        clipped, low.spacing_mm, settings.radii_mm, smoothing_mm=0.5 * min(low.spacing_mm), progress=progress
    )
    for axis, factor in enumerate(low.factors):
        likeness = np.repeat(likeness, factor, axis=axis)
    return likeness[tuple(slice(0, part.stop - part.start) for part in box)]


def _drawn(scan: Upright, box: Box, lung: Mask, tubes: Float32Array, settings: LungVesselSettings) -> Mask:
    """Bright tubes that hold something sure, walls at half height."""
    from scipy.ndimage import maximum_filter

    inner = eroded(lung[box], scan.spacing_mm, settings.pleura_mm)
    values = np.clip(scan.voxels[box], -1000, 50).astype(np.float32)
    ground = float(np.median(values[inner])) if inner.any() else -850.0
    size = [2 * int(settings.near_mm / spacing) + 1 for spacing in scan.spacing_mm]
    wall = ground + settings.height * (maximum_filter(values, size) - ground)
    likely = inner & (values > np.maximum(wall, settings.least_hu)) & (tubes > settings.tube)
    sure = likely & (values > settings.sure_hu) & (tubes > settings.sure_tube)
    numbers, counts = components(likely, diagonal=True)
    keep = np.zeros(len(counts), np.bool_)
    keep[np.unique(numbers[sure])] = True
    keep &= counts * scan.voxel_ml >= settings.least_ml
    keep[0] = False
    held: Mask = keep[numbers]
    return held


def _seeded(
    vessels: Mask, seeds: np.ndarray, seeds_mm: tuple[Point, ...], scan: Upright, settings: LungVesselSettings
) -> Mask:
    """The vessels that a seed lies in or beside."""
    chosen = np.zeros_like(vessels)
    for index, point in zip(np.round(seeds).astype(int), seeds_mm, strict=True):
        near = np.zeros_like(vessels)
        near[tuple(index)] = True
        found = touching(vessels, dilated(near, scan.spacing_mm, settings.seed_mm) & vessels)
        if not found.any():
            raise SegmentationError(
                f"no vessel lies within {settings.seed_mm:g} mm of the seed ({', '.join(f'{c:.1f}' for c in point)}) "
                f"mm, where the scan reads {scan.voxels[tuple(index)]:.0f} HU",
                where="preset ct-lung-vessels",
                hint="set the seed into a bright vessel inside the lung",
            )
        chosen |= found
    return chosen
