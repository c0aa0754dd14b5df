"""What a file should hold and what it holds, structure by structure, both in LPS mm; the checks compare the two.

What is expected comes from the case; without one, from what the file says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from meshing.case import Case
from meshing.errors import DamagedFileError
from meshing.exporting.measure import box, centroid, used_part
from meshing.exporting.model import MeshNode
from meshing.exporting.selection import segment_of
from meshing.frames import FloatArray, Transform
from meshing.surface import Deviation, Faces, Surface, largest_change, largest_stray_mm, volume_ml
from meshing.terminology import Structure

BOUNDS_MM = 0.05
"""Float32 at a metre resolves 0.0001 mm; a tenth of the finest CT voxel is wrong by no reading."""

VOLUME_SHARE = 0.001
"""Rounding moves a volume by under 10⁻⁵ of it; a mesh scaled by 0.05 % is caught."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A structure in the file, carried back to LPS mm."""

    node: MeshNode
    vertices_mm: FloatArray
    volume_ml: float
    triangles: int
    bounds_mm: FloatArray
    centroid_mm: FloatArray

    @property
    def key(self) -> str:
        return self.node.name

    @property
    def features_mm(self) -> FloatArray:
        """(3, 3): lowest corner, highest corner, centroid."""
        return np.vstack([self.bounds_mm, self.centroid_mm])


@dataclass(frozen=True, eq=False)
class Expected:
    """A structure as it should be.

    Parameters
    ----------
    structure, label, surface
        From the case; None where there is no case.
    used
        The surface's vertices that some face uses, LPS mm, and the faces that name them.
    bounds_tolerance_mm, volume_share
        How far bounds and centroid, and the volume as a share, may be off.
    claim
        The deviation that the file states, where it holds fewer triangles than the case.
    coarsest_mm
        The largest deviation that it may state and still be that structure.
    """

    key: str
    side: str
    bounds_mm: FloatArray
    centroid_mm: FloatArray
    volume_ml: float
    bounds_tolerance_mm: float = BOUNDS_MM
    volume_share: float = VOLUME_SHARE
    structure: Structure | None = None
    label: int | None = None
    surface: Surface | None = None
    used: tuple[FloatArray, Faces] = field(default_factory=lambda: (np.empty((0, 3)), np.empty((0, 3), np.int32)))
    claim: Deviation | None = field(default=None)
    coarsest_mm: float = largest_stray_mm(0.0)
    is_decimated: bool = False

    @property
    def features_mm(self) -> FloatArray:
        """(3, 3): lowest corner, highest corner, centroid."""
        return np.vstack([self.bounds_mm, self.centroid_mm])

    def fits(self, found: Measured) -> bool:
        """Whether that structure lies where this one should."""
        return bool(np.abs(found.features_mm - self.features_mm).max() <= self.bounds_tolerance_mm)


def measure(nodes: Iterable[MeshNode], to_patient: Transform) -> dict[str, Measured]:
    """The structures of the file by name, carried back to LPS mm."""
    return {node.name: _measured(node, to_patient) for node in nodes}


def expected_of_case(case: Case, key: str, found: Measured | None) -> Expected:
    """What the case says of that structure; `found` tells whether it was decimated on the way."""
    surface, segment = case.surface(key), segment_of(case, key)
    vertices, faces = used_part(surface)
    bounds, volume = box(vertices), volume_ml(vertices, faces)
    is_decimated = found is not None and found.triangles < len(faces)
    claim = _claim(found) if found is not None and is_decimated else None
    coarsest = largest_stray_mm(float(np.linalg.norm(bounds[1] - bounds[0])))
    # Without a stated deviation, or with one that would excuse anything, the tolerances stay those of an exact copy.
    is_looser = claim is not None and claim.max_mm <= coarsest
    return Expected(
        key=key,
        side=segment.structure.side,
        bounds_mm=bounds,
        centroid_mm=centroid(vertices, faces),
        volume_ml=volume,
        bounds_tolerance_mm=BOUNDS_MM + (claim.max_mm if claim and is_looser else 0.0),
        # Each of the two surfaces may be off by that much from the raw one (`simplify`).
        volume_share=2 * largest_change(volume) if is_looser else VOLUME_SHARE,
        structure=segment.structure,
        label=segment.label,
        surface=surface,
        used=(vertices, faces),
        claim=claim,
        coarsest_mm=coarsest,
        is_decimated=is_decimated,
    )


def expected_of_file(found: Measured) -> Expected:
    """What the file says of its own structure.

    Raises
    ------
    DamagedFileError
        If it does not say where the structure lies.
    """
    extras = found.node.extras
    volume = extras.number("volume_ml")
    return Expected(
        key=found.key,
        side=extras.text("side", ""),
        bounds_mm=extras.array("bounds_mm", (2, 3)),
        centroid_mm=extras.array("centroid_mm", (3,)),
        volume_ml=volume,
        # The volume stated is the case's; a decimated surface may be off by this much.
        volume_share=2 * largest_change(volume),
    )


def _measured(node: MeshNode, to_patient: Transform) -> Measured:
    vertices = to_patient(node.vertices)
    is_used = np.zeros(len(vertices), dtype=bool)
    is_used[node.faces] = True
    return Measured(
        node=node,
        vertices_mm=vertices,
        volume_ml=volume_ml(vertices, node.faces),
        triangles=len(node.faces),
        bounds_mm=box(vertices[is_used]),
        centroid_mm=centroid(vertices, node.faces),
    )


def _claim(found: Measured) -> Deviation | None:
    try:
        return Deviation(found.node.extras.number("mean_deviation_mm"), found.node.extras.number("max_deviation_mm"))
    except DamagedFileError:
        return None
