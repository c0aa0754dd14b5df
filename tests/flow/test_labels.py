"""Foreign label files through the command line: shown, written to a file, corrected, built."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.flow.command import anatomyxr, answer
from tests.meshing.compare.graders import GRID
from tests.meshing.importing.drawings import caret, named_nifti
from tests.meshing.importing.specimens import write_nifti
from viewer.cli import main

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


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that must fail says, in this process."""
    assert main([str(argument) for argument in arguments]) == 1
    heard = capsys.readouterr()
    assert heard.out == "" and "Try:" in heard.err
    return heard.err


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """The labels of a command that must succeed, in this process."""
    assert main([*(str(argument) for argument in arguments), "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["labels"]
    return rows


def test_mistakes_end_in_two_lines_that_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = labels(tmp_path, NAMES)
    names = tmp_path / "names.toml"
    for text, words in (
        ('[names]\n"couch" = "livr"\n', ("'livr'", "nearest: liver")),
        ("[names]\ncouch = \n", ("line 2",)),
        ('[numbers]\n99 = "liver"\n', ("label 99", "1, 2, 7")),
    ):
        names.write_text(text)
        heard = said(capsys, "labels", theirs, "--corrections", names)
        assert all(word in heard for word in words), heard
    names.write_text('[names]\n"Lebr" = ""\n"ren sinister" = ""\ncouch = ""\n')
    case = tmp_path / "case"
    assert "leave every label out" in said(capsys, "build", theirs, case, "--labels", theirs, "--names", names)
    assert "--labels" in said(capsys, "build", theirs, case, "--scheme", "totalsegmentator")
    assert not case.exists()
    assert "exists" in said(capsys, "labels", theirs, "--write", names)
    assert "totalsegmentator" in said(capsys, "labels", theirs, "--scheme", "nnunet")


def test_odd_files_are_answered_or_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    highest = np.zeros(GRID.shape, np.uint16)
    highest[5:9, 5:9, 5:9] = 65_535
    (row,) = told(capsys, "labels", write_nifti(tmp_path / "highest.nii.gz", highest, GRID))
    assert (row["number"], row["voxels"]) == (65_535, 64)
    (row,) = told(capsys, "labels", write_nifti(tmp_path / "liver.nii.gz", highest.astype(np.float32), GRID))
    assert (row["key"], row["number"]) == ("liver", 65_535)
    four = write_nifti(tmp_path / "four.nii.gz", np.stack([highest // 65_535, highest // 13_107], axis=-1), GRID)
    rows = told(capsys, "labels", four, "--scheme", "totalsegmentator")
    assert [(row["layer"], row["key"]) for row in rows] == [(0, "spleen"), (1, "liver")]
    many = np.arange(np.prod(GRID.shape), dtype=np.uint16).reshape(GRID.shape) % 10_001
    assert "10000 different values" in said(capsys, "labels", write_nifti(tmp_path / "many.nii.gz", many, GRID))
    halves = write_nifti(tmp_path / "halves.nii.gz", highest.astype(np.float32) / 2, GRID)
    assert "whole numbers" in said(capsys, "labels", halves)
    assert "no such label file" in said(capsys, "labels", tmp_path / "nowhere.nii.gz")


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


def test_graders_with_numbers_meet_those_with_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "named").mkdir()
    named = labels(tmp_path / "named", {1: "Milz", 2: "rechte Niere", 7: "Pankreas"})
    assert main(["compare", str(named), str(labels(tmp_path)), "--scheme", "totalsegmentator", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["structures"]
    assert {row["key"]: row["pairs"][0]["dice"] for row in found} == {
        "spleen": 1.0,
        "kidney_right": 1.0,
        "pancreas": 1.0,
    }


@pytest.mark.parametrize("name", [b"a\x1b[31mb.nii.gz", b"a\xe4.nii.gz"], ids=["escape", "latin-1"])
def test_a_file_of_an_odd_name_gives_a_toml_file_that_is_read_again(tmp_path: Path, name: bytes) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    labels(tmp_path, NAMES).rename(odd)
    names = tmp_path / "names.toml"
    assert answer("labels", odd, "--write", names)["labels"]
    assert tomllib.loads(names.read_text(encoding="utf-8"))["names"]["Lebr"] == "liver"
