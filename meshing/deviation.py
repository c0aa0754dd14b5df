"""How far two surfaces, or two complexes of walls, lie apart: exact distances to triangles, from samples, both ways.

The mean is over samples that lie even by area and weighs both directions alike. The maximum is the largest of all
samples; to the even ones come places where surfaces of different resolution stray most: vertices of the finer one,
where a lost tip shows, and vertices, middles of edges and centroids of the coarser one. Round the farthest of them it
is looked closer: at all of the coarse triangle, at every fine vertex.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.bins import Bins, bins_of, cell_at, contiguous, whole_numbers
from meshing.distances import distances_mm as distances_to_triangles_mm
from meshing.distances import wall_distances_mm
from meshing.progress import Progress, silent
from meshing.surface import Deviation, Surface
from meshing.threads import kernel
from meshing.walls import Walls

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

_EVEN = 1_000
"""Even samples of a label and direction: they hold the mean stable to 2 %."""

_COARSE_TRIANGLES = 1_200
_FINE_TRIANGLES = 1_000
"""Triangles of a label that give vertices, or vertices and middles, for the maximum."""

_FAR = 0.5
_LOOKS = 12
"""So many of a label's samples farther than that share of its farthest are looked at closer."""

_LATTICE = 8
_MOST_ROUND = 800
"""Steps along a coarse triangle's edge; fine vertices round a sample: more are looked at than that only elsewhere."""


_MOST_LOOKS = 5_000
"""Over all labels; tens of thousands of specks have little to look for."""

_FINE_ALL = 600_000
"""Fine triangles up to which every vertex is asked."""


def deviation(one: Surface, other: Surface, *, samples: int = 4_000) -> Deviation:
    """Two-sided distance between surfaces, in mm.

    Samples lie evenly by area, and at vertices, where a lost tip shows. The mean is over the even samples and weighs
    both directions alike; the maximum is the sampled Hausdorff distance.

    Parameters
    ----------
    samples
        Even ones per direction; 4,000 hold the mean stable to a few per cent.
    """
    if len(one.faces) == 0 or len(other.faces) == 0:
        return Deviation(float("inf"), float("inf"))
    there, back = _to_other(one, other, samples), _to_other(other, one, samples)
    mean = (there[:samples].mean() + back[:samples].mean()) / 2
    return Deviation(float(mean), float(max(there.max(), back.max())))


def deviations(coarse: Walls, fine: Walls, *, progress: Progress = silent) -> dict[int, Deviation]:
    """Two-sided distance of each label's own boundary between two complexes, in mm.

    Only triangles that bound a label count for it: a neighbour's wall cannot hide a lost one. A label that one of the
    two has not is infinitely far.
    """
    count = 1 + max((int(walls.sides.max()) for walls in (coarse, fine) if len(walls.sides)), default=0)
    ours, theirs = _extents(coarse, count), _extents(fine, count)
    both = (ours.triangles > 0) & (theirs.triangles > 0)
    if both.any():
        progress(0.0, "measuring deviation")
        coarse_bins, fine_bins = (bins_of(walls.vertices, walls.faces, sides=walls.sides) for walls in (coarse, fine))
        samples = _samples(coarse, ours, is_coarse=True)
        there = _to_walls(samples, fine_bins, both)
        _look_closer(_within_faces(coarse, samples, there), fine_bins, there)
        opposite = _around(fine_bins, samples, there, theirs)
        progress(0.6, "measuring deviation")
        samples = _samples(fine, theirs, is_coarse=False)
        back = _to_walls(samples, coarse_bins, both)
        _look_closer(_around(fine_bins, samples, back, theirs), coarse_bins, back)
        _look_closer(opposite, coarse_bins, back)
        means, most = (there.means + back.means) / 2, np.maximum(there.most, back.most)
        progress(1.0, "measured deviation")
    return {
        int(label): Deviation(float(means[label]), float(most[label])) if both[label] else Deviation(np.inf, np.inf)
        for label in np.flatnonzero(ours.triangles + theirs.triangles)
    }


def distances_mm(points: Points, surface: Surface) -> Points:
    """Distance of every point, shape (N, 3), to the nearest point of the surface."""
    return distances_to_triangles_mm(points, surface.vertices, surface.faces)


