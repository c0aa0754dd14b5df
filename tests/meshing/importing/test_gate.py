"""The gate: no header is believed that could cost memory, time, another file or a patient's left and right."""

from __future__ import annotations

import gzip
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import (
    AnatomyError,
    DamagedFileError,
    GeometryError,
    NoImagesError,
    TooLargeError,
    UnsupportedError,
)
from meshing.importing.files import is_volume_file, read_file, read_header, survey_file
from meshing.importing.limits import MIB, Limits
from tests.meshing.importing.specimens import oblique_grid, ramp, write_itk, write_nifti, write_nrrd

SHAPE = (6, 5, 4)
GRID = oblique_grid(SHAPE)
VOXELS = ramp(SHAPE)


@pytest.fixture
def nifti(tmp_path: Path) -> bytearray:
    return bytearray(write_nifti(tmp_path / "seed.nii", VOXELS, GRID).read_bytes())


def written(folder: Path, name: str, content: bytes | bytearray) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("dim", [(0, 5, 4), (-6, 5, 4), (6, 5, 0), (6, -32768, 4)])
def test_a_size_that_is_not_positive_is_damaged(tmp_path: Path, nifti: bytearray, dim: tuple[int, ...]) -> None:
    struct.pack_into("<3h", nifti, 42, *dim)
    with pytest.raises(DamagedFileError, match="claims"):
        read_file(written(tmp_path, "x.nii", nifti))


def test_a_header_of_352_bytes_that_claims_terabytes_costs_nothing(tmp_path: Path, nifti: bytearray) -> None:
    struct.pack_into("<3h", nifti, 42, 32767, 32767, 4000)
    for name, content in (("x.nii", bytes(nifti[:352])), ("x.nii.gz", gzip.compress(bytes(nifti[:352])))):
        tracemalloc.start()
        began = time.monotonic()
        with pytest.raises(TooLargeError, match="32767 × 32767 × 4000"):
            read_file(written(tmp_path, name, content))
        assert time.monotonic() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_claims_gigabytes_within_the_limit_is_known_for_a_lie_by_its_length(
    tmp_path: Path, nifti: bytearray, suffix: str
) -> None:
    struct.pack_into("<3h", nifti, 42, 1000, 1000, 1000)
    content = bytes(nifti)
    path = written(tmp_path, f"x{suffix}", gzip.compress(content) if suffix.endswith("gz") else content)
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="promises"):
        read_file(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_a_gz_bomb_behind_a_small_header_is_never_unpacked(tmp_path: Path, nifti: bytearray) -> None:
    path = written(tmp_path, "bomb.nii.gz", gzip.compress(bytes(nifti) + bytes(100 * MIB)))
    tracemalloc.start()
    volume, _ = read_file(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "raise_it"), [(Limits(max_voxels=119), "max_voxels"), (Limits(max_bytes=239), "max_bytes")]
)
def test_a_limit_names_itself_and_one_step_higher_passes(tmp_path: Path, limits: Limits, raise_it: str) -> None:
    path = write_nifti(tmp_path / "x.nii", VOXELS, GRID)
    with pytest.raises(TooLargeError) as caught:
        read_file(path, limits=limits)
    assert raise_it in caught.value.hint
    read_file(path, limits=Limits(max_voxels=120, max_bytes=240))


