"""Centrelines become a `VesselTree`: numbered, with generations and orders, in LPS mm, cut at the edges of the scan.

References
----------
Strahler, "Quantitative analysis of watershed geomorphology", Transactions AGU 38 (1957).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.vessels.lines import Line, clipped
from meshing.vessels.lumen import Lumen
from meshing.vessels.nouns import Branch, Loop, Node, VesselTree
from meshing.volume import Fact


@dataclass(frozen=True, eq=False)
class Cut:
    """A loop that was cut: where, its way round and least radius, in the lumen's mm, and the lines that meet there."""

    at: FloatArray
    way: FloatArray
    least_radius_mm: float
    between: tuple[int, int]


def assembled(lumen: Lumen, lines: list[Line], cuts: list[Cut], left_out: list[Fact]) -> VesselTree:
    """The tree of lines."""
    used = sorted({node for line in lines for node in (line.start, line.end)})
    place = {node: number for number, node in enumerate(used)}
    lines = [replace(line, start=place[line.start], end=place[line.end]) for line in lines]
    lines = [clipped(lumen, line) for line in lines]
    nodes = _nodes(lumen, lines, [_ends_at_edge(lumen, line) for line in lines], cuts)
    generation, strahler = _orders(lines)
    branches = tuple(
        Branch(
            number,
            line.parent if line.parent >= 0 else None,
            generation[number],
            strahler[number],
            line.start,
            line.end,
            lumen.in_patient(line.points),
            line.radius_mm,
            min(line.own_from, len(line.points) - 1),
        )
        for number, line in enumerate(lines)
    )
    return VesselTree(
        branches,
        nodes,
        tuple(_loop(lumen, cut) for cut in cuts),
        lumen.spacing_mm,
        lumen.wall_uncertainty_mm,
        lumen.in_patient(lumen.wall.vertices),
        lumen.wall.faces,
        (*lumen.facts, *left_out),
    )


def _ends_at_edge(lumen: Lumen, line: Line) -> tuple[bool, bool]:
    """Which of its ends lie on the edge of the scan."""
    gap = np.minimum(line.points[[0, -1]] - lumen.low_mm, lumen.high_mm - line.points[[0, -1]]).min(axis=1)
    return bool(abs(gap[0]) < 1e-6), bool(abs(gap[1]) < 1e-6)


def _nodes(lumen: Lumen, lines: list[Line], at_edge: list[tuple[bool, bool]], cuts: list[Cut]) -> tuple[Node, ...]:
    starts, ends = {line.start for line in lines}, {line.end for line in lines}
    found: dict[int, Node] = {}
    for line, edges in zip(lines, at_edge, strict=True):
        for at, node, is_edge in ((0, line.start, edges[0]), (-1, line.end, edges[1])):
            if node in found:
                continue
            kind = "root" if node not in ends else "bifurcation" if node in starts else "tip"
            radius = float(line.radius_mm[at])
            is_cut = kind == "tip" and any(
                np.linalg.norm(cut.at - line.points[at]) < 2.5 * radius + 3.0 * lumen.voxel_mm for cut in cuts
            )
            place = _point(lumen.in_patient(line.points[at]))
            found[node] = Node(node, kind, place, radius, is_edge, is_cut)  # type: ignore[arg-type]
    return tuple(found[node] for node in sorted(found))


def _orders(lines: list[Line]) -> tuple[list[int], list[int]]:
    """Generation and Strahler's order of every line; parents stand before children."""
    generation: list[int] = []
    for line in lines:
        generation.append(1 if line.parent < 0 else generation[line.parent] + 1)
    strahler = [1] * len(lines)
    orders: list[list[int]] = [[] for _ in lines]
    for number in range(len(lines) - 1, -1, -1):
        if orders[number]:
            highest = max(orders[number])
            strahler[number] = highest + (orders[number].count(highest) > 1)
        if lines[number].parent >= 0:
            orders[lines[number].parent].append(strahler[number])
    return generation, strahler


def _loop(lumen: Lumen, cut: Cut) -> Loop:
    way = np.vstack([cut.way, cut.way[:1]])
    return Loop(
        _point(lumen.in_patient(cut.at)),
        _point(lumen.in_patient(cut.way.mean(axis=0))),
        float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum()),
        cut.least_radius_mm,
        cut.between,
    )


def _point(values: FloatArray) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
