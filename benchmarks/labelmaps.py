"""Label maps to mesh: one drawn by rule, or a real one on a finer grid. Index order (i, j, k)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Labels, Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid

Array = npt.NDArray[Any]

SPACING_MM = (0.7, 0.7, 1.0)
"""An abdominal CT of today."""
ORIGIN_MM = (-45.0, -160.0, -1105.0)
"""Scanners count from their table: bodies lie far from 0."""

VESSEL_RADII_MM = (4.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0)

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""LPS to RAS, in which NIfTI counts, and back."""

_BEND_MM = 8.0 + 3.0
"""The most that bent space moves a point along an axis: two waves, see `_bent`."""


_SLAB = 4
"""Slices at a time, so that what a step writes is still in the cache for the next."""


@dataclass(frozen=True, eq=False)
class Tube:
    """A vessel: all points within `radius_mm` of a line of (N, 3) points, in mm from the middle of the first voxel."""

    line_mm: Array
    radius_mm: float


@dataclass(frozen=True, eq=False)
class Body:
    """A drawn label map, and the exact shape of its vessels by key.

    Where two vessels meet, the later one's voxels win.
    """

    segmentation: Segmentation
    tubes: Mapping[str, Tube]


def drawn_labels(shape: tuple[int, int, int] = (112, 104, 96), organs: int = 24) -> Segmentation:
    """The label map of `drawn_body` with its usual eight vessels."""
    return drawn_body(shape, organs).segmentation


def drawn_body(
    shape: tuple[int, int, int], organs: int, *, radii_mm: Sequence[float] = VESSEL_RADII_MM, seed: int = 3
) -> Body:
    """A trunk filled with `organs` touching blobs of curved walls, and a vessel of each radius through them.

    Deterministic. Touching neighbours, thin tubes, every other one of them curved, and structures cut by the border are
    what label maps of patients have and single spheres have not. Each is drawn in its own box only.
    """
    rng = np.random.default_rng(seed)
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = ORIGIN_MM
    layer = _blobs(shape, organs, rng)
    tubes = {}
    for number, radius_mm in enumerate(radii_mm, start=1):
        tube = _tube(np.array(shape) * SPACING_MM, number, radius_mm, rng)
        _draw(layer, tube, organs + number)
        tubes[f"label_{organs + number}"] = tube
    layer = np.asarray(layer, np.uint8, order="F")
    return Body(_segmentation(layer, Grid(shape, matrix), "drawn by rule"), tubes)


def _tube(size: Array, number: int, radius_mm: float, rng: np.random.Generator) -> Tube:
    """Right through the trunk along axis `number` mod 3, more or less; those of even number bend."""
    start, end = rng.uniform(0.15, 0.85, (2, 3)) * size
    start[number % 3], end[number % 3] = 0.1 * size[number % 3], 0.9 * size[number % 3]
    bulge = rng.normal(size=3) * 0.1 * size * (number % 2 == 0)
    return Tube(arc(start, end, bulge), radius_mm)


def _blobs(shape: tuple[int, int, int], organs: int, rng: np.random.Generator) -> Labels:
    """The nearest centre's number inside an elliptic trunk, some of it left empty between the organs."""
    size = np.array(shape) * SPACING_MM
    nearest = np.full(shape, np.inf, np.float32)
    layer = np.zeros(shape, np.uint8)
    reach = 0.75 * float(np.cbrt(size.prod() / organs))
    for number in range(1, organs + 1):
        centre = rng.uniform(0.1, 0.9, 3) * size
        weight = rng.uniform(0.6, 1.4)
        i, j, k = _box(shape, centre, centre, reach / math.sqrt(weight) + _BEND_MM)
        for low in range(i.start, i.stop, _SLAB):
            box = slice(low, min(low + _SLAB, i.stop)), j, k
            u, v, w = (axis - np.float32(c) for axis, c in zip(_bent(*_axes(box)), centre, strict=True))
            distance = (np.square(u) + np.square(v) + np.square(w)) * np.float32(weight)
            closer = (distance < nearest[box]) & (distance < reach**2)
            np.copyto(layer[box], np.uint8(number), where=closer)
            np.copyto(nearest[box], distance, where=closer)
    x, y, _ = _axes(_box(shape, size / 2, size / 2, float(size.max())))
    trunk = np.square((x / size[0] - 0.5) / 0.48) + np.square((y / size[1] - 0.5) / 0.47)
    layer[np.broadcast_to(trunk > 1, shape)] = 0
    return layer


