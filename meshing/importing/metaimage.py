"""MetaImage headers, of `.mha`, as a `gate.Header`. No native reader sees the file: header and voxels are simple.

References
----------
"MetaIO/Documentation" of ITK, https://docs.itk.org/en/latest/learn/metaio.html; MetaImage positions are LPS mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing import gate
from meshing.importing.limits import Limits

_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    # MetaIO's LONG is four bytes on every system (metaTypes.h).
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_CHANNELS = "elementnumberofchannels"

# Names under which the same numbers are found.
_GEOMETRY = {
    "ElementSpacing": ("elementspacing", "elementsize"),
    "Offset": ("offset", "position", "origin"),
    "TransformMatrix": ("transformmatrix", "rotation", "orientation"),
}


def is_metaimage(first: bytes) -> bool:
    """Whether bytes begin as a MetaImage header does."""
    return first.lstrip()[:32].replace(b" ", b"").startswith((b"ObjectType=", b"NDims=", b"Comment="))


def read_header(path: Path, limits: Limits) -> gate.Header:
    """The judged header of a MetaImage that holds its own voxels.

    Raises
    ------
    DamagedFileError, TooLargeError, UnsupportedError, GeometryError
        As `gate.judged`; UnsupportedError also for detached voxels, text and several values per voxel.
    """
    fields, begins_at = _fields(path, limits)
    try:
        header = _header(fields, begins_at, path)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise DamagedFileError(
            f"its MetaImage header is damaged: {error}", where=path, hint="export it again"
        ) from error
    return gate.judged(header, path, limits)


def _fields(path: Path, limits: Limits) -> tuple[dict[str, str], int]:
    """Keys in lower case with their text, and where the voxels begin: after the line that names the data file."""
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        while "elementdatafile" not in fields:
            line = stream.readline(limits.max_header_bytes)
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            key = key.strip().lower()
            if not equals or not line.endswith(b"\n") or key in fields or stream.tell() > limits.max_header_bytes:
                raise DamagedFileError(
                    f"its MetaImage header is damaged before byte {stream.tell()}", where=path, hint="export it again"
                )
            fields[key] = value.strip()
        return fields, stream.tell()


def _header(fields: dict[str, str], begins_at: int, path: Path) -> gate.Header:
    if fields["elementdatafile"].upper() != "LOCAL":
        raise gate.refuse_detached(path, "MetaImage with a data file of its own")
    _judge_kind(fields, path)
    dimensions = int(fields["ndims"])
    if dimensions not in (3, 4):
        raise UnsupportedError(f"it has {dimensions} dimensions", where=path, hint="save a volume")
    sizes = _numbers(fields["dimsize"], dimensions, int)
    packed = _flag(fields, "compresseddata")
    if packed and (size := int(fields.get("compresseddatasize", "0"))) > path.stat().st_size - begins_at:
        raise DamagedFileError(f"it ends before the {size} packed bytes that it promises", where=path)
    return gate.Header(
        format="MetaImage",
        shape=(sizes[0], sizes[1], sizes[2]),
        phases=sizes[3] if dimensions == 4 else 1,
        dtype=_dtype(fields),
        voxel_to_patient=_voxel_to_patient(fields, dimensions, path),
        packing="zlib" if packed else "raw",
        packed_from=begins_at,
    )


def _judge_kind(fields: dict[str, str], path: Path) -> None:
    if (kind := fields.get("objecttype", "Image").lower()) != "image":
        raise UnsupportedError(f"it is a MetaIO {kind!r}, not an image", where=path)
    if fields["elementtype"].upper() not in _DTYPES:
        raise UnsupportedError(f"its voxels are of type {fields['elementtype']!r}", where=path, hint="save it as short")
    if int(fields.get(_CHANNELS, "1")) != 1:
        raise UnsupportedError(
            f"it holds {fields[_CHANNELS]} values per voxel", where=path, hint="save a grey-scale volume"
        )
    if not _flag(fields, "binarydata", default=True) or int(fields.get("headersize", "0")) != 0:
        raise UnsupportedError("its voxels are text, or do not follow its header", where=path, hint="save it again")


def _dtype(fields: dict[str, str]) -> np.dtype[Any]:
    big = any(_flag(fields, key) for key in ("binarydatabyteordermsb", "elementbyteordermsb"))
    return np.dtype(_DTYPES[fields["elementtype"].upper()]).newbyteorder(">" if big else "<")


def _voxel_to_patient(fields: dict[str, str], dimensions: int, path: Path) -> FloatArray:
    """TransformMatrix lists the axes one after another, so that it holds the transposed direction matrix."""
    wanted = {name: next((key for key in keys if key in fields), None) for name, keys in _GEOMETRY.items()}
    if missing := [name for name, key in wanted.items() if key is None]:
        # MetaIO would take spacing 1 and the identity.
        raise GeometryError(f"it lacks {', '.join(missing)}", where=path, hint="save it with its position in space")
    spacing, offset, axes = (fields[key] for key in wanted.values() if key)
    lengths = np.array(_numbers(spacing, dimensions, float)[:3])
    if not lengths.min() > 0:
        raise GeometryError(f"its spacing is {spacing} mm", where=path, hint="save it with its spacing")
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(_numbers(axes, dimensions**2, float), (dimensions, dimensions))[:3, :3].T * lengths
    matrix[:3, 3] = _numbers(offset, dimensions, float)[:3]
    return matrix


def _numbers(text: str, count: int, kind: type) -> list[Any]:
    """`count` numbers.

    Raises
    ------
    ValueError
        If the text holds fewer or more.
    """
    numbers = [kind(word) for word in text.split()[: count + 1]]
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers where {count} belong")
    return numbers


def _flag(fields: dict[str, str], name: str, default: bool = False) -> bool:
    return fields[name][:1].upper() in ("T", "1") if name in fields else default
