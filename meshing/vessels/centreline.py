"""Centrelines at sub-voxel places: on the ridge of the distance from the wall, smooth, and not pulled short by it.

In: a `Lumen` and a rough line of points in its mm. Out: the same line where the largest spheres have their centres.

References
----------
Eilers, "A perfect smoother", Analytical Chemistry 75 (2003): least squares with the third difference as penalty, which
bends of a radius well above the vessel's pass unchanged. Antiga et al., Medical & Biological Engineering & Computing
46 (2008), for centrelines as ridges of the inscribed spheres' radius.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.vessels.across import Planes, widest_places
from meshing.vessels.lumen import Lumen

Weights = npt.NDArray[np.float64]

STEP_VOXELS = 0.5


def resampled(points: FloatArray, step_mm: float) -> FloatArray:
    """The line at even steps of about that length, its ends kept."""
    arc = arc_of(points)
    count = max(int(np.ceil(arc[-1] / step_mm)), 1) + 1
    even = np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(even, arc, points[:, axis]) for axis in range(3)], axis=1)


def arc_of(points: FloatArray) -> FloatArray:
    """(N,), the way along a line."""
    arc: FloatArray = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return arc


def smoothed(points: FloatArray, weights: Weights, passed_steps: float) -> FloatArray:
    """The line without wiggles shorter than `passed_steps` of its steps; where weights are 0 it is only carried on."""
    from scipy.linalg import solveh_banded

    order = min(3, len(points) - 1)
    if order < 2 or not weights.any():
        return points.copy()
    penalty = (passed_steps / (2.0 * np.pi)) ** (2 * order)
    bands = np.zeros((order + 1, len(points)))
    row = np.array([1.0])
    for _ in range(order):
        row = np.convolve(row, [1.0, -1.0])
    for lag in range(order + 1):
        for at in range(lag, order + 1):  # upper form: bands[order - lag, j] is the entry (j - lag, j)
            bands[order - lag, at : len(points) - order + at] += penalty * row[at] * row[at - lag]
    bands[order] += np.maximum(weights, 1e-9)
    smooth: FloatArray = solveh_banded(bands, np.maximum(weights, 1e-9)[:, None] * points)
    return smooth


def tangents(points: FloatArray) -> FloatArray:
    """(N, 3) unit vectors along a line."""
    along = np.gradient(points, axis=0) if len(points) > 1 else np.array([[0.0, 0.0, 1.0]])
    unit: FloatArray = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    return unit


class Across(NamedTuple):
    """Two unit vectors (N, 3) each, across the line."""

    one: FloatArray
    other: FloatArray


def across(along: FloatArray) -> Across:
    """Any two directions across unit vectors (N, 3)."""
    least = np.eye(3)[np.abs(along).argmin(axis=1)]
    one = np.cross(along, least)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    return Across(one, np.cross(along, one))


def on_ridge(lumen: Lumen, points: FloatArray, along: FloatArray) -> FloatArray:
    """Points (N, 3) moved across the line to the middle of the largest circle that fits into the lumen there."""
    one, other = across(along)
    reach = 2.5 * lumen.depth_mm(points) + 4.0 * lumen.voxel_mm
    return widest_places(Planes(points, one, other, reach), lumen.wall)


def trimmed(radius_mm: FloatArray, arc_mm: FloatArray, *, at_start: bool) -> int:
    """Where the vessel ends and its cap begins: the point of the last sphere that touches the wall all round.

    Within a cap the radius falls as fast as the way grows; no vessel tapers by more than half of that.
    """
    away = arc_mm[-1] - arc_mm if not at_start else arc_mm
    reach = float(radius_mm.max()) * 2.0 + 1e-9
    near = np.flatnonzero(away <= max(reach, 0.0))
    worth = radius_mm[near] - 0.5 * away[near]
    return int(near[worth.argmax()])
