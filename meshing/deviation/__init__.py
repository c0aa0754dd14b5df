"""How far two surfaces, or two complexes of walls, lie apart: exact distances to triangles, from samples, both ways.

The mean is over samples that lie even by area and weighs both directions alike. The maximum is the largest of all
samples; to the even ones come places where surfaces of different resolution stray most: vertices of the finer one,
where a lost tip shows, all vertices and some middles of edges of the coarser one. Round the farthest of them it is
looked closer: at all of the coarse triangle, at every fine vertex. Of these places only those are measured exactly that
lie far, the others as near enough: what is not the farthest does not count.

The finer walls are triangles in bins or, without either, a net (`meshing.deviation.netwalls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from meshing.deviation.netwalls import Lattice, NetWalls, net_distances_mm, vertices_near
from meshing.deviation.sampling import Extents, Samples, Seen, areas_of, extents_of, nobody_saw, pair_of, samples_of
from meshing.progress import Progress, silent
from meshing.surface import Deviation, Surface
from meshing.threads import kernel
from meshing.triangles.bins import Bins, bins_of, cell_at, contiguous, whole_numbers
from meshing.triangles.distances import distances_mm as distances_to_triangles_mm
from meshing.triangles.distances import wall_distances_mm
from meshing.walls import Walls

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

_EVEN = 1_000
"""Even samples of a label and direction: they hold the mean stable to 2 %."""

_COARSE_TRIANGLES = 2_400
_FINE_PIECES = 2_000
"""Triangles of a label that give the middles of their edges, and pieces that give a corner, for the maximum."""

_FINE_ALL = 300_000
"""Vertices of the finer walls up to which every one is asked."""

_FAR = 0.5
_LOOKS = 9
"""So many of a label's samples farther than that share of its farthest are looked at closer."""

_MOST_LOOKS = 5_000
"""Over all labels; tens of thousands of specks have little to look for."""

_LATTICE = 8
_MOST_ROUND = 800
"""Steps along a coarse triangle's edge; fine vertices round a sample: more are looked at than that only elsewhere."""


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


