"""DICOM SEG: voxels as highdicom and the NRRD twins of real objects have them, on the right grid, with their codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from meshing.errors import AnatomyError, DamagedFileError, GeometryError, SegmentationError, UnsupportedError
from meshing.importing.files import read_file
from meshing.importing.labels import read_labels
from meshing.volume import Grid
from tests.meshing.importing.specimens import dicom_seg, oblique_grid

SHAPE = (13, 11, 7)  # 143 pixels: frames of one-bit pixels begin inside a byte
GRID = oblique_grid(SHAPE)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    i, j, k = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    return (i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 <= radius**2


MASKS = {"liver": ball((5, 5, 3), 3.2), "odd thing": ball((7, 6, 3), 2.5), "another": ball((3, 3, 5), 1.5)}
assert (MASKS["liver"] & MASKS["odd thing"]).any()


def test_overlapping_binary_segments_come_back_voxel_for_voxel(tmp_path: Path) -> None:
    segmentation, _ = read_labels(dicom_seg(tmp_path / "s.dcm", MASKS, GRID), GRID)
    assert [segment.label for segment in sorted(segmentation.segments, key=lambda s: s.label)] == [1, 2, 3]
    for key, mask in (("liver", MASKS["liver"]), ("odd_thing", MASKS["odd thing"]), ("another", MASKS["another"])):
        np.testing.assert_array_equal(segmentation.mask(key), mask)
    assert len(segmentation.layers) == 2


def test_an_object_with_every_frame_and_one_without_the_empty_ones_say_the_same(tmp_path: Path) -> None:
    whole, _ = read_labels(dicom_seg(tmp_path / "w.dcm", MASKS, GRID, omit_empty_frames=False), GRID)
    brief, _ = read_labels(dicom_seg(tmp_path / "b.dcm", MASKS, GRID), GRID)
    for key in ("liver", "odd_thing", "another"):
        np.testing.assert_array_equal(whole.mask(key), brief.mask(key))


def test_fractional_segments_are_cut_at_one_half_and_it_is_said(tmp_path: Path) -> None:
    i = np.arange(SHAPE[0])[:, None, None] + np.zeros(SHAPE)
    share = {"liver": np.clip(i / 10, 0, 1)}
    segmentation, facts = read_labels(dicom_seg(tmp_path / "s.dcm", share, GRID, kind="FRACTIONAL"), GRID)
    np.testing.assert_array_equal(segmentation.mask("liver"), i >= 5)
    assert {"threshold": 0.5} in [fact.values for fact in facts]


def test_a_label_map_object_is_one_layer_of_segment_numbers(tmp_path: Path) -> None:
    apart = {"liver": MASKS["liver"] & ~MASKS["another"], "another": MASKS["another"]}
    segmentation, _ = read_labels(dicom_seg(tmp_path / "s.dcm", apart, GRID, kind="LABELMAP"), GRID)
    assert len(segmentation.layers) == 1
    for key, mask in apart.items():
        np.testing.assert_array_equal(segmentation.mask(key), mask)


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"], ids=["RLE", "JPEG-LS"])
def test_compressed_objects_are_decoded_in_the_child(tmp_path: Path, kind: str, syntax: str) -> None:
    grid = oblique_grid((20, 17, 5))
    mask = np.random.default_rng(4).random(grid.shape) < 0.3
    masks = {"liver": mask.astype(float if kind == "FRACTIONAL" else np.uint8)}
    segmentation, _ = read_labels(dicom_seg(tmp_path / "s.dcm", masks, grid, kind=kind, syntax=syntax), grid)
    np.testing.assert_array_equal(segmentation.mask("liver"), mask)


def test_a_deflated_object_is_inflated_under_the_limits(tmp_path: Path) -> None:
    path = dicom_seg(tmp_path / "s.dcm", MASKS, GRID)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(tmp_path / "deflated.dcm")
    segmentation, _ = read_labels(tmp_path / "deflated.dcm", GRID)
    np.testing.assert_array_equal(segmentation.mask("liver"), MASKS["liver"])


def test_frames_in_any_order_lie_where_they_say(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(dicom_seg(tmp_path / "s.dcm", MASKS, GRID, omit_empty_frames=False))
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    count = int(dataset.NumberOfFrames)
    frames = bits[: count * SHAPE[0] * SHAPE[1]].reshape(count, -1)
    order = np.random.default_rng(0).permutation(count)
    packed = np.packbits(frames[order].ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.PerFrameFunctionalGroupsSequence = [dataset.PerFrameFunctionalGroupsSequence[int(at)] for at in order]
    dataset.save_as(tmp_path / "shuffled.dcm")
    segmentation, _ = read_labels(tmp_path / "shuffled.dcm", GRID)
    for key in ("liver", "odd_thing", "another"):
        np.testing.assert_array_equal(segmentation.mask(key), MASKS[key.replace("_", " ")])


def test_gaps_between_drawn_slices_stay_gaps(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2:9, 3:8, [1, 3, 6]] = True
    segmentation, _ = read_labels(dicom_seg(tmp_path / "s.dcm", {"liver": mask}, GRID), GRID)
    np.testing.assert_array_equal(segmentation.mask("liver"), mask)


@pytest.mark.parametrize(("between", "thickness"), [(None, 99.0), (None, None), (2.5, 0.1), (7.0, 1.0), (0.0, 5.0)])
def test_the_distance_of_slices_is_measured_whatever_the_header_says(
    tmp_path: Path, between: float | None, thickness: float | None
) -> None:
    dataset = pydicom.dcmread(dicom_seg(tmp_path / "s.dcm", MASKS, GRID, omit_empty_frames=False))
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for name, value in (("SpacingBetweenSlices", between), ("SliceThickness", thickness)):
        if name in measures:
            del measures[name]
        if value is not None:
            setattr(measures, name, value)
    dataset.save_as(tmp_path / "edited.dcm")
    segmentation, facts = read_labels(tmp_path / "edited.dcm", GRID)
    np.testing.assert_array_equal(segmentation.mask("liver"), MASKS["liver"])
    assert not [fact for fact in facts if "another grid" in fact.text]


def test_what_the_terminology_knows_takes_its_code_and_the_rest_keeps_the_files(tmp_path: Path) -> None:
    segmentation, _ = read_labels(dicom_seg(tmp_path / "s.dcm", MASKS, GRID), GRID)
    liver, odd = segmentation.segment("liver").structure, segmentation.segment("odd_thing").structure
    assert (liver.code, liver.system) == ("10200004", "digestive")
    assert (odd.code, odd.name) == ("85756007", "odd thing")


def test_a_segment_without_a_voxel_is_listed(tmp_path: Path) -> None:
    path = dicom_seg(tmp_path / "s.dcm", {"liver": MASKS["liver"], "spleen": np.zeros(SHAPE, bool)}, GRID)
    segmentation, facts = read_labels(path, GRID)
    assert [segment.key for segment in segmentation.segments] == ["liver"]
    assert {"empty": ["Spleen"]} in [fact.values for fact in facts]


# ------------------------------------------------------------------------------------------------------- real objects


@pytest.mark.parametrize(
    ("seg", "twin"),
    [
        ("liver.dcm", "liver_seg.nrrd"),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
    ],
)
def test_real_objects_equal_their_nrrd_twins(real_data: Callable[[str], Path], seg: str, twin: str) -> None:
    volume, _ = read_file(real_data(f"dicom_seg_liver/{twin}"))
    segmentation, _ = read_labels(real_data(f"dicom_seg_liver/{seg}"), volume.grid)
    assert segmentation.segment("liver").structure.code == "10200004"
    np.testing.assert_array_equal(segmentation.mask("liver"), volume.voxels > 0)
    assert segmentation.mask("liver").any()


def test_real_overlapping_segments_equal_their_three_nrrd_layers(real_data: Callable[[str], Path]) -> None:
    seg = real_data("dicom_seg_liver/partial_overlaps.dcm")
    volumes = [read_file(real_data(f"dicom_seg_liver/partial_overlaps-{n}.nrrd"))[0] for n in (1, 2, 3)]
    segmentation, _ = read_labels(seg, volumes[0].grid)
    assert [s.key for s in sorted(segmentation.segments, key=lambda s: s.label)] == [
        *("green", "arterial_tree", "purple", "edema", "venous_tree")  # ORANGE is coded as artery
    ]
    drawn = {int(v): volume.voxels == v for volume in volumes for v in np.unique(volume.voxels) if v}
    assert len(drawn) == 5
    for segment in segmentation.segments:
        np.testing.assert_array_equal(segmentation.mask(segment.key), drawn[segment.label])
    colours = {segment.key: segment.structure.colour for segment in segmentation.segments}
    assert colours["green"][1] > max(colours["green"][0], colours["green"][2])
    assert min(colours["purple"][0], colours["purple"][2]) > colours["purple"][1]


def test_codes_of_snomed_rt_become_snomed_ct(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(real_data("dicom_seg_liver/liver.dcm"))
    assert dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "T-62000"
    dataset.SegmentSequence[0].SegmentLabel = "something else"
    dataset.save_as(tmp_path / "renamed.dcm")
    grid = read_file(real_data("dicom_seg_liver/liver_seg.nrrd"))[0].grid
    segmentation, facts = read_labels(tmp_path / "renamed.dcm", grid)
    assert segmentation.segment("liver").structure.code == "10200004"
    assert any("something else as Liver" in fact.text for fact in facts)


def test_a_segment_that_nobody_named_is_called_what_its_code_means(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(real_data("dicom_seg_liver/liver.dcm"))
    dataset.SegmentSequence[0].SegmentLabel = "Segment_1"
    dataset.save_as(tmp_path / "unnamed.dcm")
    grid = read_file(real_data("dicom_seg_liver/liver_seg.nrrd"))[0].grid
    assert [s.key for s in read_labels(tmp_path / "unnamed.dcm", grid)[0].segments] == ["liver"]


# ------------------------------------------------------------------------------------------------------------ refused


def edited(tmp_path: Path, change: Callable[[pydicom.Dataset], None]) -> Path:
    dataset = pydicom.dcmread(dicom_seg(tmp_path / "s.dcm", MASKS, GRID, omit_empty_frames=False))
    change(dataset)
    dataset.save_as(tmp_path / "edited.dcm")
    return tmp_path / "edited.dcm"


def shift_sideways(dataset: pydicom.Dataset) -> None:
    place = dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
    place.ImagePositionPatient = [
        float(mm) + shift for mm, shift in zip(place.ImagePositionPatient, (1, 0, 0), strict=True)
    ]


def drop_positions(dataset: pydicom.Dataset) -> None:
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (shift_sideways, GeometryError, "sideways"),
        (drop_positions, GeometryError, "PlanePositionSequence"),
        (lambda d: setattr(d, "NumberOfFrames", 5), DamagedFileError, "21 of 5"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:100]), DamagedFileError, "promises"),
        (lambda d: setattr(d, "BitsAllocated", 7), DamagedFileError, "7 bits"),
        (lambda d: setattr(d, "Rows", 0), DamagedFileError, "claims 21 × 0 × 13"),
        (lambda d: delattr(d, "SegmentSequence"), DamagedFileError, "AttributeError"),
        (lambda d: delattr(d, "PixelData"), DamagedFileError, "AttributeError"),
        (lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"), DamagedFileError, "AttributeError"),
        (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), UnsupportedError, "no segmentation"),
    ],
)
def test_a_broken_object_is_a_typed_error(
    tmp_path: Path, change: Callable[[pydicom.Dataset], None], error: type[AnatomyError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_labels(edited(tmp_path, change), GRID)


def test_slices_on_no_regular_grid_are_refused_with_the_gaps(tmp_path: Path) -> None:
    def spread(dataset: pydicom.Dataset) -> None:
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            at = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
            k = float(GRID.to_voxel(at)[2])
            moved = GRID.to_patient((0, 0, k + 0.13 * k * k))
            frame.PlanePositionSequence[0].ImagePositionPatient = [f"{mm:.6f}" for mm in moved]

    with pytest.raises(GeometryError, match="no regular grid"):
        read_labels(edited(tmp_path, spread), GRID)


def test_an_object_of_another_place_is_refused(tmp_path: Path) -> None:
    matrix = GRID.voxel_to_patient.copy()
    matrix[0, 3] += 500
    with pytest.raises(SegmentationError, match="outside the scan"):
        read_labels(dicom_seg(tmp_path / "s.dcm", MASKS, GRID), Grid(SHAPE, matrix))


def test_nothing_of_the_patient_leaves_the_door(tmp_path: Path) -> None:
    segmentation, facts = read_labels(dicom_seg(tmp_path / "Canary.dcm", MASKS, GRID), GRID)
    assert "Canary" not in repr(segmentation.segments) + segmentation.source + repr(facts)
    assert "C4711" not in repr(segmentation.segments) + repr(facts)
