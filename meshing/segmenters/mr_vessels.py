"""The bright vessel tree of an MR angiogram, out to where its wall is half as bright.

In: a scan in patient order. Out: a mask at full resolution. Blood is brighter than tissue but not evenly so: signal
falls off along a vessel and in thin ones. So the tree is found at a low threshold, and its edge is then set, place by
place, half way between tissue and the blood of that very place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.progress import Progress
from meshing.segmenters.blobs import Blobs, Floats, find_blobs
from meshing.voxels.morphology import bounding_box, components, touching
from meshing.voxels.seeds import brightness_at, checked_seeds
from meshing.voxels.upright import Float32Array, Mask, Upright

WHERE = "preset mr-vessels"

# Over this length signal falls off little, and a branch is farther from the core of its trunk than from its own.
_NEAR_MM = 4.0
# Coil shading varies over several centimetres; what is darker than half is taken for air, not for shade.
_COIL_MM = 20.0
_SHADE = (0.5, 1.2)


@dataclass(frozen=True)
class MrVesselSettings:
    """Lengths in mm, volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    blur_mm
        Width of the Gaussian that evens noise, at most half a voxel along each axis.
    blood_share
        The brightest share of the lit voxels is surely blood.
    reach_share
        What passes this share of the step from tissue to blood is followed …
    wall_share
        … and what passes this share of the step from tissue to the blood of its own piece is vessel.
    basin_mm
        Shallower swellings of a vessel are not pieces of their own.
    least_contrast
        Blood is brighter than tissue by that factor, or it is no angiogram.
    least_ml, least_share
        The largest part holds at least so much; smaller parts belong to the tree when they hold this share of it.
    """

    blur_mm: float
    blood_share: float
    reach_share: float
    wall_share: float
    basin_mm: float
    least_contrast: float
    least_ml: float
    least_share: float


def vessels_of_mr(scan: Upright, settings: MrVesselSettings, seeds_mm: tuple[Point, ...], progress: Progress) -> Mask:
    """The tree, bool, in patient order.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan or in no vessel, or nothing is as bright as blood.
    """
    from scipy import ndimage

    seeds = checked_seeds(scan, seeds_mm, WHERE)
    progress(0.05, "evening the noise")
    sigma = [min(0.5, settings.blur_mm / s) for s in scan.spacing_mm]
    values = np.asfortranarray(ndimage.gaussian_filter(scan.voxels.astype(np.float32), sigma))
    progress(0.2, "telling blood from tissue")
    tissue, blood = _levels(values, scan, settings)
    reach = tissue + settings.reach_share * (blood - tissue)
    if len(seeds):
        brightness_at(scan, seeds, seeds_mm, reach, WHERE)
    shade = _shading(values, tissue, blood, scan)
    lit = values > tissue * shade + settings.reach_share * (blood - tissue) * shade
    if scan.outside is not None:
        lit &= ~scan.outside
    progress(0.4, "following the tree")
    tree = _tree(lit, scan, seeds, settings)
    progress(0.6, "finding the wall")
    return _tree(_within_walls(values, tree, tissue, scan, settings), scan, seeds, settings)


def _levels(values: Float32Array, scan: Upright, settings: MrVesselSettings) -> tuple[float, float]:
    """What tissue and blood read.

    Tissue is the median of what is neither air nor blood; blood is the median of the brightest share of that.
    """
    from skimage.filters import threshold_otsu

    measured = values if scan.outside is None else values[~scan.outside]
    lowest, highest = float(measured.min()), float(measured.max())
    if not highest > lowest:
        raise SegmentationError(f"every voxel reads {lowest:g}", where=WHERE, hint="is this an MR angiogram?")
    lit = measured[measured > lowest + 0.02 * (highest - lowest)]
    brightest = np.quantile(lit, 1.0 - settings.blood_share)
    lit = np.minimum(lit, brightest)  # a few hot voxels must not set the split
    split = float(threshold_otsu(lit))
    if not (lit > split).any():
        raise SegmentationError(f"only {len(lit)} voxels are lit, all alike", where=WHERE, hint="is this an angiogram?")
    tissue, blood = float(np.median(lit[lit <= split])), float(np.median(lit[lit > split]))
    if blood < settings.least_contrast * tissue:
        raise SegmentationError(
            f"nothing is as bright as blood: the bright part reads {blood:.4g}, the rest {tissue:.4g}, wanted"
            f" {settings.least_contrast:g} times that",
            where=WHERE,
            hint="is this an MR angiogram? For a head without contrast: preset mr-head",
        )
    return tissue, blood


def _shading(values: Float32Array, tissue: float, blood: float, scan: Upright) -> Float32Array:
    """How well the coils see each place, from the tissue there; 1 where tissue reads what it reads in the middle."""
    from scipy import ndimage

    dull = np.minimum(values, np.float32(0.5 * (tissue + blood)))
    sigma = [_COIL_MM / s for s in scan.spacing_mm]
    weight = None if scan.outside is None else (~scan.outside).astype(np.float32)
    smooth = ndimage.gaussian_filter(dull if weight is None else dull * weight, sigma)
    if weight is not None:
        smooth /= np.maximum(ndimage.gaussian_filter(weight, sigma), np.float32(1e-3))
    # Air has no signal to tell by; where it is near, the threshold must not sink into noise.
    shade: Float32Array = np.clip(smooth / np.float32(np.median(smooth)), *_SHADE).astype(np.float32)
    return shade


def _tree(lit: Mask, scan: Upright, seeds: Floats, settings: MrVesselSettings) -> Mask:
    """The parts under the seeds; without seeds the largest part and those that are not much smaller."""
    if len(seeds):
        under = np.zeros(lit.shape, np.bool_, order="F")
        for seed in seeds:
            middle, room = np.round(seed).astype(int), np.ceil(2.5 / np.array(scan.spacing_mm)).astype(int)
            under[tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, room, strict=True))] = True
        return touching(lit, under)
    numbers, counts = components(lit)
    largest_ml = float(counts[1]) * scan.voxel_ml if len(counts) > 1 else 0.0
    if largest_ml < settings.least_ml:
        raise SegmentationError(
            f"no vessel: the largest bright part holds {largest_ml:.2f} ml, wanted {settings.least_ml:g} ml",
            where=WHERE,
            hint="is this an MR angiogram? Seeds in a vessel help where it is dim",
        )
    keep = counts >= settings.least_share * counts[1]
    keep[0] = False
    kept: Mask = keep[numbers]
    return kept


def _within_walls(values: Float32Array, tree: Mask, tissue: float, scan: Upright, settings: MrVesselSettings) -> Mask:
    """What is brighter than half way from tissue to the blood of its own piece of the tree."""
    box = bounding_box(tree, scan.spacing_mm, 3.0)
    inside = np.zeros(tree.shape, np.bool_, order="F")
    if box is None:
        return inside
    blobs = find_blobs(values[box], tree[box], scan.spacing_mm, settings.basin_mm)
    blood = _smooth_level(values[box], blobs, scan)
    inside[box] = tree[box] & (values[box] > tissue + settings.wall_share * (blood - tissue))
    return inside


def _smooth_level(values: Float32Array, blobs: Blobs, scan: Upright) -> Float32Array:
    """The brightness of blood at every voxel: that of the vessel's core near by, as it falls off along the vessel."""
    from scipy import ndimage

    core = (blobs.numbers > 0) & (blobs.depth_mm >= 0.6 * blobs.radius_mm[blobs.numbers])
    sigma = [_NEAR_MM / s for s in scan.spacing_mm]
    weight = ndimage.gaussian_filter(core.astype(np.float32), sigma)
    blended = ndimage.gaussian_filter(np.where(core, values, np.float32(0)), sigma)
    level: Float32Array = blended / np.maximum(weight, np.float32(1e-6))
    return level
