"""Lesions of known shape in a block of liver with fat behind it; for tests of growing from clicks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from meshing.plan import Point
from meshing.volume import Volume
from tests.meshing.segmenters.scans import Known
from tests.shapes import upright_grid

Spacing = tuple[float, float, float]
LIVER_HU = 55.0
_SIZE_MM = (110.0, 100.0, 90.0)


def lesion(
    radii: Spacing, contrast_hu: float, *, noise_hu: float = 12.0, spacing_mm: Spacing = (1.0, 1.0, 1.0), seed: int = 0
) -> Known:
    """An ellipsoid turned at random, that much brighter or darker than the liver round it; blurred by 0.6 mm."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    shape = tuple(round(size / own) for size, own in zip(_SIZE_MM, spacing_mm, strict=True))
    grid = upright_grid(shape, spacing_mm)
    axes = [(np.arange(n) - (n - 1) / 2) * own for n, own in zip(shape, spacing_mm, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - rng.uniform(-8, 8, 3)
    turned = places @ Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    mask: npt.NDArray[np.bool_] = ((turned / np.array(radii)) ** 2).sum(axis=-1) <= 1.0
    values = np.full(shape, LIVER_HU, np.float32)
    values[:, axes[1] > 35.0] = -100.0
    values[mask] = LIVER_HU + contrast_hu
    values = ndimage.gaussian_filter(values, [0.6 / own for own in spacing_mm])
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), 0.6)
    values += noise_hu * grain / grain.std()
    voxels = np.asfortranarray(np.rint(values).astype(np.int16))
    return Known(Volume(voxels, grid, "CT", "HU"), {"lesion": mask})


def inner_point(known: Known, key: str, share: float, seed: int) -> Point:
    """A random voxel centre whose depth is at least that share of the deepest one's."""
    mask = known.truth[key]
    depth = ndimage.distance_transform_edt(mask, sampling=known.volume.grid.spacing_mm)
    places = np.argwhere(depth >= share * depth.max())
    left, posterior, superior = known.volume.grid.to_patient(
        places[np.random.default_rng(seed).integers(len(places))]
    ).tolist()
    return left, posterior, superior


def box_round(known: Known, key: str) -> tuple[Point, Point]:
    """A box one voxel larger than a structure on every side."""
    places = np.argwhere(known.truth[key])
    first, last = (known.volume.grid.to_patient(end).tolist() for end in (places.min(0) - 1, places.max(0) + 1))
    return (first[0], first[1], first[2]), (last[0], last[1], last[2])
