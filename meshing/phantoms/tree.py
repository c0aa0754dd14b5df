"""Vessel trees that fill an organ: points, parents and radii, grown without chance, so that they are the same anywhere.

A tree starts with a given trunk and divides the points that it must supply again and again; radii follow Murray's law,
and branches keep clear of what is already there. Positions are LPS mm, rounded to 0.01 mm as they are made, so that
the last bit of another machine's arithmetic changes nothing.

References
----------
Murray, "The physiological principle of minimum work", PNAS 12 (1926): r₀³ = r₁³ + r₂³.
Hamarneh and Jassi, "VascuSynth", Computerized Medical Imaging and Graphics 34 (2010), for trees as ground truth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Tubes, spline
from meshing.phantoms.shapes import Capsule, point

Points = npt.NDArray[np.float64]
Choices = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tree:
    """A vessel tree.

    Parameters
    ----------
    points
        (N, 3), LPS mm; parents stand before their children.
    parent
        (N,); -1 for the root.
    radius
        (N,), mm.
    """

    points: Points
    parent: npt.NDArray[np.int64]
    radius: Points

    @property
    def tips(self) -> npt.NDArray[np.int64]:
        """Indices of the points without children."""
        return np.setdiff1d(np.arange(len(self.points)), self.parent)

    @property
    def forks(self) -> npt.NDArray[np.int64]:
        """Indices of the points with two children or more."""
        index, count = np.unique(self.parent[self.parent >= 0], return_counts=True)
        return index[count > 1]

    def tubes(self) -> Tubes:
        """The solid: a capsule from every point to its parent."""
        ends = np.flatnonzero(self.parent >= 0)
        return Tubes(
            tuple(
                Capsule(
                    point(self.points[self.parent[end]]),
                    point(self.points[end]),
                    float(self.radius[self.parent[end]]),
                    float(self.radius[end]),
                )
                for end in ends
            )
        )

    def edges(self) -> tuple[Points, Points]:
        """Starts and ends of all straight pieces, shape (n, 3) each."""
        ends = np.flatnonzero(self.parent >= 0)
        return self.points[self.parent[ends]], self.points[ends]


@dataclass(frozen=True)
class Growth:
    """How a tree grows.

    Parameters
    ----------
    tip_radius_mm
        Vessels thinner than this are not made.
    clearance_mm
        Least gap to other vessels.
    stride
        Where a vessel divides: fraction of the way to the middle of what it supplies.
    longest_mm
        Longest way from fork to fork.
    """

    tip_radius_mm: float = 1.0
    clearance_mm: float = 0.8
    stride: float = 0.55
    longest_mm: float = 24.0


def grow(
    trunks: Sequence[npt.NDArray[np.float64]],
    targets: Points,
    *,
    depth_mm: Callable[[Points], Points],
    obstacles: Iterable[Capsule] = (),
    growth: Growth | None = None,
) -> Tree:
    """A tree that starts with the trunks and then supplies the targets.

    Parameters
    ----------
    trunks
        Waypoints (n, 4) each, LPS mm and radius; the first point of all is the same, the root.
    targets
        (M, 3), points to supply; each belongs to the trunk whose end is nearest.
    depth_mm
        How deep points, shape (n, 3), lie inside the organ; branches (not trunks) stay deeper than their radius.
    obstacles
        Capsules to keep clear of.
    """
    crown = _Crown(growth or Growth(), depth_mm, list(obstacles))
    ends = np.array([trunk[-1, :3] for trunk in trunks])
    nearest = np.linalg.norm(targets[:, None] - ends[None], axis=2).argmin(axis=1)
    root = crown.plant(trunks[0][0])
    buds = deque(crown.trunk(root, trunk, targets[nearest == number]) for number, trunk in enumerate(trunks))
    while buds:
        buds.extend(crown.divide(buds.popleft()))
    return crown.tree()


@dataclass(frozen=True, eq=False)
class _Bud:
    """A vessel's end that may divide: its point, direction, and the points still to supply."""

    point: int
    direction: Points
    targets: Points


