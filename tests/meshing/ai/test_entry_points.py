"""An installed package of plug-ins: found by its metadata, listed, run, and harmless when it breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from meshing.ai.catalogue import OWN_LICENCE, catalogue
from meshing.errors import PlugInError, SegmentationError
from meshing.segmenters import presets as registry
from meshing.segmenters.presets import segment
from meshing.volume import Volume
from tests.conftest import REPOSITORY
from tests.meshing.ai.packages import write_package
from tests.shapes import upright_grid

GRID = upright_grid((6, 7, 8), (1.0, 1.0, 1.0))


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(write_package(tmp_path))
    registry._segmenters.cache_clear()
    yield tmp_path
    registry._segmenters.cache_clear()


def scan() -> Volume:
    voxels = np.zeros(GRID.shape, np.int16)
    voxels[2:4] = 200
    return Volume(voxels, GRID, "CT", "HU")


def test_its_plug_in_runs_as_a_preset() -> None:
    found = segment(scan(), "good")
    assert (found.mask("liver") == (scan().voxels > 100)).all()
    assert found.source == "foreign 1.0, MIT"


@pytest.mark.skipif(os.name != "posix", reason="the plug-in dies of a signal")
def test_one_that_crashes_leaves_the_others_alone() -> None:
    with pytest.raises(PlugInError, match="SIGSEGV"):
        segment(scan(), "crash")
    assert segment(scan(), "good").mask("liver").any()


def test_what_it_lacks_is_said_with_the_command() -> None:
    with pytest.raises(SegmentationError, match=r"library_that_is_not_there is not installed.*pip install 'foreign\["):
        segment(scan(), "lacking")


def test_the_catalogue_lists_it_beside_ours() -> None:
    rows = {row.name: row for row in catalogue()}
    assert rows["ct-body"].kind == "built-in" and rows["ct-body"].licence == OWN_LICENCE
    assert rows["ct-body"].is_available and not rows["ct-body"].own_process
    good, lacking = rows["good"], rows["lacking"]
    assert (good.kind, good.licence, good.own_process, good.use) == ("plug-in", "MIT", True, "--preset good")
    assert good.is_available and not good.download
    assert not lacking.is_available and lacking.download == "weights of 20 MB"
    licensed = [row for row in rows.values() if row.kind == "not offered"]
    assert "totalsegmentator:coronary_arteries" in {row.name for row in licensed}
    assert all("licence key" in row.missing and not row.use for row in licensed)


def test_the_command_line_lists_all_as_json_and_text(package: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(package)])}
    command = [sys.executable, "-m", "viewer.cli", "segmenters"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["segmenters"]}
    wanted = {"name", "title", "title_zh", "modality", "structures", "licence", "download", "missing", "is_available"}
    assert all(wanted <= set(row) for row in rows.values())
    assert rows["lacking"]["missing"].endswith("pip install 'foreign[heavy]'")
    text = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY).stdout
    assert "lacking: a_library_that_is_not_there is not installed" in text
    assert "coronary_arteries" in text and "not the truth" in text


def test_listing_imports_no_heavy_library() -> None:
    code = (
        "import sys; from meshing.ai.catalogue import catalogue; catalogue();"
        "print([n for n in sys.modules if n.split('.')[0] in "
        "('torch', 'onnxruntime', 'monai', 'nnunetv2', 'totalsegmentator', 'scipy', 'SimpleITK', 'foreign_model')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, *sys.path]))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "[]", done.stderr
