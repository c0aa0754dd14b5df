"""What is planned on a case: frozen parts under one revision number; a change makes a new plan.

All points are LPS mm. The tools that compute with these nouns live in `viewer.planning`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meshing.errors import AnatomyError

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Trajectory:
    """A straight path of an instrument from skin entry to target."""

    name: str
    entry_mm: Point
    target_mm: Point
    radius_mm: float

    def __post_init__(self) -> None:
        if not self.radius_mm > 0:
            raise AnatomyError(f"instrument radius is {self.radius_mm} mm", where=self.name, hint="give one above 0")


@dataclass(frozen=True)
class AblationZone:
    """An ellipsoid of ablated tissue: centre, axis direction, and half-lengths along and across it."""

    name: str
    centre_mm: Point
    axis: Point
    half_length_mm: float
    radius_mm: float

    def __post_init__(self) -> None:
        if not (self.half_length_mm > 0 and self.radius_mm > 0):
            raise AnatomyError(
                f"half-lengths are {self.half_length_mm} and {self.radius_mm} mm",
                where=self.name,
                hint="give two above 0",
            )


@dataclass(frozen=True)
class Route:
    """A way through vessels, as points."""

    name: str
    points_mm: tuple[Point, ...]


@dataclass(frozen=True)
class CutPlane:
    """A plane by a point on it and its normal."""

    name: str
    point_mm: Point
    normal: Point


PlanPart = Trajectory | AblationZone | Route | CutPlane


@dataclass(frozen=True)
class Plan:
    """Everything planned on a case at one revision."""

    revision: int = 0
    parts: tuple[PlanPart, ...] = field(default=())


def with_part(plan: Plan, part: PlanPart) -> Plan:
    """The next revision: `part` added, or put in place of the part of the same name."""
    kept = tuple(other for other in plan.parts if other.name != part.name)
    return replace(plan, revision=plan.revision + 1, parts=(*kept, part))


def without_part(plan: Plan, name: str) -> Plan:
    """The next revision without the part of that name."""
    return replace(plan, revision=plan.revision + 1, parts=tuple(p for p in plan.parts if p.name != name))
