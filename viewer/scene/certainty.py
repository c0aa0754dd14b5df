"""How sure a segmentation is, in colour: on surfaces and over slices, with the scale that the legend shows.

In: a case with a volume of confidence, 0 to 1. Out: sRGB per vertex, and an overlay per slice. Bright yellow is where
guesses differ, blue where they agree: told apart in all common kinds of colour blindness, and in grey.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.case import Case
from meshing.drawing import CLICKS, CONFIDENCE
from meshing.errors import NotFoundError
from meshing.frames import FloatArray
from meshing.surface import Faces, Vertices, vertex_normals
from meshing.volume import Volume
from viewer.slices import SliceView, reslice

_STOPS = np.array([[1.0, 0.86, 0.25], [0.72, 0.66, 0.52], [0.24, 0.45, 0.72]], dtype=np.float32)
_LOOK_VOXELS = 1.5  # to both sides of a surface: on it, half of every voxel lies outside
_LOOK_MM = 3.0  # at least; below lies the blur of the scan
_INSIDE = 0.35  # opacity where a structure is sure
_UNSURE = 0.85

Colours = npt.NDArray[np.float32]


def colours_of(confidence: npt.ArrayLike) -> Colours:
    """sRGB (..., 3), each 0 to 1, of confidence 0 to 1."""
    place = np.clip(np.asarray(confidence, dtype=np.float32), 0.0, 1.0) * (len(_STOPS) - 1)
    channels = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def map_of(case: Case) -> Volume:
    """The case's map of confidence.

    Raises
    ------
    NotFoundError
        If it holds none.
    """
    if CONFIDENCE not in case.volumes:
        raise NotFoundError(
            "the case holds no map of confidence", where=case.id, hint="build it with --click NAME=L,P,S"
        )
    return case.volumes[CONFIDENCE]


def keys_with_map(case: Case) -> frozenset[str]:
    """The structures that the map is about."""
    grown = case.segmentations.get(CLICKS)
    return frozenset(segment.key for segment in grown.segments) if grown else frozenset()


def on_surface(confidence: Volume, vertices: Vertices | FloatArray, faces: Faces) -> npt.NDArray[np.float32]:
    """How sure the border is at each vertex, (V,): the lesser of just inside and just outside.

    Where every guess ends at the same place both sides are sure; where guesses end elsewhere, one side is not.
    """
    from scipy.ndimage import map_coordinates

    normals, _ = vertex_normals(vertices, faces)
    look = max(_LOOK_MM, _LOOK_VOXELS * float(confidence.grid.spacing_mm.max()))
    sides = []
    for way in (-look, look):
        index = confidence.grid.to_voxel(np.asarray(vertices, dtype=np.float64) + way * normals)
        sides.append(map_coordinates(confidence.voxels, index.T, order=1, mode="nearest"))
    least: npt.NDArray[np.float32] = np.minimum(*sides).astype(np.float32)
    return least


def on_slice(case: Case, view: SliceView) -> npt.NDArray[np.float32]:
    """Overlay of a slice, float32 (H, W, 4): sRGB and opacity."""
    confidence = map_of(case)
    sure = np.nan_to_num(reslice(confidence.voxels, confidence.grid, view), nan=1.0)
    inside = np.zeros(view.shape, dtype=bool)
    grown = case.segmentations.get(CLICKS)
    for layer in grown.layers if grown else ():
        inside |= np.nan_to_num(reslice((layer > 0).astype(np.float32), confidence.grid, view)) > 0.5
    opacity = np.maximum(_INSIDE * inside, _UNSURE * (1.0 - np.clip(sure, 0.0, 1.0)))
    return np.concatenate([colours_of(sure), opacity[..., None].astype(np.float32)], axis=-1)
