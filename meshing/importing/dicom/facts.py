"""What was done to a scan on its way in: sentences and numbers that the case keeps; none of them names a patient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from meshing.importing.dicom.geometry import Stack
from meshing.importing.dicom.grouping import Entry, Phase
from meshing.importing.dicom.identifiers import Pseudonyms
from meshing.importing.dicom.survey import counted
from meshing.volume import Fact, Volume

# Below this a distance is the rounding of printed positions, and no news.
_NEWS_MM = 1e-3


def facts_of(entry: Entry, phase: Phase, volume: Volume, damaged: int, pseudonyms: Pseudonyms) -> tuple[Fact, ...]:
    """All facts of one import, in the order of the steps that made them.

    Parameters
    ----------
    damaged
        Files beside the series that could not be read.
    """
    return (
        _source(entry, phase, pseudonyms),
        *_technique(phase),
        *_left_out(entry, damaged),
        *_geometry(phase, volume),
        *_values(phase, volume),
    )


def _source(entry: Entry, phase: Phase, pseudonyms: Pseudonyms) -> Fact:
    first = phase.slices[0].header
    number = 1 + entry.phases.index(phase)
    which = f", phase {number} of {len(entry.phases)} by {phase.label}" if len(entry.phases) > 1 else ""
    return Fact(
        "source",
        f"{len(phase.slices)} {first.modality} slices of {first.columns} × {first.rows}{which}.",
        {
            "format": "DICOM",
            "modality": first.modality,
            "image_type": list(first.image_type),
            "slices": len(phase.slices),
            "phase": number,
            "phases": len(entry.phases),
            "study": pseudonyms.of(first.study),
            "series": pseudonyms.of(first.series),
        },
    )


def _technique(phase: Phase) -> Iterator[Fact]:
    technique = dict(phase.slices[0].header.technique)
    if technique:
        named = ", ".join(f"{name} {value}" for name, value in technique.items())
        yield Fact("technique", f"The header says: {named}.", technique)


def _left_out(entry: Entry, damaged: int) -> Iterator[Fact]:
    if entry.copies:
        yield Fact("duplicates", f"{counted(entry.copies, 'identical file')} left out.", {"copies": entry.copies})
    if damaged:
        yield Fact("damaged", f"{counted(damaged, 'file')} beside it could not be read.", {"files": damaged})
    for remark in entry.remarks:
        yield Fact("frame of reference", f"{remark[0].upper()}{remark[1:]}.", {})


def _geometry(phase: Phase, volume: Volume) -> Iterator[Fact]:
    stack = phase.stack
    if stack.tilt_deg:
        yield _tilt(phase, volume)
    if stack.is_shifted:
        widest = float(np.linalg.norm(stack.drift_mm, axis=1).max())
        yield Fact(
            "shift",
            f"Slices lie up to {widest:.2f} mm sideways of each other; they were shifted within their planes.",
            {"widest_mm": widest},
        )
    if stack.holes:
        yield _filled(stack)
    if stack.is_uneven:
        gaps, spacing = np.diff(stack.depths_mm), float(volume.grid.spacing_mm[2])
        yield Fact(
            "uneven",
            f"Slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart; they were resampled every {spacing:.2f} mm.",
            {"least_mm": float(gaps.min()), "most_mm": float(gaps.max()), "spacing_mm": spacing},
        )
    if stack.is_regular and (jitter := position_error_mm(phase, volume)) > _NEWS_MM:
        yield Fact(
            "jitter",
            f"Slices lie up to {jitter:.3f} mm off the regular grid, within the tolerance.",
            {"largest_mm": jitter},
        )


def _tilt(phase: Phase, volume: Volume) -> Fact:
    tilt, tag = phase.stack.tilt_deg, phase.slices[0].header.tilt_tag_deg
    said = "no tag says so" if tag is None else f"the tag says {tag:g}°"
    return Fact(
        "tilt",
        f"The slices are tilted by {tilt:.2f}° against their stack, measured from positions ({said}); they were "
        f"shifted within their planes onto an upright grid of {' × '.join(map(str, volume.grid.shape))} voxels.",
        {"tilt_deg": tilt, "tag_deg": tag},
    )


def _filled(stack: Stack) -> Fact:
    missing = sum(hole.missing for hole in stack.holes)
    widest = max(hole.gap_mm for hole in stack.holes)
    return Fact(
        "gaps",
        f"{counted(missing, 'missing slice')} in {counted(len(stack.holes), 'gap')} of up to {widest:.2f} mm: "
        "interpolated linearly, as asked for.",
        {"missing": missing, "gaps_mm": [hole.gap_mm for hole in stack.holes]},
    )


def position_error_mm(phase: Phase, volume: Volume) -> float:
    """Largest distance between a slice's own position and where the volume puts its first voxel."""
    placed = volume.grid.to_patient([(0, 0, k) for k in range(len(phase.slices))])
    return float(np.linalg.norm(placed - [one.plane.position_mm for one in phase.slices], axis=1).max())


def _values(phase: Phase, volume: Volume) -> Iterator[Fact]:
    slopes = [one.plane.slope for one in phase.slices]
    if len({(one.plane.slope, one.plane.intercept) for one in phase.slices}) > 1:
        yield Fact(
            "rescale",
            f"Each slice was rescaled with its own slope and intercept, slopes {min(slopes):g} to {max(slopes):g}.",
            {"least_slope": min(slopes), "most_slope": max(slopes)},
        )
    if volume.outside is not None:
        share = float(volume.outside.mean())
        yield Fact(
            "padding",
            f"{100 * share:.2g} % of the voxels were never measured; they read as the lowest value.",
            {"share": share},
        )
