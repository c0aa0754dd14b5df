"""Agreement of graders through the command line, on files as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.compare import NOT_TRUTH
from meshing.volume import Grid
from tests.flow.command import anatomyxr, answer
from tests.meshing.compare.graders import GRID, cube
from tests.meshing.importing.drawings import caret, named_nifti
from tests.meshing.importing.specimens import write_nifti
from tests.shapes import upright_grid

NAMES = {1: "liver", 2: "spleen"}


def labels(path: Path, liver: np.ndarray, grid: Grid = GRID, spleen: np.ndarray | None = None) -> Path:
    """A named label map in a NIfTI file."""
    voxels = liver.astype(np.uint8)
    if spleen is not None:
        voxels[spleen & ~liver] = 2
    return named_nifti(path, voxels, grid, caret(NAMES if spleen is not None else {1: "liver"}))


def test_two_graders_agree_as_far_as_their_cubes_do(tmp_path: Path) -> None:
    one, other = labels(tmp_path / "a.nii.gz", cube(0)), labels(tmp_path / "b.nii.gz", cube(4))
    found = answer("compare", one, other, "--tolerance", 2)
    assert [grader["name"] for grader in found["graders"]] == ["A", "B"]
    assert found["graders"][1]["path"] == str(other)
    (structure,) = found["structures"]
    (pair,) = structure["pairs"]
    assert structure["key"] == "liver"
    assert pair["dice"] == pytest.approx(0.8)
    assert pair["hausdorff_mm"] == pytest.approx(2.0)
    assert pair["surface_dice"] == 1.0
    assert pair["reference_ml"] == pytest.approx(1.0) and pair["difference_ml"] == pytest.approx(0.0)
    assert (found["tolerance_mm"], found["note"]) == (2.0, NOT_TRUTH)


def test_text_lists_pairs_what_is_missing_and_the_consensus(tmp_path: Path) -> None:
    spleen = np.roll(cube(0), 12, axis=0)
    paths = [
        labels(tmp_path / "a.nii.gz", cube(0), spleen=spleen),
        labels(tmp_path / "b.nii.gz", cube(1)),
        labels(tmp_path / "c.nii.gz", cube(2)),
    ]
    done = anatomyxr("compare", *paths)
    assert done.returncode == 0, done.stderr
    for said in ("A B", "A C", "B C", "surface Dice at 1 mm", "Fleiss' kappa", "drawn by A, not by B, C", NOT_TRUTH):
        assert said in done.stdout
    assert "nan" not in done.stdout.lower().replace("anatom", "")
    assert any("–" in line for line in done.stdout.splitlines() if line.startswith("Spleen"))


def test_labels_on_another_grid_are_brought_onto_the_first_and_said_to_be(tmp_path: Path) -> None:
    finer = upright_grid((80, 60, 60), (0.25, 0.25, 0.25))
    matrix = finer.voxel_to_patient.copy()
    matrix[:3, 3] -= 0.125  # the corners of both grids coincide
    other = np.repeat(np.repeat(np.repeat(cube(2), 2, 0), 2, 1), 2, 2)
    paths = labels(tmp_path / "a.nii.gz", cube(0)), labels(tmp_path / "b.nii.gz", other, Grid(finer.shape, matrix))
    found = answer("compare", *paths)
    assert found["structures"][0]["pairs"][0]["dice"] == pytest.approx(0.9)
    assert any("another grid" in fact["text"] for fact in found["graders"][1]["facts"])
    assert "grid is here that of A" in anatomyxr("compare", *paths).stdout


def test_labels_that_lie_elsewhere_are_refused_with_the_numbers(tmp_path: Path) -> None:
    matrix = GRID.voxel_to_patient.copy()
    matrix[2, 3] += 500.0
    elsewhere = labels(tmp_path / "b.nii.gz", cube(0), Grid(GRID.shape, matrix))
    done = anatomyxr("compare", labels(tmp_path / "a.nii.gz", cube(0)), elsewhere)
    assert done.returncode == 1 and done.stdout == ""
    assert "S 707 … 722" in done.stderr and "S 207 … 222" in done.stderr and "Try:" in done.stderr


def test_folders_of_masks_compare_by_the_names_of_their_files(tmp_path: Path) -> None:
    for grader, shift in (("ada", 0), ("ben", 2)):
        (tmp_path / grader).mkdir()
        write_nifti(tmp_path / grader / "liver.nii.gz", cube(shift).astype(np.uint8), GRID)
    (tmp_path / "ada" / "a_note.nii.gz").write_bytes(b"no mask")
    found = answer("compare", tmp_path / "ada", tmp_path / "ben")
    assert found["structures"][0]["pairs"][0]["dice"] == pytest.approx(0.9)


def test_masks_named_after_their_graders_are_refused_with_what_to_do(tmp_path: Path) -> None:
    paths = [write_nifti(tmp_path / f"{name}.nii.gz", cube(0).astype(np.uint8), GRID) for name in ("ada", "ben")]
    done = anatomyxr("compare", *paths)
    assert done.returncode == 1
    assert "no two graders drew the same structure: A has ada; B has ben" in done.stderr


@pytest.mark.parametrize("arguments", [("a",), ("a", "b", "--tolerance", "-1"), ("a", "b", "--tolerance", "near")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert anatomyxr("compare", *arguments).returncode == 2


def test_a_file_that_is_not_there_ends_with_1(tmp_path: Path) -> None:
    done = anatomyxr("compare", tmp_path / "no.nii", tmp_path / "none.nii")
    assert done.returncode == 1 and "no such label file" in done.stderr


def test_labels_that_a_header_misplaces_are_warned_of(tmp_path: Path) -> None:
    matrix = GRID.voxel_to_patient.copy()
    matrix[0, 3] += 9.5  # of a cube of 10 mm
    moved = labels(tmp_path / "b.nii.gz", cube(0), Grid(GRID.shape, matrix))
    done = anatomyxr("compare", labels(tmp_path / "a.nii.gz", cube(0)), moved)
    assert done.returncode == 0
    assert "warning: A and B share almost nothing of any structure (best Dice 0.0" in done.stdout


@pytest.mark.slow
def test_two_outputs_on_a_real_abdomen_compare_once_the_cropped_one_lies_where_it_belongs(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Both by programs: this tests plumbing, it says nothing about quality.

    `example_seg` draws the upper 30 of 112 slices, but its header says that they are the lower ones.
    """
    import nibabel

    whole, upper = (
        real_data(f"ct_abdomen_labels/{name}.nii.gz") for name in ("example_seg_fast_force_split", "example_seg")
    )
    (warning,) = answer("compare", whole, upper)["warnings"]
    assert "the header of one may place it wrong" in warning
    image = nibabel.load(upper)
    affine = image.affine.copy()
    affine[2, 3] += 82 * 3.0
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine, image.header), tmp_path / "upper.nii.gz")
    found = answer("compare", whole, tmp_path / "upper.nii.gz")
    assert found["warnings"] == []
    pairs = {structure["key"]: structure["pairs"][0] for structure in found["structures"]}
    for key in ("liver", "spleen", "vertebrae_L1"):
        assert pairs[key]["dice"] > 0.8 and pairs[key]["assd_mm"] < 3.0  # a voxel
    assert pairs["urinary_bladder"]["dice"] is None
    assert {s["key"]: s["missing_in"] for s in found["structures"]}["urinary_bladder"] == ["B"]


