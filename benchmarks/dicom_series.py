"""A CT series on disk with known voxels and geometry, in any of three transfer syntaxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray

Syntax = Literal["raw", "JPEG-LS", "JPEG 2000"]

SPACING_MM = (0.7, 0.7, 1.25)
ORIGIN_MM = (-178.3, -151.0, -402.5)
INTERCEPT = -1024

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_UIDS: dict[Syntax, str] = {
    "raw": "1.2.840.10008.1.2.1",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


@dataclass(frozen=True, eq=False)
class Truth:
    """What the series holds: Hounsfield units in (i, j, k), and where voxel centres lie in LPS mm."""

    hounsfield: npt.NDArray[np.int16]
    voxel_to_patient: FloatArray


def drawn_truth(shape: tuple[int, int, int], seed: int = 5) -> Truth:
    """A trunk with organs and bones in air, with noise of 12 HU: compressible as a scan is, not as zeros are."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    plane = np.where(np.square(x / 0.9) + np.square(y / 0.7) < 1, 50, -1000).astype(np.float32)
    hounsfield = np.empty(shape, np.int16, order="F")
    noise = rng.normal(0, 12, (8, *shape[:2])).astype(np.float32)
    for k in range(shape[2]):
        slab = plane[:, :, 0] + noise[k % len(noise)]
        slab[(np.square(x - 0.3) + np.square(y + 0.1))[:, :, 0] < 0.1 * (1 - z[0, 0, k] ** 2)] += 60
        slab[(np.square(x) + np.square(y - 0.45))[:, :, 0] < 0.02] += 700
        hounsfield[:, :, k] = slab.round().clip(INTERCEPT)  # CT stores nothing below its intercept
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = ORIGIN_MM
    return Truth(hounsfield, matrix)


def write_series(folder: Path, truth: Truth, syntax: Syntax) -> Path:
    """The folder, one file a slice, named against their order so that nobody gains by sorting names."""
    folder.mkdir(parents=True, exist_ok=True)
    slices = truth.hounsfield.shape[2]
    for k in range(slices):
        stored = np.ascontiguousarray(truth.hounsfield[:, :, k].T) - np.int16(INTERCEPT)
        dataset = _dataset(stored, k, _encoded(stored, syntax), _UIDS[syntax])
        dataset.save_as(folder / f"IM{(k * 7919) % 10_007:05d}", enforce_file_format=True)
    return folder


def _encoded(stored: npt.NDArray[np.int16], syntax: Syntax) -> bytes:
    if syntax == "raw":
        return stored.tobytes()
    import imagecodecs
    from pydicom.encaps import encapsulate

    encoded = (
        imagecodecs.jpegls_encode(stored.astype(np.uint16))
        if syntax == "JPEG-LS"
        else imagecodecs.jpeg2k_encode(stored.astype(np.uint16), level=0, reversible=True, codecformat="j2k")
    )
    return bytes(encapsulate([encoded]))


def _dataset(stored: npt.NDArray[np.int16], k: int, pixels: bytes, syntax: str) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UID(_CT_IMAGE)
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3680043.10.1.3.{k + 1}")
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.10.1.1", "1.2.826.0.1.3680043.10.1.2"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.1.4"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "Drawn^By Rule", "0"
    dataset.Modality, dataset.PatientPosition = "CT", "HFS"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 1, k + 1
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [*ORIGIN_MM[:2], ORIGIN_MM[2] + k * SPACING_MM[2]]
    dataset.PixelSpacing, dataset.SliceThickness = [SPACING_MM[1], SPACING_MM[0]], SPACING_MM[2]
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = INTERCEPT, 1, "HU"
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW" if syntax == _UIDS["raw"] else "OB"
    return dataset
