"""A DICOM path to one `Volume`: choose the series and the phase, judge its gaps, read it, make it regular.

Read `import_dicom` first; the steps stand below it in call order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from meshing.errors import ChooseSeriesError, MissingSlicesError, NoImagesError, TooLargeError, UnsupportedError
from meshing.importing.dicom.facts import facts_of
from meshing.importing.dicom.folder import find_headers
from meshing.importing.dicom.grouping import Entry, Phase, entries_of
from meshing.importing.dicom.identifiers import Pseudonyms
from meshing.importing.dicom.pixels import Mask, Values, read_values
from meshing.importing.dicom.regularise import resample, target_of
from meshing.importing.dicom.survey import counted, describe, listing
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.series import Gaps, ImportedScan, SeriesChoice, SeriesInfo
from meshing.progress import Progress, part, silent
from meshing.volume import Grid, Volume

_MOST_LISTED = 24


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
    DecodeError
    """
    found = find_headers(path, limits, part(progress, 0.0, 0.2))
    entry = chosen_entry(entries_of(found.headers), choice, path)
    phase = chosen_phase(entry, choice, path)
    judge_gaps(phase, choice.gaps, path)
    judge_size(phase, limits, path)
    values, outside = read_values(phase.slices, limits, part(progress, 0.2, 0.8))
    pseudonyms = Pseudonyms()
    volume = regular_volume(phase, values, outside, pseudonyms, part(progress, 0.8, 1.0))
    facts = facts_of(entry, phase, volume, len(found.damaged), pseudonyms)
    return ImportedScan(volume, facts, pseudonyms.originals)


def chosen_entry(entries: Sequence[Entry], choice: SeriesChoice, path: Path) -> Entry:
    """The entry of that ordinal, or the only usable one.

    Raises
    ------
    ChooseSeriesError
        If there are several, or none of that ordinal.
    ScanError
        If it is not usable: what is wrong with it.
    """
    if choice.series is not None:
        if not 1 <= choice.series <= len(entries):
            raise ChooseSeriesError(
                f"there is no series {choice.series}; they count from 1 to {len(entries)}",
                where=path,
                hint=_listed(entries),
            )
        return _usable(entries[choice.series - 1], path)
    usable = [entry for entry in entries if entry.is_usable]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise ChooseSeriesError(
            f"{len(usable)} volumes are here and none was chosen", where=path, hint=_listed(entries)
        )
    nearest = [entry for kind in ("volume", "single image") for entry in entries if entry.kind == kind]
    if nearest:
        return _usable(nearest[0], path)
    raise NoImagesError("there is no volume", where=path, hint=f"it holds {_listed(entries)}")


def _usable(entry: Entry, path: Path) -> Entry:
    if entry.problem is not None:
        raise entry.problem
    if entry.kind == "single image":
        columns, rows = entry.headers[0].size
        raise UnsupportedError(
            f"a single image of {columns} × {rows} is no volume: one slice has no known thickness",
            where=entry.headers[0].path if len(entry.headers) == 1 else path,
            hint="give the whole series",
        )
    if not entry.is_usable:
        raise UnsupportedError(f"the series is no volume but: {entry.kind}", where=path, hint="choose a volume")
    return entry


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
    number = 1 if choice.phase is None else choice.phase
    if not 1 <= number <= count:
        raise ChooseSeriesError(
            f"there is no phase {number}; the series holds {count}", where=path, hint=f"pass --phase 1 to {count}"
        )
    return entry.phases[number - 1]


def judge_gaps(phase: Phase, gaps: Gaps, path: Path) -> None:
    """Refuse a stack with missing slices, unless they are to be interpolated.

    Raises
    ------
    MissingSlicesError
    """
    holes = phase.stack.holes
    if not holes or gaps == "interpolate":
        return
    hole = holes[0]
    below, above = phase.slices[hole.after], phase.slices[hole.after + 1]
    more = f"; {len(holes)} such gaps in all" if len(holes) > 1 else ""
    raise MissingSlicesError(
        f"slices {below.name} and {above.name} lie {hole.gap_mm:.2f} mm apart, the others "
        f"{phase.stack.spacing_mm:.2f} mm: {counted(hole.missing, 'slice')} missing between "
        f"{_at(below.plane.position_mm)} and {_at(above.plane.position_mm)}{more}",
        where=path,
        hint="copy the series again, or pass --gaps interpolate",
    )


def _at(position_mm: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.1f}' for value in position_mm)}) mm"


def judge_size(phase: Phase, limits: Limits, path: Path) -> None:
    """Refuse a volume beyond the limit before anything of that size is made.

    Raises
    ------
    TooLargeError
    """
    columns, rows = phase.slices[0].header.size
    shape = (columns, rows, len(phase.slices))
    if not phase.stack.is_regular:
        shape = target_of(phase.stack, columns, rows).shape
    if (voxels := math.prod(shape)) > limits.max_voxels:
        raise TooLargeError(
            f"the volume has {' × '.join(map(str, shape))} = {voxels} voxels, the limit is {limits.max_voxels}",
            where=path,
            hint="raise the limit max_voxels, or export a smaller series",
        )


def regular_volume(
    phase: Phase, values: Values, outside: Mask | None, pseudonyms: Pseudonyms, progress: Progress
) -> Volume:
    """The values as a volume on a regular, upright grid; resampled only when the stack is not regular already."""
    first, matrix = phase.slices[0].header, phase.stack.voxel_to_patient
    if not phase.stack.is_regular:
        target = target_of(phase.stack, first.columns, first.rows)
        values, empty = resample(values, outside, phase.stack, target, progress)
        matrix, outside = target.voxel_to_patient, empty if empty.any() else None
    # (K, rows, columns) in C order, read the other way round, is (i, j, k) with i fastest: no copy.
    voxels = values.transpose(2, 1, 0)
    frames = {one.header.frame_of_reference for one in phase.slices}
    frame = frames.pop() if len(frames) == 1 else ""
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    grid = Grid(shape, matrix, pseudonyms.of(frame or f"frame of series {first.series}"))
    return Volume(voxels, grid, first.modality, first.unit, None if outside is None else outside.transpose(2, 1, 0))


def _listed(entries: Sequence[Entry]) -> str:
    lines = [describe(entry, ordinal) for ordinal, entry in enumerate(entries, start=1)]
    offered = [line for line in lines if line.usable] or lines
    shown = "; ".join(
        f"{line.ordinal}: {line.kind} {line.modality} {'×'.join(map(str, line.shape))}"
        for line in offered[:_MOST_LISTED]
    )
    return f"pass --series N, one of {shown}" if any(line.usable for line in lines) else shown
