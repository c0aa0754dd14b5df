"""What the image holds on both sides of a wall, beyond the blur: what a share of partial volume is a share of.

Where both parts are thicker than the blur, that is read off beside each vertex. A part that is thin all over, a small
vessel, has no such place: its level is that of its core, and if the image is blurred more than by its voxels, that of
the blurred round tube that fits its mean profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets import rays
from meshing.nets.scene import TENT, Floats, Scene, Wall, evened
from meshing.threads import over_rows

_CORE = 0.2
"""Share of a thin part's voxels that count as its core."""

_DRIFT = 0.44
"""Median difference over one voxel of plateau, read by linear interpolation, of noise 1 in every voxel: measured."""

_FEW = 0.003
"""Weight of what is usual for a label against what is seen beside the vertex: for where nothing is seen at all."""

_TUBE_VERTICES = 4000
"""More do not make the mean profile better."""

_WIDEST = 3.0
"""Radius, in voxels, of the widest tube that is fitted: wider ones show their level."""

Levels = Floats
"""(V, 5): value behind, value before, for how many voxels each part goes on (4 is far), and trust in the values."""


_STEEPEST = 0.2
"""How much of its step a core may lack: that of a tube of 1 mm under half a voxel of blur lacks 0.15."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What `plateaus` saw, (V, 8); what is usual on each side, (V, 2); and which labels are thin all over."""

    sides: Floats
    usual: Floats
    thin: tuple[int, ...]

    @property
    def noise(self) -> float:
        """Standard deviation of the noise along the plateaus; infinite where there are none."""
        drift = self.sides[:, [3, 7]]
        drift = drift[drift >= 0]
        return float(np.median(drift)) / _DRIFT if drift.size >= 50 else np.inf

    def levels(self, neighbours: npt.NDArray[np.int32]) -> Levels:
        """Evened along the wall, with what is usual where nothing was seen; twice, the second time without outliers."""
        s = self.sides
        own, weights = s[:, [0, 4]], s[:, [1, 5]]
        trust = np.ones(len(s), np.float32)
        for _ in range(2):
            fields = weights * trust[:, None]
            fields = evened(np.column_stack([own * fields, fields]), neighbours, 6)
            level = (fields[:, :2] + _FEW * self.usual) / (fields[:, 2:] + _FEW)
            trust = _agreement(own, level, s[:, [3, 7]] >= 0, self.noise)
            trust *= _likeness(level[:, 0] - level[:, 1], self.usual[:, 0] - self.usual[:, 1])
        return np.column_stack([level, s[:, 2], s[:, 6], trust]).astype(np.float32)


def _agreement(own: Floats, level: Floats, is_seen: npt.NDArray[np.bool_], noise: float) -> Floats:
    """(V,): 1 where each vertex sees what its neighbours see, 0 where the two differ by half of the step or more.

    Where bone that nobody labelled begins beside a vessel, the level before the wall is neither bone's nor fat's.
    """
    step = np.abs(level[:, 0] - level[:, 1]) + np.float32(1e-3)
    apart = np.where(is_seen, np.abs(own - level), 0).max(axis=1)
    slack = 2 * noise if np.isfinite(noise) else 0.0
    return np.asarray(1 - np.clip((apart - slack - 0.15 * step) / (0.35 * step), 0, 1), np.float32)


def _likeness(step: Floats, usual: Floats) -> Floats:
    """(V,): 0 where the step goes the other way than it usually does between these labels, or is very much smaller.

    A vessel that bone touches is darker than what is outside it there, and bone's edge is not the vessel's. Parts that
    usually have no step to speak of have no usual way either.
    """
    has_way = np.abs(usual) > 0.25 * np.abs(step)
    share = np.where(has_way, step / np.where(has_way, usual, np.float32(1)), 1)
    return np.asarray(np.clip((np.nan_to_num(share) - 0.1) / 0.2, 0, 1), np.float32)


def seen_beside(scene: Scene, wall: Wall, normals: Floats) -> Seen:
    """The plateaus on both sides of each vertex, and what is usual for its labels."""
    sides = np.zeros((len(wall.points), 8), np.float32)
    noise = np.float32(max(scene.noise, 1e-3))
    ground = (scene.image, scene.shape, scene.strides, scene.voxels, scene.lattice, scene.spacing)
    over_rows(rays.plateaus, len(sides), *ground, wall.points, normals, wall.labels, noise, sides)
    sides[wall.labels[:, 0] < 0] = (0, 0, 0, -1, 0, 0, 0, -1)
    usual, thin = _usual(scene, wall.labels, sides)
    return Seen(sides, usual, thin)


def _usual(scene: Scene, labels: npt.NDArray[np.int32], sides: Floats) -> tuple[Floats, tuple[int, ...]]:
    """(V, 2): the median of what is seen of each label, by pair where it is often seen so; and the thin ones.

    Beside a given part, what is outside of everything is fat here and muscle there: so by pair first.
    """
    out = np.full((len(labels), 2), np.nan, np.float32)
    both = labels.T.ravel()
    values, sure = sides[:, [0, 4]].T.ravel(), sides[:, [1, 5]].T.ravel() > 0.5
    flat = np.full(len(both), np.nan, np.float32)
    thin: list[int] = []
    for at in _groups(both):
        seen = at[sure[at]]
        label = int(both[at[0]])
        if label > 0 and len(seen) < max(30, 0.05 * len(at)):
            thin.append(label)
        elif label >= 0 and len(seen):
            flat[at] = np.median(values[seen])
    cores = core_levels(scene, thin)
    table = np.full(int(both.max(initial=0)) + 1, np.nan, np.float32)
    table[list(cores)] = list(cores.values())
    out[:] = np.where(np.isnan(flat), table[np.maximum(both, 0)], flat).reshape(2, -1).T
    for at in _groups(labels[:, 0].astype(np.int64) << 32 | (labels[:, 1].astype(np.int64) & 0xFFFFFFFF)):
        for side in (0, 1):
            seen = at[sides[at, 4 * side + 1] > 0.5]
            if len(seen) >= 30 and int(labels[at[0], side]) not in cores:
                out[at, side] = np.median(sides[seen, 4 * side])
    return out, tuple(sorted(cores))


