"""Bone in a CT: hysteresis on Hounsfield units inside the body, without the contrast of vessels and organs.

In: a scan in patient order. Out: a mask at full resolution. Marrow is filled where it is enclosed and denser than fat
or fluid; the spinal canal, joints and foramina stay open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.progress import Progress, part
from meshing.segmenters.body import Body, BodySettings, find_body
from meshing.segmenters.contrast import Bright, ContrastSettings, bright_parts
from meshing.voxels.morphology import (
    Components,
    bounding_box,
    closed,
    dilated,
    distance_from,
    filled_in_slices,
    parts_that,
    touching,
)
from meshing.voxels.upright import Box, Mask, Upright, to_full


@dataclass(frozen=True)
class BoneSettings:
    """Thresholds in HU, lengths in mm, volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    bone_hu
        Everything above that is joined to something above `sure_hu`.
    sure_hu
        Certainly bone (or contrast, which is taken away).
    marrow_hu
        What is enclosed by bone and denser than this is filled.
    marrow_mm, marrow_mm2
        Gaps in the shell up to twice this do not open it; larger holes are no marrow.
    pore_mm2
        Holes of that area in a slice are filled whatever they hold.
    least_ml
        Smaller islands are dropped.
    least_sure
        An island needs that share of sure voxels.
    """

    bone_hu: float
    sure_hu: float
    marrow_hu: float
    marrow_mm: float
    marrow_mm2: float
    pore_mm2: float
    least_ml: float
    least_sure: float


@dataclass(frozen=True)
class CtBoneSettings:
    """Everything that ct-bone is set by."""

    body: BodySettings
    contrast: ContrastSettings
    bone: BoneSettings


def bone_of_ct(scan: Upright, settings: CtBoneSettings, progress: Progress) -> Mask:
    """Bone, bool, in patient order.

    Raises
    ------
    SegmentationError
        If nothing like bone is in the body.
    """
    progress(0.02, "finding the body")
    body = find_body(scan, settings.body)
    progress(0.2, "telling bone from contrast")
    bright = bright_parts(scan, body, settings.contrast)
    bone = bone_in_body(scan, body, bright, settings.bone, part(progress, 0.4, 1.0))
    if not bone.any():
        raise SegmentationError(
            f"no bone: nothing above {settings.bone.sure_hu:.0f} HU of at least {settings.bone.least_ml} ml",
            where="preset ct-bone",
            hint="is this a CT in Hounsfield units?",
        )
    return bone


def bone_in_body(scan: Upright, body: Body, bright: Bright, settings: BoneSettings, progress: Progress) -> Mask:
    """Bone of a body whose contrast is known; may be empty."""
    from scipy import ndimage

    solid = to_full(body.mask, body.low)
    box = bounding_box(solid)
    bone = np.zeros(scan.voxels.shape, np.bool_, order="F")
    if box is None:
        return bone
    progress(0.0, "finding bone")
    # A light blur, the same in mm along all axes, keeps noise from making islands; thick slices stay as they are.
    sigma = [min(0.6, 0.4 / spacing) for spacing in scan.spacing_mm]
    values = np.asfortranarray(ndimage.gaussian_filter(scan.voxels[box].astype(np.float32), sigma))
    contrast, marrow = _nearer_to_contrast(bright), _marrow(bright, settings)
    dense = (values > max(settings.bone_hu, bright.threshold_hu)) & solid[box] & ~to_full(contrast, bright.low)[box]
    progress(0.4, "dropping islands")
    islands = _sure_islands(dense, values > settings.sure_hu, settings.least_ml / scan.voxel_ml, settings.least_sure)
    progress(0.7, "filling marrow")
    inside = touching(islands | (to_full(marrow, bright.low)[box] & solid[box]), islands)
    bone[box] = filled_in_slices(inside, 2, settings.pore_mm2, spacing_mm=scan.spacing_mm)
    return bone


def _nearer_to_contrast(bright: Bright) -> Mask:
    """Blocks of contrast, and the half-filled ones at its edge that are not nearer to bone."""
    spacing = bright.low.spacing_mm
    reach = 1.8 * max(spacing)
    edge = dilated(bright.contrast, spacing, reach)
    box = bounding_box(edge, spacing, reach)
    if box is None:
        return edge
    nearer = distance_from(bright.contrast[box], spacing) < distance_from(bright.bone[box], spacing)
    edge[box] &= nearer
    return edge


def _marrow(bright: Bright, settings: BoneSettings) -> Mask:
    """Blocks that bone encloses and that are denser than fat or fluid."""
    spacing = bright.low.spacing_mm
    shell = closed(bright.bone, spacing, settings.marrow_mm)
    inside = filled_in_slices(shell, 2, settings.marrow_mm2, spacing_mm=spacing)
    marrow: Mask = inside & (bright.values > settings.marrow_hu) & ~bright.contrast
    return marrow


def _sure_islands(dense: Mask, sure: Mask, least_voxels: float, least_sure: float) -> Mask:
    """The parts that are large enough and hold enough voxels that are certainly bone."""

    def are_sure(labels: Components, counts: npt.NDArray[np.int64], box: Box) -> npt.NDArray[np.bool_]:
        flat = labels.ravel(order="F")
        certain = np.bincount(flat[sure[box].ravel(order="F")], minlength=len(counts))
        return (counts >= least_voxels) & (certain >= least_sure * counts)

    return parts_that(dense, are_sure)
