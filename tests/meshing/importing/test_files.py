"""NIfTI, NRRD and MetaImage: every voxel where SimpleITK puts it, every value what the file says."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import ChooseSeriesError, DamagedFileError
from meshing.importing.files import guessed_modality, read_file, survey_file
from meshing.volume import Grid, Volume
from tests.meshing.importing.specimens import oblique_grid, ramp, write_itk, write_nifti, write_nrrd

SHAPE = (6, 5, 4)
GRID = oblique_grid(SHAPE)
VOXELS = ramp(SHAPE)
ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


def reordered(axes: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[np.ndarray, Grid]:
    """The same scan stored with its axes in that order and direction."""
    voxels, matrix = VOXELS.transpose(axes), GRID.voxel_to_patient[:, [*axes, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            matrix[:3, 3] += matrix[:3, axis] * (voxels.shape[axis] - 1)
            matrix[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    return np.asfortranarray(voxels), Grid((voxels.shape[0], voxels.shape[1], voxels.shape[2]), matrix)


def by_position(volume: Volume) -> dict[tuple[float, ...], float]:
    """Value by LPS position, to 0.01 mm: what a scan says regardless of its storage."""
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in volume.grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = volume.grid.to_patient(indices).round(2) + 0.0
    return dict(zip(map(tuple, points.tolist()), volume.voxels.reshape(-1).tolist(), strict=True))


TRUTH = by_position(Volume(VOXELS, GRID, "MR", ""))


def peer(path: Path) -> Volume:
    """The file as SimpleITK reads it."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image).T, Grid(image.GetSize(), matrix), "MR", "")


# ------------------------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(("axes", "flips"), ORDERS, ids=str)
def test_every_storage_order_puts_every_voxel_where_it_belongs_and_where_simpleitk_puts_it(
    tmp_path: Path, suffix: str, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    voxels, grid = reordered(axes, flips)
    path = tmp_path / f"x{suffix}"
    (write_nifti if suffix.startswith(".nii") else write_itk)(path, voxels, grid)
    volume, _ = read_file(path)
    itk = peer(path)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, itk.voxels)
    # NIfTI keeps its matrix in single precision: 842 mm to 6e-5.
    np.testing.assert_allclose(volume.grid.voxel_to_patient, itk.grid.voxel_to_patient, atol=1e-4)
    assert by_position(volume) == TRUTH


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_every_nrrd_space_names_the_same_places(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    matrix = np.diag([*signs, 1.0]) @ GRID.voxel_to_patient
    path = write_nrrd(
        tmp_path / "x.nrrd",
        VOXELS,
        GRID,
        **{"space": space, "space directions": matrix[:3, :3].T, "space origin": matrix[:3, 3]},
    )
    assert by_position(read_file(path)[0]) == TRUTH


def test_nrrd_lengths_in_centimetres_become_millimetres(tmp_path: Path) -> None:
    matrix = GRID.voxel_to_patient / 10
    path = write_nrrd(
        tmp_path / "x.nrrd",
        VOXELS,
        GRID,
        **{"space directions": matrix[:3, :3].T, "space origin": matrix[:3, 3], "space units": ["cm"] * 3},
    )
    assert by_position(read_file(path)[0]) == TRUTH


def test_the_qform_alone_is_enough(tmp_path: Path) -> None:
    for axes, flips in ORDERS:
        voxels, grid = reordered(axes, flips)
        volume, _ = read_file(write_nifti(tmp_path / "x.nii", voxels, grid, sform=0))
        assert by_position(volume) == TRUTH


# ------------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_every_number_type_in_both_byte_orders_keeps_its_values(
    tmp_path: Path, dtype: str, order: str, suffix: str
) -> None:
    whole = (np.arange(120).reshape(SHAPE, order="F") % 100).astype(dtype)
    path = _in_byte_order(tmp_path, whole, order, suffix)
    volume, _ = read_file(path)
    assert volume.voxels.dtype == np.int16  # whole and small, whatever the container
    np.testing.assert_array_equal(volume.voxels, whole)


