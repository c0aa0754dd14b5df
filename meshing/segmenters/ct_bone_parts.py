"""Bone of a CT of the trunk, bone by bone: vertebrae counted from below, ribs, sacrum, hips, femurs, sternum.

In: a scan in patient order. Out: a mask per bone at full resolution, what each is called, and facts on what was cut,
what touched and what could not be told apart. Without weights nobody knows which vertebra the lowest one is; so they
bear numbers, and the facts say which of them bear ribs and whether a sacrum lies below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshing.errors import SegmentationError
from meshing.progress import Progress, part
from meshing.segmenters.body import BodySettings, find_body
from meshing.segmenters.bone_parts import BonePartsSettings, Part, PartNumbers, bones_apart
from meshing.segmenters.contrast import Bright, ContrastSettings, bright_parts, spine_of
from meshing.segmenters.ct_bone import BoneSettings, bone_in_body
from meshing.segmenters.found import Found
from meshing.segmenters.spine import SpineSettings, canal_of, discs_of
from meshing.terminology import Side, Structure, structure_for
from meshing.voxels.morphology import bounding_box
from meshing.voxels.upright import Coarse, Mask, Upright, coarse, to_coarse

WHERE = "preset ct-bones"
_SIDES_ZH = {"left": "左", "right": "右"}


@dataclass(frozen=True)
class CtBonesSettings:
    """Everything that ct-bones is set by."""

    body: BodySettings
    contrast: ContrastSettings
    bone: BoneSettings
    spine: SpineSettings
    bone_parts: BonePartsSettings


def bones_of_ct(scan: Upright, settings: CtBonesSettings, progress: Progress) -> Found:
    """The bones, in patient order.

    Raises
    ------
    SegmentationError
        If no bone, no spinal canal or no disc is in view.
    """
    progress(0.02, "finding the body")
    body = find_body(scan, settings.body)
    progress(0.15, "telling bone from contrast")
    bright = bright_parts(scan, body, settings.contrast)
    bone = bone_in_body(scan, body, bright, settings.bone, part(progress, 0.3, 0.5))
    box = bounding_box(bone)
    if box is None:
        raise SegmentationError(f"no bone above {settings.bone.sure_hu:.0f} HU", where=WHERE, hint="is this a CT?")
    progress(0.5, "following the spinal canal")
    low = coarse(scan, settings.spine.spacing_mm, most_voxels=12e6, box=box)
    blocks = to_coarse(bone, low)
    start = _start(low, bright)
    canal = canal_of(low, blocks, start, settings.spine)
    if canal is None:
        raise SegmentationError(
            f"no spinal canal: bone does not enclose {settings.spine.enclosed:.0%} of any upright way",
            where=WHERE,
            hint="bones are told apart along the spine; preset ct-bone gives them as one",
        )
    discs = discs_of(low, canal, settings.spine, part(progress, 0.55, 0.8))
    if not discs:
        raise SegmentationError(
            f"no disc: nothing before the canal is {settings.spine.step_hu:.0f} HU darker than above and below it",
            where=WHERE,
            hint="slices thicker than a disc hide it; preset ct-bone gives all bones as one",
        )
    progress(0.8, "parting the bones")
    numbers, parts = bones_apart(low, blocks, canal, discs, settings.bone_parts)
    progress(0.93, "drawing the bones")
    return _named(_drawn(numbers, bone, low), parts, bone, scan)


def _start(low: Coarse, bright: Bright) -> tuple[int, int]:
    """The block near which the spine runs: where bone is there from the lowest slice to the highest."""
    spine = spine_of(bright)
    if spine is None:
        raise SegmentationError(
            "no spine: no place across the body holds bone in half of the slices over 40 mm",
            where=WHERE,
            hint="bones are told apart along the spine; preset ct-bone gives them as one",
        )
    found = []
    for axis, places in enumerate((spine.x, spine.y)):
        full = (float(np.median(places)) + 0.5) * bright.low.factors[axis] + bright.low.box[axis].start - 0.5
        found.append(round((full + 0.5 - low.box[axis].start) / low.factors[axis] - 0.5))
    return found[0], found[1]


def _drawn(numbers: PartNumbers, bone: Mask, low: Coarse) -> PartNumbers:
    """Part numbers on the voxels of the scan: those of the nearest block, no farther than two blocks."""
    from scipy import ndimage

    far, nearest = ndimage.distance_transform_edt(numbers == 0, sampling=low.spacing_mm, return_indices=True)
    blocks = np.where(far <= 2.0 * max(low.spacing_mm), numbers[tuple(nearest)], 0).astype(np.int32)
    for axis, factor in enumerate(low.factors):
        blocks = np.repeat(blocks, factor, axis=axis) if factor > 1 else blocks
    full = np.zeros(bone.shape, np.int32, order="F")
    full[low.box] = blocks[tuple(slice(0, p.stop - p.start) for p in low.box)]
    return np.where(bone, full, 0)


def _named(numbers: PartNumbers, parts: list[Part], bone: Mask, scan: Upright) -> Found:
    found = Found({})
    pieces = {"rib_left": 0, "rib_right": 0}
    for number, one in enumerate(parts, start=1):
        mask = numbers == number
        if not mask.any():
            continue
        if one.kind in pieces and not one.level:
            pieces[one.kind] += 1
        structure = _structure(one, pieces.get(one.kind, 0))
        if structure.key in found.masks:
            mask |= found.masks[structure.key]
        found.add(structure, mask)
    rest = bone & (numbers == 0)
    if rest.any():
        found.add(replace(structure_for("bone"), name="Bone, not told apart", name_zh="未区分的骨骼"), rest)
    return _with_facts(found, parts, float(rest.sum()) * scan.voxel_ml)


def _structure(one: Part, pieces: int) -> Structure:
    """What a part is called: by number, for its level is not known."""
    if one.kind == "vertebra":
        base = replace(structure_for("vertebrae"), colour=_shade(structure_for("vertebrae_L1"), one.level))
        name, name_zh = f"Vertebra {one.level} from below", f"椎骨（自下第{one.level}个）"
        return replace(base, key=f"vertebra_{one.level}", name=name, name_zh=name_zh)
    if one.kind not in ("rib_left", "rib_right"):
        return structure_for(one.kind)
    side: Side = "left" if one.kind == "rib_left" else "right"
    base = replace(structure_for("ribs"), side=side, colour=_shade(structure_for("ribs"), one.level or pieces))
    if one.level:
        name = f"{side.capitalize()} rib at vertebra {one.level}"
        name_zh = f"{_SIDES_ZH[side]}肋（自下第{one.level}个椎骨）"
        return replace(base, key=f"rib_{side}_at_vertebra_{one.level}", name=name, name_zh=name_zh)
    name = f"{side.capitalize()} rib, piece {pieces}"
    name_zh = f"{_SIDES_ZH[side]}肋段{pieces}（椎骨不在视野内）"
    return replace(base, key=f"rib_{side}_piece_{pieces}", name=name, name_zh=name_zh)


def _shade(structure: Structure, number: int) -> tuple[float, float, float]:
    """A structure's colour, darker for every second number, so that neighbours are told apart."""
    red, green, blue = (value * (1.0 if number % 2 else 0.68) for value in structure.colour)
    return red, green, blue


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _with_facts(found: Found, parts: list[Part], rest_ml: float) -> Found:
    """What a reader must know: how vertebrae are counted, what was cut, parted half way, or left over."""
    vertebrae = [one for one in parts if one.kind == "vertebra"]
    cut = [one.level for one in vertebrae if one.is_cut]
    on_sacrum = any(one.kind == "sacrum" for one in parts)
    bearing = sorted({one.level for one in parts if one.kind in ("rib_left", "rib_right") and one.level})
    text = f"{len(vertebrae)} vertebrae, counted from below; the first lies "
    text += "on the sacrum" if on_sacrum else "at the lower edge of the scan, its level is not known"
    if bearing:
        text += f"; the lowest that bears a rib is the {_ordinal(bearing[0])}"
    text += f"; cut by the edge of the scan: {', '.join(map(str, cut)) or 'none'}"
    values = {"vertebrae": len(vertebrae), "cut": cut, "on_sacrum": on_sacrum, "bearing_ribs": bearing}
    found.note("bones", text + ".", **values)
    parted = sorted({key for one in parts if one.is_parted for key in (f"{one.kind}_at_vertebra_{one.level}",)})
    if parted:
        found.note("bones", f"These touch and were parted half way: {', '.join(parted)}.", parted=parted)
    pieces = [key for key in found.masks if "_piece_" in key]
    if pieces:
        found.note("bones", f"{len(pieces)} pieces of ribs reach no vertebra in view.", pieces=len(pieces))
    if rest_ml > 0.0:
        found.note("bones", f"{rest_ml:.1f} ml of bone were not told apart.", rest_ml=round(rest_ml, 2))
    return found
