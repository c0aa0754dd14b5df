"""The slices of a scene: where they lie, how much of the scan they show, and the structures that they cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from meshing.case import Case
from meshing.frames import FloatArray
from meshing.volume import Volume
from viewer.contours import area_and_centroid, cut, outline
from viewer.layout import Box, PanelName
from viewer.scene.nouns import Overlay, Region, SceneSlice
from viewer.scene.parts import Part, Triangles
from viewer.slices import PLANES, Plane, SliceView, fitted, normal, position_text, reslice
from viewer.windows import Window, apply_window, sampled, sampled_indices

_FILL = 0.36  # of a structure's own opacity: grey values stay readable through it
_AIR_HU = -300.0
_BODY_SHARE = 0.08  # of the range of an MR scan: below lies background noise
_MARGIN = 0.03
_BODY_KEYS = ("body", "skin", "body_trunc")
_NOT_A_TARGET = {"integument", "skeletal", "muscular", "other", "plan"}


def slices_of(
    case: Case,
    parts: Sequence[Part],
    boxes: Mapping[PanelName, Box],
    window: Window,
    *,
    centre_mm: FloatArray,
    overlay: Overlay,
) -> dict[Plane, SceneSlice]:
    """A slice for each panel that wants one, all through `centre_mm`."""
    scan = case.scan
    wanted = [plane for plane in PLANES if plane in boxes]
    if not wanted:
        return {}
    body = body_box(case)
    ordered = sorted(parts, key=lambda part: -(part.shown.volume_ml or 0.0))
    made: dict[Plane, SceneSlice] = {}
    for plane in wanted:
        box = boxes[plane]
        level = float(normal(plane) @ centre_mm)
        view, bar_mm = fitted(plane, body, level, (box.height, box.width))
        column, row = view.to_pixels(centre_mm)
        regions = [_region(part, view, overlay) for part in ordered] if overlay != "none" else []
        made[plane] = SceneSlice(
            view=view,
            image=apply_window(reslice(scan.voxels, scan.grid, view), window),
            regions=tuple(region for region in regions if region.contours),
            crosshair=(float(column), float(row)),
            position=position_text(plane, level),
            bar_mm=bar_mm,
        )
    return made


def _region(part: Part, view: SliceView, overlay: Overlay) -> Region:
    shown = part.shown
    if part.triangles is not None:
        contours = cut(part.triangles.vertices, part.triangles.faces, view)
    elif part.labels is not None:
        segmentation, segment = part.labels
        contours = outline(segmentation.layers[segment.layer], segmentation.grid, view, segment.label)
    else:
        contours = ()
    fill = _FILL * shown.opacity if overlay in ("both", "fill") else 0.0
    line = 0.5 + 0.5 * shown.opacity if overlay in ("both", "outline") else 0.0
    return Region(shown.key, contours, shown.colour, fill, line)


def body_box(case: Case) -> FloatArray:
    """Lower and upper LPS corner, shape (2, 3), of the patient, with a small margin.

    Where there is a skin, the surfaces say where he is, also hidden ones; or else all that is not air or background.
    """
    if any(key in case.surfaces and len(case.surfaces[key].vertices) for key in _BODY_KEYS):
        shapes = [one.vertices for one in case.surfaces.values() if len(one.vertices)]
        corners = np.array(
            [end for shape in shapes for end in (shape.min(axis=0), shape.max(axis=0))], dtype=np.float64
        )
    else:
        corners = _occupied_corners(case.scan)
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = _MARGIN * (high - low).max()
    return np.stack([low - margin, high + margin])


def _occupied_corners(scan: Volume) -> FloatArray:
    """LPS corners (8, 3) of the part of the scan that holds something."""
    voxels = sampled(scan.voxels)
    occupied = voxels > background(scan, voxels)
    if occupied.any():
        ends = [_ends(occupied, axis, sampled_indices(count)) for axis, count in enumerate(scan.grid.shape)]
    else:
        ends = [(0, count - 1) for count in scan.grid.shape]
    return scan.grid.to_patient(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def background(scan: Volume, voxels: FloatArray) -> float:
    """The value under which nothing of the patient lies: air, or the noise round an MR scan."""
    if scan.modality == "CT":
        return _AIR_HU
    low, high = np.percentile(voxels[np.isfinite(voxels)], [1.0, 99.0])
    return float(low + _BODY_SHARE * (high - low))


def _ends(occupied: npt.NDArray[np.bool_], axis: int, indices: npt.NDArray[np.intp]) -> tuple[int, int]:
    """First and last index along `axis` that holds something, with the indices between the samples round them."""
    others = tuple(other for other in range(3) if other != axis)
    places = np.flatnonzero(occupied.any(axis=others))
    return int(indices[max(places[0] - 1, 0)]), int(indices[min(places[-1] + 1, len(indices) - 1)])


def default_centre(scan: Volume, parts: Sequence[Part]) -> FloatArray:
    """Inside the largest lesion, or else the chief organ, or else anything; the scan's middle when nothing is shown.

    Moved to the nearest voxel centre, so that slices along the scan's own planes show measured values.
    """
    solid = [part for part in parts if part.triangles is not None and part.shown.structure.system != "plan"]
    choice = max(solid, key=_interest, default=None)
    if choice is None or choice.triangles is None:
        point = scan.grid.to_patient((np.array(scan.grid.shape) - 1) / 2)
    else:
        point = inner_point(choice.triangles)
    # A middle between two voxels falls on the same one however the scan is stored: ties go towards L, P and S.
    index = np.rint(scan.grid.to_voxel(point + 0.01 * scan.grid.spacing_mm.min()))
    return scan.grid.to_patient(np.clip(index, 0, np.array(scan.grid.shape) - 1))


def _interest(part: Part) -> tuple[int, float]:
    """Sorts lesions above organs above the rest; within each by volume times compactness, so that the liver comes
    before a longer but winding colon."""
    system = part.shown.structure.system
    kind = 2 if system == "lesion" else 0 if system in _NOT_A_TARGET else 1
    if part.triangles is None or not part.shown.volume_ml:
        return kind, 0.0
    box_ml = float(np.prod(np.ptp(part.triangles.vertices, axis=0))) / 1000.0
    return kind, part.shown.volume_ml**2 / max(box_ml, 1e-6)


def inner_point(triangles: Triangles) -> FloatArray:
    """A point (3,) well inside: the middle of the largest axial section at the height of the centroid."""
    centroid = triangles.centroid()
    view = SliceView("axial", float(centroid[2]), (0.0, 0.0), 1.0, (1, 1))
    sections = [area_and_centroid(contour) for contour in cut(triangles.vertices, triangles.faces, view)]
    if not sections:
        return centroid
    return view.to_patient(max(sections, key=lambda section: abs(section[0]))[1])
