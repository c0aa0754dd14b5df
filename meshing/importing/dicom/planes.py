"""Wanted elements to a `Header`: where every plane lies, how its values scale, and what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, ScanError
from meshing.importing.dicom import frames, tags
from meshing.importing.dicom.headers import Header, Marks, Plane
from meshing.importing.dicom.kinds import SLICES, is_storage, kind_of
from meshing.importing.dicom.layout import layout_of
from meshing.importing.dicom.reading import Elements, PixelElement
from meshing.importing.dicom.technique import acquired_s, image_type_of, modality_of, technique_of, unit_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Scope = Callable[[int], "Dataset"]
"""Where to look up a tag that places or scales a plane: the file itself, or a frame's functional group."""

# No scanner is longer, no voxel larger; beyond these the arithmetic of positions loses its last millimetre.
_FARTHEST_MM = 1e6
_LARGEST_PIXEL_MM = 1e4

# float32 holds any 32-bit value times this.
_LARGEST_SCALE = 1e20

# Orientations are written with as few as three decimals; a cosine that is further off is no rounding.
_COSINE_TOLERANCE = 1e-3

_MARKS = (
    ("time point", tags.TEMPORAL_POSITION),
    ("acquisition", tags.ACQUISITION_NUMBER),
    ("echo", tags.ECHO_NUMBER),
    ("echo time", tags.ECHO_TIME),
    ("b-value", tags.B_VALUE),
    ("inversion time", tags.INVERSION_TIME),
    ("trigger time", tags.TRIGGER_TIME),
    ("cardiac phase", tags.CARDIAC_PHASE),
)
_WORDS = (("image type", tags.IMAGE_TYPE), ("kernel", tags.KERNEL))


def header_of(elements: Elements, path: Path) -> Header:
    """The header of a file, with its planes when it is an image that may belong to a volume."""
    found = elements.dataset
    modality, image_type = modality_of(found), image_type_of(found)
    kind = kind_of(tags.text(found, tags.SOP_CLASS), modality, image_type)
    if kind == SLICES:
        kind = _image_kind(found, elements.pixels)
    header = Header(
        path=path,
        kind=kind,
        modality=modality,
        study=tags.text(found, tags.STUDY),
        series=tags.text(found, tags.SERIES),
        instance_uid=tags.text(found, tags.SOP_INSTANCE),
        frame_of_reference=tags.text(found, tags.FRAME_OF_REFERENCE),
        series_number=tags.integer(found, tags.SERIES_NUMBER) or 0,
        instance=tags.integer(found, tags.INSTANCE_NUMBER),
        image_type=image_type,
        rows=tags.integer(found, tags.ROWS) or 0,
        columns=tags.integer(found, tags.COLUMNS) or 0,
        frame_count=max(tags.integer(found, tags.FRAMES) or 1, 1),
        syntax=elements.syntax,
        acquired_s=acquired_s(found),
    )
    return _with_planes(header, elements) if kind == SLICES else header


def _image_kind(found: Dataset, pixels: PixelElement | None) -> str:
    if (tags.integer(found, tags.SAMPLES) or 1) > 1 or tags.text(found, tags.PHOTOMETRIC) == "PALETTE COLOR":
        return "colour image"
    if pixels is None and not is_storage(tags.text(found, tags.SOP_CLASS)):
        return "not an image"
    if pixels is not None and pixels.is_float:
        return "parametric map"
    if (tags.integer(found, tags.FRAMES) or 1) > 1 and not tags.items(found, tags.FRAME_GROUPS):
        return "frames without positions"
    return SLICES


def _with_planes(header: Header, elements: Elements) -> Header:
    found = elements.dataset
    try:
        layout = layout_of(header, elements)
        groups = frames.groups_of(found, header)
    except ScanError as problem:
        return replace(header, planes=(Plane(0, problem=problem),))
    if groups is None:
        planes = [plane_of(header.path, 0, lambda tag: found, _marks(found))]
    else:
        planes = [plane_of(header.path, frame, group.scope, group.marks) for frame, group in enumerate(groups)]
        planes = [replace(plane, stack=group.stack) for plane, group in zip(planes, groups, strict=True)]
    return replace(
        header,
        layout=layout,
        technique=technique_of(found),
        tilt_tag_deg=tags.number(found, tags.GANTRY_TILT),
        unit=unit_of(found, header.modality),
        planes=tuple(planes),
    )


