"""Segments of voxels become smooth lines through the middle of the lumen, which meet in common nodes.

In: a `Lumen` and segments of its skeleton. Out: a `Line` for each, in the lumen's mm. Within the sphere of a node there
is no middle of one vessel: there a line leads smoothly from the node to where its own vessel begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from meshing.frames import FloatArray
from meshing.progress import Progress
from meshing.vessels.across import Planes, first_walls
from meshing.vessels.centreline import STEP_VOXELS, across, arc_of, on_ridge, resampled, smoothed, tangents, trimmed
from meshing.vessels.lattice import Floats
from meshing.vessels.lumen import Lumen
from meshing.vessels.segments import Segment
from meshing.voxels.upright import Mask

_ROUGH_VOXELS = 4.0
_SMOOTH_VOXELS, _SMOOTH_RADII = 5.0, 3.0
_HELD, _LED = 1e4, 0.03  # weights of nodes, and of points between a node and where a line's own vessel begins
_NODE_RADII = 0.5
_ROUNDS = 2
_STUB_RADII = 1.0
_RAYS, _HARMONICS = 48, 3
_ROUGH_MOST, _EVEN_POINTS = 0.3, 2.0


@dataclass(frozen=True, eq=False)
class Line:
    """A segment's centreline.

    Parameters
    ----------
    points
        (N, 3).
    radius_mm
        (N,), 0 until it is measured.
    parent
        Number of the line that it comes from, or -1.
    start, end
        Numbers of its nodes.
    own_from, own_to
        The points between lie in no other line's spheres, and before the next node.
    """

    points: FloatArray
    radius_mm: FloatArray
    parent: int
    start: int
    end: int
    own_from: int
    own_to: int


def lines_of(lumen: Lumen, segments: list[Segment], places: Floats, radii: Floats, progress: Progress) -> list[Line]:
    """The centrelines of segments."""
    lines = _rough(lumen, segments, places)
    lines = _measured(lumen, lines)
    from_node = _by_start(lines)
    lines = [_without_caps(line, from_node) for line in lines]
    for turn in range(_ROUNDS):
        lines = _pruned(_in_own_range(lines))
        progress(0.78 + 0.08 * turn, "finding the middle")
        nodes, middles = _middles(lumen, lines)
        lines = _measured(lumen, [
            _through(lumen, line, middle, nodes) for line, middle in zip(lines, middles, strict=True)
        ])  # fmt: skip
    from_node = _by_start(lines)
    lines = _in_own_range([_without_caps(line, from_node) for line in lines])
    lines = _pruned([clipped(lumen, line) for line in lines])
    return _smooth_radii(lumen, _in_own_range(lines))


def _rough(lumen: Lumen, segments: list[Segment], places: Floats) -> list[Line]:
    """Lines along the voxels, without their stairs."""
    step = STEP_VOXELS * lumen.voxel_mm
    numbers: dict[int, int] = {}
    lines = []
    for segment in segments:
        start, end = (numbers.setdefault(int(segment.entries[at]), len(numbers)) for at in (0, -1))
        points = resampled(places[segment.entries], step)
        weights = np.ones(len(points))
        weights[[0, -1]] = _HELD
        points = smoothed(points, weights, _ROUGH_VOXELS / STEP_VOXELS)
        lines.append(Line(points, np.zeros(len(points)), segment.parent, start, end, 0, len(points) - 1))
    return lines


def _measured(lumen: Lumen, lines: list[Line]) -> list[Line]:
    """The lines with their radii."""
    depth = lumen.depth_mm(np.concatenate([line.points for line in lines]))
    bounds = np.cumsum([0, *(len(line.points) for line in lines)])
    return [replace(line, radius_mm=depth[a:b]) for line, (a, b) in zip(lines, pairwise(bounds), strict=True)]


def _without_caps(line: Line, from_node: dict[int, list[int]]) -> Line:
    """The line from and to where its vessel's wall is round it: the caps of open ends are cut off."""
    first, last = 0, len(line.points) - 1
    arc = arc_of(line.points)
    if line.parent < 0 and len(from_node[line.start]) == 1:
        first = trimmed(line.radius_mm, arc, at_start=True)
    if line.end not in from_node:
        last = trimmed(line.radius_mm, arc, at_start=False)
    if last - first < 2:
        return line
    keep = slice(first, last + 1)
    return replace(line, points=line.points[keep], radius_mm=line.radius_mm[keep], own_from=0, own_to=last - first)


