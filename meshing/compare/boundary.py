"""How far the boundaries of two drawings lie apart, in mm.

A boundary is the faces of voxels that part what is drawn from what is not, also at the grid's edge: a closed staircase,
on grids of any spacing and direction. Distances are exact, from points of one staircase to the nearest point of the
other. Even ones are asked at the middle of every face, which counts by its area; the corners of faces join for the
Hausdorff distance. So equal drawings lie 0 mm apart, and no distance knows more than half a voxel's diagonal of what
the graders meant: where a smooth wall crosses voxels, its staircase strays by that much. Between curved walls a step
finds the nearest step, so that the mean comes out short: for balls whose radii differ by 0.5, 1, 2, 4 and 8 voxels by
0.11, 0.30, 0.42, 0.50 and 0.57 voxel, the same for radii of 10 and 20 voxels; HD95 is within half a voxel of the truth.
A slanting wall's staircase has up to √3 times its area.

References
----------
S. Nikolov et al., J Med Internet Res 23(7), 2021, e26151 (surface Dice).
A. Reinke et al., Nat Methods 21, 2024, 182–194 (what these measures hide).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meshing.progress import Progress, part, silent
from meshing.triangles.bins import Bins, bins_of
from meshing.triangles.distances import nearest_mm
from meshing.volume import Grid

Points = npt.NDArray[np.float64]

_ROUNDING_MM = 1e-6
"""A distance of 1 mm meets a tolerance of 1 mm, whatever the last bits say."""

_AT_ONCE = 50_000
"""Points asked between two looks at whether the user stopped the work: a few hundredths of a second."""

_DECIMALS = 9
"""Beyond those, in mm, stands only the rounding of coordinates."""


@dataclass(frozen=True)
class Distances:
    """How far two boundaries lie apart.

    Parameters
    ----------
    hausdorff_mm
        The farthest that a middle or a corner of a face of either boundary lies from the other.
    hd95_mm
        The larger of two: the distance within which 95 % of one boundary's area lies from the other.
    assd_mm
        The mean over the area of both boundaries together.
    surface_dice
        The share of the area of both that lies within the tolerance of the other.
    """

    hausdorff_mm: float
    hd95_mm: float
    assd_mm: float
    surface_dice: float


class Boundary(NamedTuple):
    """Corners (V, 3) and middles (Q, 3) of faces in LPS mm, areas (Q,) in mm², and the faces as triangles in bins."""

    corners: Points
    middles: Points
    areas: Points
    bins: Bins


def boundary_of(mask: npt.NDArray[np.bool_], first: tuple[int, int, int], grid: Grid) -> Boundary:
    """The boundary of a drawing that is not empty.

    Parameters
    ----------
    mask, first
        A box of the grid that holds the drawing, and the index of its first voxel.
    """
    lattice = tuple(size + 1 for size in mask.shape)
    steps = grid.voxel_to_patient[:3, :3]
    quads, areas = [], []
    for axis in range(3):
        quads.append(_faces_across(mask, axis, lattice))
        area = np.linalg.norm(np.cross(steps[:, axis - 2], steps[:, axis - 1]))
        areas.append(np.full(len(quads[-1]), float(area)))
    used, numbers = np.unique(np.concatenate(quads), return_inverse=True)
    faces = numbers.reshape(-1, 4).astype(np.int32)
    corners = grid.to_patient(np.stack(np.unravel_index(used, lattice), axis=1) - 0.5 + np.array(first))
    middles = (corners[faces[:, 0]] + corners[faces[:, 2]]) / 2
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    return Boundary(corners, middles, np.concatenate(areas), bins_of(corners, triangles))


def _faces_across(mask: npt.NDArray[np.bool_], axis: int, lattice: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """(Q, 4): corners, as flat indices into the lattice of corners, of the faces across one axis."""
    ends = [(1, 1) if other == axis else (0, 0) for other in range(3)]
    at = np.argwhere(np.diff(np.pad(mask, ends), axis=axis))
    strides = (lattice[1] * lattice[2], lattice[2], 1)
    one, other = strides[axis - 2], strides[axis - 1]
    quads: npt.NDArray[np.int64] = (at @ np.array(strides))[:, None] + np.array([0, one, one + other, other])
    return quads


def distances(one: Boundary, other: Boundary, tolerance_mm: float, *, progress: Progress = silent) -> Distances:
    """How far two boundaries lie apart; the same either way round."""
    steps = [part(progress, step / 4, (step + 1) / 4) for step in range(4)]
    there, back = _nearest(one.middles, other, steps[0]), _nearest(other.middles, one, steps[1])
    corners = max(_nearest(one.corners, other, steps[2]).max(), _nearest(other.corners, one, steps[3]).max())
    area = one.areas.sum() + other.areas.sum()
    within = (
        one.areas[there <= tolerance_mm + _ROUNDING_MM].sum() + other.areas[back <= tolerance_mm + _ROUNDING_MM].sum()
    )
    return Distances(
        hausdorff_mm=float(max(there.max(), back.max(), corners)),
        hd95_mm=max(_within(0.95, there, one.areas), _within(0.95, back, other.areas)),
        assd_mm=float((there @ one.areas + back @ other.areas) / area),
        surface_dice=float(within / area),
    )


def _nearest(points: Points, boundary: Boundary, progress: Progress) -> Points:
    found: list[Points] = []
    for first in range(0, len(points), _AT_ONCE):
        progress(first / len(points), "measuring distances")
        found.append(nearest_mm(points[first : first + _AT_ONCE], boundary.bins))
    joined: Points = np.concatenate(found)
    return joined.round(_DECIMALS)


def _within(share: float, distances_mm: Points, areas: Points) -> float:
    """The smallest distance that so much of the area does not exceed."""
    order = np.argsort(distances_mm)
    covered = np.cumsum(areas[order])
    at = int(np.searchsorted(covered, share * covered[-1] * (1.0 - 1e-12)))
    return float(distances_mm[order[min(at, len(order) - 1)]])