def _to_other(one: Surface, other: Surface, samples: int) -> Points:
    """Distances of the even samples of `one`, then of up to twice as many of its vertices."""
    step = max(len(one.vertices) // (2 * samples), 1)
    return distances_mm(np.vstack([_spread(one, samples), one.vertices[::step].astype(np.float64)]), other)


def _spread(surface: Surface, count: int) -> Points:
    """Points even by area; the same each time (a low-discrepancy sequence within the faces)."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    ends = np.cumsum(area) / max(area.sum(), 1e-30)
    face = np.searchsorted(ends, (np.arange(count) + 0.5) / count).clip(0, len(ends) - 1)
    number = np.arange(count)
    u, v = (number * 0.7548776662466927) % 1.0, (number * 0.5698402909980532) % 1.0
    is_outside = u + v > 1
    u, v = np.where(is_outside, 1 - u, u)[:, None], np.where(is_outside, 1 - v, v)[:, None]
    points: Points = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return points


class _Extents(NamedTuple):
    """Area in mm² and triangles, by label; none for label 0."""

    areas: Points
    triangles: npt.NDArray[np.int64]


class _Samples(NamedTuple):
    """Points (N, 3), the labels (N, 2) that each is between, and the area that it stands for: 0 beside even ones."""

    points: Points
    sides: Labels
    weights: Points
    faces: Labels
    """The triangle (N,) that each lies on."""


class _Found(NamedTuple):
    """By label the mean and largest distance; the rows of the farthest samples, and the label that each is far for."""

    means: Points
    most: Points
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def _parts(walls: Walls) -> tuple[Points, Labels, Labels]:
    return contiguous(walls.vertices), whole_numbers(walls.faces), whole_numbers(walls.sides)


def _extents(walls: Walls, count: int) -> _Extents:
    areas, triangles = np.zeros(count), np.zeros(count, np.int64)
    _measure(*_parts(walls), areas, triangles)
    areas[0], triangles[0] = 0.0, 0
    return _Extents(areas, triangles)


def _samples(walls: Walls, extents: _Extents, *, is_coarse: bool) -> _Samples:
    """Even samples of every label's walls, and marked places of some or all of its triangles."""
    count = len(extents.areas)
    even = np.minimum(_EVEN, 8 * extents.triangles)  # a speck needs fewer, and there may be ten thousands of them
    density = np.where(extents.areas > 0, even / np.maximum(extents.areas, 1e-30), 0.0)
    step = np.maximum(-(-extents.triangles // (_COARSE_TRIANGLES if is_coarse else _FINE_TRIANGLES)), 1)
    if not is_coarse and len(walls.faces) <= _FINE_ALL:
        step[:] = 1
    step[0] = np.iinfo(np.int64).max
    room = int(even.sum()) + 7 * count + 7 * int((extents.triangles[1:] // step[1:] + 1).sum())
    made = _Samples(np.empty((room, 3)), np.empty((room, 2), np.int32), np.zeros(room), np.empty(room, np.int32))
    is_seen = np.zeros(len(walls.vertices), dtype=np.bool_)
    used = _place(*_parts(walls), density, step, is_coarse, is_seen, *made)
    return _Samples(made.points[:used], made.sides[:used], made.weights[:used], made.faces[:used])


def _to_walls(samples: _Samples, bins: Bins, both: npt.NDArray[np.bool_]) -> _Found:
    """Distances from the samples to the walls in the bins, of those labels that both have."""
    asked = np.where(both[samples.sides], samples.sides, 0)
    found = wall_distances_mm(samples.points, asked, bins)
    total, weight, most = np.zeros(len(both)), np.zeros(len(both)), np.zeros(len(both))
    for side in range(2):
        is_asked = asked[:, side] > 0
        label, distance, share = asked[is_asked, side], found[is_asked, side], samples.weights[is_asked]
        total += np.bincount(label, share * distance, len(both))
        weight += np.bincount(label, share, len(both))
        np.maximum.at(most, label, distance)
    row, side_of = np.nonzero(found > _FAR * most[asked])
    label, distance = asked[row, side_of], found[row, side_of]
    order = np.lexsort((-distance, label))
    starts = np.searchsorted(label[order], np.arange(len(both)))
    first = order[np.arange(len(order)) - starts[label[order]] < _LOOKS]
    return _Found(total / np.maximum(weight, 1e-30), most, row[first], label[first].astype(np.int64))


def _look_closer(samples: _Samples, bins: Bins, found: _Found) -> None:
    """Raises the largest distances to those of further samples, where these are larger."""
    known = found.most > 0
    asked = np.where(known[samples.sides], samples.sides, 0)
    distance = wall_distances_mm(samples.points, asked, bins)
    np.maximum.at(found.most, asked[asked > 0], distance[asked > 0])


def _within_faces(walls: Walls, samples: _Samples, found: _Found) -> _Samples:
    """A lattice in each triangle that the farthest samples lie on."""
    faces = np.unique(samples.faces[found.rows])
    steps = np.arange(_LATTICE + 1)
    u, v = (share.ravel() / _LATTICE for share in np.meshgrid(steps, steps, indexing="ij"))
    u, v = u[u + v <= 1 + 1e-9], v[u + v <= 1 + 1e-9]
    lattice = np.stack([1 - u - v, u, v], axis=1)
    points = np.einsum("kc,fci->fki", lattice, walls.vertices[walls.faces[faces]]).reshape(-1, 3)
    sides = np.repeat(walls.sides[faces], len(lattice), axis=0)
    return _Samples(points, sides, np.zeros(len(points)), np.repeat(faces, len(lattice)))


def _around(bins: Bins, samples: _Samples, found: _Found, extents: _Extents) -> _Samples:
    """The vertices round the farthest samples, as far as one and a half times the space between samples."""
    taken = np.minimum(extents.triangles, 3 * _FINE_TRIANGLES)
    reach = 1.5 * np.sqrt(extents.areas / np.maximum(taken, 1))
    rows = found.rows[:_MOST_LOOKS]
    room = len(rows) * _MOST_ROUND
    points, sides = np.empty((room, 3)), np.empty((room, 2), np.int32)
    is_seen = np.zeros(len(bins.vertices), dtype=np.bool_)
    used = _gather(
        samples.points[rows],
        reach[found.labels[:_MOST_LOOKS]],
        found.labels[:_MOST_LOOKS],
        bins,
        is_seen,
        points,
        sides,
    )
    return _Samples(points[:used], sides[:used], np.zeros(used), np.zeros(used, np.int32))


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
def _measure(vertices: Points, faces: Labels, sides: Labels, areas: Points, triangles: npt.NDArray[np.int64]) -> None:
    """Adds up `_Extents`."""
    for face in range(len(faces)):
        area = _area(vertices, faces[face, 0], faces[face, 1], faces[face, 2])
        for side in range(2):
            areas[sides[face, side]] += area
            triangles[sides[face, side]] += 1


@kernel
def _place(
    vertices: Points,
    faces: Labels,
    sides: Labels,
    density: Points,
    step: npt.NDArray[np.int64],
    is_coarse: bool,
    is_seen: npt.NDArray[np.bool_],
    points: Any,
    labels: Any,
    weights: Any,
    origins: Any,
) -> int:
    """Samples, and how many they are.

    A wall is sampled as densely as the label needs that needs it most; what a sample then stands for is its weight.
    """
    used, due = 0, 0.5
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        behind, before = sides[face, 0], sides[face, 1]
        most = max(density[behind], density[before])
        due += most * _area(vertices, a, b, c)
        begin = used
        while due >= 1.0 and used < len(points):
            due -= 1.0
            # A low-discrepancy sequence within the triangles (Roberts 2018), folded into the half that they fill.
            u, v = (used * 0.7548776662466927) % 1.0, (used * 0.5698402909980532) % 1.0
            if u + v > 1.0:
                u, v = 1.0 - u, 1.0 - v
            for axis in range(3):
                points[used, axis] = (1.0 - u - v) * vertices[a, axis] + u * vertices[b, axis] + v * vertices[c, axis]
            weights[used] = 1.0 / most
            used += 1
        if face % min(step[behind], step[before]) == 0 and used + 7 <= len(points):
            for side in range(3):
                one, other = faces[face, side], faces[face, (side + 1) % 3]
                for axis in range(3):
                    if not is_seen[one]:
                        points[used, axis] = vertices[one, axis]
                used += not is_seen[one]
                is_seen[one] = True
                if is_coarse and one < other:
                    for axis in range(3):
                        points[used, axis] = (vertices[one, axis] + vertices[other, axis]) / 2.0
                    used += 1
            if is_coarse:
                for axis in range(3):
                    points[used, axis] = (vertices[a, axis] + vertices[b, axis] + vertices[c, axis]) / 3.0
                used += 1
        for row in range(begin, used):
            labels[row, 0], labels[row, 1] = behind, before
            origins[row] = face
    return used


@kernel
def _gather(
    places: Points,
    reach: Points,
    wanted: npt.NDArray[np.int64],
    bins: Bins,
    is_seen: npt.NDArray[np.bool_],
    points: Points,
    sides: Labels,
) -> int:
    """Vertices of the wanted label's triangles in cells within reach of places, each once, and how many they are."""
    starts, entries, faces, vertices = bins.starts, bins.entries, bins.faces, bins.vertices
    labels, cell, ny, nz = bins.sides, bins.cell_mm, bins.shape[1], bins.shape[2]
    used = 0
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for row in range(len(places)):
        for axis in range(3):
            at = places[row, axis] - bins.low[axis]
            low[axis] = cell_at(at - reach[row], cell, bins.shape[axis])
            high[axis] = cell_at(at + reach[row], cell, bins.shape[axis])
        most = (len(points) // len(places)) * (row + 1)
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                for k in range(low[2], high[2] + 1):
                    here = (i * ny + j) * nz + k
                    for entry in range(starts[here], starts[here + 1]):
                        face = entries[entry]
                        if labels[face, 0] != wanted[row] and labels[face, 1] != wanted[row]:
                            continue
                        for side in range(3):
                            vertex = faces[face, side]
                            if is_seen[vertex] or used >= most:
                                continue
                            is_seen[vertex] = True
                            for axis in range(3):
                                points[used, axis] = vertices[vertex, axis]
                            sides[used, 0], sides[used, 1] = labels[face, 0], labels[face, 1]
                            used += 1
    return used