def _in_byte_order(folder: Path, voxels: np.ndarray, order: str, suffix: str) -> Path:
    """A plain file whose header and voxels are both in that byte order."""
    path = folder / f"x{suffix}"
    if suffix == ".nii":
        import nibabel

        header = nibabel.Nifti1Header(endianness=order)
        header.set_data_dtype(voxels.dtype)
        image = nibabel.Nifti1Image(voxels, np.diag([-1, -1, 1, 1]) @ GRID.voxel_to_patient, header)
        nibabel.save(image, path)
        return path
    write_itk(path, voxels, GRID, compressed=False)
    content = path.read_bytes()
    payload = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F")
    head = content[: len(content) - len(payload)]
    if order == ">":
        head = head.replace(b"endian: little", b"endian: big")
        head = head.replace(b"BinaryDataByteOrderMSB = False", b"BinaryDataByteOrderMSB = True")
    path.write_bytes(head + payload)
    return path


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_every_nrrd_encoding_holds_the_same_voxels(tmp_path: Path, encoding: str) -> None:
    volume, _ = read_file(write_nrrd(tmp_path / "x.nrrd", VOXELS, GRID, encoding=encoding))
    assert by_position(volume) == TRUTH


def test_a_nifti_2_reads_as_a_nifti_1(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii.gz", VOXELS, GRID, two=True)
    assert survey_file(path).kind == "NIfTI-2"
    assert by_position(read_file(path)[0]) == TRUTH


@given(
    slope=st.floats(-50, 50).filter(lambda s: abs(s) > 1e-3),
    intercept=st.floats(-2000, 2000),
    low=st.integers(-3000, 0),
)
@settings(max_examples=40, deadline=None)
def test_rescaled_values_are_slope_times_stored_plus_intercept(
    tmp_path_factory: pytest.TempPathFactory, slope: float, intercept: float, low: int
) -> None:
    stored = (VOXELS + low).astype("i2")
    path = write_nifti(tmp_path_factory.mktemp("scaled") / "x.nii", stored, GRID)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(content)
    volume, facts = read_file(path)
    told = np.array([slope, intercept], "<f4").astype(float)
    expected = stored * told[0] + told[1]
    # The result is single precision: 2^-24 of its size; int16 only where it is whole, which is then exact.
    np.testing.assert_allclose(volume.voxels, expected, rtol=6e-8, atol=0)
    assert (volume.voxels.dtype == np.int16) == bool(
        (expected == np.rint(expected)).all() and abs(expected).max() < 32768
    )
    assert ("rescale" in [fact.kind for fact in facts]) == (tuple(told) != (1.0, 0.0))


def test_hounsfield_units_kept_as_slope_and_intercept_become_int16(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", (VOXELS - VOXELS.min()).astype("u2"), GRID)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1.0, -1024.0], "<f4").tobytes()
    path.write_bytes(content)
    volume, _ = read_file(path)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, VOXELS - VOXELS.min() - 1024)
    assert (volume.modality, volume.unit) == ("CT", "HU")


@pytest.mark.parametrize(
    ("value", "dtype"), [(32767, np.int16), (32768, np.float32), (-32768, np.int16), (-32769, np.float32)]
)
def test_int16_is_kept_exactly_as_far_as_it_reaches(tmp_path: Path, value: int, dtype: type) -> None:
    voxels = np.zeros(SHAPE, "i4")
    voxels[1, 2, 3] = value
    volume, _ = read_file(write_nifti(tmp_path / "x.nii", voxels, GRID))
    assert volume.voxels.dtype == dtype
    assert volume.voxels[1, 2, 3] == value


def test_fractions_stay_fractions(tmp_path: Path) -> None:
    voxels = VOXELS.astype("f8") + 0.25
    volume, _ = read_file(write_itk(tmp_path / "x.mha", voxels, GRID))
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, voxels)


