"""Label maps to mesh: one drawn by rule, or a real one on a finer grid. Index order (i, j, k)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Labels, Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid

Array = npt.NDArray[Any]

SPACING_MM = (0.8, 0.8, 1.0)
ORIGIN_MM = (-45.0, -160.0, -1105.0)
"""Scanners count from their table: bodies lie far from 0."""

VESSEL_RADII_MM = (4.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0)


def drawn_labels(shape: tuple[int, int, int] = (112, 104, 96), organs: int = 24, seed: int = 3) -> Segmentation:
    """A trunk filled with `organs` touching blobs of curved walls, and eight vessels of radius 1 to 4 mm through them.

    Deterministic. Touching neighbours, thin tubes and structures cut by the border are what label maps of patients
    have and single spheres have not.
    """
    rng = np.random.default_rng(seed)
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = ORIGIN_MM
    size = np.array(shape) * SPACING_MM
    x, y, z = (
        (np.arange(n, dtype=np.float32) * step).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, step) in enumerate(zip(shape, SPACING_MM, strict=True))
    )
    layer = _blobs(x, y, z, size, organs, rng)
    for number, radius_mm in enumerate(VESSEL_RADII_MM, start=1):
        start, end = rng.uniform(0.15, 0.85, (2, 3)) * size
        start[number % 3], end[number % 3] = 0.1 * size[number % 3], 0.9 * size[number % 3]
        layer[_is_in_tube(x, y, z, start, end, radius_mm)] = organs + number
    return _segmentation(layer.astype(np.uint8, order="F"), Grid(shape, matrix), "drawn by rule")


def _blobs(x: Array, y: Array, z: Array, size: Array, organs: int, rng: np.random.Generator) -> Labels:
    """The nearest centre's number inside an elliptic trunk, some of it left empty between the organs."""
    # Bent space makes bent walls; 8 mm over 45 mm is about what livers and stomachs do to each other.
    u = x + 8 * np.sin(y / 22) + 3 * np.sin(z / 9)
    v = y + 8 * np.sin(z / 25) + 3 * np.sin(x / 11)
    w = z + 8 * np.sin(x / 28) + 3 * np.sin(y / 10)
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    nearest = np.full(shape, np.inf, np.float32)
    layer = np.zeros(shape, np.uint8)
    reach = 0.75 * float(np.cbrt(size.prod() / organs))
    for number in range(1, organs + 1):
        a, b, c = rng.uniform(0.1, 0.9, 3) * size
        weight = rng.uniform(0.6, 1.4)
        distance = np.square(u - a) + np.square(v - b) + np.square(w - c)
        distance *= weight
        closer = (distance < nearest) & (distance < reach**2)
        layer[closer] = number
        np.minimum(nearest, distance, out=nearest)
    middle = size / 2
    trunk = np.square((x - middle[0]) / (0.48 * size[0])) + np.square((y - middle[1]) / (0.47 * size[1]))
    layer[np.broadcast_to(trunk > 1, shape)] = 0
    return layer


def _is_in_tube(x: Array, y: Array, z: Array, start: Array, end: Array, radius_mm: float) -> npt.NDArray[np.bool_]:
    along = end - start
    t = ((x - start[0]) * along[0] + (y - start[1]) * along[1] + (z - start[2]) * along[2]) / (along @ along)
    t = np.clip(t, 0, 1)
    square = sum(np.square(axis - start[n] - t * along[n]) for n, axis in enumerate((x, y, z)))
    inside: npt.NDArray[np.bool_] = square <= radius_mm**2
    return inside


def real_labels(path: Path, finer: int = 2) -> Segmentation:
    """A label map from a NIfTI file, its voxels cut `finer` times along each axis.

    Each label is interpolated linearly in its own box and the strongest one wins, so that the finer map has no blocks
    of the coarse one.
    """
    import nibabel
    from scipy.ndimage import find_objects, zoom

    image = nibabel.load(path)
    coarse = np.asarray(image.dataobj).astype(np.uint8)
    # NIfTI counts in RAS: left and posterior are negative there.
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine)
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


def _segmentation(layer: Labels, grid: Grid, source: str) -> Segmentation:
    labels = np.flatnonzero(np.bincount(layer.ravel(order="K")))[1:]
    segments = tuple(
        Segment(f"label_{label}", int(label), 0, Structure(f"label_{label}", f"Label {label}", f"标签{label}"))
        for label in labels
    )
    return Segmentation((layer,), grid, segments, source)
