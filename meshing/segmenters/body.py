"""The body as one solid, free of table, clothes and bedding; from a CT.

In: a scan in patient order. Out: a mask at working resolution and at full resolution whose surface is the skin. What is
inside (lungs, bowel gas, airways) belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.progress import Progress, silent
from meshing.voxels.morphology import (
    Components,
    bounding_box,
    closed,
    components,
    depth_of,
    dilated,
    distance_from,
    eroded,
    filled_in_slices,
    opened,
    touching,
)
from meshing.voxels.upright import Coarse, Float32Array, Mask, Upright, coarse, to_coarse, to_full


@dataclass(frozen=True)
class BodySettings:
    """Thresholds in HU, lengths in mm, volumes in ml; their sources stand in `assets/presets.toml`."""

    spacing_mm: float
    tissue_hu: float
    skin_hu: float
    room_air_hu: float
    sheet_mm: float
    gap_mm: float
    least_part_ml: float
    least_share: float
    least_radius_mm: float
    softest_hu: float
    hardest_hu: float
    shell_hu: float


@dataclass(frozen=True, eq=False)
class Body:
    """The solid on working blocks, and those blocks."""

    low: Coarse
    mask: Mask


def find_body(scan: Upright, settings: BodySettings) -> Body:
    """The body at working resolution.

    Raises
    ------
    SegmentationError
        If no part of the scan looks like a body.
    """
    low = coarse(scan, settings.spacing_mm, most_voxels=5e6)
    measured = np.ones(low.values.shape, np.bool_) if scan.outside is None else ~to_coarse(scan.outside, low)
    tissue = (low.values > settings.tissue_hu) & measured
    parts = _body_parts(tissue, low, settings)
    flesh = _with_thin_parts(parts, tissue, low, settings)
    room = _room_air(low, measured, settings)
    flesh |= _lungs_cut_by_the_edge(flesh, room, low, measured, settings)
    solid = closed(flesh, low.spacing_mm, settings.gap_mm)
    solid = filled_in_slices(solid, 2) & (~room | flesh)
    solid |= _pockets(solid, room, measured)
    return Body(low, touching(solid & measured, parts))


def body_at_full_resolution(scan: Upright, body: Body, settings: BodySettings, progress: Progress = silent) -> Mask:
    """The body on the voxels of the scan: its inside from the blocks, its surface from the scan itself."""
    low = body.low
    if max(low.factors) == 1:
        return body.mask
    step = max(low.spacing_mm)
    progress(0.1, "drawing the skin")
    rind = to_full(dilated(body.mask, low.spacing_mm, step), low)
    full = np.asfortranarray(to_full(eroded(body.mask, low.spacing_mm, 1.5 * step), low))
    progress(0.4, "drawing the skin")
    box = bounding_box(rind)
    assert box is not None  # the body is not empty
    full[box] |= rind[box] & (scan.voxels[box] > settings.skin_hu)
    if scan.outside is not None:
        full &= ~scan.outside
    progress(0.6, "filling the body")
    full = filled_in_slices(full, 2)
    progress(0.8, "removing specks beside the body")
    return touching(full, np.asfortranarray(to_full(eroded(body.mask, low.spacing_mm, step), low)))


def _body_parts(tissue: Mask, low: Coarse, settings: BodySettings) -> Mask:
    """The thick parts of tissue: trunk, limbs, head; not table top, blanket, rails or padding."""
    thick = opened(tissue, low.spacing_mm, settings.sheet_mm)
    numbers, counts = components(thick)
    if len(counts) == 1:
        found = float(tissue.sum()) * low.voxel_ml
        raise SegmentationError(
            f"no body: {found:.1f} ml lie above {settings.tissue_hu:.0f} HU, none of it thicker than"
            f" {2 * settings.sheet_mm:.0f} mm",
            where="preset ct-body",
            hint="is this a CT in Hounsfield units?",
        )
    least = max(settings.least_part_ml / low.voxel_ml, settings.least_share * counts[1])
    radius = np.zeros(len(counts))
    np.maximum.at(radius, numbers[thick], depth_of(thick, low.spacing_mm)[thick])
    keep = np.zeros(len(counts), np.bool_)
    for number in np.flatnonzero((counts >= least) & (radius >= settings.least_radius_mm)):
        if number and _is_flesh(numbers, int(number), low.values, settings):
            keep[number] = True
    if not keep.any():
        keep[1] = True
    kept: Mask = keep[numbers]
    return kept


def _pockets(solid: Mask, room: Mask, measured: Mask) -> Mask:
    """What is neither body nor room and touches no room: notches where a lung meets the side of the scan."""
    rest = ~solid & ~room & measured
    return rest & ~touching(rest, dilated(room, (1.0, 1.0, 1.0), 1.0))


def _is_flesh(numbers: Components, number: int, values: Float32Array, settings: BodySettings) -> bool:
    """Whether the middle of a part has the density of fat, muscle or bone (a table's core is foam, its rails metal)."""
    middle = float(np.median(values[numbers == number]))
    return settings.softest_hu <= middle <= settings.hardest_hu


def _with_thin_parts(parts: Mask, tissue: Mask, low: Coarse, settings: BodySettings) -> Mask:
    """The parts, with ears, noses and fingers: thin tissue that hangs on them and does not reach far."""
    beside = tissue & ~parts
    numbers, counts = components(beside, diagonal=True)
    near = distance_from(parts, low.spacing_mm)
    reach = np.zeros(len(counts))
    np.maximum.at(reach, numbers[beside], near[beside])
    start = np.full(len(counts), np.inf)
    np.minimum.at(start, numbers[beside], near[beside])
    hangs_on = (start <= 1.8 * max(low.spacing_mm)) & (reach <= 3 * settings.gap_mm)
    hangs_on[0] = False
    whole: Mask = parts | hangs_on[numbers]
    # A shell as dense as bone that goes on from dense parts is the skull of a phantom or of a dry specimen.
    dense = tissue & (low.values > settings.shell_hu)
    whole |= touching(dense, dense & parts)
    # A sheet that touches the skin reaches far and falls away, but for the rind that the opening took off the body.
    return whole | (tissue & (near <= 0.5 * settings.sheet_mm))


def _room_air(low: Coarse, measured: Mask, settings: BodySettings) -> Mask:
    """Air of the room: reached from the sides of the scan by a ball that fits through neither nostril nor glottis."""
    air = (low.values <= settings.tissue_hu) | ~measured
    wide = depth_of(air, low.spacing_mm) > settings.gap_mm
    numbers, counts = components(wide)
    outer = _at_the_side(numbers, len(counts), measured)
    for number in np.flatnonzero(outer):
        values = low.values[(numbers == number) & measured]
        # The lung of a narrow field of view also reaches the side, but lung is denser than air.
        if len(values) and np.median(values) > settings.room_air_hu:
            outer[number] = False
    room: Mask = dilated(outer[numbers], low.spacing_mm, settings.gap_mm) & air
    return room


def _lungs_cut_by_the_edge(flesh: Mask, room: Mask, low: Coarse, measured: Mask, settings: BodySettings) -> Mask:
    """Air beside the flesh that is not room air although it reaches the side of the scan."""
    air = (low.values <= settings.tissue_hu) & measured & ~room & ~flesh
    inner = opened(air, low.spacing_mm, max(low.spacing_mm))
    numbers, counts = components(inner)
    keep = _at_the_side(numbers, len(counts), measured) & (counts * low.voxel_ml >= settings.least_part_ml)
    for number in np.flatnonzero(keep):
        keep[number] = float(np.median(low.values[numbers == number])) > settings.room_air_hu
    grown: Mask = dilated(keep[numbers], low.spacing_mm, 1.5 * max(low.spacing_mm)) & air
    return grown


def _at_the_side(numbers: Components, size: int, measured: Mask) -> npt.NDArray[np.bool_]:
    """Which parts reach the left, right, front or back of what was measured."""
    outer = np.zeros(size, np.bool_)
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        outer[np.unique(edge)] = True
    if not measured.all():
        outer[np.unique(numbers[dilated(~measured, (1.0, 1.0, 1.0), 1.0)])] = True
    outer[0] = False
    return outer
