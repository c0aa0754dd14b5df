"""The complex while it is being decimated: writable arrays, and compiled steps that look round a vertex.

An edge is plain when it has two faces that run through it in opposite directions (faces are turned by label first);
any other is a feature edge: where three labels meet, where a surface ends or touches itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows
from meshing.walls import Points, Sides, Triangles

FREE, ON_CURVE, FIXED = 0, 1, 2
"""What a vertex may do: it lies on no feature edge, on exactly two, on another number."""


class Mesh(NamedTuple):
    """A complex that is being decimated. Where a collapse removed a face, its first corner is −1 until `packed`."""

    faces: npt.NDArray[np.int32]
    """(F, 3)"""
    sides: npt.NDArray[np.int32]
    """(F, 2)"""
    start: npt.NDArray[np.int32]
    """(V + 1,): where the faces of each vertex start in `around`."""
    around: npt.NDArray[np.int32]
    """(3 F,): numbers of faces, vertex by vertex."""
    kind: npt.NDArray[np.uint8]
    """(V,)"""
    points: npt.NDArray[np.float64]
    """(V, 3), mm"""
    quadrics: npt.NDArray[np.float32]
    """(V, 6)"""


class Stock(NamedTuple):
    """How many faces each label has left, and may not go below."""

    left: npt.NDArray[np.int64]
    """(labels,)"""
    least: npt.NDArray[np.int64]
    """(labels,)"""

    @property
    def seen(self) -> int:
        """Faces over all parts; a wall between two counts for both."""
        return int(self.left[1:].sum())


def turned(faces: Triangles, sides: Sides) -> Triangles:
    """Faces that all look from the larger label to the smaller, or back again: then plain edges run once each way."""
    against = sides[:, 0] < sides[:, 1]
    if against.any():
        faces[against] = faces[against][:, ::-1]
    return faces


def opened(faces: Triangles, sides: Sides, points: Points) -> Mesh:
    """A mesh of the given arrays; its quadrics are not set."""
    start, around = incidence(faces, len(points))
    kind = np.empty(len(points), np.uint8)
    mesh = Mesh(faces, sides, start, around, kind, points, np.empty((len(points), 6), np.float32))
    over_rows(find_kinds, len(points), mesh)
    return mesh


def packed(mesh: Mesh) -> Mesh:
    """The mesh without the faces that collapsed and the vertices that this leaves bare; its quadrics are not set."""
    count, vertices = pack(mesh)
    faces, sides = mesh.faces[:count], mesh.sides[:count]
    kind, points, quadrics = mesh.kind[:vertices], mesh.points[:vertices], mesh.quadrics[:vertices]
    start, around = incidence(faces, vertices)
    return Mesh(faces, sides, start, around, kind, points, quadrics)


@kernel
def incidence(faces: Any, vertices: int) -> Any:
    """Where the faces of each vertex start, and their numbers: (V + 1,) and (3 F,) int32."""
    start = np.zeros(vertices + 1, np.int32)
    for face in range(len(faces)):
        start[faces[face, 0]] += 1
        start[faces[face, 1]] += 1
        start[faces[face, 2]] += 1
    for vertex in range(vertices):
        start[vertex + 1] += start[vertex]
    around = np.empty(3 * len(faces), np.int32)
    for face in range(len(faces) - 1, -1, -1):
        for corner in range(3):
            vertex = faces[face, corner]
            start[vertex] -= 1
            around[start[vertex]] = face
    return start, around


@kernel
def find_kinds(first: int, last: int, mesh: Mesh) -> None:
    """Sets the kind of each vertex in a range."""
    faces, start, around, kind = mesh.faces, mesh.start, mesh.around, mesh.kind
    most = 0
    for vertex in range(first, last):
        most = max(most, start[vertex + 1] - start[vertex])
    ring, sheet = np.empty((most, 3), np.int32), np.empty(most, np.int32)
    for vertex in range(first, last):
        count = ring_of(faces, start, around, vertex, ring)
        kind[vertex] = FREE if _is_one_fan(ring, count) else _kind_of_others(ring, count, sheet)


@kernel
def _is_one_fan(ring: Any, count: int) -> bool:
    """Whether a walk over edges that lead to one face each comes round to all faces."""
    at, steps = 0, 0
    while steps < count:
        end, nexts, ahead = ring[at, 1], 0, 0
        for spoke in range(count):
            if ring[spoke, 0] == end:
                ahead = spoke
                nexts += 1
        if nexts != 1:
            return False
        at = ahead
        steps += 1
        if at == 0:
            return steps == count
    return False


@kernel
def _kind_of_others(ring: Any, count: int, sheet: Any) -> int:
    """Kind of the middle of a ring that is no closed fan: on a curve where all sheets lead from one edge to another.

    Fans that only touch in the vertex fix it: to move one is to tear at the other.
    """
    features, one, other = 0, -1, -1
    for entry in range(2 * count):
        end = ring[entry >> 1, entry & 1]
        ahead, behind, seen = 0, 0, False
        for again in range(count):
            if ring[again, 0] == end:
                ahead += 1
                seen = seen or 2 * again < entry
            if ring[again, 1] == end:
                behind += 1
                seen = seen or 2 * again + 1 < entry
        if not seen and (ahead != 1 or behind != 1):
            features += 1
            one, other = end, one
    return ON_CURVE if features == 2 and _are_sheets(ring, count, sheet, one, other) else FIXED


@kernel
def _are_sheets(ring: Any, count: int, sheet: Any, one: int, other: int) -> bool:
    """Whether plain edges join the faces to sheets that each touch both feature edges once."""
    for spoke in range(count):
        sheet[spoke] = spoke
    changed = True
    while changed:
        changed = False
        for spoke in range(count):
            end = ring[spoke, 1]
            for again in range(count):
                if end != one and end != other and ring[again, 0] == end and sheet[again] != sheet[spoke]:
                    sheet[again] = sheet[spoke] = min(sheet[again], sheet[spoke])
                    changed = True
    for number in range(count):
        ones, others = 0, 0
        for spoke in range(count):
            if sheet[spoke] == sheet[number]:
                ones += (ring[spoke, 0] == one) + (ring[spoke, 1] == one)
                others += (ring[spoke, 0] == other) + (ring[spoke, 1] == other)
        if ones != 1 or others != 1:
            return False
    return True


@kernel
def ring_of(faces: Any, start: Any, around: Any, vertex: int, ring: Any) -> int:
    """Number of living faces round a vertex; into `ring` goes the rest of each: next corner, last corner, face."""
    count = 0
    for slot in range(start[vertex], start[vertex + 1]):
        face = around[slot]
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if a < 0:
            continue
        if b == vertex:
            b, c = c, a
        elif c == vertex:
            b, c = a, b
        ring[count, 0], ring[count, 1], ring[count, 2] = b, c, face
        count += 1
    return count


@kernel
def faces_on(faces: Any, start: Any, around: Any, one: int, other: int) -> int:
    """How many faces an edge has."""
    count = 0
    for slot in range(start[one], start[one + 1]):
        face = around[slot]
        for corner in range(3):
            if faces[face, corner] == other:
                count += 1
    return count


@kernel
def pack(mesh: Mesh) -> Any:
    """Moves what is left to the front of the arrays, renumbered; how many faces and vertices that is."""
    faces, sides, kind, points = mesh.faces, mesh.sides, mesh.kind, mesh.points
    place = np.full(len(points), -1, np.int32)
    count = 0
    for face in range(len(faces)):
        if faces[face, 0] >= 0:
            for corner in range(3):
                place[faces[face, corner]] = 0
                faces[count, corner] = faces[face, corner]
            sides[count, 0], sides[count, 1] = sides[face, 0], sides[face, 1]
            count += 1
    vertices = 0
    for vertex in range(len(points)):
        if place[vertex] == 0:
            place[vertex] = vertices
            kind[vertices] = kind[vertex]
            for axis in range(3):
                points[vertices, axis] = points[vertex, axis]
            vertices += 1
    for face in range(count):
        for corner in range(3):
            faces[face, corner] = place[faces[face, corner]]
    return count, vertices
