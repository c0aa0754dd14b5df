"""`anatomyxr vessels` on a case of a phantom vessel, in both languages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, grown_tree, imaged
from meshing.case import Case
from meshing.casefile import read_case, write_case
from meshing.extract import extract
from meshing.plan import Route
from meshing.segmentation import stack_masks
from meshing.terminology import structure_for
from meshing.volume import Volume
from viewer.cli import main
from viewer.preflight import check_rendering

KEY = "arterial_tree"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    solid = grown_tree(0, generations=1).tubes()
    grid = grid_round(solid, (0.9, 0.9, 0.9))
    grey = imaged(solid, grid)
    volume = Volume(np.rint(grey.voxels * 3).astype(np.int16), grid, "CT", "HU")
    made = stack_masks({KEY: drawn(solid, grid)}, {KEY: structure_for(KEY)}, grid, "phantom")
    path = tmp_path_factory.mktemp("vessels") / "case"
    write_case(path, Case("phantom", {"scan": volume}, {"main": made}, extract(made)))
    return path


def test_branches_are_listed_saved_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tree.csv"
    assert main(["vessels", str(folder), "--structure", KEY, "--json", "--out", str(out), "--save"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [branch["parent"] for branch in found["branches"]] == [None, 0, 0]
    assert found["branches"][0]["mean_radius_mm"] == pytest.approx(4.0, abs=0.15)
    assert found["wall"] == "image"
    assert not found["stenoses"]
    assert out.stat().st_size > 1000
    plan = read_case(folder).plan
    assert plan.revision == 1
    assert len([part for part in plan.parts if isinstance(part, Route)]) == 2


def test_given_ends_and_labels_and_chinese_headings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = "-0.1,0.2,0.5"
    command = ["vessels", str(folder), "--structure", KEY, "--root", end, "--edges", "labels", "--language", "zh"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "平均直径 mm" in text
    assert "±" in text
    assert main(["vessels", str(folder), "--structure", KEY]) == 0
    assert "mean diameter mm" in capsys.readouterr().out


def test_what_is_wrong_is_said_with_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vessels", str(folder), "--structure", "liver"]) == 1
    assert "liver" in capsys.readouterr().err
    assert main(["vessels", str(folder), "--structure", KEY, "--tip", "900,0,0"]) == 1
    assert "mm outside the lumen" in capsys.readouterr().err


def test_the_picture_shows_the_tree_and_its_way(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    check_rendering()
    path = tmp_path / "way.png"
    command = ["vessels", str(folder), "--structure", KEY, "--cpr", str(path), "--size", "960x640"]
    assert main(command) == 0
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert pixels.shape == (640, 960, 3)
    gold = np.abs(pixels - (246, 193, 88)).sum(axis=2) < 60
    green = np.abs(pixels - (96, 205, 150)).sum(axis=2) < 60
    # Both generations in the legend and the curve, left and right of the middle.
    for colour in (gold, green):
        assert colour[:, :480].sum() > 20
        assert colour[:, 480:].sum() > 20
