"""Marks on a model: points, lines, curves, ellipsoids and planes, each typed and named, with a small mesh to see it by.

Coordinates are LPS mm. A mark carries its own numbers into the file (`fields_of`), so that a reader need not measure a
mesh; `annotation_from` takes them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError, ExportError
from meshing.exporting.colour import Colour
from meshing.exporting.fields import Fields
from meshing.exporting.shapes import Shape, ball, sheet, tube
from meshing.frames import FloatArray

Position = tuple[float, float, float]

_YELLOW: Colour = (1.0, 0.85, 0.1)
_CYAN: Colour = (0.1, 0.8, 0.9)


@dataclass(frozen=True)
class Point:
    """A place, drawn as a ball."""

    name: str
    at_mm: Position
    radius_mm: float = 2.0
    colour: Colour = _YELLOW
    opacity: float = 1.0

    def __post_init__(self) -> None:
        _check(self, finite={"at_mm": self.at_mm}, positive={"radius_mm": self.radius_mm})


@dataclass(frozen=True)
class Line:
    """A straight way from `start_mm` to `end_mm`, drawn as a rod."""

    name: str
    start_mm: Position
    end_mm: Position
    radius_mm: float = 1.0
    colour: Colour = _YELLOW
    opacity: float = 1.0

    def __post_init__(self) -> None:
        _check(self, finite={"start_mm": self.start_mm, "end_mm": self.end_mm}, positive={"radius_mm": self.radius_mm})
        _check_apart(self.name, (self.start_mm, self.end_mm))


@dataclass(frozen=True)
class Curve:
    """A way through at least two points, drawn as a tube."""

    name: str
    points_mm: tuple[Position, ...]
    radius_mm: float = 1.0
    colour: Colour = _YELLOW
    opacity: float = 1.0

    def __post_init__(self) -> None:
        _check(self, finite={"points_mm": self.points_mm}, positive={"radius_mm": self.radius_mm})
        _check_apart(self.name, self.points_mm)


@dataclass(frozen=True)
class Ellipsoid:
    """A body with three half-lengths along three perpendicular unit directions."""

    name: str
    centre_mm: Position
    radii_mm: Position
    directions: tuple[Position, Position, Position] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    colour: Colour = _CYAN
    opacity: float = 0.35

    def __post_init__(self) -> None:
        _check(
            self,
            finite={"centre_mm": self.centre_mm, "directions": self.directions},
            positive={"radii_mm": self.radii_mm},
        )
        rows = np.asarray(self.directions)
        # 1e-6: directions are computed in double precision; more is a wrong axis, not rounding.
        if rows.shape != (3, 3) or np.abs(rows @ rows.T - np.eye(3)).max() > 1e-6:
            raise ExportError(
                "its directions are not three perpendicular unit vectors", where=self.name, hint="normalise them first"
            )


@dataclass(frozen=True)
class Plane:
    """A plane by a point on it and its normal, drawn as a square sheet seen from both sides."""

    name: str
    point_mm: Position
    normal: Position
    size_mm: float = 200.0
    colour: Colour = _CYAN
    opacity: float = 0.35

    def __post_init__(self) -> None:
        _check(self, finite={"point_mm": self.point_mm, "normal": self.normal}, positive={"size_mm": self.size_mm})
        if np.linalg.norm(self.normal) < 1e-9:
            raise ExportError("its normal has no length", where=self.name, hint="give a direction")


Annotation = Point | Line | Curve | Ellipsoid | Plane

KINDS: dict[str, type[Annotation]] = {
    "point": Point,
    "line": Line,
    "curve": Curve,
    "ellipsoid": Ellipsoid,
    "plane": Plane,
}

_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "point": {"at_mm": (3,), "radius_mm": ()},
    "line": {"start_mm": (3,), "end_mm": (3,), "radius_mm": ()},
    "curve": {"points_mm": (-1, 3), "radius_mm": ()},
    "ellipsoid": {"centre_mm": (3,), "radii_mm": (3,), "directions": (3, 3)},
    "plane": {"point_mm": (3,), "normal": (3,), "size_mm": ()},
}


def number_fields(kind: str) -> tuple[str, ...]:
    """The names of the numbers that an annotation of that kind carries."""
    return tuple(_SHAPES[kind])


def kind_of(annotation: Annotation) -> str:
    """Its kind in files: "point", "line", "curve", "ellipsoid" or "plane"."""
    return type(annotation).__name__.lower()


def fields_of(annotation: Annotation) -> dict[str, Any]:
    """Its kind and its numbers in LPS mm, JSON-ready."""
    kind = kind_of(annotation)
    numbers = {name: np.asarray(getattr(annotation, name), dtype=np.float64).tolist() for name in _SHAPES[kind]}
    return {"kind": kind, **numbers}


def annotation_from(name: str, fields: Fields) -> Annotation:
    """The annotation whose `fields_of` a file holds; colour and opacity are those of its kind.

    Raises
    ------
    DamagedFileError
        If the kind is unknown, or numbers are missing or make no such mark.
    """
    kind = fields.text("kind")
    if kind not in KINDS:
        raise DamagedFileError(f"kind {kind!r} is none of {', '.join(KINDS)}", where=fields.where)
    numbers = {key: _as_tuples(fields.array(key, shape).tolist()) for key, shape in _SHAPES[kind].items()}
    try:
        return KINDS[kind](name, **numbers)
    except ExportError as error:
        raise DamagedFileError(f"annotation {name!r}: {error.message}", where=fields.where) from error


def shape_of(annotation: Annotation) -> Shape:
    """The mesh to draw it by, LPS mm; closed and outward, but for the sheet of a plane."""
    match annotation:
        case Point():
            return ball(annotation.at_mm, (annotation.radius_mm,) * 3, refinements=2)
        case Line():
            return tube((annotation.start_mm, annotation.end_mm), annotation.radius_mm)
        case Curve():
            return tube(annotation.points_mm, annotation.radius_mm)
        case Ellipsoid():
            return ball(annotation.centre_mm, annotation.radii_mm, annotation.directions, refinements=3)
        case Plane():
            return sheet(annotation.point_mm, annotation.normal, annotation.size_mm)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _check(annotation: Annotation, *, finite: dict[str, npt.ArrayLike], positive: dict[str, npt.ArrayLike]) -> None:
    """Refuses a mark without a name, with wrong shapes, or with numbers that draw nothing."""
    if not annotation.name.strip():
        raise ExportError(f"a {kind_of(annotation)} has no name", hint="name every annotation")
    shapes = _SHAPES[kind_of(annotation)]
    for field, value in {**finite, **positive}.items():
        numbers = _numbers(value)
        is_shaped = numbers.ndim == len(shapes[field]) and all(
            wanted in (-1, found) for wanted, found in zip(shapes[field], numbers.shape, strict=True)
        )
        if not is_shaped or not np.isfinite(numbers).all():
            raise ExportError(f"{field} is {value!r}, wanted finite mm", where=annotation.name)
        if field in positive and not (numbers > 0).all():
            raise ExportError(f"{field} is {value!r}", where=annotation.name, hint="give lengths above 0")


def _numbers(value: npt.ArrayLike) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return np.full((), np.nan)


def _check_apart(name: str, points: tuple[Position, ...]) -> None:
    steps = np.linalg.norm(np.diff(np.asarray(points, dtype=np.float64), axis=0), axis=1)
    if len(steps) == 0:
        raise ExportError(f"{len(points)} points make no way", where=name, hint="give at least two")
    # A micrometre: below it a tube has no direction.
    if steps.min() < 1e-3:
        raise ExportError(f"points {steps.argmin()} and {steps.argmin() + 1} coincide", where=name, hint="drop one")
