"""Bones of the trunk as shapes: vertebrae, discs, ribs and their cartilages, from a few measures each; LPS mm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Carved, Tubes, Union, path
from meshing.phantoms.shapes import Capsule, Ellipsoid, Point, Shape

_SIGN = {"left": 1.0, "right": -1.0}


def vertebra(centre: Point, size: Point) -> Shape:
    """A vertebra: waisted body, arch round the canal, transverse, articular and spinous processes.

    Parameters
    ----------
    centre
        Middle of the body.
    size
        Width, depth and height of the body.
    """
    x, y, z = centre
    wide, deep, tall = (length / 2.0 for length in size)
    canal_y = y + deep + 8.0
    body = Ellipsoid(centre, (wide, deep, tall), powers=(2.3, 7.0))
    waist = [Ellipsoid((x + sign * wide * 1.75, y, z), (wide * 0.9, deep * 1.3, tall * 0.75)) for sign in (-1.0, 1.0)]
    arch: list[Shape] = []
    for sign in (-1.0, 1.0):
        side = x + sign * 12.0
        arch += [
            Capsule((side, y + deep * 0.6, z + tall * 0.3), (side + sign, canal_y, z + tall * 0.2), 4.4, 4.0),
            Capsule((side + sign, canal_y, z + tall * 0.2), (x, canal_y + 13.0, z - 4.0), 3.8, 4.0),
            Capsule((side, canal_y, z), (x + sign * wide * 1.7, canal_y + 5.0, z), 4.2, 3.0),
            Capsule((side + sign, canal_y + 3.0, z + tall - 2.0), (side + sign, canal_y + 4.0, z - tall), 3.8, 3.6),
        ]
    spine = Capsule((x, canal_y + 12.0, z - 2.0), (x, canal_y + 25.0, z - 8.0), 3.6, 3.8)
    ridge = Capsule((x, canal_y + 13.0, z - 9.0), (x, canal_y + 24.0, z - 13.0), 3.0, 3.2)
    canal = Capsule((x, canal_y, z - 40.0), (x, canal_y, z + 40.0), 8.2, 8.2)
    waisted = Carved(body, cuts=tuple(waist), blend_mm=6.0)
    return Carved(Union((waisted, *arch, spine, ridge), blend_mm=3.5), cuts=(canal,), blend_mm=2.0)


def disc(centre: Point, size: Point) -> Shape:
    """An intervertebral disc of that width, depth and height."""
    wide, deep, tall = (length / 2.0 for length in size)
    return Ellipsoid(centre, (wide, deep, tall), powers=(2.3, 4.0))


def rib_rows(ribs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recipe rows of both ribs of every level, to be painted after the spinal cord."""
    return [
        {
            "key": f"rib_{side}_{rib['number']}",
            "after": "spinal_cord",
            "inside": "skin",
            "hu": 520.0,
            "core": {"depth_mm": 1.5, "hu": 210.0},
            "add": [{"kind": "rib", "side": side, "number": rib["number"]}],
        }
        for rib in ribs
        for side in ("left", "right")
    ]


def rib(side: str, number: int, *, cage: dict[str, Any], ribs: list[dict[str, Any]]) -> Tubes:
    """A rib: from beside its vertebra, back round the muscles of the back, forward and down along the cage.

    Two tubes, one above the other, make the flat oval of its section.
    """
    axis = rib_axis(side, _level(number, ribs), cage)
    last = number == max(rib["number"] for rib in ribs)
    radius = 3.2 if last else 3.6
    radii = np.full(len(axis), radius)
    radii[0], radii[-1] = radius + 0.8, radius - 0.8
    upper, lower = (path(axis + np.array([0.0, 0.0, shift]), radii) for shift in (2.2, -2.2))
    return Tubes(upper.capsules + lower.capsules)


def cartilage(*, cage: dict[str, Any], ribs: list[dict[str, Any]], **row: Any) -> Tubes:
    """The cartilage from the front end of rib `from` up to an angle and height on the cage, towards the sternum."""
    start = rib_axis(row["side"], _level(row["from"], ribs), cage)[-1]
    first = _level(row["from"], ribs)["end_deg"]
    ends = []
    for share in (0.0, 0.45, 1.0):
        angle = first + share * (row["to_deg"] - first)
        dip = -6.0 * math.sin(math.pi * share)
        ends.append([*on_cage(row["side"], angle, cage), start[2] + share * (row["to_z"] - start[2]) + dip])
    return path(ends, row["radius"])


def rib_axis(side: str, level: dict[str, Any], cage: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Waypoints of a rib, shape (n, 3), from head to front end."""
    sign, head_z = _SIGN[side], level["head_z"]
    points = [[sign * 21.0, 56.0, head_z + 8.0], [sign * 35.0, 66.0, head_z + 5.0], [sign * 50.0, 75.0, head_z + 2.0]]
    first = 40.0
    for angle in np.linspace(first, level["end_deg"], max(round((level["end_deg"] - first) / 12.0), 2) + 1):
        share = (angle - first) / (150.0 - first)
        # Ribs fall ever less steeply: steep along the side, level in front.
        fall = level["drop_mm"] * math.sin(min(share, 1.0) * math.pi / 2.0) ** 1.15
        points.append([*on_cage(side, float(angle), cage), head_z - fall])
    return np.array(points)


def on_cage(side: str, angle_deg: float, cage: dict[str, Any]) -> tuple[float, float]:
    """L and P of the point of the cage at that angle from the back, round that side."""
    angle = math.radians(angle_deg)
    sine, cosine = math.sin(angle), math.cos(angle)
    (x, y), (a, b), power = cage["centre_mm"], cage["radii_mm"], cage["power"]
    reach = ((abs(sine) / a) ** power + (abs(cosine) / b) ** power) ** (-1.0 / power)
    return x + _SIGN[side] * reach * sine, y + reach * cosine


def _level(number: int, ribs: list[dict[str, Any]]) -> dict[str, Any]:
    return next(rib for rib in ribs if rib["number"] == number)


KINDS: dict[str, Any] = {"rib": rib, "cartilage": cartilage}
