"""Surfaces with fewer triangles, still closed and manifold, with the volume and the distance lost stated.

Quadric decimation (Garland and Heckbert 1997, by fast-simplification) is fast but leaves crowded edges; `repair` cuts
them apart. Where a structure would lose too much, it keeps more triangles than its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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

SMALLEST = 64
"""Triangles below which no connected part is decimated: still a blob one recognises."""

_TRIES = 4


def simplify(surfaces: Mapping[str, Surface], budget: int, *, progress: Progress = silent) -> dict[str, Surface]:
    """The surfaces with about `budget` triangles together.

    Shares grow with area^0.75, so that small structures keep more of their shape. Each surface carries its deviation
    from the given one; a deviation that the given one already had is added (the triangle inequality's bound).

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
    shares = _shares(surfaces, budget)
    simplified = {}
    for done, (key, surface) in enumerate(surfaces.items()):
        progress(done / len(surfaces), f"simplifying {key}")
        simplified[key] = _to_share(surface, shares[key])
    progress(1.0, "simplified")
    return simplified


def _shares(surfaces: Mapping[str, Surface], budget: int) -> dict[str, int]:
    """Triangles for each key: what a structure does not need goes to the others."""
    shares: dict[str, int] = {}
    weights = {key: area_mm2(surface) ** 0.75 for key, surface in surfaces.items()}
    open_keys, left = set(surfaces), budget
    while open_keys:
        total = sum(weights[key] for key in open_keys)
        fair = {key: max(SMALLEST, int(left * weights[key] / max(total, 1e-30))) for key in open_keys}
        settled = {key for key in open_keys if len(surfaces[key].faces) <= fair[key]}
        if not settled:
            shares |= fair
            break
        for key in settled:
            shares[key] = len(surfaces[key].faces)
            left -= shares[key]
        open_keys -= settled
    return shares


def _to_share(surface: Surface, share: int) -> Surface:
    """The surface with about `share` triangles, or more of them where fewer would cost too much."""
    if len(surface.faces) <= share:
        return surface
    wanted_ml = volume_ml(surface.vertices, surface.faces)
    for _ in range(_TRIES):
        smaller = _decimated(surface, share, wanted_ml)
        if smaller is not None:
            return replace(smaller, deviation=_added(surface.deviation, deviation(smaller, surface)))
        share = min(share * 2, len(surface.faces))
    return surface


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
    shares = _shares(parts, share)
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
