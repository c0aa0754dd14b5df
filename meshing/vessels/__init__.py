"""Vessel trees: branches with centreline and radius, followed in a lumen; their cross-sections, stenoses and reformats.

In: a lumen as a mask, a closed surface or grey values. Out: a `VesselTree` in LPS mm.
"""

from __future__ import annotations

from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.vessels.follow import followed
from meshing.vessels.grey import lumen_mask
from meshing.vessels.lumen import Lumen, lumen_of_mask, lumen_of_surface
from meshing.vessels.nouns import Branch, Loop, Node, VesselTree, joined, routes
from meshing.vessels.reformat import Reformat, straightened, stretched
from meshing.vessels.sections import (
    Bifurcation,
    CrossSection,
    bifurcation_angles,
    cross_sections,
    tortuosity,
)
from meshing.vessels.stenosis import Stenosis, stenosis, stenosis_of
from meshing.volume import Grid, Volume
from meshing.voxels.upright import Mask

__all__ = [
    "Bifurcation",
    "Branch",
    "CrossSection",
    "Loop",
    "Lumen",
    "Node",
    "Reformat",
    "Stenosis",
    "VesselTree",
    "bifurcation_angles",
    "cross_sections",
    "from_grey",
    "joined",
    "lumen_mask",
    "lumen_of_mask",
    "lumen_of_surface",
    "routes",
    "stenosis",
    "stenosis_of",
    "straightened",
    "stretched",
    "tortuosity",
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


def from_grey(
    volume: Volume,
    seeds_mm: tuple[Point, ...],
    *,
    roots_mm: tuple[Point, ...] = (),
    tips_mm: tuple[Point, ...] = (),
    progress: Progress = silent,
) -> VesselTree:
    """The tree of a bright vessel in grey values, grown from seeds to half of its brightness; as `vessel_tree`.

    Raises
    ------
    VesselError
        As `vessel_tree`, and where nothing bright grows from the seeds, or too much.
    SegmentationError
        If a seed lies outside the scan.
    """
    mask = lumen_mask(volume, seeds_mm, part(progress, 0.0, 0.3))
    return vessel_tree(
        mask, volume.grid, image=volume, roots_mm=roots_mm, tips_mm=tips_mm, progress=part(progress, 0.3, 1.0)
    )
