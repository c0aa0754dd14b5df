"""Cross-sections of a vessel: area and diameters in planes across its centreline, from its wall or from grey values.

In: a branch of a `VesselTree`. Out: a `CrossSection` at every place asked for, in LPS mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import VesselError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.vessels.across import Planes, first_walls
from meshing.vessels.centreline import across, arc_of, tangents
from meshing.vessels.nouns import Branch, VesselTree
from meshing.volume import Volume

_RAYS = 96
_CALIPERS = np.linspace(0.0, np.pi, 60, endpoint=False)
_REACH_RADII, _REACH_VOXELS = 4.0, 6.0
_SAMPLE_VOXELS = 0.1
_TANGENT_POINTS = 2


@dataclass(frozen=True, eq=False)
class CrossSection:
    """One plane across a vessel.

    Parameters
    ----------
    arc_mm
        The way along the branch to it.
    at_mm, normal
        The point of the centreline, and its direction there.
    contour_mm
        (96, 3), the first wall in every direction.
    area_mm2, diameter_mm
        Inside the contour; the diameter of a disc of that area.
    least_diameter_mm, greatest_diameter_mm
        Between parallel lines that hold the contour.
    """

    arc_mm: float
    at_mm: Point
    normal: Point
    contour_mm: FloatArray
    area_mm2: float
    least_diameter_mm: float
    greatest_diameter_mm: float

    @property
    def diameter_mm(self) -> float:
        return float(np.sqrt(4.0 * self.area_mm2 / np.pi))


def cross_sections(
    tree: VesselTree, number: int, *, image: Volume | None = None, every_mm: float = 1.0
) -> tuple[CrossSection, ...]:
    """Sections of a branch's own length, `every_mm` apart.

    Parameters
    ----------
    image
        Grey values: the wall is then where they fall half way from the lumen's to those around it, in every direction
        by itself. Else it is the wall that the tree was followed in.

    Raises
    ------
    VesselError
        If `every_mm` is not above 0, or the branch has no length of its own.
    """
    branch = tree.branch(number)
    if not every_mm > 0.0:
        raise VesselError(f"sections {every_mm} mm apart", where=f"branch {number}", hint="give a distance above 0")
    arcs = _places(branch, every_mm)
    points, radii, along = _on(branch, arcs)
    one, other = across(along)
    voxel = float(np.cbrt(np.prod(tree.voxel_mm)))
    planes = Planes(points, one, other, _REACH_RADII * radii + _REACH_VOXELS * voxel)
    far = first_walls(planes, tree.wall, _RAYS) if image is None else half_maxima(planes, radii, image)
    angles = np.arange(_RAYS) * (2.0 * np.pi / _RAYS)
    found = []
    for row in np.flatnonzero(np.isfinite(far).all(axis=1)):
        flat = far[row, :, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        contour = points[row] + flat @ np.stack([one[row], other[row]])
        found.append(CrossSection(float(arcs[row]), _point(points[row]), _point(along[row]), contour, *_measured(flat)))
    return tuple(found)


def _places(branch: Branch, every_mm: float) -> FloatArray:
    start, end = float(branch.arc_mm[branch.own_from]), branch.length_mm
    if end - start < 1e-6:
        raise VesselError(
            f"the branch runs inside the vessels beside it for all of its {end:.1f} mm",
            where=f"branch {branch.number}",
            hint="measure the branch that it comes from",
        )
    return np.linspace(start, end, max(round((end - start) / every_mm), 1) + 1)


def _on(branch: Branch, arcs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Points, radii and directions of a branch at ways along it."""
    along = tangents(branch.points_mm)

    def at(values: FloatArray) -> FloatArray:
        return np.interp(arcs, branch.arc_mm, values)

    directions = np.stack([at(along[:, axis]) for axis in range(3)], axis=1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.stack([at(branch.points_mm[:, axis]) for axis in range(3)], axis=1), at(branch.radius_mm), directions


def _measured(flat: FloatArray) -> tuple[float, float, float]:
    """Area, and the least and greatest distance of parallel lines round it, of a star of points (N, 2)."""
    after = np.roll(flat, -1, axis=0)
    area = 0.5 * float((flat[:, 0] * after[:, 1] - flat[:, 1] * after[:, 0]).sum())
    # The corners lie on the wall, the edges inside it: a disc's polygon is smaller by this share.
    turn = 2.0 * np.pi / len(flat)
    area *= turn / np.sin(turn)
    shadows = flat @ np.stack([np.cos(_CALIPERS), np.sin(_CALIPERS)])
    widths = shadows.max(axis=0) - shadows.min(axis=0)
    return area, float(widths.min()), float(widths.max())


def half_maxima(planes: Planes, radius_mm: FloatArray, image: Volume) -> FloatArray:
    """(N, rays) mm to where grey values fall half way from the lumen's to what lies round it; NaN where they do not.

    The lumen's is the median of the inner half; what lies round it is the least within the next radius, by direction.
    """
    from scipy.ndimage import map_coordinates

    step = _SAMPLE_VOXELS * float(image.grid.spacing_mm.min())
    count = int(np.ceil(float(planes.reach_mm.max()) / step)) + 1
    distance = step * np.arange(count)
    angles = np.arange(_RAYS) * (2.0 * np.pi / _RAYS)
    found = np.full((len(planes.points), _RAYS), np.nan)
    voxels = np.asarray(image.voxels, np.float32)
    for row, (point, radius) in enumerate(zip(planes.points, radius_mm, strict=True)):
        ways = np.cos(angles)[:, None] * planes.one[row] + np.sin(angles)[:, None] * planes.other[row]
        index = image.grid.to_voxel(point + distance[None, :, None] * ways[:, None, :])
        grey = map_coordinates(voxels, np.moveaxis(index, -1, 0), order=1, mode="nearest")
        inside = float(np.median(grey[:, distance <= 0.5 * radius]))
        near = (distance > radius) & (distance <= 2.0 * radius + 10.0 * step)
        around = float(np.median(grey[:, near].min(axis=1)))
        if not inside > around:
            continue
        below = grey < 0.5 * (inside + around)
        first = below.argmax(axis=1)
        ok = below.any(axis=1) & (first > 0)
        rays = np.flatnonzero(ok)
        high, low = grey[rays, first[rays] - 1], grey[rays, first[rays]]
        share = (high - 0.5 * (inside + around)) / (high - low)
        found[row, rays] = step * (first[rays] - 1 + share)
    return found


def tortuosity(points_mm: FloatArray) -> float:
    """How much longer a line is than the straight way between its ends: length by chord, minus 1.

    References
    ----------
    Piccinelli et al., IEEE Transactions on Medical Imaging 28 (2009).
    """
    chord = float(np.linalg.norm(points_mm[-1] - points_mm[0]))
    length = float(arc_of(points_mm)[-1])
    return length / chord - 1.0 if chord > 1e-9 else float("inf")


@dataclass(frozen=True)
class Bifurcation:
    """Angles where a branch divides.

    Parameters
    ----------
    node, parent, children
        Numbers.
    turn_deg
        By how much each child turns away from its parent's direction.
    spread_deg
        Between the first two children, the thickest first.
    """

    node: int
    parent: int | None
    children: tuple[int, ...]
    turn_deg: tuple[float, ...]
    spread_deg: float


def bifurcation_angles(tree: VesselTree) -> tuple[Bifurcation, ...]:
    """The angles at every bifurcation: of directions over one diameter, from where each vessel is its own."""
    found = []
    for node in tree.bifurcations:
        into = next((branch for branch in tree.branches if branch.end == node.number), None)
        out = sorted(
            (branch for branch in tree.branches if branch.start == node.number), key=lambda b: -b.mean_radius_mm
        )
        before = None if into is None else -_leaving(into.points_mm[::-1], into.radius_mm[::-1], node.radius_mm)
        after = [_leaving(b.points_mm[b.own_from :], b.radius_mm[b.own_from :], 0.0) for b in out]
        turns = tuple(_angle_deg(before, way) for way in after) if before is not None else ()
        spread = _angle_deg(after[0], after[1]) if len(after) > 1 else 0.0
        children = tuple(b.number for b in out)
        found.append(Bifurcation(node.number, into.number if into else None, children, turns, spread))
    return tuple(found)


def _leaving(points: FloatArray, radii: FloatArray, skip_mm: float) -> FloatArray:
    arc = arc_of(points)
    span = points[(arc >= skip_mm) & (arc <= skip_mm + 2.0 * max(float(radii[0]), skip_mm))]
    span = span if len(span) > 2 else points
    _, _, rows = np.linalg.svd(span - span.mean(axis=0))
    way: FloatArray = rows[0] * np.sign(rows[0] @ (span[-1] - span[0]) or 1.0)
    return way


def _angle_deg(one: FloatArray, other: FloatArray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1.0, 1.0))))


def _point(values: FloatArray) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
