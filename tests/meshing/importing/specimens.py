"""Small files of every kind that the doors read, written by other programs where there is one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.volume import Grid

Array = npt.NDArray[Any]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
LOSSLESS = {
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless SV1": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "HTJ2K": "1.2.840.10008.1.2.4.201",
    "RLE": "1.2.840.10008.1.2.5",
}


def ramp(shape: Sequence[int], dtype: str = "i2") -> Array:
    """Distinct values with structure, so that no flip or swap goes unseen."""
    i, j, k = np.meshgrid(*[np.arange(size) for size in shape], indexing="ij")
    return np.asfortranarray((i * 7 + j * 31 + k * 101 - 300).astype(dtype))


def oblique_grid(shape: tuple[int, int, int]) -> Grid:
    """A grid turned about two axes, with three different spacings."""
    turn = _turn(0, 0.2) @ _turn(2, -0.35)
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (0.7, 0.9, 2.5)
    matrix[:3, 3] = (-120.0, 35.5, 842.25)
    return Grid(shape, matrix)


def _turn(axis: int, angle: float) -> FloatArray:
    c, s = np.cos(angle), np.sin(angle)
    a, b = [other for other in range(3) if other != axis]
    turn = np.eye(3)
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
    return turn


# ------------------------------------------------------------------------------------------------------------- files


def write_nifti(path: Path, voxels: Array, grid: Grid, *, sform: int = 1, qform: int = 1, two: bool = False) -> Path:
    """By nibabel; `.nii` or `.nii.gz` by its name."""
    import nibabel

    affine = LPS_TO_RAS @ grid.voxel_to_patient
    image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image)(voxels, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_itk(path: Path, voxels: Array, grid: Grid, *, compressed: bool = True) -> Path:
    """By SimpleITK, in the format that the name says."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(grid.origin_mm.tolist())
    image.SetDirection(grid.direction.ravel().tolist())
    sitk.WriteImage(image, str(path), compressed)
    return path


def write_nrrd(path: Path, voxels: Array, grid: Grid, **fields: Any) -> Path:
    """By pynrrd, which writes any header; a fourth, first axis counts layers."""
    import nrrd

    axes = grid.voxel_to_patient[:3, :3].T
    directions = axes if voxels.ndim == 3 else np.vstack([np.full(3, np.nan), axes])
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": grid.origin_mm,
        "kinds": ["domain"] * 3 if voxels.ndim == 3 else ["list", "domain", "domain", "domain"],
        "encoding": "gzip",
        **fields,
    }
    nrrd.write(str(path), voxels, header)
    return path


# ------------------------------------------------------------------------------------------------------------- DICOM


def dicom_file(
    frames: Array, syntax: str = "1.2.840.10008.1.2.1", *, bits_stored: int | None = None, lossy: bool = False
) -> bytes:
    """A DICOM file of those stored values, (frames, rows, columns), encoded as the transfer syntax says."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Canary^Yellow"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.BitsAllocated = 8 * frames.itemsize
    dataset.BitsStored = bits_stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    if UID(syntax).is_encapsulated:
        packed = [encoded(frame, syntax, dataset.BitsStored, lossy) for frame in frames]
        dataset.PixelData = encapsulate([part + b"\0" * (len(part) % 2) for part in packed])
        dataset["PixelData"].is_undefined_length = True
    else:
        plain = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = plain + b"\0" * (len(plain) % 2)
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def encoded(frame: Array, syntax: str, bits: int, lossy: bool = False) -> bytes:
    """One frame; signed values as the two's complement of their bits, where a codec knows none."""
    import imagecodecs

    pattern = frame.view(f"u{frame.itemsize}") & np.array((1 << bits) - 1, f"u{frame.itemsize}")
    if syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"):
        return bytes(imagecodecs.jpeg8_encode(pattern, level=95, bitspersample=bits))
    if syntax == LOSSLESS["JPEG lossless"]:
        return bytes(imagecodecs.jpeg8_encode(pattern, lossless=True, predictor=5, bitspersample=bits))
    if syntax == LOSSLESS["JPEG lossless SV1"]:
        return bytes(imagecodecs.jpeg8_encode(pattern, lossless=True, predictor=1, bitspersample=bits))
    if syntax == LOSSLESS["JPEG-LS"]:
        return _jpeg_ls(pattern, bits)
    if syntax == "1.2.840.10008.1.2.4.91":
        return bytes(imagecodecs.jpeg2k_encode(frame, codecformat="j2k", level=45 if lossy else 0))
    if syntax == LOSSLESS["JPEG 2000"]:
        return bytes(imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, bitspersample=bits))
    if syntax == LOSSLESS["HTJ2K"]:
        return bytes(imagecodecs.htj2k_encode(frame, reversible=True))
    return _rle(frame)