def plane_of(path: Path, frame: int, scope: Scope, marks: Marks) -> Plane:
    """The plane that these elements describe; with its `problem`, and placed nowhere, when they do not."""
    try:
        row, column = _orientation(scope(tags.ORIENTATION), path)
        row_mm, column_mm = _pixel_spacing(scope(tags.PIXEL_SPACING), path)
        return Plane(
            frame=frame,
            position_mm=_finite(scope(tags.POSITION), tags.POSITION, 3, path),
            along_row=row,
            along_column=column,
            pixel_mm=(column_mm, row_mm),
            slope=_scale(scope(tags.SLOPE), tags.SLOPE, 1.0, path),
            intercept=_scale(scope(tags.INTERCEPT), tags.INTERCEPT, 0.0, path),
            marks=marks,
        )
    except ScanError as problem:
        return Plane(frame, marks=marks, problem=problem)


def _orientation(found: Dataset, path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    cosines = np.array(_finite(found, tags.ORIENTATION, 6, path)).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    across = float(cosines[0] @ cosines[1])
    if abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(across) > _COSINE_TOLERANCE:
        raise GeometryError(
            f"{tags.NAMES[tags.ORIENTATION]} {shown(found, tags.ORIENTATION)} is not orthonormal: its vectors have "
            f"lengths {lengths[0]:.4g} and {lengths[1]:.4g} and their product is {across:.4g}",
            where=path,
            hint="export the original series again; without an orientation the patient may come out mirrored",
        )
    row = cosines[0] / lengths[0]
    column = cosines[1] - (cosines[1] @ row) * row
    column /= np.linalg.norm(column)
    return tuple(row.tolist()), tuple(column.tolist())


def _pixel_spacing(found: Dataset, path: Path) -> tuple[float, float]:
    spacing = _finite(found, tags.PIXEL_SPACING, 2, path)
    if min(spacing) <= 0 or max(spacing) > _LARGEST_PIXEL_MM:
        raise GeometryError(
            f"{tags.NAMES[tags.PIXEL_SPACING]} is {shown(found, tags.PIXEL_SPACING)}; both must be above 0 mm and "
            f"at most {_LARGEST_PIXEL_MM:.0f} mm",
            where=path,
            hint="export the original series again; without it no length is known",
        )
    return spacing[0], spacing[1]


def _finite(found: Dataset, tag: int, count: int, path: Path) -> tuple[float, ...]:
    values = tags.numbers(found, tag)
    if values is None or len(values) != count or not all(abs(value) <= _FARTHEST_MM for value in values):
        raise GeometryError(
            f"{tags.NAMES[tag]} is {shown(found, tag)}; {count} numbers up to a kilometre are needed",
            where=path,
            hint="export the original series from the scanner or archive; a secondary capture has no geometry",
        )
    return values


def _scale(found: Dataset, tag: int, default: float, path: Path) -> float:
    value = tags.number(found, tag)
    if value is None and tags.raw_bytes(found, tag) is None:
        return default
    if value is None or not abs(value) <= _LARGEST_SCALE or (tag == tags.SLOPE and value == 0):
        raise DamagedFileError(f"{tags.NAMES[tag]} is {shown(found, tag)}", where=path, hint="export the series again")
    return value


def shown(found: Dataset, tag: int) -> str:
    """The value for an error message: numbers as they stand, anything else only as "not a number"."""
    raw = tags.raw_bytes(found, tag)
    if raw is None:
        return "missing"
    stood = raw.decode("ascii", "replace").strip(" \0")
    if not re.fullmatch(r"([-+0-9.eE\\ ]|nan|NaN|NAN|inf|Inf|INF){1,200}", stood):
        return "not a number"
    return f"[{', '.join(part.strip() for part in stood.split(chr(92)))}]"


def _marks(found: Dataset) -> Marks:
    marks: list[tuple[str, float | str]] = []
    for name, tag in _MARKS:
        value = tags.number(found, tag)
        if value is not None and math.isfinite(value):
            marks.append((name, value))
    marks += [(name, word) for name, tag in _WORDS if (word := tags.text(found, tag))]
    if (time := acquired_s(found)) is not None:
        marks.append(("time", time))
    return tuple(marks)
