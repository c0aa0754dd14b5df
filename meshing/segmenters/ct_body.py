"""The body in a CT: skin, lungs, airway and bone.

In: a scan in patient order. Out: masks at full resolution by terminology key. The skin is the body solid with all that
is inside, so that its surface is the skin; what is not in view is absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.progress import Progress, part
from meshing.segmenters.airway import Airway, AirwaySettings, airway_of
from meshing.segmenters.body import Body, BodySettings, body_at_full_resolution, find_body
from meshing.segmenters.contrast import Bright, ContrastSettings, bright_parts, spine_of
from meshing.segmenters.ct_bone import BoneSettings, bone_in_body
from meshing.segmenters.found import Found
from meshing.segmenters.lungs import LungSettings, lungs_of
from meshing.voxels.morphology import bounding_box, dilated, eroded
from meshing.voxels.upright import Coarse, Mask, Upright, coarse, to_coarse, to_full


@dataclass(frozen=True)
class ChestSettings:
    """Resolutions at which airway and lungs are found, in mm."""

    airway_spacing_mm: float
    lung_spacing_mm: float


@dataclass(frozen=True)
class CtBodySettings:
    """Everything that ct-body is set by."""

    body: BodySettings
    contrast: ContrastSettings
    bone: BoneSettings
    chest: ChestSettings
    airway: AirwaySettings
    lungs: LungSettings


def parts_of_ct_body(scan: Upright, settings: CtBodySettings, progress: Progress) -> Found:
    """What is in view, in patient order, with facts on airway and lungs.

    Raises
    ------
    SegmentationError
        If no part of the scan looks like a body.
    """
    progress(0.0, "finding the body")
    body = find_body(scan, settings.body)
    progress(0.15, "telling bone from contrast")
    bright = bright_parts(scan, body, settings.contrast)
    progress(0.3, "following the airway")
    found = _chest(scan, body, bright, settings, part(progress, 0.3, 0.55))
    bone = bone_in_body(scan, body, bright, settings.bone, part(progress, 0.55, 0.8))
    skin = body_at_full_resolution(scan, body, settings.body, part(progress, 0.8, 1.0))
    inner = {key: mask & skin & ~bone for key, mask in found.masks.items()}
    return Found({"skin": skin, **inner, "bone": bone & skin}, facts=found.facts)


def lungs_in_body(scan: Upright, settings: CtBodySettings, progress: Progress) -> dict[str, Mask]:
    """`lung_left` and `lung_right` with their vessels, empty where not in view; and the airway, where there is one.

    Raises
    ------
    SegmentationError
        If no part of the scan looks like a body.
    """
    body = find_body(scan, settings.body)
    progress(0.3, "telling bone from contrast")
    bright = bright_parts(scan, body, settings.contrast)
    return _chest(scan, body, bright, settings, part(progress, 0.5, 1.0)).masks


def _chest(scan: Upright, body: Body, bright: Bright, settings: CtBodySettings, progress: Progress) -> Found:
    """Lungs and airway; the airway only where there is a lung, for gas in the bowel also makes round holes."""
    solid = to_full(body.mask, body.low)
    box = bounding_box(solid)
    fine = coarse(scan, settings.chest.airway_spacing_mm, most_voxels=16e6, box=box)
    airway = airway_of(fine, to_coarse(solid, fine), settings.airway)
    whole_airway = None if airway is None else to_full(airway.mask, fine)
    progress(0.5, "finding the lungs")
    low = coarse(scan, settings.chest.lung_spacing_mm, most_voxels=8e6, box=box)
    known = None if whole_airway is None else to_coarse(whole_airway, low)
    lungs = lungs_of(low, to_coarse(solid, low), known, _middle(low, solid, bright), settings.lungs)
    progress(0.8, "drawing the lungs")
    found = Found(
        {
            "lung_left": _drawn(scan, low, lungs.left, lungs.right, settings.lungs.air_hu),
            "lung_right": _drawn(scan, low, lungs.right, lungs.left, settings.lungs.air_hu),
        }
    )
    if lungs.parted_mm2 > 0.0:
        text = (
            f"The lungs touch over about {lungs.parted_mm2 / 100.0:.1f} cm²; they were parted where they are thinnest."
        )
        found.note("lungs", text, parted_cm2=round(lungs.parted_mm2 / 100.0, 2))
    if airway is None or whole_airway is None or not (lungs.left.any() or lungs.right.any()):
        return found
    found.masks = {key: lung & ~whole_airway for key, lung in found.masks.items()} | {"airway": whole_airway}
    return _with_leak(found, airway)


def _with_leak(found: Found, airway: Airway) -> Found:
    """The airway's fact: how far air was followed, and what kept it from the lung."""
    text = f"The airway is air below {airway.threshold_hu:.0f} HU joined to the trachea"
    if airway.leak_hu is None:
        text += "; it did not leak into the lung at any threshold tried."
    else:
        text += (
            f"; at {airway.leak_hu:.0f} HU it leaked into the lung ({airway.leak_ml:.0f} ml at once), so thinner"
            " bronchi are missing."
        )
    found.note(
        "airway", text, threshold_hu=airway.threshold_hu, leak_hu=airway.leak_hu, leak_ml=round(airway.leak_ml, 1)
    )
    return found


def _middle(low: Coarse, solid: Mask, bright: Bright) -> float:
    """Block index along x of the patient's midline: that of the spine, else of the body."""
    spine = spine_of(bright)
    if spine is None:
        full = float(np.flatnonzero(solid.any(axis=(1, 2))).mean())
    else:
        full = (float(np.median(spine.x)) + 0.5) * bright.low.factors[0] + bright.low.box[0].start - 0.5
    return float((full + 0.5 - low.box[0].start) / low.factors[0] - 0.5)


def _drawn(scan: Upright, low: Coarse, lung: Mask, other: Mask, air_hu: float) -> Mask:
    """A lung on the voxels of the scan: its inside from the blocks, its edge from the scan itself."""
    if max(low.factors) == 1 or not lung.any():
        return to_full(lung, low)
    step = max(low.spacing_mm)
    near = to_full(dilated(lung, low.spacing_mm, step) & ~other, low)
    drawn = to_full(eroded(lung, low.spacing_mm, step), low)
    box = bounding_box(near)
    assert box is not None  # the lung is not empty
    drawn[box] |= near[box] & (scan.voxels[box] < air_hu)
    return drawn
