"""Clicks: where they lie in the scan, and whether what they read can be the organ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.frames import FloatArray
from meshing.organs.ground import Ground, Index
from meshing.organs.guesses import typical_value
from meshing.organs.priors import Prior
from meshing.plan import Point
from meshing.terminology import Side
from meshing.voxels.seeds import checked_seeds
from meshing.voxels.upright import Upright, to_upright_index

_AIR_HU = -300.0
_BONE_HU = 200.0
_BESIDE = 15.0  # HU that noise and blur may carry a click out of the range
_DIGITS = 6  # of indices: the last bits differ between storage orders, and half a voxel must not
KEEP_OUT_MM = 5.0
"""About an outside click nothing is grown."""
_CLOSE_CUBES = 1  # a click on a border still counts for what lies one cube beside it


@dataclass(frozen=True)
class Clicks:
    """LPS points inside and outside an organ, and two corners of a box round it."""

    inside_mm: tuple[Point, ...]
    outside_mm: tuple[Point, ...] = ()
    box_mm: tuple[Point, Point] | None = None

    def inside(self, number: int) -> Point:
        """That inside click; the middle of the box where there is none."""
        if self.inside_mm or self.box_mm is None:
            return self.inside_mm[number]
        first, last = np.array(self.box_mm)
        left, posterior, superior = ((first + last) / 2).tolist()
        return left, posterior, superior

    def box_in(self, scan: Upright) -> tuple[FloatArray, FloatArray]:
        """Lower and upper corner of the box as indices (3,) of a scan, cut to it."""
        corners = np.round(to_upright_index(np.array(self.box_mm), scan), _DIGITS)
        last = np.array(scan.voxels.shape) - 1
        return np.clip(corners.min(axis=0), 0, last), np.clip(corners.max(axis=0), 0, last)


def cubes_of(clicks: Clicks, scan: Upright, kind: str) -> tuple[list[FloatArray], list[FloatArray]]:
    """Continuous indices of the inside and outside clicks.

    Raises
    ------
    SegmentationError
        If there is neither a click nor a box, a point lies outside the scan, an inside and an outside click are one
        place, or the box is empty or misses the scan.
    """
    if not clicks.inside_mm and clicks.box_mm is None:
        raise SegmentationError("there is no click", where=kind, hint="give a point inside, or a box")
    if clicks.box_mm is not None:
        _check_box(clicks.box_mm, scan, kind)
    seeds = clicks.inside_mm or (clicks.inside(0),)
    inside = checked_seeds(scan, seeds, kind)
    outside = checked_seeds(scan, clicks.outside_mm, kind)
    _check_apart(seeds, clicks.outside_mm, kind)
    return list(np.round(inside, _DIGITS)), list(np.round(outside, _DIGITS))


def checked_click(ground: Ground, cube: Index, prior: Prior, kind: str, point: Point) -> float:
    """The typical value about a click.

    Raises
    ------
    SegmentationError
        If nothing there reads like the organ, with what it reads.
    """
    least, most = prior.values_hu
    reach = tuple(slice(max(0, int(c) - _CLOSE_CUBES), int(c) + _CLOSE_CUBES + 1) for c in cube)
    close = ground.values[reach]
    fits = (close >= least - _BESIDE) & (close <= most + _BESIDE)
    value = typical_value(ground, cube, prior, (least - _BESIDE, most + _BESIDE)) if fits.any() else None
    if value is None:
        reads = float(ground.values[tuple(cube)])
        text = ", ".join(f"{at:.1f}" for at in point)
        raise SegmentationError(
            f"the click ({text}) mm lies in {_tissue(reads)}: it reads {reads:.0f} HU, "
            f"this organ {least:.0f} to {most:.0f}",
            where=kind,
            hint="click inside the organ; points are LPS millimetres: left, posterior, superior",
        )
    return value


def midline_side(scan: Upright, index: FloatArray) -> Side:
    """The patient's side that an index lies on: of the middle of the body at its height."""
    slab = max(1, round(15.0 / scan.spacing_mm[2]))
    level = round(float(index[2]))
    body = scan.voxels[::2, ::2, max(0, level - slab) : level + slab + 1] > _AIR_HU
    counts = body.sum(axis=(1, 2))
    middle = (
        2.0 * float(np.average(np.arange(len(counts)), weights=counts)) if counts.any() else scan.voxels.shape[0] / 2
    )
    return "left" if index[0] > middle else "right"


def _check_apart(inside_mm: tuple[Point, ...], outside_mm: tuple[Point, ...], kind: str) -> None:
    for point in outside_mm:
        apart = min(float(np.linalg.norm(np.subtract(point, other))) for other in inside_mm)
        if apart < KEEP_OUT_MM:
            raise SegmentationError(
                f"an outside click lies {apart:.1f} mm from an inside one; within {KEEP_OUT_MM:g} mm nothing is grown",
                where=kind,
                hint="move one of them",
            )


def check_reach(inside: list[FloatArray], ground: Ground, clicks: Clicks, kind: str) -> None:
    """Nothing.

    Raises
    ------
    SegmentationError
        If a further click lies beyond what is looked at about the first, with the distance between the two.
    """
    low, high = np.array([[part.start - 0.5, part.stop - 0.5] for part in ground.box]).T
    for number, index in enumerate(inside):
        if ((index < low) | (index > high)).any():
            apart = float(np.linalg.norm(np.subtract(clicks.inside(number), clicks.inside(0))))
            raise SegmentationError(
                f"click {number + 1} lies {apart:.0f} mm from the first, farther than this organ reaches"
                if clicks.box_mm is None
                else f"click {number + 1} lies outside the box",
                where=kind,
                hint="click within one organ; a second one takes a name of its own",
            )


def _tissue(value: float) -> str:
    if value <= -190.0:  # the ground is clipped at −200
        return "air or lung"
    if value < -30.0:
        return "fat"
    return "bone or dense contrast" if value > _BONE_HU else "another tissue"


def _check_box(box_mm: tuple[Point, Point], scan: Upright, kind: str) -> None:
    size = np.abs(np.subtract(*box_mm))
    if not np.isfinite(size).all() or size.min() <= 0:
        raise SegmentationError(
            f"the box measures {' × '.join(f'{side:.1f}' for side in size)} mm",
            where=kind,
            hint="give two opposite corners that differ along L, P and S",
        )
    corners = to_upright_index(np.array(box_mm), scan)
    beyond = (corners.max(axis=0) < -0.5) | (corners.min(axis=0) > np.array(scan.voxels.shape) - 0.5)
    if beyond.any():
        raise SegmentationError("the box lies outside the scan", where=kind, hint="corners are LPS millimetres")
