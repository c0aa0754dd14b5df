"""Named parts of a scan as voxels: `Segmentation` holds layers of labels, so parts may overlap or nest.

In one layer every voxel belongs to one segment at most; a tumour inside its liver takes a second layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import NotFoundError, SegmentationError
from meshing.terminology import Structure
from meshing.volume import Fact, Grid

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Segment:
    """One named part.

    Parameters
    ----------
    key
        Unique in its segmentation: `structure.key`, or that with a number ("tumour_2").
    label, layer
        The voxels `layers[layer] == label` are this segment.
    structure
        What it is in the terminology: names, code, side, system, colour.
    inside
        Key of the segment that contains it (a tumour: its liver), or None.
    """

    key: str
    label: int
    layer: int
    structure: Structure
    inside: str | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Segments on one grid, and who made them.

    Parameters
    ----------
    layers
        Label arrays of shape `grid.shape`, uint8 or uint16, 0 = nothing; read-only.
    source
        Who drew it: "preset ct-bone", "labels of FILE", a person, a model with its version.
    facts
        What its maker wants read later: what was cut, doubted or left out.
    """

    layers: tuple[Labels, ...]
    grid: Grid
    segments: tuple[Segment, ...]
    source: str
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        keys = [segment.key for segment in self.segments]
        if len(set(keys)) != len(keys):
            repeated = sorted({key for key in keys if keys.count(key) > 1})
            raise SegmentationError(f"keys stand twice: {', '.join(repeated)}", where=self.source)
        for number, layer in enumerate(self.layers):
            if tuple(layer.shape) != self.grid.shape:
                raise SegmentationError(
                    f"layer {number} has shape {layer.shape}, the grid {self.grid.shape}", where=self.source
                )
        for segment in self.segments:
            if not 0 <= segment.layer < len(self.layers) or segment.label < 1:
                raise SegmentationError(
                    f"{segment.key}: layer {segment.layer}, label {segment.label}, of {len(self.layers)} layers",
                    where=self.source,
                )
        views = tuple(layer.view() for layer in self.layers)
        for view in views:
            view.setflags(write=False)
        object.__setattr__(self, "layers", views)

    def segment(self, key: str) -> Segment:
        """The segment of that key.

        Raises
        ------
        NotFoundError
            With the nearest names.
        """
        for segment in self.segments:
            if segment.key == key:
                return segment
        raise NotFoundError(
            f"no structure is called {key!r}",
            where=self.source,
            hint="one of: " + ", ".join(sorted(segment.key for segment in self.segments)[:20]),
        )

    def mask(self, key: str) -> npt.NDArray[np.bool_]:
        """bool, shape `grid.shape`: the voxels of that segment."""
        segment = self.segment(key)
        mask: npt.NDArray[np.bool_] = self.layers[segment.layer] == segment.label
        return mask


def stack_masks(
    masks: dict[str, npt.NDArray[np.bool_]],
    structures: dict[str, Structure],
    grid: Grid,
    source: str,
    inside: dict[str, str] | None = None,
) -> Segmentation:
    """Masks, which may overlap, packed into as few layers as greedy colouring finds.

    Parameters
    ----------
    masks
        key → bool array of `grid.shape`; empty ones are left out. Labels count from 1 in the order given.
    structures
        key → what it is.
    inside
        key → key of the segment that contains it.
    """
    layers: list[Labels] = []
    segments: list[Segment] = []
    for key, mask in masks.items():
        if not mask.any():
            continue
        free = (number for number, layer in enumerate(layers) if not np.logical_and(layer, mask).any())
        number = next(free, len(layers))
        if number == len(layers):
            few = len(masks) < 256
            layers.append(np.zeros(grid.shape, np.uint8, "F") if few else np.zeros(grid.shape, np.uint16, "F"))
        label = len(segments) + 1
        np.copyto(layers[number], label, where=mask)
        segments.append(Segment(key, label, number, structures[key], (inside or {}).get(key)))
    return Segmentation(tuple(layers), grid, tuple(segments), source)


@dataclass(frozen=True)
class SegmentVolume:
    """Voxel volume of a segment with and without what lies inside it, in ml."""

    inclusive_ml: float
    exclusive_ml: float


def segment_volumes(segmentation: Segmentation) -> dict[str, SegmentVolume]:
    """Voxel volumes by key: inclusive counts the segment and everything inside it, exclusive only the rest."""
    ml = segmentation.grid.voxel_volume_mm3 / 1000.0
    parents = {segment.inside for segment in segmentation.segments if segment.inside}
    counts = [np.bincount(layer.ravel(order="K")) if layer.size else np.zeros(1) for layer in segmentation.layers]
    volumes = {}
    for segment in segmentation.segments:
        if segment.key in parents:
            own = segmentation.mask(segment.key)
            within = np.zeros_like(own)
            for key in _descendants(segmentation, segment.key):
                within |= segmentation.mask(key)
            inclusive, exclusive = int((own | within).sum()), int((own & ~within).sum())
        else:
            count = counts[segment.layer]
            inclusive = exclusive = int(count[segment.label]) if segment.label < len(count) else 0
        volumes[segment.key] = SegmentVolume(inclusive * ml, exclusive * ml)
    return volumes


def _descendants(segmentation: Segmentation, key: str) -> list[str]:
    found: list[str] = []
    queue = [key]
    while queue:
        parent = queue.pop()
        for segment in segmentation.segments:
            if segment.inside == parent and segment.key not in found and segment.key != key:
                found.append(segment.key)
                queue.append(segment.key)
    return found
