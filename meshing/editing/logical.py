"""Patches put together: union, minus, intersection, the rest; in the box that both need."""

from __future__ import annotations

from meshing.editing.patch import Patch, around, empty_patch, intersection, one_grid, whole_box


def union(one: Patch, other: Patch) -> Patch:
    """Voxels of either."""
    one_grid(one.grid, other.grid)
    box = around(one.box, other.box)
    return Patch(one.grid, box, one.within(box) | other.within(box))


def minus(one: Patch, other: Patch) -> Patch:
    """Voxels of the first that the other has not."""
    one_grid(one.grid, other.grid)
    return Patch(one.grid, one.box, one.mask & ~other.within(one.box))


def intersect(one: Patch, other: Patch) -> Patch:
    """Voxels of both."""
    one_grid(one.grid, other.grid)
    box = intersection(one.box, other.box)
    if box is None:
        return empty_patch(one.grid)
    return Patch(one.grid, box, one.within(box) & other.within(box))


def invert(patch: Patch) -> Patch:
    """Every voxel of the grid that the patch has not."""
    return Patch(patch.grid, whole_box(patch.grid), ~patch.whole())
