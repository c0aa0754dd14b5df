"""The gate before any pixel is read: sizes, bits and the length of the file must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshing.errors import DamagedFileError, UnsupportedError
from meshing.importing.dicom import tags
from meshing.importing.dicom.headers import Header, PixelLayout
from meshing.importing.dicom.reading import EXPLICIT_BIG, UNCOMPRESSED, Elements

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_AGAIN = "copy or export the file again"


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
    if elements.pixels is None:
        raise DamagedFileError("the file is truncated: it ends before its pixel data", where=path, hint=_AGAIN)
    for tag, size in ((tags.ROWS, header.rows), (tags.COLUMNS, header.columns)):
        if size < 1:
            raise DamagedFileError(f"{tags.NAMES[tag]} is {size}", where=path, hint=_AGAIN)
    bits, stored, high = _bits(found, header)
    if tags.items(found, tags.MODALITY_LUT):
        raise UnsupportedError("its values go through a modality lookup table, which is not read here", where=path)
    is_signed = tags.integer(found, tags.SIGNED) == 1
    is_compressed = elements.syntax not in UNCOMPRESSED
    if elements.pixels.is_encapsulated and not is_compressed:
        raise DamagedFileError("its pixels are compressed, and its transfer syntax denies it", where=path, hint=_AGAIN)
    needed = header.rows * header.columns * header.frame_count * bits // 8
    if not is_compressed and elements.pixels.available < needed:
        raise DamagedFileError(
            f"the file is truncated: {elements.pixels.available} of {needed} bytes of pixel data are there",
            where=path,
            hint=_AGAIN,
        )
    return PixelLayout(
        offset=elements.pixels.offset,
        is_compressed=is_compressed,
        is_big_endian=elements.syntax == EXPLICIT_BIG,
        bits=bits,
        bits_stored=stored,
        high_bit=high,
        is_signed=is_signed,
        padding=_padding(found, is_signed),
    )


def _bits(found: Dataset, header: Header) -> tuple[int, int, int]:
    bits = tags.integer(found, tags.BITS_ALLOCATED) or 16
    stored = tags.integer(found, tags.BITS_STORED) or bits
    high = tags.integer(found, tags.HIGH_BIT)
    high = stored - 1 if high is None else high
    if bits not in (8, 16, 32):
        raise UnsupportedError(
            f"{tags.NAMES[tags.BITS_ALLOCATED]} is {bits}; 8, 16 and 32 are read", where=header.path, hint=_AGAIN
        )
    if not 1 <= stored <= bits or not stored - 1 <= high < bits:
        raise DamagedFileError(
            f"{stored} bits stored up to bit {high} do not fit into {bits} allocated ones",
            where=header.path,
            hint=_AGAIN,
        )
    return bits, stored, high


def _padding(found: Dataset, is_signed: bool) -> tuple[int, int] | None:
    """PixelPaddingValue and its range limit as stored values; their VR follows PixelRepresentation (PS3.5 A.1)."""
    value = tags.integer(found, tags.PADDING)
    if value is None:
        return None
    limit = tags.integer(found, tags.PADDING_LIMIT)
    ends = [value, value if limit is None else limit]
    # Whatever VR it was written in, its 16 bits mean what the pixels' bits mean.
    low = -0x8000 if is_signed else 0
    ends = [(end - low) % 0x10000 + low for end in ends]
    return min(ends), max(ends)
