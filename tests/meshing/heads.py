"""A head with one ear and a nose, in any storage order: whoever mirrors it is found out."""

from __future__ import annotations

from meshing.segmentation import Segmentation
from meshing.volume import Grid
from tests.shapes import ball, labelled, middle_of, storage_orders, upright_grid

HEAD_GRID = upright_grid((52, 44, 46), (1.25, 1.5, 1.4))
ORDERS = storage_orders(HEAD_GRID)


def head_on(grid: Grid) -> Segmentation:
    """A head with one ear, at the patient's left, and a nose in front, in LPS whatever the storage order."""
    at = middle_of(HEAD_GRID)
    return labelled(
        grid,
        {
            "head": ball(at, 16.0),
            "ear_left": ball(at + [20.0, 1.0, 2.0], 5.0),
            "nose": ball(at + [0.0, -20.0, 0.0], 4.0),
        },
    )
