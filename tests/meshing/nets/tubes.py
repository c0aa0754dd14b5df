"""Tubes with exact partial volume, blur and noise, and a net over them before and after it moved to the edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from meshing.nets.edges import Looking, moved_to_edges
from meshing.nets.lattice import Net, cropped, net_of
from meshing.nets.quads import points_of, quads_of, triangles_of
from meshing.nets.relax import relaxed
from meshing.nets.scene import Scene, scene_of

Array = npt.NDArray[Any]
Distance = Callable[[Array], Array]

SPACING = np.array([0.7, 0.7, 1.0])
LUMEN, TISSUE, BONE = 300.0, 50.0, 900.0
POSES = 40
USUAL = Looking()


@dataclass(frozen=True)
class Moved:
    """A net before and after: positions in mm, voxel (0, 0, 0) at the origin."""

    net: Net
    scene: Scene
    pieces: tuple[Array, Array]
    before: Array
    after: Array
    trust: Array

    def faces(self, label: int, points: Array) -> Array:
        """Triangles of one part, outward."""
        faces, sides = triangles_of(*self.pieces, points)
        return np.vstack([faces[sides[:, 0] == label], faces[sides[:, 1] == label][:, ::-1]])

    def vertices(self, label: int) -> Array:
        return np.unique(self.faces(label, self.after))

    @property
    def furthest(self) -> float:
        return float(np.linalg.norm(self.after - self.before, axis=1).max())


def moved(image: Array, labels: Array, looking: Looking = USUAL, spacing: Array = SPACING) -> Moved:
    found = cropped(labels.astype(np.uint8))
    assert found is not None
    flat, shape, first = found
    net = net_of(flat, shape)
    points = points_of(net, relaxed(net, spacing), spacing)
    pieces = quads_of(net)
    scene = scene_of(image, flat, shape, first, spacing)
    there, trust = moved_to_edges(net, points, pieces=pieces, scene=scene, looking=looking)
    corner = np.array(first) * spacing
    return Moved(net, scene, pieces, corner + points, corner + there, trust)


def lattice(shape: tuple[int, int, int] = (56, 56, 42), spacing: Array = SPACING) -> Array:
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1) * spacing


POINTS = lattice()
MIDDLE = POINTS.reshape(-1, 3).mean(axis=0)


def tube(axis: Array, radius: float, middle: Array = MIDDLE, half: float = 12.0) -> Distance:
    def distance(points: Array) -> Array:
        from_middle = points - middle
        along = np.clip(from_middle @ axis, -half, half)
        return np.asarray(np.linalg.norm(from_middle - along[..., None] * axis, axis=-1) - radius)

    return distance


def tube_volume(radius: float, half: float = 12.0) -> float:
    return float(np.pi * radius**2 * 2 * half + 4 / 3 * np.pi * radius**3)


def occupancy(distance: Distance, points: Array = POINTS, spacing: Array = SPACING) -> Array:
    """Part of each voxel inside, by 6³ subsamples of those that the surface can cut."""
    there = distance(points)
    share = (there < 0).astype(np.float64)
    cut = np.abs(there) < np.linalg.norm(spacing) / 2
    steps = (np.arange(6) + 0.5) / 6 - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) * spacing
    share[cut] = np.mean([distance(points[cut] + offset) < 0 for offset in offsets], axis=0)
    return share


def pose(seed: int) -> tuple[np.random.Generator, Array, Array]:
    """A generator, a direction and a middle within half a voxel."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    return rng, axis / np.linalg.norm(axis), MIDDLE + rng.uniform(-0.5, 0.5, 3)


def blurred(share: Array, noise: float, rng: np.random.Generator, psf: float = 0.0) -> Array:
    seen = ndimage.gaussian_filter(share, psf) if psf else share
    image: Array = TISSUE + (LUMEN - TISSUE) * seen + noise * rng.normal(size=share.shape)
    return image


def largest(mask: Array) -> Array:
    parts, _ = ndimage.label(mask)
    return np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)


def errors(surface: Array, faces: Array, distance: Distance) -> tuple[float, float]:
    """Mean distance over the area, and volume in mm³."""
    corners = surface[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    away = np.abs(distance(corners.mean(axis=1)))
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    return float((away * area).sum() / area.sum()), float(volume)


def figures(radius: float, noise: float, *, psf: float = 0.0, truth: bool = False) -> Array:
    """(poses, 4): mean distance after and before, volume error after and before in %."""
    rows = []
    for seed in range(POSES):
        rng, axis, middle = pose(1000 + seed)
        distance = tube(axis, radius, middle)
        image = blurred(occupancy(distance), noise, rng, psf)
        labels = distance(POINTS) < 0 if truth else largest(image > (LUMEN + TISSUE) / 2)
        found = moved(np.round(image).astype(np.int16), labels)
        whole = tube_volume(radius)
        after = errors(found.after, found.faces(1, found.after), distance)
        before = errors(found.before, found.faces(1, found.before), distance)
        rows.append([after[0], before[0], 100 * (after[1] / whole - 1), 100 * (before[1] / whole - 1)])
    table = np.array(rows)
    mean, worst, labels_mean = table[:, 0].mean(), table[:, 0].max(), table[:, 1].mean()
    print(  # noqa: T201  (shown by pytest -s: the figures of the documentation)
        f"r {radius} noise {noise} psf {psf}: {mean:.3f} mm (worst {worst:.3f}; labels {labels_mean:.3f}),"
        f" volume {table[:, 2].mean():+.1f} ± {table[:, 2].std():.1f} %"
        f" (labels {table[:, 3].mean():+.1f} ± {table[:, 3].std():.1f})"
    )
    return table
