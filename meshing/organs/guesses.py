"""Guesses at an organ: what a ball reaches from the click within a band of values.

In: a `Ground`, the cube of the click, a `Prior`. Out: `Guess`es, each a mask in a box with what tells good from bad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.organs.ground import Ground, Index
from meshing.organs.priors import Prior
from meshing.progress import Progress, silent
from meshing.voxels.morphology import bounding_box, depth_of, distance_from, from_image, to_image
from meshing.voxels.upright import Box, Float32Array, Mask

_BAND_HU = 8.0  # width of the kernel that finds the most frequent value
_FAT_HU = -100.0
_BONE_SIDE_HU = 25.0  # above the typical value: half way to spongy bone


@dataclass(frozen=True, eq=False)
class Guess:
    """A mask that could be the organ.

    Parameters
    ----------
    mask
        bool, of the shape of `box`.
    box
        Where it lies in the ground.
    value_hu, tolerance_hu, neck_mm
        The band of values, and the radius of the ball that passed.
    volume_ml
        Of the mask.
    beyond_hu
        float32 (N,): how far the values two cubes outside the border lie from the typical one.
    raggedness
        Its area over that of a ball of the same volume; 1 for a ball.
    """

    mask: Mask
    box: Box
    value_hu: float
    tolerance_hu: float
    neck_mm: float
    volume_ml: float
    beyond_hu: Float32Array
    raggedness: float


def typical_value(ground: Ground, cube: Index, prior: Prior, within_hu: tuple[float, float]) -> float | None:
    """The most frequent value about a cube, near ones first; None where too few lie within a range."""
    places, distance = _about(ground, cube, prior.look_mm)
    values = ground.values[tuple(places.T)]
    fits = (values >= within_hu[0]) & (values <= within_hu[1])
    if fits.sum() < 3:
        return None
    weights = np.exp(-0.5 * (distance[fits] / (prior.look_mm / 2)) ** 2)
    return most_frequent(values[fits], weights)


def most_frequent(values: Float32Array, weights: npt.NDArray[np.float64] | None = None) -> float:
    """Where the values, blurred by a kernel, lie most densely, to 1 HU."""
    lowest = int(np.floor(values.min()))
    counts = np.bincount(np.rint(values).astype(np.int64) - lowest, weights=weights)
    step = np.arange(-3 * int(_BAND_HU), 3 * int(_BAND_HU) + 1)
    density = np.convolve(counts, np.exp(-0.5 * (step / _BAND_HU) ** 2))[len(step) // 2 :][: len(counts)]
    return float(int(density.argmax()) + lowest)


def guesses(
    ground: Ground,
    cube: Index,
    prior: Prior,
    *,
    value_hu: float,
    barred: Mask | None = None,
    progress: Progress = silent,
) -> list[Guess]:
    """Every guess from a click that is no larger than such organs are.

    Parameters
    ----------
    value_hu
        Middle of the bands.
    barred
        bool, shape of the ground: cubes that do not belong to it, whatever they read.
    """
    found: list[Guess] = []
    for step, tolerance in enumerate(prior.tolerances_hu):
        # Enhanced organs are less even than plain ones: the bands widen with what contrast adds.
        wide = tolerance * max(1.0, (value_hu - 20.0) / 60.0)
        band = np.abs(ground.values - np.float32(value_hu)) < wide
        if barred is not None:
            band &= ~barred
        depth = depth_of(band, ground.spacings)
        for turn, neck in enumerate(prior.necks_mm):
            share = (step + turn / len(prior.necks_mm)) / len(prior.tolerances_hu)
            progress(share, "growing")
            guess = _guess(ground, depth, cube, prior, (value_hu, wide, neck), barred)
            if guess is not None:
                found.append(guess)
    return found


def _guess(
    ground: Ground,
    depth: Float32Array,
    cube: Index,
    prior: Prior,
    how: tuple[float, float, float],
    barred: Mask | None,
) -> Guess | None:
    """What a ball reaches from the click; None where it cannot stand there, or reaches too much."""
    value, tolerance, neck = how
    core = _core(ground, depth, cube, neck, prior.snap_mm)
    if core is None:
        return None
    box = bounding_box(core, ground.spacings, neck + 4.0 * ground.spacing_mm)
    if box is None or core.sum() * ground.cube_ml > prior.most_ml:
        return None
    distance = distance_from(core[box], ground.spacings) - neck
    values = ground.values[box]
    mask = (distance <= 0.85 * ground.spacing_mm) & _is_tissue(values, distance / ground.spacing_mm, how, prior)
    if barred is not None:
        mask &= ~barred[box]
    volume = float(mask.sum()) * ground.cube_ml
    if volume == 0.0 or volume > prior.most_ml:
        return None
    return Guess(
        mask, box, value, tolerance, neck, volume, _beyond(mask, values, value), _raggedness(mask, ground.spacing_mm)
    )


def _core(ground: Ground, depth: Float32Array, cube: Index, neck_mm: float, snap_mm: float) -> Mask | None:
    """Where the centre of the ball may be."""
    import SimpleITK

    places, distance = _about(ground, cube, snap_mm)
    start = places[int((depth[tuple(places.T)] - 0.3 * distance).argmax())]
    if depth[tuple(start)] <= 0:
        return None
    deepest = climbed(depth, start)
    if depth[tuple(deepest)] <= neck_mm:
        return None
    parts = from_image(SimpleITK.ConnectedComponent(to_image(depth > neck_mm, ground.spacings)))
    core: Mask = parts == (parts[tuple(start)] or parts[tuple(deepest)])
    return core


def climbed(depth: Float32Array, start: Index) -> Index:
    """The middle of the blob that a cube lies in: uphill by its 26 neighbours."""
    steps = np.argwhere(np.ones((3, 3, 3))) - 1
    while True:
        around = start + steps
        around = around[((around >= 0) & (around < depth.shape)).all(axis=1)]
        best = around[int(depth[tuple(around.T)].argmax())]
        if depth[tuple(best)] <= depth[tuple(start)]:
            return start
        start = best


def _is_tissue(values: Float32Array, cubes_out: Float32Array, how: tuple[float, float, float], prior: Prior) -> Mask:
    """Up to half way to what lies around: fat and bone; for a lesion, whatever is two to four cubes outside."""
    value, tolerance, _ = how
    if prior.edge_hu > 0:
        tissue: Mask = (values > (value + _FAT_HU) / 2) & (values < value + max(tolerance, _BONE_SIDE_HU))
        return tissue
    around = values[(cubes_out > 2.0) & (cubes_out < 4.0)]
    step = float(np.median(around)) - value if around.size else 0.0
    away = np.sign(step) * (values - np.float32(value))
    half = 0.5 * abs(step)
    if half == 0.0:
        even: Mask = np.abs(values - np.float32(value)) < tolerance
        return even
    near: Mask = (away < half) & (away > -max(half, tolerance))
    return near


def _beyond(mask: Mask, values: Float32Array, value: float) -> Float32Array:
    """Two cubes out, where the blur of the border has ended."""
    from scipy import ndimage

    first = ndimage.binary_dilation(mask)
    second: Mask = ndimage.binary_dilation(first) & ~first
    beyond: Float32Array = np.abs(values[second] - np.float32(value))
    return beyond


def _raggedness(mask: Mask, spacing_mm: float) -> float:
    faces = sum(int(np.count_nonzero(np.diff(mask.view(np.int8), axis=axis))) for axis in range(3))
    # A digital ball has 1.5 times the faces that its surface measures.
    area = faces * spacing_mm**2 / 1.5
    volume = float(mask.sum()) * spacing_mm**3
    return float(area / np.cbrt(36.0 * np.pi * volume**2))


def _about(ground: Ground, cube: Index, reach_mm: float) -> tuple[Index, npt.NDArray[np.float64]]:
    """The cubes within a distance, (N, 3), and how far each is."""
    span = int(reach_mm / ground.spacing_mm)
    steps = np.stack(np.meshgrid(*[np.arange(-span, span + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(steps, axis=1) * ground.spacing_mm
    places = cube + steps
    kept = (distance <= reach_mm) & ((places >= 0) & (places < ground.values.shape)).all(axis=1)
    return places[kept], distance[kept]
