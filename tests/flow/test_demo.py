"""The main job on the phantom, through the command line: case, pictures, verified model, page."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from meshing.casefile import is_case, read_case
from tests.conftest import REPOSITORY
from tests.flow.command import anatomyxr, answer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answer("demo", "--out", tmp_path_factory.mktemp("demo") / "out")


def test_demo_ends_within_a_minute(demo: dict[str, Any]) -> None:
    assert demo["seconds"]["all"] < 60


def test_every_structure_is_closed_manifold_and_named_in_both_languages(demo: dict[str, Any]) -> None:
    assert len(demo["structures"]) >= 25
    for row in demo["structures"]:
        assert row["closed"] and row["manifold"] and row["volume_ml"] > 0, row["key"]
        assert row["name"]
        assert re.search(r"[\u4e00-\u9fff]", row["name_zh"]), row["key"]


def test_smoothing_and_decimation_keep_volumes(demo: dict[str, Any]) -> None:
    for row in demo["structures"]:
        allowed = 0.03 if row["raw_volume_ml"] < 2 else 0.01
        assert abs(row["volume_ml"] - row["raw_volume_ml"]) <= allowed * row["raw_volume_ml"], row


def test_page_shows_every_picture_and_structure_and_the_notice(demo: dict[str, Any]) -> None:
    page = Path(demo["page"]).read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert "不是医疗器械" in page
    for row in demo["structures"]:
        assert row["name_zh"] in page
    for file in re.findall(r'<img src="([^"]+)"', page):
        assert (Path(demo["page"]).parent / file).is_file()
    assert not re.search(r"https?://|<script", page), "the page fetches nothing"


def test_pictures_are_not_empty(demo: dict[str, Any]) -> None:
    for path in demo["pictures"]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.std() > 20
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500


def test_model_is_verified_again_by_the_command(demo: dict[str, Any]) -> None:
    found = answer("verify", demo["model"], "--case", demo["case"])
    assert found["ok"] and not found["problems"] and not found["warnings"]
    assert {row["key"] for row in found["structures"]} == {row["key"] for row in demo["structures"]}


def test_swapped_sides_are_refused_by_the_command(demo: dict[str, Any], tmp_path: Path) -> None:
    blob = Path(demo["model"]).read_bytes()
    (length,) = struct.unpack_from("<I", blob, 12)
    tree = json.loads(blob[20 : 20 + length])
    swap = {"kidney_left": "kidney_right", "kidney_right": "kidney_left"}
    renamed = [node for node in tree["nodes"] if node.get("name") in swap]
    assert len(renamed) == 2
    for node in renamed:
        node["name"] = swap[node["name"]]
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = blob[20 + length :]
    broken = tmp_path / "broken.glb"
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    broken.write_bytes(header + text + rest)
    done = anatomyxr("verify", broken, "--case", demo["case"])
    assert done.returncode == 1
    assert "kidney_left" in done.stdout


def test_info_of_a_case_lists_its_structures(demo: dict[str, Any]) -> None:
    found = answer("info", demo["case"])
    assert [row["key"] for row in found["structures"]] == [row["key"] for row in demo["structures"]]
    assert found["plan_revision"] == 0


@pytest.mark.parametrize("suffix", [".glb", ".stl", ".ply", ".obj"])
def test_export_within_a_budget(demo: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    found = answer("export", demo["case"], tmp_path / f"model{suffix}", "--budget", 40_000)
    assert Path(found["path"]).stat().st_size == found["bytes"]
    assert found["triangles"] <= 44_000
    assert found["triangles"] == sum(row["triangles"] for row in found["structures"])
    assert found["verified"] is True
    for row in found["structures"]:
        assert 0 <= row["mean_deviation_mm"] <= row["max_deviation_mm"] < 10.0


def test_export_of_named_structures_only(demo: dict[str, Any], tmp_path: Path) -> None:
    found = answer("export", demo["case"], tmp_path / "two.glb", "--structures", "liver", "aorta")
    assert {row["key"] for row in found["structures"]} == {"liver", "aorta"}


def test_unknown_structure_is_one_line_and_a_hint(demo: dict[str, Any], tmp_path: Path) -> None:
    done = anatomyxr("export", demo["case"], tmp_path / "x.glb", "--structures", "lever")
    assert done.returncode == 1
    assert done.stdout == ""
    first, second = done.stderr.strip().splitlines()
    assert "lever" in first
    assert second.startswith("Try: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["3d", "slices", "four-up"])
def test_shot_has_the_size_asked_for(demo: dict[str, Any], tmp_path: Path, layout: str) -> None:
    answer("shot", demo["case"], tmp_path / "shot.png", "--layout", layout, "--size", "800x600", "--hide", "skin")
    assert Image.open(tmp_path / "shot.png").size == (800, 600)


def test_case_of_the_demo_can_be_read_by_the_library(demo: dict[str, Any]) -> None:
    case = read_case(Path(demo["case"]))
    assert case.segments["tumour"].inside == "liver"
    assert set(case.surfaces) == {row["key"] for row in demo["structures"]}


def test_usage_errors_exit_with_two() -> None:
    assert anatomyxr("shot", "case").returncode == 2
    assert anatomyxr("conjure").returncode == 2


def test_missing_scan_is_an_error_with_the_place(tmp_path: Path) -> None:
    done = anatomyxr("build", tmp_path / "nowhere", tmp_path / "case")
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr
    assert not (tmp_path / "case").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "viewer.cli", "demo", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    time.sleep(3.0)
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130, said.decode()
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert not list(tmp_path.rglob("*.part*"))
    folder = tmp_path / "out" / "case"
    assert not folder.exists() or not is_case(folder) or read_case(folder)


def test_json_is_one_object_on_standard_output(demo: dict[str, Any]) -> None:
    done = anatomyxr("info", demo["case"], "--json")
    assert done.stdout.count("\n") == 1
    json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--centre", "-10,-20,30"), ""),
        (("--centre=9999,0,0"), "outside the scan"),
        (("--hide", "liver", "spleen", "--hide", "aorta"), ""),
        (("--only", "liver", "gallbladder", "--only", "portal_vein"), ""),
        (("--only", "unicorn"), "unicorn"),
        (("--only", "liver", "--hide", "liver"), "are hidden"),
    ],
)
def test_shot_takes_points_and_names_as_people_write_them(
    demo: dict[str, Any], tmp_path: Path, arguments: tuple[str, ...] | str, message: str
) -> None:
    given = [arguments] if isinstance(arguments, str) else list(arguments)
    command = ("shot", demo["case"], tmp_path / "shot.png", "--layout", "slices", "--size", "320x240", *given)
    done = anatomyxr(*command)
    assert done.returncode == (1 if message else 0), done.stderr
    assert message in done.stderr
    assert ("Try: " in done.stderr) is bool(message)


@pytest.mark.parametrize(
    "arguments",
    [
        ("shot", "case", "picture.jpg"),
        ("shot", "case", "p.png", "--centre=nan,0,0"),
        ("shot", "case", "p.png", "--centre=a,0,0"),
        ("info", "scan", "--max-gib", "nan"),
        ("info", "scan", "--max-gib", "-1"),
        ("shot", "case", "p.png", "--size", "10x10"),
    ],
)
def test_impossible_values_are_usage_errors(arguments: tuple[str, ...]) -> None:
    done = anatomyxr(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_case_given_as_scan_is_told_apart(demo: dict[str, Any], tmp_path: Path) -> None:
    done = anatomyxr("build", demo["case"], tmp_path / "case")
    assert done.returncode == 1
    assert "is a case" in done.stderr


def test_failed_verification_speaks_on_both_channels(demo: dict[str, Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken.glb"
    broken.write_bytes(Path(demo["model"]).read_bytes()[:5000])
    done = anatomyxr("verify", broken, "--case", demo["case"])
    assert done.returncode == 1
    assert "PROBLEM" in done.stdout
    assert done.stderr.count("\n") == 2
    assert "Try: " in done.stderr


def test_full_output_device_is_an_error_and_no_traceback(demo: dict[str, Any]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "viewer.cli", "info", demo["case"]],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
