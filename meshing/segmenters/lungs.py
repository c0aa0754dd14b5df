"""The lungs in a CT: airy parts of the body that are no airway and no gas in the bowel, parted into left and right.

In: working blocks, the body on them, its airway and its spine. Out: masks on the blocks. The side is decided in the
patient: left is what lies to the left of the spine; where the lungs touch they are parted at the narrowest place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.frames import FloatArray
from meshing.voxels.morphology import (
    Components,
    bounding_box,
    closed,
    components,
    depth_of,
    dilated,
    eroded,
    filled_in_slices,
    nearest_of,
)
from meshing.voxels.upright import Coarse, Mask, Spacing


@dataclass(frozen=True)
class LungSettings:
    """Thresholds in HU, lengths in mm, volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    air_hu
        Airy is what is below this.
    deep_hu
        Lung, away from its edge, has its median in this range: gas in the bowel is darker, stool is denser.
    deep_spread_hu
        … and its values spread less than this from quarter to quarter, which stool does not.
    least_ml, least_share
        Smaller parts, in themselves or against the largest, are no lung.
    apex_mm, apex_share
        Both lungs begin at the same height, but for that much or that share of the height of the higher one.
    bridge_mm
        Bridges thinner than this between an airy part and another are cut before it is judged.
    vessel_mm
        Vessels and scars thinner than twice this belong to the lung.
    side_mm
        Farther than this from the middle of the spine a part has a side.
    touching_share
        A part with that much of it on either side is both lungs, touching.
    """

    air_hu: float
    deep_hu: tuple[float, float]
    deep_spread_hu: float
    least_ml: float
    least_share: float
    apex_mm: float
    apex_share: float
    bridge_mm: float
    vessel_mm: float
    side_mm: float
    touching_share: float


@dataclass(frozen=True, eq=False)
class Lungs:
    """Either lung on the blocks; empty where it is not in view; and what of them touched, parted where it is thinnest.

    Parameters
    ----------
    parted_mm2
        Area of the cut between lungs that touch; 0 where they do not.
    """

    left: Mask
    right: Mask
    parted_mm2: float


def lungs_of(low: Coarse, solid: Mask, airway: Mask | None, middle_x: float, settings: LungSettings) -> Lungs:
    """The lungs on the blocks.

    Parameters
    ----------
    middle_x
        Block index, along x, of the middle of the spine.
    """
    spacing = low.spacing_mm
    airy = solid & (low.values < settings.air_hu)
    if airway is not None:
        airy &= ~dilated(airway, spacing, 1.1 * max(spacing))
    lung = _lung_parts(airy, low, settings)
    left, right = _sides(lung, low, middle_x, settings)
    return Lungs(
        _with_vessels(left, right, airway, solid, low, settings),
        _with_vessels(right, left, airway, solid, low, settings),
        _contact_mm2(left, right, spacing),
    )


def _contact_mm2(one: Mask, other: Mask, spacing: Spacing) -> float:
    """Area of the cut between two masks, as of a flat one: the steps of its staircase cancel."""
    across = []
    for axis in range(3):
        first, second = np.moveaxis(one, axis, 0), np.moveaxis(other, axis, 0)
        faces = int((first[1:] & second[:-1]).sum()) - int((first[:-1] & second[1:]).sum())
        across.append(faces * float(np.prod(spacing)) / spacing[axis])
    return float(np.linalg.norm(across))


def _lung_parts(airy: Mask, low: Coarse, settings: LungSettings) -> Mask:
    """The airy parts that are lung by size, density, evenness and height."""
    cores = eroded(airy, low.spacing_mm, settings.bridge_mm)
    numbers, counts = components(cores)
    keep = np.zeros(len(counts), np.bool_)
    for number in np.flatnonzero(counts * low.voxel_ml >= settings.least_ml):
        if number == 0 or (keep.any() and counts[number] < settings.least_share * counts[keep].max()):
            continue
        quarter, middle, three_quarters = np.percentile(low.values[numbers == number], [25, 50, 75])
        lowest, highest = settings.deep_hu
        keep[number] = lowest <= middle <= highest and three_quarters - quarter <= settings.deep_spread_hu
    keep &= _high_enough(numbers, keep, low, settings)
    lung: Mask = dilated(keep[numbers], low.spacing_mm, 1.5 * settings.bridge_mm) & airy
    return lung


def _high_enough(numbers: Components, keep: Mask, low: Coarse, settings: LungSettings) -> Mask:
    """Which parts begin about where the highest begins, as both lungs do, not below it, as gas in the bowel does."""
    bottom, top = np.zeros(len(keep)), np.full(len(keep), -np.inf)
    for number in np.flatnonzero(keep):
        heights = np.flatnonzero((numbers == number).any(axis=(0, 1))) * low.spacing_mm[2]
        bottom[number], top[number] = heights[0], heights[-1]
    highest = int(top.argmax())
    drop_mm = max(settings.apex_mm, settings.apex_share * (top[highest] - bottom[highest]))
    high: Mask = top >= top[highest] - drop_mm
    return high


def _sides(lung: Mask, low: Coarse, middle_x: float, settings: LungSettings) -> tuple[Mask, Mask]:
    left, right = np.zeros_like(lung), np.zeros_like(lung)
    numbers, counts = components(lung)
    offset_mm: FloatArray = (np.arange(lung.shape[0], dtype=np.float64) - middle_x) * low.spacing_mm[0]
    for number in range(1, len(counts)):
        part = numbers == number
        per_x = part.sum(axis=(1, 2))
        on_left = per_x[offset_mm > settings.side_mm].sum()
        on_right = per_x[offset_mm < -settings.side_mm].sum()
        if min(on_left, on_right) >= settings.touching_share * counts[number]:
            first, second = _parted(part, offset_mm, low, settings)
            left |= first
            right |= second
        elif (per_x * offset_mm).sum() > 0:
            left |= part
        else:
            right |= part
    return left, right


def _parted(part: Mask, offset_mm: FloatArray, low: Coarse, settings: LungSettings) -> tuple[Mask, Mask]:
    """Both lungs of one airy part, parted where it is thinnest: floods meet there that start deep on either side."""
    box = bounding_box(part)
    assert box is not None  # parts are not empty
    depth = depth_of(part[box], low.spacing_mm)
    offset = offset_mm[box[0], None, None]
    markers = np.zeros(depth.shape, np.int32)
    for side, where in ((1, offset > settings.side_mm), (2, offset < -settings.side_mm)):
        deep = np.where(where, depth, 0)
        numbers, _ = components(deep > 0.5 * deep.max())
        markers[numbers == 1] = side
    flooded = nearest_of(markers, part[box], -depth)
    left, right = np.zeros_like(part), np.zeros_like(part)
    left[box], right[box] = flooded == 1, flooded == 2
    return left, right


def _with_vessels(
    lung: Mask, other: Mask, airway: Mask | None, solid: Mask, low: Coarse, settings: LungSettings
) -> Mask:
    """The lung with its vessels: gaps and holes closed, but for the other lung and the airway."""
    whole = filled_in_slices(closed(lung, low.spacing_mm, settings.vessel_mm), 2, 400.0, spacing_mm=low.spacing_mm)
    whole &= solid & ~other
    return whole if airway is None else whole & ~airway
