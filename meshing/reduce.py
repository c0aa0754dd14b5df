"""Shared walls with fewer triangles: edges collapse where least is lost, volumes come back, the loss is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.balance import restored, sizes_mm
from meshing.collapse import collapse
from meshing.deviation import deviations
from meshing.deviation.netwalls import NetWalls
from meshing.progress import Progress, part, silent
from meshing.surface import Deviation, largest_stray_mm
from meshing.untangle import untangled
from meshing.walls import Walls

Array = npt.NDArray[np.float64]

_THICK_MM = 4.0
"""Thickness (volume over area) from which a part has no greater claim than another: a vessel of 8 mm radius."""

_STRAY = 0.02
"""Share of its thickness by which a merged vertex may miss what it stands for."""

_MOST_STRAY_MM = 0.1

_ATTEMPTS = ((0.0, 0.9), (0.9, 0.95), (0.95, 1.0))
_AGAIN = 2.0
"""What each attempt takes of the progress (few need a second), and how much more a part that lost a limb is served."""

_CLOSE = 0.9
"""Share of what it may stray from which a part counts as having lost a limb."""

_SPARE = 1_000
"""One triangle of so many is left over for repairs."""

_MOST_PROMISED = 0.9
_PROMISED = 0.8
_THIN_MM = 2.0
"""Share of the budget that is shared out beforehand, at most and at first, and the thickness below which a part gets
more of it: that of a vessel of 4 mm radius."""

ROOM = 11
"""Triangles that a fixed vertex should find: about six lie round it, and something must be left for the walls."""


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
    walls: Walls,
    budget: int,
    sizes: Sizes,
    *,
    whole: Walls | NetWalls | None = None,
    importance: Array | None = None,
    room: int = 0,
    progress: Progress = silent,
) -> Reduced | None:
    """The walls with at most about `budget` triangles over all parts, each part with the volume that it had.

    Thin parts lose less than thick ones: a triangle's cost grows with the square of 4 mm over its part's thickness.

    Parameters
    ----------
    sizes
        That the walls have, or had before they were merged.
    whole
        The walls from which distances count, where `walls` have fewer triangles already.
    importance
        (labels,): by how much each part's claim is multiplied; 1 where None is given.
    room
        Triangles that each vertex where curves meet or parts touch should find: those stay. Where the budget has less,
        None comes back, and every part is better off by itself.
    """
    labels = len(sizes.volumes_mm3)
    factors = np.ones(labels) if importance is None else importance
    # What the next collapse costs goes with the third power of a triangle's share: cubed, factors count triangles.
    weights = np.clip((_THICK_MM / sizes.thickness_mm) ** 2, 1.0, 1000.0) * factors**3
    given = np.bincount(walls.sides.ravel(), minlength=labels)
    promised = np.minimum(_promised(claims_of(sizes, factors), budget), np.floor(0.9 * given))  # all give something
    best, least_harm = None, (labels, np.inf)
    for begin, end in _ATTEMPTS:
        step = part(progress, begin, end)
        fewer = _decimated(walls, budget, sizes, (weights, promised), room, part(step, 0.0, 0.6))
        if fewer is None:
            return best
        result = Reduced(fewer, deviations(fewer, whole or walls, progress=part(step, 0.6, 1.0)))
        crippled = _crippled(result)
        harm = len(crippled), sum(result.deviations[label].max_mm for label in crippled)
        if best is None or harm < least_harm:
            best, least_harm = result, harm
        again = _raised(promised, crippled, given, budget)
        if not (again[crippled] > promised[crippled]).any():
            break
        weights[crippled] *= _AGAIN**3
        promised = again
    return best


def _decimated(
    walls: Walls, budget: int, sizes: Sizes, claims: tuple[Array, Array], room: int, progress: Progress
) -> Walls | None:
    """Within the budget, of the right volumes, and straight."""
    weights, promised = (dict(enumerate(numbers.tolist())) for numbers in claims)
    floors = {label: int(count) for label, count in promised.items()}
    # Where a part touches itself along an edge, cutting it apart adds a triangle or two.
    fewer = collapse(walls, budget - budget // _SPARE, weights, least=floors, room=room, progress=progress)
    if fewer is None:
        return None
    edge_mm = float(np.sqrt(sizes_mm(fewer, len(sizes.volumes_mm3))[1].sum() / max(len(fewer.faces), 1)))
    fewer = restored(fewer, sizes.volumes_mm3, edge_mm / 4)
    straight = untangled(fewer, most_mm=edge_mm / 4)
    if straight is not fewer:  # what was drawn straight shrank
        fewer = restored(straight, sizes.volumes_mm3, edge_mm / 8)
    return fewer


def _crippled(result: Reduced) -> list[int]:
    """Labels that lost a limb: they strayed further than a structure of their size may."""
    walls, found = result.walls, []
    for label, lost in result.deviations.items():
        if np.isfinite(lost.max_mm) and lost.max_mm > _CLOSE * largest_stray_mm(0.0):
            corners = walls.vertices[walls.faces[(walls.sides == label).any(axis=1)]].reshape(-1, 3)
            if lost.max_mm > _CLOSE * largest_stray_mm(float(np.linalg.norm(np.ptp(corners, axis=0)))):
                found.append(label)
    return found


def _raised(promised: Array, crippled: list[int], given: npt.NDArray[np.int64], budget: int) -> Array:
    """Promises with those of some labels larger; the others pay for it."""
    raised = promised.copy()
    raised[crippled] = np.minimum(_AGAIN * promised[crippled], np.floor(0.9 * given[crippled]))
    raised[crippled] *= min(_MOST_PROMISED * budget / max(raised[crippled].sum(), 1.0), 1.0)
    others = np.ones(len(promised), bool)
    others[crippled] = False
    left = max(_MOST_PROMISED * budget - raised[crippled].sum(), 0.0)
    raised[others] *= min(left / max(raised[others].sum(), 1.0), 1.0)
    kept: Array = np.floor(raised)
    return kept


def claims_of(sizes: Sizes, importance: Array) -> Array:
    """(labels,): weights by which parts share a budget: area^0.75, which favours the small, thinness, importance."""
    area = np.where(sizes.areas_mm2 > 0, sizes.areas_mm2, 0.0)
    claims: Array = area**0.75 * np.clip(_THIN_MM / sizes.thickness_mm, 1.0, 4.0) * importance
    return claims


def _promised(claims: Array, budget: int) -> Array:
    """(labels,): triangles that each part keeps, whatever the others' quadrics cost.

    Quadrics alone would strip a smooth vertebra for the thousand twigs of a vein. Most of the budget is shared out by
    claims; the rest goes where it costs most to save.
    """
    inside = np.where(np.arange(len(claims)) > 0, claims, 0.0)
    promised: Array = np.floor(_PROMISED * budget * inside / max(inside.sum(), 1e-12))
    return promised


def merge_tolerance_mm(sizes: Sizes) -> Array:
    """(labels,): how far merging may move a wall of each part; infinite outside of everything."""
    tolerance: Array = np.minimum(_STRAY * sizes.thickness_mm, _MOST_STRAY_MM)
    tolerance[0] = np.inf
    return tolerance
