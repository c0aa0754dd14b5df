"""Phases, echoes or contrasts of one series are told apart and never mixed; multi-frame files place their frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from meshing.errors import ChooseSeriesError, DamagedFileError, GeometryError, MissingSlicesError
from meshing.importing.scan import SeriesChoice, import_scan, survey
from tests import dicom_factory as factory
from tests.dicom_checks import assert_is, fact, kinds

Mark = Callable[[int, FileDataset], object]


def number_of(phase: int, file: FileDataset) -> int:
    return int(file.InstanceNumber) + 6 * phase


def mark(name: str, *values: object) -> Mark:
    """Instance numbers that collide, and one element that differs by phase."""

    def change(phase: int, file: FileDataset) -> None:
        setattr(file, name, values[phase])

    return change


def per_slice_trigger(phase: int, file: FileDataset) -> None:
    file.TriggerTime = 400 * phase + 7.25 * int(file.InstanceNumber)


def clock(phase: int, file: FileDataset) -> None:
    file.AcquisitionDate, file.AcquisitionTime = "20200101", f"10{30 * phase:02d}{int(file.InstanceNumber):02d}.500"


def phase_by_phase(phase: int, file: FileDataset) -> None:
    file.InstanceNumber = number_of(phase, file)


def place_by_place(phase: int, file: FileDataset) -> None:
    file.InstanceNumber = 2 * int(file.InstanceNumber) + phase


def echo_and_part(phase: int, file: FileDataset) -> None:
    file.EchoTime, file.ImageType = [2.3, 4.6][phase // 2], ["ORIGINAL", "PRIMARY", "MP"[phase % 2]]


MARKS: dict[str, tuple[int, Mark]] = {
    "time point": (3, mark("TemporalPositionIdentifier", 1, 2, 3)),
    "acquisition": (2, mark("AcquisitionNumber", 4, 5)),
    "echo": (2, mark("EchoNumbers", 1, 2)),
    "echo time": (2, mark("EchoTime", 2.46, 4.92)),
    "b-value": (3, mark("DiffusionBValue", 0.0, 500.0, 1000.0)),
    "inversion time": (2, mark("InversionTime", 700, 2500)),
    "cardiac phase": (2, mark("NominalPercentageOfCardiacPhase", 35.0, 75.0)),
    "image type": (2, mark("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
    "kernel": (2, mark("ConvolutionKernel", "B30f", "B70f")),
    "trigger time": (2, per_slice_trigger),
    "time": (2, clock),
    "instance number": (2, phase_by_phase),
    "instance number, place by place": (2, place_by_place),
    "echo time and image type": (4, echo_and_part),
}


@pytest.mark.parametrize("name", MARKS)
def test_phases_of_one_series_are_told_apart(name: str, tmp_path: Path) -> None:
    count, change = MARKS[name]
    made = factory.phases(count, change)
    for number, one in enumerate(made):
        for k, file in enumerate(one.files):
            factory.rename(file, f"{name} {number} {k}")
    folder = factory.save([file for one in made for file in one.files], tmp_path, shuffle=11)
    (line,) = survey(folder)
    assert (line.phases, line.shape, line.usable) == (count, (9, 7, 6), True)
    assert name.split(",")[0] in line.note
    with pytest.raises(ChooseSeriesError, match=f"holds {count} phases") as refused:
        import_scan(folder)
    assert f"--phase 1 to {count}" in refused.value.hint
    for number, one in enumerate(made, start=1):
        scan = import_scan(folder, SeriesChoice(phase=number))
        assert_is(scan, one)
        assert fact(scan, "source").values["phase"] == number
    for number in (0, count + 1):
        with pytest.raises(ChooseSeriesError, match=f"there is no phase {number}"):
            import_scan(folder, SeriesChoice(phase=number))


def test_phase_of_a_series_with_one_is_one(tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save(made.files, tmp_path)
    assert_is(import_scan(folder, SeriesChoice(phase=1)), made)
    with pytest.raises(ChooseSeriesError):
        import_scan(folder, SeriesChoice(phase=2))


def test_instance_numbers_in_no_order_tell_nothing_apart(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(0).permutation(12)

    def change(phase: int, file: FileDataset) -> None:
        file.InstanceNumber = int(shuffled[6 * phase + int(file.InstanceNumber) - 1])

    made = factory.phases(2, change)
    for number, one in enumerate(made):
        for k, file in enumerate(one.files):
            factory.rename(file, f"no order {number} {k}")
    with pytest.raises(GeometryError, match="6 of 6 positions hold several different images"):
        import_scan(factory.save([file for one in made for file in one.files], tmp_path))


def test_phases_that_interlock_without_meeting_are_told_apart(tmp_path: Path) -> None:
    first = factory.stack((6, 5, 8), seed=21)
    second = factory.stack((6, 5, 8), seed=22, origin=(-31.5, 12.25, 107.75 + 0.7))
    for number, one in enumerate((first, second)):
        for file in one.files:
            for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber"):
                setattr(file, name, getattr(first.files[0], name))
            file.AcquisitionNumber = number + 1
    folder = factory.save([*first.files, *second.files], tmp_path, shuffle=12)
    assert survey(folder)[0].phases == 2
    assert_is(import_scan(folder, SeriesChoice(phase=1)), first)
    assert_is(import_scan(folder, SeriesChoice(phase=2)), second)


def test_acquisitions_that_follow_each_other_are_one_scan(tmp_path: Path) -> None:
    made = factory.changed(factory.stack(), lambda k, file: setattr(file, "AcquisitionNumber", 1 + k // 3))
    assert_is(import_scan(factory.save(made.files, tmp_path)), made)


def test_gap_between_two_acquisitions_is_a_gap(tmp_path: Path) -> None:
    made = factory.without(factory.stack((9, 7, 8)), 4)
    made = factory.changed(made, lambda k, file: setattr(file, "AcquisitionNumber", 1 + (k > 3)))
    folder = factory.save(made.files, tmp_path)
    assert survey(folder)[0].phases == 1
    with pytest.raises(MissingSlicesError):
        import_scan(folder)


def test_phase_with_a_missing_slice_is_judged_by_itself(tmp_path: Path) -> None:
    made = factory.phases(2, mark("AcquisitionNumber", 1, 2))
    files = [*made[0].files, *factory.without(made[1], 2).files]
    folder = factory.save(files, tmp_path)
    assert_is(import_scan(folder, SeriesChoice(phase=1)), made[0])
    with pytest.raises(GeometryError, match=r"5\.00 mm apart"):
        import_scan(folder, SeriesChoice(phase=2))


def test_single_repeated_image_is_set_apart(tmp_path: Path) -> None:
    made = factory.phases(2, mark("AcquisitionNumber", 1, 2))
    folder = factory.save([*made[0].files, made[1].files[3]], tmp_path)
    assert [(line.kind, line.phases) for line in survey(folder)] == [("volume", 1), ("single image", 0)]
    assert_is(import_scan(folder), made[0])


# ----------------------------------------------------------------------------------------------------- multi-frame


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "deflated", "rle", "jpeg-ls", "jpeg 2000", "jpeg lossless"])
@pytest.mark.parametrize("signed", [False, True])
def test_enhanced_multiframe_places_and_scales_its_frames(syntax: str, signed: bool, tmp_path: Path) -> None:
    made = factory.stack(axes=factory.direction((30, 5, 0)), signed=signed)
    folder = factory.save([factory.enhanced(made)], tmp_path, syntax=syntax)
    (line,) = survey(folder)
    assert (line.kind, line.shape, line.phases) == ("volume", (9, 7, 6), 1)
    scan = import_scan(folder)
    assert_is(scan, made)
    assert scan.volume.voxels.dtype == np.int16


def test_enhanced_frames_are_scaled_each_by_its_own(tmp_path: Path) -> None:
    made = factory.stack(intercept=0.0)
    scales = [(0.25 + 0.5 * k, -100.0 * k) for k in range(6)]
    scan = import_scan(factory.save([factory.enhanced(made, scales=scales)], tmp_path))
    slope, intercept = np.array(scales).T
    assert scan.volume.voxels.dtype == np.float32
    assert np.array_equal(scan.volume.voxels, (made.values * slope + intercept).astype(np.float32))
    assert fact(scan, "rescale").values == {"least_slope": 0.25, "most_slope": 2.75}


def test_what_a_frame_says_of_itself_wins_over_what_all_share(tmp_path: Path) -> None:
    made = factory.stack(intercept=0.0)
    file = factory.enhanced(made, scales=[(2.0 + k, 0.0) for k in range(6)])
    file.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [factory.scale_item(100.0, 7.0)]
    voxels = import_scan(factory.save([file], tmp_path)).volume.voxels
    assert np.array_equal(voxels, made.values * np.arange(2, 8))


def test_enhanced_frames_come_in_any_order(tmp_path: Path) -> None:
    made = factory.stack()
    file = factory.enhanced(made)
    order = [3, 0, 5, 1, 4, 2]
    file.PerFrameFunctionalGroupsSequence = [file.PerFrameFunctionalGroupsSequence[k] for k in order]
    frames = np.frombuffer(file.PixelData, "<u2").reshape(6, 7, 9)[order]
    file.PixelData = frames.tobytes()
    assert_is(import_scan(factory.save([file], tmp_path)), made)


@pytest.mark.parametrize("marked", ["time point", "file"])
def test_time_points_in_a_file_each_are_phases(marked: str, tmp_path: Path) -> None:
    made = factory.phases(4, lambda phase, file: None)
    files = []
    for number, one in enumerate(made):
        file = factory.enhanced(one, time=number + 1 if marked == "time point" else None)
        file.InstanceNumber = number + 1
        factory.rename(file, f"time {number}")
        files.append(file)
    folder = factory.save(files, tmp_path, shuffle=13)
    (line,) = survey(folder)
    assert (line.phases, line.shape) == (4, (9, 7, 6))
    assert marked in line.note
    for number, one in enumerate(made, start=1):
        assert_is(import_scan(folder, SeriesChoice(phase=number)), one)


def test_enhanced_file_without_orientation_is_refused(tmp_path: Path) -> None:
    file = factory.enhanced(factory.stack())
    del file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    with pytest.raises(GeometryError, match=r"ImageOrientationPatient \(0020,0037\) is missing"):
        import_scan(factory.save([file], tmp_path))


def test_truncated_multiframe_is_refused(tmp_path: Path) -> None:
    folder = factory.save([factory.enhanced(factory.stack())], tmp_path)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="755 of 756 bytes"):
        import_scan(folder)


def test_multiframe_with_too_few_descriptions_is_refused(tmp_path: Path) -> None:
    file = factory.enhanced(factory.stack())
    del file.PerFrameFunctionalGroupsSequence[-1]
    with pytest.raises(DamagedFileError, match="6 frames and 5 descriptions"):
        import_scan(factory.save([file], tmp_path))


def test_header_longer_than_the_first_look_is_read_on(tmp_path: Path) -> None:
    made = factory.stack((3, 3, 120), spacing=(1, 1, 1))
    folder = factory.save([factory.enhanced(made, scales=[(1.0, -1024.0)] * 120)], tmp_path)
    (file,) = folder.iterdir()
    content = factory.enhanced(made)
    content.add_new(0x00091001, "UN", b"x" * 300_000)
    content.add_new(0x00090010, "LO", "FILLER")
    factory.save_one(content, file)
    assert_is(import_scan(folder), made)
    assert kinds(import_scan(folder)) == set()


def test_multiframe_without_positions_is_no_volume(tmp_path: Path) -> None:
    file = factory.stack((9, 7, 1)).files[0]
    file.NumberOfFrames = 3
    file.PixelData = file.PixelData * 3
    (line,) = survey(factory.save([file], tmp_path))
    assert (line.kind, line.usable) == ("frames without positions", False)
