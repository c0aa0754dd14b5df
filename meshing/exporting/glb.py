"""The binary container of glTF 2.0: one JSON chunk, one chunk of bytes.

`write_glb` streams it out, `read_glb` takes it apart again and believes nothing.

References
----------
glTF 2.0 §4 "GLB File Format Specification".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError, NotFoundError, TooLargeError
from meshing.exporting.fields import Fields, parse_object

ALIGNMENT = 4
MAX_BYTES = 2**32 - 1
"""The header counts bytes in an unsigned 32-bit number."""

_MAGIC = b"glTF"
_VERSION = 2
_JSON = 0x4E4F534A
_BINARY = 0x004E4942


@dataclass(frozen=True, eq=False)
class Glb:
    """A file taken apart: its JSON, and the bytes that buffer views point into."""

    root: Fields
    binary: memoryview


def write_glb(file: BinaryIO, document: Mapping[str, Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
    """`file` holds the document, and the arrays one after the other, each padded to 4 bytes.

    Raises
    ------
    TooLargeError
        If it would pass the 4 GiB that the format can count.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * padding(len(text))
    size = sum(array.nbytes + padding(array.nbytes) for array in arrays)
    total = 12 + 8 + len(text) + 8 + size
    if total > MAX_BYTES:
        raise TooLargeError(f"the model takes {total} bytes, GLB counts to {MAX_BYTES}", hint="give a triangle budget")
    file.write(struct.pack("<4sII", _MAGIC, _VERSION, total))
    file.write(struct.pack("<II", len(text), _JSON) + text)
    file.write(struct.pack("<II", size, _BINARY))
    for array in arrays:
        file.write(np.ascontiguousarray(array).tobytes())
        file.write(b"\0" * padding(array.nbytes))


def padding(size: int) -> int:
    """Bytes to add until `size` is a multiple of 4."""
    return -size % ALIGNMENT


def read_glb(path: Path) -> Glb:
    """The file taken apart.

    Stricter than the format: trailing bytes and unknown chunks are refused, for nobody would see what they hold.

    Raises
    ------
    DamagedFileError
        If lengths, magic numbers or the JSON are wrong.
    NotFoundError, TooLargeError
        If there is no such file, or one longer than the format allows.
    """
    if not path.is_file():
        raise NotFoundError("there is no such file", where=path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise TooLargeError(f"{size} bytes, GLB counts to {MAX_BYTES}", where=path)
    content = memoryview(path.read_bytes())
    _check_header(content)
    text, binary = _chunks(content)
    return Glb(Fields(parse_object(bytes(text)), ""), binary)


def _check_header(content: memoryview) -> None:
    if bytes(content[:4]) != _MAGIC:
        if bytes(content[:64]).lstrip()[:1] == b"{":
            raise DamagedFileError("JSON text named .glb", hint="the writer used the text form; name it .gltf")
        raise DamagedFileError(f"begins with {bytes(content[:4])!r}, wanted {_MAGIC!r}")
    if len(content) < 12:
        raise DamagedFileError(f"ends after {len(content)} bytes, inside its header")
    version, total = struct.unpack_from("<II", content, 4)
    if version != _VERSION:
        raise DamagedFileError(f"glTF version {version}, wanted {_VERSION}")
    if total != len(content):
        raise DamagedFileError(f"the header says {total} bytes, the file has {len(content)}")


def _chunks(content: memoryview) -> tuple[memoryview, memoryview]:
    """The JSON chunk and the binary chunk (empty where there is none)."""
    found: list[memoryview] = []
    at = 12
    for kind in (_JSON, _BINARY):
        if kind == _BINARY and at == len(content):
            return found[0], memoryview(b"")
        if at + 8 > len(content):
            raise DamagedFileError(f"ends after {len(content)} bytes, inside a chunk's header")
        length, found_kind = struct.unpack_from("<II", content, at)
        if found_kind != kind:
            raise DamagedFileError(f"the chunk at byte {at} is of kind {found_kind:#x}, wanted {kind:#x}")
        if length % ALIGNMENT or at + 8 + length > len(content):
            raise DamagedFileError(f"the chunk at byte {at} claims {length} bytes of {len(content) - at - 8}")
        found.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    if at != len(content):
        raise DamagedFileError(f"{len(content) - at} bytes follow the last chunk")
    return found[0], found[1]
