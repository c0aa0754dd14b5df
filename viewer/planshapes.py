"""What is planned, as small surfaces that 3D pictures and slices draw like anatomy."""

from __future__ import annotations

import numpy as np

from meshing.exporting.shapes import Shape, ball, sheet, tube
from meshing.plan import AblationZone, CutPlane, PlanPart, Route, Trajectory
from meshing.terminology import Structure

ROUTE_RADIUS_MM = 1.0
PLANE_SIZE_MM = 120.0
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
        helper = np.eye(3)[int(np.argmin(np.abs(along)))]
        across = np.cross(along, helper) / np.linalg.norm(np.cross(along, helper))
        rows = np.stack([along, across, np.cross(along, across)])
        return ball(part.centre_mm, (part.half_length_mm, part.radius_mm, part.radius_mm), rows, refinements=4)
    if isinstance(part, Route):
        return tube(part.points_mm, ROUTE_RADIUS_MM)
    return sheet(part.point_mm, part.normal, PLANE_SIZE_MM)


def structure_of(part: PlanPart) -> Structure:
    """The part as a structure of the system "plan": its name, colour and opacity."""
    colour, opacity = _LOOKS[type(part)]
    return Structure(f"plan:{part.name}", part.name, part.name, system="plan", colour=colour, opacity=opacity)
