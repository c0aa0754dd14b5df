"""A DICOM series to voxels in patient space, against SimpleITK, highdicom, and pydicom with numpy.

The series is an easy one, regular and complete: what everybody can read, so that only time differs. Ours also groups,
judges every slice's position, masks padding, drops what identifies a patient, and decodes compressed pixels in a child
process. What the peers do with tilted, gapped or mixed series is not timed here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clock import Stages
from benchmarks.dicom_series import Syntax, Truth, drawn_truth, write_series
from benchmarks.report import machine, parser, print_comparison
from benchmarks.runner import FEWEST_ROUNDS, Comparison, Contender, compare
from meshing.importing.scan import import_scan

PACKAGES = ("pydicom", "SimpleITK", "highdicom", "imagecodecs", "numpy")

SHAPES: dict[Syntax, tuple[int, int, int]] = {
    "raw": (512, 512, 200),
    "JPEG-LS": (512, 512, 32),
    "JPEG 2000": (512, 512, 16),
}


@dataclass(frozen=True, eq=False)
class Read:
    """Voxels in (i, j, k) and where their centres lie in LPS mm."""

    voxels: npt.NDArray[Any]
    voxel_to_patient: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """Largest differences from what was written, over all voxels and over the grid's corners."""

    value: float
    place_mm: float
    kind: str

    def __str__(self) -> str:
        return f"{self.value:g} HU, {self.place_mm:.3f} mm, {self.kind}"


def compare_intake(folder: Path, rounds: int = FEWEST_ROUNDS) -> Comparison[Read]:
    """Ours and the peers on the one series in `folder`."""
    return compare(
        [
            Contender("AnatomyXR", lambda stages: _with_ours(folder, stages)),
            Contender("SimpleITK ImageSeriesReader", _on(folder, _with_simpleitk), ("SimpleITK",)),
            Contender("pydicom + numpy.stack", _on(folder, _with_pydicom), ("pydicom",)),
            Contender("highdicom volume", _on(folder, _with_highdicom), ("highdicom",)),
        ],
        rounds,
    )


def _on(folder: Path, read: Callable[[Path], Read]) -> Callable[[Stages], Read]:
    return lambda stages: read(folder)


def _with_ours(folder: Path, stages: Stages) -> Read:
    volume = import_scan(folder, progress=stages.progress).volume
    return Read(volume.voxels, volume.grid.voxel_to_patient)


def _with_simpleitk(folder: Path) -> Read:
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    # A copy, for the view dies with the image.
    return Read(SimpleITK.GetArrayFromImage(image).T, matrix)


def _with_pydicom(folder: Path) -> Read:
    """The script that everybody writes once: read, sort by position, stack, rescale."""
    import pydicom

    datasets = [pydicom.dcmread(file) for file in folder.iterdir()]
    datasets.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    stored = np.stack([dataset.pixel_array for dataset in datasets])
    first, last = datasets[0], datasets[-1]
    values = stored.astype(np.int16) * np.int16(first.RescaleSlope) + np.int16(first.RescaleIntercept)
    start, end = (np.array(dataset.ImagePositionPatient, dtype=float) for dataset in (first, last))
    row_mm, column_mm = map(float, first.PixelSpacing)
    along, down = np.reshape(np.array(first.ImageOrientationPatient, dtype=float), (2, 3))
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([along * column_mm, down * row_mm, (end - start) / (len(datasets) - 1)])
    matrix[:3, 3] = start
    return Read(values.transpose(2, 1, 0), matrix)


def _with_highdicom(folder: Path) -> Read:
    import highdicom
    import pydicom

    datasets = [pydicom.dcmread(file) for file in folder.iterdir()]
    volume = highdicom.get_volume_from_series(datasets, dtype=np.float32)
    return Read(volume.array, volume.affine)


def accuracy(read: Read, truth: Truth) -> Accuracy:
    """Differences from the truth, whatever order the reader stores voxels in."""
    voxels, matrix = read.voxels, np.array(read.voxel_to_patient)
    order = np.abs(matrix[:3, :3]).argmax(axis=0).argsort()
    voxels, matrix = voxels.transpose(order), matrix[:, [*order, 3]]
    for axis in range(3):
        if matrix[axis, axis] < 0:
            matrix[:3, 3] += matrix[:3, axis] * (voxels.shape[axis] - 1)
            matrix[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    if voxels.shape != truth.hounsfield.shape:
        return Accuracy(float("inf"), float("inf"), f"shape {voxels.shape}")
    corners = np.array(np.meshgrid(*((0, n - 1) for n in voxels.shape), [1], indexing="ij")).reshape(4, -1)
    place = np.linalg.norm(((matrix - truth.voxel_to_patient) @ corners)[:3], axis=0).max()
    value = max(
        float(np.abs(voxels[..., k] - truth.hounsfield[..., k].astype(np.float64)).max())
        for k in range(voxels.shape[2])
    )
    return Accuracy(value, float(place), str(voxels.dtype))


def _against(truth: Truth) -> Callable[[Read], str]:
    return lambda read: str(accuracy(read, truth))


def main(arguments: list[str]) -> int:
    options = parser(__doc__ or "")
    chosen = options.parse_args(arguments)
    print(machine(PACKAGES) + "\n")
    for syntax, shape in SHAPES.items():
        truth = drawn_truth(shape)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            series = write_series(Path(folder), truth, syntax)
            megabytes = sum(file.stat().st_size for file in series.iterdir()) / 1e6
            print_comparison(
                f"{shape[2]} slices of {shape[0]} × {shape[1]}, {syntax}, {megabytes:.0f} MB on disk",
                compare_intake(series, chosen.rounds),
                {"largest difference from the truth": _against(truth)},
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
