"""Points on walls at which distances are asked: even ones for the mean, marked places for the maximum.

Walls come as pieces: triangles, or quads that are cut along their shorter diagonal, between two labels each. A label's
even samples lie as densely as the label needs; each has the area that it stands for as its weight. Marked places weigh
nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows
from meshing.triangles.cutting import cut

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Pieces = npt.NDArray[np.int32]
"""(N, 3) or (N, 4): corners of triangles or of quads."""

_MARKS = 4
"""Marked places of a piece at most: its corners, or the middles of its edges."""


class Extents(NamedTuple):
    """By label the area in mm², about, and the number of pieces; none for label 0."""

    areas: Points
    pieces: npt.NDArray[np.int64]


class Samples(NamedTuple):
    """Points (N, 3), the labels (N, 2) that each is between, and the area that it stands for: 0 beside even ones."""

    points: Points
    sides: Labels
    weights: Points
    pieces: Labels
    """The piece (N,) that each lies on."""


Seen = npt.NDArray[np.uint32]
"""(V,): the pair of labels for which a vertex was last asked: where three meet, once is not enough."""


def nobody_saw(vertices: int) -> Seen:
    """For vertices that were not asked yet."""
    return np.zeros(vertices, np.uint32)


@kernel
def pair_of(behind: Any, before: Any) -> Any:
    """Two labels as one number; no wall has 0, nothing on both its sides."""
    return np.uint32(behind) << np.uint32(16) | np.uint32(before)


def areas_of(vertices: Points, faces: Labels) -> Points:
    """(F,) mm² of triangles."""
    areas = np.empty(len(faces))
    over_rows(_measure, len(faces), vertices, faces, areas)
    return areas


def extents_of(sides: npt.NDArray[Any], areas: npt.NDArray[np.float64], labels: int) -> Extents:
    """Sums over the pieces that bound each label; a wall counts for both its sides."""
    parts = over_rows(_add_up, len(sides), sides, areas, labels) or [(np.zeros(labels), np.zeros(labels, np.int64))]
    found = Extents(sum(part[0] for part in parts), sum(part[1] for part in parts))
    found.areas[0], found.pieces[0] = 0.0, 0
    return found


def samples_of(
    vertices: Points,
    pieces: Pieces,
    sides: npt.NDArray[Any],
    areas: npt.NDArray[np.float64],
    extents: Extents,
    *,
    even: npt.NDArray[np.int64],
    marked: npt.NDArray[np.int64],
    middles: bool,
) -> Samples:
    """About as many even samples of each label as asked for, and marked places of as many of its pieces.

    Parameters
    ----------
    areas
        (N,): as in the extents. May be rough, and one for all: weights are by the true area.
    even, marked
        (labels,): samples, and pieces that give marked places.
    middles
        These are the middles of edges, of which two triangles give one each; else they are corners: all of them when
        all of a label's pieces are asked for, or else one of each piece.
    """
    density = np.where(extents.areas > 0, even / np.maximum(extents.areas, 1e-30), 0.0)
    share = np.minimum(np.where(extents.pieces > 0, marked / np.maximum(extents.pieces, 1), 0.0), 1.0)
    room = int(even.sum() + _MARKS * np.minimum(marked, extents.pieces).sum()) + (1 + _MARKS) * len(even)
    made = Samples(np.empty((room, 3)), np.empty((room, 2), np.int32), np.zeros(room), np.empty(room, np.int32))
    used = _place(vertices, pieces, sides, areas, density, share, middles, nobody_saw(len(vertices)), *made)
    return Samples(made.points[:used], made.sides[:used], made.weights[:used], made.pieces[:used])


@kernel
def _area(vertices: Points, a: int, b: int, c: int) -> float:
    ux, uy, uz = (
        vertices[b, 0] - vertices[a, 0],
        vertices[b, 1] - vertices[a, 1],
        vertices[b, 2] - vertices[a, 2],
    )
    wx, wy, wz = (
        vertices[c, 0] - vertices[a, 0],
        vertices[c, 1] - vertices[a, 1],
        vertices[c, 2] - vertices[a, 2],
    )
    x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    area: float = np.sqrt(x * x + y * y + z * z) / 2.0
    return area


@kernel
def _measure(first: int, last: int, vertices: Points, faces: Labels, areas: Points) -> None:
    for face in range(first, last):
        areas[face] = _area(vertices, faces[face, 0], faces[face, 1], faces[face, 2])


@kernel
def _add_up(first: int, last: int, sides: Any, areas: Any, labels: int) -> tuple[Points, npt.NDArray[np.int64]]:
    sums, pieces = np.zeros(labels), np.zeros(labels, np.int64)
    for piece in range(first, last):
        for side in range(2):
            sums[sides[piece, side]] += areas[piece]
            pieces[sides[piece, side]] += 1
    return sums, pieces


@kernel
def _place(
    vertices: Points,
    pieces: Any,
    sides: Any,
    areas: Any,
    density: Points,
    share: Points,
    middles: bool,
    seen: Seen,
    points: Any,
    labels: Any,
    weights: Any,
    origins: Any,
) -> int:
    """Samples, and how many they are.

    A wall is sampled as densely as the label needs that needs it most. What is due is counted for each label by itself,
    so that none takes turns from another.
    """
    used, corners = 0, pieces.shape[1]
    due, due_marked = np.full(len(density), 0.5), np.full(len(density), 0.5)
    for piece in range(len(pieces)):
        behind, before = sides[piece, 0], sides[piece, 1]
        dense = behind if density[behind] >= density[before] else before
        wanted = density[dense] * areas[piece]
        due[dense] += wanted
        begin = used
        if due[dense] >= 1.0:
            a, b, c, d = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], pieces[piece, corners - 1]
            if corners == 4:
                a, b, c, d = cut(vertices, a, b, c, d)
            first = _area(vertices, a, b, c)
            area = first + _area(vertices, a, c, d)
            while due[dense] >= 1.0 and used < len(points):
                due[dense] -= 1.0
                _put(vertices, a, b, c, d, first / area if area > 0.0 else 1.0, used, points)
                weights[used] = area / wanted
                used += 1
        often = behind if share[behind] >= share[before] else before
        due_marked[often] += share[often]
        if due_marked[often] >= 1.0:
            due_marked[often] -= 1.0
            if used + _MARKS <= len(points):
                some = corners if middles or share[often] >= 1.0 else 1
                used = _mark(vertices, pieces, piece, some, middles, seen, pair_of(behind, before), points, used)
        for row in range(begin, used):
            labels[row, 0], labels[row, 1] = behind, before
            origins[row] = piece
    return used


@kernel
def _put(vertices: Points, a: int, b: int, c: int, d: int, first: float, number: int, points: Any) -> None:
    """A point of two triangles; the numbers run evenly through them (Roberts 2018, in three dimensions)."""
    u, v, w = (
        (number * 0.8191725133961645) % 1.0,
        (number * 0.6710436067037893) % 1.0,
        (number * 0.5497004779019703) % 1.0,
    )
    if u + v > 1.0:  # folded into the half that a triangle fills
        u, v = 1.0 - u, 1.0 - v
    if w >= first:
        b, c = c, d
    for axis in range(3):
        points[number, axis] = (1.0 - u - v) * vertices[a, axis] + u * vertices[b, axis] + v * vertices[c, axis]


@kernel
def _mark(
    vertices: Points, pieces: Any, piece: int, some: int, middles: bool, seen: Any, pair: int, points: Any, used: int
) -> int:
    """Middles of edges, or corners not yet seen for those labels; how many samples there then are."""
    for corner in range(some):
        one, other = pieces[piece, corner], pieces[piece, (corner + 1) % pieces.shape[1]]
        if middles:
            if one < other:
                for axis in range(3):
                    points[used, axis] = (vertices[one, axis] + vertices[other, axis]) / 2.0
                used += 1
        elif seen[one] != pair:
            seen[one] = pair
            for axis in range(3):
                points[used, axis] = vertices[one, axis]
            used += 1
    return used