class _Crown:
    """The tree while it grows: its points, and all capsules that a new vessel must keep clear of."""

    def __init__(self, growth: Growth, depth_mm: Callable[[Points], Points], obstacles: list[Capsule]) -> None:
        self.growth = growth
        self.depth_mm = depth_mm
        self.points: list[Points] = []
        self.parent: list[int] = []
        self.radius: list[float] = []
        self.walls = _Walls()
        self.walls.add(obstacles, of_tree=False)

    def plant(self, root: Points) -> int:
        self.points, self.parent, self.radius = [root[:3].round(2)], [-1], [float(root[3])]
        return 0

    def trunk(self, root: int, waypoints: Points, targets: Points) -> _Bud:
        smooth = spline(waypoints, step_mm=4.0)
        return self._append(root, smooth[1:, :3], smooth[1:, 3], targets)

    def divide(self, bud: _Bud) -> list[_Bud]:
        """New buds: the two branches of a vessel, or fewer where they would be too thin or find no way."""
        if len(bud.targets) < 2:
            return []
        buds: list[_Bud] = []
        for share in _halves(bud.targets):
            radius = self.radius[bud.point] * (len(share) / len(bud.targets)) ** (1.0 / 3.0)
            if radius < self.growth.tip_radius_mm:
                continue
            way = self._way(bud, share, radius)
            if way is None:
                continue
            buds.append(self._append(bud.point, way, np.full(len(way), radius), share))
        return buds

    def tree(self) -> Tree:
        return Tree(np.array(self.points), np.array(self.parent), np.array(self.radius))

    def _append(self, start: int, points: Points, radii: Points, targets: Points) -> _Bud:
        capsules, at = [], start
        for position, radius in zip(points, radii, strict=True):
            self.points.append(position.round(2))
            self.parent.append(at)
            self.radius.append(round(float(radius), 3))
            capsules.append(Capsule(point(self.points[at]), point(self.points[-1]), self.radius[-1], self.radius[-1]))
            at = len(self.points) - 1
        self.walls.add(capsules, of_tree=True)
        direction = self.points[at] - self.points[self.parent[at]]
        return _Bud(at, direction / max(float(np.linalg.norm(direction)), 1e-9), targets)

    def _way(self, bud: _Bud, share: Points, radius: float) -> Points | None:
        """A curve towards the share's middle that stays inside and clear of everything, or None."""
        start = self.points[bud.point]
        # The last vessel goes to the rim of what it supplies; the others divide on the way to its middle.
        is_last = radius * 0.5 ** (1.0 / 3.0) < self.growth.tip_radius_mm
        reach = (
            0.9 * (_farthest(share, start) - start) if is_last else self.growth.stride * (share.mean(axis=0) - start)
        )
        length = float(np.linalg.norm(reach))
        if length < 2.0:
            return None
        if length > self.growth.longest_mm:  # in stages, so that a way round is found
            reach, length = reach * (self.growth.longest_mm / length), self.growth.longest_mm
        for tries in _TRIES:
            ends = [start + factor * reach + shift * length for factor, shift in tries]
            ways = [_curve(start, bud.direction, end) for end in ends]
            free = self._are_free(ways, start, radius)
            if free.any():
                return ways[int(free.argmax())]
        return None

    def _are_free(self, ways: list[Points], start: Points, radius: float) -> Choices:
        """Which ways stay inside the organ and clear of all walls; near its fork a branch may touch its own tree."""
        lines = [np.vstack([start, way]) for way in ways]
        samples = np.vstack([np.vstack([(line[:-1] + line[1:]) / 2.0, line[1:]]) for line in lines])
        gap = self.growth.clearance_mm + radius
        free = self.depth_mm(samples) >= radius + 1.0
        free &= self.walls.distance_mm(samples, of_tree=False) >= gap
        fork = np.linalg.norm(samples - start, axis=1) <= 3.0 * radius + 3.0
        free &= fork | (self.walls.distance_mm(samples, of_tree=True) >= gap)
        starts = np.cumsum([0] + [2 * len(way) for way in ways[:-1]])
        choices: Choices = np.logical_and.reduceat(free, starts)
        return choices