def clipped(lumen: Lumen, line: Line) -> Line:
    """The line within the scan; one that lies beyond its edge altogether has nothing of its own."""
    beyond = np.maximum(lumen.low_mm - line.points, line.points - lumen.high_mm).max(axis=1)
    inside = np.flatnonzero(beyond <= 0)
    if len(inside) == len(line.points):
        return line
    if not len(inside):
        return replace(line, own_from=len(line.points) - 1, own_to=len(line.points) - 1)
    first, last = int(inside[0]), int(inside[-1])
    points, radii = line.points[first : last + 1], line.radius_mm[first : last + 1]
    own_from = max(line.own_from - first, 0)
    if first > 0:
        share = beyond[first - 1] / (beyond[first - 1] - beyond[first])
        points = np.vstack([_between(line.points, first - 1, share), points])
        radii = np.concatenate([[_between(line.radius_mm, first - 1, share)], radii])
        own_from += int(own_from > 0)
    if last < len(line.points) - 1:
        share = -beyond[last] / (beyond[last + 1] - beyond[last])
        points = np.vstack([points, _between(line.points, last, share)])
        radii = np.concatenate([radii, [_between(line.radius_mm, last, share)]])
    own_from = min(own_from, len(points) - 1)
    return replace(line, points=points, radius_mm=radii, own_from=own_from, own_to=len(points) - 1)


def _between(values: FloatArray, at: int, share: float) -> FloatArray:
    found: FloatArray = values[at] + share * (values[at + 1] - values[at])
    return found


def _in_own_range(lines: list[Line]) -> list[Line]:
    """The lines with the range in which they lie in no other's spheres."""
    from_node = _by_start(lines)
    found = []
    for number, line in enumerate(lines):
        others = [lines[at] for at in from_node[line.start] if at != number]
        own_from = _leaves(line, [*others, *([lines[line.parent]] if line.parent >= 0 else [])])
        own_to = len(line.points) - 1
        if line.end in from_node:
            away = np.linalg.norm(line.points - line.points[-1], axis=1)
            far = np.flatnonzero(away > _NODE_RADII * line.radius_mm[-1])
            own_to = int(far[-1]) if len(far) else own_from
        found.append(replace(line, own_from=own_from, own_to=max(own_to, own_from)))
    return found


def _by_start(lines: list[Line]) -> dict[int, list[int]]:
    """Numbers of the lines that begin at each node."""
    found: dict[int, list[int]] = {}
    for number, line in enumerate(lines):
        found.setdefault(line.start, []).append(number)
    return found


def _pruned(lines: list[Line]) -> list[Line]:
    """The lines without ends that hardly leave the spheres of others; what is then no fork becomes one line.

    A line between two forks that never leaves those spheres is no vessel either: the forks are one.
    """
    while True:
        starts = {line.start for line in lines}
        stubs = [
            number
            for number, line in enumerate(lines)
            if line.end not in starts and line.parent >= 0 and _own_mm(line) < _STUB_RADII * line.radius_mm[-1]
        ]
        if not stubs:
            break
        shortest = min(stubs, key=lambda number: _own_mm(lines[number]))
        lines = _without(lines, shortest)
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if line.parent >= 0 and line.end in {other.start for other in lines} and _own_mm(line) <= 0.0:
            lines = _forks_joined(lines, number)
    return lines


