"""Label maps: every structure under its name, in its place, on the scan's grid, with its nesting; and what was done."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import AnatomyError, DamagedFileError, NoImagesError, SegmentationError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing.files import read_file, read_header
from meshing.importing.labels import read_labels
from meshing.importing.labels.align import on_grid
from meshing.importing.labels.map_file import caret_names
from meshing.segmentation import segment_volumes
from meshing.terminology import match
from meshing.volume import Fact, Grid
from tests.meshing.importing.specimens import oblique_grid, write_itk, write_nifti, write_nrrd
from tests.shapes import storage_orders

SHAPE = (20, 18, 12)
GRID = oblique_grid(SHAPE)


def blocks() -> np.ndarray:
    """Three labels, none of them symmetric: 1, 2 and 5."""
    labels = np.zeros(SHAPE, np.uint8, order="F")
    labels[2:9, 3:7, 1:5] = 1
    labels[10:14, 3:15, 2:9] = 2
    labels[4, 12, 9] = 5
    return labels


def caret(names: dict[int, str]) -> bytes:
    rows = "".join(
        f'<Label Key="{key}" Red="0.1" Green="0.2" Blue="0.3" Alpha="1"><![CDATA[{name}]]></Label>'
        for key, name in names.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension><VolumeInformation Index="0"><LabelTable>'
        f"{rows}</LabelTable></VolumeInformation></CaretExtension>"
    ).encode()


def named_nifti(path: Path, labels: np.ndarray, grid: Grid, table: bytes, code: int = 30) -> Path:
    import nibabel

    write_nifti(path, labels, grid)
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(code, table))
    nibabel.save(image, path)
    return path


def texts(facts: tuple[Fact, ...]) -> str:
    return "\n".join(fact.text for fact in facts)


def value(facts: tuple[Fact, ...], name: str) -> object:
    """The value of that name in the one fact that has it."""
    (found,) = [fact.values[name] for fact in facts if name in fact.values]
    return found


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


# ------------------------------------------------------------------------------------------------------------- folder


def mask_folder(folder: Path) -> dict[str, np.ndarray]:
    """Masks that nest: a lumen in its aorta, a tumour in its liver; and one that is empty."""
    masks = {name: np.zeros(SHAPE, np.uint8) for name in ("liver", "liver_tumor", "aorta", "aorta_lumen", "spleen")}
    masks["liver"][2:12, 2:12, 2:10] = 1
    masks["liver_tumor"][4:7, 4:7, 4:7] = 1
    masks["aorta"][14:18, 10:15, :] = 1
    masks["aorta_lumen"][15:17, 11:14, :] = 1
    for name, mask in masks.items():
        write_nifti(folder / f"{name}.nii.gz", mask, GRID)
    return masks


def test_a_folder_of_nested_masks_is_packed_named_and_nested(tmp_path: Path) -> None:
    masks = mask_folder(tmp_path)
    segmentation, facts = read_labels(tmp_path, GRID)
    keys = {segment.key: segment for segment in segmentation.segments}
    tumour = match("liver_tumor")
    tumour_key = tumour.key if tumour else "liver_tumor"
    assert set(keys) == {"liver", tumour_key, "aorta", "aorta_lumen"}
    for name, key in (
        ("liver", "liver"),
        ("liver_tumor", tumour_key),
        ("aorta", "aorta"),
        ("aorta_lumen", "aorta_lumen"),
    ):
        np.testing.assert_array_equal(segmentation.mask(key), masks[name] == 1)
    assert keys[tumour_key].inside == "liver"
    assert keys["aorta_lumen"].inside == "aorta"
    assert keys["liver"].inside is keys["aorta"].inside is None
    assert len(segmentation.layers) == 2
    assert value(facts, "empty") == ["Spleen"]
    volumes = segment_volumes(segmentation)
    ml = GRID.voxel_volume_mm3 / 1000
    assert volumes["aorta"].exclusive_ml == pytest.approx((4 * 5 - 2 * 3) * 12 * ml)


@pytest.mark.parametrize(("crossing", "nested"), [(4, True), (5, True), (6, False)])
def test_nested_means_at_least_95_percent_of_the_voxels(tmp_path: Path, crossing: int, nested: bool) -> None:
    liver, tumour = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    liver[:10] = 1
    inside = [(0, j, k) for j in range(18) for k in range(12)][: 100 - crossing]
    outside = [(15, j, 0) for j in range(crossing)]
    for at in inside + outside:
        tumour[at] = 1
    write_nifti(tmp_path / "liver.nii.gz", liver, GRID)
    write_nifti(tmp_path / "thing.nii.gz", tumour, GRID)
    segmentation, _ = read_labels(tmp_path, GRID)
    assert segmentation.segment("thing").inside == ("liver" if nested else None)


def test_the_smallest_container_is_the_parent(tmp_path: Path) -> None:
    for name, size in (("a", 16), ("b", 12), ("c", 8), ("d", 4)):
        mask = np.zeros(SHAPE, np.uint8)
        mask[1 : 1 + size, 1 : 1 + size, 1:9] = 1
        write_nifti(tmp_path / f"{name}.nii.gz", mask, GRID)
    segmentation, _ = read_labels(tmp_path, GRID)
    assert {s.key: s.inside for s in segmentation.segments} == {"a": None, "b": "a", "c": "b", "d": "c"}


def test_copies_under_one_name_are_kept_once_and_others_are_not(tmp_path: Path) -> None:
    mask = (blocks() == 1).astype("u1")
    named_nifti(tmp_path / "1 all.nii.gz", mask * 4, GRID, caret({4: "liver"}))
    write_nifti(tmp_path / "liver.nii.gz", mask, GRID)
    write_nifti(tmp_path / "spleen.nii.gz", mask, GRID)
    segmentation, facts = read_labels(tmp_path, GRID)
    assert sorted(segment.key for segment in segmentation.segments) == ["liver", "spleen"]
    assert value(facts, "copies") == ["Liver"]
    assert {segment.inside for segment in segmentation.segments} == {None}


def test_a_file_of_its_own_keeps_the_plain_key(tmp_path: Path) -> None:
    named_nifti(tmp_path / "A several.nii.gz", blocks(), GRID, caret({1: "aorta", 2: "liver", 5: "spleen"}))
    own = (blocks() == 2).astype("u1")
    write_nifti(tmp_path / "aorta.nii.gz", own, GRID)
    segmentation, _ = read_labels(tmp_path, GRID)
    np.testing.assert_array_equal(segmentation.mask("aorta"), own == 1)
    np.testing.assert_array_equal(segmentation.mask("aorta_2"), blocks() == 1)


def test_what_is_no_mask_in_the_folder_is_counted_and_never_followed(tmp_path: Path) -> None:
    mask_folder(tmp_path)
    write_nifti(tmp_path / "ct.nii.gz", np.full(SHAPE, -1000, "i2"), GRID)
    (tmp_path / "torn.nii.gz").write_bytes((tmp_path / "liver.nii.gz").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no mask")
    (tmp_path / ".hidden.nii.gz").write_bytes(b"")
    (tmp_path / "outside.nii.gz").symlink_to("/etc/passwd")
    segmentation, facts = read_labels(tmp_path, GRID)
    assert len(segmentation.segments) == 4
    assert value(facts, "left_out") == 2
    assert "-1000" in texts(facts)


def test_a_folder_without_a_mask_and_a_missing_path_say_what_is_wanted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", np.full(SHAPE, -1000, "i2"), GRID)
    with pytest.raises(SegmentationError, match="none of its 1 files") as caught:
        read_labels(tmp_path, GRID)
    assert "one .nii.gz" in caught.value.hint
    with pytest.raises(NoImagesError):
        read_labels(tmp_path / "nowhere", GRID)


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


# --------------------------------------------------------------------------------------------------------- real files


def test_the_61_labels_of_the_abdomen_stand_under_their_names(real_data: Callable[[str], Path]) -> None:
    scan, _ = read_file(real_data("ct_abdomen_labels/example_ct.nii.gz"))
    path = real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz")
    segmentation, facts = read_labels(path, scan.grid)
    table = dict(re.findall(r'Key="(\d+)".*?CDATA\[(.*?)\]', read_header(path).fields["caret"]))
    assert len(segmentation.segments) == 61
    stored = read_file(path)[0].voxels
    for segment in segmentation.segments:
        known = match(table[str(segment.label)])
        assert known is not None, table[str(segment.label)]
        assert segment.structure == known
        assert segment.key == known.key
        np.testing.assert_array_equal(segmentation.mask(segment.key), stored == segment.label)
    assert len(value(facts, "empty")) == 117 - 61  # type: ignore[arg-type]  # a list
    left, right = (
        scan.grid.to_patient(np.argwhere(segmentation.mask(f"kidney_{side}")).mean(axis=0))
        for side in ("left", "right")
    )
    assert left[0] > right[0] + 50  # mm towards the patient's left


def test_the_aorta_folder_lists_its_empty_masks_and_keeps_the_true_ones(real_data: Callable[[str], Path]) -> None:
    folder = real_data("cta_aorta/aorta")
    scan, _ = read_file(folder / "ct_cropped.nii.gz")
    segmentation, facts = read_labels(folder, scan.grid)
    assert set(value(facts, "empty")) == {  # type: ignore[call-overload]  # a list
        *("Left common iliac artery", "Right common iliac artery", "Renal arteries")
    }
    assert value(facts, "left_out") == 1  # the CT itself
    for name in ("aorta", "aorta_true_lumen", "aorta_false_lumen", "vertebrae_T12", "brachiocephalic_trunk"):
        np.testing.assert_array_equal(segmentation.mask(name), read_file(folder / f"{name}.nii.gz")[0].voxels > 0)
    assert segmentation.segment("aorta_true_lumen").inside == "aorta"
    assert segmentation.segment("vertebrae_T12").inside is None


def test_a_heart_on_a_larger_grid_is_brought_onto_the_scan_as_simpleitk_does(real_data: Callable[[str], Path]) -> None:
    import SimpleITK as sitk

    folder = real_data("cta_aorta/pulmonary")
    scan, _ = read_file(folder / "ct_cropped.nii.gz")
    segmentation, facts = read_labels(folder / "heart.nii.gz", scan.grid)
    reference, heart = (sitk.ReadImage(str(folder / name)) for name in ("ct_cropped.nii.gz", "heart.nii.gz"))
    expected = sitk.GetArrayFromImage(sitk.Resample(heart, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)).T
    np.testing.assert_array_equal(segmentation.mask("heart"), expected > 0)
    assert "233 × 167 × 191" in texts(facts)


def test_the_atlas_takes_its_names_from_the_table_beside_it(real_data: Callable[[str], Path]) -> None:
    path = real_data("atlas_abdomen/seg.nrrd")
    volume, _ = read_file(path)
    segmentation, facts = read_labels(path, volume.grid)
    assert len(segmentation.segments) == len(np.unique(volume.voxels)) - 1
    assert value(facts, "named") == 94
    volumes = segment_volumes(segmentation)
    assert volumes["liver"].inclusive_ml == pytest.approx(239.3, abs=0.1)  # measured by the data's keeper
    np.testing.assert_array_equal(segmentation.mask("spleen"), volume.voxels == 4)


def test_the_manual_cord_lies_in_its_scan(real_data: Callable[[str], Path]) -> None:
    folder = real_data("mr_spine_cord")
    scan, _ = read_file(folder / "t2.nii.gz")
    segmentation, _ = read_labels(folder / "t2_seg-manual.nii.gz", scan.grid)
    (cord,) = segmentation.segments
    mask = segmentation.mask(cord.key)
    # On T2 the cord is darker than the fluid around it, one voxel further out.
    from scipy.ndimage import binary_dilation

    ring = binary_dilation(mask, iterations=2) & ~binary_dilation(mask)
    assert scan.voxels[mask].mean() < 0.8 * np.percentile(scan.voxels[ring], 90)
    assert len(read_labels(folder / "t2_seg-manual_labeled.nii.gz", scan.grid)[0].segments) == 4


def test_a_scan_given_as_labels_is_refused(real_data: Callable[[str], Path]) -> None:
    for name in ("ct_abdomen_labels/example_ct.nii.gz", "mr_brain_tumour/brain1_image.nrrd"):
        scan, _ = read_file(real_data(name))
        with pytest.raises(SegmentationError):
            read_labels(real_data(name), scan.grid)


def test_labels_of_another_patient_are_refused(real_data: Callable[[str], Path]) -> None:
    scan, _ = read_file(real_data("cta_aorta/aorta/ct_cropped.nii.gz"))
    with pytest.raises(AnatomyError, match="outside the scan"):
        read_labels(real_data("mr_spine_cord/t2_seg-manual.nii.gz"), scan.grid)
