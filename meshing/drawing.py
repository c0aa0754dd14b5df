"""Who draws what in a case: label maps, a model, grey levels, clicks, a preset; each adds what those before left out.

In: a `Volume` and `DrawingSettings`. Out: `Drawn`: segmentations by the name of who drew them, what they say of every
voxel, and facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from meshing.ai.models import open_model
from meshing.ai.runner import ChildLimits
from meshing.errors import SegmentationError
from meshing.importing.labels import read_labels
from meshing.importing.limits import DEFAULT, Limits
from meshing.names import BY_NAME, Naming
from meshing.organs.together import Request, grow_all
from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation
from meshing.segmenters.levels import Level, above
from meshing.segmenters.presets import preset_for, segment, segment_with
from meshing.volume import Fact, Volume

NO_PRESET = "none"
LABELS, MODEL, LEVELS, CLICKS, PRESET = "labels", "model", "levels", "clicks", "preset"
"""Names of the segmentations of a case, by who drew them."""
CONFIDENCE = "confidence"
"""Name of the volume that says how sure what grew from clicks is."""


@dataclass(frozen=True)
class DrawingSettings:
    """What is to be drawn, and by whom.

    Parameters
    ----------
    preset
        Segmenter; None takes the usual one for the modality unless something else is asked for, `NO_PRESET` none.
    labels
        Existing label maps (a file or a folder of masks).
    naming
        How those get their structures: corrections of a person, class numbers of a program.
    model
        An ONNX model with its sidecar, an nnU-Net folder or a MONAI bundle; it runs in a process of its own.
    model_limits
        How long that may take, and how much memory.
    levels
        Grey levels whose surfaces are wanted, by marching cubes on the grey values.
    clicks
        Points in organs, lesions and vessels, from which they are grown.
    seeds_mm
        LPS points for presets that grow from seeds.
    limits
        On what is read from disk.
    """

    preset: str | None = None
    labels: Path | None = None
    naming: Naming = BY_NAME
    model: Path | None = None
    model_limits: ChildLimits = field(default_factory=ChildLimits)
    levels: tuple[Level, ...] = ()
    clicks: tuple[Request, ...] = ()
    seeds_mm: tuple[Point, ...] = ()
    limits: Limits = DEFAULT


@dataclass(frozen=True, eq=False)
class Drawn:
    """Segmentations by who drew them, volumes that go with them, and what was noticed."""

    segmentations: Mapping[str, Segmentation]
    volumes: Mapping[str, Volume]
    facts: tuple[Fact, ...]


_Draw = Callable[[Volume, DrawingSettings, Progress], Drawn]


def draw(volume: Volume, settings: DrawingSettings, *, progress: Progress = silent) -> Drawn:
    """Everything asked for; without any wish, the usual preset of the modality.

    Raises
    ------
    SegmentationError
        If nothing was found, something does not fit the scan, or two were asked to draw the same structure.
    """
    steps = _steps(settings)
    segmentations: dict[str, Segmentation] = {}
    volumes: dict[str, Volume] = {}
    facts: tuple[Fact, ...] = ()
    for number, (name, step) in enumerate(steps.items()):
        made = step(volume, settings, part(progress, number / len(steps), (number + 1) / len(steps)))
        drawn = made.segmentations[name]
        if name in (LEVELS, CLICKS):
            _refuse_twins({**segmentations, name: drawn})
        segmentations[name] = drawn if name == LABELS else _without_named(drawn, segmentations)
        volumes |= made.volumes
        facts += (*made.facts, *drawn.facts)
    if settings.preset != NO_PRESET and not any(segmentation.segments for segmentation in segmentations.values()):
        raise SegmentationError("no structure was found", hint="try another preset, or give --labels")
    return Drawn(segmentations, volumes, facts)


def _steps(settings: DrawingSettings) -> dict[str, _Draw]:
    """What is asked for, in the order in which one leaves the rest to the next."""
    asked = {
        LABELS: settings.labels is not None,
        MODEL: settings.model is not None,
        LEVELS: bool(settings.levels),
        CLICKS: bool(settings.clicks),
    }
    wanted = {name: _DRAW[name] for name, is_asked in asked.items() if is_asked}
    if settings.preset != NO_PRESET and (settings.preset is not None or not wanted):
        wanted[PRESET] = _DRAW[PRESET]
    return wanted


def _labels(volume: Volume, settings: DrawingSettings, progress: Progress) -> Drawn:
    assert settings.labels is not None  # or it would not be a step
    found, facts = read_labels(
        settings.labels, volume.grid, naming=settings.naming, limits=settings.limits, progress=progress
    )
    return Drawn({LABELS: found}, {}, facts)


def _model(volume: Volume, settings: DrawingSettings, progress: Progress) -> Drawn:
    assert settings.model is not None  # or it would not be a step
    plug_in = open_model(settings.model).within(settings.model_limits)
    return Drawn({MODEL: segment_with(plug_in, volume, seeds_mm=settings.seeds_mm, progress=progress)}, {}, ())


def _levels(volume: Volume, settings: DrawingSettings, progress: Progress) -> Drawn:
    return Drawn({LEVELS: above(volume, settings.levels)}, {}, ())


def _clicks(volume: Volume, settings: DrawingSettings, progress: Progress) -> Drawn:
    found, confidence, facts = grow_all(volume, settings.clicks, progress=progress)
    return Drawn({CLICKS: found}, {CONFIDENCE: confidence}, facts)


def _preset(volume: Volume, settings: DrawingSettings, progress: Progress) -> Drawn:
    name = settings.preset or preset_for(volume)
    return Drawn({PRESET: segment(volume, name, seeds_mm=settings.seeds_mm, progress=progress)}, {}, ())


_DRAW: Mapping[str, _Draw] = {LABELS: _labels, MODEL: _model, LEVELS: _levels, CLICKS: _clicks, PRESET: _preset}


def _without_named(made: Segmentation, others: Mapping[str, Segmentation]) -> Segmentation:
    """What others have not drawn already."""
    taken = set(_keys(others))
    return replace(made, segments=tuple(segment for segment in made.segments if segment.key not in taken))


def _refuse_twins(segmentations: Mapping[str, Segmentation]) -> None:
    keys = list(_keys(segmentations))
    twins = sorted({key for key in keys if keys.count(key) > 1})
    if twins:
        raise SegmentationError(
            f"{', '.join(twins)}: asked for twice, from {', '.join(segmentations)}",
            hint="leave one of them out, or give the level another name",
        )


def _keys(segmentations: Mapping[str, Segmentation]) -> Iterator[str]:
    return (segment.key for segmentation in segmentations.values() for segment in segmentation.segments)
