"""The bytes of one untrusted file to its wanted elements: bounded, silent, stopping before the pixels."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshing.errors import DamagedFileError, TooLargeError
from meshing.importing.dicom import tags
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.unpack import inflate

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
UNCOMPRESSED = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

_HEAD_BYTES = 1 << 16
_TRANSFER_SYNTAX = 0x00020010
_PIXEL_ELEMENTS = (0x0010, 0x0008, 0x0009)
_LONG_FORM = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})


@dataclass(frozen=True)
class PixelElement:
    """The pixel element of a file.

    Parameters
    ----------
    offset
        Where its value starts.
    available
        Bytes from there to the end of the file.
    is_encapsulated
        Whether it holds compressed fragments (PS3.5 A.4).
    is_float
        Whether it holds floating-point pixels (7FE0,0008) or (7FE0,0009).
    """

    offset: int
    available: int
    is_encapsulated: bool
    is_float: bool


@dataclass(frozen=True, eq=False)
class Elements:
    """The wanted header elements of a file, its transfer syntax and, when it has pixels, where they are."""

    dataset: Dataset
    syntax: str
    pixels: PixelElement | None


def read_elements(path: Path, limits: Limits = DEFAULT) -> Elements | None:
    """The wanted elements of that file, or None when it is no DICOM file at all.

    Raises
    ------
    DamagedFileError, TooLargeError
        If it starts as DICOM and cannot be read on.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        if not looks_like_dicom(head):
            return None
        if named_syntax(head) == DEFLATED:
            plain = inflated_file(path, limits)
            dataset, end = _parse(plain, path)
            return Elements(dataset, DEFLATED, _pixel_element(plain, end, len(plain)))
        while len(head) < size:
            with suppress(DamagedFileError):
                dataset, end = _parse(head, path)
                if pixels := _pixel_element(head, end, size):
                    return Elements(dataset, named_syntax(head) or _seen_syntax(dataset), pixels)
            if len(head) >= limits.max_bytes:
                raise TooLargeError(f"the header is longer than {limits.max_bytes} bytes", where=path)
            # It ended inside the header: many frames, or a long sequence before the pixels.
            more = stream.read(7 * len(head))
            if not more:
                raise DamagedFileError("the file became shorter while it was read", where=path)
            head += more
    dataset, end = _parse(head, path)
    return Elements(dataset, named_syntax(head) or _seen_syntax(dataset), _pixel_element(head, end, size))


def inflated_file(path: Path, limits: Limits) -> bytes:
    """A deflated file as explicit little endian: preamble, meta group, inflated data set.

    References
    ----------
    DICOM PS3.5 A.5.
    """
    packed = path.read_bytes()
    end = max((start + length for _, start, length in _meta_elements(packed)), default=132)
    for tag, start, length in _meta_elements(packed):
        if tag == _TRANSFER_SYNTAX:
            packed = packed[:start] + EXPLICIT_LITTLE.encode().ljust(length, b"\0") + packed[start + length :]
    return packed[:end] + inflate(packed[end:], limits, where=path)


def looks_like_dicom(head: bytes) -> bool:
    """Whether these first bytes start a DICOM file, with the preamble of PS3.10 or, as old exports do, without."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 12:
        return False
    group, element = struct.unpack_from("<HH", head)
    if group not in (0x0002, 0x0008) or element > 0x0020:
        return False
    return head[4:6] in (b"UL", b"OB", b"CS", b"UI", b"DA") or struct.unpack_from("<I", head, 4)[0] <= 64


def named_syntax(head: bytes) -> str:
    """The transfer syntax that the meta group names, "" when it names none."""
    for tag, start, length in _meta_elements(head):
        if tag == _TRANSFER_SYNTAX:
            return head[start : start + length].decode("ascii", "replace").strip(" \0")
    return ""


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom while headers are read: its warnings quote values, and values name patients."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _meta_elements(head: bytes) -> Iterator[tuple[int, int, int]]:
    """(tag, start, length) of each element of group 0002, always explicit little endian (PS3.10 §7.1)."""
    at = 132 if head[128:132] == b"DICM" else 0
    while at + 12 <= len(head):
        group, element = struct.unpack_from("<HH", head, at)
        if group != 0x0002:
            return
        if head[at + 4 : at + 6] in _LONG_FORM:
            start, length = at + 12, struct.unpack_from("<I", head, at + 8)[0]
        else:
            start, length = at + 8, struct.unpack_from("<H", head, at + 6)[0]
        yield group << 16 | element, start, length
        at = start + length


def _parse(head: bytes, path: Path) -> tuple[Dataset, int]:
    """The wanted elements, and where the parse stopped: before the pixel element or at the end."""
    import pydicom

    stream = io.BytesIO(head)
    try:
        dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=tags.HEADER_TAGS)
    except Exception as error:
        raise DamagedFileError(
            f"the header cannot be read ({type(error).__name__})", where=path, hint="copy or export the file again"
        ) from None  # the cause quotes header values
    return dataset, stream.tell()


def _pixel_element(head: bytes, at: int, size: int) -> PixelElement | None:
    for order in "<>":
        if at + 12 > len(head):
            return None
        group, element = struct.unpack_from(f"{order}HH", head, at)
        if group == 0x7FE0 and element in _PIXEL_ELEMENTS:
            start = at + (12 if head[at + 4 : at + 6] in _LONG_FORM else 8)
            declared = struct.unpack_from(f"{order}I", head, start - 4)[0]
            return PixelElement(start, max(size - start, 0), declared == 0xFFFFFFFF, element != 0x0010)
    return None


def _seen_syntax(dataset: Dataset) -> str:
    """The transfer syntax as pydicom found the data set to be encoded, for a file that names none."""
    implicit, little = dataset.original_encoding
    if implicit or implicit is None:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if little else EXPLICIT_BIG
