"""A folder with one mask per structure: packed, named, nested, and what is no mask left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshing.errors import NoImagesError, SegmentationError
from meshing.importing.labels import read_labels
from meshing.segmentation import segment_volumes
from meshing.terminology import match
from meshing.volume import Grid
from tests.meshing.importing.drawings import GRID, SHAPE, blocks, caret, named_nifti, texts, value
from tests.meshing.importing.specimens import write_nifti


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


def test_masks_on_one_other_grid_are_resampled_in_one_fact(tmp_path: Path) -> None:
    mask_folder(tmp_path)
    target = Grid((18, 18, 12), GRID.voxel_to_patient)
    segmentation, facts = read_labels(tmp_path, target)
    assert value(facts, "shape") == "20 × 18 × 12"
    drawn = sum(int((layer > 0).sum()) for layer in segmentation.layers)
    assert value(facts, "after_ml") == pytest.approx(drawn * GRID.voxel_volume_mm3 / 1000, abs=1e-3)


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
