"""Shared walls with fewer triangles: edges collapse where least is lost, volumes come back, what is lost is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.balance import areas_mm2, restored, volumes_mm3
from meshing.collapse import collapse
from meshing.deviation import deviations
from meshing.progress import Progress, part, silent
from meshing.surface import Deviation
from meshing.walls import Walls

Array = npt.NDArray[np.float64]

_THICK_MM = 4.0
"""Thickness (volume over area) from which a part has no greater claim than another: a vessel of 8 mm radius."""

_STRAY = 0.02
"""Share of its thickness by which a merged vertex may miss what it stands for."""

_MOST_STRAY_MM = 0.1


@dataclass(frozen=True, eq=False)
class Reduced:
    """Fewer triangles, and what that cost.

    Parameters
    ----------
    volumes_mm3
        (labels,): of the walls that it began with.
    """

    walls: Walls
    volumes_mm3: Array
    deviations: Mapping[int, Deviation]


def reduced(walls: Walls, budget: int, *, start: Walls | None = None, progress: Progress = silent) -> Reduced:
    """The walls with about `budget` triangles, each part with the volume that it had.

    Thin parts lose less than thick ones: a triangle's cost grows with the square of 4 mm over its part's thickness.

    Parameters
    ----------
    start
        The same walls with fewer triangles already; distances and volumes refer to `walls` all the same.
    """
    labels = int(walls.sides.max(initial=0)) + 1
    volumes, thickness = volumes_mm3(walls, labels), _thickness_mm(walls, labels)
    claims = np.clip((_THICK_MM / thickness) ** 2, 1.0, 1000.0)
    weights = {label: float(claims[label]) for label in range(1, labels)}
    fewer = collapse(start or walls, budget, weights, progress=part(progress, 0.1, 0.6))
    edge_mm = float(np.sqrt(areas_mm2(fewer, labels).sum() / max(len(fewer.faces), 1)))
    fewer = restored(fewer, volumes, edge_mm / 4)
    return Reduced(fewer, volumes, deviations(fewer, walls, progress=part(progress, 0.6, 1.0)))


def merge_tolerance_mm(walls: Walls) -> Array:
    """(labels,): how far merging may move a wall of each part; infinite outside of everything."""
    labels = int(walls.sides.max(initial=0)) + 1
    tolerance: Array = np.minimum(_STRAY * _thickness_mm(walls, labels), _MOST_STRAY_MM)
    tolerance[0] = np.inf
    return tolerance


def _thickness_mm(walls: Walls, labels: int) -> Array:
    """(labels,): volume over area, half the radius of a tube; infinite for absent labels."""
    area = areas_mm2(walls, labels)
    return np.where(area > 0, np.abs(volumes_mm3(walls, labels)) / np.maximum(area, 1e-12), np.inf).clip(1e-6)
