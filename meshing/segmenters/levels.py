"""What is brighter than a grey level: the plainest way from a scan to a surface, by the user's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.segmentation import Segment, Segmentation
from meshing.terminology import Structure, plain, structure_for
from meshing.volume import Volume


@dataclass(frozen=True)
class Level:
    """A grey level, in the volume's unit, and what the user calls that which is brighter."""

    value: float
    name: str = ""


def above(volume: Volume, levels: Sequence[Level]) -> Segmentation:
    """A segment of all voxels above each level, every one in a layer of its own.

    Raises
    ------
    SegmentationError
        If no voxel lies above a level, or two levels have one name.
    """
    keys = [_structure(level, volume.unit).key for level in levels]
    if len(set(keys)) < len(keys):
        raise SegmentationError(
            f"two levels are called {', '.join(sorted({key for key in keys if keys.count(key) > 1}))}",
            where="level",
            hint="give each a name of its own: 200=soft_tissue",
        )
    layers, segments = [], []
    for number, level in enumerate(levels):
        mask = (volume.voxels > level.value).astype(np.uint8, order="F")
        if not mask.any():
            raise SegmentationError(
                f"no voxel lies above {_amount(level, volume.unit)}; the brightest has {volume.voxels.max():g}",
                where="level",
                hint="choose a lower level",
            )
        structure = _structure(level, volume.unit)
        layers.append(mask)
        segments.append(Segment(structure.key, 1, number, structure))
    return Segmentation(tuple(layers), volume.grid, tuple(segments), "grey levels")


def _structure(level: Level, unit: str) -> Structure:
    if level.name:
        return structure_for(level.name)
    amount = _amount(level, unit)
    key = plain("above " + _digits(level.value).replace("-", "minus "))
    return Structure(key, f"Above {amount}", f"高于 {amount}")


def _amount(level: Level, unit: str) -> str:
    return f"{_digits(level.value)} {unit}".strip()


def _digits(value: float) -> str:
    return np.format_float_positional(value + 0.0, trim="-")  # adding 0 turns −0 into 0
