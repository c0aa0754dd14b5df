"""The labels of a file or of a folder of masks, one by one: how they are called, what they mean, how large they are.

Nothing is resampled: volumes are those of the file's own grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from meshing.importing.labels import each_drawn, naming_of_folder, refuse_strange_numbers
from meshing.importing.labels.drawn import Drawn, Place
from meshing.importing.labels.naming import meaning_of, printable
from meshing.importing.limits import DEFAULT, Limits
from meshing.names import BY_NAME, Match, Naming
from meshing.progress import Progress, silent
from meshing.runs import tally


@dataclass(frozen=True)
class ListedLabel:
    """One label.

    Parameters
    ----------
    number, layer
        As in its file; in a folder of masks most are 1.
    name
        As drawn, or "" where the file names none: then numbers are corrected, not names.
    voxels, volume_ml
        0 for a name without a voxel.
    """

    number: int
    layer: int
    name: str
    match: Match
    voxels: int
    volume_ml: float


def list_labels(
    path: Path, naming: Naming = BY_NAME, *, limits: Limits = DEFAULT, progress: Progress = silent
) -> tuple[ListedLabel, ...]:
    """Every label that is drawn or named, by number; in a folder by file.

    Raises
    ------
    SegmentationError, NotFoundError, ScanError, DecodeError
        As `read_labels`.
    """
    if Path(path).is_dir():
        naming = naming_of_folder(naming, path)
    listed: list[ListedLabel] = []
    for drawn in each_drawn(path, limits, progress):
        if not Path(path).is_dir():
            refuse_strange_numbers(naming, drawn, path)
        listed += _listed(drawn, naming)
    return tuple(listed)


def _listed(drawn: Drawn, naming: Naming) -> Iterator[ListedLabel]:
    counts = [tally(layer.reshape(-1, order="A"), int(layer.max(initial=0)) + 1) for layer in drawn.layers]
    for layer, number in sorted({*drawn.boxes, *drawn.names}, key=lambda place: (place[1], place[0])):
        voxels = int(counts[layer][number]) if number < len(counts[layer]) else 0
        match = meaning_of(drawn, (layer, number), naming)
        name = _own_name(drawn, (layer, number))
        if not name:
            match = replace(match, rivals=())  # they would be like the name of the file
        yield ListedLabel(number, layer, name, match, voxels, voxels * drawn.grid.voxel_volume_mm3 / 1000.0)


def _own_name(drawn: Drawn, place: Place) -> str:
    is_named = place in drawn.names or (drawn.is_one_mask and drawn.fallback)
    return printable(drawn.name(place).text) if is_named else ""
