"""Everything bright in a CT as a graph of blobs: pieces that end at necks, and what lies between each two of them.

In: values on a working grid and a threshold. Out: `Blobs`, from which bone and contrast-filled vessels are told apart
(`contrast`) and a tree of vessels is cut free (`vessels`). A blob is a basin of the distance map; two blobs that touch
are one lumen when the contact is as bright as they are, and two lumens with a wall between when it is darker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.voxels.morphology import bounding_box, depth_of, from_image, to_image
from meshing.voxels.upright import Float32Array, Mask, Spacing

Numbers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Contacts:
    """Pairs of blobs that share faces; all arrays have shape (P,).

    Parameters
    ----------
    first, second
        Blob numbers, first < second.
    area_mm2
        Of the shared faces.
    brightness
        Upper quartile over the shared faces, in units of the darker blob's median: about 1 within one lumen, about
        0.6 across a wall of one or two millimetres.
    neck_mm
        Radius of the largest ball that passes.
    """

    first: Integers
    second: Integers
    area_mm2: Floats
    brightness: Floats
    neck_mm: Floats


@dataclass(frozen=True, eq=False)
class Blobs:
    """Bright pieces, numbered from 1; arrays over blobs have shape (N + 1,), entry 0 is unused and 0.

    Parameters
    ----------
    numbers
        int32, shape (X, Y, Z): which blob a voxel belongs to, 0 = not bright.
    depth_mm
        Distance from the dark, same shape.
    volume_ml, radius_mm
        Volume; radius of the largest ball inside.
    median, peak
        Median value, and the value that only a tenth of its voxels pass.
    texture
        Lower quartile of the local standard deviation: noise in a lumen, several times that in spongy bone.
    core_minus_rim
        Median of the deep half minus median of the rim next to the edge voxels: negative where a shell surrounds
        something darker, as cortex does marrow.
    """

    numbers: Numbers
    depth_mm: Float32Array
    volume_ml: Floats
    radius_mm: Floats
    median: Floats
    peak: Floats
    texture: Floats
    core_minus_rim: Floats
    contacts: Contacts

    def __len__(self) -> int:
        return len(self.volume_ml) - 1

    def mask(self, chosen: npt.NDArray[np.bool_]) -> Mask:
        """The voxels of the blobs chosen by a bool per blob."""
        picked = chosen.copy()
        picked[0] = False
        found: Mask = picked[self.numbers]
        return found


def find_blobs(values: Float32Array, bright: Mask, spacing_mm: Spacing, least_depth_mm: float) -> Blobs:
    """The blobs of a bright mask; basins shallower than `least_depth_mm` are joined to their neighbour."""
    depth = np.zeros(values.shape, np.float32, order="F")
    numbers = np.zeros(values.shape, np.int32, order="F")
    box = bounding_box(bright, spacing_mm, 2 * max(spacing_mm))
    if box is not None:
        depth[box] = depth_of(bright[box], spacing_mm)
        numbers[box] = _basins(depth[box], bright[box], spacing_mm, least_depth_mm)
    local_std = local_deviation(values, spacing_mm)
    order = _Sorted(numbers, bright)
    median = np.nan_to_num(order.quantile(values, 0.5))
    return Blobs(
        numbers=numbers,
        depth_mm=depth,
        volume_ml=order.counts() * float(np.prod(spacing_mm)) / 1000.0,
        radius_mm=np.nan_to_num(order.quantile(depth, 1.0)),
        median=median,
        peak=np.nan_to_num(order.quantile(values, 0.9)),
        texture=np.nan_to_num(order.quantile(local_std, 0.25)),
        core_minus_rim=_core_minus_rim(values, depth, order, float(np.cbrt(np.prod(spacing_mm)))),
        contacts=_contacts(numbers, values, depth, median, spacing_mm),
    )


def local_deviation(values: Float32Array, spacing_mm: Spacing) -> Float32Array:
    """Standard deviation over 3×3×3 voxels; over 3×3 where slices are twice as thick as pixels are wide, or more."""
    from scipy import ndimage

    size = [3 if spacing < 2.0 * min(spacing_mm) else 1 for spacing in spacing_mm]
    mean = ndimage.uniform_filter(values, size)
    square = ndimage.uniform_filter(values * values, size)
    deviation: Float32Array = np.sqrt(np.maximum(square - mean * mean, 0))
    return deviation


def _basins(depth: Float32Array, bright: Mask, spacing_mm: Spacing, least_depth_mm: float) -> Numbers:
    import SimpleITK

    flood = SimpleITK.MorphologicalWatershed(
        to_image(-depth, spacing_mm), level=least_depth_mm, markWatershedLine=False, fullyConnected=False
    )
    basins = from_image(flood).astype(np.int64)
    basins[~bright] = 0
    used = np.zeros(int(basins.max()) + 1, np.int32)
    used[np.unique(basins)] = 1
    used[0] = 0
    compact: Numbers = np.asfortranarray(np.where(used > 0, np.cumsum(used), 0).astype(np.int32)[basins])
    return compact


class _Sorted:
    """Quantiles per blob; NaN where a blob has no voxel to take them from."""

    def __init__(self, numbers: Numbers, bright: Mask) -> None:
        self.bright = bright
        self.blob = numbers[bright]
        self.size = int(numbers.max()) + 1

    def counts(self) -> Floats:
        counted = np.bincount(self.blob, minlength=self.size).astype(np.float64)
        counted[0] = 0
        return counted

    def quantile(self, values: Float32Array, level: float, among: npt.NDArray[np.bool_] | None = None) -> Floats:
        blob, value = self.blob, values[self.bright]
        if among is not None:
            blob, value = blob[among], value[among]
        order = np.lexsort((value, blob))
        starts = np.searchsorted(blob[order], np.arange(self.size + 1))
        count = np.diff(starts)
        at = starts[:-1] + np.minimum((count * level).astype(np.int64), np.maximum(count - 1, 0))
        found = np.full(self.size, np.nan)
        found[count > 0] = value[order][at[count > 0]]
        return found


def _core_minus_rim(values: Float32Array, depth: Float32Array, order: _Sorted, voxel_mm: float) -> Floats:
    """NaN-free: 0 where a blob is too thin to have a core."""
    own_depth = depth[order.bright]
    radius = order.quantile(depth, 1.0)[order.blob]
    core = order.quantile(values, 0.5, own_depth >= np.maximum(0.6 * radius, 2.0 * voxel_mm))
    rim = order.quantile(values, 0.5, (own_depth > 0.9 * voxel_mm) & (own_depth < 2.1 * voxel_mm))
    return np.nan_to_num(core - rim, nan=0.0)


def _contacts(
    numbers: Numbers, values: Float32Array, depth: Float32Array, median: Floats, spacing: Spacing
) -> Contacts:
    size = int(numbers.max()) + 1
    keys, bright, necks, areas = [], [], [], []
    for axis in range(3):
        near, far = _face_neighbours(axis)
        a, b = numbers[near], numbers[far]
        meet = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a[meet], b[meet]), np.maximum(a[meet], b[meet])
        keys.append(low.astype(np.int64) * size + high)
        bright.append(np.minimum(values[near][meet], values[far][meet]))
        necks.append(np.minimum(depth[near][meet], depth[far][meet]))
        areas.append(np.full(len(low), np.prod(spacing) / spacing[axis]))
    key, value = np.concatenate(keys), np.concatenate(bright)
    order = np.lexsort((value, key))
    pairs, starts, counts = np.unique(key[order], return_index=True, return_counts=True)
    first, second = pairs // size, pairs % size
    darker = np.minimum(median[first], median[second])
    return Contacts(
        first=first,
        second=second,
        area_mm2=np.add.reduceat(np.concatenate(areas)[order], starts) if len(starts) else np.zeros(0),
        brightness=value[order][starts + (counts * 3) // 4] / np.maximum(darker, 1.0),
        neck_mm=np.maximum.reduceat(np.concatenate(necks)[order], starts) if len(starts) else np.zeros(0),
    )


def _face_neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    near, far = [slice(None)] * 3, [slice(None)] * 3
    near[axis], far[axis] = slice(None, -1), slice(1, None)
    return tuple(near), tuple(far)