def test_a_dicom_seg_and_its_twin_as_nrrd_agree_wholly(real_data: Callable[[str], Path]) -> None:
    found = answer("compare", real_data("dicom_seg_liver/liver.dcm"), real_data("dicom_seg_liver/liver_seg.nrrd"))
    pairs = {structure["key"]: structure["pairs"][0] for structure in found["structures"]}
    assert pairs["liver"]["dice"] == 1.0 and pairs["liver"]["hausdorff_mm"] == 0.0


def test_a_picture_shows_where_they_differ_in_either_language(tmp_path: Path) -> None:
    from PIL import Image

    one, other = labels(tmp_path / "a.nii.gz", cube(0)), labels(tmp_path / "b.nii.gz", cube(6))
    scan = write_nifti(tmp_path / "scan.nii.gz", np.full(GRID.shape, 40, np.int16), GRID)
    found = answer("compare", one, other, "--picture", tmp_path / "en.png", "--scan", scan, "--margin", 2)
    assert found["picture"] == str(tmp_path / "en.png") and found["margin_mm"] == 2.0
    done = anatomyxr("compare", one, other, "--picture", tmp_path / "zh.png", "--structure", "肝", "--language", "zh")
    assert done.returncode == 0, done.stderr
    assert "picture: " in done.stdout
    pictures = [np.asarray(Image.open(tmp_path / name)) for name in ("en.png", "zh.png")]
    assert pictures[0].shape == pictures[1].shape and (pictures[0] != pictures[1]).any()


def test_a_picture_that_cannot_be_drawn_is_refused_with_what_to_try(tmp_path: Path) -> None:
    one, other = labels(tmp_path / "a.nii.gz", cube(0)), labels(tmp_path / "b.nii.gz", cube(6))
    picture = tmp_path / "p.png"
    done = anatomyxr("compare", one, other, "--picture", picture, "--structure", "spleen")
    assert done.returncode == 1 and "'spleen'" in done.stderr and "one of: liver" in done.stderr
    done = anatomyxr("compare", one, other, "--structure", "liver")
    assert done.returncode == 1 and "--picture" in done.stderr
    matrix = GRID.voxel_to_patient.copy()
    matrix[2, 3] += 500.0
    far = write_nifti(tmp_path / "scan.nii.gz", np.full(GRID.shape, 40, np.int16), Grid(GRID.shape, matrix))
    done = anatomyxr("compare", one, other, "--picture", picture, "--scan", far)
    assert done.returncode == 1 and "the scan ends before" in done.stderr
    assert not picture.exists()


def test_what_one_did_not_draw_is_said_and_has_no_percentage(tmp_path: Path) -> None:
    spleen = np.roll(cube(0), 12, axis=0)
    paths = labels(tmp_path / "a.nii.gz", cube(0), spleen=spleen), labels(tmp_path / "b.nii.gz", cube(1))
    text = anatomyxr("compare", *paths).stdout
    (line,) = (line for line in text.splitlines() if line.startswith("Spleen  "))
    assert "not drawn" in line and "-100" not in line


@pytest.mark.parametrize("flip", [(0,), (1, 2), (0, 1, 2)])
def test_files_stored_in_another_orientation_agree_wholly(tmp_path: Path, flip: tuple[int, ...]) -> None:
    matrix = GRID.voxel_to_patient.copy()
    for axis in flip:
        matrix[:3, 3] += matrix[:3, axis] * (GRID.shape[axis] - 1)
        matrix[:3, axis] *= -1
    turned = labels(tmp_path / "b.nii.gz", np.flip(cube(3), flip), Grid(GRID.shape, matrix))
    found = answer("compare", labels(tmp_path / "a.nii.gz", cube(3)), turned)
    (pair,) = found["structures"][0]["pairs"]
    assert (pair["dice"], pair["hausdorff_mm"]) == (1.0, 0.0)