def _groups(codes: npt.NDArray[np.integer[Any]]) -> list[npt.NDArray[np.int64]]:
    """Indices of equal codes."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(codes) else []


def core_levels(scene: Scene, labels: list[int]) -> dict[int, float]:
    """The value in the middle of thin parts: the mean of the fifth of their voxels whose neighbours stand out the most.

    A voxel's own value does not choose it, so that noise does not.
    """
    if not labels:
        return {}
    width, depth = int(scene.lattice[0]), int(scene.lattice[1])
    wanted = np.zeros(int(np.iinfo(scene.voxels.dtype).max) + 1, bool)
    wanted[labels] = True
    index = np.flatnonzero(wanted[scene.voxels])
    place = np.stack([index % width, index // width % depth, index // (width * depth)]) + scene.lattice[3:, None]
    last = scene.shape[:, None] - 1

    def value(step: npt.NDArray[np.int64]) -> Floats:
        return np.asarray(scene.image[scene.strides @ np.clip(place + step[:, None], 0, last)], np.float32)

    own = value(np.zeros(3, np.int64))
    around = np.zeros(len(own), np.float32)
    for step in np.indices((3, 3, 3)).reshape(3, -1).T - 1:
        if 0 < np.abs(step).sum() < 3:
            around += value(step) / np.float32(18)
    found = {}
    for at in _groups(scene.voxels[index]):
        falling = np.argsort(-around[at] if own[at].mean() >= around[at].mean() else around[at], kind="stable")
        core = at[falling[: max(8, int(_CORE * len(at)))]]
        found[int(scene.voxels[index[at[0]]])] = float(own[core].mean())
    return found


def sharpened(scene: Scene, wall: Wall, normals: Floats, bends: Floats, seen: Seen) -> Seen:
    """The same, with thin labels given the level of the blurred tube that fits them, where the image is blurred."""
    usual = seen.usual.copy()
    for label in seen.thin:
        alone = (seen.sides[:, 6] >= 4) & (bends[:, 0] > 0)
        at = np.flatnonzero((wall.labels[:, 0] == label) & alone)
        if len(at) < 50:
            continue
        core = float(np.median(usual[at, 0]))
        outside = float(np.median(usual[at, 1]))
        level, blur = _tube_level(scene, wall.points[at], normals[at], bends[at], outside)
        # Where the tube's blur is that of the voxels alone, its core is whole, and the surer level of the two.
        share = float(np.clip((blur - 0.15) / 0.2, 0.0, 1.0)) if np.isfinite(level) else 0.0
        highest = _STEEPEST * (core - outside)
        rise = np.clip((level - core) / highest, 0, 1) * highest if highest else 0.0
        usual[wall.labels == label] = core + share * rise
    return Seen(seen.sides, usual, seen.thin)


def _tube_level(scene: Scene, points: Floats, normals: Floats, bends: Floats, outside: float) -> tuple[float, float]:
    """Level inside, and blur in voxels, of the round tube that fits the mean profile of those vertices.

    A disc under a Gaussian is a non-central χ² distribution with two degrees of freedom.
    """
    from scipy.special import chndtr

    radius = 1 / float(np.median(bends[:, 0]))
    if radius > _WIDEST * float(scene.spacing.max()):
        return np.nan, 0.0
    usual = np.flatnonzero(np.abs(bends[:, 0] * radius - 1) < 0.3)
    usual = usual[:: max(1, len(usual) // _TUBE_VERTICES)]
    if len(usual) < 50:
        return np.nan, 0.0
    depths = np.linspace(-1.0, 2.2, 33).astype(np.float32) * np.float32(radius)
    total = np.zeros(len(depths))
    ground = (scene.image, scene.shape, scene.strides, scene.spacing)
    rays.profile(*ground, np.ascontiguousarray(points[usual]), np.ascontiguousarray(normals[usual]), depths, total)
    found = total / len(usual) - outside
    from_axis = np.maximum(depths.astype(np.float64) + radius, 1e-3)
    spread = scene.spacing.astype(np.float64) ** 2 @ (1 - (normals[usual].astype(np.float64) ** 2).mean(axis=0)) / 2
    blur, size = np.meshgrid(np.arange(0.0, 1.01, 0.05), np.arange(0.7, 1.41, 0.02) * radius, indexing="ij")
    variance = ((TENT + blur**2) * spread)[..., None]
    shape = chndtr(size[..., None] ** 2 / variance, 2.0, from_axis**2 / variance)
    weight = np.maximum(from_axis, 0.15 * radius)
    height = (weight * shape * found).sum(axis=-1) / (weight * shape**2).sum(axis=-1)
    misfit = (weight * (found - height[..., None] * shape) ** 2).sum(axis=-1)
    best = np.unravel_index(np.argmin(misfit), misfit.shape)
    return outside + float(height[best]), float(blur[best])