def test_what_is_no_number_lies_outside_the_scan_and_reads_as_its_lowest_value(tmp_path: Path) -> None:
    voxels = VOXELS.astype("f4")
    holes = [(0, 0, 0), (5, 4, 3), (2, 1, 0)]
    for hole, value in zip(holes, (np.nan, np.inf, -np.inf), strict=True):
        voxels[hole] = value
    finite = voxels[np.isfinite(voxels)]
    volume, facts = read_file(write_nifti(tmp_path / "x.nii", voxels, GRID))
    assert volume.outside is not None
    assert {tuple(at) for at in np.argwhere(volume.outside).tolist()} == set(holes)
    assert {volume.voxels[hole] for hole in holes} == {finite.min()}
    np.testing.assert_array_equal(volume.voxels[~volume.outside], voxels[~volume.outside])
    (fact,) = [fact for fact in facts if fact.kind == "padding"]
    assert fact.values == {"voxels": 3}


def test_values_beyond_single_precision_are_no_numbers_either(tmp_path: Path) -> None:
    voxels = VOXELS.astype("f8")
    voxels[1, 2, 3] = 1e300
    volume, _ = read_file(write_itk(tmp_path / "x.mha", voxels, GRID))
    assert np.isfinite(volume.voxels).all()
    assert volume.outside is not None
    assert np.argwhere(volume.outside).tolist() == [[1, 2, 3]]


def test_a_volume_without_a_number_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="none of its voxels is a number"):
        read_file(write_nifti(tmp_path / "x.nii", np.full(SHAPE, np.nan, "f4"), GRID))


def test_rounding_to_single_precision_is_said(tmp_path: Path) -> None:
    voxels = np.full(SHAPE, 2**24 + 1, "i4")
    _, facts = read_file(write_nifti(tmp_path / "x.nii", voxels, GRID))
    assert "rounding" in [fact.kind for fact in facts]


def test_voxels_come_read_only_and_fortran_ordered(tmp_path: Path) -> None:
    volume, _ = read_file(write_nifti(tmp_path / "x.nii.gz", VOXELS, GRID))
    assert volume.voxels.flags.f_contiguous
    assert not volume.voxels.flags.writeable


# ------------------------------------------------------------------------------------------------- phases, modality


def four_phases() -> np.ndarray:
    return np.stack([VOXELS + 1000 * phase for phase in range(4)], axis=-1).astype("i2")


def write_4d(path: Path, kind: str) -> Path:
    phases = four_phases()
    if kind == "nifti":
        return write_nifti(path.with_suffix(".nii.gz"), phases, GRID)
    if kind == "nrrd list first":
        return write_nrrd(path.with_suffix(".nrrd"), np.moveaxis(phases, -1, 0), GRID)
    axes = np.vstack([GRID.voxel_to_patient[:3, :3].T, np.full(3, np.nan)])
    kinds = ["domain", "domain", "domain", "list"]
    return write_nrrd(path.with_suffix(".nrrd"), phases, GRID, **{"space directions": axes, "kinds": kinds})


@pytest.mark.parametrize("kind", ["nifti", "nrrd list first", "nrrd list last"])
def test_each_phase_is_read_alone_and_none_without_a_choice(tmp_path: Path, kind: str) -> None:
    path = write_4d(tmp_path / "x", kind)
    found = survey_file(path)
    assert (found.shape, found.phases) == (SHAPE, 4)
    assert "4 phases" in found.note
    for phase in range(1, 5):
        volume, facts = read_file(path, phase)
        np.testing.assert_array_equal(volume.voxels, four_phases()[..., phase - 1])
        np.testing.assert_allclose(volume.grid.voxel_to_patient, GRID.voxel_to_patient, atol=1e-4)
        assert {"phase": phase, "phases": 4} in [fact.values for fact in facts]
    for wrong in (None, 0, 5, -1):
        with pytest.raises(ChooseSeriesError, match="4 phases") as caught:
            read_file(path, wrong)
        assert "1 to 4" in caught.value.hint


