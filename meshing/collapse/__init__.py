"""A complex of walls with fewer triangles: edges collapse, cheapest first by quadrics, and neighbours stay joined.

In: `Walls`, LPS mm. Out: `Walls` with the same labels, none of them torn, gone or flat. Quadrics after Garland and
Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997; the link condition after Dey,
Edelsbrunner, Guha and Nekhayev, "Topology preserving edge contraction", 1999.

Passes instead of a heap: each pass takes the edges below a cost and joins every vertex at most once, so costs stay
true within it and memory is read in order. Early passes are coarse, the last ones close to greedy: only they show.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from meshing.collapse.mesh import FIXED, Mesh, Stock, opened, packed, turned
from meshing.collapse.quadrics import Quadrics, add_plane_quadrics, middle_of, quadrics_of, table_of, thickness_weights
from meshing.collapse.sweeps import costs, sweep
from meshing.errors import SurfaceError
from meshing.progress import Progress, silent
from meshing.threads import over_rows
from meshing.walls import Walls

__all__ = ["Quadrics", "collapse", "quadrics_of", "thickness_weights"]

_SHARE = 0.35
"""Of the edges at most so many are open in a pass: beyond, an early pass takes what a late one would leave."""

_CARE = 0.4
"""Share of the edges that is opened per share of the faces still to go: the last passes are small."""

_SAMPLE = 4_000
"""Faces whose edges tell the costs of all: 6,000 edges place a quantile within half a per cent."""


def collapse(
    walls: Walls,
    budget: int,
    weights: Mapping[int, float] | None = None,
    *,
    least: Mapping[int, int] | None = None,
    quadrics: Quadrics | None = None,
    progress: Progress = silent,
) -> Walls:
    """The walls with at most `budget` triangles, or with as few as can be had without harm.

    Labels, islands, holes and the curves between three labels stay; no closed part gets under four triangles. Vertices
    on one curve move along it; those where curves meet stay. The given walls come back when they are small enough.

    Parameters
    ----------
    budget
        Triangles.
    weights
        Of labels, as for `quadrics_of`; not read when `quadrics` are given.
    least
        Triangles that the surface of a label keeps at least, if it has so many; the budget may not be reached then.
    quadrics
        Where they were summed over a finer mesh; else they start from the triangles.

    Raises
    ------
    SurfaceError
        If there is not one quadric per vertex.
    """
    if len(walls.faces) <= budget:
        return walls
    if quadrics is not None and quadrics.values.shape != (len(walls.vertices), 10):
        shape, count = quadrics.values.shape, len(walls.vertices)
        raise SurfaceError(f"quadrics of shape {shape} are not ({count}, 10), one a vertex", where="walls")
    origin = middle_of(walls) if quadrics is None else quadrics.origin
    faces = turned(np.array(walls.faces), walls.sides)
    mesh = opened(faces, walls.vertices - origin, None if quadrics is None else np.array(quadrics.values))
    if quadrics is None:
        add_plane_quadrics(mesh, np.array(walls.sides), table_of(walls, weights))
    mesh, numbers = _decimated(mesh, budget, _stock(walls, least or {}), progress)
    sides = walls.sides[numbers]
    return Walls(mesh.points + origin, turned(np.array(mesh.faces), sides), sides)


def fixed_vertices(walls: Walls) -> int:
    """How many vertices no collapse can move or remove: where curves meet, or parts touch in an edge or a point."""
    faces = turned(np.array(walls.faces), walls.sides)
    return int(np.count_nonzero(opened(faces, walls.vertices, None).kind == FIXED))


def _stock(walls: Walls, least: Mapping[int, int]) -> Stock:
    sides = np.array(walls.sides)
    left = np.bincount(sides.ravel()).astype(np.int64)
    floor = np.zeros(len(left), np.int64)
    for label, count in least.items():
        if 0 < label < len(floor):
            floor[label] = min(count, left[label])
    return Stock(sides, left, floor)


def _decimated(mesh: Mesh, budget: int, stock: Stock, progress: Progress) -> tuple[Mesh, npt.NDArray[np.int32]]:
    """The mesh after passes down to the budget, and which of the given faces are left."""
    numbers = np.arange(len(mesh.faces), dtype=np.int32)
    whole, budget, eagerness = len(mesh.faces), max(budget, 1), 1.0
    while (excess := len(mesh.faces) - budget) > 0:
        progress(np.log(whole / len(mesh.faces)) / np.log(whole / budget), "collapsing edges")
        share = eagerness * min(_SHARE, max(_CARE * excess / len(mesh.faces), 0.02))
        removed = sweep(*_candidates(mesh, share, len(mesh.faces) / budget), mesh, excess, stock, numbers)
        mesh, numbers = packed(mesh, numbers)
        # What is left of the cheap edges may all be illegal to collapse: open more of them, then stop.
        if share >= 1 and removed <= 1e-3 * excess:
            break
        eagerness = 2 * eagerness if removed < 0.05 * excess else max(eagerness / 2, 1.0)
    progress(1.0, "collapsed")
    return mesh, numbers


def _candidates(mesh: Mesh, share: float, ratio: float) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Vertices gone and kept of the cheapest `share` of the edges, in the order in which to try them.

    Far above the budget (`ratio`), that is the order of memory, which halves the time and costs 1 % of the error; then
    in steps of factors of four and of an eighth of two.
    """
    limit = np.inf
    if share < 1:
        step = max(len(mesh.faces) // _SAMPLE, 1)
        sample = costs(0, len(mesh.faces), mesh, np.inf, step)[0]
        limit = float(np.quantile(sample, share)) if len(sample) else np.inf
    parts = over_rows(costs, len(mesh.faces), mesh, limit, 1)
    cost, gone, kept = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if ratio > 6:
        return gone, kept
    # The bits of positive floats are ordered as they are; the top 16 are sorted by radix, and stably: ties keep place.
    unused = 24 if ratio > 4 else 20
    order = np.argsort((cost.view(np.uint32) >> np.uint32(unused)).astype(np.uint16), kind="stable")
    return gone[order], kept[order]
