"""Solids as functions: negative inside, zero on the boundary, positive outside, in mm; frame LPS.

Every shape takes coordinates as three arrays that broadcast against each other, so an axis-aligned lattice never
spells out its points. Values are distances, exact or close to it near the boundary; `volume_mm3` is the closed form,
or None where there is none.

References
----------
Hart, "Sphere tracing", The Visual Computer 12 (1996). Closed form of the superellipsoid: Jaklič, Leonardis, Solina,
"Segmentation and Recovery of Superquadrics" (2000), eq. 2.60.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from meshing.errors import GeometryError

Array = npt.NDArray[Any]
Point = tuple[float, float, float]
Bounds = tuple[Point, Point]

EVERYWHERE: Bounds = ((-math.inf,) * 3, (math.inf,) * 3)


class Shape(Protocol):
    """A solid."""

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm, shape of the three arrays broadcast together (or less, where an axis is free)."""

    def bounds(self) -> Bounds:
        """Lowest and highest corner of a box that holds the solid."""

    @property
    def volume_mm3(self) -> float | None:
        """The exact volume, or None where no closed form is known."""


@dataclass(frozen=True)
class Ball:
    """A ball; the distance is exact."""

    centre: Point
    radius: float

    def field(self, x: Array, y: Array, z: Array) -> Array:
        a, b, c = self.centre
        return _root(np.square(x - a) + np.square(y - b) + np.square(z - c)) - self.radius

    def bounds(self) -> Bounds:
        return _grown((self.centre, self.centre), self.radius)

    @property
    def volume_mm3(self) -> float:
        return 4.0 / 3.0 * math.pi * self.radius**3


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid or, with `powers` above 2, a rounded box or cylinder.

    Parameters
    ----------
    radii
        Half axes, mm.
    turn_deg
        Turns about L, then P, then S, applied to the solid about its centre.
    powers
        Exponent in the L–P plane, and exponent between that plane and S. (2, 2) is the ellipsoid; (2, 8) nearly a
        cylinder; (8, 8) nearly a box.
    """

    centre: Point
    radii: Point
    turn_deg: Point = (0.0, 0.0, 0.0)
    powers: tuple[float, float] = (2.0, 2.0)

    def field(self, x: Array, y: Array, z: Array) -> Array:
        own = self._to_own(x, y, z)
        u, v, w = (along / radius for along, radius in zip(own, self.radii, strict=True))
        if self.powers == (2.0, 2.0):
            # First-order distance (f / |∇f|): exact on the boundary, and on spheres up to a constant factor nearby.
            reach = _root(np.square(u) + np.square(v) + np.square(w))
            slope = _root(sum(np.square(s / radius) for s, radius in zip((u, v, w), self.radii, strict=True)))
            return reach * (reach - 1.0) / np.maximum(slope, 1e-6)
        return self._superquadric(u, v, w)

    def _superquadric(self, u: Array, v: Array, w: Array) -> Array:
        n, m = self.powers
        u, v, w = (np.maximum(np.abs(along), 1e-4) for along in (u, v, w))
        flat = u**n + v**n
        tall = flat ** (m / n) + w**m
        reach = tall ** (1.0 / m)
        common = flat ** (m / n - 1.0) * tall ** (1.0 / m - 1.0)
        a, b, c = self.radii
        steep = common * u ** (n - 1.0) / a, common * v ** (n - 1.0) / b, tall ** (1.0 / m - 1.0) * w ** (m - 1.0) / c
        return (reach - 1.0) / np.maximum(_root(sum(np.square(part) for part in steep)), 1e-6)

    def _to_own(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        x, y, z = (along - middle for along, middle in zip((x, y, z), self.centre, strict=True))
        if not any(self.turn_deg):
            return x, y, z
        u, v, w = (a * x + b * y + c * z for a, b, c in turned(self.turn_deg).T.tolist())
        return u, v, w

    def bounds(self) -> Bounds:
        spread = np.abs(turned(self.turn_deg)) @ np.array(self.radii)
        if self.powers == (2.0, 2.0):
            spread = np.sqrt(np.square(turned(self.turn_deg)) @ np.square(self.radii))
        return _box(np.array(self.centre) - spread, np.array(self.centre) + spread)

    @property
    def volume_mm3(self) -> float:
        flat, tall = (2.0 / power for power in self.powers)
        a, b, c = self.radii
        return 2.0 * a * b * c * flat * tall * _beta(tall / 2.0 + 1.0, tall) * _beta(flat / 2.0, flat / 2.0)


@dataclass(frozen=True)
class Capsule:
    """All points within a radius of a segment; the radius may change linearly along it.

    With one radius the distance is exact; with two it is off by the square of the taper (1 % at 8°).
    """

    start: Point
    end: Point
    start_radius: float
    end_radius: float

    def field(self, x: Array, y: Array, z: Array) -> Array:
        ax, ay, az = (float(s) for s in self.start)
        dx, dy, dz = (float(e) - float(s) for s, e in zip(self.start, self.end, strict=True))
        length2 = max(dx * dx + dy * dy + dz * dz, 1e-12)
        x, y, z = x - ax, y - ay, z - az
        along = np.clip((x * dx + y * dy + z * dz) * (1.0 / length2), 0.0, 1.0)
        away = _root(np.square(x - along * dx) + np.square(y - along * dy) + np.square(z - along * dz))
        return away - (self.start_radius + along * (self.end_radius - self.start_radius))

    def bounds(self) -> Bounds:
        corners = np.array([self.start, self.end])
        radii = np.array([[self.start_radius], [self.end_radius]])
        return _box((corners - radii).min(axis=0), (corners + radii).max(axis=0))

    @property
    def volume_mm3(self) -> float | None:
        if self.start_radius != self.end_radius:
            return None
        return math.pi * self.start_radius**2 * (math.dist(self.start, self.end) + 4.0 / 3.0 * self.start_radius)


@dataclass(frozen=True)
class HalfSpace:
    """Everything behind a plane; `normal` points out of the solid."""

    point: Point
    normal: Point

    def field(self, x: Array, y: Array, z: Array) -> Array:
        unit = np.array(self.normal) / np.linalg.norm(self.normal)
        a, b, c = unit.tolist()
        level = float(unit @ np.array(self.point))
        terms = [factor * along for factor, along in ((a, x), (b, y), (c, z)) if factor]
        height: Array = sum(terms[1:], terms[0]) - level
        return height

    def bounds(self) -> Bounds:
        low, high = [-math.inf] * 3, [math.inf] * 3
        unit = np.abs(self.normal) / np.linalg.norm(self.normal)
        if unit.max() > 1.0 - 1e-9:
            axis = int(unit.argmax())
            (high if self.normal[axis] > 0 else low)[axis] = self.point[axis]
        return tuple(low), tuple(high)  # type: ignore[return-value]

    @property
    def volume_mm3(self) -> None:
        return None


@dataclass(frozen=True)
class Column:
    """A body-like column along S, endless, with a superelliptic section that narrows to a waist.

    Parameters
    ----------
    centre, radii
        L and P, mm.
    power
        Exponent of the section; 2 is an ellipse, more is boxier.
    waist
        Depth of the waist as a fraction of the radii, its S position and its half height in mm.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    power: float = 2.0
    waist: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def field(self, x: Array, y: Array, z: Array) -> Array:
        depth, level, height = self.waist
        width = 1.0 - depth * np.exp(-np.square((z - level) / height)) if depth else 1.0
        u = np.maximum(np.abs(x - self.centre[0]) / self.radii[0], 1e-4)
        v = np.maximum(np.abs(y - self.centre[1]) / self.radii[1], 1e-4)
        n = self.power
        un, vn = u ** (n - 1.0), v ** (n - 1.0)
        total = un * u + vn * v
        reach = total ** (1.0 / n)
        slope = total ** (1.0 / n - 1.0) * _root(np.square(un / self.radii[0]) + np.square(vn / self.radii[1]))
        return (reach - width) / slope

    def bounds(self) -> Bounds:
        (x, y), (a, b) = self.centre, self.radii
        return (x - a, y - b, -math.inf), (x + a, y + b, math.inf)

    @property
    def volume_mm3(self) -> None:
        return None


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
        return _grown(_box(boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)), self.blend_mm / 2.0)

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
        return _box(boxes[:, 0].max(axis=0), boxes[:, 1].min(axis=0))

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
        return _grown(self.solid.bounds(), max(self.by_mm, 0.0))

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
        object.__setattr__(self, "_bounds", _box(boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)))

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
    corners = [_point(corner) for corner in points_mm]
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


@cache
def turned(turn_deg: Point) -> npt.NDArray[np.float64]:
    """Rotation matrix (3, 3) of turns about L, then P, then S."""
    whole = np.eye(3)
    for axis, angle in enumerate(turn_deg):
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        one = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        one[first, first] = one[second, second] = cosine
        one[first, second], one[second, first] = -sine, sine
        whole = one @ whole
    whole.setflags(write=False)
    return whole


def _root(squares: Any) -> Array:
    root: Array = np.sqrt(squares)
    return root


def _beta(one: float, other: float) -> float:
    return math.exp(math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other))


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z


def _box(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Bounds:
    return _point(low), _point(high)


def _grown(bounds: Bounds, by_mm: float) -> Bounds:
    return _box(np.array(bounds[0]) - by_mm, np.array(bounds[1]) + by_mm)
