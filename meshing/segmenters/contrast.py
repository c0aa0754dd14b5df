"""Bone told from contrast-filled vessels, chambers and organs in a CT.

In: a scan in patient order and its body. Out: `Bright`: everything above a threshold as blobs, each of them bone or
contrast. Contrast is homogeneous and darker at its edge; bone is rough, and its shell is brighter than its marrow. A
blob that says neither follows the neighbours that it is most widely joined to (a cheapest cut).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.segmenters.blobs import Blobs, Floats, find_blobs, local_deviation
from meshing.segmenters.body import Body
from meshing.segmenters.cuts import cheapest_cut, joined
from meshing.voxels.morphology import bounding_box, closed, dilated, filled_in_slices, opened
from meshing.voxels.upright import Coarse, Float32Array, Mask, Upright, coarse, to_coarse, to_full

# Thin ribs speak weakly for contrast, thin arteries for bone: a group of blobs counts as either only where one of its
# blobs says so clearly.
_PROOF_OF_CONTRAST, _PROOF_OF_BONE = -0.2, 0.5
# A vertebra with its canal measures less in an axial slice.
_BODY_MM2 = 2500.0


@dataclass(frozen=True)
class ContrastSettings:
    """Thresholds in HU, lengths in mm; their sources stand in `assets/presets.toml`."""

    spacing_mm: float
    soft_hu: tuple[float, float]
    least_hu: float
    level_share: float
    basin_mm: float
    rough: float
    shell_mm: float
    thick_mm: float
    wall: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Bright:
    """What is bright on working blocks.

    Parameters
    ----------
    low
        The blocks.
    values
        Their HU, lightly smoothed.
    blobs
        The pieces.
    is_bone, is_contrast
        bool per blob; a speck may be neither.
    soft_hu, noise_hu
        Median and local deviation of soft tissue.
    threshold_hu
        What counts as bright.
    lung_share
        shape (Z,): how much of the body is lung or gas, slice by slice.
    """

    low: Coarse
    values: Float32Array
    blobs: Blobs
    is_bone: npt.NDArray[np.bool_]
    is_contrast: npt.NDArray[np.bool_]
    soft_hu: float
    noise_hu: float
    threshold_hu: float
    lung_share: Floats

    @property
    def bone(self) -> Mask:
        """Bone on the blocks."""
        return self.blobs.mask(self.is_bone)

    @property
    def contrast(self) -> Mask:
        """Contrast on the blocks."""
        return self.blobs.mask(self.is_contrast)


def bright_parts(scan: Upright, body: Body, settings: ContrastSettings, most_hu: float = np.inf) -> Bright:
    """Everything bright in the body.

    Parameters
    ----------
    most_hu
        The vessels sought are no brighter than that (from seeds); how bright they are is estimated.
    """
    from scipy import ndimage

    solid = to_full(body.mask, body.low)
    low = coarse(scan, settings.spacing_mm, most_voxels=12e6, box=bounding_box(solid))
    inside = to_coarse(solid, low)
    values = np.asfortranarray(ndimage.gaussian_filter(low.values, 0.5))
    deviation = local_deviation(values, low.spacing_mm)
    soft, noise = _soft_tissue(values, deviation, inside, settings)
    level = min(most_hu, _contrast_level(values, deviation, inside, noise, settings))
    threshold = max(settings.least_hu, soft + settings.level_share * (level - soft))
    blobs = find_blobs(values, inside & (values > threshold), low.spacing_mm, settings.basin_mm)
    evidence = _with_shells(_bone_evidence(blobs, soft, low.mean_spacing_mm, settings), blobs, low, settings)
    surface_mm2 = 6.0 * (1000.0 * blobs.volume_ml) ** (2 / 3)
    cut = cheapest_cut(
        blobs.contacts,
        door_mm2(blobs, settings),
        0.3 * surface_mm2 * np.maximum(-evidence, 0),  # bone is the common case: contrast needs the better reasons
        surface_mm2 * np.maximum(evidence, 0),
    )
    is_contrast = _proven(blobs, cut.source, evidence <= _PROOF_OF_CONTRAST)
    is_bone = _proven(blobs, cut.sink, evidence >= _PROOF_OF_BONE)
    is_contrast = _with_branches(blobs, is_contrast, is_bone, settings)
    airy = (inside & (values < -500.0)).sum(axis=(0, 1)) / np.maximum(inside.sum(axis=(0, 1)), 1)
    return Bright(low, values, blobs, is_bone, is_contrast, soft, noise, threshold, airy)


def _proven(blobs: Blobs, side: npt.NDArray[np.bool_], proof: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The blobs of a side that hang together with a proof."""
    contacts = blobs.contacts
    proven: npt.NDArray[np.bool_] = side & joined(contacts, side[contacts.first] & side[contacts.second], side & proof)
    return proven


def _with_branches(
    blobs: Blobs, is_contrast: npt.NDArray[np.bool_], is_bone: npt.NDArray[np.bool_], settings: ContrastSettings
) -> npt.NDArray[np.bool_]:
    """Contrast, with the undecided blobs that it opens into: branches too thin to tell from bone by themselves."""
    contacts = blobs.contacts
    passable = ~is_bone[contacts.first] & ~is_bone[contacts.second] & (contacts.brightness > settings.wall[0])
    return joined(contacts, passable, is_contrast)