def deviations(coarse: Walls, fine: Walls | NetWalls, *, progress: Progress = silent) -> dict[int, Deviation]:
    """Two-sided distance of each label's own boundary between two complexes, in mm.

    Only triangles that bound a label count for it: a neighbour's wall cannot hide a lost one. A label that one of the
    two has not is infinitely far.
    """
    ground: _Ground = _Net(fine.lattice) if isinstance(fine, NetWalls) else _Triangles(fine)
    walls = _Triangles(fine.here(coarse) if isinstance(fine, NetWalls) else coarse)
    count = 1 + max(walls.highest, ground.highest)
    ours, theirs = walls.extents(count), ground.extents(count)
    both = (ours.pieces > 0) & (theirs.pieces > 0)
    if both.any():
        progress(0.0, "measuring deviation")
        ours_at = _coarse_samples(walls, ours)
        there = _to_walls(ours_at, ground, both)
        _look_closer(_within_faces(walls, ours_at, there), ground, there)
        _look_closer(_corners(walls, ours), ground, there)
        progress(0.5, "measuring deviation")
        theirs_at = _fine_samples(ground, theirs)
        back = _to_walls(theirs_at, walls, both)
        _look_closer(_around(ground, [(theirs_at, back), (ours_at, there)], theirs), walls, back)
        _look_closer(_around(walls, [(theirs_at, back)], theirs), ground, there)
        means, most = (there.means + back.means) / 2, np.maximum(there.most, back.most)
        progress(1.0, "measured deviation")
    return {
        int(label): Deviation(float(means[label]), float(most[label])) if both[label] else Deviation(np.inf, np.inf)
        for label in np.flatnonzero(ours.pieces + theirs.pieces)
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


class _Ground(Protocol):
    """Walls to which distances are asked, and on which samples lie."""

    @property
    def highest(self) -> int:
        """Label."""
        ...

    @property
    def vertices(self) -> int:
        """How many there are."""
        ...

    def extents(self, count: int) -> Extents: ...

    def samples(
        self, extents: Extents, *, even: npt.NDArray[np.int64], marked: npt.NDArray[np.int64], middles: bool = False
    ) -> Samples: ...

    def distances_mm(self, points: Points, sides: Labels, enough_mm: Points | None = None) -> Points:
        """As `wall_distances_mm`."""
        ...

    def vertices_near(
        self, places: Points, reach_mm: Points, labels: npt.NDArray[np.int64], most: int
    ) -> tuple[Points, Labels]:
        """Vertices of the label's walls in cells within reach of each place, and what they are between."""
        ...


class _Triangles:
    """Triangles in bins."""

    def __init__(self, walls: Walls) -> None:
        self.walls = walls
        self._parts = contiguous(walls.vertices), whole_numbers(walls.faces), whole_numbers(walls.sides)
        self._areas = areas_of(*self._parts[:2])
        self._bins: Bins | None = None

    @property
    def highest(self) -> int:
        return int(self.walls.sides.max(initial=0))

    @property
    def vertices(self) -> int:
        return len(self.walls.vertices)

    @property
    def bins(self) -> Bins:
        """Made when first asked for: walls that share no label need none."""
        if self._bins is None:
            vertices, faces, sides = self._parts
            self._bins = bins_of(vertices, faces, sides=sides)
        return self._bins

    def extents(self, count: int) -> Extents:
        return extents_of(self._parts[2], self._areas, count)

    def samples(
        self, extents: Extents, *, even: npt.NDArray[np.int64], marked: npt.NDArray[np.int64], middles: bool = False
    ) -> Samples:
        return samples_of(*self._parts, self._areas, extents, even=even, marked=marked, middles=middles)

    def distances_mm(self, points: Points, sides: Labels, enough_mm: Points | None = None) -> Points:
        return wall_distances_mm(points, sides, self.bins, enough_mm=enough_mm)

    def vertices_near(
        self, places: Points, reach_mm: Points, labels: npt.NDArray[np.int64], most: int
    ) -> tuple[Points, Labels]:
        room = len(places) * most
        points, sides = np.empty((room, 3)), np.empty((room, 2), np.int32)
        used = _gather(places, reach_mm, labels, self.bins, nobody_saw(self.vertices), points, sides)
        return points[:used], sides[:used]


class _Net:
    """A net, which needs no bins."""

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        x, y, z = lattice.spacing
        # Of a quad, on average: its true area is only measured where a sample lies.
        self._areas = np.broadcast_to((x * y + y * z + z * x) / 3, len(lattice.quads))

    @property
    def highest(self) -> int:
        return int(self.lattice.sides.max(initial=0))

    @property
    def vertices(self) -> int:
        return len(self.lattice.points)

    def extents(self, count: int) -> Extents:
        return extents_of(self.lattice.sides, self._areas, count)

    def samples(
        self, extents: Extents, *, even: npt.NDArray[np.int64], marked: npt.NDArray[np.int64], middles: bool = False
    ) -> Samples:
        net = self.lattice
        return samples_of(
            net.points, net.quads, net.sides, self._areas, extents, even=even, marked=marked, middles=middles
        )

    def distances_mm(self, points: Points, sides: Labels, enough_mm: Points | None = None) -> Points:
        return net_distances_mm(points, sides, self.lattice, enough_mm=enough_mm)

    def vertices_near(
        self, places: Points, reach_mm: Points, labels: npt.NDArray[np.int64], most: int
    ) -> tuple[Points, Labels]:
        return vertices_near(self.lattice, places, reach_mm, labels, most)


class _Found(NamedTuple):
    """By label the mean and largest distance; the rows of the farthest samples, and the label that each is far for."""

    means: Points
    most: Points
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def _even(extents: Extents) -> npt.NDArray[np.int64]:
    """Samples of each label: a speck needs fewer, and there may be ten thousands of them."""
    even: npt.NDArray[np.int64] = np.minimum(_EVEN, 8 * extents.pieces)
    return even


def _coarse_samples(walls: _Triangles, extents: Extents) -> Samples:
    marked = np.minimum(extents.pieces, _COARSE_TRIANGLES)
    return walls.samples(extents, even=_even(extents), marked=marked, middles=True)


def _corners(walls: _Triangles, extents: Extents) -> Samples:
    """Every vertex of the coarse walls: quadrics may have put any of them far off, and few hold many triangles."""
    return walls.samples(extents, even=np.zeros_like(extents.pieces), marked=extents.pieces)


def _fine_samples(ground: _Ground, extents: Extents) -> Samples:
    marked = extents.pieces if ground.vertices <= _FINE_ALL else np.minimum(extents.pieces, _FINE_PIECES)
    return ground.samples(extents, even=_even(extents), marked=marked)


def _to_walls(samples: Samples, ground: _Ground, both: npt.NDArray[np.bool_]) -> _Found:
    """Distances from the samples to the walls of those labels that both have: of even ones, and of the far others."""
    asked = np.where(both[samples.sides], samples.sides, 0)
    found = np.empty(asked.shape)
    is_even = samples.weights > 0
    found[is_even] = ground.distances_mm(samples.points[is_even], asked[is_even])
    total, weight, most = np.zeros(len(both)), np.zeros(len(both)), np.zeros(len(both))
    for side in range(2):
        is_asked = is_even & (asked[:, side] > 0)
        label, distance, share = asked[is_asked, side], found[is_asked, side], samples.weights[is_asked]
        total += np.bincount(label, share * distance, len(both))
        weight += np.bincount(label, share, len(both))
        np.maximum.at(most, label, distance)
    found[~is_even] = ground.distances_mm(samples.points[~is_even], asked[~is_even], _FAR * most)
    _raise(most, asked[~is_even], found[~is_even])
    row, side_of = np.nonzero(found > _FAR * most[asked])
    label, distance = asked[row, side_of], found[row, side_of]
    order = np.lexsort((-distance, label))
    starts = np.searchsorted(label[order], np.arange(len(both)))
    rank = np.arange(len(order)) - starts[label[order]]
    # Every label's farthest first: whoever has no time for all of them leaves out nobody altogether.
    first = order[np.argsort(rank, kind="stable")][: np.count_nonzero(rank < _LOOKS)]
    return _Found(total / np.maximum(weight, 1e-30), most, row[first], label[first].astype(np.int64))


def _raise(most: Points, asked: Labels, distance: Points) -> None:
    np.maximum.at(most, asked[asked > 0], distance[asked > 0])


def _look_closer(samples: Samples, ground: _Ground, found: _Found) -> None:
    """Raises the largest distances to those of further samples, where these are larger."""
    asked = np.where((found.most > 0)[samples.sides], samples.sides, 0)
    _raise(found.most, asked, ground.distances_mm(samples.points, asked, found.most))


def _within_faces(ground: _Triangles, samples: Samples, found: _Found) -> Samples:
    """A lattice in each triangle that the farthest samples lie on."""
    walls = ground.walls
    faces = np.unique(samples.pieces[found.rows])
    steps = np.arange(_LATTICE + 1)
    u, v = (share.ravel() / _LATTICE for share in np.meshgrid(steps, steps, indexing="ij"))
    u, v = u[u + v <= 1 + 1e-9], v[u + v <= 1 + 1e-9]
    lattice = np.stack([1 - u - v, u, v], axis=1)
    points = np.einsum("kc,fci->fki", lattice, walls.vertices[walls.faces[faces]]).reshape(-1, 3)
    sides = np.repeat(walls.sides[faces], len(lattice), axis=0)
    return Samples(points, sides, np.zeros(len(points)), np.repeat(faces, len(lattice)))


def _around(ground: _Ground, far: Sequence[tuple[Samples, _Found]], extents: Extents) -> Samples:
    """The vertices round the farthest samples, as far as one and a half times the space between samples."""
    reach = 1.5 * np.sqrt(extents.areas / np.maximum(np.minimum(extents.pieces, _FINE_PIECES), 1))
    places = np.concatenate([samples.points[found.rows[:_MOST_LOOKS]] for samples, found in far])
    labels = np.concatenate([found.labels[:_MOST_LOOKS] for _, found in far])
    points, sides = ground.vertices_near(places, reach[labels], labels, _MOST_ROUND)
    return Samples(points, sides, np.zeros(len(points)), np.zeros(len(points), np.int32))


@kernel
def _gather(
    places: Points,
    reach: Points,
    wanted: npt.NDArray[np.int64],
    bins: Bins,
    seen: Seen,
    points: Points,
    sides: Labels,
) -> int:
    """Vertices of the wanted label's triangles in cells within reach of places, and how many they are."""
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
                        pair = pair_of(labels[face, 0], labels[face, 1])
                        for side in range(3):
                            vertex = faces[face, side]
                            if seen[vertex] == pair or used >= most:
                                continue
                            seen[vertex] = pair
                            for axis in range(3):
                                points[used, axis] = vertices[vertex, axis]
                            sides[used, 0], sides[used, 1] = labels[face, 0], labels[face, 1]
                            used += 1
    return used
