"""How far two surfaces lie apart: exact point-to-triangle distances from dense samples, both ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.surface import Deviation, Faces, Surface

Points = npt.NDArray[np.float64]

_CANDIDATES = 8
"""Triangles tried per sample: those whose own samples lie nearest."""


def deviation(one: Surface, other: Surface, *, samples: int = 20_000) -> Deviation:
    """Two-sided distance between surfaces, in mm.

    Each surface is sampled evenly by area (and at its vertices); every sample is measured exactly against the nearest
    triangles of the other. The mean weighs both directions alike; the maximum is the sampled Hausdorff distance.

    Parameters
    ----------
    samples
        Per direction.
    """
    there = _distances(_samples(one, samples), other, samples)
    back = _distances(_samples(other, samples), one, samples)
    if len(there) == 0 or len(back) == 0:
        return Deviation(float("inf"), float("inf"))
    return Deviation(float((there.mean() + back.mean()) / 2), float(max(there.max(), back.max())))


def _samples(surface: Surface, count: int) -> Points:
    points, _ = _spread(surface.vertices.astype(np.float64), surface.faces, count)
    step = max(len(surface.vertices) // count, 1)
    return np.vstack([points, surface.vertices[::step].astype(np.float64)])


def _spread(vertices: Points, faces: Faces, count: int) -> tuple[Points, npt.NDArray[np.int64]]:
    """Points even by area, with the face of each; deterministic (a low-discrepancy sequence within faces)."""
    if len(faces) == 0:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    ends = np.cumsum(area) / max(area.sum(), 1e-30)
    face = np.searchsorted(ends, (np.arange(count) + 0.5) / count).clip(0, len(faces) - 1)
    number = np.arange(count)
    u, v = (number * 0.7548776662466927) % 1.0, (number * 0.5698402909980532) % 1.0
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u)[:, None], np.where(outside, 1 - v, v)[:, None]
    return a[face] + u * (b - a)[face] + v * (c - a)[face], face


def _distances(points: Points, surface: Surface, samples: int) -> Points:
    """Distance of every point to the surface."""
    from scipy.spatial import cKDTree

    vertices = surface.vertices.astype(np.float64)
    if len(points) == 0 or len(surface.faces) == 0:
        return np.zeros(0)
    spread, face = _spread(vertices, surface.faces, 3 * samples)
    corners = np.arange(len(surface.faces))
    anchors = np.vstack([spread, vertices[surface.faces].mean(axis=1)])
    owner = np.concatenate([face, corners])
    _, nearest = cKDTree(anchors).query(points, k=min(_CANDIDATES, len(anchors)))
    nearest = nearest.reshape(len(points), -1)
    best = np.full(len(points), np.inf)
    for candidate in owner[nearest].T:
        best = np.minimum(best, _to_triangle(points, *(vertices[surface.faces[candidate, at]] for at in range(3))))
    return best


def _to_triangle(p: Points, a: Points, b: Points, c: Points) -> Points:
    """Distance of p[i] to triangle a[i] b[i] c[i]: to its plane above the inside, else to the nearest edge."""
    ab, ac, ap = b - a, c - a, p - a
    normal = np.cross(ab, ac)
    scale = np.maximum(_dot(normal, normal), 1e-30)
    v = _dot(np.cross(ap, ac), normal) / scale
    w = _dot(np.cross(ab, ap), normal) / scale
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    to_plane = np.abs(_dot(ap, normal)) / np.sqrt(scale)
    to_edge = np.minimum(np.minimum(_to_segment(p, a, b), _to_segment(p, b, c)), _to_segment(p, c, a))
    return np.where(inside, to_plane, to_edge)


def _to_segment(p: Points, a: Points, b: Points) -> Points:
    along = b - a
    t = np.clip(_dot(p - a, along) / np.maximum(_dot(along, along), 1e-30), 0.0, 1.0)
    distance: Points = np.linalg.norm(p - a - t[:, None] * along, axis=1)
    return distance


def _dot(one: Points, other: Points) -> Points:
    product: Points = np.einsum("ij,ij->i", one, other)
    return product
