"""Wanted elements to a `Header`: where every plane lies, how its values scale, and what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, ScanError, UnsupportedError
from meshing.importing.dicom import frames, tags
from meshing.importing.dicom.headers import Header, Marks, PixelLayout, Plane
from meshing.importing.dicom.kinds import SLICES, kind_of
from meshing.importing.dicom.reading import EXPLICIT_BIG, UNCOMPRESSED, Elements, PixelElement
from meshing.importing.dicom.technique import image_type_of, modality_of, technique_of, unit_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Scope = Callable[[int], "Dataset"]
"""Where to look up a tag that places or scales a plane: the file itself, or a frame's functional group."""

# Orientations are written with as few as four decimals; a cosine that is off by more than this is no rounding.
_COSINE_TOLERANCE = 1e-3

_TIMES = (tags.ACQUISITION_DATETIME, tags.ACQUISITION_TIME, tags.CONTENT_TIME)

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
        layout=None,
    )
    if kind not in (SLICES, "scout"):
        return header
    return _with_planes(header, elements)


def _with_planes(header: Header, elements: Elements) -> Header:
    from dataclasses import replace

    found = elements.dataset
    header = replace(
        header,
        technique=technique_of(found),
        tilt_tag_deg=tags.number(found, tags.GANTRY_TILT),
        unit=unit_of(found, header.modality),
    )
    try:
        layout = layout_of(header, elements)
    except ScanError as problem:
        return replace(header, problem=problem, planes=(Plane(0, problem=problem),))
    header = replace(header, layout=layout)
    groups = frames.groups_of(found, header.frame_count)
    if groups is None:
        return replace(header, planes=(plane_of(header, 0, lambda tag: found, _classic_marks(found, header)),))
    return replace(
        header,
        planes=tuple(plane_of(header, number, group.scope, group.marks) for number, group in enumerate(groups)),
    )


def _image_kind(found: Dataset, pixels: PixelElement | None) -> str:
    if (tags.integer(found, tags.SAMPLES) or 1) > 1 or tags.text(found, tags.PHOTOMETRIC) == "PALETTE COLOR":
        return "colour image"
    if pixels is None and tags.FRAME_GROUPS not in found and not tags.integer(found, tags.ROWS):
        return "not an image"
    if pixels is not None and pixels.is_float:
        return "parametric map"
    if (tags.integer(found, tags.FRAMES) or 1) > 1 and tags.FRAME_GROUPS not in found:
        return "frames without positions"
    return SLICES


def layout_of(header: Header, elements: Elements) -> PixelLayout:
    """How the file's stored values lie in its bytes.

    Raises
    ------
    DamagedFileError
        If sizes are not positive, bits contradict each other, or the file ends before its pixels do.
    UnsupportedError
        If the values need a lookup table, or have a width that is not read here.
    """
    found, path = elements.dataset, header.path
    for tag, size in ((tags.ROWS, header.rows), (tags.COLUMNS, header.columns)):
        if size < 1:
            raise DamagedFileError(f"{tags.NAMES[tag]} is {size}", where=path, hint="export the series again")
    bits = tags.integer(found, tags.BITS_ALLOCATED) or 16
    stored = tags.integer(found, tags.BITS_STORED) or bits
    high = tags.integer(found, tags.HIGH_BIT)
    high = stored - 1 if high is None else high
    if bits not in (8, 16, 32):
        raise UnsupportedError(f"{tags.NAMES[tags.BITS_ALLOCATED]} is {bits}; 8, 16 and 32 are read", where=path)
    if not 1 <= stored <= bits or not stored - 1 <= high < bits:
        raise DamagedFileError(
            f"{stored} bits stored up to bit {high} do not fit into {bits} allocated ones",
            where=path,
            hint="export the series again",
        )
    if tags.items(found, tags.MODALITY_LUT):
        raise UnsupportedError("its values go through a modality lookup table, which is not read here", where=path)
    if elements.pixels is None:
        raise DamagedFileError("it ends before its pixel data", where=path, hint="copy or export the file again")
    signed = tags.integer(found, tags.SIGNED) == 1
    layout = PixelLayout(
        offset=elements.pixels.offset,
        length=elements.pixels.available,
        compressed=elements.syntax not in UNCOMPRESSED,
        big_endian=elements.syntax == EXPLICIT_BIG,
        bits=bits,
        bits_stored=stored,
        high_bit=high,
        signed=signed,
        padding=_padding(found, bits, signed),
    )
    needed = header.rows * header.columns * header.frame_count * bits // 8
    if not layout.compressed and layout.length < needed:
        raise DamagedFileError(
            f"the file is truncated: {layout.length} of {needed} bytes of pixel data are there",
            where=path,
            hint="copy or export the file again",
        )
    return layout


