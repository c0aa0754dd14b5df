"""Surfaces with fewer triangles, still closed, manifold and sharing their walls, with what was lost stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from meshing.errors import SurfaceError
from meshing.progress import Progress, part, silent
from meshing.reduce import Reduced, reduced, sizes_of
from meshing.split import surfaces_of, together
from meshing.surface import Deviation, Surface, check, volume_ml

SMALLEST = 64
"""Triangles for each structure below which nobody recognises anything."""


def simplify(
    surfaces: Mapping[str, Surface],
    budget: int,
    *,
    neighbours: Iterable[Sequence[str]] | None = None,
    progress: Progress = silent,
) -> dict[str, Surface]:
    """The surfaces with about `budget` triangles together.

    Each carries its deviation from the given one; a deviation that the given one already had is added (the triangle
    inequality's bound).

    Parameters
    ----------
    neighbours
        Keys of surfaces that were cut from the same walls, group by group; what they share stays shared. Others are
        simplified by themselves.

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
    groups = [[key for key in group if key in surfaces] for group in neighbours or ()]
    grouped = {key for group in groups for key in group}
    groups = [group for group in groups if group] + [[key] for key in surfaces if key not in grouped]
    triangles = sum(len(surface.faces) for surface in surfaces.values())
    simplified: dict[str, Surface] = {}
    done = 0
    for group in groups:
        before = {key: surfaces[key] for key in group}
        count = sum(len(surface.faces) for surface in before.values())
        step = part(progress, done / triangles, (done + count) / triangles)
        simplified |= _simplified(before, budget * count // triangles, step)
        done += count
    return {key: simplified[key] for key in surfaces}


def _simplified(before: Mapping[str, Surface], share: int, progress: Progress) -> dict[str, Surface]:
    if sum(len(surface.faces) for surface in before.values()) <= share:
        return dict(before)
    walls = together(list(before.values()))
    result = reduced(walls, share, sizes_of(walls), progress=progress)
    made = surfaces_of(result.walls, {number: key for number, key in enumerate(before, start=1)})
    return {key: _checked(before[key], made.get(key), result, number) for number, key in enumerate(before, start=1)}


def _checked(before: Surface, after: Surface | None, result: Reduced, label: int) -> Surface:
    """The smaller surface with what it lost; the given one where the smaller is unsound."""
    if after is None:
        return before
    found = check(after)
    if not (found.is_closed and found.is_manifold and found.is_outward):
        return before
    lost = _added(before.deviation, result.deviations[label])
    raw_ml = before.raw_volume_ml
    if raw_ml is None:
        raw_ml = volume_ml(before.vertices, before.faces)
    return replace(after, made_from=before.made_from, deviation=lost, raw_volume_ml=raw_ml)


def _added(before: Deviation | None, step: Deviation) -> Deviation:
    if before is None:
        return step
    return Deviation(before.mean_mm + step.mean_mm, before.max_mm + step.max_mm)
