"""The plain calls that people write for each editing verb, on whole arrays: peers in `benchmarks.segmentation`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.editing.contrast import seed_contrast
from meshing.editing.levelset import LevelSet
from meshing.editing.patch import LabelPatch, Patch, widened
from meshing.volume import Grid, Volume
from meshing.voxels.morphology import from_image, to_image

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Point = tuple[float, float, float]


def _spacing(grid: Grid) -> Point:
    x, y, z = (float(mm) for mm in grid.spacing_mm)
    return x, y, z


def _whole(seeds: LabelPatch) -> Array:
    markers = np.zeros(seeds.grid.shape, np.int32, order="F")
    markers[seeds.box] = seeds.labels
    return markers


def connected(volume: Volume, seed: Array, low: float, high: float) -> Mask:
    """SimpleITK's flood."""
    import SimpleITK

    image = to_image(volume.voxels, _spacing(volume.grid))
    found: Mask = from_image(SimpleITK.ConnectedThreshold(image, [seed.tolist()], low, high)) > 0
    return found


def watershed(volume: Volume, seeds: LabelPatch) -> Array:
    """scikit-image's flood over the Gaussian gradient."""
    from scipy.ndimage import gaussian_gradient_magnitude
    from skimage.segmentation import watershed as flooded

    sigma = [1.0 / mm for mm in volume.grid.spacing_mm]
    labels: Array = flooded(gaussian_gradient_magnitude(volume.voxels.astype(np.float32), sigma), _whole(seeds))
    return labels


def marched(grid: Grid, box: tuple[slice, ...], seed: Array, speed: Array, stop: float) -> Mask:
    """SimpleITK's fast marching in the box that ours looks at."""
    import SimpleITK

    local = (seed - [side.start for side in box]).tolist()
    arrival = from_image(SimpleITK.FastMarching(to_image(speed, _spacing(grid)), [local], 1.0, stop))
    reached = np.zeros(grid.shape, np.bool_, order="F")
    reached[box] = arrival <= stop
    return reached


def contour(volume: Volume, start: Patch, moves: LevelSet) -> Mask:
    """SimpleITK's geodesic active contour at full resolution, in the box that ours looks at."""
    import SimpleITK

    box, spacing = widened(start.box, volume.grid, moves.reach_mm), _spacing(volume.grid)
    image = SimpleITK.Cast(to_image(np.asfortranarray(volume.voxels[box]), spacing), SimpleITK.sitkFloat32)
    steep = SimpleITK.GradientMagnitudeRecursiveGaussian(image, moves.sigma_mm) / moves.steepness
    first = SimpleITK.SignedMaurerDistanceMap(to_image(start.within(box), spacing), False, False, True)
    speed = SimpleITK.Cast(1.0 / (1.0 + steep * steep), SimpleITK.sitkFloat32)
    moved = SimpleITK.GeodesicActiveContourLevelSet(
        first,
        speed,
        0.002,
        moves.balloon,
        moves.smoothness,
        moves.attraction,
        moves.most_steps,
    )
    found = np.zeros(volume.grid.shape, np.bool_, order="F")
    found[box] = from_image(moved) < 0
    return found


def walked(volume: Volume, seeds: LabelPatch) -> Array:
    """scikit-image's random walker with the same edge weights as ours."""
    import warnings

    from skimage.segmentation import random_walker

    markers = _whole(seeds)
    values = volume.voxels / seed_contrast(volume.voxels, markers.astype(np.uint8), seeds.numbers())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own tolerance
        labels: Array = random_walker(values, markers, 130.0 * 10 * values.std(), "cg_j", 1e-3)
    return labels


def ball(grid: Grid, centre: Point, radius_mm: float) -> Mask:
    """Distances of all voxels."""
    axes = [np.arange(n) * mm - c for n, mm, c in zip(grid.shape, grid.spacing_mm, centre, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    inside: Mask = x * x + y * y + z * z <= radius_mm**2
    return inside


def prism(grid: Grid, line: Sequence[Point]) -> Mask:
    """A polygon on one slice, repeated."""
    from skimage.draw import polygon2mask

    flat = np.array(line)[:, :2] / grid.spacing_mm[:2]
    return np.repeat(polygon2mask(grid.shape[:2], flat)[:, :, None], grid.shape[2], axis=2)


def between(drawn: LabelPatch, grid: Grid) -> Mask:
    """Whole slices' signed distances, blended."""
    from scipy.ndimage import distance_transform_edt

    mask = _whole(drawn) > 0
    used = np.flatnonzero(mask.any(axis=(0, 1)))
    for low, high in pairwise(used.tolist()):
        ends = [
            distance_transform_edt(plane, grid.spacing_mm[:2]) - distance_transform_edt(~plane, grid.spacing_mm[:2])
            for plane in (mask[:, :, low], mask[:, :, high])
        ]
        for at in range(low + 1, high):
            share = (at - low) / (high - low)
            mask[:, :, at] = (1 - share) * ends[0] + share * ends[1] > 0
    return mask


def largest(mask: Mask) -> Mask:
    """scipy's components, counted."""
    from scipy.ndimage import label

    numbers, _ = label(mask)
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    found: Mask = numbers == counts.argmax()
    return found


def without_small(mask: Mask, grid: Grid, least_ml: float) -> Mask:
    """scikit-image's way."""
    from skimage.morphology import remove_small_objects

    kept: Mask = remove_small_objects(mask, max_size=int(np.ceil(least_ml * 1000 / grid.voxel_volume_mm3)) - 1)
    return kept


def grown(mask: Mask, margin_mm: float, spacing_mm: float = 0.8) -> Mask:
    """From voxel centre to voxel centre."""
    from scipy.ndimage import distance_transform_edt

    found: Mask = distance_transform_edt(~mask, spacing_mm) <= margin_mm
    return found


def wall(mask: Mask, wall_mm: float, spacing_mm: float = 0.8) -> Mask:
    """From voxel centre to voxel centre."""
    from scipy.ndimage import distance_transform_edt

    found: Mask = mask & (distance_transform_edt(mask, spacing_mm) <= wall_mm)
    return found


def median(mask: Mask, radius: int) -> Mask:
    """SimpleITK's median of a mask."""
    import SimpleITK

    found: Mask = from_image(SimpleITK.BinaryMedian(to_image(mask, (1.0, 1.0, 1.0)), [radius] * 3, 1.0, 0.0)) > 0
    return found


def closed(mask: Mask, radius: int) -> Mask:
    """SimpleITK's closing by a ball of voxels."""
    import SimpleITK

    image = to_image(mask, (1.0, 1.0, 1.0))
    found: Mask = from_image(SimpleITK.BinaryMorphologicalClosing(image, [radius] * 3, SimpleITK.sitkBall, 1.0)) > 0
    return found


def blurred(mask: Mask, sigma: float) -> Mask:
    """Blurred on the whole array and cut."""
    from scipy.ndimage import gaussian_filter

    found: Mask = gaussian_filter(mask.astype(np.float32), sigma) > 0.5
    return found


def together(drawn: LabelPatch, sigma: float) -> Array:
    """All labels and nothing blurred on the whole array; the strongest wins."""
    from scipy.ndimage import gaussian_filter

    whole = _whole(drawn)
    shares = [gaussian_filter((whole == n).astype(np.float32), sigma) for n in range(int(whole.max()) + 1)]
    strongest: Array = np.argmax(shares, axis=0)
    return strongest
