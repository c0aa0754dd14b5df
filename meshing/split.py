"""Shared walls cut into one closed surface for each part, and put together again.

A surface's vertices are those of the walls, so what neighbours share is the same to the last bit. Where walls touch
along an edge or in a point, `repair` gives each sheet its own copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meshing.surface import Surface, volume_ml
from meshing.threads import kernel
from meshing.triangles.repair import repair
from meshing.walls import Walls

Index = npt.NDArray[np.int64]


def surfaces_of(walls: Walls, keys: Mapping[int, str]) -> dict[str, Surface]:
    """The closed surface of every label named in `keys`, in its order; labels without triangles have none."""
    by_label = _faces_by_label(walls)
    vertices = walls.vertices.astype(np.float32)
    place = np.full(len(vertices), -1, np.int32)
    surfaces = {}
    for label, key in keys.items():
        if label not in by_label:
            continue
        used, packed = _packed(by_label[label], place)
        points, faces = repair(vertices[used].astype(np.float64), packed)
        surface = Surface(points.astype(np.float32), faces, key)
        surfaces[key] = Surface(
            surface.vertices, surface.faces, key, raw_volume_ml=volume_ml(surface.vertices, surface.faces)
        )
    return surfaces


def together(surfaces: Sequence[Surface]) -> Walls:
    """Walls of surfaces that were cut from the same walls: label n is the n-th, counted from 1.

    Vertices at the same place become one; a triangle that two surfaces have, seen from both sides, becomes one.
    """
    corners = np.concatenate([surface.vertices[surface.faces].reshape(-1, 3) for surface in surfaces])
    vertices, faces = _welded(corners)
    labels = np.repeat(np.arange(1, len(surfaces) + 1), [len(surface.faces) for surface in surfaces])
    faces, labels = _with_corners(faces, labels)
    lowest = faces.argmin(axis=1)
    faces = faces[np.arange(len(faces))[:, None], (lowest[:, None] + np.arange(3)) % 3]
    mirror = faces[:, [0, 2, 1]]
    count = np.int64(len(vertices))
    # Twins stand next to each other when sorted by their corners without regard to their turn.
    low, high = np.minimum(faces[:, 1], mirror[:, 1]), np.maximum(faces[:, 1], mirror[:, 1])
    order = np.lexsort((labels, high, faces[:, 0] * count + low))
    ordered = faces[order]
    is_twin = np.zeros(len(order), bool)
    is_twin[1:] = (ordered[1:] == ordered[:-1][:, [0, 2, 1]]).all(axis=1)
    is_twin[1:] &= ~is_twin[:-1]  # a third of the same corners stands for itself
    first = np.flatnonzero(is_twin) - 1
    sides = np.zeros((len(order), 2), np.int32)
    sides[:, 0] = labels[order]
    # The later of two has the higher label, and stands behind.
    sides[first + 1, 1] = labels[order][first]
    kept = np.ones(len(order), bool)
    kept[first] = False
    return Walls(vertices.astype(np.float64), ordered[kept].astype(np.int32), sides[kept])


def walls_around(surface: Surface) -> Walls:
    """The walls of one surface by itself: label 1, and nothing before it."""
    sides = np.zeros((len(surface.faces), 2), np.int32)
    sides[:, 0] = 1
    return Walls(surface.vertices.astype(np.float64), surface.faces, sides)


def _faces_by_label(walls: Walls) -> dict[int, npt.NDArray[np.int32]]:
    """Outward faces of each label."""
    behind, before = walls.sides.T
    label = np.concatenate([behind, before])
    if label.max(initial=0) <= np.iinfo(np.uint16).max:
        label = label.astype(np.uint16)  # which numpy sorts by its bytes
    order = np.argsort(label, kind="stable")
    ends = np.flatnonzero(np.diff(label[order].astype(np.int32), prepend=-1, append=-1))
    found = {}
    for low, high in pairwise(ends):
        name = int(label[order[low]])
        if name:
            rows = order[low:high]
            outward, inward = rows[rows < len(behind)], rows[rows >= len(behind)] - len(behind)
            found[name] = np.concatenate([walls.faces[outward], walls.faces[inward][:, ::-1]])
    return found


def _packed(faces: npt.NDArray[np.int32], place: npt.NDArray[np.int32]) -> tuple[Index, npt.NDArray[np.int32]]:
    """Vertices that faces name, in their order, and faces by their place there.

    `place` is room for all vertices, −1 throughout before and after: clearing it for each of a hundred parts would
    take longer than the parts.
    """
    used = np.empty(faces.size, np.int64)
    used = np.sort(used[: _gather(faces, place, used)])
    packed = np.empty_like(faces)
    _number(faces, used, place, packed)
    return used, packed


@kernel
def _gather(faces: npt.NDArray[np.int32], place: npt.NDArray[np.int32], used: Index) -> int:
    """How many vertices faces name; `used` holds each once."""
    count = 0
    for face in range(len(faces)):
        for side in range(3):
            vertex = faces[face, side]
            if place[vertex] < 0:
                place[vertex] = 0
                used[count] = vertex
                count += 1
    return count


@kernel
def _number(
    faces: npt.NDArray[np.int32], used: Index, place: npt.NDArray[np.int32], packed: npt.NDArray[np.int32]
) -> None:
    for number in range(len(used)):
        place[used[number]] = number
    for face in range(len(faces)):
        for side in range(3):
            packed[face, side] = place[faces[face, side]]
    for number in range(len(used)):
        place[used[number]] = -1


def _welded(corners: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Index]:
    """Vertices, each place once, and faces."""
    bits = np.ascontiguousarray(corners + np.float32(0.0)).view(np.int32).astype(np.int64)  # −0 becomes 0
    order = np.lexsort((bits[:, 2], bits[:, 1], bits[:, 0]))
    ordered = bits[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(is_new) - 1
    return corners[order[is_new]], place.reshape(-1, 3)


def _with_corners(faces: Index, labels: Index) -> tuple[Index, Index]:
    """Without those that fell together."""
    a, b, c = faces.T
    is_whole = (a != b) & (b != c) & (a != c)
    return faces[is_whole], labels[is_whole]
