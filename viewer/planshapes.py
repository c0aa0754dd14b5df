"""What is planned, as small surfaces that 3D pictures and slices draw like anatomy."""

from __future__ import annotations

import numpy as np

from meshing.exporting.shapes import Shape, Triangles, ball, sheet, tube
from meshing.frames import FloatArray
from meshing.plan import AblationZone, CutPlane, PlanPart, Route, Trajectory
from meshing.terminology import Structure

ROUTE_RADIUS_MM = 1.0
PLANE_SIZE_MM = 120.0
_PANE_STEPS = 24
_LOOKS = {
    Trajectory: ((1.0, 0.84, 0.10), 1.0),
    AblationZone: ((0.10, 0.80, 0.90), 0.4),
    Route: ((0.98, 0.45, 0.90), 1.0),
    CutPlane: ((0.62, 0.88, 0.45), 0.35),
}


def shape_of(part: PlanPart) -> Shape:
    """Vertices (V, 3) in LPS mm and outward faces (F, 3) of a planned part."""
    if isinstance(part, Trajectory):
        return tube([part.entry_mm, part.target_mm], part.radius_mm)
    if isinstance(part, AblationZone):
        along = np.asarray(part.axis, dtype=np.float64) / np.linalg.norm(part.axis)
        least = np.eye(3)[int(np.argmin(np.abs(along)))]  # the axis farthest from it
        across = np.cross(along, least) / np.linalg.norm(np.cross(along, least))
        rows = np.stack([along, across, np.cross(along, across)])
        return ball(part.centre_mm, (part.half_length_mm, part.radius_mm, part.radius_mm), rows, refinements=4)
    if isinstance(part, Route):
        return tube(part.points_mm, ROUTE_RADIUS_MM)
    return _pane(*sheet(part.point_mm, part.normal, PLANE_SIZE_MM))


def _pane(corners: FloatArray, _: Triangles) -> Shape:
    """A square seen from both sides, in small triangles: large ones cannot be sorted by their distance."""
    share = np.linspace(0.0, 1.0, _PANE_STEPS + 1)[:, None]
    lower = corners[0] + share * (corners[1] - corners[0])
    upper = corners[3] + share * (corners[2] - corners[3])
    vertices = (lower + share[:, None] * (upper - lower)).reshape(-1, 3)
    number = np.arange(len(vertices), dtype=np.int32).reshape(_PANE_STEPS + 1, _PANE_STEPS + 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    return np.concatenate([vertices, vertices]), np.concatenate([faces, faces[:, ::-1] + len(vertices)])


def structure_of(part: PlanPart) -> Structure:
    """The part as a structure of the system "plan": its name, colour and opacity."""
    colour, opacity = _LOOKS[type(part)]
    return Structure(f"plan:{part.name}", part.name, part.name, system="plan", colour=colour, opacity=opacity)
