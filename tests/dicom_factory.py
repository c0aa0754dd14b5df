"""Small valid DICOM files made for tests, and their ground truth; every defect is one change to a `Made`.

A `Made` series knows the real value of every voxel and where it lies, by construction and by no reader's word.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from tests.dicom_encoders import ENCODERS

FloatArray = npt.NDArray[np.float64]

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg 2000": JPEG2000Lossless,
}

SALT = "1.2.826.0.1.3680043.10.1"


@dataclass(frozen=True, eq=False)
class Made:
    """A series and its truth.

    Parameters
    ----------
    files
        One data set per file, in slice order.
    values
        (I, J, K) real values, or (I, J, frames) of a multi-frame file.
    voxel_to_patient
        (4, 4) of an even stack; sheared for a tilted one.
    positions
        (K, 3) LPS mm of the first voxel of every slice.
    """

    files: list[FileDataset]
    values: FloatArray
    voxel_to_patient: FloatArray
    positions: FloatArray


def direction(euler_deg: Sequence[float] = (0.0, 0.0, 0.0)) -> FloatArray:
    """(3, 3) rotation about L, P and S in turn; its columns are rows, columns and normal."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(euler_deg)):
        first, second = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def stack(
    shape: tuple[int, int, int] = (9, 7, 6),
    *,
    spacing: tuple[float, float, float] = (0.8, 1.1, 2.5),
    axes: FloatArray | None = None,
    origin: Sequence[float] = (-31.5, 12.25, 107.75),
    tilt_deg: float = 0.0,
    depths: Sequence[float] | None = None,
    field: Callable[[FloatArray], FloatArray] | None = None,
    modality: str = "CT",
    signed: bool = False,
    slope: float = 1.0,
    intercept: float = -1024.0,
    seed: int = 1,
) -> Made:
    """A classic series of `shape` (columns, rows, slices) with random stored values of 12 bits.

    Parameters
    ----------
    tilt_deg
        How far the line of positions leans from the normal, towards the rows' direction.
    depths
        Of each slice along the normal, in mm; None means even `spacing`.
    field
        (..., 3) LPS mm → real values (..., ), rounded into the stored ones; None means random ones.
    """
    axes = direction() if axes is None else axes
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.array(spacing)
    matrix[:3, 2] += axes[:, 1] * spacing[2] * np.tan(np.radians(tilt_deg))
    matrix[:3, 3] = origin
    steps = np.arange(shape[2]) if depths is None else np.array(depths) / spacing[2]
    positions = matrix[:3, 3] + steps[:, None] * matrix[:3, 2]
    stored = _stored(shape, positions, matrix, field, (signed, slope, intercept, seed))
    series, study, frame = (uid(f"{seed} {name}") for name in ("series", "study", "frame"))
    files = []
    for k, position in enumerate(positions):
        file = image(stored[:, :, k], modality=modality, signed=signed, slope=slope, intercept=intercept)
        file.SeriesInstanceUID, file.StudyInstanceUID, file.FrameOfReferenceUID = series, study, frame
        file.InstanceNumber, file.SeriesNumber = k + 1, seed
        rename(file, f"{seed} slice {k}")
        place(file, position, axes, spacing[:2])
        files.append(file)
    return Made(files, stored * slope + intercept, matrix, positions)


def _stored(
    shape: tuple[int, int, int],
    positions: FloatArray,
    matrix: FloatArray,
    field: Callable[[FloatArray], FloatArray] | None,
    scale: tuple[bool, float, float, int],
) -> npt.NDArray[np.int64]:
    signed, slope, intercept, seed = scale
    low = -1024 if signed else 0
    if field is None:
        return np.random.default_rng(seed).integers(low, low + 4096, shape)
    i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
    points = positions[k] + i[..., None] * matrix[:3, 0] + j[..., None] * matrix[:3, 1]
    return np.rint((field(points) - intercept) / slope).astype(np.int64)