def _forks_joined(lines: list[Line], gone: int) -> list[Line]:
    """The lines without one between two forks: what left its end leaves its start."""
    short = lines[gone]
    kept = []
    for number, line in enumerate(lines):
        if number == gone:
            continue
        if line.parent == gone:
            line = replace(
                line,
                points=np.vstack([short.points, line.points[1:]]),
                radius_mm=np.concatenate([short.radius_mm, line.radius_mm[1:]]),
                start=short.start,
                own_from=line.own_from + len(short.points) - 1,
                own_to=line.own_to + len(short.points) - 1,
                parent=short.parent,
            )
        kept.append(replace(line, parent=line.parent - (line.parent > gone)))
    return kept


def _own_mm(line: Line) -> float:
    arc = arc_of(line.points)
    return float(arc[-1] - arc[line.own_from])


def _without(lines: list[Line], gone: int) -> list[Line]:
    """The lines without one; its parent and its only sister become one line."""
    start, parent = lines[gone].start, lines[gone].parent
    sisters = [number for number, line in enumerate(lines) if line.start == start and number != gone]
    place = {-1: -1}
    kept: list[Line] = []
    for number, line in enumerate(lines):
        if number == gone:
            continue
        if len(sisters) == 1 and number == sisters[0]:
            before = kept[place[parent]]
            whole = replace(
                before,
                points=np.vstack([before.points, line.points[1:]]),
                radius_mm=np.concatenate([before.radius_mm, line.radius_mm[1:]]),
                end=line.end,
                own_to=len(before.points) - 1 + line.own_to,
            )
            kept[place[parent]] = whole
            place[number] = place[parent]
            continue
        place[number] = len(kept)
        kept.append(replace(line, parent=place[line.parent]))
    return kept


def _smooth_radii(lumen: Lumen, lines: list[Line]) -> list[Line]:
    """The lines with the roughness of a wall that was drawn from voxels taken out of their radii.

    A sphere stops at the innermost of all bumps. How much narrower the bumps make the vessel than its smooth shape is
    measured across it: the least distance to the wall of all angles, against that of the lowest harmonics of the same.
    """
    points = np.concatenate([line.points for line in lines])
    along = np.concatenate([tangents(line.points) for line in lines])
    radii = np.concatenate([line.radius_mm for line in lines])
    one, other = across(along)
    reach = 3.0 * radii + 4.0 * lumen.voxel_mm
    far = first_walls(Planes(points, one, other, reach), lumen.wall, _RAYS)
    is_round = np.isfinite(far).all(axis=1) & (np.nan_to_num(far, nan=np.inf).max(axis=1) < 2.5 * radii)
    bounds = np.cumsum([0, *(len(line.points) for line in lines)])
    for first, last in pairwise(bounds):
        far[first:last] = _evened(far[first:last], is_round[first:last])
    waves = np.fft.rfft(np.where(is_round[:, None], far, 1.0), axis=1)
    waves[:, _HARMONICS + 1 :] = 0.0
    smooth = np.fft.irfft(waves, _RAYS, axis=1).min(axis=1)
    added = np.where(is_round, np.clip(smooth - radii, 0.0, _ROUGH_MOST * lumen.voxel_mm), 0.0)
    return [replace(line, radius_mm=(radii + added)[a:b]) for line, (a, b) in zip(lines, pairwise(bounds), strict=True)]


def _evened(far: Floats, is_round: Mask) -> Floats:
    """Distances (N, rays) averaged along a line, over about two voxels, among those that are round."""
    from scipy.ndimage import gaussian_filter1d

    weight = gaussian_filter1d(is_round.astype(np.float64), _EVEN_POINTS, axis=0, mode="nearest")
    total = gaussian_filter1d(np.where(is_round[:, None], far, 0.0), _EVEN_POINTS, axis=0, mode="nearest")
    return np.where(is_round[:, None], total / np.maximum(weight, 1e-6)[:, None], far)


