"""Label maps: every structure under its name and in its place on the scan's grid; what is none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshing.errors import DamagedFileError, SegmentationError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing.labels import read_labels
from meshing.importing.labels.align import on_grid
from meshing.importing.labels.map_file import caret_names
from meshing.terminology import match
from meshing.volume import Grid
from tests.meshing.importing.drawings import GRID, SHAPE, blocks, caret, named_nifti, texts, value
from tests.meshing.importing.specimens import oblique_grid, write_itk, write_nifti, write_nrrd
from tests.shapes import storage_orders

# ------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("code", [0, 30])
def test_a_caret_table_names_the_labels_under_whatever_code(tmp_path: Path, code: int) -> None:
    table = caret({1: "liver", 2: "my bypass graft", 5: "左肾", 7: "spleen"})
    path = named_nifti(tmp_path / "x.nii.gz", blocks(), GRID, table, code)
    segmentation, facts = read_labels(path, GRID)
    assert {segment.label: segment.key for segment in segmentation.segments} == {
        1: "liver",
        2: "my_bypass_graft",
        5: "kidney_left",
    }
    graft = segmentation.segment("my_bypass_graft").structure
    assert (graft.name, graft.code, graft.colour) == ("my bypass graft", "", (0.1, 0.2, 0.3))
    known = match("liver")
    assert known is not None
    assert segmentation.segment("liver").structure == known  # its own colour, not the file's
    assert segmentation.segment("kidney_left").structure.side == "left"
    assert value(facts, "empty") == ["Spleen"]


def test_labels_keep_their_numbers_and_their_voxels(tmp_path: Path) -> None:
    segmentation, _ = read_labels(write_nifti(tmp_path / "x.nii.gz", blocks(), GRID), GRID)
    assert [segment.label for segment in segmentation.segments] == [1, 2, 5]
    np.testing.assert_array_equal(segmentation.layers[0], blocks())
    assert segmentation.layers[0].dtype == np.uint8


def test_labels_above_255_take_the_wider_type(tmp_path: Path) -> None:
    labels = blocks().astype("u2") * 9000
    segmentation, _ = read_labels(write_nifti(tmp_path / "x.nii.gz", labels, GRID), GRID)
    assert segmentation.layers[0].dtype == np.uint16
    assert [segment.label for segment in segmentation.segments] == [9000, 18000, 45000]


@pytest.mark.parametrize("name", ["liver", "Liver_seg", "liver.seg", "LIVER-mask", "liver_label", "肝脏"])
def test_a_mask_without_names_is_called_as_its_file(tmp_path: Path, name: str) -> None:
    mask = (blocks() == 1).astype("u1") * 255
    for path in (tmp_path / f"{name}.nii.gz", tmp_path / f"{name}.mha"):
        (write_nifti if path.name.endswith("gz") else write_itk)(path, mask, GRID)
        segmentation, _ = read_labels(path, GRID)
        assert [segment.key for segment in segmentation.segments] == ["liver"]


def test_labels_that_nobody_named_are_numbered(tmp_path: Path) -> None:
    segmentation, _ = read_labels(write_nifti(tmp_path / "drawing.nii.gz", blocks(), GRID), GRID)
    assert [segment.key for segment in segmentation.segments] == ["drawing_1", "drawing_2", "drawing_5"]
    assert len({segment.structure.colour for segment in segmentation.segments}) == 3


def test_two_labels_of_one_name_get_two_keys(tmp_path: Path) -> None:
    path = named_nifti(tmp_path / "x.nii.gz", blocks(), GRID, caret({1: "tumour", 2: "Tumour", 5: "tumour"}))
    keys = [segment.key for segment in read_labels(path, GRID)[0].segments]
    assert keys[1:] == [f"{keys[0]}_2", f"{keys[0]}_3"]


def test_a_slicer_segmentation_brings_layers_names_colours_and_codes(tmp_path: Path) -> None:
    one, two = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    one[2:12, 2:12, 2:9] = 1
    one[14:17, 3:6, 3:6] = 2
    two[4:7, 4:7, 4:7] = 1
    entry = "TerminologyEntry:c~SCT^123037004^Anatomical Structure~SCT^{}~^^~a~^^~^^|Segmentation.Status:done|"
    fields = {
        "Segment0_Name": "Liver",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Color": "0 1 0",
        "Segment0_Tags": entry.format("10200004^Liver"),
        "Segment1_Name": "CHINESE",
        "Segment1_LabelValue": "2",
        "Segment1_Layer": "0",
        "Segment1_Color": "0.25 0.5 0.75",
        "Segment1_Tags": entry.format("441457006^Cyst"),
        "Segment2_Name": "Segment_3",
        "Segment2_LabelValue": "1",
        "Segment2_Layer": "1",
        "Segment2_Color": "broken",
        "Segment2_Tags": entry.format("78961009^Spleen"),
        "Segmentation_MasterRepresentation": "Binary labelmap",
    }
    path = write_nrrd(tmp_path / "x.seg.nrrd", np.stack([one, two]), GRID, **fields)
    path.write_bytes(path.read_bytes().replace(b"CHINESE", "左肾囊肿旁".encode()))  # Slicer writes UTF-8, pynrrd ASCII
    segmentation, facts = read_labels(path, GRID)
    assert [(s.key, s.layer, s.label, s.inside) for s in segmentation.segments] == [
        ("liver", 0, 1, None),
        ("左肾囊肿旁", 0, 2, None),
        ("spleen", 1, 1, "liver"),
    ]
    np.testing.assert_array_equal(segmentation.mask("spleen"), two == 1)
    unknown = segmentation.segment("左肾囊肿旁").structure
    assert (unknown.code, unknown.colour) == ("441457006", (0.25, 0.5, 0.75))
    assert "spleen in liver" in texts(facts)


def test_a_colour_table_alone_beside_a_nameless_map_names_it(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "seg.nrrd", blocks(), GRID)
    (tmp_path / "Colors.ctbl").write_text(
        "# table\n0 bg 0 0 0 0\n1 liver 9 9 9 255\n2 left kidney 1 2 3 255\n9 x 1 1 1 1\n"
    )
    segmentation, facts = read_labels(path, GRID)
    assert [segment.key for segment in segmentation.segments] == ["liver", "kidney_left", "label_5"]
    assert value(facts, "named") == 2
    (tmp_path / "Other.ctbl").write_text("1 spleen 9 9 9 255\n")
    assert [s.key for s in read_labels(path, GRID)[0].segments] == ["seg_1", "seg_2", "seg_5"]


@pytest.mark.parametrize(
    "table",
    [
        b'<!DOCTYPE a [<!ENTITY x "liver">]><CaretExtension>&x;</CaretExtension>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><CaretExtension/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><CaretExtension>&x;</CaretExtension>',
        b"<CaretExtension><Label Key=",
        b'<CaretExtension><Label Key="one" Red="0" Green="0" Blue="0">a</Label></CaretExtension>',
        b"<CaretExtension>&undefined;</CaretExtension>",
        b"<CaretExtension><Label/></CaretExtension>",
    ],
)
def test_a_hostile_table_of_names_is_a_damaged_file(tmp_path: Path, table: bytes) -> None:
    with pytest.raises(DamagedFileError, match="table of label names"):
        read_labels(named_nifti(tmp_path / "x.nii.gz", blocks(), GRID, table), GRID)


def test_a_billion_laughs_are_not_laughed() -> None:
    entities = "".join(f'<!ENTITY l{n} "{10 * f"&l{n - 1};"}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><CaretExtension>&l9;</CaretExtension>'
    with pytest.raises(DamagedFileError, match="entities"):
        caret_names(bomb, "bomb")


# ----------------------------------------------------------------------------------------------------- on another grid


@pytest.mark.parametrize("at", range(48))
def test_labels_stored_in_any_order_land_on_the_same_voxels(tmp_path: Path, at: int) -> None:
    stored = storage_orders(GRID)[at]
    labels = on_grid(blocks(), GRID, stored)
    segmentation, facts = read_labels(write_nifti(tmp_path / "x.nii.gz", labels, stored), GRID)
    np.testing.assert_array_equal(segmentation.layers[0], blocks())
    assert ("another grid" in texts(facts)) == (at != 0)


def rotated(degrees: float) -> FloatArray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (0.9, 1.1, 1.7)
    matrix[:3, 3] = GRID.to_patient((1.3, 2.2, 0.4))
    return matrix


@pytest.mark.parametrize(
    "own",
    [
        Grid(SHAPE, GRID.voxel_to_patient),
        Grid((40, 12, 9), GRID.voxel_to_patient @ np.diag([0.5, 1.5, 4 / 3, 1.0])),
        Grid((33, 29, 21), rotated(17.0)),
        Grid((33, 29, 21), rotated(1.0)),
    ],
    ids=["same", "scaled", "turned by 17°", "turned by 1°"],
)
def test_nearest_neighbours_are_those_of_simpleitk(own: Grid) -> None:
    import SimpleITK as sitk

    labels = np.random.default_rng(3).integers(0, 250, own.shape).astype(np.uint8)

    def image(array: np.ndarray, grid: Grid) -> sitk.Image:
        made = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
        made.SetSpacing(grid.spacing_mm.tolist())
        made.SetOrigin(grid.origin_mm.tolist())
        made.SetDirection(grid.direction.ravel().tolist())
        return made

    # Half a voxel of the border is inside for both; exact ties may go either way, so the target is moved off them.
    shifted = GRID.voxel_to_patient.copy()
    shifted[:3, 3] += (0.0123, 0.0234, 0.0345)
    target = Grid(SHAPE, shifted)
    reference = image(np.zeros(SHAPE, np.uint8), target)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(image(labels, own), reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    ).T
    ours = on_grid(labels, own, target)
    assert ours.flags.f_contiguous
    assert expected.any()
    np.testing.assert_array_equal(ours, expected)


def test_resampling_is_said_with_volumes_before_and_after(tmp_path: Path) -> None:
    fine = Grid((40, 36, 24), GRID.voxel_to_patient @ np.diag([0.5, 0.5, 0.5, 1.0]))
    labels = np.zeros(fine.shape, np.uint8)
    labels[10:20, 10:20, 10:20] = 1
    segmentation, facts = read_labels(write_nifti(tmp_path / "liver.nii.gz", labels, fine), GRID)
    ml = GRID.voxel_volume_mm3 / 1000
    assert value(facts, "before_ml") == pytest.approx(1000 * ml / 8, abs=1e-3)
    assert value(facts, "after_ml") == pytest.approx(segmentation.mask("liver").sum() * ml, abs=1e-3)
    assert "40 × 36 × 24 voxels" in texts(facts)


def test_labels_wholly_outside_are_refused_with_both_places(tmp_path: Path) -> None:
    matrix = GRID.voxel_to_patient.copy()
    matrix[:3, 3] += (0, 0, 300)
    with pytest.raises(SegmentationError, match=r"S \d+ … \d+ mm, the scan L .* S 8\d\d …") as caught:
        read_labels(write_nifti(tmp_path / "x.nii.gz", blocks(), Grid(SHAPE, matrix)), GRID)
    assert "another scan" in caught.value.hint


def test_a_structure_that_lies_wholly_outside_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    below = Grid((20, 18, 5), GRID.voxel_to_patient)
    path = named_nifti(tmp_path / "x.nii.gz", blocks(), GRID, caret({1: "liver", 2: "spleen", 5: "stomach"}))
    segmentation, facts = read_labels(path, below)
    assert {segment.key for segment in segmentation.segments} == {"liver", "spleen"}
    assert value(facts, "outside") == ["Stomach"]


# ------------------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full(SHAPE, -1, "i2"), "from -1 to -1"),
        (np.full(SHAPE, 70000, "i4"), "to 70000"),
        (np.full(SHAPE, 0.5, "f4"), "not whole numbers"),
        (np.full(SHAPE, np.nan, "f4"), "nan"),
        (np.arange(4320, dtype="u2").reshape(SHAPE), "4319 different values"),
        (np.zeros(SHAPE, "u1"), "every voxel is 0"),
    ],
)
def test_what_is_no_label_map_is_refused_with_its_values(tmp_path: Path, values: np.ndarray, words: str) -> None:
    with pytest.raises(SegmentationError, match=words):
        read_labels(write_nifti(tmp_path / "x.nii.gz", values, GRID), GRID)


def test_other_files_are_unsupported(tmp_path: Path) -> None:
    for content in (b"", b"text", bytes(5000)):
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(UnsupportedError):
            read_labels(tmp_path / "x.bin", GRID)


def test_the_name_of_the_file_stays_outside_the_case(tmp_path: Path) -> None:
    folder = tmp_path / "Canary"
    folder.mkdir()
    path = named_nifti(folder / "Canary_Yellow.nii.gz", blocks(), GRID, caret({1: "liver", 2: "spleen", 5: "x"}))
    segmentation, facts = read_labels(path, oblique_grid((20, 18, 11)))
    assert "Canary" not in repr(segmentation.segments) + segmentation.source + repr(facts)
