"""The bright tree of an MR angiogram: hysteresis between background and blood, from seeds or the largest part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.progress import Progress
from meshing.segmenters.morphology import components, touching
from meshing.segmenters.seeds import checked_seeds
from meshing.segmenters.upright import Mask, Upright

WHERE = "preset mr-vessels"


@dataclass(frozen=True)
class MrVesselSettings:
    """Shares of the step from background to blood; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    spacing_mm
        Width of the Gaussian that evens the noise before thresholds are read.
    share, edge_share
        Blood is what passes `edge_share` of the step; a part counts when its core passes more.
    least_ml
        Less than that is no tree.
    """

    spacing_mm: float
    share: float
    edge_share: float
    least_ml: float


def vessels_of_mr(scan: Upright, settings: MrVesselSettings, seeds_mm: tuple[Point, ...], progress: Progress) -> Mask:
    """The tree, bool, in patient order.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan or in no vessel, or no tree is found.
    """
    from scipy import ndimage
    from skimage.filters import threshold_multiotsu

    seeds = checked_seeds(scan, seeds_mm, WHERE)
    progress(0.1, "evening the noise")
    values = scan.voxels.astype(np.float32)
    even = ndimage.gaussian_filter(values, [0.4 * settings.spacing_mm / s for s in scan.spacing_mm])
    progress(0.5, "telling blood from tissue")
    if float(even.max()) - float(even.min()) <= 0.0:
        raise SegmentationError(f"every voxel holds {float(even.max()):g}", where=WHERE, hint="is this an angiogram?")
    sample = even[:: max(even.shape[0] // 128, 1), :: max(even.shape[1] // 128, 1), :]
    _, bright = threshold_multiotsu(sample, classes=3)
    tissue = float(np.median(even[even < bright]))
    blood = float(np.median(even[even >= bright]))
    core = even > bright
    edge = even > tissue + settings.edge_share * (blood - tissue)
    edge &= ndimage.binary_dilation(core, iterations=2)
    progress(0.8, "following the tree")
    return _tree(scan, np.asfortranarray(edge | core), seeds, seeds_mm, settings)


def _tree(
    scan: Upright, bright: Mask, seeds: np.ndarray, seeds_mm: tuple[Point, ...], settings: MrVesselSettings
) -> Mask:
    if len(seeds):
        at = np.zeros(bright.shape, np.bool_, order="F")
        near = tuple(np.round(seeds).astype(int).T)
        at[near] = True
        from scipy import ndimage

        tree = touching(bright, np.asfortranarray(ndimage.binary_dilation(at, iterations=2)))
        if not tree.any():
            raise SegmentationError(f"no seed of {len(seeds_mm)} lies in a bright vessel", where=WHERE, hint="move it")
        return tree
    numbers, counts = components(bright)
    volume_ml = float(counts[1]) * scan.voxel_ml if len(counts) > 1 else 0.0
    if volume_ml < settings.least_ml:
        raise SegmentationError(
            f"no vessel: the largest bright part has {volume_ml:.2f} ml, wanted {settings.least_ml:g}",
            where=WHERE,
            hint="is this an angiogram? Seeds in a vessel help where it is dim",
        )
    largest: Mask = numbers == 1
    return largest
