"""Shared walls with fewer triangles: edges collapse where least is lost, volumes come back, the loss is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.balance import restored, sizes_mm
from meshing.collapse import collapse, fixed_vertices
from meshing.deviation import deviations
from meshing.progress import Progress, part, silent
from meshing.surface import Deviation
from meshing.untangle import untangled
from meshing.walls import Walls

Array = npt.NDArray[np.float64]

_THICK_MM = 4.0
"""Thickness (volume over area) from which a part has no greater claim than another: a vessel of 8 mm radius."""

_STRAY = 0.02
"""Share of its thickness by which a merged vertex may miss what it stands for."""

_MOST_STRAY_MM = 0.1

_ATTEMPTS = 3

_TURNS = 3
"""Times that parts which lost a branch are given more, at the others' cost."""

_BRANCH = 0.6
_OF_SIZE = 0.05
_SMALL_MM = 1.0
"""Shares of an even mesh's edge and of a part's size, from which a lost branch is suspected. An export refuses 1, with what the
case's own surface had lost before."""

_FOR_BRANCHES = 0.6
"""Share of the budget that may be promised."""

_ROOM = 11
"""Triangles that a fixed vertex should find: about six lie round it, and something must be left for the walls."""

_ENOUGH = 200
"""Triangles that no part needs to go below while a quarter of the budget reaches for all: a cyst stays round."""


@dataclass(frozen=True, eq=False)
class Reduced:
    """Fewer triangles, and what that cost, by label."""

    walls: Walls
    deviations: Mapping[int, Deviation]


@dataclass(frozen=True, eq=False)
class Sizes:
    """Of every label, (labels,): volume and area of its surface; a shared wall counts for both its parts."""

    volumes_mm3: Array
    areas_mm2: Array

    @property
    def thickness_mm(self) -> Array:
        """Volume over area, half the radius of a tube; infinite for absent labels."""
        is_there = self.areas_mm2 > 0
        ratio = np.abs(self.volumes_mm3) / np.where(is_there, self.areas_mm2, 1.0)
        return np.where(is_there, ratio, np.inf).clip(1e-6)


def sizes_of(walls: Walls) -> Sizes:
    """Volumes and areas, measured."""
    labels = int(walls.sides.max(initial=0)) + 1
    return Sizes(*sizes_mm(walls, labels))


def reduced(
    walls: Walls, budget: int, sizes: Sizes, *, start: Walls | None = None, progress: Progress = silent
) -> Reduced:
    """The walls with at most about `budget` triangles over all parts, each part with the volume that it had.

    Thin parts lose less than thick ones: a triangle's cost grows with the square of 4 mm over its part's thickness.

    Parameters
    ----------
    sizes
        Of `walls`.
    start
        The same walls with fewer triangles already; distances and volumes refer to `walls` all the same.
    """
    labels = len(sizes.volumes_mm3)
    claims = np.clip((_THICK_MM / sizes.thickness_mm) ** 2, 1.0, 1000.0)
    named = int(np.count_nonzero(sizes.areas_mm2[1:]))
    least = np.full(labels, min(budget // max(4 * named, 1), _ENOUGH))
    for turn in range(_TURNS):
        step = part(progress, turn / _TURNS, (turn + 1) / _TURNS)
        fewer = _collapsed(start or walls, budget, claims, least, part(step, 0.0, 0.6))
        edge_mm = float(np.sqrt(sizes_mm(fewer, labels)[1].sum() / max(len(fewer.faces), 1)))
        fewer = restored(fewer, sizes.volumes_mm3, edge_mm / 4)
        straight = untangled(fewer)
        if straight is not fewer:  # what was drawn straight shrank
            fewer = restored(straight, sizes.volumes_mm3, edge_mm / 8)
        found = deviations(fewer, walls, progress=part(step, 0.6, 1.0))
        strayed = _strayed(found, fewer, sizes.areas_mm2)
        if len(strayed) == 0 or named < 2:
            break
        claims[strayed] *= 8.0
        faces = np.bincount(fewer.sides.ravel(), minlength=labels)
        for label in strayed:  # the worst first, as long as something is left for the others
            if least.sum() + 2 * faces[label] - least[label] <= _FOR_BRANCHES * budget:
                least[label] = 2 * faces[label]
    return Reduced(fewer, found)


def _collapsed(walls: Walls, budget: int, claims: Array, least: Array, progress: Progress) -> Walls:
    """The walls within the budget over all parts, as near as it can be had."""
    weights = dict(enumerate(claims.tolist()))
    floors = dict(enumerate(least.astype(int).tolist()))
    for attempt in range(_ATTEMPTS):
        before = len(walls.faces)
        # A wall counts for both its parts, and which walls keep more than others only shows afterwards.
        allowed = int(budget * before / triangles_seen(walls) * 0.995**attempt)
        walls = collapse(walls, allowed, weights, least=floors, progress=progress)
        if triangles_seen(walls) <= budget or len(walls.faces) > 0.99 * before:
            break
    return walls


def _strayed(found: Mapping[int, Deviation], walls: Walls, areas_mm2: Array) -> npt.NDArray[np.int64]:
    """Labels that lost a branch, the worst first.

    Further off than the edges of an even mesh of so many triangles, or than a twentieth of their size.
    """
    faces = np.bincount(walls.sides.ravel(), minlength=len(areas_mm2))
    even_mm = np.sqrt(4.0 / np.sqrt(3.0) * areas_mm2 / np.maximum(faces, 1))
    limit = _BRANCH * np.minimum(even_mm, np.maximum(_OF_SIZE * _sizes_mm(walls, len(areas_mm2)), _SMALL_MM))
    share = {n: lost.max_mm / max(limit[n], 1e-9) for n, lost in found.items() if np.isfinite(lost.max_mm)}
    return np.array(sorted((n for n in share if share[n] > 1), key=lambda n: -share[n]), np.int64)


def _sizes_mm(walls: Walls, labels: int) -> Array:
    """(labels,): diagonal of each part's box."""
    low, high = np.full((labels, 3), np.inf), np.full((labels, 3), -np.inf)
    for side in range(2):
        for corner in range(3):
            places = walls.vertices[walls.faces[:, corner]]
            np.minimum.at(low, walls.sides[:, side], places)
            np.maximum.at(high, walls.sides[:, side], places)
    diagonal: Array = np.linalg.norm(np.where(high >= low, high - low, 0.0), axis=1)
    return diagonal


def holds_together(walls: Walls, budget: int) -> bool:
    """Whether so few triangles over all parts leave shared walls any freedom.

    Vertices where curves meet or parts touch stay, and each needs triangles; when they take most of the budget, the
    rest would be stripped bare. Then every part is better off by itself.
    """
    allowed = budget * len(walls.faces) / max(triangles_seen(walls), 1)
    return allowed >= _ROOM * fixed_vertices(walls)


def triangles_seen(walls: Walls) -> int:
    """Over all parts; a wall between two counts for both."""
    return len(walls.faces) + int(np.count_nonzero(walls.sides[:, 1]))


def merge_tolerance_mm(sizes: Sizes) -> Array:
    """(labels,): how far merging may move a wall of each part; infinite outside of everything."""
    tolerance: Array = np.minimum(_STRAY * sizes.thickness_mm, _MOST_STRAY_MM)
    tolerance[0] = np.inf
    return tolerance
