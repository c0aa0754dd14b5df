"""The listing of a DICOM path: one `SeriesInfo` per entry, which says what it is and what an import would do."""

from __future__ import annotations

from collections.abc import Sequence

from meshing.importing.dicom.folder import Found
from meshing.importing.dicom.geometry import SLIGHT_TILT_DEG
from meshing.importing.dicom.grouping import Entry, Phase
from meshing.importing.series import SeriesInfo


def listing(entries: Sequence[Entry], found: Found) -> tuple[SeriesInfo, ...]:
    """One line per entry, counted from 1, and one for files that could not be read."""
    lines = [describe(entry, ordinal) for ordinal, entry in enumerate(entries, start=1)]
    if found.damaged:
        note = f"{len(found.damaged)} of {len(found.damaged) + len(found.headers)} files: {found.damaged[0].message}"
        lines.append(SeriesInfo(len(lines) + 1, "damaged files", "", (), (), 0.0, (), 0, False, note))
    return tuple(lines)


def describe(entry: Entry, ordinal: int) -> SeriesInfo:
    """The line of one entry."""
    first = entry.headers[0]
    phase = next((phase for phase in entry.phases if phase.problem is None), None)
    stack = phase.stack if phase else None
    count = len(phase.slices) if phase else sum(header.frame_count for header in entry.headers)
    return SeriesInfo(
        ordinal=ordinal,
        kind=entry.kind,
        modality=first.modality,
        shape=(first.columns, first.rows, count) if first.rows and first.columns else (),
        spacing_mm=(*stack.pixel_mm, stack.spacing_mm) if stack else (),
        tilt_deg=stack.tilt_deg if stack and stack.is_tilted else 0.0,
        gaps_mm=stack.gaps_mm if stack else (),
        phases=len(entry.phases),
        usable=entry.is_usable,
        note="; ".join(_notes(entry, phase)),
    )


def _notes(entry: Entry, phase: Phase | None) -> list[str]:
    notes = []
    if problem := entry.problem or next((phase.problem for phase in entry.phases if phase.problem), None):
        notes.append(f"not usable: {problem.message}")
    if phase and phase.stack:
        stack = phase.stack
        notes.append(plane_name(phase))
        if stack.is_tilted and stack.tilt_deg >= SLIGHT_TILT_DEG:
            notes.append(f"tilted by {stack.tilt_deg:.1f}°, will be resampled upright")
        if stack.holes:
            missing = sum(hole.missing for hole in stack.holes)
            notes.append(f"{missing} slices are missing: refused unless gaps are interpolated")
        elif stack.uneven:
            notes.append("unevenly spaced, will be resampled")
        if len(entry.phases) > 1:
            notes.append(f"{len(entry.phases)} phases told apart by {phase.label}: choose one")
    elif entry.kind == "single image":
        notes.append("one image is no volume")
    if entry.copies:
        notes.append(f"{entry.copies} identical copies left out")
    return notes + list(entry.remarks)


def plane_name(phase: Phase) -> str:
    """ "axial", "coronal", "sagittal", with "oblique" before it when more than 10° off."""
    assert phase.stack is not None
    normal = abs(phase.stack.axes[:, 2])
    name = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return name if normal.max() > 0.9848 else f"oblique {name}"
