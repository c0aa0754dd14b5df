"""Foreign label files through the command line: shown, written to a file, corrected, built."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.flow.command import anatomyxr, answer
from tests.meshing.compare.graders import GRID
from tests.meshing.importing.drawings import caret, named_nifti
from tests.meshing.importing.specimens import write_nifti

NAMES = {1: "Lebr", 2: "ren sinister", 7: "couch"}


def labels(folder: Path, names: dict[int, str] | None = None) -> Path:
    """Three blocks, named or not; label 7 is the couch."""
    voxels = np.zeros(GRID.shape, np.uint16)
    voxels[2:12, 5:20, 5:20], voxels[14:24, 5:20, 5:20], voxels[26:36, 5:20, 5:20] = 1, 2, 7
    path = folder / "theirs.nii.gz"
    return named_nifti(path, voxels, GRID, caret(names)) if names else write_nifti(path, voxels, GRID)


def test_labels_are_shown_with_what_they_mean_and_those_that_mean_nothing_below(tmp_path: Path) -> None:
    done = anatomyxr("labels", labels(tmp_path, NAMES))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "3 labels, 2 matched, 1 not" in lines[0]
    for said in ("Liver", "肝脏", "10200004", "spelling", "Left kidney", "左肾", "synonym"):
        assert said in done.stdout
    assert lines.index(next(line for line in lines if line.startswith("couch"))) > lines.index(
        next(line for line in lines if line.startswith("ren sinister"))
    )


def test_what_is_written_is_corrected_by_hand_and_built_with(tmp_path: Path) -> None:
    theirs, names = labels(tmp_path, NAMES), tmp_path / "names.toml"
    found = answer("labels", theirs, "--write", names)
    assert [row["key"] for row in found["labels"]] == ["liver", "kidney_left", None]
    assert found["unmatched"] == ["couch"]
    again = answer("labels", theirs, "--corrections", names)
    assert [row["key"] for row in again["labels"]] == ["liver", "kidney_left", None]
    assert {row["how"] for row in again["labels"]} == {"correction"}
    text = names.read_text(encoding="utf-8")
    names.write_text(text.replace('"kidney_left"', '"spleen"').replace('"couch" = "keep"', '"couch" = ""'))
    scan = write_nifti(tmp_path / "scan.nii.gz", np.zeros(GRID.shape, np.int16), GRID)
    built = answer("build", scan, tmp_path / "case", "--labels", theirs, "--names", names)
    assert sorted(row["key"] for row in built["structures"]) == ["liver", "spleen"]
    assert any("left out, as the corrections say: couch" in fact["text"] for fact in built["facts"])


def test_class_numbers_are_taken_when_asked_for(tmp_path: Path) -> None:
    theirs = labels(tmp_path)
    assert "--scheme totalsegmentator" in anatomyxr("labels", theirs).stdout
    found = answer("labels", theirs, "--scheme", "totalsegmentator")
    assert [row["key"] for row in found["labels"]] == ["spleen", "kidney_right", "pancreas"]
    scan = write_nifti(tmp_path / "scan.nii.gz", np.zeros(GRID.shape, np.int16), GRID)
    built = answer("build", scan, tmp_path / "case", "--labels", theirs, "--scheme", "totalsegmentator")
    assert sorted(row["key"] for row in built["structures"]) == ["kidney_right", "pancreas", "spleen"]


def test_mistakes_end_in_two_lines_that_help(tmp_path: Path) -> None:
    theirs = labels(tmp_path, NAMES)
    names = tmp_path / "names.toml"
    for text, said in (
        ('[names]\n"couch" = "livr"\n', ("'livr'", "nearest: liver")),
        ("[names]\ncouch = \n", ("line 2", "Try:")),
        ('[numbers]\n99 = "liver"\n', ("label 99", "1, 2, 7")),
        ('[names]\n"Lebr" = ""\n"ren sinister" = ""\ncouch = ""\n', ("leave every label out", "Try:")),
    ):
        names.write_text(text)
        command = ("build", theirs, tmp_path / "case", "--labels") if "every" in said[0] else ("labels",)
        option = "--names" if command[0] == "build" else "--corrections"
        done = anatomyxr(*command, theirs, option, names)
        assert done.returncode == 1 and done.stdout == "", done.stdout
        assert all(words in done.stderr for words in said), done.stderr
    assert not (tmp_path / "case").exists()
    done = anatomyxr("labels", theirs, "--write", names)
    assert done.returncode == 1 and "exists" in done.stderr
    done = anatomyxr("labels", theirs, "--scheme", "nnunet")
    assert done.returncode == 1 and "totalsegmentator" in done.stderr
    done = anatomyxr("build", theirs, tmp_path / "case", "--scheme", "totalsegmentator")
    assert done.returncode == 1 and "--labels" in done.stderr


def test_odd_files_are_answered_or_refused_by_name(tmp_path: Path) -> None:
    highest = np.zeros(GRID.shape, np.uint16)
    highest[5:9, 5:9, 5:9] = 65_535
    found = answer("labels", write_nifti(tmp_path / "highest.nii.gz", highest, GRID))
    assert [(row["number"], row["voxels"]) for row in found["labels"]] == [(65_535, 64)]
    floats = answer("labels", write_nifti(tmp_path / "liver.nii.gz", highest.astype(np.float32), GRID))
    assert [(row["key"], row["number"]) for row in floats["labels"]] == [("liver", 65_535)]
    many = np.arange(np.prod(GRID.shape), dtype=np.uint16).reshape(GRID.shape) % 10_001
    done = anatomyxr("labels", write_nifti(tmp_path / "many.nii.gz", many, GRID))
    assert done.returncode == 1 and "10000 different values" in done.stderr
    halves = write_nifti(tmp_path / "halves.nii.gz", highest.astype(np.float32) / 2, GRID)
    done = anatomyxr("labels", halves)
    assert done.returncode == 1 and "whole numbers" in done.stderr


def test_a_folder_of_masks_goes_by_its_files_names(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[5:9, 5:9, 5:9] = 1
    for name in ("Niere rechts", "couch"):
        write_nifti(folder / f"{name}.nii.gz", voxels, GRID)
    found = answer("labels", folder, "--scheme", "totalsegmentator")
    assert {row["name"]: row["key"] for row in found["labels"]} == {"Niere rechts": "kidney_right", "couch": None}
    names = tmp_path / "names.toml"
    names.write_text('[numbers]\n1 = "liver"\n')
    done = anatomyxr("labels", folder, "--corrections", names)
    assert done.returncode == 1 and "folder of masks" in done.stderr
