"""The veins of the liver in a CT of the portal venous phase: portal tree and hepatic veins, approximate.

In: a scan in patient order. Out: masks at full resolution, with facts. The liver is the large even organ to the right
of the spine; in it, and where its trunks enter and leave, veins are brighter than its tissue and tube-like. Portal and
hepatic veins part by their roots: hepatic veins leave to the vena cava at the back of the dome, the portal vein enters
from below. A click in the portal vein, and a second one in a hepatic vein, say so more surely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.progress import Progress, part
from meshing.segmenters.body import BodySettings, find_body
from meshing.segmenters.contrast import ContrastSettings, bright_parts, spine_of
from meshing.segmenters.found import Found
from meshing.voxels.curvature import curvature_across
from meshing.voxels.morphology import (
    bounding_box,
    closed,
    components,
    depth_of,
    dilated,
    distance_from,
    filled_in_slices,
    nearest_of,
    opened,
    touching,
    without_small,
)
from meshing.voxels.seeds import checked_seeds
from meshing.voxels.upright import Coarse, Float32Array, Mask, Upright, coarse, to_coarse, to_full

WHERE = "preset ct-portal"

# How far beside a vein a click may lie; and how far from the spine the vena cava runs.
_BESIDE_MM, _CAVA_MM = 5.0, 45.0
# Shares of the liver's height: hepatic veins leave above the first, the portal vein enters below the second.
_UPPER, _DOME = 0.6, 0.72
_TREES = ("portal_vein", "hepatic_vein")


@dataclass(frozen=True)
class LiverSettings:
    """Lengths in mm, values in HU, volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    spacing_mm
        At which the liver's tissue is found, and then its veins.
    tissue_hu
        Enhanced liver tissue reads between these.
    even_hu
        … and its blocks differ from its mean by less than that.
    open_mm, close_mm
        Links to other organs thinner than twice the first are cut; veins thinner than twice the second are filled.
    least_ml
        Less is no liver.
    around_mm
        So far out of the liver its trunks are followed.
    """

    spacing_mm: tuple[float, float]
    tissue_hu: tuple[float, float]
    even_hu: float
    open_mm: float
    close_mm: float
    least_ml: float
    around_mm: float


@dataclass(frozen=True)
class VeinSettings:
    """Lengths in mm, volumes in ml, shares of the step from liver tissue to its veins' blood.

    Parameters
    ----------
    scales_mm
        σ at which tubes are looked for.
    blood_share
        The brightest share of the liver, its veins filled, is blood.
    least_step_hu
        Veins are brighter than tissue by that, or it is no portal phase.
    wall, tube, tube_wall, sure
        Vein is what passes `wall`, or is a tube of `tube` and passes `tube_wall`; it hangs on what passes `sure`.
    least_ml
        Smaller pieces are noise.
    fat_mm
        What holds a ball of that radius beside the liver (vena cava, aorta, heart) is left out.
    beside_ml
        … and so are pieces beside the liver larger than that, such as a kidney.
    """

    scales_mm: tuple[float, ...]
    blood_share: float
    least_step_hu: float
    wall: float
    tube: float
    tube_wall: float
    sure: float
    least_ml: float
    fat_mm: float
    beside_ml: float


@dataclass(frozen=True)
class CtPortalSettings:
    """Everything that ct-portal is set by."""

    body: BodySettings
    contrast: ContrastSettings
    liver: LiverSettings
    vein: VeinSettings


@dataclass(frozen=True, eq=False)
class _Liver:
    """The liver as one solid on fine blocks, what its tissue reads, and the middle of the spine there along x."""

    low: Coarse
    mask: Mask
    tissue_hu: float
    spine_x: float


def veins_of_liver(scan: Upright, settings: CtPortalSettings, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    """Portal tree and hepatic veins, in patient order.

    Raises
    ------
    SegmentationError
        If no enhanced liver is in view, its veins are no brighter than its tissue, a seed lies in no vein, there are
        more than two, or a tree has no root.
    """
    if len(seeds_mm) > len(_TREES):
        raise SegmentationError(
            f"{len(seeds_mm)} seeds", where=WHERE, hint="one in the portal vein, and a second one in a hepatic vein"
        )
    seeds = checked_seeds(scan, seeds_mm, WHERE)
    progress(0.02, "finding the liver")
    liver = _find_liver(scan, settings)
    progress(0.3, "finding its veins")
    found_veins = _veins(liver, settings, part(progress, 0.3, 0.8))
    veins, step_hu = found_veins.mask, found_veins.step_hu
    progress(0.8, "telling portal from hepatic veins")
    # Where both trees touch, the bridge is darker than either lumen: floods from the roots meet there.
    parted = nearest_of(_both(_roots(found_veins, liver, seeds)), veins, -found_veins.above)
    found = Found({})
    for number, key in enumerate(_TREES, start=1):
        mask = to_full(parted == number, liver.low)
        if mask.any():
            found.masks[key] = mask
    loose_ml = float((veins & (parted == 0)).sum()) * liver.low.voxel_ml
    how = f"{len(seeds)} click(s)" if len(seeds) else "where they leave the liver, which a click would say more surely"
    found.note(
        "veins",
        f"Veins of the liver are {step_hu:.0f} HU brighter than its tissue ({liver.tissue_hu:.0f} HU);"
        f" portal and hepatic veins were parted by {how};"
        f" {loose_ml:.1f} ml of pieces that hang on neither root were left out.",
        step_hu=round(step_hu, 1),
        tissue_hu=round(liver.tissue_hu, 1),
        clicks=len(seeds),
        left_out_ml=round(loose_ml, 2),
    )
    return found


def _find_liver(scan: Upright, settings: CtPortalSettings) -> _Liver:
    """The largest even organ of enhanced tissue to the right of the spine, its veins filled."""
    from scipy import ndimage

    wanted = settings.liver
    body = find_body(scan, settings.body)
    bright = bright_parts(scan, body, settings.contrast)
    spine = spine_of(bright)
    solid = to_full(body.mask, body.low)
    low = coarse(scan, wanted.spacing_mm[0], most_voxels=6e6, box=bounding_box(solid))
    inside = to_coarse(solid, low)
    middle = float(np.flatnonzero(inside.any(axis=(1, 2))).mean())
    if spine is not None:
        full = (float(np.median(spine.x)) + 0.5) * bright.low.factors[0] + bright.low.box[0].start - 0.5
        middle = (full + 0.5 - low.box[0].start) / low.factors[0] - 0.5
    calm = ndimage.gaussian_filter(low.values, [2.0 / s for s in low.spacing_mm])
    right = inside & (np.arange(inside.shape[0])[:, None, None] < middle)
    counts, edges = np.histogram(calm[right], bins=np.arange(wanted.tissue_hu[0], wanted.tissue_hu[1] + 1.0, 2.0))
    level = float(edges[int(np.convolve(counts, np.ones(5), "same").argmax())] + 1.0)
    tissue = opened(inside & (np.abs(calm - level) < wanted.even_hu), low.spacing_mm, wanted.open_mm)
    numbers, sizes = components(tissue)
    on_right = np.bincount(numbers[right], minlength=len(sizes))
    on_right[0] = 0
    best = int(on_right.argmax())
    liver_ml = float(sizes[best]) * low.voxel_ml if best else 0.0
    if liver_ml < wanted.least_ml:
        raise SegmentationError(
            f"no enhanced liver: the largest even organ on the right between {wanted.tissue_hu[0]:.0f} and"
            f" {wanted.tissue_hu[1]:.0f} HU holds {liver_ml:.0f} ml, wanted {wanted.least_ml:.0f}",
            where=WHERE,
            hint="is this the portal venous phase? Without contrast liver reads 50 to 65 HU and its veins no more",
        )
    whole = filled_in_slices(
        closed(numbers == best, low.spacing_mm, wanted.close_mm), 2, 1500.0, spacing_mm=low.spacing_mm
    )
    near = to_full(whole, low)
    box = bounding_box(near, scan.spacing_mm, wanted.around_mm + 25.0)  # with all of the vena cava
    fine = coarse(scan, wanted.spacing_mm[1], most_voxels=12e6, box=box)
    x = ((middle + 0.5) * low.factors[0] - 0.5 + low.box[0].start - fine.box[0].start + 0.5) / fine.factors[0] - 0.5
    return _Liver(fine, to_coarse(near, fine), level, float(x))


@dataclass(frozen=True, eq=False)
class _Veins:
    """All veins on the fine blocks, and what parts them.

    Parameters
    ----------
    above
        Values, 0 at liver tissue and 1 at blood.
    wide
        What is too wide for a vein of the liver: vena cava, aorta, heart.
    """

    mask: Mask
    above: Float32Array
    wide: Mask
    step_hu: float


def _veins(liver: _Liver, settings: CtPortalSettings, progress: Progress) -> _Veins:
    """Everything that is vein in and near the liver, and how much brighter it is than tissue."""
    from scipy import ndimage

    wanted, spacing = settings.vein, liver.low.spacing_mm
    values = np.asfortranarray(ndimage.gaussian_filter(liver.low.values, [min(0.7, 0.7 / s) for s in spacing]))
    deep = depth_of(liver.mask, spacing) > 4.0
    blood = float(np.quantile(values[deep], 1.0 - wanted.blood_share)) if deep.any() else liver.tissue_hu
    step = blood - liver.tissue_hu
    if step < wanted.least_step_hu:
        raise SegmentationError(
            f"no vein: the brightest {wanted.blood_share:.1%} of the liver read {blood:.0f} HU, its tissue"
            f" {liver.tissue_hu:.0f}, wanted {wanted.least_step_hu:.0f} more",
            where=WHERE,
            hint="is this the portal venous phase?",
        )
    above = ((values - np.float32(liver.tissue_hu)) / np.float32(step)).astype(np.float32)
    around = dilated(liver.mask, spacing, settings.liver.around_mm)
    tubes = curvature_across(above, spacing, wanted.scales_mm, around & (above > wanted.tube_wall), progress)
    vein = around & ((above > wanted.wall) | ((tubes > wanted.tube) & (above > wanted.tube_wall)))
    vein &= above < 2.0  # bone and calcium beside the liver
    # The vena cava is less bright than the liver's veins, and noise makes a sponge of it at their threshold.
    even = ndimage.gaussian_filter(above, [1.5 / s for s in spacing])
    wide = dilated(opened(even > wanted.tube_wall, spacing, wanted.fat_mm), spacing, 1.1 * max(spacing))
    vein &= ~wide
    outside, sizes = components(vein & ~liver.mask)
    vein &= ~(sizes * liver.low.voxel_ml > wanted.beside_ml)[outside] | liver.mask
    vein = touching(vein, vein & liver.mask & (above > wanted.sure) & (tubes > wanted.tube))
    return _Veins(without_small(vein, wanted.least_ml / liver.low.voxel_ml), above, wide, step)


def _roots(veins: _Veins, liver: _Liver, seeds: FloatArray) -> npt.NDArray[np.int32]:
    """Markers on the blocks: 1 in the portal vein, 2 in hepatic veins; from clicks, else from where they leave."""
    spacing = np.array(liver.low.spacing_mm)
    places = np.argwhere(veins.mask)
    if not len(places):
        raise SegmentationError("no vein in the liver", where=WHERE, hint="is this the portal venous phase?")
    markers = _exits(veins, liver)
    corner = np.array([p.start for p in liver.low.box])
    for number, seed in enumerate(seeds, start=1):
        block = (seed - corner + 0.5) / liver.low.factors - 0.5
        far = np.linalg.norm((places - block) * spacing, axis=1)
        if far.min() > _BESIDE_MM:
            raise SegmentationError(
                f"the seed lies {far.min():.0f} mm from the nearest vein of the liver",
                where=WHERE,
                hint="move the seed",
            )
        if number == 1:  # the hepatic veins meet in the vena cava, so those that it is found by stay
            markers[markers == 1] = 0
        markers[tuple(places[far.argmin()])] = number
    return markers


def _both(markers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The markers, if both trees have one: a single root would flood the veins of both."""
    lacking = [key for number, key in enumerate(_TREES, start=1) if not (markers == number).any()]
    if lacking:
        raise SegmentationError(
            f"where the {' and the '.join(lacking)} leaves the liver was not found, so the two cannot be parted",
            where=WHERE,
            hint="set a first seed into the portal vein and a second one into a hepatic vein",
        )
    return markers


def _exits(veins: _Veins, liver: _Liver) -> npt.NDArray[np.int32]:
    """Where veins meet the vena cava in the upper liver (2), and the widest one near the middle away from it (1)."""
    spacing = liver.low.spacing_mm
    depth = depth_of(veins.mask, spacing)
    heights = np.flatnonzero(liver.mask.any(axis=(0, 1)))
    share = ((np.arange(depth.shape[2]) - heights[0]) / max(1, heights[-1] - heights[0]))[None, None, :]
    aside = np.abs(np.arange(depth.shape[0]) - liver.spine_x)[:, None, None] * spacing[0]
    from_cava = distance_from(veins.wide & (aside < _CAVA_MM), spacing)
    markers = np.zeros(depth.shape, np.int32, order="F")
    markers[veins.mask & (from_cava < 2.5 * max(spacing)) & (share > _UPPER)] = 2
    worth = depth * np.clip(1.0 - aside / 80.0, 0.0, 1.0) * ((from_cava > 10.0) & (share > 0.15) & (share < _DOME))
    if worth.max() > 0:
        markers[np.unravel_index(int(worth.argmax()), worth.shape)] = 1
    return markers
