"""Balls and capsules with exact distances, as masks on a grid and as even points on their surface; frame LPS mm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid

Array = npt.NDArray[Any]

_MARGIN_VOXELS = 4


@dataclass(frozen=True, eq=False)
class Capsule:
    """All points within `radius_mm` of the segment from `start_mm` to `end_mm`, (3,) each; a ball when they meet."""

    start_mm: Array
    end_mm: Array
    radius_mm: float

    @property
    def length_mm(self) -> float:
        """Of the segment; the whole capsule is longer by two radii."""
        return float(np.linalg.norm(self.end_mm - self.start_mm))

    @property
    def volume_ml(self) -> float:
        return (math.pi * self.radius_mm**2 * self.length_mm + 4 / 3 * math.pi * self.radius_mm**3) / 1000.0

    def distance_mm(self, points: Array) -> Array:
        """Signed, negative inside; exact everywhere. Shape (N,) of points (N, 3)."""
        along = self.end_mm - self.start_mm
        t = np.clip((points - self.start_mm) @ along / max(float(along @ along), 1e-30), 0.0, 1.0)
        distance: Array = np.linalg.norm(points - self.start_mm - t[:, None] * along, axis=1) - self.radius_mm
        return distance

    def normals(self, points: Array) -> Array:
        """Outward unit normals (N, 3) of the shape nearest to each point (N, 3)."""
        along = self.end_mm - self.start_mm
        t = np.clip((points - self.start_mm) @ along / max(float(along @ along), 1e-30), 0.0, 1.0)
        away = points - self.start_mm - t[:, None] * along
        normals: Array = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-30)
        return normals

    def moved(self, by_mm: Array) -> Capsule:
        """The same shape elsewhere."""
        return Capsule(self.start_mm + by_mm, self.end_mm + by_mm, self.radius_mm)

    def surface_points(self, count: int) -> Array:
        """Points on the surface, even by area, shape (about `count`, 3)."""
        share = self.length_mm / (self.length_mm + 2 * self.radius_mm)  # Archimedes: a ball has its cylinder's side
        number = np.arange(count)
        turn = 2 * math.pi * ((number * 0.6180339887498949) % 1.0)
        height = (number + 0.5) / count
        # Height runs over lower half-ball, side, upper half-ball, each by its share of the area.
        low = (1 - share) / 2
        z = np.where(height < low, height / max(low, 1e-30) - 1, np.where(height > 1 - low, (height - 1) / low + 1, 0))
        ring = np.sqrt(1 - z**2)
        t = np.clip((height - low) / max(share, 1e-30), 0, 1) if share else np.zeros(count)
        local = self.radius_mm * np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])
        points: Array = local @ self._axes() + self.start_mm + t[:, None] * (self.end_mm - self.start_mm)
        return points

    def _axes(self) -> Array:
        """(3, 3): rows are two directions across and the one along."""
        along = (self.end_mm - self.start_mm) / max(self.length_mm, 1e-30) if self.length_mm else np.array([0, 0, 1.0])
        across = np.cross(along, np.eye(3)[int(np.abs(along).argmin())])
        across /= np.linalg.norm(across)
        return np.array([across, np.cross(along, across), along])


def posed(radius_mm: float, length_mm: float, rng: np.random.Generator) -> Capsule:
    """A capsule in a random direction, its centre at random within a voxel of 1 mm."""
    along = rng.normal(size=3)
    half = along / np.linalg.norm(along) * length_mm / 2
    centre = rng.uniform(-0.5, 0.5, 3)
    return Capsule(centre - half, centre + half, radius_mm)


def labelled(capsule: Capsule, spacing_mm: tuple[float, float, float]) -> Segmentation:
    """Its mask by voxel centres, on an upright grid with some voxels round it."""
    spacing = np.array(spacing_mm)
    low = np.minimum(capsule.start_mm, capsule.end_mm) - capsule.radius_mm - _MARGIN_VOXELS * spacing
    high = np.maximum(capsule.start_mm, capsule.end_mm) + capsule.radius_mm + _MARGIN_VOXELS * spacing
    # The grid's own origin stays a multiple of the spacing, so that the pose against the voxels is the capsule's.
    origin = np.floor(low / spacing) * spacing
    i, j, k = (int(n) for n in np.ceil((high - origin) / spacing) + 1)
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = origin
    grid = Grid((i, j, k), matrix)
    centres = grid.to_patient(np.indices(grid.shape).reshape(3, -1).T)
    mask = (capsule.distance_mm(centres) <= 0).reshape(grid.shape).astype(np.uint8, order="F")
    return Segmentation((mask,), grid, (Segment("shape", 1, 0, Structure("shape", "Shape", "形")),), "drawn by rule")


def labelled_in_a_row(
    capsules: Sequence[Capsule], spacing_mm: tuple[float, float, float]
) -> tuple[Segmentation, dict[str, Capsule]]:
    """One map with the mask of each, side by side along x with nothing between, and by key where each went.

    All move by whole voxels, so that each lies against the voxels as it did.
    """
    alone = [labelled(capsule, spacing_mm) for capsule in capsules]
    shapes = np.array([one.grid.shape for one in alone])
    row = np.zeros((shapes[:, 0].sum(), *shapes[:, 1:].max(axis=0)), np.uint8, order="F")
    segments, moved = [], {}
    first = 0
    for label, (capsule, one) in enumerate(zip(capsules, alone, strict=True), start=1):
        i, j, k = one.grid.shape
        row[first : first + i, :j, :k] = label * one.layers[0]
        key = f"shape_{label}"
        segments.append(Segment(key, label, 0, Structure(key, f"Shape {label}", f"形{label}")))
        moved[key] = capsule.moved(np.array([first * spacing_mm[0], 0.0, 0.0]) - one.grid.voxel_to_patient[:3, 3])
        first += i
    grid = Grid((row.shape[0], row.shape[1], row.shape[2]), np.diag([*spacing_mm, 1.0]))
    return Segmentation((row,), grid, tuple(segments), "drawn by rule"), moved
