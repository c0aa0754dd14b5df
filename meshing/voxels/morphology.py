"""Shapes of masks in millimetres: dilation, erosion, opening, closing, components and holes, in bounding boxes.

Masks are bool, shape (X, Y, Z), with the spacing beside them; a ball is a ball however long the voxels are. What lies
beyond the edge of the array counts as more of the same, so a body that is cut by the edge is not eroded there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.voxels.upright import Box, Float32Array, Mask, Spacing

Components = npt.NDArray[np.uint32]


def bounding_box(mask: Mask, spacing_mm: Spacing = (1.0, 1.0, 1.0), margin_mm: float = 0.0) -> Box | None:
    """The smallest box that holds the mask and a margin round it, or None where the mask is empty."""
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(mask.any(axis=others))
        if len(used) == 0:
            return None
        margin = int(np.ceil(margin_mm / spacing_mm[axis]))
        slices.append(slice(max(0, int(used[0]) - margin), min(mask.shape[axis], int(used[-1]) + 1 + margin)))
    return slices[0], slices[1], slices[2]


def to_image(array: npt.NDArray[Any], spacing_mm: Spacing) -> Any:
    """The array as a SimpleITK image; bool becomes uint8. x stays x."""
    import SimpleITK

    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    image = SimpleITK.GetImageFromArray(np.asfortranarray(array).T)
    image.SetSpacing([float(s) for s in spacing_mm])
    return image


def from_image(image: Any) -> npt.NDArray[Any]:
    """The voxels of a SimpleITK image, x first."""
    import SimpleITK

    array: npt.NDArray[Any] = SimpleITK.GetArrayFromImage(image).T
    return array


def distance_from(mask: Mask, spacing_mm: Spacing) -> Float32Array:
    """Distance in mm of every voxel centre from the nearest voxel of the mask; 0 in it, infinite for an empty mask."""
    import SimpleITK

    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32, order="F")
    signed = SimpleITK.SignedMaurerDistanceMap(
        to_image(mask, spacing_mm), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    distance: Float32Array = np.maximum(from_image(signed), 0)
    return distance


def depth_of(mask: Mask, spacing_mm: Spacing) -> Float32Array:
    """Distance in mm of every voxel of the mask from the nearest voxel that is not in it; 0 outside it."""
    return distance_from(~mask, spacing_mm)


def dilated(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """The mask grown by a ball."""
    box = bounding_box(mask, spacing_mm, radius_mm + max(spacing_mm))
    if box is None or radius_mm <= 0:
        return mask.copy(order="F")
    grown = np.zeros(mask.shape, np.bool_, order="F")
    grown[box] = distance_from(mask[box], spacing_mm) <= radius_mm
    return grown


def eroded(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """The mask shrunk by a ball; not shrunk from the edge of the array."""
    box = bounding_box(mask, spacing_mm, max(spacing_mm))
    if box is None or radius_mm <= 0:
        return mask.copy(order="F")
    shrunk = np.zeros(mask.shape, np.bool_, order="F")
    shrunk[box] = depth_of(mask[box], spacing_mm) > radius_mm
    return shrunk


def opened(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """The parts of the mask that a ball can reach."""
    return dilated(eroded(mask, spacing_mm, radius_mm), spacing_mm, radius_mm) & mask


def closed(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """The mask with the gaps that a ball cannot enter; nothing is added towards the edge of the array."""
    full = mask.copy(order="F")
    box = bounding_box(mask, spacing_mm, radius_mm)
    if box is None:
        return full
    room = [int(np.ceil(radius_mm / s)) + 1 for s in spacing_mm]
    padded = np.pad(mask[box], [(n, n) for n in room])
    shut = eroded(dilated(padded, spacing_mm, radius_mm), spacing_mm, radius_mm)
    full[box] |= shut[tuple(slice(n, -n) for n in room)]
    return full


def components(mask: Mask, *, diagonal: bool = False) -> tuple[Components, npt.NDArray[np.int64]]:
    """Numbered connected parts, largest first, and their voxel counts (entry 0 counts the rest).

    Parts of equal size are numbered in the order in which they appear along x, then y, then z.
    """
    import SimpleITK

    box = bounding_box(mask)
    labels = np.zeros(mask.shape, np.uint32, order="F")
    if box is None:
        return labels, np.array([mask.size], np.int64)
    found = SimpleITK.ConnectedComponent(to_image(mask[box], (1.0, 1.0, 1.0)), diagonal)
    labels[box] = from_image(SimpleITK.RelabelComponent(found, minimumObjectSize=0, sortByObjectSize=True))
    counts = np.bincount(labels[box].ravel(order="K")).astype(np.int64)
    counts[0] += mask.size - labels[box].size
    return labels, counts


def largest(mask: Mask) -> Mask:
    """The largest connected part."""
    labels, _ = components(mask)
    part: Mask = labels == 1
    return part


def without_small(mask: Mask, least_voxels: float) -> Mask:
    """The mask without parts of fewer voxels than that."""
    return parts_that(mask, lambda labels, counts, box: counts >= least_voxels)


def touching(mask: Mask, seeds: Mask) -> Mask:
    """The connected parts of `mask` that hold a voxel of `seeds`."""

    def hold_a_seed(labels: Components, counts: npt.NDArray[np.int64], box: Box) -> npt.NDArray[np.bool_]:
        held = np.zeros(len(counts), np.bool_)
        held[labels.ravel(order="F")[seeds[box].ravel(order="F")]] = True
        return held

    return parts_that(mask, hold_a_seed)


PartTest = Callable[[Components, npt.NDArray[np.int64], Box], npt.NDArray[np.bool_]]


def parts_that(mask: Mask, test: PartTest) -> Mask:
    """The connected parts that pass a test.

    Parameters
    ----------
    test
        Gets the part numbers in a box, voxel counts by number, and the box; says by number whether to keep a part.
    """
    import SimpleITK

    kept = np.zeros(mask.shape, np.bool_, order="F")
    box = bounding_box(mask)
    if box is None:
        return kept
    labels = from_image(SimpleITK.ConnectedComponent(to_image(mask[box], (1.0, 1.0, 1.0))))
    flat = labels.ravel(order="F")  # flat, because looking up along memory is several times faster
    keep = test(labels, np.bincount(flat), box)
    keep[0] = False
    kept[box] = keep[flat].reshape(labels.shape, order="F")
    return kept


def filled_in_slices(mask: Mask, axis: int, most_mm2: float = np.inf, *, spacing_mm: Spacing = (1, 1, 1)) -> Mask:
    """The mask with the holes of its slices across `axis` filled, up to an area."""
    from scipy import ndimage

    full = mask.copy(order="F")
    box = bounding_box(mask)
    if box is None:
        return full
    pixel_mm2 = float(np.prod(spacing_mm)) / spacing_mm[axis]
    view = np.moveaxis(full[box], axis, 0)
    for plane in view:
        holes = ndimage.binary_fill_holes(plane) & ~plane
        if most_mm2 < np.inf and holes.any():
            numbers, _ = ndimage.label(holes)
            small = np.bincount(numbers.ravel()) * pixel_mm2 <= most_mm2
            small[0] = False
            holes = small[numbers]
        plane |= holes
    return full


def nearest_of(markers: npt.NDArray[np.int32], inside: Mask, cost: Float32Array) -> npt.NDArray[np.int32]:
    """Every voxel of `inside` given to the marker that floods it first, from low `cost` to high (watershed)."""
    from skimage.segmentation import watershed

    # Of markers that do not run along the last axis first, skimage 0.26 gives back the markers alone.
    flooded: npt.NDArray[np.int32] = watershed(cost, markers=np.ascontiguousarray(markers), mask=inside)
    return flooded
