"""The intake table, row by row: what other readers get wrong in silence is right here, or refused with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset

from meshing.errors import (
    ChooseSeriesError,
    DamagedFileError,
    GeometryError,
    TooLargeError,
    UnsupportedError,
)
from meshing.importing.limits import Limits
from meshing.importing.scan import SeriesChoice, import_scan, survey
from tests import dicom_factory as factory
from tests.dicom_checks import assert_is, fact, kinds

# ------------------------------------------------------------------------------------------- right in every reader


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"axes": factory.direction((20, -35, 70))}, id="oblique"),
        pytest.param({"signed": True}, id="signed"),
        pytest.param({"modality": "MR", "intercept": 0.0}, id="mr"),
        pytest.param({"spacing": (0.5, 2.0, 7.5)}, id="pixels far from square"),
        pytest.param({"axes": factory.direction((180, 0, 0))}, id="feet first"),
        pytest.param({"axes": factory.direction((0, 0, 90))}, id="rows and columns swapped"),
        pytest.param({"shape": (5, 4, 2)}, id="two slices"),
    ],
)
def test_plain_series_comes_in_exactly(options: dict[str, object], tmp_path: Path) -> None:
    made = factory.stack(**options)  # type: ignore[arg-type]  # keywords of `stack`
    scan = import_scan(factory.save(made.files, tmp_path, shuffle=1))
    assert_is(scan, made)
    assert kinds(scan) == set()
    assert not scan.volume.grid.is_left_handed
    assert scan.volume.voxels.dtype == np.int16
    assert scan.volume.voxels.flags.f_contiguous


def test_slices_are_sorted_along_the_normal_whatever_their_numbers_say(tmp_path: Path) -> None:
    made = factory.stack()

    def renumber(k: int, file: FileDataset) -> None:
        file.InstanceNumber = (7 * k) % 11

    assert_is(import_scan(factory.save(factory.changed(made, renumber).files, tmp_path)), made)


cosines = st.floats(-180, 180)
millimetres = st.floats(0.2, 8.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    euler=st.tuples(cosines, cosines, cosines),
    spacing=st.tuples(millimetres, millimetres, millimetres),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    shuffle=st.integers(0, 2**32),
)
def test_any_orientation_and_spacing_is_mapped_to_a_hundredth_of_a_millimetre(
    euler: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    shuffle: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = factory.stack((4, 3, 5), axes=factory.direction(euler), spacing=spacing, origin=origin)
    folder = factory.save(made.files, tmp_path_factory.mktemp("any"), shuffle=shuffle)
    assert_is(import_scan(folder), made)


def test_twenty_shuffled_orders_and_names_give_the_identical_volume(tmp_path: Path) -> None:
    made = factory.stack(axes=factory.direction((5, 10, 15)), tilt_deg=12)
    files = [*made.files, made.files[2], factory.scout(), *factory.other_objects()]
    seen = set()
    for shuffle in range(20):
        folder = factory.save(files, tmp_path / str(shuffle), shuffle=shuffle)
        volume = import_scan(folder).volume
        assert volume.outside is not None
        arrays = (volume.voxels, volume.outside, volume.grid.voxel_to_patient)
        seen.add((survey(folder), *(array.tobytes() for array in arrays)))
    assert len(seen) == 1


# ------------------------------------------------------------------------------------------- one place, two images


def test_second_image_at_a_position_is_refused_when_no_header_tells_it_apart(tmp_path: Path) -> None:
    made = factory.stack()
    extra = factory.stack(seed=9).files[3]
    extra.SeriesInstanceUID, extra.StudyInstanceUID = made.files[0].SeriesInstanceUID, made.files[0].StudyInstanceUID
    extra.FrameOfReferenceUID, extra.SeriesNumber, extra.InstanceNumber = made.files[0].FrameOfReferenceUID, 1, 7
    folder = factory.save([*made.files, extra], tmp_path, shuffle=5)
    with pytest.raises(GeometryError, match=r"1 of 6 positions hold several different images.*instances 4, 7"):
        import_scan(folder)
    assert not survey(folder)[0].usable


@pytest.mark.parametrize("times", [1, 2])
def test_same_file_twice_counts_once_and_is_noted(times: int, tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save([*made.files, *made.files * times], tmp_path, shuffle=6)
    scan = import_scan(folder)
    assert_is(scan, made)
    assert fact(scan, "duplicates").values == {"copies": 6 * times}
    assert "identical" in survey(folder)[0].note


def test_same_image_in_two_transfer_syntaxes_counts_once(tmp_path: Path) -> None:
    made = factory.stack()
    factory.save(made.files, tmp_path / "plain")
    factory.save(made.files, tmp_path / "packed", syntax="rle")
    scan = import_scan(tmp_path)
    assert_is(scan, made)
    assert fact(scan, "duplicates").values == {"copies": 6}


def test_series_anonymised_twice_counts_once(tmp_path: Path) -> None:
    made = factory.stack()
    again = factory.changed(made, lambda k, file: factory.rename(file, f"again {k}"))
    scan = import_scan(factory.save([*made.files, *again.files], tmp_path, shuffle=9))
    assert_is(scan, made)
    assert fact(scan, "duplicates").values == {"copies": 6}


def test_images_side_by_side_are_no_stack(tmp_path: Path) -> None:
    made = factory.stack()
    aside = factory.changed(made, lambda k, file: factory.rename(file, f"aside {k}"))
    for file in aside.files:
        file.ImagePositionPatient[0] += 40
    with pytest.raises(GeometryError, match="6 of 6 positions hold several different images"):
        import_scan(factory.save([*made.files, *aside.files], tmp_path))


def test_compression_that_the_transfer_syntax_denies_is_refused(tmp_path: Path) -> None:
    folder = factory.save(factory.stack().files, tmp_path, syntax="rle")
    for file in folder.iterdir():
        raw = file.read_bytes()
        rle, plain = b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"
        assert rle in raw
        file.write_bytes(raw.replace(rle, plain))
    with pytest.raises(DamagedFileError, match="transfer syntax denies it"):
        import_scan(folder)


def test_one_identifier_for_two_different_images_is_refused(tmp_path: Path) -> None:
    made = factory.stack()
    liar = factory.stack(seed=9).files[2]
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"):
        setattr(liar, name, getattr(made.files[2], name))
    with pytest.raises(GeometryError, match="several different images"):
        import_scan(factory.save([*made.files, liar], tmp_path))


# ----------------------------------------------------------------------------------------------- broken and odd files


def test_truncated_slice_is_named(tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save(made.files, tmp_path)
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-50])
    with pytest.raises(DamagedFileError, match=r"truncated: 76 of 126 bytes") as refused:
        import_scan(folder)
    assert victim.name in refused.value.where
    (line,) = survey(folder)
    assert not line.usable
    assert "truncated" in line.note


def test_file_that_ends_in_its_header_is_named(tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save(made.files, tmp_path)
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:700])
    with pytest.raises(DamagedFileError, match="truncated") as refused:
        import_scan(folder)
    assert victim.name in refused.value.where


def set_to(name: str, value: object) -> Callable[[FileDataset], None]:
    def change(file: FileDataset) -> None:
        if value is None:
            delattr(file, name)
        else:
            setattr(file, name, value)

    return change


def raw_decimal(name: str, text: bytes) -> Callable[[FileDataset], None]:
    """A DS that pydicom itself would refuse to write from Python values."""

    def change(file: FileDataset) -> None:
        file[name]._value = text.decode().split("\\")

    return change


DEFECTS = {
    "no position": (set_to("ImagePositionPatient", None), "ImagePositionPatient (0020,0032) is missing"),
    "no orientation": (set_to("ImageOrientationPatient", None), "ImageOrientationPatient (0020,0037) is missing"),
    "no pixel spacing": (set_to("PixelSpacing", None), "PixelSpacing (0028,0030) is missing"),
    "pixel spacing 0": (set_to("PixelSpacing", [0, 0]), "PixelSpacing (0028,0030) is [0.0, 0.0]"),
    "pixel spacing negative": (set_to("PixelSpacing", [1, -1]), "PixelSpacing (0028,0030) is [1.0, -1.0]"),
    "pixel spacing not a number": (raw_decimal("PixelSpacing", b"NaN\\NaN"), "PixelSpacing (0028,0030) is [NaN, NaN]"),
    "pixel spacing of words": (
        raw_decimal("PixelSpacing", b"ROSALIND\\DOE"),
        "PixelSpacing (0028,0030) is not a number",
    ),
    "position infinite": (
        raw_decimal("ImagePositionPatient", b"0\\inf\\0"),
        "ImagePositionPatient (0020,0032) is [0, inf, 0]",
    ),
    "position of two": (set_to("ImagePositionPatient", [1, 2]), "ImagePositionPatient (0020,0032) is [1.0, 2.0]"),
    "orientation singular": (set_to("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "is not orthonormal"),
    "orientation zero": (set_to("ImageOrientationPatient", [0] * 6), "is not orthonormal"),
    "orientation too long": (set_to("ImageOrientationPatient", [1, 0, 0, 0, 1.1, 0]), "lengths 1 and 1.1"),
}


@pytest.mark.parametrize("which", ["all", "one"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_geometry_defect_is_refused_with_file_tag_value_and_remedy(defect: str, which: str, tmp_path: Path) -> None:
    change, message = DEFECTS[defect]
    made = factory.changed(factory.stack(), lambda k, file: change(file) if which == "all" or k == 3 else None)
    folder = factory.save(made.files, tmp_path)
    with pytest.raises(GeometryError) as refused:
        import_scan(folder)
    assert message in refused.value.message
    assert refused.value.hint
    assert Path(refused.value.where).parent == folder
    if which == "one":
        assert Path(refused.value.where).name == "image0003.dcm"
    lines = survey(folder)
    assert not any(line.usable for line in lines)
    assert message in lines[0].note


def test_single_slice_is_refused_as_a_volume(tmp_path: Path) -> None:
    folder = factory.save(factory.stack((9, 7, 1)).files, tmp_path)
    (line,) = survey(folder)
    assert (line.kind, line.usable) == ("single image", False)
    with pytest.raises(UnsupportedError, match="single image of 9 × 7"):
        import_scan(folder)
    with pytest.raises(UnsupportedError, match="single image"):
        import_scan(next(folder.iterdir()))


def test_size_over_the_limit_is_refused_before_a_pixel_is_read(tmp_path: Path) -> None:
    folder = factory.save(factory.stack().files, tmp_path)
    with pytest.raises(TooLargeError, match=r"9 × 7 × 6 = 378 voxels, the limit is 377") as refused:
        import_scan(folder, limits=Limits(max_voxels=377))
    assert "max_voxels" in refused.value.hint
    assert import_scan(folder, limits=Limits(max_voxels=378)).volume.grid.shape == (9, 7, 6)


# -------------------------------------------------------------------------------------------------- several volumes


def test_two_orientations_of_one_series_are_two_volumes(tmp_path: Path) -> None:
    first, second = factory.stack(seed=1), factory.stack(seed=2, axes=factory.direction((90, 0, 0)))
    for file in second.files:
        for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"):
            setattr(file, name, getattr(first.files[0], name))
    folder = factory.save([*first.files, *second.files], tmp_path, shuffle=7)
    assert [line.shape for line in survey(folder)] == [(9, 7, 6)] * 2
    with pytest.raises(ChooseSeriesError, match="2 volumes"):
        import_scan(folder)
    scans = [import_scan(folder, SeriesChoice(series=number)) for number in (1, 2)]
    frames = {scan.volume.grid.frame_of_reference for scan in scans}
    assert len(frames) == 2, "every import has a salt of its own"
    by_normal = sorted(scans, key=lambda scan: abs(scan.volume.grid.direction[2, 2]))
    assert_is(by_normal[1], first)
    assert_is(by_normal[0], second)


def test_two_sizes_of_one_series_are_two_volumes(tmp_path: Path) -> None:
    first, second = factory.stack((9, 7, 6)), factory.stack((8, 7, 5), seed=2)
    for file in second.files:
        file.SeriesInstanceUID, file.StudyInstanceUID = (
            first.files[0].SeriesInstanceUID,
            first.files[0].StudyInstanceUID,
        )
        file.SeriesNumber = 1
    folder = factory.save([*first.files, *second.files], tmp_path)
    assert [line.shape for line in survey(folder)] == [(8, 7, 5), (9, 7, 6)]
    assert_is(import_scan(folder, SeriesChoice(series=1)), second)
    assert_is(import_scan(folder, SeriesChoice(series=2)), first)


def test_several_series_are_listed_and_one_must_be_chosen(tmp_path: Path) -> None:
    first, second = factory.stack(seed=1), factory.stack((5, 5, 4), seed=2)
    folder = factory.save([*first.files, *second.files], tmp_path)
    with pytest.raises(ChooseSeriesError) as refused:
        import_scan(folder)
    assert "1: volume CT 9×7×6; 2: volume CT 5×5×4" in refused.value.hint or (
        "1: volume CT 5×5×4; 2: volume CT 9×7×6" in refused.value.hint
    )
    with pytest.raises(ChooseSeriesError, match="there is no series 3"):
        import_scan(folder, SeriesChoice(series=3))
    with pytest.raises(ChooseSeriesError, match="there is no series 0"):
        import_scan(folder, SeriesChoice(series=0))


def test_one_volume_among_scouts_and_other_objects_needs_no_choice(tmp_path: Path) -> None:
    made = factory.stack()
    files = [*made.files, factory.scout(), *factory.other_objects(), factory.stack((5, 5, 1), seed=8).files[0]]
    folder = factory.save(files, tmp_path, shuffle=8)
    (folder / "report.pdf").write_bytes(b"%PDF-1.4 no image")
    (folder / "empty").write_bytes(b"")
    (folder / "deeper" / "still").mkdir(parents=True)
    (folder / "deeper" / "still" / "notes.txt").write_text("nothing to see")
    lines = survey(folder)
    assert [line.ordinal for line in lines] == list(range(1, len(lines) + 1))
    assert sorted(line.kind for line in lines) == sorted(
        ["volume", "scout", "report", "presentation state", "key object selection", "segmentation", "document"]
        + ["single image"]
    )
    assert [line.kind for line in lines if line.usable] == ["volume"]
    assert_is(import_scan(folder), made)
    for line in lines:
        if not line.usable:
            with pytest.raises(UnsupportedError):
                import_scan(folder, SeriesChoice(series=line.ordinal))


def test_frame_of_reference_made_up_for_every_slice_does_not_split_the_series(tmp_path: Path) -> None:
    made = factory.changed(
        factory.stack(), lambda k, file: setattr(file, "FrameOfReferenceUID", factory.uid(f"for {k}"))
    )
    scan = import_scan(factory.save(made.files, tmp_path))
    assert_is(scan, made)
    assert "frame of reference" in kinds(scan)


def test_two_frames_of_reference_are_two_volumes(tmp_path: Path) -> None:
    made = factory.changed(
        factory.stack((9, 7, 8)), lambda k, file: setattr(file, "FrameOfReferenceUID", factory.uid(f"for {k // 4}"))
    )
    assert [line.shape for line in survey(factory.save(made.files, tmp_path))] == [(9, 7, 4)] * 2