def door_mm2(blobs: Blobs, settings: ContrastSettings) -> Floats:
    """How wide each contact is open: the disc that passes, less where it is dark, for then a wall lies in it."""
    dark, clear = settings.wall
    openness = np.clip((blobs.contacts.brightness - dark) / (clear - dark), 0.2, 1.0)
    doors: Floats = np.pi * blobs.contacts.neck_mm**2 * openness**2
    return doors


def _soft_tissue(
    values: Float32Array, deviation: Float32Array, inside: Mask, settings: ContrastSettings
) -> tuple[float, float]:
    low_hu, high_hu = settings.soft_hu
    soft = inside & (values > low_hu) & (values < high_hu)
    if not soft.any():
        return 0.5 * (low_hu + high_hu), 0.0
    return float(np.median(values[soft])), float(np.median(deviation[soft]))


def _contrast_level(
    values: Float32Array, deviation: Float32Array, inside: Mask, noise: float, settings: ContrastSettings
) -> float:
    """Median of what is bright and no rougher than soft tissue; the least threshold where there is nothing like it."""
    even = inside & (values > settings.least_hu) & (deviation < max(2.0 * noise, 10.0))
    return float(np.median(values[even])) if even.any() else settings.least_hu


def _bone_evidence(blobs: Blobs, soft_hu: float, voxel_mm: float, settings: ContrastSettings) -> Floats:
    """−1 (contrast) to 2 (bone) per blob; 0 where a blob is too thin to tell.

    Roughness is measured against the contrast of the blob with soft tissue. A thin blob is rough by its edges alone,
    so it must be rougher to count as bone. In a thick one a core brighter than its rim speaks for contrast.
    """
    radius = blobs.radius_mm / voxel_mm
    rough = blobs.texture / np.maximum(blobs.median - soft_hu, 1.0)
    limit = settings.rough + np.clip(0.09 * (5.0 - radius), 0.0, 0.28)
    bulge = blobs.core_minus_rim / np.maximum(blobs.median, 1.0)
    shell = np.clip((0.09 - bulge) / 0.03, -2.0, 2.0) * np.clip((radius - 4.0) / 2.0, 0, 1)
    # Partial volume makes every rim darker than its core; a rim that is brighter in spite of it is cortex.
    cortex = np.clip(-bulge / 0.04, 0.0, 2.0) * np.clip(radius - 2.5, 0, 1)
    evidence = np.clip((rough - limit) / 0.06 + shell + cortex, -1.0, 2.0)
    sure_of_bone, sure_of_contrast = np.clip((radius - 0.8) / 3.0, 0, 1), np.clip((radius - 3.0) / 2.0, 0, 1)
    weighted: Floats = evidence * np.where(evidence > 0, sure_of_bone, sure_of_contrast)
    return weighted


def _with_shells(evidence: Floats, blobs: Blobs, low: Coarse, settings: ContrastSettings) -> Floats:
    """The evidence, with the shells of hollow bones: thin blobs that close round something thick, unlike arteries."""
    thin = blobs.mask((evidence > -0.1) & (blobs.radius_mm < settings.thick_mm))
    solid = filled_in_slices(closed(thin, low.spacing_mm, settings.shell_mm), 2, _BODY_MM2, spacing_mm=low.spacing_mm)
    thick = dilated(opened(solid, low.spacing_mm, settings.thick_mm), low.spacing_mm, 1.1 * max(low.spacing_mm))
    size = len(blobs) + 1
    voxels = np.maximum(np.bincount(blobs.numbers.ravel(order="K"), minlength=size), 1)
    share = np.bincount(blobs.numbers[thick & thin], minlength=size) / voxels
    return np.maximum(evidence, np.where(share > 0.5, share, -1.0))


@dataclass(frozen=True, eq=False)
class Spine:
    """Where the vertebral column runs: block indices of its middle (about the canal's front wall) for every z."""

    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]


def spine_of(bright: Bright) -> Spine | None:
    """The vertebral column: the bone that is there from the lowest slice to the highest.

    None where no place across the body holds bone in half of the slices, or they span less than 40 mm.
    """
    from scipy import ndimage

    sx, sy, sz = bright.low.spacing_mm
    bone = filled_in_slices(closed(bright.bone, (sx, sy, sz), 5.0), 2, _BODY_MM2, spacing_mm=(sx, sy, sz))
    if bone.any(axis=(0, 1)).sum() * sz < 40.0:
        return None
    sigma = (14.0 / sx, 14.0 / sy, 14.0 / sz)
    density = ndimage.gaussian_filter(bone.astype(np.float32), sigma, mode=("constant", "constant", "nearest"))
    presence = (density > 0.1).mean(axis=2)
    if presence.max() < 0.5:
        return None
    column = presence**4 * density.mean(axis=2)
    at = np.unravel_index(int(column.argmax()), column.shape)
    window = tuple(
        slice(max(0, int(centre - reach / s)), int(centre + reach / s) + 1)
        for centre, reach, s in ((at[0], 30.0, sx), (at[1], 50.0, sy))
    )
    near = density[window]
    x, y = np.unravel_index(near.reshape(-1, near.shape[2]).argmax(axis=0), near.shape[:2])
    return Spine(x + window[0].start, y + window[1].start)
