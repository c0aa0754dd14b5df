"""Real scans against what others measured in them: reference NIfTI, decoded pixels, and a sphere of one inch."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from scipy.ndimage import map_coordinates, spline_filter

from meshing.errors import ChooseSeriesError, MissingSlicesError, UnsupportedError
from meshing.importing.scan import ImportedScan, SeriesChoice, import_scan, survey
from meshing.volume import Volume

RealData = Callable[[str], Path]
FloatArray = npt.NDArray[np.float64]

CORNERS = "dicom_corner_cases"


def assert_same_as_reference(volume: Volume, reference: Path, tolerance: float) -> None:
    """Every voxel of the volume lies on one of the reference (NIfTI, RAS) within 0.01 mm, and has its value."""
    image = nibabel.load(reference)
    values = np.squeeze(np.asanyarray(image.dataobj))
    assert values.shape == volume.voxels.shape or values.size == volume.voxels.size
    to_lps = np.diag([-1, -1, 1, 1]) @ image.affine
    indices = np.stack(np.meshgrid(*map(np.arange, volume.grid.shape), indexing="ij"), axis=-1)
    there = (volume.grid.to_patient(indices) - to_lps[:3, 3]) @ np.linalg.inv(to_lps[:3, :3]).T
    nearest = np.rint(there).astype(int)
    assert np.linalg.norm((there - nearest) @ to_lps[:3, :3].T, axis=-1).max() < 0.01
    assert abs(volume.voxels - values[tuple(np.moveaxis(nearest, -1, 0))]).max() <= tolerance


@pytest.mark.parametrize(
    ("scan", "reference", "tolerance"),
    [
        ("failing/slicecount/001", "failing/slicecount/001", 0),
        ("generic/anatomical/001", "generic/anatomical/001", 0),
        # A slope per slice, in float32: 97 has its last bit at 4e-6.
        ("generic/anatomical/002_non_isotropic", "generic/anatomical/002_non_isotropic", 8e-6),
        ("siemens_multiframe/anatomical/001", "siemens_multiframe/anatomical/001", 0),
        # Slope 4.2588… in float32: 1082 has its last bit at 1.2e-4.
        ("philips_enhanced/anatomical/001", "philips_enhanced/anatomical/001", 2.4e-4),
        ("generic/compressed_j2k/001", "generic/compressed_001", 0),
        ("generic/compressed_jpeg/001", "generic/compressed_001", 0),
        ("generic/compressed_jpegls/001", "generic/compressed_001", 0),
        ("generic/compressed_rle/001", "generic/compressed_001", 0),
    ],
)
def test_corner_case_is_its_reference(scan: str, reference: str, tolerance: float, real_data: RealData) -> None:
    volume = import_scan(real_data(f"{CORNERS}/{scan}")).volume
    assert_same_as_reference(volume, real_data(f"{CORNERS}/{reference}_ground_truth.nii.gz"), tolerance)


def test_tilt_without_a_tag_is_found(real_data: RealData) -> None:
    folder = real_data(f"{CORNERS}/failing/gantrytilting")
    (line,) = survey(folder)
    assert line.tilt_deg == pytest.approx(14.0, abs=0.001)
    grid = import_scan(folder).volume.grid
    assert np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-9)


def test_missing_slice_is_found(real_data: RealData) -> None:
    folder = real_data(f"{CORNERS}/failing/sliceincrement")
    with pytest.raises(MissingSlicesError, match=r"slices 9 and 10 lie 10\.00 mm apart, the others 5\.00 mm"):
        import_scan(folder)
    volume = import_scan(folder, SeriesChoice(gaps="interpolate")).volume
    assert volume.grid.shape == (512, 512, 5)
    assert volume.grid.spacing_mm[2] == pytest.approx(5.0, abs=1e-5)


def test_two_orientations_are_listed_apart(real_data: RealData) -> None:
    folder = real_data(f"{CORNERS}/failing/sliceorientation")
    assert [line.shape for line in survey(folder)] == [(288, 288, 2)] * 2
    with pytest.raises(ChooseSeriesError):
        import_scan(folder)


def test_two_images_at_one_position_are_no_volume(real_data: RealData) -> None:
    folder = real_data(f"{CORNERS}/failing/notavolume")
    assert [line.kind for line in survey(folder)] == ["single image"]
    with pytest.raises(UnsupportedError, match="single image"):
        import_scan(folder)


def test_series_from_a_zip_is_what_pydicom_reads(real_data: RealData, tmp_path: Path) -> None:
    path = real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip")
    assert_is_what_pydicom_reads(import_scan(path), path, tmp_path)


@pytest.mark.slow
def test_head_from_a_zip_is_what_pydicom_reads(real_data: RealData, tmp_path: Path) -> None:
    path = real_data("mr_t1_head_dicom/t1_head_dicom.zip")
    assert_is_what_pydicom_reads(import_scan(path), path, tmp_path)


def assert_is_what_pydicom_reads(scan: ImportedScan, path: Path, tmp_path: Path) -> None:
    """Every slice lies within 0.01 mm of its position, corner to corner, and holds pydicom's values."""
    volume = scan.volume
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    files = [pydicom.dcmread(file) for file in sorted(tmp_path.rglob("*.dcm"))]
    assert volume.grid.shape == (files[0].Columns, files[0].Rows, len(files))
    seen = set()
    for file in files:
        row, column = np.array(file.ImageOrientationPatient).reshape(2, 3)
        down, across = file.PixelSpacing
        first = np.array(file.ImagePositionPatient, dtype=float)
        last = first + row * across * (file.Columns - 1) + column * down * (file.Rows - 1)
        (i, j, k) = np.rint(volume.grid.to_voxel(first)).astype(int)
        assert (i, j) == (0, 0)
        placed = volume.grid.to_patient([(0, 0, k), (file.Columns - 1, file.Rows - 1, k)])
        assert np.linalg.norm(placed - [first, last], axis=1).max() < 0.01
        values = file.pixel_array.astype(int) * int(file.RescaleSlope) + int(file.RescaleIntercept)
        assert np.array_equal(volume.voxels[:, :, k].T, values)
        seen.add(k)
    assert len(seen) == len(files)


