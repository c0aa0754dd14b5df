"""Labels become closed triangle surfaces in LPS mm: shared smooth walls, or marching cubes for each label by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.cubes import Smoothing, cubes_of
from meshing.errors import SurfaceError
from meshing.importance import importance
from meshing.nets.make import NetSettings, Netted, fewer_walls_of, index_of, netted, walls_of
from meshing.progress import Progress, part, silent
from meshing.reduce import ROOM, Sizes, merge_tolerance_mm, reduced
from meshing.runs import tally
from meshing.segmentation import Labels, Segment, Segmentation
from meshing.simplify import SMALLEST, simplify
from meshing.split import surfaces_of
from meshing.surface import Deviation, Surface, require_sound
from meshing.untangle import untangled
from meshing.volume import Volume, Voxels, is_same_grid
from meshing.walls import Walls

Method = Literal["nets", "marching-cubes"]

_WORTH_MERGING = 3
_MANY = 1_000_000
"""Times the wanted triangles, and triangles, from which flat cells are merged before edges collapse: that is faster."""


@dataclass(frozen=True)
class Extraction:
    """How labels become surfaces.

    Parameters
    ----------
    method
        "nets": one net for all labels of a layer, whose walls neighbours share. "marching-cubes": each label by
        itself, windowed-sinc smoothed, to compare with.
    """

    method: Method = "nets"
    nets: NetSettings = field(default_factory=NetSettings)
    smoothing: Smoothing = field(default_factory=Smoothing)


def extract(
    segmentation: Segmentation,
    extraction: Extraction = Extraction(),
    *,
    keys: Sequence[str] | None = None,
    budget: int | None = None,
    image: Volume | None = None,
    progress: Progress = silent,
) -> dict[str, Surface]:
    """A surface for every segment that has voxels, by key.

    Parameters
    ----------
    keys
        Only these segments; all when None.
    budget
        Triangles over all segments, for nets; every one when None. What that costs stands in each surface's deviation.
    image
        Grey values on the same grid, for nets: walls move to the edges that it shows, to a tenth of a voxel. Volumes
        are then those of the image's edges, not of the labels.

    Raises
    ------
    SurfaceError
        If the image has another grid, or a surface comes out open, non-manifold or inward.
    NotFoundError
        If a key is not in the segmentation.
    """
    if budget is not None and budget < 4:
        raise SurfaceError(
            f"a budget of {budget} triangles", where=segmentation.source, hint="no closed surface has fewer than 4"
        )
    wanted = [segmentation.segment(key) for key in keys] if keys is not None else list(segmentation.segments)
    if extraction.method == "marching-cubes":
        return cubes_of(segmentation, extraction.smoothing, keys=[s.key for s in wanted], progress=progress)
    voxels = None if image is None else _on_grid(image, segmentation)
    layers = sorted({segment.layer for segment in wanted})
    nets: dict[int, Netted] = {}
    for number, layer in enumerate(layers):
        step = part(progress, 0.5 * number / len(layers), 0.5 * (number + 1) / len(layers))
        labels = _only(segmentation.layers[layer], [segment.label for segment in wanted if segment.layer == layer])
        net = netted(labels, segmentation.grid, extraction.nets, image=voxels, progress=step)
        if net is not None:
            nets[layer] = net
    surfaces: dict[str, Surface] = {}
    triangles = sum(_seen(net) for net in nets.values())
    for number, layer in enumerate(list(nets)):
        net = nets.pop(layer)  # so that its memory goes before the next one's triangles come
        share = None if budget is None or triangles <= budget else _seen(net) * budget // triangles
        step = part(progress, 0.5 + 0.5 * number / len(layers), 0.5 + 0.5 * (number + 1) / len(layers))
        segments = [segment for segment in wanted if segment.layer == layer]
        surfaces |= _surfaces_of_net(net, segments, share, step)
    return {segment.key: surfaces[segment.key] for segment in wanted if segment.key in surfaces}


def _only(layer: Labels, wanted: Sequence[int]) -> Labels:
    """The layer without the labels that nobody asked for: their walls would take triangles from the others."""
    if layer.dtype not in (np.uint8, np.uint16):
        raise SurfaceError(f"labels are {layer.dtype}, not uint8 or uint16", where="labels", hint="convert the layer")
    highest = int(layer.max(initial=0))
    if set(range(1, highest + 1)) <= set(wanted):
        return layer
    present = np.flatnonzero(tally(layer.reshape(-1, order="A"), highest + 1))
    if set(present.tolist()) <= {0, *wanted}:
        return layer
    kept = np.zeros(int(present[-1]) + 1, layer.dtype)
    numbers = [label for label in wanted if label < len(kept)]
    kept[numbers] = numbers
    blanked: Labels = kept[layer]
    return blanked


def _on_grid(image: Volume, segmentation: Segmentation) -> Voxels:
    if not is_same_grid(image.grid, segmentation.grid):
        raise SurfaceError(
            f"the image has {image.grid.shape} voxels, the labels {segmentation.grid.shape}, or they lie elsewhere",
            where=segmentation.source,
            hint="resample one onto the grid of the other",
        )
    return image.voxels


def _seen(net: Netted) -> int:
    """Triangles of all its surfaces: a wall between two parts counts twice."""
    return 2 * (len(net.quads) + int(np.count_nonzero(net.sides[:, 1])))


def _surfaces_of_net(
    net: Netted, segments: Sequence[Segment], budget: int | None, progress: Progress
) -> dict[str, Surface]:
    keys = {segment.label: segment.key for segment in segments}
    sizes = Sizes(net.volumes_mm3, net.areas_mm2)
    if budget is None:
        progress(0.5, "looking for walls that cross")
        return _sound(untangled(walls_of(net)), keys)
    if _seen(net) > max(_WORTH_MERGING * budget, _MANY):
        progress(0.1, "merging flat cells")
        walls = fewer_walls_of(net, merge_tolerance_mm(sizes))
    else:
        walls = walls_of(net)
    factors = _importance(segments, len(net.volumes_mm3))
    result = reduced(walls, budget, sizes, whole=index_of(net), importance=factors, room=ROOM, progress=progress)
    if result is None:
        whole = _sound(untangled(walls_of(net)), keys)
        return simplify(
            whole,
            max(budget, SMALLEST * len(whole)),
            neighbours=[list(whole)],
            importance={segment.key: importance(segment.structure) for segment in segments},
            progress=progress,
        )
    labels = {key: label for label, key in keys.items()}
    return {
        key: replace(
            surface,
            deviation=result.deviations.get(labels[key], Deviation(0.0, 0.0)),
            raw_volume_ml=float(sizes.volumes_mm3[labels[key]]) / 1000.0,
        )
        for key, surface in _sound(result.walls, keys).items()
    }


def _importance(segments: Sequence[Segment], labels: int) -> npt.NDArray[np.float64]:
    """(labels,): of every segment's structure; 1 for labels that nobody named."""
    factors = np.ones(labels)
    for segment in segments:
        if segment.label < labels:
            factors[segment.label] = importance(segment.structure)
    return factors


def _sound(walls: Walls, keys: Mapping[int, str]) -> dict[str, Surface]:
    return {key: require_sound(surface) for key, surface in surfaces_of(walls, keys).items()}