def _leaves(line: Line, others: list[Line]) -> int:
    """The first point after the line has left all spheres of others for good."""
    from scipy.spatial import cKDTree

    if not others:
        return 0
    points = np.concatenate([other.points for other in others])
    radii = np.concatenate([other.radius_mm for other in others])
    near = np.linalg.norm(points - line.points[0], axis=1) < 4.0 * radii.max() + line.radius_mm.max()
    points, radii = points[near], radii[near]
    if not len(points):
        return 0
    away, index = cKDTree(points).query(line.points, k=min(8, len(points)))
    is_within = (away.reshape(len(line.points), -1) < radii[index].reshape(len(line.points), -1)).any(axis=1)
    outside = np.flatnonzero(~is_within)
    return int(outside[0]) if len(outside) else len(line.points) - 1


def _middles(lumen: Lumen, lines: list[Line]) -> tuple[dict[int, FloatArray], list[FloatArray]]:
    """Where nodes lie, and the points of each line's own range moved to the ridge."""
    ranges = [np.arange(line.own_from, line.own_to + 1) for line in lines]
    points = np.concatenate([line.points[own] for line, own in zip(lines, ranges, strict=True)])
    along = np.concatenate([tangents(line.points)[own] for line, own in zip(lines, ranges, strict=True)])
    moved = on_ridge(lumen, points, along)
    bounds = np.cumsum([0, *(len(own) for own in ranges)])
    middles = [moved[a:b] for a, b in pairwise(bounds)]
    return _nodes(lines, middles, STEP_VOXELS * lumen.voxel_mm), middles


def _nodes(lines: list[Line], middles: list[FloatArray], step_mm: float) -> dict[int, FloatArray]:
    """Where three or more lines meet: the point nearest to the straight continuations of all."""
    axes: dict[int, list[FloatArray]] = {}
    rough: dict[int, tuple[FloatArray, float]] = {}
    for line, middle in zip(lines, middles, strict=True):
        radius = float(line.radius_mm[line.own_from : line.own_to + 1].mean())
        reach = max(4, int(np.ceil(radius / step_mm))) + 1
        for node, at, piece in ((line.start, 0, middle[:reach]), (line.end, -1, middle[-reach:])):
            axes.setdefault(node, []).append(piece)
            rough[node] = (line.points[at], float(line.radius_mm[at]))
    return {node: _meeting(found, *rough[node]) for node, found in axes.items() if len(found) > 2}


def _meeting(axes: list[FloatArray], rough: FloatArray, radius_mm: float) -> FloatArray:
    """Least squares of the distances from the axes, no farther than half a radius from where the voxels' ways met."""
    spread = 0.05 * np.eye(3)
    target = spread @ rough
    for points in axes:
        if len(points) < 4:
            continue
        middle = points.mean(axis=0)
        _, _, rows = np.linalg.svd(points - middle)
        flat = np.eye(3) - np.outer(rows[0], rows[0])
        spread = spread + flat
        target = target + flat @ middle
    away = np.linalg.solve(spread, target) - rough
    far = float(np.linalg.norm(away))
    meeting: FloatArray = rough + away * min(1.0, _NODE_RADII * radius_mm / max(far, 1e-9))
    return meeting


def _through(lumen: Lumen, line: Line, middle: FloatArray, nodes: dict[int, FloatArray]) -> Line:
    """A smooth line through its middle and its nodes."""
    points, weights = line.points.copy(), np.full(len(line.points), _LED)
    own = slice(line.own_from, line.own_to + 1)
    points[own] = middle
    weights[own] = 1.0
    for at, node in ((0, line.start), (-1, line.end)):
        if node in nodes:
            points[at] = nodes[node]
            weights[at] = _HELD
    if len(points) < 4:
        return replace(line, points=points)
    step = STEP_VOXELS * lumen.voxel_mm
    passed = max(_SMOOTH_VOXELS * lumen.voxel_mm, _SMOOTH_RADII * float(line.radius_mm[own].mean())) / step
    smooth = resampled(smoothed(points, weights, passed), step)
    return replace(line, points=smooth, radius_mm=np.zeros(len(smooth)), own_from=0, own_to=len(smooth) - 1)
