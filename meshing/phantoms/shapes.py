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
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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
        return padded((self.centre, self.centre), self.radius)

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
            # First-order distance f / |∇f|: exact on the boundary; at the very centre it would be 0 / 0.
            reach = np.maximum(_root(np.square(u) + np.square(v) + np.square(w)), 1e-4)
            slope = _root(sum(np.square(s / radius) for s, radius in zip((u, v, w), self.radii, strict=True)))
            return reach * (reach - 1.0) / np.maximum(slope, 1e-4 / max(self.radii))
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
        return box(np.array(self.centre) - spread, np.array(self.centre) + spread)

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
        return box((corners - radii).min(axis=0), (corners + radii).max(axis=0))

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


def point(values: npt.NDArray[np.float64]) -> Point:
    """An array of three as a tuple."""
    x, y, z = values.tolist()
    return x, y, z


def box(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Bounds:
    """Two corners as bounds."""
    return point(low), point(high)


def padded(bounds: Bounds, by_mm: float) -> Bounds:
    """Bounds wider by that on all sides."""
    return box(np.array(bounds[0]) - by_mm, np.array(bounds[1]) + by_mm)
