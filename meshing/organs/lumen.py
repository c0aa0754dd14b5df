"""A vessel between clicks: the way from click to click along its middle, and its wall unrolled round that way.

In: a scan in patient order and two clicks or more inside one vessel, in the order of its course. Out: a mask, and where
along the wall an edge was seen. It needs no contrast medium: where the vessel lies against something as bright as
itself, no edge shows, and the wall is drawn smooth between the places where one does.

References
----------
Cohen and Kimmel, Global minimum for active contour models, IJCV 1997 (minimal paths). Li, Wu, Chen and Sonka, Optimal
surface segmentation in volumetric images, PAMI 2006 (the unrolled wall; here with a membrane in place of the cut).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.progress import Progress, part, silent
from meshing.voxels.flux import tube_likeness
from meshing.voxels.upright import Box, Coarse, Float32Array, Mask, Upright, coarse

_ROOM_MM = 40.0
"""A vessel between two clicks strays at most so far from the box they span."""
_WORK_MM = 1.5
"""Voxels to work on: a tenth of a wide artery, and small enough for an iliac one."""
_MOST_VOXELS = 3e6
_RADII_MM = (2.0, 3.0, 4.2, 6.0, 8.4, 12.0)
_ANGLES = 32
_ROUND = 0.3
"""Pull towards the mean radius of a station, in units of the pull of the clearest edge."""
_STEP_MM = 1.5
_BRIGHTER, _DARKER = 110.0, 140.0
"""HU beyond which bone, and air, count as no more different than fat or muscle do."""


@dataclass(frozen=True, eq=False)
class Lumen:
    """A vessel between clicks, unrolled.

    Parameters
    ----------
    centre_mm
        (S, 3): the middle, in mm along x, y, z of the scan in patient order, from its first voxel's centre.
    across, beside
        (S, 3): unit vectors that span the cross-section at each station.
    radius_mm
        (S, A): from the middle to the wall, at A even angles from `across` towards `beside`.
    seen
        (S, A), 0 to 1: how clear an edge was there; 1 is as clear as the upper quartile of this vessel's own wall.
    """

    centre_mm: FloatArray
    across: FloatArray
    beside: FloatArray
    radius_mm: FloatArray
    seen: FloatArray

    @property
    def share_seen(self) -> float:
        """Of the wall, where an edge at least a third as clear as the clearest was seen."""
        return float((self.seen > 1 / 3).mean())


def lumen_between(scan: Upright, clicks: FloatArray, *, progress: Progress = silent) -> tuple[Lumen, Mask]:
    """The vessel that runs through the clicks, and its voxels.

    Parameters
    ----------
    clicks
        (N, 3), N ≥ 2: indices in patient order (`voxels.seeds.checked_seeds`), in the order of the vessel's course.

    Raises
    ------
    SegmentationError
        If there are fewer than two clicks, two coincide, or the way between two of them leaves what the vessel
        looks like.
    """
    _check(clicks)
    near = coarse(scan, _WORK_MM, most_voxels=_MOST_VOXELS, box=_around(clicks, scan))
    offset = [part.start for part in near.box]
    at = (clicks - offset + 0.5) / near.factors - 0.5
    likeness = _likeness(near, at)
    way = _way(near, at, likeness, part(progress, 0.0, 0.6))
    progress(0.6, "unrolling the wall")
    lumen = _unrolled(likeness, near, way)
    progress(0.9, "drawing the vessel")
    shift = (np.array(offset) + (np.array(near.factors) - 1) / 2) * scan.spacing_mm
    placed = Lumen(lumen.centre_mm + shift, lumen.across, lumen.beside, lumen.radius_mm, lumen.seen)
    return placed, _drawn(placed, scan)


def _check(clicks: FloatArray) -> None:
    if len(clicks) < 2:
        raise SegmentationError(
            "a vessel needs two clicks or more", hint="click where it comes in and where it leaves, in that order"
        )
    close = np.linalg.norm(np.diff(clicks, axis=0), axis=1) < 1.0
    if close.any():
        at = int(np.flatnonzero(close)[0])
        raise SegmentationError(f"clicks {at + 1} and {at + 2} lie in the same voxel", hint="leave one of them out")


def _around(clicks: FloatArray, scan: Upright) -> Box:
    margin = _ROOM_MM / np.array(scan.spacing_mm)
    low = np.maximum(np.floor(clicks.min(0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(clicks.max(0) + margin) + 1, scan.voxels.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


# --- the way ----------------------------------------------------------------------------------------------


def _likeness(near: Coarse, at: FloatArray) -> Float32Array:
    """How far a voxel is from the brightness at the clicks, as a negative number: 0 is alike."""
    seen = np.concatenate([near.values[_cube(point, near.values.shape)].ravel() for point in at])
    own = float(np.median(seen))
    unlike: Float32Array = -np.abs(np.clip(near.values, own - _DARKER, own + _BRIGHTER) - own)
    return unlike


def _cube(point: FloatArray, shape: tuple[int, ...]) -> Box:
    low = [int(np.clip(round(c) - 1, 0, n - 1)) for c, n in zip(point, shape, strict=True)]
    return slice(low[0], low[0] + 3), slice(low[1], low[1] + 3), slice(low[2], low[2] + 3)


def _way(near: Coarse, at: FloatArray, likeness: Float32Array, progress: Progress) -> FloatArray:
    """(P, 3) voxels of the boxed scan from the first click to the last."""
    from scipy.ndimage import gaussian_filter
    from skimage.graph import MCP_Geometric

    smooth = 0.5 * near.mean_spacing_mm
    tubes = tube_likeness(likeness, near.spacing_mm, _RADII_MM, smoothing_mm=smooth, progress=part(progress, 0, 0.7))
    corners = [tuple(int(np.clip(round(c), 0, n - 1)) for c, n in zip(p, tubes.shape, strict=True)) for p in at]
    usual = max(float(np.median([tubes[_cube(point, tubes.shape)].max() for point in at])), 1e-3)
    noise = max(15.0, 1.5 * float(np.median([-likeness[_cube(point, tubes.shape)].mean() for point in at])))
    alike = np.exp(-0.5 * np.square(gaussian_filter(likeness, 0.7) / (2 * noise)))
    cost = 1.0 / (0.05 + np.minimum(tubes / usual, 1.5) * alike)
    steps: list[FloatArray] = []
    for number, (here, there) in enumerate(pairwise(corners)):
        progress(0.7 + 0.3 * number / len(corners), "following the vessel")
        search = MCP_Geometric(cost, sampling=tuple(float(s) for s in near.spacing_mm))
        search.find_costs([here], [there])
        found = np.array(search.traceback(there), dtype=np.float64)
        _check_way(found, likeness, number, noise)
        steps.append(found if not steps else found[1:])
    return np.concatenate(steps)


def _check_way(found: FloatArray, likeness: Float32Array, number: int, noise: float) -> None:
    from scipy.ndimage import gaussian_filter1d

    unlike = -likeness[tuple(found.astype(int).T)]
    worst = float(gaussian_filter1d(unlike.astype(np.float64), 1.0, mode="nearest").max())
    if worst > 4 * noise:
        raise SegmentationError(
            f"the way from click {number + 1} to click {number + 2} passes through something {worst:.0f} "
            f"away from the brightness at the clicks; up to {4 * noise:.0f} is noise here",
            hint="click in between, where the vessel bends, or start again inside it",
        )


# --- the wall ---------------------------------------------------------------------------------------------


def _unrolled(likeness: Float32Array, near: Coarse, way: FloatArray) -> Lumen:
    """Three rounds of unrolling, each round the middle of the wall found before."""
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    smooth = gaussian_filter(likeness, 0.5)
    line = way * near.spacing_mm
    for _ in range(3):
        centre = _stations(line)
        across, beside = _sections(centre)
        angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
        outward = across[:, None] * np.cos(angles)[:, None] + beside[:, None] * np.sin(angles)[:, None]
        radius, seen = _wall(smooth, near, centre, outward)
        middle = gaussian_filter1d((outward * radius[..., None]).mean(axis=1), 3, axis=0, mode="nearest")
        middle[[0, -1]] = 0.0
        line = centre + middle
    return Lumen(centre, across, beside, radius, seen)


def _stations(line: FloatArray) -> FloatArray:
    """Even stations on the line, smoothed over about 9 mm, its ends kept."""
    from scipy.ndimage import gaussian_filter1d

    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    fine = np.linspace(0, gone[-1], max(4, int(gone[-1])))
    dense = np.stack([np.interp(fine, gone, line[:, axis]) for axis in range(3)], axis=1)
    room = min(24, len(dense) - 1)
    continued = np.pad(dense, ((room, room), (0, 0)), mode="reflect", reflect_type="odd")
    soft = gaussian_filter1d(continued, 6, axis=0)[room : room + len(dense)]
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(soft, axis=0), axis=1))])
    even = np.linspace(0, gone[-1], max(3, int(gone[-1] / _STEP_MM) + 1))
    return np.stack([np.interp(even, gone, soft[:, axis]) for axis in range(3)], axis=1)


def _sections(centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two unit vectors across the line at each station, carried along without twist."""
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    start = np.eye(3)[int(np.abs(tangent[0]).argmin())]
    across = np.empty_like(tangent)
    for at, along in enumerate(tangent):
        start = start - along * (start @ along)
        start = start / np.linalg.norm(start)
        across[at] = start
    return across, np.cross(tangent, across)