def test_frame_of_reference_per_slice_is_noticed(real_data: RealData) -> None:
    scan = import_scan(real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip"))
    assert "frame of reference" in {fact.kind for fact in scan.facts}


def test_time_points_of_an_enhanced_series_are_phases(real_data: RealData) -> None:
    folder = real_data("mr_enhanced_multiframe")
    (line,) = survey(folder)
    assert (line.phases, line.shape) == (4, (64, 64, 6))
    for number in range(1, 5):
        volume = import_scan(folder, SeriesChoice(phase=number)).volume
        file = pydicom.dcmread(folder / f"6_{number}.dcm")
        assert np.array_equal(volume.voxels, file.pixel_array.transpose(2, 1, 0))
        for frame, groups in enumerate(file.PerFrameFunctionalGroupsSequence):
            position = groups.PlanePositionSequence[0].ImagePositionPatient
            assert np.linalg.norm(volume.grid.to_patient((0, 0, frame)) - position) < 0.01


def test_three_slices_beside_their_segmentation_are_one_volume(real_data: RealData) -> None:
    volume = import_scan(real_data("dicom_seg_liver/ct-3slice")).volume
    assert volume.grid.shape == (512, 512, 3)
    assert volume.outside is not None
    assert volume.voxels.min() == -1024, "GE pads with -2000 outside its round field"
    kinds = [line.kind for line in survey(real_data("dicom_seg_liver"))]
    assert kinds.count("segmentation") == 4
    assert kinds.count("volume") == 5


LOSSLESS = [
    "",
    "_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
    "_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm",
    "_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm",
    "_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
    "_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
    "_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm",
]
LOSSY = "_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm"


@pytest.mark.parametrize(("suffix", "bound"), [*[(name, 0) for name in LOSSLESS], (LOSSY, 5)])
def test_transfer_syntaxes_of_one_slice_give_the_same_values(
    suffix: str, bound: int, real_data: RealData, tmp_path: Path
) -> None:
    folder = real_data("ct_transfer_syntaxes")
    plain = pydicom.dcmread(folder / "CTImage.dcm")
    truth = plain.pixel_array.astype(int) + int(plain.RescaleIntercept)
    # One slice is no volume: its copy 5 mm further up makes it one.
    raw = (folder / f"CTImage.dcm{suffix}").read_bytes()
    (tmp_path / "one.dcm").write_bytes(raw)
    make_second_slice(tmp_path / "one.dcm", tmp_path / "two.dcm")
    volume = import_scan(tmp_path).volume
    for k in range(2):
        assert abs(volume.voxels[:, :, k].T - truth).max() <= bound


def make_second_slice(path: Path, target: Path) -> None:
    file = pydicom.dcmread(path)
    file.ImagePositionPatient[2] += 5
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"{file.SOPInstanceUID}.2"[-64:].lstrip(".")
    file.InstanceNumber = 2
    file.save_as(target)


# ------------------------------------------------------------------------------------------------- the tilted sphere

INCH_MM = 25.4


def test_sphere_of_a_tilted_scan_is_round(real_data: RealData) -> None:
    """The head phantom holds a plastic ball of one inch, scanned with a tilt of 16.5°: it must come out round."""
    path = real_data("phantom_ct_tilt/head_phantom_tilt_p16.5.zip")
    scan = import_scan(path)
    assert {fact.kind for fact in scan.facts} >= {"tilt", "padding"}
    grid = scan.volume.grid
    axes = sphere_axes(scan.volume.voxels, grid.spacing_mm, np.array([198.6, 257.4, 37.7]))
    assert axes.max() - axes.min() < 0.5
    # Half of the slice thickness would move a pole by more; in all, the ball is an inch to 1.5 %.
    assert abs(axes - INCH_MM).max() < 0.4


def test_sphere_read_upright_would_not_be_round(real_data: RealData) -> None:
    """The same measurement on the planes stacked as they come, as most readers do, must fail by far."""
    scan = import_scan(real_data("phantom_ct_tilt/head_phantom_tilt_p16.5.zip"))
    grid, voxels = scan.volume.grid, scan.volume.voxels
    drift = np.tan(np.radians(16.5)) * grid.spacing_mm[2] / grid.spacing_mm[1]
    moved = np.stack([np.roll(voxels[:, :, k], round(drift * (37 - k)), axis=1) for k in range(grid.shape[2])], axis=2)
    axes = sphere_axes(moved, np.array([*grid.spacing_mm[:2], 2.5]), np.array([198.6, 257.4, 37.7]))
    assert axes.max() - axes.min() > 3


def sphere_axes(voxels: npt.NDArray[np.int16], spacing_mm: FloatArray, centre: FloatArray) -> FloatArray:
    """The three diameters, mm, of the ellipsoid through the half-way surface of the ball around `centre` (voxels)."""
    directions = evenly_spread(4000)
    radii = np.arange(8, 18, 0.05)
    corner = (centre - 22 / spacing_mm).astype(int)
    box = tuple(slice(low, low + size) for low, size in zip(corner, (44 / spacing_mm).astype(int), strict=True))
    ball = spline_filter(voxels[box].astype(float))
    middle = (centre - corner) * spacing_mm
    shape = np.eye(3) / (INCH_MM / 2) ** 2
    for slack in (0.3, 0.1, 0.05, 0.05):
        rays = middle + directions[:, None] * radii[None, :, None]
        along = map_coordinates(ball, (rays / spacing_mm).reshape(-1, 3).T, prefilter=False)
        is_air = along.reshape(len(directions), -1) < -450
        edge = directions * radii[is_air.argmax(axis=1)][:, None]
        # Rays down the stem leave the plastic far from the ellipsoid, or never.
        size = np.sqrt(np.einsum("ij,jk,ik->i", edge, shape, edge))
        kept = is_air.any(axis=1) & (is_air.argmax(axis=1) > 0) & (abs(size - 1) < slack)
        assert kept.mean() > 0.9
        shape, middle = ellipsoid(middle + edge[kept])
    diameters: FloatArray = 2 / np.sqrt(np.linalg.eigvalsh(shape))
    return diameters


def evenly_spread(count: int) -> FloatArray:
    """(count, 3) unit vectors on a Fibonacci lattice."""
    index = np.arange(count)
    height = 1 - 2 * (index + 0.5) / count
    turn = index * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


def ellipsoid(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Matrix and centre of the quadric (x - c)·M·(x - c) = 1 that fits the points best."""
    middle = points.mean(axis=0)
    x, y, z = (points - middle).T
    terms = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, 2 * x, 2 * y, 2 * z], axis=1)
    a = np.linalg.lstsq(terms, np.ones(len(points)), rcond=None)[0]
    matrix = np.array([[a[0], a[3], a[4]], [a[3], a[1], a[5]], [a[4], a[5], a[2]]])
    centre = -np.linalg.solve(matrix, a[6:])
    scale = 1 + centre @ matrix @ centre
    return matrix / scale, centre + middle
