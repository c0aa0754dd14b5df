"""What stands in a model file that a contender wrote: soundness, volumes against the voxels, vessels against truth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gltf_faults import document_of
from benchmarks.labelmaps import ORIGIN_MM, Body, Tube
from benchmarks.vtkmesh import closest_distances
from meshing.surface import Surface, check

Array = npt.NDArray[Any]

THIN_MM = 1.5
"""Radius up to which a vessel counts as thin."""

_SAMPLES = 3_000
_CROSSING_MM = 2.0
"""Within so much of another vessel the truth is not one tube's."""


@dataclass(frozen=True)
class Made:
    """What a set of surfaces is like.

    Parameters
    ----------
    volume_off
        By label: volume over that of its voxels, less 1; whoever lost a label has −1 there.
    vessel_mm
        By radius: mean two-sided distance between the vessels of that radius and their exact shape, and the largest.
    """

    triangles: int
    open_edges: int
    crowded_edges: int
    pinched_vertices: int
    volume_off: Mapping[str, float]
    vessel_mm: Mapping[float, tuple[float, float]]
    thin: frozenset[str]

    @property
    def median_off(self) -> float:
        return median(abs(off) for off in self.volume_off.values())

    @property
    def worst_off(self) -> float:
        return max(self.volume_off.values(), key=abs)

    @property
    def worst_thin_off(self) -> float:
        return max((off for key, off in self.volume_off.items() if key in self.thin), key=abs, default=0.0)


def made(body: Body, surfaces: Mapping[str, Surface]) -> Made:
    """What the surfaces are like, in mm from the middle of the body's first voxel, by key."""
    checks = {key: check(surface) for key, surface in surfaces.items()}
    counts = np.bincount(body.segmentation.layers[0].reshape(-1, order="A"))
    voxel_ml = body.segmentation.grid.voxel_volume_mm3 / 1000.0
    return Made(
        triangles=sum(found.triangles for found in checks.values()),
        open_edges=sum(found.boundary_edges for found in checks.values()),
        crowded_edges=sum(found.crowded_edges for found in checks.values()),
        pinched_vertices=sum(found.pinched_vertices for found in checks.values()),
        volume_off={
            segment.key: (checks[segment.key].volume_ml if segment.key in checks else 0.0)
            / (counts[segment.label] * voxel_ml)
            - 1
            for segment in body.segmentation.segments
        },
        vessel_mm=vessel_errors(body.tubes, surfaces),
        thin=frozenset(key for key, tube in body.tubes.items() if tube.radius_mm <= THIN_MM),
    )


def vessel_errors(tubes: Mapping[str, Tube], surfaces: Mapping[str, Surface]) -> dict[float, tuple[float, float]]:
    """Mean and largest distance by radius, from the surface to the shape and back; a lost vessel is its radius away."""
    found: dict[float, list[Array]] = {}
    for key, tube in tubes.items():
        others = [other for name, other in tubes.items() if name != key]
        surface = surfaces.get(key)
        if surface is None or not len(surface.faces):
            found.setdefault(tube.radius_mm, []).append(np.full(_SAMPLES, tube.radius_mm))
            continue
        vertices, faces = surface.vertices.astype(np.float64), surface.faces
        there = _far_from(others, samples(vertices, faces, _SAMPLES))
        back = _far_from(others, _points_on(tube))
        distances = [np.abs(tube_distance(tube, there)), closest_distances(back, vertices, faces)]
        found.setdefault(tube.radius_mm, []).extend(distances)
    return {
        radius: (float(np.mean([one.mean() for one in all_of])), float(max(one.max() for one in all_of)))
        for radius, all_of in sorted(found.items())
    }


def samples(vertices: Array, faces: Array, count: int) -> Array:
    """Random points on the triangles (count, 3), even by area; the seed is fixed."""
    rng = np.random.default_rng(0)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(faces), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    points: Array = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return points


def tube_distance(tube: Tube, points: Array) -> Array:
    """Signed distance (N,) of points (N, 3) to the tube's skin, negative inside."""
    start, along = tube.line_mm[:-1], np.diff(tube.line_mm, axis=0)
    square = np.einsum("pa,pa->p", along, along)
    nearest = np.full(len(points), np.inf)
    for piece in range(len(along)):
        away = points - start[piece]
        t = np.clip(away @ along[piece] / square[piece], 0.0, 1.0)
        np.minimum(nearest, np.linalg.norm(away - t[:, None] * along[piece], axis=1), out=nearest)
    return nearest - tube.radius_mm


def _points_on(tube: Tube) -> Array:
    """Points on its side, two radii from its ends."""
    rng = np.random.default_rng(1)
    steps = np.diff(tube.line_mm, axis=0)
    piece = rng.integers(len(steps), size=_SAMPLES)
    along = steps[piece] / np.linalg.norm(steps[piece], axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(_SAMPLES, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    points = tube.line_mm[piece] + rng.random((_SAMPLES, 1)) * steps[piece] + tube.radius_mm * across
    ends = np.minimum(*(np.linalg.norm(points - tube.line_mm[end], axis=1) for end in (0, -1)))
    on_skin = (np.abs(tube_distance(tube, points)) < 1e-3) & (ends > 2 * tube.radius_mm)  # bends bury a few
    found: Array = points[on_skin]
    return found


def _far_from(tubes: list[Tube], points: Array) -> Array:
    is_far = np.ones(len(points), np.bool_)
    for tube in tubes:
        reach = tube.radius_mm + _CROSSING_MM
        low, high = tube.line_mm.min(axis=0) - reach, tube.line_mm.max(axis=0) + reach
        near = np.flatnonzero(((points > low) & (points < high)).all(axis=1) & is_far)
        is_far[near] = tube_distance(tube, points[near]) > _CROSSING_MM
    far: Array = points[is_far]
    return far


def surfaces_in_glb(path: Path) -> dict[str, Surface]:
    """By "label_N", N the number at the end of a mesh's name; in mm from the middle of the body's first voxel.

    A file that says how it lies is brought back to the patient; others keep the body's own axes in metres.
    """
    import trimesh

    scene = trimesh.load_scene(str(path), file_type="glb", process=False)
    back = _back(path)
    found = {}
    for name in scene.graph.nodes_geometry:
        matrix, geometry = scene.graph[name]
        mesh = scene.geometry[geometry]
        whole = back @ matrix
        vertices = mesh.vertices @ whole[:3, :3].T + whole[:3, 3]
        number = re.findall(r"\d+", name)[-1]
        faces = np.asarray(mesh.faces, np.int32)
        found[f"label_{number}"] = Surface(vertices.astype(np.float32), faces, f"label_{number}")
    return found


def _back(path: Path) -> Array:
    """(4, 4): the file's metres to mm from the middle of the first voxel."""
    for node in document_of(path)["nodes"]:
        if "lps_mm_to_gltf_m" in node.get("extras", {}):
            back: Array = np.linalg.inv(np.reshape(node["extras"]["lps_mm_to_gltf_m"], (4, 4)))
            back[:3, 3] -= ORIGIN_MM
            return back
    return np.diag([1000.0, 1000.0, 1000.0, 1.0])


def surface_in_stl(path: Path) -> Surface:
    """All triangles, corners in the same place joined."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.fromfile(path, record, offset=84)["corners"].reshape(-1, 3)
    vertices, faces = np.unique(corners, axis=0, return_inverse=True)
    triangles: npt.NDArray[np.int32] = faces.reshape(-1, 3).astype(np.int32)
    a, b, c = triangles.T
    return Surface(vertices, triangles[(a != b) & (b != c) & (c != a)], path.stem)
