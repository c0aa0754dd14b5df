"""Smoothing that loses no volume and no thin vessel.

Plain Laplace steps make the net smooth and shrink it. How far it shrank, along the normal, is itself smoothed and
given back: on a tube that distance is constant, so the tube keeps its radius. No vertex goes further than `Relaxing`
allows: half a voxel's diagonal.
Where three labels meet, vertices slide along their curve only, and get back what they lost as a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.nets.lattice import CURVE, Net, neighbour
from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

Moves = npt.NDArray[np.float32]
"""(V, 3) float32, mm along the lattice's axes: from the middle of each vertex's cell."""


@dataclass(frozen=True)
class Relaxing:
    """How hard to smooth.

    Parameters
    ----------
    rounds
        Times that shrinking and giving back alternate.
    steps
        Laplace steps in each.
    degree
        Of the Chebyshev polynomial that smooths what is given back.
    floor
        What that polynomial leaves of the roughest half of the spectrum.
    reach
        How far a vertex may go from the middle of its cell along an axis, in cells: a little over half, or walls two
        voxels apart keep stairs.
    diagonal
        How far it may go at all, in diagonals of a cell. The middle of a cell is a corner of voxels that differ: so
        far, too, may it lie from the boundary of its label.
    """

    rounds: int = 4
    steps: int = 3
    degree: int = 8
    floor: float = 0.01
    reach: float = 0.55
    diagonal: float = 0.4999

    def weights(self, *, is_early: bool = False) -> npt.NDArray[np.float32]:
        """λ of each step: from the roots of a Chebyshev polynomial that is 1 at rest.

        Early rounds take half the degree: later ones smooth over what they leave.

        References
        ----------
        Taubin, Zhang, Golub 1996, "Optimal surface smoothing as filter design".
        """
        degree, floor = (self.degree // 2, self.floor**0.5) if is_early else (self.degree, self.floor)
        edge = np.cosh(np.arccosh(1 / floor) / degree)
        roots = np.cos((2 * np.arange(1, degree + 1) - 1) * np.pi / (2 * degree))
        weights = (1 + edge) / 2 / (edge - roots)
        # A long step after a short one: in rising order the values would overflow on the way.
        return np.asarray(weights[_alternating(degree)], np.float32)

    def reach_mm(self, spacing_mm: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """(4,): `reach` along each axis, and `diagonal`, in mm."""
        spacing = np.asarray(spacing_mm, np.float64)
        return np.array([*(self.reach * spacing), self.diagonal * np.linalg.norm(spacing)], np.float32)


def relaxed(net: Net, spacing_mm: npt.ArrayLike, relaxing: Relaxing = Relaxing()) -> Moves:
    """Where every vertex goes, in mm from the middle of its cell."""
    count = len(net.xs)
    spacing = np.asarray(spacing_mm, np.float32)
    reach = relaxing.reach_mm(spacing)
    # One more than there are vertices: the neighbour along +x is read whether it is one or not.
    moves, spare = np.zeros((count + 1, 3), np.float32), np.zeros((count + 1, 3), np.float32)
    lost, relay, share = np.zeros(count + 1, np.float32), np.zeros(count + 1, np.float32), np.empty(count, np.float32)
    normals, ways = normal_table(spacing), _way_table(spacing)
    curve = np.flatnonzero(net.mask == CURVE).astype(np.int32)
    on_curve = _curve_neighbours(curve, net.beside, net.stencil, net.mask)
    bent = np.flatnonzero(net.stencil != net.links).astype(np.int32)
    over_rows(_shares, count, net.beside, net.links, net.mask, share)
    for number in range(relaxing.rounds):
        for _ in range(relaxing.steps):
            over_rows(_half_step, count, moves, spare, net.beside, net.links, net.stencil, ways, reach)
            _half_step_on_curves(bent, moves, spare, net.beside, net.stencil, spacing, reach)
            moves, spare = spare, moves
        over_rows(_lost, count, moves, net.mask, normals, lost)
        for weight in relaxing.weights(is_early=2 * number < relaxing.rounds):
            over_rows(_spread, count, lost, relay, net.beside, net.links, share, ways, weight)
            lost, relay = relay, lost
        over_rows(_give_back, count, moves, lost, net.mask, normals, reach)
        _give_back_to_curves(curve, on_curve, moves, reach, 2 * relaxing.steps)
    return moves[:-1]


def normal_table(spacing_mm: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(256, 3): unit normal for each mask, towards the higher label; 0 where the corners cancel."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    corners = np.arange(8)[:, None] >> np.arange(3) & 1
    slopes = bits.astype(np.float64) @ ((2 * corners - 1) / np.asarray(spacing_mm, np.float64))
    lengths = np.linalg.norm(slopes, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 1e-9, slopes / np.maximum(lengths, 1e-9), 0.0), np.float32)


def _way_table(spacing: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(64, 7) for each set of links: −x and +x there (0 or 1), how many of the other four are not, half over how many
    there are, and the sum of the ways to them in mm.
    """
    bits = np.arange(64)[:, None] >> np.arange(6) & 1
    table = np.zeros((64, 7))
    table[:, :2] = bits[:, :2]
    table[:, 2] = 4 - bits[:, 2:].sum(axis=1)
    table[:, 3] = 0.5 / np.maximum(bits.sum(axis=1), 1)
    table[:, 4:] = (bits[:, 1::2] - bits[:, ::2]) * spacing
    return table.astype(np.float32)


