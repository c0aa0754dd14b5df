"""Solids made of solids: blended unions, carved and thickened shapes, and tubes along curves; LPS mm.

References
----------
Ricci, "A constructive geometry for computer graphics", The Computer Journal 16 (1973).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from meshing.errors import GeometryError
from meshing.phantoms.shapes import Array, Bounds, Capsule, Shape, box, padded, point


@dataclass(frozen=True)
class Union:
    """Everything in any of the parts; `blend_mm` rounds the creases between them."""

    parts: tuple[Shape, ...]
    blend_mm: float = 0.0

    def __post_init__(self) -> None:
        if not self.parts:
            raise GeometryError("a union needs a part", where="phantom shape")

    def field(self, x: Array, y: Array, z: Array) -> Array:
        whole = self.parts[0].field(x, y, z)
        for part in self.parts[1:]:
            whole = smooth_minimum(whole, part.field(x, y, z), self.blend_mm)
        return whole

    def bounds(self) -> Bounds:
        boxes = np.array([part.bounds() for part in self.parts])
        # A blend swells the solid by at most a quarter of its width for each pair that meets.
        return padded(box(boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)), self.blend_mm / 2.0)

    @property
    def volume_mm3(self) -> float | None:
        return self.parts[0].volume_mm3 if len(self.parts) == 1 else None


@dataclass(frozen=True)
class Carved:
    """A solid without what `cuts` hold, and only where every one of `keeps` is."""

    solid: Shape
    cuts: tuple[Shape, ...] = ()
    keeps: tuple[Shape, ...] = ()
    blend_mm: float = 0.0

    def field(self, x: Array, y: Array, z: Array) -> Array:
        return self.carved(self.solid.field(x, y, z), x, y, z)

    def carved(self, whole: Array, x: Array, y: Array, z: Array) -> Array:
        """The field, given that of the solid."""
        for cut in self.cuts:
            whole = -smooth_minimum(-whole, cut.field(x, y, z), self.blend_mm)
        for keep in self.keeps:
            whole = -smooth_minimum(-whole, -keep.field(x, y, z), self.blend_mm)
        return whole

    def bounds(self) -> Bounds:
        boxes = np.array([shape.bounds() for shape in (self.solid, *self.keeps)])
        return box(boxes[:, 0].max(axis=0), boxes[:, 1].min(axis=0))

    @property
    def volume_mm3(self) -> float | None:
        return None if self.cuts or self.keeps else self.solid.volume_mm3


@dataclass(frozen=True)
class Grown:
    """A solid made thicker by `by_mm` on all sides (thinner if negative)."""

    solid: Shape
    by_mm: float

    def field(self, x: Array, y: Array, z: Array) -> Array:
        return self.solid.field(x, y, z) - self.by_mm

    def bounds(self) -> Bounds:
        return padded(self.solid.bounds(), max(self.by_mm, 0.0))

    @property
    def volume_mm3(self) -> None:
        return None


@dataclass(frozen=True)
class Tubes:
    """A union of capsules, each with its own small box: vessels, ribs, bowel.

    Parameters
    ----------
    capsules
        In any order; joints are balls, so that a polyline has no gaps.
    """

    capsules: tuple[Capsule, ...]
    _bounds: Bounds = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        boxes = np.array([capsule.bounds() for capsule in self.capsules])
        object.__setattr__(self, "_bounds", box(boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)))

    def field(self, x: Array, y: Array, z: Array) -> Array:
        whole = self.capsules[0].field(x, y, z)
        for capsule in self.capsules[1:]:
            whole = np.minimum(whole, capsule.field(x, y, z))
        return whole

    def bounds(self) -> Bounds:
        return self._bounds

    @property
    def thinnest_mm(self) -> float:
        """The least radius anywhere."""
        return min(min(capsule.start_radius, capsule.end_radius) for capsule in self.capsules)

    @property
    def volume_mm3(self) -> float | None:
        return self.capsules[0].volume_mm3 if len(self.capsules) == 1 else None


def path(points_mm: npt.ArrayLike, radii_mm: npt.ArrayLike, step_mm: float | None = None) -> Tubes:
    """A smooth tube through the points: a Catmull–Rom curve, cut into capsules.

    Parameters
    ----------
    points_mm
        shape (n, 3), n ≥ 2.
    radii_mm
        One, or one per point.
    step_mm
        Length of the capsules; None: 4 mm, and more where the tube is thick.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), (len(points),))
    smooth = spline(np.column_stack([points, radii]), step_mm or max(4.0, 0.6 * float(radii.min())))
    return polyline(smooth[:, :3], smooth[:, 3])


def polyline(points_mm: npt.NDArray[np.float64], radii_mm: npt.NDArray[np.float64]) -> Tubes:
    """Straight capsules from point to point."""
    corners = [point(corner) for corner in points_mm]
    return Tubes(
        tuple(
            Capsule(start, end, float(a), float(b))
            for start, end, a, b in zip(corners, corners[1:], radii_mm, radii_mm[1:], strict=False)
        )
    )


def spline(knots: npt.NDArray[np.float64], step_mm: float) -> npt.NDArray[np.float64]:
    """Points of a Catmull–Rom curve through the knots, about `step_mm` apart; further columns ride along.

    Parameters
    ----------
    knots
        shape (n, 3 or more); the first three columns are mm.
    """
    if len(knots) < 3:
        return knots
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        count = max(math.ceil(float(np.linalg.norm((c - b)[:3])) / step_mm), 1)
        t = np.arange(count)[:, None] / count
        pieces.append(0.5 * (2 * b + t * (c - a) + t**2 * (2 * a - 5 * b + 4 * c - d) + t**3 * (3 * (b - c) + d - a)))
    return np.vstack([*pieces, knots[-1:]])


def grown(solid: Shape, by_mm: float) -> Shape:
    """The solid thicker by `by_mm` on all sides, thinner if negative; tubes stay tubes."""
    if not isinstance(solid, Tubes):
        return Grown(solid, by_mm)
    capsules = (
        Capsule(tube.start, tube.end, tube.start_radius + by_mm, tube.end_radius + by_mm)
        for tube in solid.capsules
        if min(tube.start_radius, tube.end_radius) + by_mm > 0
    )
    return Tubes(tuple(capsules))


def smooth_minimum(one: Array, other: Array, blend_mm: float) -> Array:
    """The smaller of two distances, rounded over `blend_mm` where they cross (quadratic, never above either)."""
    smaller: Array = np.minimum(one, other)
    if blend_mm <= 0:
        return smaller
    near = np.maximum(blend_mm - np.abs(one - other), 0.0)
    smaller -= np.square(near) * (0.25 / blend_mm)
    return smaller
