"""Narrow places of a vessel: how narrow, against which reference, and how sure that is.

In: a branch of a `VesselTree`, or its cross-sections. Out: a `Stenosis`, whose reference is part of it.

References
----------
North American Symptomatic Carotid Endarterectomy Trial, New England Journal of Medicine 325 (1991): degree by diameter
against the normal vessel beyond the narrow place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from meshing.errors import VesselError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.vessels.nouns import VesselTree
from meshing.vessels.sections import CrossSection, cross_sections
from meshing.volume import Volume

Reference = Literal["distal", "proximal", "mean"]

_RECOVERED = 0.9
_STRETCH_DIAMETERS = 2.0
_LOOK_DIAMETERS = 6.0
_LEAST_SECTIONS = 3
_LEAST_VOXELS = 0.5
"""What the least radius is known to: the least of many is the one most wrong, so the mean error is too little."""


@dataclass(frozen=True)
class Stenosis:
    """The narrowest place of a branch, against what it should be.

    Parameters
    ----------
    branch, at_mm, arc_mm
        Where.
    diameter_mm, area_mm2
        The least section: the diameter of a disc of its area.
    reference, reference_diameter_mm, reference_area_mm2, reference_from_mm
        Where the reference was taken ("mean": the mean of both sides; "distal" where that was asked for and only it is
        there), what it measures, and the ways along the branch
        (start, end) of each stretch that it was averaged over.
    length_mm
        From where the vessel narrows to where it is wide again.
    diameter_percent, area_percent
        The degree: 100 × (1 − least / reference). By diameter (NASCET) and by area.
    uncertainty_percent
        Of the degree by diameter, from the uncertainty of the wall.
    """

    branch: int
    at_mm: Point
    arc_mm: float
    diameter_mm: float
    area_mm2: float
    reference: Reference
    reference_diameter_mm: float
    reference_area_mm2: float
    reference_from_mm: tuple[tuple[float, float], ...]
    length_mm: float
    diameter_percent: float
    area_percent: float
    uncertainty_percent: float

    @property
    def is_beyond_doubt(self) -> bool:
        """Whether the degree is more than twice its uncertainty."""
        return self.diameter_percent > 2.0 * self.uncertainty_percent


def stenosis(
    tree: VesselTree, number: int, *, reference: Reference = "distal", image: Volume | None = None
) -> Stenosis:
    """The narrowest place of a branch.

    Raises
    ------
    VesselError
        If the branch is too short to hold a narrow place and its reference.
    """
    voxel = float(np.cbrt(np.prod(tree.voxel_mm)))
    every = cross_sections(tree, number, image=image, every_mm=0.5 * min(tree.voxel_mm))
    sections = _away_from_ends(tree, number, every)
    return stenosis_of(sections, number, reference=reference, wall_uncertainty_mm=_LEAST_VOXELS * voxel)


def _away_from_ends(tree: VesselTree, number: int, sections: Sequence[CrossSection]) -> list[CrossSection]:
    """Those that neither the flare of a fork nor the cap of a tip widens or narrows: a radius away from either."""
    branch = tree.branch(number)
    flare = 0.0
    if branch.parent is not None:
        flare = float(tree.branch(branch.parent).radius_mm[-1])
    start = float(branch.arc_mm[branch.own_from]) + flare
    stop = branch.length_mm - float(branch.radius_mm[-1])
    return [section for section in sections if start <= section.arc_mm <= stop]


def stenosis_of(
    sections: Sequence[CrossSection], branch: int, *, reference: Reference, wall_uncertainty_mm: float
) -> Stenosis:
    """The narrowest place among sections of one branch.

    Raises
    ------
    VesselError
        As `stenosis`.
    """
    if len(sections) < 2 * _LEAST_SECTIONS:
        raise VesselError(
            f"{len(sections)} closed sections are too few for a narrow place and its reference",
            where=f"branch {branch}",
            hint="measure a longer branch",
        )
    arc = np.array([section.arc_mm for section in sections])
    wide = np.array([section.diameter_mm for section in sections])
    least = _narrowest(arc, wide)
    sides = {"proximal": _side(arc, wide, least, -1), "distal": _side(arc, wide, least, 1)}
    used = _references(sides, reference)
    if not used:
        raise VesselError(
            f"no stretch for the reference {reference} of the narrowest place, {arc[least]:.1f} mm along, "
            f"of {arc[-1]:.1f} mm",
            where=f"branch {branch}",
            hint="take another reference: distal, proximal or mean",
        )
    chosen = [side for name in used if (side := sides[name]) is not None]
    diameter = float(np.mean([np.median(wide[side]) for side in chosen]))
    ends = [sides["proximal"], sides["distal"]]
    start = float(arc[ends[0]].max()) if ends[0] is not None else float(arc[0])
    stop = float(arc[ends[1]].min()) if ends[1] is not None else float(arc[-1])
    ratio = float(wide[least]) / diameter
    # Twice the wall's at the least place; the reference is a median, but the vessel there may itself be uneven.
    spread = float(np.mean([np.median(np.abs(wide[side] - np.median(wide[side]))) for side in chosen]))
    doubt = float(np.hypot(2.0 * wall_uncertainty_mm, ratio * np.hypot(wall_uncertainty_mm, 1.5 * spread))) / diameter
    return Stenosis(
        branch,
        sections[least].at_mm,
        float(arc[least]),
        float(wide[least]),
        sections[least].area_mm2,
        "mean" if len(used) == 2 else used[0],
        diameter,
        float(np.pi * diameter**2 / 4.0),
        tuple((float(arc[side].min()), float(arc[side].max())) for side in chosen),
        stop - start,
        100.0 * (1.0 - ratio),
        100.0 * (1.0 - ratio**2),
        100.0 * doubt,
    )


def _references(sides: Mapping[str, FloatArray | None], reference: Reference) -> tuple[Reference, ...]:
    """The sides to take; for the mean the distal one alone will do, but a vessel that only fades has none."""
    wanted: tuple[Reference, ...] = ("proximal", "distal") if reference == "mean" else (reference,)
    used = tuple(name for name in wanted if sides[name] is not None)
    return used if used == wanted or used == ("distal",) else ()


def _narrowest(arc: FloatArray, wide: FloatArray) -> int:
    """The place farthest below the even taper of the vessel, not the end of that."""
    from scipy.stats import theilslopes

    slope, offset, *_ = theilslopes(wide, arc)
    usual = np.maximum(offset + slope * arc, 1e-3)
    inner = slice(1, len(arc) - 1)
    return 1 + int((wide / usual)[inner].argmin())


def _side(arc: FloatArray, wide: FloatArray, least: int, way: int) -> FloatArray | None:
    """Rows of the reference stretch on one side: two diameters long, from where the vessel is wide again."""
    rows = np.arange(least, len(arc)) if way > 0 else np.arange(least, -1, -1)
    if len(rows) < 2 * _LEAST_SECTIONS:
        return None
    away = np.abs(arc[rows] - arc[least])
    look = rows[away <= _LOOK_DIAMETERS * float(np.percentile(wide[rows], 75))]
    normal = float(np.percentile(wide[look], 75))
    again = np.flatnonzero(wide[look] >= wide[least] + _RECOVERED * (normal - wide[least]))
    if not len(again):
        return None
    first = look[again[0]]
    stretch = rows[(away >= abs(arc[first] - arc[least])) & (away <= abs(arc[first] - arc[least])
                   + _STRETCH_DIAMETERS * normal)]  # fmt: skip
    is_long = len(stretch) >= _LEAST_SECTIONS and abs(arc[stretch[-1]] - arc[stretch[0]]) >= normal
    return stretch if is_long else None
