"""A small patient of known shape for picture tests: a head with a left ear, a nose, a brain and a tumour in it."""

from __future__ import annotations

from functools import cache

import numpy as np

from meshing.case import Case
from meshing.extract import extract
from meshing.segmentation import Segment, Segmentation
from meshing.terminology import structures
from meshing.volume import Grid, Volume
from tests.shapes import ball, centres, middle_of, storage_orders, upright_grid

GRID = upright_grid((60, 66, 56), (2.0, 2.0, 2.5))
ORDERS = storage_orders(GRID)
MIDDLE = middle_of(GRID)
TUMOUR_MM = MIDDLE + [-17.0, 6.0, 11.0]
"""On the patient's right, behind and above the middle."""

EAR_MM = MIDDLE + [47.0, 2.0, -4.0]
NOSE_MM = MIDDLE + [0.0, -53.0, -6.0]


def head_case(grid: Grid = GRID) -> Case:
    """The head as a CT case on any grid over the same place; the ear is bright, so that grey values show it too."""
    points = centres(grid)
    relative = points - MIDDLE
    skull = np.linalg.norm(relative / [42.0, 48.0, 52.0], axis=-1) <= 1
    brain = np.linalg.norm(relative / [34.0, 40.0, 42.0], axis=-1) <= 1
    ear, nose, tumour = (
        ball(centre, radius)(points) for centre, radius in ((EAR_MM, 9.0), (NOSE_MM, 8.0), (TUMOUR_MM, 10.0))
    )
    voxels = np.full(grid.shape, -1000, np.int16, order="F")
    for mask, value in ((skull | nose, 60), (ear, 300), (brain, 30), (tumour, 90)):
        voxels[mask] = value
    outer, inner, lesion = (np.zeros(grid.shape, np.uint8, order="F") for _ in range(3))
    outer[skull] = 1
    outer[nose & ~skull] = 2
    outer[ear & ~skull] = 3
    inner[brain] = 4
    lesion[tumour] = 5
    known = structures()
    segments = (
        Segment("skin", 1, 0, known["skin"]),
        Segment("nose", 2, 0, known["nose"]),
        Segment("ear_left", 3, 0, known["ear_left"]),
        Segment("brain", 4, 1, known["brain"], inside="skin"),
        Segment("tumour", 5, 2, known["tumour"], inside="brain"),
    )
    segmentation = Segmentation((outer, inner, lesion), grid, segments, "a drawn head")
    return Case("head", {"scan": Volume(voxels, grid, "CT", "HU")}, {"main": segmentation}, extract(segmentation))


@cache
def head(order: int | None = None) -> Case:
    """The head stored along L, P and S, or in one of the 48 storage orders."""
    return head_case(GRID if order is None else ORDERS[order])
