"""A DICOM path to one `Volume`: choose the series and the phase, judge its gaps, read it, make it regular.

Read `import_dicom` first; the steps stand below it in call order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from meshing.errors import (
    ChooseSeriesError,
    MissingSlicesError,
    NoImagesError,
    ScanError,
    TooLargeError,
    UnsupportedError,
)
from meshing.importing.dicom import facts
from meshing.importing.dicom.folder import Found, find_headers
from meshing.importing.dicom.grouping import Entry, Phase, entries_of
from meshing.importing.dicom.identifiers import Pseudonyms
from meshing.importing.dicom.pixels import Mask, Values, read_values
from meshing.importing.dicom.regularise import resample, target_of
from meshing.importing.dicom.survey import describe, listing
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.series import Gaps, ImportedScan, SeriesChoice, SeriesInfo
from meshing.progress import Progress, part, silent
from meshing.volume import Grid, Volume


def survey_dicom(path: Path, *, limits: Limits = DEFAULT, progress: Progress = silent) -> tuple[SeriesInfo, ...]:
    """What the DICOM files under `path` are, one line per series, size, orientation and frame of reference."""
    found = find_headers(path, limits, progress)
    return listing(entries_of(found.headers), found)


def import_dicom(
    path: Path, choice: SeriesChoice, *, limits: Limits = DEFAULT, progress: Progress = silent
) -> ImportedScan:
    """The chosen volume on a regular, upright grid, with all that was done to it as facts.

    Raises
    ------
    ScanError
        Whatever keeps it from being one regular volume, with the file, the numbers and a remedy.
    """
    found = find_headers(path, limits, part(progress, 0.0, 0.2))
    entries = entries_of(found.headers)
    entry = chosen_entry(entries, choice, path)
    phase = chosen_phase(entry, choice, path)
    judge_gaps(phase, choice.gaps, path)
    judge_size(phase, limits, path)
    values, outside = read_values(phase.slices, limits, part(progress, 0.2, 0.8))
    pseudonyms = Pseudonyms()
    volume = regular_volume(phase, values, outside, pseudonyms, part(progress, 0.8, 1.0))
    return ImportedScan(
        volume=volume,
        facts=facts.facts_of(entry, phase, volume, found, pseudonyms),
        original_identifiers=pseudonyms.originals,
    )


def chosen_entry(entries: Sequence[Entry], choice: SeriesChoice, path: Path) -> Entry:
    """The entry of that ordinal, or the only usable one.

    Raises
    ------
    ChooseSeriesError
        If there are several, or none of that ordinal.
    """
    if choice.series is not None:
        if not 1 <= choice.series <= len(entries):
            raise ChooseSeriesError(
                f"there is no series {choice.series}; they count from 1 to {len(entries)}",
                where=path,
                hint=_listed(entries),
            )
        entry = entries[choice.series - 1]
        _judge_entry(entry, path)
        return entry
    usable = [entry for entry in entries if entry.is_usable]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise ChooseSeriesError(
            f"{len(usable)} volumes are here and none was chosen", where=path, hint=_listed(entries)
        )
    for entry in sorted(entries, key=lambda entry: not entry.is_volume):
        _judge_entry(entry, path)
    raise NoImagesError("there is no volume", where=path, hint=_listed(entries))


def _judge_entry(entry: Entry, path: Path) -> None:
    problem = entry.problem
    if problem is None and entry.phases and not entry.is_usable:
        problem = next(phase.problem for phase in entry.phases if phase.problem)
    if problem is not None:
        raise problem
    if entry.kind == "single image":
        first = entry.headers[0]
        raise UnsupportedError(
            f"it is a single image of {first.columns} × {first.rows}: one slice has no thickness and is no volume",
            where=first.path if len(entry.headers) == 1 else path,
            hint="give the whole series",
        )
    if not entry.is_volume:
        raise UnsupportedError(f"it is no volume but: {entry.kind}", where=path, hint="choose a volume")


def chosen_phase(entry: Entry, choice: SeriesChoice, path: Path) -> Phase:
    """The phase of that number, or the only one.

    Raises
    ------
    ChooseSeriesError
    """
    count = len(entry.phases)
    if choice.phase is None and count > 1:
        raise ChooseSeriesError(
            f"the series holds {count} phases, told apart by {entry.phases[0].label}, and none was chosen",
            where=path,
            hint=f"pass --phase 1 to {count}",
        )
    number = choice.phase or 1
    if not 1 <= number <= count:
        raise ChooseSeriesError(
            f"there is no phase {number}; they count from 1 to {count}", where=path, hint=f"pass --phase 1 to {count}"
        )
    phase = entry.phases[number - 1]
    if phase.problem is not None:
        raise phase.problem
    return phase


def judge_gaps(phase: Phase, gaps: Gaps, path: Path) -> None:
    """Refuse a stack with missing slices, unless they are to be interpolated.

    Raises
    ------
    MissingSlicesError
    """
    assert phase.stack is not None
    holes = phase.stack.holes
    if not holes or gaps == "interpolate":
        return
    hole = holes[0]
    below, above = phase.slices[hole.after], phase.slices[hole.after + 1]
    more = f"; {len(holes)} such gaps in all" if len(holes) > 1 else ""
    raise MissingSlicesError(
        f"slices {below.name} and {above.name} lie {hole.gap_mm:.2f} mm apart, the others "
        f"{phase.stack.spacing_mm:.2f} mm: {hole.missing} missing between {_at(below.plane.position_mm)} and "
        f"{_at(above.plane.position_mm)}{more}",
        where=path,
        hint="copy the series again, or pass --gaps interpolate",
    )


def _at(position_mm: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.1f}' for value in position_mm)}) mm"


def judge_size(phase: Phase, limits: Limits, path: Path) -> None:
    """Refuse a volume that would pass the limit before anything of that size is made."""
    assert phase.stack is not None
    first = phase.slices[0].header
    shape: tuple[int, ...] = (first.columns, first.rows, len(phase.slices))
    if phase.stack.needs_regularising:
        shape = target_of(phase.stack, first.columns, first.rows).shape
    if (voxels := int(np.prod(shape, dtype=np.float64))) > limits.max_voxels:
        raise TooLargeError(
            f"the volume has {' × '.join(map(str, shape))} = {voxels} voxels, the limit is {limits.max_voxels}",
            where=path,
            hint="raise the limit max_voxels, or export a smaller series",
        )


def regular_volume(
    phase: Phase, values: Values, outside: Mask | None, pseudonyms: Pseudonyms, progress: Progress
) -> Volume:
    """The values as a volume on a regular, upright grid; resampled only when the stack is not regular already."""
    stack, first = phase.stack, phase.slices[0].header
    assert stack is not None
    matrix = stack.voxel_to_patient()
    if stack.needs_regularising:
        target = target_of(stack, first.columns, first.rows)
        whole = values.dtype == np.int16
        resampled, outside = resample(values.astype(np.float32), outside, stack, target, progress)
        values = np.rint(resampled).astype(np.int16) if whole else resampled
        outside = outside if outside.any() else None
        matrix = target.voxel_to_patient
    voxels: npt.NDArray[np.int16] | npt.NDArray[np.float32] = values.transpose(2, 1, 0)
    frames = {one.header.frame_of_reference for one in phase.slices}
    grid = Grid(
        (voxels.shape[0], voxels.shape[1], voxels.shape[2]),
        matrix,
        pseudonyms.of(frames.pop() if len(frames) == 1 else f"series {first.series}"),
    )
    return Volume(voxels, grid, first.modality, first.unit, None if outside is None else outside.transpose(2, 1, 0))


def _listed(entries: Sequence[Entry]) -> str:
    lines = [describe(entry, ordinal) for ordinal, entry in enumerate(entries, start=1)]
    shown = [
        f"{line.ordinal}: {line.kind} {line.modality} {'×'.join(map(str, line.shape))}"
        for line in lines
        if line.usable or len(lines) <= 12
    ][:24]
    return "pass --series N: " + "; ".join(shown)


__all__ = ["Found", "ScanError", "import_dicom", "survey_dicom"]