def test_a_single_phase_needs_no_choice_but_refuses_a_wrong_one(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", VOXELS, GRID)
    np.testing.assert_array_equal(read_file(path, 1)[0].voxels, read_file(path)[0].voxels)
    with pytest.raises(ChooseSeriesError):
        read_file(path, 2)


@pytest.mark.parametrize(
    ("lowest", "modality"), [(-1024, "CT"), (-900, "CT"), (-899, "unknown"), (-1, "unknown"), (0, "MR")]
)
def test_the_modality_is_guessed_from_air_and_said_to_be(tmp_path: Path, lowest: int, modality: str) -> None:
    assert guessed_modality(lowest) == modality
    voxels = (VOXELS - VOXELS.min() + lowest).astype("i2")
    path = write_nifti(tmp_path / "x.nii", voxels, GRID)
    assert survey_file(path).modality == modality
    volume, facts = read_file(path)
    assert volume.modality == modality
    (fact,) = [fact for fact in facts if fact.kind == "modality"]
    assert "guessed" in fact.text
    told, facts = read_file(path, modality="CT")
    assert (told.modality, told.unit) == ("CT", "HU")
    assert "modality" not in [fact.kind for fact in facts]


def test_progress_reaches_its_end_and_can_stop_the_reading(tmp_path: Path) -> None:
    from meshing.progress import Cancelled

    path = write_nifti(tmp_path / "x.nii.gz", np.zeros((100, 100, 100), "i2"), oblique_grid((100, 100, 100)))
    seen: list[float] = []
    read_file(path, progress=lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        read_file(path, progress=stop)


# --------------------------------------------------------------------------------------------------------- real files


REAL = [
    ("ct_abdomen_labels/example_ct.nii.gz", "CT", (122, 101, 112)),
    ("cta_aorta/aorta/ct_cropped.nii.gz", "CT", (120, 126, 164)),
    ("mr_spine_cord/t2.nii.gz", "MR", (60, 55, 52)),
    ("mr_brain_tumour/brain1_image.nrrd", "MR", (256, 256, 25)),
    ("mra_aorta_vmtk/aorta.mha", "MR", (157, 393, 34)),
    ("mra_aorta_vmtk/aorta-final-levelset.mha", "unknown", (157, 393, 34)),
    ("dicom_corner_cases/generic/anatomical/002_non_isotropic_ground_truth.nii.gz", "MR", (64, 28, 4)),
]


@pytest.mark.parametrize(("name", "modality", "shape"), REAL)
def test_real_scans_equal_what_simpleitk_reads(
    real_data: Callable[[str], Path], name: str, modality: str, shape: tuple[int, int, int]
) -> None:
    path = real_data(name)
    volume, _ = read_file(path)
    itk = peer(path)
    assert (volume.modality, volume.grid.shape) == (modality, shape)
    np.testing.assert_array_equal(volume.voxels, itk.voxels.astype(volume.voxels.dtype))
    np.testing.assert_allclose(volume.grid.voxel_to_patient, itk.grid.voxel_to_patient, atol=1e-5)
    assert survey_file(path).shape == shape


def test_the_centreline_of_the_mra_runs_through_its_bright_lumen(real_data: Callable[[str], Path]) -> None:
    # Another program's centreline, in RAS: where the image were mirrored or shifted, it would run through fat.
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    volume, _ = read_file(real_data("mra_aorta_vmtk/aorta.mha"))
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(str(real_data("mra_aorta_vmtk/aorta-centerline.vtp")))
    reader.Update()
    points = vtk_to_numpy(reader.GetOutput().GetPoints().GetData()) * (-1.0, -1.0, 1.0)
    at = np.rint(volume.grid.to_voxel(points)).astype(int)
    inside = ((at >= 0) & (at < volume.grid.shape)).all(axis=1)
    values = volume.voxels[tuple(at[inside].T)]
    assert inside.mean() > 0.95
    assert values.mean() == pytest.approx(1909, rel=0.02)  # measured by the data's keeper


def test_unpacked_and_repacked_copies_of_a_real_scan_are_the_scan(
    tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    path = real_data("mr_spine_cord/t2.nii.gz")
    plain = tmp_path / "t2.nii"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    members = tmp_path / "members.nii.gz"
    whole = plain.read_bytes()
    members.write_bytes(gzip.compress(whole[:50_000]) + gzip.compress(whole[50_000:]))
    truth = read_file(path)[0].voxels
    for copy in (plain, members):
        np.testing.assert_array_equal(read_file(copy)[0].voxels, truth)