def _jpeg_ls(pattern: Array, bits: int) -> bytes:
    """By pyjpegls, which writes the precision that the header states, as archives do; imagecodecs always writes 16."""
    import jpeg_ls

    rows, columns = pattern.shape
    plain = np.ascontiguousarray(pattern).tobytes()
    return bytes(jpeg_ls.encode_buffer(plain, rows, columns, samples_per_pixel=1, bits_stored=bits))


def _rle(frame: Array) -> bytes:
    """PackBits of each byte plane, most significant first (PS3.5 annex G), in literal runs only."""
    planes = [
        np.ascontiguousarray(frame).astype(frame.dtype.newbyteorder(">")).tobytes()[at :: frame.itemsize]
        for at in range(frame.itemsize)
    ]
    segments = []
    for plane in planes:
        runs = b"".join(
            bytes([len(plane[at : at + 128]) - 1]) + plane[at : at + 128] for at in range(0, len(plane), 128)
        )
        segments.append(runs + b"\0" * (len(runs) % 2))
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(segments)
    offsets[1 : 1 + len(segments)] = 64 + np.cumsum([0, *[len(segment) for segment in segments[:-1]]])
    return offsets.tobytes() + b"".join(segments)


def compact_frames(count: int = 1, rows: int = 24, columns: int = 32, dtype: str = "i2", bits: int = 16) -> Array:
    """Frames whose values span what `bits` bits hold, signed or not, with the extremes among them."""
    signed = dtype.startswith("i")
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - (1 if signed else 0))) - 1
    rng = np.random.default_rng(bits + rows)
    smooth = np.linspace(low, high, count * rows * columns).reshape(count, rows, columns)
    frames = np.clip(smooth + rng.normal(0, (high - low) / 200, smooth.shape), low, high).astype(dtype)
    frames[:, 0, 0], frames[:, -1, -1] = low, high
    return frames


# --------------------------------------------------------------------------------------------------------- DICOM SEG


def ct_slices(grid: Grid) -> list[Any]:
    """Headers of a CT series on that grid, enough for highdicom to draw upon; k runs along i × j."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    study, series, frame = (generate_uid(entropy_srcs=[word]) for word in ("study", "series", "frame"))
    slices = []
    for k in range(grid.shape[2]):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        header.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(k)])
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
        header.PatientName, header.PatientID = "Canary^Yellow", "C4711"
        header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = header.StudyID = ""
        header.AccessionNumber = header.ReferringPhysicianName = ""
        header.Modality, header.SeriesNumber, header.InstanceNumber = "CT", 1, k + 1
        header.Columns, header.Rows = grid.shape[:2]
        header.PixelSpacing = [_ds(grid.spacing_mm[1]), _ds(grid.spacing_mm[0])]
        header.SliceThickness = _ds(grid.spacing_mm[2])
        header.ImageOrientationPatient = [_ds(cosine) for cosine in grid.direction[:, :2].T.ravel()]
        header.ImagePositionPatient = [_ds(mm) for mm in grid.to_patient((0, 0, k))]
        header.SamplesPerPixel, header.BitsAllocated, header.BitsStored, header.HighBit = 1, 16, 16, 15
        header.PixelRepresentation, header.PhotometricInterpretation = 1, "MONOCHROME2"
        slices.append(header)
    return slices


def _ds(value: float) -> str:
    return f"{value:.10g}"[:16]


def dicom_seg(
    path: Path,
    masks: dict[str, Array],
    grid: Grid,
    *,
    kind: str = "BINARY",
    syntax: str = "1.2.840.10008.1.2.1",
    omit_empty_frames: bool = True,
) -> Path:
    """A DICOM SEG of those masks by highdicom; a fractional one when they are shares between 0 and 1."""
    import highdicom
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    described = [
        SegmentDescription(
            number,
            name,
            codes.SCT.Organ,
            codes.SCT.Liver if name == "liver" else codes.SCT.Tissue,
            "MANUAL" if kind != "FRACTIONAL" else "AUTOMATIC",
            algorithm_identification=None
            if kind != "FRACTIONAL"
            else highdicom.AlgorithmIdentificationSequence("a", codes.DCM.ArtificialIntelligence, "1"),
        )
        for number, name in enumerate(masks, start=1)
    ]
    # highdicom wants (slices, rows, columns[, segments]).
    stacked = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    if kind == "LABELMAP":
        stacked = sum((mask.transpose(2, 1, 0) * number for number, mask in enumerate(masks.values(), start=1)))
        stacked = np.asarray(stacked, np.uint8)
    Segmentation(
        source_images=ct_slices(grid),
        pixel_array=stacked if kind != "BINARY" else stacked.astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.3.1",
        series_number=2,
        sop_instance_uid="1.2.3.2",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
        omit_empty_frames=omit_empty_frames,
        max_fractional_value=200,
    ).save_as(path)
    return path
