"""Where the aorta is: long, slim, upright blobs of contrast before the spine, to its left.

In: the bright blobs of a CT. Out: which of them are the aorta (or the lumens of a dissected one), and which lie where
the aorta runs. Where there is no spine there is no aorta to be found, and the vessels of a limb or a head have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.segmenters.blobs import Floats
from meshing.segmenters.contrast import Bright, Spine, spine_of
from meshing.segmenters.cuts import Chosen


@dataclass(frozen=True)
class AortaSettings:
    """Lengths in mm, volumes in ml; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    left_mm, back_mm, back_in_chest_mm
        Window beside the middle of the spine in which the aorta lies: from, to. In the chest it hugs the spine, and
        the left atrium lies before it.
    chest_lung_share
        A slice is chest when lung takes that share of it.
    upright
        Least height in diameters, and how much more makes it sure.
    slim_mm
        Fatter balls speak against an aorta.
    share
        A blob belongs to the aorta when its score is this share of the best one's.
    least_ml
        Less is no aorta.
    """

    left_mm: tuple[float, float]
    back_mm: tuple[float, float]
    back_in_chest_mm: tuple[float, float]
    chest_lung_share: float
    upright: tuple[float, float]
    slim_mm: float
    share: float
    least_ml: float


@dataclass(frozen=True, eq=False)
class Aorta:
    """Bool per blob.

    Parameters
    ----------
    found
        The aorta; none where there is no spine.
    is_beside
        Lies for the most part where the aorta runs.
    is_in_chest
        Lies for the most part in slices with lung.
    """

    found: Chosen
    is_beside: Chosen
    is_in_chest: Chosen


def aorta_of(bright: Bright, settings: AortaSettings) -> Aorta:
    """The aorta among the blobs."""
    numbers = bright.blobs.numbers
    size = len(bright.blobs) + 1
    voxels = np.maximum(np.bincount(numbers.ravel(order="K"), minlength=size), 1)
    chest = bright.lung_share > settings.chest_lung_share
    is_in_chest = np.bincount(numbers[:, :, chest].ravel(order="K"), minlength=size) > 0.5 * voxels
    spine = spine_of(bright)
    if spine is None:
        nothing = np.zeros(size, np.bool_)
        return Aorta(nothing, nothing, is_in_chest)
    beside = numbers[_window(bright, spine, chest, settings) & (numbers > 0)]
    share = np.bincount(beside, minlength=size) / voxels
    contrast_ml = np.where(bright.is_contrast, bright.blobs.volume_ml, 0.0)
    slim = np.minimum(1.0, settings.slim_mm / np.maximum(bright.blobs.radius_mm, 1.0)) ** 2
    least, span = settings.upright
    score = contrast_ml * share**4 * slim * np.clip((_elongation(bright) - least) / span, 0.0, 1.0)
    found = (score >= settings.least_ml) & (score >= settings.share * score.max())
    return Aorta(found, share >= 0.5, is_in_chest)


def _window(bright: Bright, spine: Spine, chest: Chosen, settings: AortaSettings) -> Chosen:
    """Where the aorta runs, bool, shape (X, Y, Z)."""
    numbers, (sx, sy, _) = bright.blobs.numbers, bright.low.spacing_mm
    left = (np.arange(numbers.shape[0])[:, None] - spine.x[None, :]) * sx
    back = (np.arange(numbers.shape[1])[:, None] - spine.y[None, :]) * sy
    in_left = (left > settings.left_mm[0]) & (left < settings.left_mm[1])
    nearest = np.where(chest, settings.back_in_chest_mm[0], settings.back_mm[0])
    farthest = np.where(chest, settings.back_in_chest_mm[1], settings.back_mm[1])
    in_back = (back > nearest) & (back < farthest)
    window: Chosen = in_left[:, None, :] & in_back[None, :, :]
    return window


def _elongation(bright: Bright) -> Floats:
    """Height of each blob in units of the diameter of its mean axial section."""
    numbers, step_mm = bright.blobs.numbers, bright.low.spacing_mm[2]
    heights = np.full(len(bright.blobs) + 1, 1e-6)
    for z in range(numbers.shape[2]):
        heights[np.unique(numbers[:, :, z])] += step_mm
    section_mm2 = np.maximum(1000.0 * bright.blobs.volume_ml / heights, 1e-6)
    elongation: Floats = heights / np.sqrt(4.0 * section_mm2 / np.pi)
    return elongation
