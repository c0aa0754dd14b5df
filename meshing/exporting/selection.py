"""What to write of a case, and what was written: the settings, the choice and the report of every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshing.case import Case
from meshing.errors import ExportError, NotFoundError
from meshing.exporting.annotations import Annotation
from meshing.importance import importance
from meshing.progress import Progress, silent
from meshing.segmentation import Segment
from meshing.surface import Deviation, Surface, volume_ml
from meshing.terminology import match, plain


@dataclass(frozen=True)
class ExportSettings:
    """What to write.

    Parameters
    ----------
    structures
        Keys or names in either language; empty means all.
    budget
        Triangles of all structures together, or None for all there are.
    annotations
        Written beside the structures (GLB only).
    """

    structures: tuple[str, ...] = ()
    budget: int | None = None
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class ExportedStructure:
    """One structure as it stands in the file.

    Parameters
    ----------
    mean_deviation_mm, max_deviation_mm
        What decimation cost, here and when the case was built; 0 for a surface that kept all its triangles.
    volume_ml
        Of the triangles written.
    is_apart
        So few triangles parted it from its neighbours, by up to the largest deviation of each.
    """

    key: str
    triangles: int
    mean_deviation_mm: float
    max_deviation_mm: float
    volume_ml: float
    is_apart: bool


@dataclass(frozen=True)
class ExportReport:
    """A file written, read back and found to be what the case says."""

    path: Path
    bytes: int
    triangles: int
    structures: tuple[ExportedStructure, ...]
    verified: bool


@dataclass(frozen=True, eq=False)
class Chosen:
    """A structure to write: what it is, its surface in the case, and that surface within the budget."""

    segment: Segment
    original: Surface
    surface: Surface

    @property
    def key(self) -> str:
        return self.surface.key


def choose(case: Case, settings: ExportSettings, *, progress: Progress = silent) -> tuple[Chosen, ...]:
    """The structures that `settings` name, in the case's order, within the budget; vertices are those in use.

    A structure without triangles is left out, unless it was named.

    Raises
    ------
    NotFoundError
        If a name is none of the case's.
    ExportError
        If nothing is left to write.
    SurfaceError
        If the budget is too small for so many structures.
    """
    wanted = [find_key(case, name) for name in settings.structures] or [
        k for k, s in case.surfaces.items() if len(s.faces)
    ]
    originals = {key: surface for key, surface in case.surfaces.items() if key in wanted}
    empty = [key for key, surface in originals.items() if len(surface.faces) == 0]
    if empty or not originals:
        raise ExportError(
            f"{', '.join(empty) or 'the case'} has no triangles to write",
            where=case.id,
            hint="build the case again, or name other structures",
        )
    surfaces = _within_budget(case, originals, settings.budget, progress)
    return tuple(Chosen(segment_of(case, key), originals[key], surfaces[key]) for key in originals)


def find_key(case: Case, name: str) -> str:
    """The surface key that is meant by a key or a name in either language.

    Raises
    ------
    NotFoundError
        With the keys that the case holds.
    """
    if name in case.surfaces:
        return name
    for key in case.surfaces:
        structure = segment_of(case, key).structure
        if plain(name) in {plain(key), plain(structure.name), plain(structure.name_zh)}:
            return key
    known = match(name)
    return case.surface(known.key if known and known.key in case.surfaces else name).key


def segment_of(case: Case, key: str) -> Segment:
    """The segment that the surface of that key bounds.

    Raises
    ------
    ExportError
        If the case holds the surface without it.
    """
    segmentation = case.segmentations.get(case.surfaces[key].made_from)
    try:
        return segmentation.segment(key) if segmentation else case.segments[key]
    except (NotFoundError, KeyError) as error:
        raise ExportError(
            f"surface {key!r} belongs to no segment", where=case.id, hint="build the case again"
        ) from error


def report(path: Path, chosen: Sequence[Chosen]) -> ExportReport:
    """The report on a file that holds exactly `chosen` and was found so."""
    return ExportReport(
        path=path,
        bytes=path.stat().st_size,
        triangles=sum(len(one.surface.faces) for one in chosen),
        structures=tuple(_exported(one) for one in chosen),
        verified=True,
    )


def _within_budget(
    case: Case, surfaces: dict[str, Surface], budget: int | None, progress: Progress
) -> dict[str, Surface]:
    if budget is None or sum(len(surface.faces) for surface in surfaces.values()) <= budget:
        return surfaces
    from meshing.simplify import simplify

    layers: dict[tuple[str, int], list[str]] = {}
    for key, surface in surfaces.items():
        layers.setdefault((surface.made_from, segment_of(case, key).layer), []).append(key)
    factors = {key: importance(segment_of(case, key).structure) for key in surfaces}
    return simplify(surfaces, budget, neighbours=layers.values(), importance=factors, progress=progress)


def _exported(one: Chosen) -> ExportedStructure:
    deviation = one.surface.deviation or Deviation(0.0, 0.0)
    return ExportedStructure(
        key=one.key,
        triangles=len(one.surface.faces),
        mean_deviation_mm=deviation.mean_mm,
        max_deviation_mm=deviation.max_mm,
        volume_ml=volume_ml(one.surface.vertices, one.surface.faces),
        is_apart=deviation.is_apart,
    )
