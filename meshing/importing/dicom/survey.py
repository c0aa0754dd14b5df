"""The listing of a DICOM path: one `SeriesInfo` per entry, which says what it is and what an import would do."""

from __future__ import annotations

from collections.abc import Sequence

from meshing.importing.dicom.folder import Found
from meshing.importing.dicom.grouping import Entry, Phase
from meshing.importing.series import SeriesInfo

_OBLIQUE_COSINE = 0.985
"""A normal more than 10° off its axis is called oblique."""


def listing(entries: Sequence[Entry], found: Found) -> tuple[SeriesInfo, ...]:
    """One line per entry, counted from 1, and one for files that could not be read."""
    starts = _starts(entries)
    lines = [describe(entry, ordinal, starts) for ordinal, entry in enumerate(entries, start=1)]
    if found.damaged:
        note = f"{counted(len(found.damaged), 'file')} could not be read; the first: {found.damaged[0].message}"
        lines.append(SeriesInfo(len(lines) + 1, "damaged files", "", (), (), 0.0, (), 0, False, note))
    return tuple(lines)


def describe(entry: Entry, ordinal: int, starts: dict[str, float] | None = None) -> SeriesInfo:
    """The line of one entry.

    Parameters
    ----------
    starts
        When the first volume of each study began; without it no times are noted.
    """
    first = entry.headers[0]
    phase = entry.phases[0] if entry.phases else None
    count = len(phase.slices) if phase else sum(header.frame_count for header in entry.headers)
    return SeriesInfo(
        ordinal=ordinal,
        kind=entry.kind,
        modality=first.modality,
        shape=(first.columns, first.rows, count) if first.rows and first.columns else (),
        spacing_mm=(*phase.stack.pixel_mm, phase.stack.spacing_mm) if phase else (),
        tilt_deg=phase.stack.tilt_deg if phase else 0.0,
        gaps_mm=phase.stack.gaps_mm if phase else (),
        phases=len(entry.phases),
        usable=entry.is_usable,
        note="; ".join(_notes(entry, phase, starts or {})),
    )


def counted(number: int, thing: str) -> str:
    """ "1 slice", "2 slices"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _starts(entries: Sequence[Entry]) -> dict[str, float]:
    starts: dict[str, float] = {}
    for entry in entries:
        if entry.phases and (began := _began(entry)) is not None:
            study = entry.headers[0].study
            starts[study] = min(began, starts.get(study, began))
    return starts


def _began(entry: Entry) -> float | None:
    times = [header.acquired_s for header in entry.headers if header.acquired_s is not None]
    return min(times) if times else None


def _notes(entry: Entry, phase: Phase | None, starts: dict[str, float]) -> list[str]:
    notes = []
    if entry.problem:
        notes.append(f"not usable: {entry.problem.message}")
    if phase:
        notes += [plane_name(phase), *_technique(entry), *_timing(entry, starts), *_treatment(phase)]
        if len(entry.phases) > 1:
            notes.append(f"{len(entry.phases)} phases told apart by {phase.label}: choose one")
    elif entry.kind == "single image":
        notes.append("one image is no volume")
    if entry.copies:
        notes.append(f"{counted(entry.copies, 'identical file')} left out")
    return notes + list(entry.remarks)


def _technique(entry: Entry) -> list[str]:
    technique = dict(entry.headers[0].technique)
    notes = [word.lower() for word in ("DERIVED", "MPR", "MIP", "MINIP") if word in entry.headers[0].image_type]
    if "kernel" in technique:
        notes.append(f"kernel {technique['kernel']}")
    if "contrast_agent" in technique:
        notes.append("contrast agent given")
    return notes


def _timing(entry: Entry, starts: dict[str, float]) -> list[str]:
    began, start = _began(entry), starts.get(entry.headers[0].study)
    if began is None or start is None or not 1 <= began - start < 24 * 3600:
        return []
    return [f"began {began - start:.0f} s after the first volume"]


def _treatment(phase: Phase) -> list[str]:
    """What an import would do to the stack."""
    stack = phase.stack
    notes = []
    if stack.tilt_deg:
        notes.append(f"tilted by {stack.tilt_deg:.1f}°, will be resampled upright")
    if stack.is_shifted:
        notes.append("slices lie sideways of each other, will be resampled upright")
    if stack.holes:
        missing = sum(hole.missing for hole in stack.holes)
        notes.append(f"{counted(missing, 'slice')} missing: refused unless gaps are interpolated")
    if stack.is_uneven:
        notes.append("unevenly spaced, will be resampled")
    return notes


def plane_name(phase: Phase) -> str:
    """ "axial", "coronal", "sagittal", with "oblique" before it when more than 10° off."""
    normal = abs(phase.stack.axes[:, 2])
    name = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return name if normal.max() > _OBLIQUE_COSINE else f"oblique {name}"
