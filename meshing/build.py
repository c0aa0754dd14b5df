"""THE FLOW: a scan on disk becomes a case. Read this first; every step is one verb of another room."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from meshing.case import Case
from meshing.cubes import extract_grey
from meshing.drawing import LEVELS, PRESET, DrawingSettings, draw
from meshing.extract import Extraction, extract
from meshing.importance import importance
from meshing.importing.scan import SeriesChoice, import_scan
from meshing.progress import Progress, part, silent
from meshing.runs import tally
from meshing.segmentation import Segmentation
from meshing.segmenters.levels import Level
from meshing.simplify import simplify
from meshing.surface import Surface, largest_change, volume_ml
from meshing.volume import Fact, Volume

Edges = Literal["auto", "image", "labels"]


@dataclass(frozen=True)
class BuildSettings(DrawingSettings):
    """What the user chose: what is drawn (`DrawingSettings`), and how its surfaces are made.

    Parameters
    ----------
    choice
        Which series and phase of the scan, and what to do with gaps.
    edges
        "image": walls move to where the scan shows an edge. "labels": they stay with the labels. "auto": they move for
        presets, which are drawn by grey level, and stay for label maps, which are somebody's drawing.
    budget
        Triangles kept in the case, over all structures; exports go lower from there.
    """

    choice: SeriesChoice = field(default_factory=SeriesChoice)
    extraction: Extraction = field(default_factory=Extraction)
    edges: Edges = "auto"
    budget: int = 600_000


@dataclass(frozen=True, eq=False)
class Built:
    """A case fresh from the scan, the seconds of each stage, and the identifiers that stay outside."""

    case: Case
    seconds: Mapping[str, float]
    original_identifiers: Mapping[str, str]


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 4)


def build(scan: Path, settings: BuildSettings | None = None, *, progress: Progress = silent) -> Built:
    """The case of a scan: imported, segmented, turned into checked surfaces.

    Raises
    ------
    ScanError
        The scan cannot become a volume; the subclass says why.
    SegmentationError
        Nothing was found, or the labels do not fit the scan.
    SurfaceError
        A surface is not closed, manifold and outward.
    """
    chosen = settings or BuildSettings()
    watch = Stopwatch()
    with watch.stage("import"):
        imported = import_scan(scan, chosen.choice, limits=chosen.limits, progress=part(progress, 0.0, 0.3))
    with watch.stage("segment"):
        drawn = draw(imported.volume, chosen, progress=part(progress, 0.3, 0.7))
    with watch.stage("surfaces"):
        surfaces = surfaces_of(drawn.segmentations, chosen, image=imported.volume, progress=part(progress, 0.7, 1.0))
    how = (*_how_made(drawn.segmentations, chosen), *_facts_of(surfaces, chosen.budget))
    case = Case(
        id=uuid.uuid4().hex[:12],
        volumes={"scan": imported.volume, **drawn.volumes},
        segmentations=drawn.segmentations,
        surfaces=surfaces,
        facts=(*imported.facts, *drawn.facts, *how),
    )
    return Built(case, watch.seconds, imported.original_identifiers)


def surfaces_of(
    segmentations: Mapping[str, Segmentation],
    settings: BuildSettings,
    *,
    image: Volume | None = None,
    progress: Progress = silent,
) -> dict[str, Surface]:
    """The checked surface of every segment, within the budget.

    Several segmentations share it by about what they would have without one.

    Parameters
    ----------
    image
        The scan, for those whose walls move to its edges.
    """
    claims = {name: _claim(segmentation) for name, segmentation in segmentations.items()}
    surfaces: dict[str, Surface] = {}
    done = 0.0
    for name, segmentation in segmentations.items():
        share = claims[name] / max(sum(claims.values()), 1e-9)
        step = part(progress, done, done + share)
        budget = int(settings.budget * share)
        factors = {segment.key: importance(segment.structure) for segment in segmentation.segments}
        if name == LEVELS and image is not None:
            found = _at_levels(image, segmentation, settings.levels, part(step, 0.0, 0.4))
            found = simplify(found, budget, importance=factors, progress=part(step, 0.4, 1.0))
        else:
            looked_at = image if _looks_for_edges(name, settings) else None
            first = part(step, 0.0, 0.8)
            found = extract(segmentation, settings.extraction, budget=budget, image=looked_at, progress=first)
            if settings.extraction.method == "marching-cubes":
                found = simplify(found, budget, importance=factors, progress=part(step, 0.8, 1.0))
        surfaces |= {key: replace(surface, made_from=name) for key, surface in found.items()}
        done += share
    return surfaces


def _at_levels(
    image: Volume, segmentation: Segmentation, levels: tuple[Level, ...], progress: Progress
) -> dict[str, Surface]:
    """The surface where the image passes each level; the segments stand in the order of the levels."""
    steps = [part(progress, number / len(levels), (number + 1) / len(levels)) for number in range(len(levels))]
    return {
        segment.key: extract_grey(image, level.value, segment.key, progress=step)
        for segment, level, step in zip(segmentation.segments, levels, steps, strict=True)
    }


def _looks_for_edges(segmentation: str, settings: BuildSettings) -> bool:
    if settings.extraction.method != "nets" or settings.extraction.nets.is_fine:
        return False
    return settings.edges == "image" or (settings.edges == "auto" and segmentation == PRESET)


def _claim(segmentation: Segmentation) -> float:
    """About the area of all its segments, in voxel faces."""
    counts = [tally(layer.reshape(-1, order="A"), int(layer.max(initial=0)) + 1)[1:] for layer in segmentation.layers]
    return float(sum((count ** (2 / 3)).sum() for count in counts))


def _how_made(segmentations: Mapping[str, Segmentation], settings: BuildSettings) -> Iterator[Fact]:
    """So that whoever opens the case years later knows what its surfaces follow."""
    how = settings.extraction
    for name in segmentations:
        method, follows = how.method, "the edges of the scan" if _looks_for_edges(name, settings) else "the labels"
        if name == LEVELS:
            method, follows = "marching-cubes", "the grey values"
        fine = ", on voxels cut in eight" if method == "nets" and how.nets.is_fine else ""
        text = f"surfaces of {name} by {method}{fine}; they follow {follows}; {settings.budget:,} triangles asked for"
        yield Fact("surfaces", text, {"segmentation": name, "method": method, "follows": follows})


def _facts_of(surfaces: Mapping[str, Surface], budget: int) -> Iterator[Fact]:
    """What decimation did to volumes and walls, where it is more than the house allows, and to the budget."""
    triangles = sum(len(surface.faces) for surface in surfaces.values())
    if triangles > budget:
        text = (
            f"the surfaces keep {triangles:,} triangles, {budget:,} were asked for: fewer would lose islands or holes"
        )
        yield Fact("budget", text, {"triangles": triangles, "budget": budget})
    apart = [key for key, surface in surfaces.items() if surface.deviation and surface.deviation.is_apart]
    if apart:
        most = max(surfaces[key].deviation.max_mm for key in apart)  # type: ignore[union-attr]  # apart has deviations
        text = f"so few triangles parted the walls of {len(apart)} neighbours, each moved by up to {most:.2f} mm"
        yield Fact("budget", text, {"apart": apart})
    for key, surface in surfaces.items():
        raw = surface.raw_volume_ml
        now = volume_ml(surface.vertices, surface.faces)
        if raw and abs(now - raw) > largest_change(raw) * raw:
            text = f"decimation changed the volume of {key} from {raw:.3f} to {now:.3f} ml"
            yield Fact("volume", text, {"key": key, "raw_ml": raw, "volume_ml": now})
