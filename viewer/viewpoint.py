"""Where the 3D picture is seen from: clinical view names become a camera that just holds what is shown.

Radiological convention: seen from the front the patient stands upright, his right on the reader's left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.errors import NotFoundError
from meshing.frames import FloatArray
from meshing.plan import Point

Projection = Literal["perspective", "parallel"]

VIEW_ANGLE_DEG = 20.0  # of the whole height: a long lens, as far as a patient is looked at from
_TOWARDS: dict[str, Point] = {
    "anterior": (0.0, -1.0, 0.0),
    "posterior": (0.0, 1.0, 0.0),
    "left": (1.0, 0.0, 0.0),
    "right": (-1.0, 0.0, 0.0),
    "superior": (0.0, 0.0, 1.0),
    "inferior": (0.0, 0.0, -1.0),
}


VIEWS = tuple(_TOWARDS)
"""The six sides of the patient."""


def direction(view: str) -> FloatArray:
    """Unit vector (3,), LPS, from the patient towards who looks from one of the six sides."""
    return np.array(_TOWARDS[view])


@dataclass(frozen=True)
class Camera:
    """A viewer's eye, LPS mm.

    Parameters
    ----------
    up
        Unit vector that is upright in the picture.
    half_height_mm
        Of what is seen at the focal point.
    """

    position_mm: Point
    focal_mm: Point
    up: Point
    half_height_mm: float
    projection: Projection

    def axes(self) -> FloatArray:
        """Unit vectors rightwards, upwards and towards the viewer, shape (3, 3)."""
        towards = np.subtract(self.position_mm, self.focal_mm)
        return _axes(towards / np.linalg.norm(towards), np.array(self.up))


def view_words(view: str) -> tuple[str, ...]:
    """The words of a view such as "right-anterior".

    Raises
    ------
    NotFoundError
        If a word is no direction, or two of them are opposite.
    """
    words = tuple(view.lower().replace("_", "-").split("-"))
    unknown = [word for word in words if word not in _TOWARDS]
    total = np.abs(np.sum([_TOWARDS[word] for word in words if word in _TOWARDS] or [(0, 0, 0)], axis=0))
    if unknown or total.sum() < len(words):
        raise NotFoundError(
            f"no view is called {view!r}",
            hint="one of " + ", ".join(_TOWARDS) + ", or two of them joined: right-anterior",
        )
    return words


def camera_from(
    view: str, points_mm: npt.ArrayLike, *, aspect: float, projection: Projection = "perspective", margin: float = 0.06
) -> Camera:
    """The camera that sees all `points_mm`, shape (N, 3), from a side, as large as they fit.

    Parameters
    ----------
    aspect
        Width by height of the picture.
    margin
        Share of the picture left free at each edge.
    """
    towards = np.sum([_TOWARDS[word] for word in view_words(view)], axis=0)
    towards = towards / np.linalg.norm(towards)
    upright = np.array([0.0, 0.0, 1.0]) if abs(towards[2]) < 0.9 else np.array([0.0, -1.0, 0.0])
    rows = _axes(towards, upright)
    seen = np.asarray(points_mm, dtype=np.float64).reshape(-1, 3) @ rows.T
    if len(seen) == 0:
        seen = np.array([[-100.0] * 3, [100.0] * 3])
    tangent_y = math.tan(math.radians(VIEW_ANGLE_DEG / 2))
    free = 1.0 - 2.0 * margin
    fit = _fit_perspective if projection == "perspective" else _fit_parallel
    centre, half_height = fit(seen, tangent_y, aspect, free)
    focal = centre @ rows
    position = focal + towards * half_height / tangent_y
    return Camera(_point(position), _point(focal), _point(rows[1]), half_height, projection)


def _axes(towards: FloatArray, upright: FloatArray) -> FloatArray:
    right = np.cross(upright, towards)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _fit_perspective(seen: FloatArray, tangent_y: float, aspect: float, free: float) -> tuple[FloatArray, float]:
    """Focal point in camera axes, and half height there.

    A point at depth z shows at |x − x₀| ≤ t·(d − z), t the usable tangent and d the eye's depth; the two tightest
    points of each axis give x₀, and the wider axis gives d.
    """
    x0, y0 = 0.0, 0.0
    eye = -math.inf
    for axis, tangent in ((0, tangent_y * aspect * free), (1, tangent_y * free)):
        high = (seen[:, axis] + tangent * seen[:, 2]).max()
        low = (seen[:, axis] - tangent * seen[:, 2]).min()
        eye = max(eye, (high - low) / (2 * tangent))
        if axis == 0:
            x0 = (high + low) / 2
        else:
            y0 = (high + low) / 2
    depth = float(seen[:, 2].min() + seen[:, 2].max()) / 2
    half_height = max(eye - depth, 1e-3) * tangent_y
    return np.array([x0, y0, depth]), half_height


def _fit_parallel(seen: FloatArray, tangent_y: float, aspect: float, free: float) -> tuple[FloatArray, float]:
    """The same without perspective: the box around the points."""
    low, high = seen.min(axis=0), seen.max(axis=0)
    half = (high - low) / 2
    return (low + high) / 2, float(max(half[1], half[0] / aspect, 1e-3) / free)


def _point(values: FloatArray) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
