"""Header values straight from their raw bytes: bounded, silent, and nothing but the tags asked for.

pydicom parses the structure; values are decoded here, so that a malformed one yields None and no warning that
would quote a patient's header.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SOP_CLASS = 0x00080016
SOP_INSTANCE = 0x00080018
IMAGE_TYPE = 0x00080008
ACQUISITION_DATE = 0x00080022
CONTENT_DATE = 0x00080023
ACQUISITION_DATETIME = 0x0008002A
ACQUISITION_TIME = 0x00080032
CONTENT_TIME = 0x00080033
MODALITY = 0x00080060
CONTRAST_AGENT = 0x00180010
BODY_PART = 0x00180015
SLICE_THICKNESS = 0x00180050
KVP = 0x00180060
REPETITION_TIME = 0x00180080
ECHO_TIME = 0x00180081
INVERSION_TIME = 0x00180082
ECHO_NUMBER = 0x00180086
FIELD_STRENGTH = 0x00180087
TRIGGER_TIME = 0x00181060
GANTRY_TILT = 0x00181120
CARDIAC_PHASE = 0x00209241
KERNEL = 0x00181210
PATIENT_POSITION = 0x00185100
B_VALUE = 0x00189087
STUDY = 0x0020000D
SERIES = 0x0020000E
SERIES_NUMBER = 0x00200011
ACQUISITION_NUMBER = 0x00200012
INSTANCE_NUMBER = 0x00200013
POSITION = 0x00200032
ORIENTATION = 0x00200037
FRAME_OF_REFERENCE = 0x00200052
TEMPORAL_POSITION = 0x00200100
SAMPLES = 0x00280002
PHOTOMETRIC = 0x00280004
FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
PIXEL_SPACING = 0x00280030
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
HIGH_BIT = 0x00280102
SIGNED = 0x00280103
PADDING = 0x00280120
PADDING_LIMIT = 0x00280121
INTERCEPT = 0x00281052
SLOPE = 0x00281053
RESCALE_TYPE = 0x00281054
MODALITY_LUT = 0x00283000
UNITS = 0x00541001
SHARED_GROUPS = 0x52009229
FRAME_GROUPS = 0x52009230

FRAME_TYPE_SEQUENCES = (0x00189226, 0x00189329, 0x00189751)  # MR, CT, PET Image Frame Type
FRAME_TYPE = 0x00089007
FRAME_CONTENT = 0x00209111
PLANE_POSITION = 0x00209113
PLANE_ORIENTATION = 0x00209116
PIXEL_MEASURES = 0x00289110
PIXEL_TRANSFORMATION = 0x00289145
MR_ECHO = 0x00189114
EFFECTIVE_ECHO_TIME = 0x00189082
MR_DIFFUSION = 0x00189117
CARDIAC_SYNCHRONIZATION = 0x00189118
NOMINAL_TRIGGER_DELAY = 0x00209153
TEMPORAL_INDEX = 0x00209128
FRAME_ACQUISITION_NUMBER = 0x00209156
STACK_ID = 0x00209056

NAMES = {
    POSITION: "ImagePositionPatient (0020,0032)",
    ORIENTATION: "ImageOrientationPatient (0020,0037)",
    PIXEL_SPACING: "PixelSpacing (0028,0030)",
    ROWS: "Rows (0028,0010)",
    COLUMNS: "Columns (0028,0011)",
    BITS_ALLOCATED: "BitsAllocated (0028,0100)",
    BITS_STORED: "BitsStored (0028,0101)",
    HIGH_BIT: "HighBit (0028,0102)",
    SLOPE: "RescaleSlope (0028,1053)",
    INTERCEPT: "RescaleIntercept (0028,1052)",
}

HEADER_TAGS = [value for name, value in list(globals().items()) if type(value) is int and name.isupper()]

# Value representations whose bytes are numbers (PS3.5 §6.2); "" for those whose bytes are text.
_CODES = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "DS": "", "IS": ""}

# The same by tag, as implicit VR files do not say.
_BINARY = {
    SAMPLES: "H",
    ROWS: "H",
    COLUMNS: "H",
    BITS_ALLOCATED: "H",
    BITS_STORED: "H",
    HIGH_BIT: "H",
    SIGNED: "H",
    PADDING: "H",  # US or SS, which `layout` settles
    PADDING_LIMIT: "H",
    B_VALUE: "d",
    CARDIAC_PHASE: "f",
    EFFECTIVE_ECHO_TIME: "d",
    NOMINAL_TRIGGER_DELAY: "d",
    TEMPORAL_INDEX: "I",
    FRAME_ACQUISITION_NUMBER: "H",
}


def raw_bytes(header: Dataset, tag: int) -> bytes | None:
    """The bytes of an element, or None when it is absent or empty; as text where pydicom has converted it already."""
    value = getattr(header.get_item(tag), "value", None)
    if value is None or isinstance(value, bytes):
        return value or None
    parts = [value] if isinstance(value, str | int | float) else list(value)
    return "\\".join(map(str, parts)).encode("ascii", "replace") or None


def text(header: Dataset, tag: int) -> str:
    """The element as ASCII text, without padding; "" when absent."""
    raw = raw_bytes(header, tag)
    return raw.decode("ascii", "replace").strip(" \0\t\r\n") if raw else ""


def numbers(header: Dataset, tag: int) -> tuple[float, ...] | None:
    """All numbers of the element; None when it is absent, empty or not numeric. May hold NaN or infinities."""
    raw, element = raw_bytes(header, tag), header.get_item(tag)
    if raw is None:
        return None
    code = _CODES.get(getattr(element, "VR", None) or "", _BINARY.get(tag))
    try:
        if code and isinstance(getattr(element, "value", None), bytes):
            return _unpack(raw, code, "<" if getattr(element, "is_little_endian", True) else ">")
        return tuple(float(part) for part in raw.decode("ascii").strip(" \0").split("\\"))
    except (ValueError, struct.error):
        return None


def number(header: Dataset, tag: int) -> float | None:
    """The first number of the element, or None."""
    found = numbers(header, tag)
    return found[0] if found else None


def integer(header: Dataset, tag: int) -> int | None:
    """The first number of the element when it is a whole one, else None."""
    found = number(header, tag)
    return int(found) if found is not None and found == found and abs(found) < 2**53 and found == int(found) else None


def items(header: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; none when it is absent or no sequence."""
    if tag not in header:
        return []
    value: Any = header[tag].value
    return list(value) if value is not None and not isinstance(value, str | bytes) else []


def _unpack(raw: bytes, code: str, order: str) -> tuple[float, ...]:
    count = len(raw) // struct.calcsize(code)
    if not count:
        raise ValueError("too short")
    return tuple(float(value) for value in struct.unpack_from(f"{order}{count}{code}", raw))