def image(
    stored: npt.NDArray[np.int64],
    *,
    modality: str = "CT",
    signed: bool = False,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> FileDataset:
    """One classic image of the stored values, (columns, rows), placed nowhere yet."""
    file = blank(CTImageStorage if modality == "CT" else MRImageStorage)
    file.Modality, file.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    file.RescaleSlope, file.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
    describe_pixels(file, stored.T, signed)
    return file


def describe_pixels(file: Dataset, stored: npt.NDArray[np.int64], signed: bool) -> None:
    """Put 16-bit pixels, (rows, columns) or (frames, rows, columns), into the file."""
    file.Rows, file.Columns = stored.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    file.PixelRepresentation = int(signed)
    file.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()


def blank(sop_class: str) -> FileDataset:
    """A file of that class with meta information and nothing else."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop_class, ExplicitVRLittleEndian
    meta.ImplementationClassUID = SALT
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SpecificCharacterSet = sop_class, "ISO_IR 192"
    file.StudyInstanceUID, file.SeriesInstanceUID = uid("study"), uid(f"series of {sop_class}")
    file.SeriesNumber, file.InstanceNumber = 90, 1
    rename(file, f"instance of {sop_class}")
    return file


def uid(name: str) -> str:
    """The same UID for the same name."""
    return str(generate_uid(prefix=f"{SALT}.", entropy_srcs=[name]))


def rename(file: Dataset, name: str) -> None:
    file.SOPInstanceUID = uid(name)
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID


def place(file: Dataset, position: Sequence[float] | FloatArray, axes: FloatArray, pixel: Sequence[float]) -> None:
    """Position and orientation in LPS; `pixel` is the distance along i (columns), then j (rows)."""
    file.ImagePositionPatient = [decimal(value) for value in position]
    file.ImageOrientationPatient = [decimal(value) for value in (*axes[:, 0], *axes[:, 1])]
    file.PixelSpacing = [decimal(pixel[1]), decimal(pixel[0])]


def decimal(value: float) -> str:
    """A DS of at most 16 characters."""
    for digits in range(14, 0, -1):
        if len(text := f"{value:.{digits}g}") <= 16:
            return text
    raise ValueError(value)


# --------------------------------------------------------------------------------------------------------- defects


def changed(made: Made, change: Callable[[int, FileDataset], object]) -> Made:
    """A copy of the series with `change(k, file)` done to every file."""
    files = copy.deepcopy(made.files)
    for k, file in enumerate(files):
        change(k, file)
    return Made(files, made.values, made.voxel_to_patient, made.positions)


def without(made: Made, *gone: int) -> Made:
    """The series without these slices; its truth keeps them."""
    kept = [copy.deepcopy(file) for k, file in enumerate(made.files) if k not in gone]
    return Made(kept, made.values, made.voxel_to_patient, made.positions)


def phases(count: int, change: Callable[[int, FileDataset], object], **shape: object) -> list[Made]:
    """Stacks of one series at the same positions; `change(phase, file)` is what tells them apart."""
    made = []
    for phase in range(count):
        one = stack(seed=100 + phase, **shape)  # type: ignore[arg-type]  # whatever `stack` takes

        def mark(k: int, file: FileDataset, phase: int = phase) -> None:
            file.SeriesInstanceUID, file.StudyInstanceUID = uid("phases"), uid("study of phases")
            file.FrameOfReferenceUID, file.SeriesNumber = uid("frame of phases"), 7
            change(phase, file)

        made.append(changed(one, mark))
    return made


def scout(seed: int = 5) -> FileDataset:
    """A CT localizer."""
    file = stack((16, 8, 1), seed=seed, axes=direction((90, 0, 0))).files[0]
    file.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    file.SeriesInstanceUID = uid("scout")
    file.SeriesNumber = 1
    return file


def other_objects() -> list[FileDataset]:
    """What else an archive exports with a study: report, presentation state, key objects, segmentation, document."""
    classes = {
        "SR": "1.2.840.10008.5.1.4.1.1.88.33",
        "PR": "1.2.840.10008.5.1.4.1.1.11.1",
        "KO": "1.2.840.10008.5.1.4.1.1.88.59",
        "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
        "DOC": "1.2.840.10008.5.1.4.1.1.104.1",
    }
    files = []
    for modality, sop_class in classes.items():
        file = blank(sop_class)
        file.Modality = modality
        files.append(file)
    return files


# ----------------------------------------------------------------------------------------------------- multi-frame


def enhanced(
    made: Made, *, modality: str = "CT", scales: Sequence[tuple[float, float]] | None = None, time: int | None = None
) -> FileDataset:
    """The series as one enhanced multi-frame file: position per frame, the rest shared.

    Parameters
    ----------
    scales
        (slope, intercept) of each frame; None shares that of the first file.
    time
        TemporalPositionIndex of all frames.
    """
    first = made.files[0]
    file = blank(EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage)
    for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"):
        setattr(file, name, getattr(first, name))
    file.Modality, file.ImageType = modality, ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    kind = "<i2" if first.PixelRepresentation else "<u2"
    stored = [np.frombuffer(one.PixelData, kind).reshape(one.Rows, one.Columns) for one in made.files]
    describe_pixels(file, np.stack(stored).astype(np.int64), bool(first.PixelRepresentation))
    file.NumberOfFrames = len(made.files)
    shared = Dataset()
    shared.PixelMeasuresSequence = [item(PixelSpacing=first.PixelSpacing, SliceThickness="2.5")]
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=first.ImageOrientationPatient)]
    if scales is None:
        scales = [(first.RescaleSlope, first.RescaleIntercept)]
        shared.PixelValueTransformationSequence = [scale_item(*scales[0])]
    file.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k, one in enumerate(made.files):
        frame = Dataset()
        frame.PlanePositionSequence = [item(ImagePositionPatient=one.ImagePositionPatient)]
        content = {"InStackPositionNumber": k + 1, "StackID": "1"}
        frame.FrameContentSequence = [item(**content, **({} if time is None else {"TemporalPositionIndex": time}))]
        if len(scales) > 1:
            frame.PixelValueTransformationSequence = [scale_item(*scales[k])]
        frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = frames
    return file


def item(**elements: object) -> Dataset:
    """A sequence item of these elements."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def scale_item(slope: float, intercept: float) -> Dataset:
    return item(RescaleSlope=f"{slope:.10g}", RescaleIntercept=f"{intercept:.10g}", RescaleType="HU")


# --------------------------------------------------------------------------------------------------------- writing


def save(files: Iterable[FileDataset], folder: Path, *, syntax: str = "explicit", shuffle: int | None = None) -> Path:
    """The files written into the folder; `shuffle` seeds an order and names that say nothing about the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = list(files)
    names = [f"image{number:04d}.dcm" for number in range(len(ordered))]
    if shuffle is not None:
        dice = random.Random(shuffle)
        dice.shuffle(ordered)
        names = [f"{dice.getrandbits(48):012x}" for _ in ordered]
    for name, file in zip(names, ordered, strict=True):
        save_one(file, folder / name, syntax)
    return folder


def save_one(file: FileDataset, path: Path, syntax: str = "explicit") -> Path:
    """One file in that transfer syntax (a name of `SYNTAXES`)."""
    wanted = SYNTAXES[syntax]
    file = copy.deepcopy(file)
    if syntax == "big endian":
        file.PixelData = np.frombuffer(file.PixelData, "<u2").astype(">u2").tobytes()
    elif syntax in ENCODERS:
        kind = "<i2" if file.PixelRepresentation else "<u2"
        frames = np.frombuffer(file.PixelData, kind).reshape(-1, file.Rows, file.Columns)
        file.PixelData = encapsulate([ENCODERS[syntax](frame) for frame in frames])
        file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
    file.file_meta.TransferSyntaxUID = wanted
    if syntax == "big endian":
        dcmwrite(path, file, implicit_vr=False, little_endian=False, force_encoding=True)
    else:
        file.save_as(path, enforce_file_format=True)
    return path


# ---------------------------------------------------------------------------------------------------------- privacy


def plant_canaries(file: FileDataset) -> list[str]:
    """Identity planted into every place that exports leave it in; the strings that must be found nowhere else."""
    texts = {
        "PatientName": "CANARYNAME^ROSALIND",
        "PatientID": "CANARYID77",
        "PatientBirthDate": "19310417",
        "PatientAddress": "CANARYSTREET 5",
        "OtherPatientIDs": "CANARYOTHER",
        "AccessionNumber": "CANARYACC88",
        "InstitutionName": "CANARYHOSPITAL",
        "InstitutionalDepartmentName": "CANARYDEPT",
        "ReferringPhysicianName": "CANARYDOC^A",
        "PerformingPhysicianName": "CANARYPERF^B",
        "OperatorsName": "CANARYOP^C",
        "StudyDescription": "CANARYSTUDYTEXT",
        "SeriesDescription": "CANARYSERIESTEXT",
        "ProtocolName": "CANARYPROTOCOL",
        "ImageComments": "CANARYCOMMENT",
        "PatientComments": "CANARYPATIENTCOMMENT",
        "StationName": "CANARYSTATION",
        "DeviceSerialNumber": "CANARYSERIAL",
        "ContrastBolusAgent": "CANARYAGENT",
        "ConvolutionKernel": "CANARYKERNEL",
        "BodyPartExamined": "CANARYBODY",
        "PatientPosition": "CANARYPOS",
        "StudyID": "CANARYSTUDYID",
        "StudyDate": "20310418",
        "AcquisitionDate": "20310419",
        "AcquisitionTime": "101112.131415",
        "ContentDate": "20310420",
        "SoftwareVersions": "CANARYSOFTWARE",
    }
    for name, text in texts.items():
        setattr(file, name, text)
    file.ImageType = ["ORIGINAL", "PRIMARY", "CANARYTYPE"]
    file.add_new(0x00091001, "LO", "CANARYPRIVATE")
    file.add_new(0x00090010, "LO", "CANARYCREATOR")
    planted = [part for text in texts.values() for part in (text, *text.split("^")) if len(part) > 2]
    uids = [file.SOPInstanceUID, file.SeriesInstanceUID, file.StudyInstanceUID, file.FrameOfReferenceUID]
    return [*planted, "CANARYTYPE", "CANARYPRIVATE", "CANARYCREATOR", *map(str, uids)]
