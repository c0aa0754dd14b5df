"""The allow-list: the only header values, besides geometry, that leave this room. Numbers, and words from closed lists.

Free text never passes, however useful it looks: a series description, a protocol name or a comment may name the
patient. A word that is on no list is dropped without a trace.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshing.importing.dicom import tags
from meshing.importing.dicom.headers import Technique
from meshing.importing.dicom.kinds import modality_of_class

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def _terms(words: str) -> frozenset[str]:
    return frozenset(words.split())


# PS3.3 C.7.3.1.1.1, the defined terms that images of a body carry.
MODALITIES = _terms(
    "CT MR PT NM US XA RF CR DX MG IO PX SC OT SR PR KO SEG RTIMAGE RTDOSE RTSTRUCT RTPLAN RTRECORD REG DOC ECG "
    "ES XC GM SM OP OPT OCT IVUS IVOCT BI BMD FID HD M3D PLAN RWV TG VA"
)

# PS3.16 annex L, the defined terms scanners write most.
_BODY_PARTS = _terms(
    "ABDOMEN ABDOMENPELVIS ANKLE AORTA ARM BRAIN BREAST CAROTID CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX "
    "CSPINE CTSPINE ELBOW EXTREMITY FEMUR FINGER FOOT HAND HEAD HEADNECK HEART HIP HUMERUS IAC JAW KIDNEY KNEE LEG "
    "LIVER LSPINE LSSPINE LUNG NECK NECKCHEST ORBIT PANCREAS PELVIS PROSTATE SHOULDER SINUS SKULL SPINE SSPINE TLSPINE "
    "THIGH TSPINE UTERUS WHOLEBODY WRIST"
)
_POSITIONS = _terms("HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL")
_IMAGE_TYPES = _terms(
    "ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER HELIX HELICAL VOLUME MPR MIP MINIP AVERAGE PROJECTION_IMAGE "
    "REFORMATTED RESAMPLED CPR M P R I MAGNITUDE PHASE PHASE_MAP REAL IMAGINARY M_FFE M_SE M_IR ADC TRACEW FA "
    "DIFFUSION WATER FAT IN_PHASE OPP_PHASE OUT_PHASE IP OP W F SUB SUBTRACTION DYNAMIC STATIC WHOLE_BODY GATED "
    "RECON TOMO PERFUSION CBF CBV MTT TTP T1 T2 PROTON_DENSITY ND NORM DIS2D DIS3D MONO NONE MIXED OTHER"
)
# Kernel names follow these makers' patterns; a name outside them may be anything.
_KERNEL = re.compile(
    r"[BHUTIDQ][a-z]?\d{2}[fhsvzmp]?|FC\d{2}|STANDARD|SOFT|DETAIL|BONE|BONEPLUS|LUNG|EDGE|CHEST|ULTRA|[ABCDELY][AB]?"
)
_UNITS = {"BQML": "Bq/ml", "CNTS": "counts", "GML": "g/ml", "CM2ML": "cm²/ml", "PROPCNTS": "proportional to counts"}

_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d(?:\.\d{1,6})?)?")

_NUMBERS = {
    "kvp": (tags.KVP, 1.0, 1000.0),
    "slice_thickness_mm": (tags.SLICE_THICKNESS, 1e-3, 1000.0),
    "repetition_time_ms": (tags.REPETITION_TIME, 0.0, 1e6),
    "echo_time_ms": (tags.ECHO_TIME, 0.0, 1e6),
    "inversion_time_ms": (tags.INVERSION_TIME, 0.0, 1e6),
    "field_strength_t": (tags.FIELD_STRENGTH, 1e-3, 100.0),
}


def modality_of(header: Dataset) -> str:
    """A defined term: as the header says, else as its SOP class implies, else "OT"."""
    modality = tags.text(header, tags.MODALITY)
    return modality if modality in MODALITIES else modality_of_class(tags.text(header, tags.SOP_CLASS))


def image_type_of(header: Dataset, tag: int = tags.IMAGE_TYPE) -> tuple[str, ...]:
    """The words of ImageType that are defined terms, in their order."""
    return tuple(word for word in tags.text(header, tag).split("\\") if word.strip() in _IMAGE_TYPES)


def unit_of(header: Dataset, modality: str) -> str:
    """ "HU" for CT that does not say otherwise, PET's units, else "" for arbitrary ones."""
    if modality == "CT":
        return "HU" if tags.text(header, tags.RESCALE_TYPE) in ("", "HU") else ""
    return _UNITS.get(tags.text(header, tags.UNITS), "")


def acquired_s(header: Dataset) -> float | None:
    """When it was acquired, in seconds; only differences leave this room, as a date would help to name the patient."""
    stamp = tags.text(header, tags.ACQUISITION_DATETIME)
    if not stamp:
        for date, time in (
            (tags.ACQUISITION_DATE, tags.ACQUISITION_TIME),
            (tags.CONTENT_DATE, tags.CONTENT_TIME),
        ):
            if clock := tags.text(header, time):
                stamp = (tags.text(header, date) or "19000101") + clock
                break
    parts = _STAMP.match(stamp)
    if parts is None:
        return None
    year, month, day, hour, minute = (int(part) for part in parts.groups(default="0")[:5])
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() + float(parts[6] or 0)
    except ValueError:
        return None


def technique_of(header: Dataset) -> Technique:
    """(name, value) of each technical fact that is there and on the list."""
    found: list[tuple[str, float | str | bool]] = []
    for name, (tag, lowest, highest) in _NUMBERS.items():
        value = tags.number(header, tag)
        if value is not None and math.isfinite(value) and lowest <= value <= highest:
            found.append((name, value))
    for name, tag, terms in (
        ("body_part", tags.BODY_PART, _BODY_PARTS),
        ("patient_position", tags.PATIENT_POSITION, _POSITIONS),
    ):
        word = tags.text(header, tag)
        if word in terms:
            found.append((name, word))
    kernel = tags.text(header, tags.KERNEL).split("\\")[0]
    if _KERNEL.fullmatch(kernel):
        found.append(("kernel", kernel))
    if tags.raw_bytes(header, tags.CONTRAST_AGENT):
        found.append(("contrast_agent", True))
    return tuple(found)
