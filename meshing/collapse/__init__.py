"""A complex of walls with fewer triangles: edges collapse, cheapest first by quadrics, and neighbours stay joined.

In: `Walls`, LPS mm. Out: `Walls` with the same labels, none of them torn, gone or flat. Quadrics after Garland and
Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997, without memory after Lindstrom and Turk;
the link condition after Dey, Edelsbrunner, Guha and Nekhayev, "Topology preserving edge contraction", 1999.

Passes instead of a heap: each takes the edges below a cost in the order of memory and joins every vertex at most once,
so costs stay true within it. Early passes are coarse, the last ones close to greedy: only they show. To sort the edges
of each pass by cost takes a fifth more time and saves 3 % of the error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from meshing.collapse.mesh import FIXED, Mesh, Stock, opened, packed, turned
from meshing.collapse.quadrics import set_quadrics, table_of
from meshing.collapse.sweeps import costs, sweep
from meshing.progress import Progress, silent
from meshing.walls import Walls

Array = npt.NDArray[np.float64]

_CARE = 0.4
_LEAST = 0.02
"""Share of the edges that is opened in a pass, per share of the faces still to go, and at least."""

_SAMPLE = 4_000
"""Faces whose edges tell the costs of all: 6,000 edges place a quantile within half a per cent."""


def collapse(
    walls: Walls,
    budget: int,
    weights: Mapping[int, float] | None = None,
    *,
    least: Mapping[int, int] | None = None,
    room: int = 0,
    progress: Progress = silent,
) -> Walls | None:
    """The walls with at most `budget` triangles over all parts, or with as few as can be had without harm.

    Labels, islands, holes and the curves between three labels stay; no closed part gets under four triangles. Vertices
    on one curve move along it; those where curves meet stay. The given walls come back when they are small enough.

    Parameters
    ----------
    budget
        Triangles; a wall between two parts counts for both.
    weights
        Of labels, 1 where none is given; a triangle's planes count by the larger of its two.
    least
        Triangles that the surface of a label keeps at least, if it has so many; the budget may not be reached then.
    room
        Triangles that each vertex which must stay should find in the budget. Where it does not, None comes back:
        they would take it all, and strip the rest bare.
    """
    stock = _stock(walls, least or {})
    if stock.seen <= budget:
        return walls
    mesh = opened(turned(np.array(walls.faces), walls.sides), np.array(walls.sides), np.array(walls.vertices))
    if budget * len(walls.faces) < room * np.count_nonzero(mesh.kind == FIXED) * stock.seen:
        return None
    mesh = _decimated(mesh, budget, table_of(weights, len(stock.left)), stock, progress)
    # Copies: what is left are views of arrays ten times as large.
    return Walls(mesh.points.copy(), turned(mesh.faces.copy(), mesh.sides), mesh.sides.copy())


def _stock(walls: Walls, least: Mapping[int, int]) -> Stock:
    left = np.bincount(walls.sides.ravel(), minlength=1).astype(np.int64)
    floor = np.zeros(len(left), np.int64)
    for label, count in least.items():
        if 0 < label < len(floor):
            floor[label] = min(count, left[label])
    return Stock(left, floor)


def _decimated(mesh: Mesh, budget: int, weights: Array, stock: Stock, progress: Progress) -> Mesh:
    """The mesh after passes down to the budget."""
    whole, budget, eagerness = stock.seen, max(budget, 1), 1.0
    failed = 0
    while (excess := stock.seen - budget) > 0:
        progress(np.log(whole / stock.seen) / np.log(whole / budget), "collapsing edges")
        set_quadrics(mesh, weights)
        spare = stock.left - 2 >= stock.least
        step = max(len(mesh.faces) // _SAMPLE, 1)
        sample = costs(mesh, spare, step)
        # Most of the edges that could not collapse in the last pass are still among the cheapest, and still cannot.
        share = eagerness * max(_CARE * excess / stock.seen, _LEAST) + failed / max(len(sample) * step, 1)
        limit = float(np.quantile(sample, share)) if share < 1 and len(sample) else np.inf
        removed, failed = sweep(mesh, limit, spare, excess, stock)
        mesh = packed(mesh)
        # What is left of the cheap edges may all be illegal to collapse: open more of them, then stop.
        if share >= 1 and removed <= 1e-3 * excess:
            break
        eagerness = 2 * eagerness if removed < 0.05 * excess else max(eagerness / 2, 1.0)
    progress(1.0, "collapsed")
    return mesh
