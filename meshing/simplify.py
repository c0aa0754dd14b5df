"""Surfaces with fewer triangles, still closed and manifold, with the volume and the distance lost stated.

Quadric decimation (Garland and Heckbert 1997, by fast-simplification) is fast but leaves crowded edges; `repair` cuts
them apart. Where a structure would lose too much, it keeps more triangles than its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meshing.deviation import deviation
from meshing.errors import SurfaceError
from meshing.extract import restore_volume
from meshing.progress import Progress, silent
from meshing.repair import repair
from meshing.surface import Deviation, Faces, Surface, area_mm2, check, largest_change, volume_ml

Points = npt.NDArray[np.float64]

_MOST_OF_BUDGET = 0.25
"""No structure takes more than that beyond its share to keep its branches: the others would pay for it."""

SMALLEST = 64
"""Triangles below which no connected part is decimated: still a blob one recognises."""

_THIN_MM = 4.0
"""Tubes of a smaller radius get more than their share: what an interventional radiologist looks for."""


def simplify(surfaces: Mapping[str, Surface], budget: int, *, progress: Progress = silent) -> dict[str, Surface]:
    """The surfaces with about `budget` triangles together.

    Shares grow with area^0.75, so that small structures keep more of their shape, and with thinness, so that vessels
    keep their branches. Thin structures come first; what they need above their share, the others give. Each surface
    carries its deviation from the given one; a deviation that the given one already had is added (the triangle
    inequality's bound).

    Raises
    ------
    SurfaceError
        If the budget is under `SMALLEST` triangles a structure.
    """
    if budget < SMALLEST * len(surfaces):
        raise SurfaceError(
            f"a budget of {budget} triangles for {len(surfaces)} structures",
            hint=f"allow at least {SMALLEST * len(surfaces)}, or name fewer structures",
        )
    wants = {key: _want(surface) for key, surface in surfaces.items()}
    simplified: dict[str, Surface] = {}
    left = budget
    for key in sorted(wants, key=lambda key: wants[key].thickness_mm):
        progress(len(simplified) / len(surfaces), f"simplifying {key}")
        share = _shares({other: wants[other] for other in wants if other not in simplified}, left)[key]
        simplified[key] = _to_share(surfaces[key], share, max(share, int(_MOST_OF_BUDGET * budget)))
        left = max(left - len(simplified[key].faces), SMALLEST)
    progress(1.0, "simplified")
    return {key: simplified[key] for key in surfaces}


@dataclass(frozen=True)
class _Want:
    """What a surface brings to the sharing: its triangles, how thick it is, and its claim."""

    triangles: int
    thickness_mm: float
    weight: float


def _want(surface: Surface) -> _Want:
    area = max(area_mm2(surface), 1e-9)
    # Twice volume over area is the radius of a tube.
    thickness = 2000.0 * abs(volume_ml(surface.vertices, surface.faces)) / area
    return _Want(len(surface.faces), thickness, area**0.75 * float(np.clip(_THIN_MM / max(thickness, 1e-9), 1.0, 4.0)))


def _shares(wants: Mapping[str, _Want], budget: int) -> dict[str, int]:
    """Triangles for each key: what a structure does not need goes to the others."""
    shares: dict[str, int] = {}
    open_keys, left = set(wants), budget
    while open_keys:
        total = sum(wants[key].weight for key in open_keys)
        fair = {key: max(SMALLEST, int(left * wants[key].weight / total)) for key in open_keys}
        settled = {key for key in open_keys if wants[key].triangles <= fair[key]}
        if not settled:
            shares |= fair
            break
        for key in settled:
            shares[key] = wants[key].triangles
            left -= shares[key]
        open_keys -= settled
    return shares


def _to_share(surface: Surface, share: int, most: int) -> Surface:
    """The surface with about `share` triangles; up to `most` where fewer would cost a branch."""
    if len(surface.faces) <= share:
        return surface
    wanted_ml = volume_ml(surface.vertices, surface.faces)
    area = area_mm2(surface)
    best: Surface | None = None
    while share < len(surface.faces) and (share <= most or best is None):
        smaller = _decimated(surface, share, wanted_ml)
        if smaller is not None:
            lost = deviation(smaller, surface)
            best = replace(smaller, deviation=_added(surface.deviation, lost))
            # Edges of an even mesh of that many triangles: what strays further is a lost branch, not a flat facet.
            if lost.max_mm <= np.sqrt(4.0 / np.sqrt(3.0) * area / share):
                return best
        share *= 2
    return surface if best is None or len(surface.faces) <= most else best


def _decimated(surface: Surface, share: int, wanted_ml: float) -> Surface | None:
    """One attempt; None when the result is unsound or off in volume."""
    vertices, faces = repair(*_decimated_parts(surface, share))
    edge_mm = np.sqrt(area_mm2(surface) / max(len(surface.faces), 1))
    vertices = restore_volume(vertices, faces, wanted_ml, edge_mm)
    smaller = replace(surface, vertices=vertices.astype(np.float32), faces=faces)
    found = check(smaller)
    is_sound = found.is_closed and found.is_manifold and found.is_outward
    raw_ml = wanted_ml if surface.raw_volume_ml is None else surface.raw_volume_ml
    if not is_sound or abs(found.volume_ml - raw_ml) > largest_change(raw_ml) * raw_ml:
        return None
    return smaller


def _decimated_parts(surface: Surface, share: int) -> tuple[Points, Faces]:
    """Each connected part with its share of triangles, so that no small island is collapsed away."""
    import fast_simplification

    parts = {str(number): part for number, part in enumerate(_parts(surface))}
    shares = _shares({name: _want(part) for name, part in parts.items()}, share)
    vertices: list[Points] = []
    faces: list[Faces] = []
    first = 0
    for name, part in parts.items():
        points, triangles = part.vertices, part.faces
        if len(triangles) > shares[name]:
            points, triangles = fast_simplification.simplify(
                points.copy(),
                triangles.copy(),
                target_count=shares[name],  # it asks for writable arrays
            )
        vertices.append(points.astype(np.float64))
        faces.append(triangles.astype(np.int32) + first)
        first += len(points)
    return np.vstack(vertices), np.vstack(faces)


def _parts(surface: Surface) -> list[Surface]:
    """The connected parts of a surface."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b, c = surface.faces.T
    rows, columns = np.concatenate([a, b]), np.concatenate([b, c])
    size = len(surface.vertices)
    count, part_of = connected_components(
        coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(size, size)), directed=False
    )
    if count == 1:
        return [surface]
    by_part = np.argsort(part_of[a], kind="stable")
    bounds = np.searchsorted(part_of[a][by_part], np.arange(count + 1))
    parts = []
    for low, high in pairwise(bounds):
        if high > low:
            used, packed = np.unique(surface.faces[by_part[low:high]], return_inverse=True)
            parts.append(
                replace(surface, vertices=surface.vertices[used], faces=packed.reshape(-1, 3).astype(np.int32))
            )
    return parts


def _added(before: Deviation | None, step: Deviation) -> Deviation:
    if before is None:
        return step
    return Deviation(before.mean_mm + step.mean_mm, before.max_mm + step.max_mm)