def _alternating(count: int) -> list[int]:
    """0 … count − 1: the last, the first, the one before the last, the second, …"""
    order = [number for step in range(count // 2) for number in (count - 1 - step, step)]
    return order + [count // 2] * (count % 2)


@kernel
def _half_step(
    first: int,
    last: int,
    moves: Array,
    out: Array,
    beside: Array,
    links: Array,
    stencil: Array,
    table: Array,
    reach: Array,
) -> None:
    """Half-way to the mean of the neighbours, within the box. A missing neighbour is the vertex itself: no branches."""
    one = np.uintp(1)
    wide, deep, high = reach[0], reach[1], reach[2]
    for v in range(np.uintp(first), np.uintp(last)):
        if stencil[v] != links[v]:
            continue
        ways = np.uintp(links[v])
        before = v - np.uintp(v > 0)  # read whether it is a neighbour or not
        a, b, c, d = beside[v, 0], beside[v, 1], beside[v, 2], beside[v, 3]
        down, up, share = table[ways, 0], table[ways, 1], table[ways, 3]
        stay = np.float32(0.5) - table[ways, 2] * share
        x = (moves[a, 0] + moves[b, 0]) + (moves[c, 0] + moves[d, 0])
        y = (moves[a, 1] + moves[b, 1]) + (moves[c, 1] + moves[d, 1])
        z = (moves[a, 2] + moves[b, 2]) + (moves[c, 2] + moves[d, 2])
        x += down * moves[before, 0] + up * moves[v + one, 0] + table[ways, 4]
        y += down * moves[before, 1] + up * moves[v + one, 1] + table[ways, 5]
        z += down * moves[before, 2] + up * moves[v + one, 2] + table[ways, 6]
        out[v, 0] = min(max(stay * moves[v, 0] + share * x, -wide), wide)
        out[v, 1] = min(max(stay * moves[v, 1] + share * y, -deep), deep)
        out[v, 2] = min(max(stay * moves[v, 2] + share * z, -high), high)


@kernel
def _half_step_on_curves(
    curve: Array, moves: Array, out: Array, beside: Array, stencil: Array, spacing: Array, reach: Array
) -> None:
    """The same for the vertices whose stencil is not all their neighbours."""
    for t in range(len(curve)):
        v = np.uintp(curve[t])
        n = 0
        for axis in range(3):
            out[v, axis] = 0
        for way in range(6):
            if stencil[v] >> way & 1:
                u = neighbour(beside, v, way)
                for axis in range(3):
                    out[v, axis] += moves[u, axis]
                out[v, way >> 1] += spacing[way >> 1] if way & 1 else -spacing[way >> 1]
                n += 1
        for axis in range(3):
            moved = np.float32(0.5) * (moves[v, axis] + out[v, axis] / np.float32(n))
            out[v, axis] = min(max(moved, -reach[axis]), reach[axis])


@kernel
def _lost(first: int, last: int, moves: Array, mask: Array, normals: Array, lost: Array) -> None:
    for v in range(np.uintp(first), np.uintp(last)):
        m = mask[v]
        lost[v] = -(moves[v, 0] * normals[m, 0] + moves[v, 1] * normals[m, 1] + moves[v, 2] * normals[m, 2])


@kernel
def _spread(
    first: int,
    last: int,
    lost: Array,
    out: Array,
    beside: Array,
    links: Array,
    share: Array,
    table: Array,
    weight: float,
) -> None:
    """One step of the scalar towards the mean of the two-label neighbours; `lost` is 0 on curves, and stays so."""
    one = np.uintp(1)
    for v in range(np.uintp(first), np.uintp(last)):
        ways = np.uintp(links[v])
        here, before = lost[v], v - np.uintp(v > 0)
        total = (lost[beside[v, 0]] + lost[beside[v, 1]]) + (lost[beside[v, 2]] + lost[beside[v, 3]])
        total += table[ways, 0] * lost[before] + table[ways, 1] * lost[v + one] - table[ways, 2] * here
        step = weight * (total * share[v] - here)
        out[v] = here + (step if share[v] > 0 else np.float32(0))


@kernel
def _shares(first: int, last: int, beside: Array, links: Array, mask: Array, share: Array) -> None:
    """One over the number of two-label neighbours; 0 on curves. A vertex with none keeps what it has."""
    one = np.uintp(1)
    for v in range(np.uintp(first), np.uintp(last)):
        ways = links[v]
        n = (ways & 1 and mask[v - one] != 0) + (ways & 2 and mask[v + one] != 0)
        for way in range(2, 6):
            n += ways >> way & 1 and mask[beside[v, way - 2]] != 0
        share[v] = 0.0 if mask[v] == 0 or n == 0 else np.float32(1) / np.float32(n)


@kernel
def held(x: float, y: float, z: float, reach: Array) -> tuple[float, float, float]:
    """A way from the middle of a cell, cut short where it is longer than `Relaxing.reach_mm` allows."""
    x = min(max(x, -reach[0]), reach[0])
    y = min(max(y, -reach[1]), reach[1])
    z = min(max(z, -reach[2]), reach[2])
    square = x * x + y * y + z * z
    if square > reach[3] * reach[3]:
        share = reach[3] / np.sqrt(square)
        x, y, z = x * share, y * share, z * share
    return x, y, z


@kernel
def _give_back(first: int, last: int, moves: Array, lost: Array, mask: Array, normals: Array, reach: Array) -> None:
    """Along the normal; curves have none, and so keep their place."""
    for v in range(np.uintp(first), np.uintp(last)):
        m = mask[v]
        moves[v, 0], moves[v, 1], moves[v, 2] = held(
            moves[v, 0] + lost[v] * normals[m, 0],
            moves[v, 1] + lost[v] * normals[m, 1],
            moves[v, 2] + lost[v] * normals[m, 2],
            reach,
        )


@kernel
def _curve_neighbours(curve: Array, beside: Array, stencil: Array, mask: Array) -> Array:
    """(C, 6): which of the curves' vertices lie next to each of them along its curve; −1 where there are fewer."""
    place = np.full(len(mask), -1, np.int32)
    for t in range(len(curve)):
        place[curve[t]] = t
    found = np.full((len(curve), 6), -1, np.int32)
    for t in range(len(curve)):
        v = np.uintp(curve[t])
        n = 0
        for way in range(6):
            if stencil[v] >> way & 1:
                u = place[neighbour(beside, v, way)]
                if u >= 0:
                    found[t, n] = u
                    n += 1
    return found


@kernel
def _give_back_to_curves(curve: Array, neighbours: Array, moves: Array, reach: Array, steps: int) -> None:
    """The vector that a curve's vertices lost, smoothed along the curve."""
    lost = np.empty((len(curve), 3), np.float32)
    out = np.empty((len(curve), 3), np.float32)
    for t in range(len(curve)):
        lost[t] = -moves[curve[t]]
    for _ in range(steps):
        for t in range(len(curve)):
            n = 0
            x, y, z = np.float32(0), np.float32(0), np.float32(0)
            while n < 6 and neighbours[t, n] >= 0:
                u = neighbours[t, n]
                x, y, z = x + lost[u, 0], y + lost[u, 1], z + lost[u, 2]
                n += 1
            share = np.float32(0.5 / n) if n else np.float32(0)
            stay = np.float32(0.5 if n else 1.0)
            out[t, 0] = stay * lost[t, 0] + share * x
            out[t, 1] = stay * lost[t, 1] + share * y
            out[t, 2] = stay * lost[t, 2] + share * z
        lost, out = out, lost
    for t in range(len(curve)):
        v = np.uintp(curve[t])
        moves[v, 0], moves[v, 1], moves[v, 2] = held(
            moves[v, 0] + lost[t, 0], moves[v, 1] + lost[t, 1], moves[v, 2] + lost[t, 2], reach
        )
