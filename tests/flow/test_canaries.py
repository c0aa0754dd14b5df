"""Identity planted into a scan is found in no output, log or temporary name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.dicom_factory import FloatArray, plant_canaries, save, stack

pytestmark = pytest.mark.slow


def body_with_a_bone(points: FloatArray) -> FloatArray:
    """Water in air, with a bright rod and ball in it."""
    middle = np.array([-31.5 + 0.8 * 32, 12.25 + 1.1 * 24, 107.75 + 2.5 * 10])
    distance = np.linalg.norm((points - middle) / [24.0, 24.0, 60.0], axis=-1)
    bone = np.linalg.norm((points - middle)[..., :2], axis=-1) < 7.0
    return np.where(bone, 900.0, np.where(distance < 1.0, 40.0, -1000.0))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A zip of a series with canaries in every header field, and in its folder and file names."""
    made = stack((64, 48, 20), field=body_with_a_bone)
    canaries = ["CANARYFOLDER", "CANARYFILE"]
    for file in made.files:
        canaries += plant_canaries(file)
    for file in made.files:
        canaries += [str(file.SOPInstanceUID), str(file.SeriesInstanceUID), str(file.StudyInstanceUID)]
        canaries.append(str(file.FrameOfReferenceUID))
    folder = save(made.files, tmp_path_factory.mktemp("scan"))
    archive = tmp_path_factory.mktemp("zip") / "study.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(folder.iterdir()):
            zipped.write(path, f"CANARYFOLDER/CANARYFILE-{path.name}")
    return archive, sorted(set(canaries))


def run(temporary: Path, *arguments: object) -> tuple[str, set[str]]:
    """What a command said, and every name seen in its temporary folder while it ran."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            for folder, folders, files in os.walk(temporary):
                seen.update([folder, *folders, *files])

    watcher = threading.Thread(target=watch)
    watcher.start()
    finished = subprocess.run(
        [sys.executable, "-m", "viewer.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(temporary / "cache")},
    )
    done.set()
    watcher.join()
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr, seen


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every output's name and content; pictures also decoded."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as picture:
                yield f"{path.name} text", repr(picture.info).encode()


def test_no_planted_identity_leaves_the_door(planted: tuple[Path, list[str]], tmp_path: Path) -> None:
    scan, canaries = planted
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    said = names = ""
    link = tmp_path / "link.json"
    for arguments in (
        ("info", scan, "--json"),
        ("build", scan, out / "case", "--preset", "ct-body", "--keep-link", link, "--json"),
        ("info", out / "case"),
        ("shot", out / "case", out / "shot.png", "--size", "400x300"),
        *(("export", out / "case", out / f"model{suffix}", "--json") for suffix in (".glb", ".stl", ".ply", ".obj")),
        ("verify", out / "model.glb", "--case", out / "case"),
    ):
        text, seen = run(temporary, *arguments)
        said += text
        names += "\n".join(seen)
    for canary in canaries:
        assert canary not in said, f"{canary} was printed"
        assert canary not in names, f"{canary} named a temporary file"
        for name, content in written(out):
            for form in (canary.encode(), canary.encode("utf-16-le")):
                assert form not in content, f"{canary} stands in {name}"
    assert json.loads(link.read_text()), "the link file keeps the original identifiers"
    assert any(canary in link.read_text() for canary in canaries), "the canaries were never planted"


def test_link_file_inside_the_case_is_refused(planted: tuple[Path, list[str]], tmp_path: Path) -> None:
    case = tmp_path / "case"
    refused = subprocess.run(
        [sys.executable, "-m", "viewer.cli", "build", planted[0], case, "--keep-link", case / "link.json"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert refused.returncode == 1
    assert "inside the case" in refused.stderr
    assert not case.exists()
