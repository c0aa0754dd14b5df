"""The door for label files of one patient by several graders: all come onto the grid of the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshing.importing.labels import grid_of_labels, read_labels
from meshing.importing.limits import DEFAULT, Limits
from meshing.names import BY_NAME, Naming
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation
from meshing.volume import Fact

Drawn = tuple[Segmentation, tuple[Fact, ...]]


def read_graders(
    paths: Sequence[Path], *, naming: Naming = BY_NAME, limits: Limits = DEFAULT, progress: Progress = silent
) -> tuple[Drawn, ...]:
    """What each label file or folder draws, on the grid of the first, and what was done for that.

    What another drew off that grid is lost to the comparison; facts give the volume before and after.

    Raises
    ------
    SegmentationError
        If one draws nothing that lies on the first one's grid, with where both lie.
    ScanError, DecodeError
        As `read_labels`.
    """
    grid = grid_of_labels(paths[0], limits=limits)
    steps = [part(progress, number / len(paths), (number + 1) / len(paths)) for number in range(len(paths))]
    return tuple(
        read_labels(path, grid, naming=naming, limits=limits, progress=step)
        for path, step in zip(paths, steps, strict=True)
    )
