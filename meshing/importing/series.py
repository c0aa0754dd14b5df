"""What a scan path holds, and what comes out of it: the nouns that every door of `importing` speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshing.volume import Fact, Volume

Gaps = Literal["refuse", "interpolate"]


@dataclass(frozen=True)
class SeriesInfo:
    """One line of a listing. Nothing in it names a patient.

    Parameters
    ----------
    ordinal
        From 1; what `--series` takes. It depends on what the files say, never on their names or order.
    kind
        "volume", "single image", "scout", "report", "presentation state", "segmentation", "not an image", …
    shape
        Columns, rows, slices as the source has them; () for what is no image.
    spacing_mm
        Along i, j, k; () when unknown.
    tilt_deg
        Angle between the line of slice positions and their normal.
    gaps_mm
        Distances of neighbouring slices that differ from the usual spacing.
    usable
        Whether an import can make a volume of it.
    note
        What else there is to know: why it is not usable, what an import would do.
    """

    ordinal: int
    kind: str
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    tilt_deg: float
    gaps_mm: tuple[float, ...]
    phases: int
    usable: bool
    note: str


@dataclass(frozen=True)
class SeriesChoice:
    """Which volume to import: series and phase count from 1; None stands for the only one there is.

    Parameters
    ----------
    gaps
        What to do where slices are missing.
    """

    series: int | None = None
    phase: int | None = None
    gaps: Gaps = "refuse"


@dataclass(frozen=True, eq=False)
class ImportedScan:
    """A volume and what was done to it on the way in.

    Parameters
    ----------
    original_identifiers
        Salted identifier → the one that the source carries. For a link file outside the case, and nothing else;
        it never shows in a `repr`.
    """

    volume: Volume
    facts: tuple[Fact, ...]
    original_identifiers: Mapping[str, str] = field(default_factory=dict, repr=False)