@pytest.mark.parametrize("writer", ["nii", "nii.gz", "nrrd", "mha"])
def test_a_file_cut_at_twenty_points_is_always_damaged(tmp_path: Path, writer: str) -> None:
    path = tmp_path / f"whole.{writer}"
    voxels = ramp((20, 18, 16)) + np.random.default_rng(1).integers(-9, 9, (20, 18, 16)).astype("i2")
    grid = oblique_grid((20, 18, 16))
    (write_nifti if writer.startswith("nii") else write_itk)(path, voxels, grid)
    whole = path.read_bytes()
    read_file(path)
    for cut in range(20):
        short = written(tmp_path, f"cut.{writer}", whole[: len(whole) * cut // 20])
        with pytest.raises((DamagedFileError, UnsupportedError)):
            read_file(short)


def test_one_missing_byte_of_a_plain_file_is_damaged(tmp_path: Path) -> None:
    for name, write in (("x.nii", write_nifti), ("x.nrrd", write_itk), ("x.mha", write_itk)):
        path = tmp_path / name
        write(path, VOXELS, GRID, **({} if write is write_nifti else {"compressed": False}))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DamagedFileError, match="promises"):
            read_file(path)


def test_bytes_after_the_payload_do_no_harm(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", VOXELS, GRID)
    path.write_bytes(path.read_bytes() + b"trailing")
    np.testing.assert_array_equal(read_file(path)[0].voxels, VOXELS)


# ---------------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1e30])
def test_spacing_that_is_none_is_refused(tmp_path: Path, nifti: bytearray, value: float) -> None:
    for at in (280, 296, 312):  # the i column of the sform
        struct.pack_into("<f", nifti, at, value)
    struct.pack_into("<f", nifti, 80, value)  # and the i spacing of the qform
    with pytest.raises(GeometryError):
        read_file(written(tmp_path, "x.nii", nifti))


def test_a_nifti_without_orientation_is_refused_because_left_and_right_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="neither sform nor qform") as caught:
        read_file(write_nifti(tmp_path / "x.nii", VOXELS, GRID, sform=0, qform=0))
    assert "left and right" in caught.value.hint


def sheared(degrees: float) -> np.ndarray:
    matrix = GRID.voxel_to_patient.copy()
    matrix[:3, 0] += np.tan(np.radians(degrees)) * GRID.spacing_mm[0] * GRID.direction[:, 1]
    return matrix


def test_a_sheared_sform_gives_way_to_the_qform_and_it_is_said(tmp_path: Path, nifti: bytearray) -> None:
    rows = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ sheared(5.0))[:3].astype("<f4")
    nifti[280 : 280 + 48] = rows.tobytes()
    volume, facts = read_file(written(tmp_path, "x.nii", nifti))
    np.testing.assert_allclose(volume.grid.voxel_to_patient, GRID.voxel_to_patient, atol=1e-4)
    (fact,) = [fact for fact in facts if fact.kind == "orientation"]
    assert fact.values["used"] == "qform"
    assert "sheared" in fact.text


def test_a_sheared_sform_alone_is_refused_with_its_angle(tmp_path: Path, nifti: bytearray) -> None:
    rows = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ sheared(5.0))[:3].astype("<f4")
    nifti[280 : 280 + 48] = rows.tobytes()
    struct.pack_into("<h", nifti, 252, 0)  # no qform
    with pytest.raises(GeometryError, match=r"5\.00° off a right angle"):
        read_file(written(tmp_path, "x.nii", nifti))


def test_forms_that_disagree_take_the_sform_and_say_by_how_much(tmp_path: Path, nifti: bytearray) -> None:
    struct.pack_into("<f", nifti, 268, struct.unpack_from("<f", nifti, 268)[0] + 12.0)  # qoffset_x
    volume, facts = read_file(written(tmp_path, "x.nii", nifti))
    np.testing.assert_allclose(volume.grid.voxel_to_patient, GRID.voxel_to_patient, atol=1e-4)
    (fact,) = [fact for fact in facts if fact.kind == "orientation"]
    assert fact.values == {"apart_mm": pytest.approx(12.0, abs=0.01), "used": "sform"}


