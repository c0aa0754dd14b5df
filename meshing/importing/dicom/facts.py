"""What was done to a scan on its way in, as sentences and numbers that the case keeps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from meshing.importing.dicom.folder import Found
from meshing.importing.dicom.geometry import Stack
from meshing.importing.dicom.grouping import Entry, Phase
from meshing.importing.dicom.identifiers import Pseudonyms
from meshing.volume import Fact, Volume

# Below this a distance is the rounding of printed positions, and no news.
_NEWS_MM = 1e-3


def facts_of(entry: Entry, phase: Phase, volume: Volume, found: Found, pseudonyms: Pseudonyms) -> tuple[Fact, ...]:
    """All facts of one import, in the order of the steps that made them."""
    return tuple(_facts(entry, phase, volume, found, pseudonyms))


def _facts(entry: Entry, phase: Phase, volume: Volume, found: Found, pseudonyms: Pseudonyms) -> Iterator[Fact]:
    first, stack = phase.slices[0].header, phase.stack
    assert stack is not None
    yield _source(entry, phase, pseudonyms)
    if first.technique:
        named = ", ".join(f"{name} {value}" for name, value in first.technique)
        yield Fact("technique", f"The header says: {named}.", dict(first.technique))
    if entry.copies:
        yield Fact("duplicates", f"{entry.copies} identical copies were left out.", {"copies": entry.copies})
    if found.damaged:
        yield Fact(
            "damaged", f"{len(found.damaged)} files could not be read and were left out.", {"files": len(found.damaged)}
        )
    for remark in entry.remarks:
        yield Fact("frame of reference", f"{remark[0].upper()}{remark[1:]}.", {})
    yield from _geometry(stack, phase, volume)
    yield from _values(phase, volume)


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
            "transfer_syntaxes": sorted({one.header.syntax for one in phase.slices}),
        },
    )


def _geometry(stack: Stack, phase: Phase, volume: Volume) -> Iterator[Fact]:
    if stack.is_tilted:
        tag = phase.slices[0].header.tilt_tag_deg
        said = "no tag says so" if tag is None else f"the tag says {tag:g}°"
        yield Fact(
            "tilt",
            f"The slices are tilted by {stack.tilt_deg:.2f}° against their stack, measured from positions ({said}); "
            f"they were shifted within their planes onto an upright grid of {' × '.join(map(str, volume.grid.shape))}.",
            {"tilt_deg": stack.tilt_deg, "tag_deg": tag},
        )
    if stack.is_shifted:
        widest = float(np.linalg.norm(stack.drift_mm, axis=1).max())
        yield Fact(
            "shift",
            f"Slices lie up to {widest:.2f} mm sideways of each other; they were shifted within their planes.",
            {"widest_mm": widest},
        )
    if stack.holes:
        missing = sum(hole.missing for hole in stack.holes)
        yield Fact(
            "gaps",
            f"{missing} missing slices in {len(stack.holes)} gaps of up to "
            f"{max(hole.gap_mm for hole in stack.holes):.2f} mm were interpolated linearly.",
            {"missing": missing, "gaps_mm": [hole.gap_mm for hole in stack.holes]},
        )
    if stack.uneven:
        gaps = np.diff(stack.depths_mm)
        yield Fact(
            "uneven",
            f"Slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart; they were resampled every "
            f"{volume.grid.spacing_mm[2]:.2f} mm.",
            {"least_mm": float(gaps.min()), "most_mm": float(gaps.max())},
        )
    if not stack.needs_regularising:
        jitter = position_error_mm(phase, volume)
        if jitter > _NEWS_MM:
            yield Fact(
                "jitter",
                f"Slices lie up to {jitter:.3f} mm off the regular grid, within tolerance.",
                {"largest_mm": jitter},
            )


def position_error_mm(phase: Phase, volume: Volume) -> float:
    """Largest distance between a slice's own position and where the volume puts its first voxel."""
    indices = [(0, 0, k) for k in range(len(phase.slices))]
    placed = volume.grid.to_patient(indices)
    return float(np.linalg.norm(placed - [one.plane.position_mm for one in phase.slices], axis=1).max())


def _values(phase: Phase, volume: Volume) -> Iterator[Fact]:
    scales = {(one.plane.slope, one.plane.intercept) for one in phase.slices}
    if len(scales) > 1:
        slopes = sorted(slope for slope, _ in scales)
        yield Fact(
            "rescale",
            f"Every slice was rescaled with its own slope, {slopes[0]:g} to {slopes[-1]:g}.",
            {"least_slope": slopes[0], "most_slope": slopes[-1]},
        )
    if volume.outside is not None:
        share = float(volume.outside.mean())
        yield Fact(
            "padding",
            f"{100 * share:.2g} % of the voxels were never measured and read as the lowest value.",
            {"share": share},
        )
