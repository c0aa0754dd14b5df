"""What a DICOM object is, told from its SOP class and image type (PS3.4 annex B.5, PS3.3 C.7.6.1.1.2)."""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."

SLICES = "slices"
"""Kind of an image that may be part of a volume; the grouping decides whether it is."""

_EXACT = {
    "2": SLICES,  # CT
    "2.1": SLICES,
    "2.2": SLICES,
    "4": SLICES,  # MR
    "4.1": SLICES,
    "4.4": SLICES,
    "4.2": "spectroscopy",
    "20": SLICES,  # nuclear medicine: multi-frame without positions is sorted out later
    "128": SLICES,  # PET
    "128.1": SLICES,
    "130": SLICES,
    "13.1.1": SLICES,  # X-ray 3D angiographic (cone beam)
    "13.1.2": SLICES,
    "1": "radiograph",
    "66": "raw data",
    "66.1": "registration",
    "66.2": "registration",
    "66.3": "registration",
    "66.4": "segmentation",
    "66.5": "surface segmentation",
    "66.6": "tracts",
    "67": "real world value mapping",
    "88.59": "key object selection",
    "104.1": "document",
    "104.2": "document",
    "104.3": "encapsulated model",
    "104.4": "encapsulated model",
    "104.5": "encapsulated model",
    "481.1": "radiotherapy image",
    "481.2": "radiotherapy dose",
    "481.3": "structure set",
    "481.5": "radiotherapy plan",
}

_STEMS = {
    "1": "radiograph",
    "3": "ultrasound",
    "6": "ultrasound",
    "7": "secondary capture",
    "9": "waveform",
    "11": "presentation state",
    "12": "cine",
    "13": "tomosynthesis",
    "30": "parametric map",
    "77": "photograph",
    "78": "eye measurement",
    "79": "eye measurement",
    "88": "report",
    "481": "radiotherapy object",
}

_BY_MODALITY = {
    "SR": "report",
    "PR": "presentation state",
    "KO": "key object selection",
    "SEG": "segmentation",
    "RTSTRUCT": "structure set",
    "RTDOSE": "radiotherapy dose",
    "RTPLAN": "radiotherapy plan",
    "REG": "registration",
}


_MODALITY_OF_STEM = {"2": "CT", "4": "MR", "20": "NM", "128": "PT", "130": "PT", "13": "XA"}


def modality_of_class(sop_class: str) -> str:
    """The modality that a SOP class of images implies, or "OT"."""
    return (
        _MODALITY_OF_STEM.get(sop_class.removeprefix(_STORAGE).split(".")[0], "OT") if is_storage(sop_class) else "OT"
    )


def is_storage(sop_class: str) -> bool:
    """Whether it is a storage class at all; a file without one may be anything."""
    return sop_class.startswith(_STORAGE)


def kind_of(sop_class: str, modality: str, image_type: tuple[str, ...]) -> str:
    """`SLICES`, or a word for something that is never a volume."""
    if "LOCALIZER" in image_type:
        return "scout"
    if not is_storage(sop_class):
        return _BY_MODALITY.get(modality, SLICES)
    leaf = sop_class.removeprefix(_STORAGE)
    return _EXACT.get(leaf) or _STEMS.get(leaf.split(".")[0], SLICES)
