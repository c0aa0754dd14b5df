"""Skin and brain of a T1-weighted MR of the head: approximate, for teaching.

In: a scan in patient order. Out: the head as one solid, and the brain with its ventricles, cut from the cord below the
foramen magnum. The brain is what is as bright as grey and white matter, once coil shading is evened out, and holds
together when links as thin as nerves, veins and dura are worn away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.progress import Progress, silent
from meshing.volume import Voxels
from meshing.voxels.morphology import (
    bounding_box,
    closed,
    components,
    depth_of,
    dilated,
    eroded,
    filled_in_slices,
    largest,
    opened,
    touching,
)
from meshing.voxels.upright import Coarse, Float32Array, Mask, Upright, coarse, to_coarse, to_full

WHERE = "preset mr-head"

# The fit of the shading. From the middle of the head, 9 cm take in nearly all white matter and little else that is
# bright. White matter scatters by about 7 %, grey matter lies 30 % below it. The prior for even shading costs nothing
# where white matter lies all round, and holds the fit where it lies on one side alone.
REACH_MM = 90.0
DARKER, BRIGHTER = 0.12, 0.25
EVENNESS = 0.003


@dataclass(frozen=True)
class HeadSettings:
    """Lengths in mm, volumes in ml, brightness in units of white matter; set on T1 scans of adults.

    Parameters
    ----------
    spacing_mm
        Of the blocks to work on.
    tissue_share
        How far from air to bright tissue the skin begins.
    gap_mm
        Ear canals, nostrils and folds narrower than twice this belong to the head.
    least_head_ml
        Less than that is no head: half of a newborn's.
    height_mm
        From the vertex down to below the foramen magnum in a tall adult.
    middle_mm
        Radius of a ball that white matter takes a good part of, wherever the head is tilted.
    darkest, brightest
        Grey matter reaches down to about 0.6 and fluid up to 0.35; fat and inflowing blood begin at about 1.3.
    scalp_mm
        Scalp and bone are thicker than that everywhere.
    link_mm
        Radius of links that are worn away: dura, veins, optic nerves.
    cord_mm
        Radius of the cord; the brainstem is wider.
    sulcus_mm, ventricle_mm
        Half the width of sulci that are closed, and of ventricles that are filled where they lie deep.
    least_brain_ml, most_brain_ml
        From a newborn's brain to the largest adult's.
    """

    spacing_mm: float = 2.0
    tissue_share: float = 0.13
    gap_mm: float = 8.0
    least_head_ml: float = 500.0
    height_mm: float = 165.0
    middle_mm: float = 45.0
    darkest: float = 0.46
    brightest: float = 1.4
    scalp_mm: float = 5.0
    link_mm: float = 2.2
    cord_mm: float = 6.0
    sulcus_mm: float = 3.5
    ventricle_mm: float = 10.0
    least_brain_ml: float = 300.0
    most_brain_ml: float = 2200.0


ADULT = HeadSettings()


@dataclass(frozen=True, eq=False)
class _Head:
    """The solid on working blocks, the brightness where tissue begins, and the middle of the upper head in blocks."""

    low: Coarse
    mask: Mask
    tissue: float
    middle: tuple[float, float, float]


def head_of_mr(scan: Upright, progress: Progress = silent, *, settings: HeadSettings = ADULT) -> dict[str, Mask]:
    """The masks "skin" (the whole head as a solid) and "brain", bool, in patient order; the brain lies in the skin.

    Raises
    ------
    SegmentationError
        If the scan is constant, holds no head, or nothing in it has the size and place of a brain.
    """
    progress(0.02, "finding the head")
    head = _find_head(scan, settings)
    progress(0.15, "drawing the skin")
    skin = _skin(scan, head)
    progress(0.45, "evening out the coil's shading")
    shading = _shading(head, settings)
    progress(0.65, "finding the brain")
    even = np.asfortranarray(head.low.values / shading)
    brain = _brain(even, head, settings)
    progress(0.75, "drawing the brain")
    return {"skin": skin, "brain": _brain_at_full_resolution(scan, brain, shading, head, settings) & skin}


def _find_head(scan: Upright, settings: HeadSettings) -> _Head:
    from skimage.filters import threshold_otsu

    low = coarse(scan, settings.spacing_mm, most_voxels=5e6)
    lowest, highest = (float(v) for v in np.percentile(low.values, (1, 99)))
    if not highest > lowest:
        raise SegmentationError(
            f"no head: values reach from {lowest:g} to {highest:g}", where=WHERE, hint="is this an MR of a head?"
        )
    clipped = np.clip(low.values, lowest, highest)
    split = float(threshold_otsu(clipped))
    air, bright = (float(np.median(part)) for part in (clipped[clipped <= split], clipped[clipped > split]))
    tissue = air + settings.tissue_share * (bright - air)
    measured = np.ones(low.values.shape, np.bool_) if scan.outside is None else ~to_coarse(scan.outside, low)
    solid = largest(opened((low.values > tissue) & measured, low.spacing_mm, max(low.spacing_mm)))
    for axis in (2, 1, 0, 2):
        solid = filled_in_slices(closed(solid, low.spacing_mm, settings.gap_mm), axis)
    solid &= measured
    head_ml = float(solid.sum()) * low.voxel_ml
    if head_ml < settings.least_head_ml:
        raise SegmentationError(
            f"no head: the largest solid above {tissue:.4g} has {head_ml:.0f} ml, wanted {settings.least_head_ml:.0f}",
            where=WHERE,
            hint="is this an MR of a head?",
        )
    return _Head(low, solid, tissue, _middle_of(solid, low))


def _middle_of(solid: Mask, low: Coarse) -> tuple[float, float, float]:
    """The centroid of the upper 12 cm, where the face weighs little and the neck nothing."""
    heights = np.flatnonzero(solid.any(axis=(0, 1)))
    lowest = max(0, int(heights[-1] - 120.0 / low.spacing_mm[2]))
    x, y, z = np.argwhere(solid[:, :, lowest:]).mean(axis=0)
    return float(x), float(y), float(z) + lowest


def _skin(scan: Upright, head: _Head) -> Mask:
    """The head on the voxels of the scan: its inside from the blocks, its surface from the scan itself."""
    low = head.low
    step = max(low.spacing_mm)
    rind = to_full(dilated(head.mask, low.spacing_mm, step), low)
    full = to_full(eroded(head.mask, low.spacing_mm, 1.5 * step), low)
    box = bounding_box(rind)
    assert box is not None  # the head is not empty
    full[box] |= rind[box] & (_evened(scan.voxels[box]) > head.tissue)
    if scan.outside is not None:
        full &= ~scan.outside
    full = filled_in_slices(full, 2)
    return touching(full, to_full(eroded(head.mask, low.spacing_mm, step), low))


def _evened(values: Voxels) -> Float32Array:
    """Float values with the noise of single voxels evened out."""
    from scipy import ndimage

    even: Float32Array = ndimage.gaussian_filter(values.astype(np.float32), 0.6)
    return even


def _shading(head: _Head, settings: HeadSettings) -> Float32Array:
    """What white matter reads at every block: a quadratic in space, fitted from the middle of the head outwards.

    Only values near the fit of the previous, smaller ball count, more of them above it than below: so grey matter,
    muscle and fluid drop out while the fit follows the shading of the coil. Beyond its reach it stays what it is there.
    """
    from skimage.filters import threshold_otsu

    low = head.low
    offset, radius = _from_middle(head)
    seen = head.mask & (low.values > 2.0 * head.tissue) & (radius < REACH_MM)
    seen &= depth_of(head.mask, low.spacing_mm) > 1.6 * settings.scalp_mm
    near_middle = low.values[seen & (radius < settings.middle_mm)]
    if len(near_middle) < 2 or not np.ptp(near_middle) > 0:
        raise _no_brain(len(near_middle) * low.voxel_ml, "of bright, uneven tissue in the middle of the head")
    white = float(np.median(near_middle[near_middle > threshold_otsu(near_middle)]))
    terms = _terms(*(part[seen] for part in offset))
    logarithm, distance = np.log(low.values[seen]), radius[seen]
    fit = np.zeros(terms.shape[1])
    fit[0] = np.log(white)
    reaches = (*3 * (settings.middle_mm,), *np.arange(settings.middle_mm, REACH_MM + 1.0, 5.0), *3 * (REACH_MM,))
    for step, reach in enumerate(reaches):
        count = 4 if step < 3 else len(fit)
        above = logarithm - terms @ fit
        used = (above > -DARKER) & (above < BRIGHTER) & (distance < reach)
        if used.sum() < 10 * count:
            raise _no_brain(float(used.sum()) * low.voxel_ml, f"about as bright as {white:.4g}, the white matter")
        few = terms[used][:, :count]
        even = EVENNESS * float(used.sum()) * np.diag([0.0] + [1.0] * (count - 1))
        fit = np.zeros(len(fit))
        fit[:count] = np.linalg.solve(few.T @ few + even, few.T @ logarithm[used])
    pull = np.minimum(1.0, REACH_MM / np.maximum(radius, 1e-3))
    whole = _terms(*((part * pull).ravel(order="F") for part in offset)) @ fit
    shading: Float32Array = np.exp(whole).astype(np.float32).reshape(radius.shape, order="F")
    return shading


def _from_middle(head: _Head) -> tuple[list[Float32Array], Float32Array]:
    """Offsets of every block from the middle of the head along x, y, z, and their length, in mm."""
    low = head.low
    axes = (
        ((np.arange(n) - at) * mm).astype(np.float32)
        for n, at, mm in zip(low.values.shape, head.middle, low.spacing_mm, strict=True)
    )
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return [x, y, z], np.sqrt(x * x + y * y + z * z)


def _terms(x: Float32Array, y: Float32Array, z: Float32Array) -> FloatArray:
    """The ten terms of a quadratic in space, linear ones first, shape (N, 10)."""
    x, y, z = x / REACH_MM, y / REACH_MM, z / REACH_MM
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=-1).astype(np.float64)


def _brain(even: Float32Array, head: _Head, settings: HeadSettings) -> Mask:
    """The brain at working resolution, its sulci and ventricles filled, cut from the cord."""
    low, spacing = head.low, head.low.spacing_mm
    matter = (even > settings.darkest) & (even < settings.brightest)
    matter &= depth_of(head.mask, spacing) > settings.scalp_mm
    vertex = np.flatnonzero(head.mask.any(axis=(0, 1)))[-1]
    matter[:, :, : max(0, int(vertex - settings.height_mm / spacing[2]))] = False
    worn = _in_the_middle(eroded(matter, spacing, settings.link_mm), head, settings)
    brain = dilated(worn, spacing, settings.link_mm + max(spacing)) & matter
    hull = closed(brain, spacing, settings.ventricle_mm)
    whole = closed(brain, spacing, settings.sulcus_mm) | eroded(hull, spacing, 1.2 * settings.ventricle_mm)
    wide = _in_the_middle(opened(_filled(whole), spacing, settings.cord_mm), head, settings)
    whole = dilated(wide, spacing, settings.link_mm) & _filled(whole)
    brain_ml = float(whole.sum()) * low.voxel_ml
    if not settings.least_brain_ml <= brain_ml <= settings.most_brain_ml:
        raise _no_brain(brain_ml, "as bright as white and grey matter hold together in the middle of the head")
    return whole


def _in_the_middle(parts: Mask, head: _Head, settings: HeadSettings) -> Mask:
    """The part that fills most of the ball round the middle of the head."""
    numbers, counts = components(parts)
    _, radius = _from_middle(head)
    inside = np.bincount(numbers[radius < settings.middle_mm], minlength=len(counts))
    inside[0] = 0
    found: Mask = (numbers == inside.argmax()) & (numbers > 0)
    return found


def _filled(mask: Mask) -> Mask:
    """The mask with the holes that it surrounds."""
    from scipy import ndimage

    full = mask.copy(order="F")
    box = bounding_box(mask)
    if box is not None:
        full[box] = ndimage.binary_fill_holes(mask[box])
    return full


def _brain_at_full_resolution(
    scan: Upright, brain: Mask, shading: Float32Array, head: _Head, settings: HeadSettings
) -> Mask:
    """The brain on the voxels of the scan: its inside from the blocks, its surface where grey matter ends."""
    low = head.low
    step = max(low.spacing_mm)
    rind = to_full(dilated(brain, low.spacing_mm, step), low)
    full = to_full(eroded(brain, low.spacing_mm, 1.5 * step), low)
    box = bounding_box(rind)
    assert box is not None  # the brain has been weighed
    even = _evened(scan.voxels[box]) / _at_full_resolution(shading, low)[box]
    full[box] |= rind[box] & (even > settings.darkest) & (even < settings.brightest)
    full[box] = _evened(full[box]) > 0.5
    return _filled(largest(full))


def _at_full_resolution(values: Float32Array, low: Coarse) -> Float32Array:
    """Values of blocks on the voxels of the scan."""
    for axis, factor in enumerate(low.factors):
        values = np.repeat(values, factor, axis=axis)
    return values[tuple(slice(0, n) for n in low.full_shape)]


def _no_brain(volume_ml: float, what: str) -> SegmentationError:
    return SegmentationError(
        f"no brain: {volume_ml:.0f} ml {what}",
        where=WHERE,
        hint="the preset wants a T1-weighted head in which white matter is brighter than grey matter and fluid",
    )
