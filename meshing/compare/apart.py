"""Where graders differ: voxels in dispute, the place where they are thickest, how far one wall lies from another.

In come the segmentations that were compared, out comes what a picture shows: places in LPS mm, masks on the graders'
grid, and a surface with a signed distance at every vertex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.compare.agreement import Comparison, Pair, StructureAgreement
from meshing.extract import extract
from meshing.frames import FloatArray
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation
from meshing.surface import Faces
from meshing.triangles.bins import bins_of
from meshing.triangles.distances import nearest_mm
from meshing.volume import Grid

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

_MOST_TRIANGLES = 60_000
"""Of a surface in a picture a few hundred pixels wide."""

_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Dispute:
    """What graders drew of one structure, within the box around it.

    Parameters
    ----------
    masks
        Grader → bool, in the order given; who drew nothing is not there.
    disputed
        bool: drawn by some of them, not by all.
    grid
        Of the box: its voxel (0, 0, 0) lies where the box begins.
    place_mm
        The middle of the largest ball that the disputed voxels hold; the structure's middle where nothing is disputed.
    thickness_mm
        That ball's diameter; 0 where nothing is disputed.
    """

    key: str
    masks: Mapping[str, Mask]
    disputed: Mask
    grid: Grid
    place_mm: FloatArray
    thickness_mm: float

    @property
    def disputed_ml(self) -> float:
        return int(self.disputed.sum()) * self.grid.voxel_volume_mm3 / 1000.0


def dispute_of(graders: Mapping[str, Segmentation], key: str, *, progress: Progress = silent) -> Dispute:
    """Where graders differ in one structure that at least one of them drew."""
    from scipy.ndimage import distance_transform_edt

    boxes: dict[str, Box] = {}
    for name, segmentation in graders.items():
        progress(0.1, "looking where they differ")
        if any(segment.key == key for segment in segmentation.segments) and (box := _box_of(segmentation.mask(key))):
            boxes[name] = box
    sides = [(min(s.start for s in along), max(s.stop for s in along)) for along in zip(*boxes.values(), strict=True)]
    around = (slice(*sides[0]), slice(*sides[1]), slice(*sides[2]))
    masks = {name: _cropped(graders[name], key, around) for name in boxes}
    grid = _part_of(next(iter(graders.values())).grid, around)
    votes = np.sum(list(masks.values()), axis=0)
    disputed: Mask = (votes > 0) & (votes < len(masks))
    progress(0.5, "looking where they differ")
    if disputed.any():
        # A border of what is not disputed, so that depth counts from the box's edge too.
        depth = distance_transform_edt(np.pad(disputed, 1), sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
        return Dispute(key, masks, disputed, grid, _deepest(depth, grid), 2.0 * float(depth.max()))
    return Dispute(key, masks, disputed, grid, grid.to_patient(np.argwhere(votes > 0)).mean(axis=0), 0.0)


def _box_of(mask: Mask) -> Box | None:
    """The box around a drawing; None where nothing is drawn."""
    along = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not along[0].size:
        return None
    i, j, k = (slice(int(one[0]), int(one[-1]) + 1) for one in along)
    return i, j, k


def _cropped(segmentation: Segmentation, key: str, box: Box) -> Mask:
    segment = segmentation.segment(key)
    mask: Mask = segmentation.layers[segment.layer][box] == segment.label
    return mask


def _part_of(grid: Grid, box: Box) -> Grid:
    matrix = grid.voxel_to_patient.copy()
    matrix[:3, 3] = grid.to_patient([side.start for side in box])
    i, j, k = (side.stop - side.start for side in box)
    return Grid((i, j, k), matrix)


def _deepest(depth: npt.NDArray[np.float64], grid: Grid) -> FloatArray:
    """The deepest voxel; of several alike the lowest, then the most anterior, then the rightmost, however stored."""
    places = grid.to_patient(np.argwhere(depth >= depth.max() - 1e-6))
    rounded = np.round(places, 6)
    found: FloatArray = places[np.lexsort((rounded[:, 0], rounded[:, 1], rounded[:, 2]))[0]]
    return found


@dataclass(frozen=True, eq=False)
class WallDistances:
    """A surface, vertices (V, 3) in LPS mm and outward faces, and for each vertex how far the other wall lies, mm.

    Positive where the other drew more: there its wall lies outside this one.
    """

    vertices: FloatArray
    faces: Faces
    distance_mm: FloatArray


def wall_distances(
    reference: Segmentation, other: Segmentation, key: str, *, progress: Progress = silent
) -> WallDistances:
    """The reference's surface of a structure that both drew, with its distances to the other's."""
    surfaces = [
        extract(one, keys=[key], budget=_MOST_TRIANGLES, progress=part(progress, 0.35 * at, 0.35 * (at + 1)))[key]
        for at, one in enumerate((reference, other))
    ]
    vertices = np.asarray(surfaces[0].vertices, np.float64)
    bins = bins_of(np.asarray(surfaces[1].vertices, np.float64), surfaces[1].faces)
    apart = []
    for first in range(0, len(vertices), _AT_ONCE):
        progress(0.7 + 0.25 * first / len(vertices), "measuring walls")
        apart.append(nearest_mm(vertices[first : first + _AT_ONCE], bins))
    is_inside = _share_inside(other.mask(key), other.grid, vertices) > 0.5
    signed: FloatArray = np.concatenate(apart) * np.where(is_inside, 1.0, -1.0)
    return WallDistances(vertices, surfaces[0].faces, signed)


def _share_inside(mask: Mask, grid: Grid, points_mm: FloatArray) -> FloatArray:
    """How much of a mask there is at points, 0 to 1, between voxel centres linearly."""
    from scipy.ndimage import map_coordinates

    index = grid.to_voxel(points_mm)
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, grid.shape)
    crop = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    share: FloatArray = map_coordinates(crop, (index - low).T, order=1, mode="constant", cval=0.0)
    return share


def least_alike(found: Comparison, most: int = 3) -> tuple[tuple[StructureAgreement, Pair], ...]:
    """Structures that at least two drew, those with the lowest Dice first, each with the pair that has it."""
    worst = []
    for structure in found.structures:
        pairs = [(pair.dice, pair) for pair in structure.pairs if pair.dice is not None]
        if pairs:
            dice, pair = min(pairs, key=lambda scored: scored[0])
            worst.append((dice, structure, pair))
    return tuple((structure, pair) for _, structure, pair in sorted(worst, key=lambda row: row[0])[:most])
