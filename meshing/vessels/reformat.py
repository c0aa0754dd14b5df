"""Curved planar reformats: a vessel laid straight, or rolled out flat with its lengths kept.

In: a volume and a centreline in LPS mm. Out: a picture of grey values whose pixels have a size in mm both ways.

References
----------
Kanitsar et al., "CPR: curved planar reformation", IEEE Visualization (2002).
Wang et al., "Computation of rotation minimizing frames", ACM Transactions on Graphics 27 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import VesselError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.vessels.centreline import arc_of, tangents
from meshing.volume import Volume


@dataclass(frozen=True, eq=False)
class Reformat:
    """A picture along a vessel: rows along it, columns across it.

    Parameters
    ----------
    pixels
        (rows, columns) float32, grey values.
    mm_per_pixel
        Of rows and columns alike: lengths in the picture are true along the vessel and across it.
    row_arc_mm
        (rows,), the way along the centreline of each row.
    centre_column
        (rows,), where the centreline runs.
    """

    pixels: npt.NDArray[np.float32]
    mm_per_pixel: float
    row_arc_mm: FloatArray
    centre_column: FloatArray


def straightened(
    volume: Volume, points_mm: FloatArray, *, half_width_mm: float, mm_per_pixel: float = 0.5, turn_deg: float = 0.0
) -> Reformat:
    """The vessel laid straight: each row is a line across it, and no row turns about the vessel against the one before.

    Parameters
    ----------
    points_mm
        (N, 3), the centreline.
    turn_deg
        By how much all rows turn about the vessel.

    Raises
    ------
    VesselError
        If the centreline has no length, or a size is not above 0.
    """
    line, arc = _even(points_mm, mm_per_pixel, half_width_mm)
    along = tangents(line)
    one = carried_across(line, along)
    turn = np.radians(turn_deg)
    across = np.cos(turn) * one + np.sin(turn) * np.cross(along, one)
    columns = _columns(half_width_mm, mm_per_pixel)
    places = line[:, None, :] + columns[None, :, None] * across[:, None, :]
    return Reformat(_grey(volume, places), mm_per_pixel, arc, np.full(len(line), (len(columns) - 1) / 2.0))


def stretched(
    volume: Volume,
    points_mm: FloatArray,
    *,
    half_width_mm: float,
    mm_per_pixel: float = 0.5,
    across: Point = (1.0, 0.0, 0.0),
) -> Reformat:
    """The vessel rolled out: the surface swept by lines of one direction along it, flat, with its lengths kept.

    Parameters
    ----------
    across
        Direction of the lines (LPS); rows of the picture run along it.

    Raises
    ------
    VesselError
        As `straightened`, or if the vessel runs along that direction all the way.
    """
    line, arc = _even(points_mm, mm_per_pixel, half_width_mm)
    way: FloatArray = np.asarray(across, np.float64)
    size = float(np.linalg.norm(way))
    if not size > 0.0:
        raise VesselError("the direction across has no length", where="reformat", hint="give one, as 1,0,0")
    way = way / size
    steps = np.diff(line, axis=0)
    aside = np.concatenate([[0.0], np.cumsum(steps @ way)])
    down = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps - np.outer(steps @ way, way), axis=1))])
    if down[-1] < mm_per_pixel:
        raise VesselError(
            f"the vessel runs along the lines for all of its {arc[-1]:.1f} mm: nothing is swept",
            where="reformat",
            hint="choose a direction across the vessel",
        )
    rows = np.arange(0.0, down[-1] + 1e-9, mm_per_pixel)
    # Where the vessel runs along the lines `down` stands still: the first of such points stands for all.
    keep = np.concatenate([[True], np.diff(down) > 1e-12])
    at_row = np.stack([np.interp(rows, down[keep], line[keep, axis]) for axis in range(3)], axis=1)
    aside_row, arc_row = np.interp(rows, down[keep], aside[keep]), np.interp(rows, down[keep], arc[keep])
    low, high = float(aside.min()) - half_width_mm, float(aside.max()) + half_width_mm
    columns = np.arange(low, high + 1e-9, mm_per_pixel)
    places = at_row[:, None, :] + (columns[None, :] - aside_row[:, None])[..., None] * way
    return Reformat(_grey(volume, places), mm_per_pixel, arc_row, (aside_row - low) / mm_per_pixel)


def carried_across(points: FloatArray, along: FloatArray) -> FloatArray:
    """(N, 3) unit vectors across a line that do not turn about it, by double reflection.

    Parameters
    ----------
    points, along
        (N, 3) each; the directions are unit vectors.
    """
    found = np.empty_like(points)
    least = np.eye(3)[int(np.abs(along[0]).argmin())]
    found[0] = np.cross(along[0], least)
    found[0] /= np.linalg.norm(found[0])
    for row in range(len(points) - 1):
        step = points[row + 1] - points[row]
        square = float(step @ step)
        turned, way = found[row], along[row]
        if square > 0.0:
            turned = turned - 2.0 / square * (step @ turned) * step
            way = way - 2.0 / square * (step @ way) * step
        second = along[row + 1] - way
        square = float(second @ second)
        if square > 1e-24:
            turned = turned - 2.0 / square * (second @ turned) * second
        found[row + 1] = turned / np.linalg.norm(turned)
    return found


def _even(points_mm: FloatArray, mm_per_pixel: float, half_width_mm: float) -> tuple[FloatArray, FloatArray]:
    points = np.asarray(points_mm, np.float64)
    if not (mm_per_pixel > 0.0 and half_width_mm > 0.0):
        raise VesselError(
            f"pixels of {mm_per_pixel} mm, {half_width_mm} mm to each side", where="reformat", hint="give sizes above 0"
        )
    arc = arc_of(points) if len(points) > 1 else np.zeros(1)
    if arc[-1] < 2.0 * mm_per_pixel:
        raise VesselError(
            f"the centreline is {arc[-1]:.2f} mm long: less than two pixels of {mm_per_pixel:g} mm",
            where="reformat",
            hint="give a longer branch, or smaller pixels",
        )
    even: FloatArray = np.arange(0.0, arc[-1] + 1e-9, mm_per_pixel)
    return np.stack([np.interp(even, arc, points[:, axis]) for axis in range(3)], axis=1), even


def _columns(half_width_mm: float, mm_per_pixel: float) -> FloatArray:
    count = int(np.floor(half_width_mm / mm_per_pixel))
    columns: FloatArray = mm_per_pixel * np.arange(-count, count + 1, dtype=np.float64)
    return columns


def _grey(volume: Volume, places_mm: FloatArray) -> npt.NDArray[np.float32]:
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(volume.grid.to_voxel(places_mm), -1, 0)
    # The nearest voxel beyond the edge, not a wrap: a vessel at the edge keeps its brightness.
    grey: npt.NDArray[np.float32] = map_coordinates(
        np.asarray(volume.voxels, np.float32), index, order=1, mode="nearest"
    ).astype(np.float32)
    return grey
