"""The boundary of a structure as triangles, and the numbers that say whether it can be trusted.

Vertices are LPS mm; faces look outward (counter-clockwise from outside), so the signed volume is positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SurfaceError

Vertices = npt.NDArray[np.float32]
Faces = npt.NDArray[np.int32]


_COARSEST_MM = 1.0
_COARSEST_SHARE = 0.05


@dataclass(frozen=True)
class Deviation:
    """Distance to the full-resolution surface from before decimation, both ways, in mm.

    `is_apart`: it was decimated without its neighbours, so their walls may part by up to the sum of both maxima.
    """

    mean_mm: float
    max_mm: float
    is_apart: bool = False


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one structure.

    Parameters
    ----------
    vertices
        (V, 3) float32, LPS mm; read-only.
    faces
        (F, 3) int32; read-only.
    key
        Key of the segment that it bounds.
    made_from
        Name of the segmentation in the case.
    deviation
        From the full-resolution surface; None where it was not measured.
    raw_volume_ml
        Signed volume of that full-resolution surface.
    """

    vertices: Vertices
    faces: Faces
    key: str
    made_from: str = "main"
    deviation: Deviation | None = None
    raw_volume_ml: float | None = None

    def __post_init__(self) -> None:
        vertices = np.asarray(self.vertices, dtype=np.float32)
        faces = np.asarray(self.faces, dtype=np.int32)
        if vertices.ndim != 2 or vertices.shape[1:] != (3,) or faces.ndim != 2 or faces.shape[1:] != (3,):
            raise SurfaceError(f"shapes {vertices.shape} and {faces.shape} are not (V, 3) and (F, 3)", where=self.key)
        if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise SurfaceError(f"faces name vertex {faces.max()} of {len(vertices)}", where=self.key)
        if not np.isfinite(vertices).all():
            raise SurfaceError("vertices hold NaN or infinity", where=self.key)
        for name, array in (("vertices", vertices), ("faces", faces)):
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)


@dataclass(frozen=True)
class Check:
    """What `check` found: counts of bad edges, and the signed volume.

    `is_closed`: no edge belongs to one face. `is_manifold`: no edge belongs to more than two faces, none is
    run through twice in the same direction, and the faces round every vertex form one fan.
    """

    triangles: int
    boundary_edges: int
    crowded_edges: int
    flipped_edges: int
    pinched_vertices: int
    volume_ml: float

    @property
    def is_closed(self) -> bool:
        return self.triangles > 0 and self.boundary_edges == 0

    @property
    def is_manifold(self) -> bool:
        return self.crowded_edges == 0 and self.flipped_edges == 0 and self.pinched_vertices == 0

    @property
    def is_outward(self) -> bool:
        return self.volume_ml > 0


def largest_change(volume_ml: float) -> float:
    """The share by which a volume may differ from that of the full-resolution surface: 3 % under 2 ml, else 1 %."""
    return 0.03 if volume_ml < 2.0 else 0.01


def largest_stray_mm(diagonal_mm: float) -> float:
    """How far a structure of that size may stray from its full-resolution surface and still be that structure."""
    return max(_COARSEST_MM, _COARSEST_SHARE * diagonal_mm)


def volume_ml(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> float:
    """Signed volume by the divergence theorem; positive when faces look outward."""
    from meshing.triangles.halfedges import signed_volume_mm3

    return signed_volume_mm3(vertices, faces) / 1000.0


def area_mm2(surface: Surface) -> float:
    """Area of all triangles."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )


def vertex_normals(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], float]:
    """Outward unit normals (V, 3), each the area-weighted mean over its faces, and the whole area in mm²."""
    from meshing.triangles.halfedges import normal_sums

    sums, across = normal_sums(vertices, faces)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.maximum(lengths, 1e-30), float(across.sum() / 2)


def check(surface: Surface) -> Check:
    """Whether a surface is closed, manifold and outward, by counting."""
    from meshing.triangles.halfedges import faults

    found = faults(surface.faces, len(surface.vertices))
    return Check(
        triangles=len(surface.faces),
        boundary_edges=found.boundary_edges,
        crowded_edges=found.crowded_edges,
        flipped_edges=found.flipped_edges,
        pinched_vertices=found.pinched_vertices,
        volume_ml=volume_ml(surface.vertices, surface.faces),
    )


def require_sound(surface: Surface) -> Surface:
    """The surface itself, when it is closed, manifold and outward.

    Raises
    ------
    SurfaceError
        With the counts.
    """
    found = check(surface)
    if not (found.is_closed and found.is_manifold and found.is_outward):
        raise SurfaceError(
            f"{found.boundary_edges} open, {found.crowded_edges} crowded and {found.flipped_edges} flipped edges, "
            f"{found.pinched_vertices} pinched vertices, {found.volume_ml:.4f} ml, of {found.triangles} triangles",
            where=surface.key,
            hint="report this structure; its labels can be exported meanwhile",
        )
    return surface
