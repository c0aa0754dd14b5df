"""A wall in an image: what `edges` looks at and moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets import rays
from meshing.nets.lattice import CURVE, Net
from meshing.nets.quads import NetPoints, Quads, QuadSides
from meshing.threads import over_rows
from meshing.volume import Voxels

Floats = npt.NDArray[np.float32]

TENT = 0.25
"""Variance, in voxels², of a voxel's own box (1/12) and of linear interpolation between voxels (1/6)."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The image and the labels that a wall stands in.

    Parameters
    ----------
    image
        Flat, read-only, in the order of memory.
    shape, strides
        (3,) int64: along i, j, k.
    voxels
        Labels, flat, x fastest.
    lattice
        (6,) int64: shape of the labels, and the image's index of their first voxel.
    spacing
        (3,) float32, mm.
    noise
        Standard deviation of the image's noise.
    """

    image: Voxels
    shape: npt.NDArray[np.int64]
    strides: npt.NDArray[np.int64]
    voxels: npt.NDArray[Any]
    lattice: npt.NDArray[np.int64]
    spacing: Floats
    noise: float


@dataclass(frozen=True, eq=False)
class Wall:
    """The part of a net that can be moved.

    Parameters
    ----------
    points
        (V, 3) float32, mm along the image's axes from the centre of its first voxel.
    quads
        (Q, 4) int32, counter-clockwise as seen from the second side.
    labels
        (V, 2) int32: behind and before; both −1 at vertices that stay.
    neighbours
        (V, 6) int32: those that may move too; −1 where there is none.
    free
        (V,) float32: 0 beside vertices that stay, 1 some way off.
    """

    points: Floats
    quads: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    neighbours: npt.NDArray[np.int32]
    free: Floats


def scene_of(
    image: Voxels, voxels: npt.NDArray[Any], shape: tuple[int, int, int], first: tuple[int, int, int], spacing: Any
) -> Scene:
    """The image around labels whose first voxel lies at index `first` of it."""
    kept = image if image.dtype in (np.int16, np.float32) else image.astype(np.float32)
    if not (kept.flags.c_contiguous or kept.flags.f_contiguous):
        kept = np.ascontiguousarray(kept)
    flat = kept.reshape(-1, order="A")
    # Images come read-only and compiled code takes that for another type: so all are.
    flat.setflags(write=False)
    lattice = np.array([*shape, *first], np.int64)
    strides = np.array(kept.strides, np.int64) // kept.itemsize
    noise = noise_of(kept)
    return Scene(flat, np.array(kept.shape, np.int64), strides, voxels, lattice, np.asarray(spacing, np.float32), noise)


def noise_of(image: Voxels) -> float:
    """Standard deviation of the noise, from differences between slices: those of most voxels are noise alone.

    Equal neighbours are left out: air that the scanner clipped has no noise, and would hide that of the body.
    """
    stride = max(1, int((image.size / 2_000_000) ** 0.5))
    if image.shape[2] < 3:
        return 0.0
    part = image[::stride, ::stride].astype(np.float32)
    # The second difference, so that a slope is no noise: its variance is 6 times the noise's.
    rough = np.abs(part[..., 2:] - 2 * part[..., 1:-1] + part[..., :-2])
    rough = rough[np.isfinite(rough) & (rough > 0)]
    return float(np.median(rough) / 0.6745 / np.sqrt(6.0)) if rough.size else 0.0


def wall_of(
    net: Net, points: NetPoints, pieces: tuple[Quads, QuadSides], scene: Scene, labels: tuple[int, ...] | None = None
) -> tuple[Wall, npt.NDArray[np.int64]]:
    """The walls of some labels (or of all), and which vertices of the net those are."""
    quads, sides = pieces
    if labels is not None:
        wanted = np.zeros(int(sides.max(initial=0)) + 1, bool)
        wanted[[label for label in labels if 0 < label < len(wanted)]] = True
        on = wanted[sides].any(axis=1)
        quads, sides = quads[on], sides[on]
    used = np.zeros(len(points), bool)
    used[quads] = True
    chosen = np.flatnonzero(used)
    place = np.full(len(points), -1, np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    pairs = np.full((len(points), 2), -1, np.int32)
    for corner in range(4):
        pairs[quads[:, corner]] = sides
    pairs[net.mask == CURVE] = -1
    movable = np.where(pairs[:, 0] >= 0, place, -1)
    neighbours = np.full((len(chosen), 6), -1, np.int32)
    free = np.where(movable[chosen] >= 0, np.float32(1), np.float32(0))
    for way in range(6):
        there = (net.links[chosen] >> way & 1).astype(bool)
        others = chosen[there] + 2 * way - 1 if way < 2 else net.beside[chosen[there], way - 2]
        neighbours[there, way] = movable[others]
        free[there] *= movable[others] >= 0
    placed = points[chosen] + (scene.lattice[3:] * scene.spacing).astype(np.float32)
    free = evened(free[:, None], neighbours, 2)[:, 0].copy()
    return Wall(placed, place[quads], pairs[chosen], neighbours, free), chosen


def evened(fields: Floats, neighbours: npt.NDArray[np.int32], steps: int) -> Floats:
    """Fields (V, 1 … 4) after half-steps towards the mean of the neighbours."""
    many = fields.shape[1]
    now = np.zeros((len(fields), 4), np.float32)
    now[:, :many] = fields
    spare = np.empty_like(now)
    for _ in range(steps):
        over_rows(rays.spread, len(now), now, spare, neighbours)
        now, spare = spare, now
    return now[:, :many]
