"""Slices as sheets in space, so that a 3D picture shows its structures lying in the scan."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from meshing.case import Case
from meshing.frames import FloatArray
from meshing.surface import Faces
from viewer.scene.nouns import Sheet
from viewer.scene.sections import background, body_box
from viewer.slices import PLANES, Plane, fitted, normal, reslice
from viewer.windows import Window, apply_window, sampled

_PIXELS = 320  # along the longer side of a sheet


def sheets_of(case: Case, planes: Iterable[Plane], centre_mm: FloatArray, window: Window) -> tuple[Sheet, ...]:
    """A sheet for each of `planes`, through `centre_mm`; the air round the patient is left out."""
    wanted = set(planes)
    return tuple(_sheet(case, plane, centre_mm, window) for plane in PLANES if plane in wanted)


def _sheet(case: Case, plane: Plane, centre_mm: FloatArray, window: Window) -> Sheet:
    from scipy.ndimage import binary_fill_holes

    view, _ = fitted(plane, body_box(case), float(normal(plane) @ centre_mm), (_PIXELS, _PIXELS))
    values = reslice(case.scan.voxels, case.scan.grid, view)
    body = binary_fill_holes(np.nan_to_num(values, nan=-np.inf) > background(case.scan, sampled(case.scan.voxels)))
    row, column = np.mgrid[:_PIXELS, :_PIXELS]
    vertices = view.to_patient(np.stack([column.ravel(), row.ravel()], axis=-1))
    return Sheet(plane, vertices, _squares(body), apply_window(values, window).ravel())


def _squares(visible: npt.NDArray[np.bool_]) -> Faces:
    """Two triangles (F, 3) for each square of pixels whose four corners are visible; vertices count row by row."""
    corner = np.arange(visible.size, dtype=np.int32).reshape(visible.shape)
    whole = visible[:-1, :-1] & visible[1:, :-1] & visible[:-1, 1:] & visible[1:, 1:]
    upper_left, upper_right = corner[:-1, :-1][whole], corner[:-1, 1:][whole]
    lower_left, lower_right = corner[1:, :-1][whole], corner[1:, 1:][whole]
    first = np.stack([upper_left, lower_left, upper_right], axis=-1)
    second = np.stack([upper_right, lower_left, lower_right], axis=-1)
    return np.concatenate([first, second])
