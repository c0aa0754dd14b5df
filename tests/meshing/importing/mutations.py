"""Seeded damage for every door: a small honest file, broken again and again, must be refused by type or read right."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meshing.errors import AnatomyError
from meshing.importing.decoder import decode_frames
from meshing.importing.files import read_file, survey_file
from meshing.importing.labels import read_labels
from meshing.importing.limits import MIB, Limits
from meshing.importing.scan import import_scan, survey
from meshing.volume import Volume
from tests.meshing.importing.specimens import (
    LOSSLESS,
    compact_frames,
    ct_slices,
    dicom_file,
    dicom_seg,
    oblique_grid,
    ramp,
    write_itk,
    write_nifti,
    write_nrrd,
)

# Small, so that a lie is told from the truth at once; a second of decoding is a thousand times what the seeds need.
LIMITS = Limits(
    max_voxels=2_000_000,
    max_bytes=64 * MIB,
    ratio_free_bytes=8 * MIB,
    max_header_bytes=MIB,
    decode_seconds=1.0,
    decode_memory_bytes=256 * MIB,
)

SHAPE = (9, 8, 7)
GRID = oblique_grid(SHAPE)
VOXELS = ramp(SHAPE)
LABELS = np.asfortranarray((VOXELS % 4).astype(np.uint8))

_INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@dataclass(frozen=True)
class Door:
    """A way in: the name of a file, its honest content, and what reads it."""

    file_name: str
    seed: bytes
    read: Callable[[Path], object]


def mutated(seed: bytes, rng: np.random.Generator) -> bytes:
    """The seed with one to six wounds, most of them where headers stand."""
    content = bytearray(seed)
    for _ in range(int(rng.integers(1, 7))):
        if len(content) < 8:
            break
        reach = len(content) if rng.random() < 0.4 else min(len(content), 1024)
        at = int(rng.integers(0, reach - 4))
        match int(rng.integers(0, 8)):
            case 0:
                content[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                content[at] = int(rng.integers(0, 256))
            case 2:
                size = int(rng.choice([1, 2, 4]))
                number = int(rng.choice(_INTERESTING)) & ((1 << 8 * size) - 1)
                content[at : at + size] = number.to_bytes(size, "little" if rng.random() < 0.7 else "big")
            case 3:
                del content[at : at + int(rng.integers(1, 40))]
            case 4:
                content[at:at] = rng.bytes(int(rng.integers(1, 40)))
            case 5:
                piece = content[at : at + int(rng.integers(1, 200))]
                there = int(rng.integers(0, len(content)))
                content[there : there + len(piece)] = piece
            case 6:
                content[at : at + 4] = np.float32(rng.choice([np.nan, np.inf, -1.0, 1e30, 0.0])).tobytes()
            case 7 if rng.random() < 0.3:
                del content[int(rng.integers(0, len(content))) :]
    return bytes(content)


def outcome(door: Door, content: bytes, folder: Path) -> str:
    """The name of the typed error, or "read" when what came out can be believed; anything else is raised on."""
    path = folder / door.file_name
    path.write_bytes(content)
    try:
        found = door.read(path)
    except AnatomyError as error:
        assert error.message and str(error)
        return type(error).__name__
    if isinstance(found, Volume):
        assert found.voxels.size <= LIMITS.max_voxels
        assert np.isfinite(found.voxels).all()
        assert np.isfinite(found.grid.voxel_to_patient).all()
    return "read"


def doors(folder: Path) -> dict[str, Door]:
    """Every door with its seed, written into `folder` once."""
    nifti = write_nifti(folder / "s.nii", VOXELS, GRID).read_bytes()
    found = {
        "NIfTI": Door("m.nii", nifti, _volume),
        "NIfTI gz": Door("m.nii.gz", gzip.compress(nifti), _volume),
        "NIfTI-2": Door("m.nii", write_nifti(folder / "2.nii", VOXELS, GRID, two=True).read_bytes(), _volume),
        "NRRD raw": Door("m.nrrd", write_itk(folder / "r.nrrd", VOXELS, GRID, compressed=False).read_bytes(), _volume),
        "NRRD gzip": Door("m.nrrd", write_itk(folder / "g.nrrd", VOXELS, GRID).read_bytes(), _volume),
        "NRRD bzip2": Door(
            "m.nrrd", write_nrrd(folder / "b.nrrd", VOXELS, GRID, encoding="bzip2").read_bytes(), _volume
        ),
        "MHA raw": Door("m.mha", write_itk(folder / "r.mha", VOXELS, GRID, compressed=False).read_bytes(), _volume),
        "MHA zlib": Door("m.mha", write_itk(folder / "z.mha", VOXELS, GRID).read_bytes(), _volume),
        "label NIfTI": Door("m.nii", _named_labels(folder), _labels),
        "seg.nrrd": Door("m.seg.nrrd", _slicer_labels(folder), _labels),
        "DICOM SEG": Door("m.dcm", _segments(folder, "BINARY"), _labels),
        "DICOM SEG JPEG-LS": Door("m.dcm", _segments(folder, "LABELMAP", LOSSLESS["JPEG-LS"]), _labels),
        "zip": Door("m.zip", _zip(), _scan),
        "DICOM file": Door("m.dcm", _ct_file("1.2.840.10008.1.2.1"), _scan),
        "DICOM deflated": Door("m.dcm", _ct_file("1.2.840.10008.1.2.1.99"), _scan),
    }
    for name, syntax in LOSSLESS.items():
        found[f"frames {name}"] = Door("m.dcm", dicom_file(compact_frames(2, 32, 32), syntax), _frames)
    found["frames JPEG 12 bit"] = Door(
        "m.dcm", dicom_file(compact_frames(1, 32, 32, "u2", 12), "1.2.840.10008.1.2.4.51", bits_stored=12), _frames
    )
    return found


def _volume(path: Path) -> Volume:
    found = survey_file(path, LIMITS)
    return read_file(path, 1 if found.phases > 1 else None, limits=LIMITS)[0]


def _labels(path: Path) -> object:
    return read_labels(path, GRID, limits=LIMITS)[0]


def _frames(path: Path) -> object:
    return decode_frames(path, limits=LIMITS)


def _scan(path: Path) -> object:
    survey(path, limits=LIMITS)
    return import_scan(path, limits=LIMITS).volume


def _segments(folder: Path, kind: str, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    masks = {"liver": (LABELS == 1).astype(np.uint8), "x": (LABELS > 1).astype(np.uint8)}
    return dicom_seg(folder / f"{kind}.dcm", masks, GRID, kind=kind, syntax=syntax).read_bytes()


def _named_labels(folder: Path) -> bytes:
    import nibabel

    image = nibabel.load(write_nifti(folder / "l.nii", LABELS, GRID))
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    table = b'<CaretExtension><Label Key="1" Red="1" Green="0" Blue="0"><![CDATA[liver]]></Label></CaretExtension>'
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(30, table))
    nibabel.save(image, folder / "ln.nii")
    return (folder / "ln.nii").read_bytes()


def _slicer_labels(folder: Path) -> bytes:
    fields = {"Segment0_Name": "liver", "Segment0_LabelValue": "1", "Segment0_Layer": "0", "Segment0_Color": "1 0 0"}
    path = write_nrrd(folder / "s.seg.nrrd", np.stack([LABELS, LABELS * 2]), GRID, encoding="raw", **fields)
    return path.read_bytes()


def _ct_file(syntax: str, k: int = 0) -> bytes:
    """One slice of a CT as a file."""
    import pydicom

    header = ct_slices(GRID)[k]
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.PixelData = np.ascontiguousarray(VOXELS[:, :, k].T, "<i2").tobytes()
    header["PixelData"].VR = "OW"
    header.RescaleSlope, header.RescaleIntercept = "1", "-1024"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()


def _zip() -> bytes:
    """A whole small series."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(SHAPE[2]):
            archive.writestr(f"CANARY/IM{k}", _ct_file("1.2.840.10008.1.2.1", k))
    return stream.getvalue()