def _bent(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Bent space makes bent walls; 8 mm over 45 mm is about what livers and stomachs do to each other."""
    return (
        x + (8 * np.sin(y / 22) + 3 * np.sin(z / 9)),
        y + (8 * np.sin(z / 25) + 3 * np.sin(x / 11)),
        z + (8 * np.sin(x / 28) + 3 * np.sin(y / 10)),
    )


def arc(start: Array, end: Array, bulge: Array, pieces: int = 32) -> Array:
    """(pieces + 1, 3) points from start to end, in the middle off the chord by `bulge` mm."""
    t = np.linspace(0, 1, pieces + 1)[:, None]
    points: Array = start + t * (end - start) + 4 * t * (1 - t) * bulge
    return points


def _draw(layer: Labels, tube: Tube, label: int) -> None:
    for start, end in itertools.pairwise(tube.line_mm.astype(np.float32)):
        box = _box(layer.shape, start, end, tube.radius_mm)
        away = [axis - first for axis, first in zip(_axes(box), start, strict=True)]
        along = end - start
        t = np.clip(sum(a * b for a, b in zip(away, along, strict=True)) / (along @ along), 0, 1)
        square = sum(np.square(a - t * b) for a, b in zip(away, along, strict=True))
        layer[box][square <= tube.radius_mm**2] = label


def _box(shape: Sequence[int], one: Array, other: Array, reach_mm: float) -> tuple[slice, slice, slice]:
    """The voxels whose centres may lie within `reach_mm` of a stretch from one point to another."""
    low = np.floor((np.minimum(one, other) - reach_mm) / SPACING_MM).astype(int).clip(0)
    high = np.ceil((np.maximum(one, other) + reach_mm) / SPACING_MM).astype(int) + 1
    i, j, k = (slice(int(a), min(int(b), n)) for a, b, n in zip(low, high, shape, strict=True))
    return i, j, k


def _axes(box: tuple[slice, slice, slice]) -> tuple[Array, Array, Array]:
    """Millimetres of the box's voxels along each axis, ready to be broadcast."""
    x, y, z = (
        (np.arange(part.start, part.stop, dtype=np.float32) * np.float32(step)).reshape(
            [-1 if other == axis else 1 for other in range(3)]
        )
        for axis, (part, step) in enumerate(zip(box, SPACING_MM, strict=True))
    )
    return x, y, z


def real_labels(path: Path, finer: int = 2) -> Segmentation:
    """A label map from a NIfTI file, its voxels cut `finer` times along each axis.

    Each label is interpolated linearly in its own box and the strongest one wins, so that the finer map has no blocks
    of the coarse one.
    """
    import nibabel
    from scipy.ndimage import find_objects, zoom

    image = nibabel.load(path)
    coarse = np.asarray(image.dataobj).astype(np.uint8)
    matrix = _FLIP @ np.asarray(image.affine)
    fine = np.diag([1 / finer] * 3 + [1.0])
    fine[:3, 3] = (1 / finer - 1) / 2
    shape = tuple(n * finer for n in coarse.shape)
    layer = np.zeros(shape, np.uint8, order="F")
    strongest = np.full(shape, 0.5, np.float32, order="F")
    for label, box in enumerate(find_objects(coarse), start=1):
        if box is None:
            continue
        grown = tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, coarse.shape, strict=True))
        share = zoom((coarse[grown] == label).astype(np.float32), finer, order=1, grid_mode=True, mode="nearest")
        there = tuple(slice(s.start * finer, s.stop * finer) for s in grown)
        wins = share >= strongest[there]
        layer[there][wins] = label
        strongest[there][wins] = share[wins]
    return _segmentation(layer, Grid((shape[0], shape[1], shape[2]), matrix @ fine), path.name)


def drawn_scan(body: Body, seed: int = 5) -> npt.NDArray[np.int16]:
    """Hounsfield units of a CT of that body: every fourth organ as dense as bone, vessels with contrast, noise.

    The edges are as blurred as a scanner's (0.7 voxels).
    """
    from scipy.ndimage import gaussian_filter

    layer = body.segmentation.layers[0]
    values = np.full(256, 50.0, np.float32)
    values[0] = -100.0
    values[4::4] = 600.0
    for segment in body.segmentation.segments:
        if segment.key in body.tubes:
            values[segment.label] = 350.0
    grey = gaussian_filter(values[layer], 0.7, truncate=3.0)
    grey += 15 * np.random.default_rng(seed).standard_normal(grey.shape[::-1], np.float32).T
    return np.asfortranarray(np.rint(grey).astype(np.int16))


def finer_scan(path: Path, shape: tuple[int, int, int]) -> tuple[npt.NDArray[np.int16], Grid]:
    """The scan of a NIfTI file, interpolated linearly to about that many voxels, and its grid."""
    import nibabel
    from scipy.ndimage import zoom

    image = nibabel.load(path)
    coarse = np.asarray(image.dataobj, dtype=np.float32)
    factors = np.array(shape) / coarse.shape
    fine = np.asfortranarray(np.rint(zoom(coarse, factors, order=1, grid_mode=True, mode="nearest")).astype(np.int16))
    step = np.diag([*(1 / factors), 1.0])
    step[:3, 3] = (1 / factors - 1) / 2
    return fine, Grid((fine.shape[0], fine.shape[1], fine.shape[2]), _FLIP @ np.asarray(image.affine) @ step)


def save_nifti(path: Path, voxels: Array, grid: Grid) -> Path:
    """The file, written; packed when it ends in .gz."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(voxels, _FLIP @ grid.voxel_to_patient), path)
    return path


def _segmentation(layer: Labels, grid: Grid, source: str) -> Segmentation:
    labels = np.flatnonzero(np.bincount(layer.ravel(order="K")))[1:]
    segments = tuple(
        Segment(f"label_{label}", int(label), 0, Structure(f"label_{label}", f"Label {label}", f"标签{label}"))
        for label in labels
    )
    return Segmentation((layer,), grid, segments, source)