class _Walls:
    """Capsules that are already there: of the growing tree, and of what was there before."""

    def __init__(self) -> None:
        self.starts, self.ends = np.zeros((0, 3)), np.zeros((0, 3))
        self.radii, self.is_tree = np.zeros(0), np.zeros(0, bool)

    def add(self, capsules: list[Capsule], *, of_tree: bool) -> None:
        if capsules:
            self.starts = np.vstack([self.starts, [capsule.start for capsule in capsules]])
            self.ends = np.vstack([self.ends, [capsule.end for capsule in capsules]])
            radii = [max(capsule.start_radius, capsule.end_radius) for capsule in capsules]
            self.radii = np.concatenate([self.radii, radii])
            self.is_tree = np.concatenate([self.is_tree, np.full(len(capsules), of_tree)])

    def distance_mm(self, points: Points, *, of_tree: bool) -> Points:
        """Distance of each point, shape (n, 3), to the nearest wall of the tree itself or of the obstacles.

        10 mm or more may read as infinite.
        """
        middle = points.mean(axis=0)
        reach = float(np.linalg.norm(points - middle, axis=1).max()) + 10.0
        half = np.linalg.norm(self.ends - self.starts, axis=1) / 2.0
        near = np.linalg.norm((self.starts + self.ends) / 2.0 - middle, axis=1) < half + self.radii + reach
        near &= self.is_tree == of_tree
        if not near.any():
            return np.full(len(points), np.inf)
        start, along = self.starts[near], (self.ends - self.starts)[near]
        offset = points[:, None] - start[None]
        length2 = np.maximum(np.square(along).sum(axis=1), 1e-12)
        share = np.clip((offset * along).sum(axis=2) / length2, 0.0, 1.0)
        away = np.sqrt(np.square(offset - share[..., None] * along).sum(axis=2)) - self.radii[near]
        nearest: Points = away.min(axis=1)
        return nearest


def even_points(count: int, low: npt.ArrayLike, high: npt.ArrayLike) -> Points:
    """`count` points that fill a box evenly, shape (count, 3): the R₃ sequence, which needs no random numbers.

    References
    ----------
    Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    plastic = 1.2207440846057596  # the root of x⁴ = x + 1
    share = (0.5 + np.arange(1, count + 1)[:, None] * plastic ** -np.arange(1.0, 4.0)) % 1.0
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    spread: Points = low + share * (high - low)
    return spread


def _halves(targets: Points) -> tuple[Points, Points]:
    """The targets cut across their longest extent, the larger half first."""
    offset = targets - targets.mean(axis=0)
    spread = np.array([[float((offset[:, a] * offset[:, b]).sum()) for b in range(3)] for a in range(3)])
    axis = np.array([1.0, 0.7, 0.4])
    for _ in range(24):  # power iteration: no library whose answer depends on the machine
        axis = (spread * axis).sum(axis=1)
        axis /= max(float(np.sqrt(np.square(axis).sum())), 1e-12)
    side = (offset * axis).sum(axis=1) > 0
    one, other = targets[side], targets[~side]
    return (one, other) if len(one) >= len(other) else (other, one)


def _farthest(points: Points, start: Points) -> Points:
    farthest: Points = points[int(np.square(points - start).sum(axis=1).argmax())]
    return farthest


def _curve(start: Points, direction: Points, end: Points) -> Points:
    """Points after `start` of a quadratic Bézier curve that leaves along `direction`, about 4 mm apart."""
    length = float(np.linalg.norm(end - start))
    bend = start + direction * (0.4 * length)
    count = max(round(length / 4.0), 1)
    t = (np.arange(1, count + 1) / count)[:, None]
    curve: Points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    return curve.round(2)


def _tries() -> list[list[tuple[float, Points]]]:
    """What a branch tries, from the straight way to ever wider detours: a factor on its length, a sideways shift."""
    around = even_points(14, (-1, -1, -1), (1, 1, 1))
    around /= np.linalg.norm(around, axis=1)[:, None]
    detours = ((1.0, 0.2), (1.0, 0.4), (0.7, 0.3), (0.7, 0.6), (0.45, 0.4))
    return [[(1.0, np.zeros(3))], *([(factor, shift * turn) for turn in around] for factor, shift in detours)]


_TRIES = _tries()