def _padding(found: Dataset, bits: int, signed: bool) -> tuple[int, int] | None:
    """PixelPaddingValue and its range limit as stored values; their VR follows PixelRepresentation (PS3.5 A.1)."""
    value = tags.integer(found, tags.PADDING)
    if value is None:
        return None
    limit = tags.integer(found, tags.PADDING_LIMIT)
    ends = [value, value if limit is None else limit]
    if signed:
        ends = [(end + 0x8000) % 0x10000 - 0x8000 for end in ends]
    return min(ends), max(ends)


def plane_of(header: Header, frame: int, scope: Scope, marks: Marks) -> Plane:
    """The plane that these elements describe; with its `problem`, and placed nowhere, when they do not."""
    try:
        row, column = _orientation(scope(tags.ORIENTATION), header.path)
        row_mm, column_mm = _pixel_spacing(scope(tags.PIXEL_SPACING), header.path)
        return Plane(
            frame=frame,
            position_mm=_finite(scope(tags.POSITION), tags.POSITION, 3, header.path),
            along_row=row,
            along_column=column,
            pixel_mm=(column_mm, row_mm),
            slope=_scale(scope(tags.SLOPE), tags.SLOPE, 1.0, header.path),
            intercept=_scale(scope(tags.INTERCEPT), tags.INTERCEPT, 0.0, header.path),
            thickness_mm=tags.number(scope(tags.SLICE_THICKNESS), tags.SLICE_THICKNESS),
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
            hint="export the series again without anonymising or resampling its orientation",
        )
    row = cosines[0] / lengths[0]
    column = cosines[1] - (cosines[1] @ row) * row
    column /= np.linalg.norm(column)
    return tuple(row.tolist()), tuple(column.tolist())


def _pixel_spacing(found: Dataset, path: Path) -> tuple[float, float]:
    spacing = _finite(found, tags.PIXEL_SPACING, 2, path)
    if min(spacing) <= 0:
        raise GeometryError(
            f"{tags.NAMES[tags.PIXEL_SPACING]} is {shown(found, tags.PIXEL_SPACING)}; both must be above 0 mm",
            where=path,
            hint="export the series again; without it no length is known",
        )
    return spacing[0], spacing[1]


def _finite(found: Dataset, tag: int, count: int, path: Path) -> tuple[float, ...]:
    values = tags.numbers(found, tag)
    if values is None or len(values) != count or not all(map(math.isfinite, values)):
        raise GeometryError(
            f"{tags.NAMES[tag]} is {shown(found, tag)}; {count} finite numbers are needed",
            where=path,
            hint="export the original series from the scanner or PACS; a secondary capture has no geometry",
        )
    return values


def _scale(found: Dataset, tag: int, default: float, path: Path) -> float:
    value = tags.number(found, tag)
    if value is None and tags.raw_bytes(found, tag) is None:
        return default
    if value is None or not math.isfinite(value) or (tag == tags.SLOPE and value == 0):
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


def _classic_marks(found: Dataset, header: Header) -> Marks:
    marks: list[tuple[str, float | str]] = []
    for name, tag in _MARKS:
        value = tags.number(found, tag)
        if value is not None and math.isfinite(value):
            marks.append((name, value))
    marks.append(("image type", "\\".join(header.image_type)))
    for tag in _TIMES:
        if time := tags.text(found, tag):
            marks.append(("time of day", time))
            break
    return tuple(marks)
