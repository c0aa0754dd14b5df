"""Surfaces with fewer triangles, still closed, manifold and sharing their walls, with what was lost stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshing.errors import SurfaceError
from meshing.progress import Progress, part, silent
from meshing.reduce import ROOM, Reduced, Sizes, claims_of, reduced, sizes_of
from meshing.split import surfaces_of, together, walls_around
from meshing.surface import Deviation, Surface, area_mm2, check, volume_ml

SMALLEST = 64
"""Triangles for each structure below which nobody recognises anything."""


def simplify(
    surfaces: Mapping[str, Surface],
    budget: int,
    *,
    neighbours: Iterable[Sequence[str]] | None = None,
    importance: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> dict[str, Surface]:
    """The surfaces with about `budget` triangles together.

    Each carries its deviation from the given one; a deviation that the given one already had is added (the triangle
    inequality's bound).

    Parameters
    ----------
    neighbours
        Keys of surfaces that were cut from the same walls, group by group; what they share stays shared. Others are
        simplified by themselves. So are neighbours when the budget leaves shared walls no freedom; their deviation
        then says `is_apart`.
    importance
        By how much the claim of each key is multiplied; 1 for those not named.

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
    factors = {key: (importance or {}).get(key, 1.0) for key in surfaces}
    shares = [budget]
    if len(groups) > 1:
        shares = _shares([_Claim.of([surfaces[key] for key in group], factors) for group in groups], budget)
    simplified: dict[str, Surface] = {}
    for number, (group, share) in enumerate(zip(groups, shares, strict=True)):
        step = part(progress, number / len(groups), (number + 1) / len(groups))
        simplified |= _simplified({key: surfaces[key] for key in group}, share, factors, step)
    return {key: simplified[key] for key in surfaces}


@dataclass(frozen=True)
class _Claim:
    """What a group brings to the sharing: its triangles, and a weight that grows with area and with thinness."""

    triangles: int
    least: int
    weight: float

    @staticmethod
    def of(group: Sequence[Surface], factors: Mapping[str, float]) -> _Claim:
        volumes = np.array([1000.0 * volume_ml(surface.vertices, surface.faces) for surface in group])
        areas = np.array([max(area_mm2(surface), 1e-9) for surface in group])
        importance = np.array([factors[surface.key] for surface in group])
        weight = float(claims_of(Sizes(volumes, areas), importance).sum())
        triangles = sum(len(surface.faces) for surface in group)
        return _Claim(triangles, min(SMALLEST * len(group), triangles), weight)


def _shares(claims: Sequence[_Claim], budget: int) -> list[int]:
    """Triangles for each group: nobody gets under its least, and what one does not need goes to the others."""
    shares = [0] * len(claims)
    waiting, left = set(range(len(claims))), budget
    while waiting:
        total = sum(claims[n].weight for n in waiting)
        fair = {n: int(left * claims[n].weight / total) for n in waiting}
        poor = {n: claims[n].least for n in waiting if fair[n] < claims[n].least}
        sated = {n: claims[n].triangles for n in waiting if fair[n] >= claims[n].triangles}
        settled = poor or sated or fair
        for n, share in settled.items():
            shares[n] = share
            left -= share
        waiting -= settled.keys()
    return shares


def _simplified(
    before: Mapping[str, Surface], share: int, factors: Mapping[str, float], progress: Progress
) -> dict[str, Surface]:
    if sum(len(surface.faces) for surface in before.values()) <= share:
        return dict(before)
    walls = walls_around(*before.values()) if len(before) == 1 else together(list(before.values()))
    room = ROOM if len(before) > 1 else 0
    importance = np.array([1.0, *(factors[key] for key in before)])
    result = reduced(walls, share, sizes_of(walls), importance=importance, room=room, progress=progress)
    if result is None:
        alone = simplify(before, max(share, SMALLEST * len(before)), importance=factors, progress=progress)
        return {key: _apart(surface) for key, surface in alone.items()}
    made = surfaces_of(result.walls, dict(enumerate(before, start=1)))
    return {key: _checked(before[key], made.get(key), result, number) for number, key in enumerate(before, start=1)}


def _apart(surface: Surface) -> Surface:
    if surface.deviation is None:
        return surface
    return replace(surface, deviation=replace(surface.deviation, is_apart=True))


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
    is_apart = before.is_apart or step.is_apart
    return Deviation(before.mean_mm + step.mean_mm, before.max_mm + step.max_mm, is_apart)
