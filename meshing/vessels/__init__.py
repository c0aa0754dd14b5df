"""Vessel trees: branches with centreline and radius, followed in a lumen; their cross-sections, stenoses and reformats.

In: a lumen as a mask, a closed surface or grey values. Out: a `VesselTree` in LPS mm.
"""

from __future__ import annotations

from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.vessels.follow import followed
from meshing.vessels.lumen import Lumen, lumen_of_mask, lumen_of_surface
from meshing.vessels.nouns import Branch, Loop, Node, VesselTree, joined, routes
from meshing.volume import Grid, Volume
from meshing.voxels.upright import Mask

__all__ = [
    "Branch",
    "Loop",
    "Lumen",
    "Node",
    "VesselTree",
    "joined",
    "lumen_of_mask",
    "lumen_of_surface",
    "routes",
    "tree_of_lumen",
    "vessel_tree",
]


def vessel_tree(
    mask: Mask,
    grid: Grid,
    *,
    image: Volume | None = None,
    roots_mm: tuple[Point, ...] = (),
    tips_mm: tuple[Point, ...] = (),
    progress: Progress = silent,
) -> VesselTree:
    """The tree of a segmented lumen.

    Parameters
    ----------
    mask
        bool, shape `grid.shape`.
    image
        Grey values on the same grid: the wall is then where they have an edge, else where the mask has it.
    roots_mm
        LPS points in the lumen where trees begin; the thickest end of each part when none are given.
    tips_mm
        LPS points in the lumen where branches end; all ends when none are given.

    Raises
    ------
    VesselError
        If the lumen is empty or a blob, an end lies outside it, or root and tip are not connected.
    """
    lumen = lumen_of_mask(mask, grid, image, part(progress, 0.0, 0.4))
    return tree_of_lumen(lumen, roots_mm=roots_mm, tips_mm=tips_mm, progress=progress)


def tree_of_lumen(
    lumen: Lumen, *, roots_mm: tuple[Point, ...] = (), tips_mm: tuple[Point, ...] = (), progress: Progress = silent
) -> VesselTree:
    """The tree of a lumen; as `vessel_tree`."""
    return followed(lumen, roots_mm, tips_mm, progress)