def test_forms_that_agree_are_not_mentioned(tmp_path: Path) -> None:
    _, facts = read_file(write_nifti(tmp_path / "x.nii", VOXELS, GRID))
    assert [fact.kind for fact in facts] == ["modality"]


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000.0), (3, 0.001)])
def test_a_nifti_in_metres_or_micrometres_becomes_millimetres_and_it_is_said(
    tmp_path: Path, unit: int, factor: float
) -> None:
    grid = type(GRID)(SHAPE, np.diag([*np.repeat(1 / factor, 3), 1.0]) @ GRID.voxel_to_patient)
    content = bytearray(write_nifti(tmp_path / "seed.nii", VOXELS, grid).read_bytes())
    content[123] = unit
    volume, facts = read_file(written(tmp_path, "x.nii", content))
    np.testing.assert_allclose(volume.grid.voxel_to_patient, GRID.voxel_to_patient, rtol=1e-5, atol=1e-3)
    assert "units" in [fact.kind for fact in facts]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"space: left-posterior-superior", b"space dimension: 3", GeometryError),
        (b"space: left-posterior-superior", b"space: scanner-xyz", GeometryError),
        (b"space: left-posterior-superior", b"space: left-posterior-superior-time", GeometryError),
        (b"space directions: (", b"space directions: (nan", DamagedFileError),
        (b"space directions: ", b"spacings: 1 1 1\nmeasurements: ", GeometryError),
        (b"space origin: (", b"space origin: (inf,0,", GeometryError),
        (b"encoding: raw", b"encoding: ascii", UnsupportedError),
        (b"encoding: raw", b"encoding: hex", UnsupportedError),
        (b"encoding: raw", b"encoding: raw\nbyte skip: 4", UnsupportedError),
        (b"encoding: raw", b"encoding: raw\nline skip: 1", UnsupportedError),
        (b"encoding: raw", b"encoding: raw\nencoding: gzip", DamagedFileError),
        (b"type: short", b"type: block", UnsupportedError),
        (b"sizes: 6 5 4", b"sizes: 6 5 -4", DamagedFileError),
        (b"sizes: 6 5 4", b"sizes: 6 5", DamagedFileError),
        (b"sizes: 6 5 4", b"sizes: 60000 60000 60000", TooLargeError),
        (b"sizes: 6 5 4", b"sizes: 6 5 4e99", DamagedFileError),
        (b"endian: little", b"endian: middle", DamagedFileError),
        (b"dimension: 3", b"dimension: three", DamagedFileError),
        (b"NRRD0004", b"NRRD0099", DamagedFileError),
        (b"\n\n", b"\n", DamagedFileError),
        (b"encoding: raw", b'encoding: raw\nspace units: "furlong" "furlong" "furlong"', GeometryError),
    ],
)
def test_each_broken_nrrd_header_has_its_own_typed_error(
    tmp_path: Path, old: bytes, new: bytes, error: type[AnatomyError]
) -> None:
    seed = write_itk(tmp_path / "seed.nrrd", VOXELS, GRID, compressed=False).read_bytes()
    assert old in seed
    with pytest.raises(error):
        read_file(written(tmp_path, "x.nrrd", seed.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"ElementSpacing = 0.7", b"ElementSpacing = 0", GeometryError),
        (b"ElementSpacing = 0.7", b"ElementSpacing = -0.7", GeometryError),
        (b"ElementSpacing = 0.7", b"ElementSpacing = nan", GeometryError),
        (b"ElementSpacing", b"ElementSpicing", GeometryError),
        (b"TransformMatrix", b"TransformMattress", GeometryError),
        (b"TransformMatrix = ", b"TransformMatrix = 5 ", DamagedFileError),
        (b"Offset = -120", b"Offset = inf", GeometryError),
        (b"Offset = -120", b"Offset = 1e30", GeometryError),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 0", DamagedFileError),
        (b"DimSize = 6 5 4", b"DimSize = 6 5", DamagedFileError),
        (b"DimSize = 6 5 4", b"DimSize = 99999 99999 4", TooLargeError),
        (b"NDims = 3", b"NDims = 2", UnsupportedError),
        (b"NDims = 3", b"NDims = 99999999999999999999", UnsupportedError),
        (b"NDims = 3", b"NDims = 3\nHeaderSize = -1", UnsupportedError),
        (b"NDims = 3", b"NDims = 3\nNDims = 3", DamagedFileError),
        (b"ElementType = MET_SHORT", b"ElementType = MET_OTHER", UnsupportedError),
        (b"ElementType = MET_SHORT", b"ElementNumberOfChannels = 3\nElementType = MET_SHORT", UnsupportedError),
        (b"BinaryData = True", b"BinaryData = False", UnsupportedError),
        (b"ObjectType = Image", b"ObjectType = Scene", UnsupportedError),
        (b"ElementDataFile = LOCAL\n", b"", DamagedFileError),
    ],
)
def test_each_broken_metaimage_header_has_its_own_typed_error(
    tmp_path: Path, old: bytes, new: bytes, error: type[AnatomyError]
) -> None:
    seed = write_itk(tmp_path / "seed.mha", VOXELS, GRID, compressed=False).read_bytes()
    seed = seed.replace(b"ElementSpacing = 0.69999999999999996", b"ElementSpacing = 0.7")
    seed = seed.replace(b"ElementSpacing = 0.7000000000000001", b"ElementSpacing = 0.7")
    assert old in seed
    with pytest.raises(error):
        read_file(written(tmp_path, "x.mha", seed.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("at", "form", "value", "error"),
    [
        (70, "<h", 128, UnsupportedError),  # datatype: RGB
        (70, "<h", 32, UnsupportedError),  # complex
        (70, "<h", 9999, UnsupportedError),
        (72, "<h", 8, DamagedFileError),  # bitpix
        (40, "<h", 0, DamagedFileError),  # dimensions
        (40, "<h", 99, DamagedFileError),
        (108, "<f", 0.0, DamagedFileError),  # vox_offset inside the header
        (108, "<f", float("nan"), DamagedFileError),
        (108, "<f", 3e7, TooLargeError),
        (108, "<f", 1e30, DamagedFileError),
        (116, "<f", float("inf"), DamagedFileError),  # intercept, beside a slope of 2
        (344, "<i", 0, DamagedFileError),  # mark
    ],
)
def test_each_broken_nifti_header_has_its_own_typed_error(
    tmp_path: Path, nifti: bytearray, at: int, form: str, value: float, error: type[AnatomyError]
) -> None:
    struct.pack_into("<f", nifti, 112, 2.0)
    struct.pack_into(form, nifti, at, value)
    with pytest.raises(error):
        read_file(written(tmp_path, "x.nii", nifti))


# ------------------------------------------------------------------------------------------------------ external files


def test_no_header_makes_another_file_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = written(tmp_path, "secret.raw", b"s" * 4096)
    mha = write_itk(tmp_path / "seed.mha", VOXELS, GRID, compressed=False).read_bytes()
    nrrd = write_itk(tmp_path / "seed.nrrd", VOXELS, GRID, compressed=False).read_bytes()
    pair = bytearray(write_nifti(tmp_path / "seed.nii", VOXELS, GRID).read_bytes())
    pair[344:348] = b"ni1\0"
    header_only = nrrd[: nrrd.index(b"\n\n")]
    detached = {
        "a.mha": mha.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/passwd"),
        "b.mhd": mha.replace(b"ElementDataFile = LOCAL", f"ElementDataFile = {secret}".encode()),
        "c.mha": mha.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = LIST\n/etc/passwd"),
        "d.mha": mha.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = secret.%03d 1 4 1"),
        "e.nhdr": header_only + b"\ndata file: /etc/passwd\n\n",
        "f.nrrd": header_only + b"\ndatafile: secret.raw\n\n",
        "g.nrrd": header_only + b"\ndata file: LIST\nsecret.raw\n\n",
        "h.nhdr": header_only + b"\ndata file: ../../../etc/passwd\n\n" + bytes(999),
        "i.hdr": bytes(pair[:348]).ljust(400, b"\0"),
        "j.nii": bytes(pair),
    }
    opened: list[str] = []
    whole_open = Path.open

    def watched(self: Path, *arguments: object, **more: object) -> object:
        opened.append(self.name)
        return whole_open(self, *arguments, **more)  # type: ignore[call-overload]  # passed on as they came

    monkeypatch.setattr(Path, "open", watched)
    for name, content in detached.items():
        path = tmp_path / name
        path.write_bytes(content)
        opened.clear()
        with pytest.raises((UnsupportedError, DamagedFileError)) as caught:
            read_file(path)
        assert set(opened) == {name}
        if name != "g.nrrd":  # its list is a broken header before it is a list
            assert "lie in another file" in caught.value.message, name
            assert "one file" in caught.value.hint


# ------------------------------------------------------------------------------------------------------------- format


def test_the_content_says_the_format_whatever_the_name(tmp_path: Path) -> None:
    nifti = write_nifti(tmp_path / "a.nii.gz", VOXELS, GRID).rename(tmp_path / "000001.bin")
    nrrd = write_itk(tmp_path / "b.nrrd", VOXELS, GRID).rename(tmp_path / "c.nii")
    mha = write_itk(tmp_path / "d.mha", VOXELS, GRID).rename(tmp_path / "e")
    for path, kind in ((nifti, "NIfTI-1"), (nrrd, "NRRD"), (mha, "MetaImage")):
        assert is_volume_file(path)
        assert survey_file(path).kind == kind
        np.testing.assert_array_equal(read_file(path)[0].voxels, VOXELS)


def test_other_files_are_no_volume_files(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    for content in (
        b"",
        b"x",
        b"\x1f\x8b",
        gzip.compress(b"text"),
        zlib.compress(b"x" * 999),
        bytes(4000),
        b"\xff" * 99,
    ):
        path = written(tmp_path, "other.bin", content)
        assert not is_volume_file(path)
        with pytest.raises((UnsupportedError, DamagedFileError)):
            read_header(path)
    assert not is_volume_file(real_data("ct_transfer_syntaxes/CTImage.dcm"))
    with pytest.raises(NoImagesError):
        read_header(tmp_path / "nowhere.nii")


def test_one_slice_is_listed_but_is_no_volume(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", VOXELS[..., :1], oblique_grid((6, 5, 1)))
    found = survey_file(path)
    assert not found.usable
    assert "single slice" in found.note
    with pytest.raises(UnsupportedError, match="single slice"):
        read_file(path)


def test_vectors_and_colours_are_said_to_be_unsupported(tmp_path: Path) -> None:
    import SimpleITK as sitk

    image = sitk.Compose(*[sitk.GetImageFromArray(np.ascontiguousarray(VOXELS.T)) for _ in range(3)])
    for name in ("x.nrrd", "x.mha", "x.nii"):
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(UnsupportedError):
            read_file(tmp_path / name)


def test_a_header_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    limits = Limits(max_header_bytes=100_000)
    seed = write_nrrd(tmp_path / "seed.nrrd", VOXELS, GRID).read_bytes()
    for filler in (b"# x\n" * 50_000, b"#" + b"x" * 200_000 + b"\n"):
        path = written(tmp_path, "x.nrrd", seed.replace(b"\n", b"\n" + filler, 1))
        with pytest.raises(DamagedFileError, match="no end"):
            read_file(path, limits=limits)
