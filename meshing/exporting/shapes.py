"""Small meshes for marks: balls, tubes and sheets, LPS mm, faces outward (counter-clockwise from outside)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray

Triangles = npt.NDArray[np.int32]
Shape = tuple[FloatArray, Triangles]

_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def ball(
    centre: npt.ArrayLike, radii: npt.ArrayLike, directions: npt.ArrayLike = _IDENTITY, *, refinements: int
) -> Shape:
    """An ellipsoid with 20·4^refinements triangles, its vertices exactly on it."""
    unit, faces = _icosphere(refinements)
    rows = np.asarray(directions, dtype=np.float64)
    if np.linalg.det(rows) < 0:
        faces = faces[:, ::-1]
    return np.asarray(centre, dtype=np.float64) + (unit * np.asarray(radii, dtype=np.float64)) @ rows, faces


def tube(points: Sequence[npt.ArrayLike], radius: float, *, sides: int = 16) -> Shape:
    """A closed tube along `points`, with flat ends; its rings do not twist.

    References
    ----------
    Wang et al., Computation of rotation minimizing frames, ACM TOG 27(1), 2008: the double reflection.
    """
    way = np.asarray(points, dtype=np.float64)
    tangents = _tangents(way)
    sideways = _untwisted(way, tangents)
    angle = np.arange(sides) * (2 * np.pi / sides)
    across = np.cross(tangents, sideways)
    rings = (
        way[:, None]
        + radius * np.cos(angle)[None, :, None] * sideways[:, None]
        + radius * np.sin(angle)[None, :, None] * across[:, None]
    )
    return np.vstack([rings.reshape(-1, 3), way[:1], way[-1:]]), _tube_faces(len(way), sides)


def sheet(point: npt.ArrayLike, normal: npt.ArrayLike, size: float) -> Shape:
    """A square of two triangles, counter-clockwise round `normal`."""
    up = np.asarray(normal, dtype=np.float64)
    up = up / np.linalg.norm(up)
    u = _perpendicular(up)
    v = np.cross(up, u)
    corners = np.array([-u - v, u - v, u + v, -u + v]) * (size / 2)
    return np.asarray(point, dtype=np.float64) + corners, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def _icosphere(refinements: int) -> Shape:
    """Unit icosahedron whose edges are halved `refinements` times."""
    golden = (1 + 5**0.5) / 2
    corners = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    vertices = np.array([np.roll(corner, turn) for turn in range(3) for corner in corners], dtype=np.float64)
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    faces = _hull(vertices)
    for _ in range(refinements):
        vertices, faces = _halved(vertices, faces)
    return vertices, faces.astype(np.int32)


def _hull(vertices: FloatArray) -> npt.NDArray[np.int64]:
    """The 20 outward faces of an icosahedron: the triples of mutual neighbours."""
    near = vertices @ vertices.T > 0.4
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    outward = [t if np.linalg.det(vertices[list(t)]) > 0 else t[::-1] for t in triples]
    return np.array(outward, dtype=np.int64)


def _halved(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    unique, which = np.unique(edges, axis=0, return_inverse=True)
    middles = vertices[unique].sum(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    (a, b, c), (ab, bc, ca) = faces.T, (which.reshape(-1, 3) + len(vertices)).T
    quarters = [np.stack(three, axis=1) for three in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return np.vstack([vertices, middles]), np.vstack(quarters)


def _tangents(way: FloatArray) -> FloatArray:
    """Unit directions at the points; between two segments their bisector, or the first where they turn right back."""
    steps = np.diff(way, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    bisectors = steps[:-1] + steps[1:]
    lengths = np.linalg.norm(bisectors, axis=1, keepdims=True)
    bisectors = np.where(lengths > 1e-6, bisectors / np.maximum(lengths, 1e-6), steps[:-1])
    tangents: FloatArray = np.vstack([steps[:1], bisectors, steps[-1:]])
    return tangents


def _untwisted(way: FloatArray, tangents: FloatArray) -> FloatArray:
    """A unit vector across each tangent, carried along by double reflection."""
    sideways = [_perpendicular(tangents[0])]
    for at in range(len(way) - 1):
        first = way[at + 1] - way[at]
        vector = _reflected(sideways[-1], first)
        vector = _reflected(vector, tangents[at + 1] - _reflected(tangents[at], first))
        vector = vector - tangents[at + 1] * (vector @ tangents[at + 1])
        length = float(np.linalg.norm(vector))
        sideways.append(vector / length if length > 1e-6 else _perpendicular(tangents[at + 1]))
    return np.array(sideways)


def _reflected(vector: FloatArray, across: FloatArray) -> FloatArray:
    length = float(across @ across)
    if length < 1e-18:
        return vector
    reflected: FloatArray = vector - across * (2.0 * float(vector @ across) / length)
    return reflected


def _perpendicular(direction: FloatArray) -> FloatArray:
    """Any unit vector across a unit vector."""
    across = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
    perpendicular: FloatArray = across / np.linalg.norm(across)
    return perpendicular


def _tube_faces(rings: int, sides: int) -> Triangles:
    number = np.arange(rings * sides).reshape(rings, sides)
    here, there = number[:-1], number[1:]
    here_next, there_next = np.roll(here, -1, axis=1), np.roll(there, -1, axis=1)
    wall = [
        np.stack(three, axis=-1).reshape(-1, 3) for three in ((here, here_next, there_next), (here, there_next, there))
    ]
    first, last = number[0], number[-1]
    start, end = np.full(sides, rings * sides), np.full(sides, rings * sides + 1)
    caps = [np.stack([start, np.roll(first, -1), first], axis=1), np.stack([end, last, np.roll(last, -1)], axis=1)]
    return np.vstack([*wall, *caps]).astype(np.int32)