def _wall(smooth: Float32Array, near: Coarse, centre: FloatArray, outward: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Radius and clearness of the edge, (S, A)."""
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    step = 0.5 * min(1.0, near.mean_spacing_mm)
    depths = np.arange(step, 1.3 * max(_RADII_MM), step)
    places = (centre[:, None, None] + outward[:, :, None] * depths[:, None]) / near.spacing_mm
    profile = map_coordinates(smooth, places.reshape(-1, 3).T, order=1, mode="nearest").reshape(places.shape[:3])
    fall = -np.gradient(gaussian_filter1d(profile, 0.75 / step, axis=2), step, axis=2)
    edge = np.maximum(fall, 0.0)
    edge = np.minimum(edge / max(float(np.percentile(edge.max(axis=2), 75)), 1e-6), 1.0)
    # A fainter edge beyond a clear one belongs to a neighbour.
    edge *= 1.0 - (np.maximum.accumulate(edge, axis=2) - edge)
    radius = np.repeat(_ring_radius(edge, depths)[:, None], edge.shape[1], axis=1)
    for _ in range(6):
        radius, seen = _membrane(edge, depths, radius)
    return radius, seen


def _ring_radius(edge: FloatArray, depths: FloatArray) -> FloatArray:
    """(S,) radius of the circle with the clearest edge at every station, changing little on the way (Viterbi)."""
    from scipy.ndimage import gaussian_filter1d

    gain = gaussian_filter1d(edge.mean(axis=1), 2, axis=0)
    change = 0.15 * np.abs(depths[:, None] - depths)
    best, came = gain[0].copy(), np.zeros(gain.shape, np.int64)
    for at in range(1, len(gain)):
        ways = best - change
        came[at] = ways.argmax(axis=1)
        best = gain[at] + ways.max(axis=1)
    index = int(best.argmax())
    radius = np.empty(len(gain))
    for at in range(len(gain) - 1, -1, -1):
        radius[at] = depths[index]
        index = int(came[at, index])
    return radius


def _membrane(edge: FloatArray, depths: FloatArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The wall drawn towards the clearest edge near it, as tight as an edge is clear, and its clearness."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import spsolve

    apart = (depths - radius[..., None]) / (0.25 * radius[..., None] + 0.5)
    heard = edge * np.exp(-0.5 * apart**2)
    at = heard.argmax(axis=2)
    seen = np.take_along_axis(edge, at[..., None], axis=2)[..., 0]
    weight = heard.max(axis=2)
    mean = radius.mean(axis=1, keepdims=True)
    system = diags(weight.ravel() + _ROUND) + 1.5 * _roughness(*radius.shape)
    moved = spsolve(system.tocsc(), (weight * depths[at] + _ROUND * mean).ravel())
    return moved.reshape(radius.shape), seen


def _roughness(stations: int, angles: int) -> Any:
    """Sparse Laplacian of the unrolled wall: a closed ring of angles at each station, stations in a row."""
    from scipy.sparse import coo_matrix, diags

    cell = np.arange(stations * angles).reshape(stations, angles)
    one = np.concatenate([cell.ravel(), cell[:-1].ravel()])
    other = np.concatenate([np.roll(cell, -1, axis=1).ravel(), cell[1:].ravel()])
    ones = np.ones(2 * len(one))
    joined = coo_matrix((ones, (np.r_[one, other], np.r_[other, one])), shape=(cell.size, cell.size)).tocsr()
    return diags(np.asarray(joined.sum(axis=1)).ravel()) - joined


# --- the voxels -------------------------------------------------------------------------------------------


def _drawn(lumen: Lumen, scan: Upright) -> Mask:
    """Voxels whose centre lies within the wall at their nearest station."""
    from scipy.spatial import cKDTree

    spacing = np.array(scan.spacing_mm)
    reach = float(lumen.radius_mm.max()) + 1.0
    low = np.maximum(np.floor((lumen.centre_mm.min(0) - reach) / spacing), 0).astype(int)
    high = np.minimum(np.ceil((lumen.centre_mm.max(0) + reach) / spacing) + 1, scan.voxels.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    places = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), -1)
    flat = places.reshape(-1, 3) * spacing
    apart, nearest = cKDTree(lumen.centre_mm).query(flat, distance_upper_bound=reach)
    held = np.flatnonzero(np.isfinite(apart))
    at = nearest[held]
    away = flat[held] - lumen.centre_mm[at]
    sideways, besides = (away * lumen.across[at]).sum(1), (away * lumen.beside[at]).sum(1)
    along = np.sqrt(np.maximum((away**2).sum(1) - sideways**2 - besides**2, 0.0))
    turn = np.arctan2(besides, sideways) % (2 * np.pi) * (_ANGLES / (2 * np.pi))
    first, rest = turn.astype(int) % _ANGLES, turn % 1.0
    wall = lumen.radius_mm[at, first] * (1 - rest) + lumen.radius_mm[at, (first + 1) % _ANGLES] * rest
    inside = np.zeros(len(flat), np.bool_)
    inside[held] = (np.hypot(sideways, besides) <= wall) & (along <= max(_STEP_MM, float(spacing.max())))
    mask = np.zeros(scan.voxels.shape, np.bool_, order="F")
    mask[box] = inside.reshape(places.shape[:3])
    return mask
