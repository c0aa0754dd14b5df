"""NRRD headers, of `.nrrd` and Slicer's `.seg.nrrd`, as a `gate.Header`: every space becomes LPS here.

References
----------
"Definition of NRRD File Format", https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing import gate
from meshing.importing.limits import Limits
from meshing.importing.unpack import Packing

_DTYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t", "signed long long"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **dict.fromkeys(("float",), "f4"),
    **dict.fromkeys(("double",), "f8"),
}

_PACKINGS: dict[str, Packing] = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}

# Signs that carry the axes of each space to L, P, S.
_TO_LPS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
}

_MM_PER_UNIT = {"mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}

# Kinds of a fourth axis whose samples are volumes of their own; every other kind makes them parts of one value.
_PHASE_KINDS = ("list", "time", "domain", "none", "???", "")


def is_nrrd(first: bytes) -> bool:
    """Whether bytes begin as a NRRD file does."""
    return first.startswith(b"NRRD")


def read_header(path: Path, limits: Limits) -> gate.Header:
    """The judged header of a NRRD that holds its own voxels.

    Raises
    ------
    DamagedFileError, TooLargeError, UnsupportedError, GeometryError
        As `gate.judged`; UnsupportedError also for detached voxels, text encodings and colours.
    """
    lines, begins_at = _lines(path, limits)
    fields = _fields(lines, path)
    if "data file" in fields or "datafile" in fields:
        raise gate.refuse_detached(path, "NRRD with a data file of its own")
    try:
        header = _header(fields, begins_at, path)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise DamagedFileError(f"its NRRD header is damaged: {error}", where=path, hint="export it again") from error
    return gate.judged(header, path, limits)


def _lines(path: Path, limits: Limits) -> tuple[list[str], int]:
    """The lines of the header, and where the voxels begin: after the first empty one."""
    lines: list[str] = []
    with path.open("rb") as stream:
        while (line := stream.readline(limits.max_header_bytes)) not in (b"\n", b"\r\n"):
            if not line or stream.tell() > limits.max_header_bytes:
                raise DamagedFileError(
                    f"its NRRD header has no end within {stream.tell()} bytes",
                    where=path,
                    hint="a header whose voxels lie in another file is not read; save both in one .nrrd",
                )
            # pynrrd would drop what is not ASCII, and with it every Chinese name.
            lines.append(line.decode("utf-8", "replace"))
        return lines, stream.tell()


def _fields(lines: list[str], path: Path) -> dict[str, Any]:
    import nrrd

    try:
        # An iterator: pynrrd takes a lone string for a file name.
        with np.errstate(all="ignore"):
            return dict(nrrd.read_header(iter(lines)))
    except Exception as error:
        raise DamagedFileError(
            f"its NRRD header is damaged: {type(error).__name__}", where=path, hint="export it again"
        ) from error


def _header(fields: dict[str, Any], begins_at: int, path: Path) -> gate.Header:
    sizes = [int(size) for size in fields["sizes"]]
    if int(fields["dimension"]) != len(sizes):
        raise ValueError(f"{len(sizes)} sizes for {fields['dimension']} dimensions")
    for skip in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(skip, 0) != 0:
            raise UnsupportedError(f"its voxels do not follow its header ({skip})", where=path, hint="save it again")
    phase_axis = _phase_axis(fields, sizes, path)
    if phase_axis is None:
        shape, phases = sizes, 1
    else:
        shape, phases = [size for axis, size in enumerate(sizes) if axis != phase_axis], sizes[phase_axis]
    first: Literal["first", "last"] = "first" if phase_axis == 0 else "last"
    return gate.Header(
        format="NRRD",
        shape=(shape[0], shape[1], shape[2]),
        phases=phases,
        phase_axis=first,
        dtype=_dtype(fields, path),
        voxel_to_patient=_voxel_to_patient(fields, path),
        packing=_packing(fields, path),
        packed_from=begins_at,
        fields={key: str(value) for key, value in fields.items() if key.startswith("Segment")},
    )


def _phase_axis(fields: dict[str, Any], sizes: list[int], path: Path) -> int | None:
    """Which storage axis counts volumes, or None; the three others lie in space."""
    if len(sizes) == 3:
        return None
    directions = _directions(fields, path)
    beside = [axis for axis, row in enumerate(directions) if not np.isfinite(row).all()]
    kinds = fields.get("kinds", [""] * len(sizes))
    if len(sizes) != 4 or beside not in ([0], [3]) or kinds[beside[0]].lower() not in _PHASE_KINDS:
        raise UnsupportedError(
            f"it holds {' × '.join(map(str, sizes))} values of kinds {' '.join(kinds)}: not one value per voxel",
            where=path,
            hint="save a grey-scale volume",
        )
    return beside[0]


def _dtype(fields: dict[str, Any], path: Path) -> np.dtype[Any]:
    kind = str(fields["type"]).lower()
    if kind not in _DTYPES:
        raise UnsupportedError(f"its voxels are of NRRD type {kind!r}", where=path, hint="save it as short")
    dtype = np.dtype(_DTYPES[kind])
    if dtype.itemsize > 1:
        dtype = dtype.newbyteorder({"little": "<", "big": ">"}[str(fields["endian"]).lower()])  # type: ignore[arg-type]  # mypy forgets that the values are "<" and ">"
    return dtype


def _packing(fields: dict[str, Any], path: Path) -> Packing:
    encoding = str(fields["encoding"]).lower()
    if encoding not in _PACKINGS:
        raise UnsupportedError(f"its encoding {encoding!r} is not read here", where=path, hint="save it as gzip or raw")
    return _PACKINGS[encoding]


def _voxel_to_patient(fields: dict[str, Any], path: Path) -> FloatArray:
    space = str(fields.get("space", "")).lower()
    if space not in _TO_LPS:
        raise GeometryError(
            f"its space is {space or 'not given'}: which way the patient lies cannot be told",
            where=path,
            hint="save it with the space left-posterior-superior",
        )
    rows = [row for row in _directions(fields, path) if np.isfinite(row).all()]
    origin = np.asarray(fields["space origin"], dtype=np.float64)
    if len(rows) != 3 or origin.shape != (3,):
        raise GeometryError(f"it gives {len(rows)} axes and {origin.size} numbers of origin in space", where=path)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(rows, axis=1)
    matrix[:3, 3] = origin
    to_lps_mm = np.diag((*_TO_LPS[space], 1.0))
    to_lps_mm[:3, :3] *= _mm_per_unit(fields, path)
    patient: FloatArray = to_lps_mm @ matrix
    return patient


def _directions(fields: dict[str, Any], path: Path) -> FloatArray:
    """(axes, 3); a row of NaN is an axis outside space."""
    if "space directions" not in fields:
        raise GeometryError("it has no space directions", where=path, hint="save it with its orientation")
    given = fields["space directions"]
    rows = [np.full(3, np.nan) if row is None else np.asarray(row, dtype=np.float64) for row in given]
    if len(rows) != len(fields["sizes"]) or any(row.shape != (3,) for row in rows):
        raise GeometryError(f"its {len(rows)} space directions do not fit {len(fields['sizes'])} axes", where=path)
    return np.stack(rows)


def _mm_per_unit(fields: dict[str, Any], path: Path) -> float:
    units = {str(unit).strip().lower() for unit in fields.get("space units", [""])}
    if len(units) != 1 or not units <= set(_MM_PER_UNIT):
        raise GeometryError(f"its lengths are in {' and '.join(sorted(units))}, not in mm", where=path)
    return _MM_PER_UNIT[units.pop()]
