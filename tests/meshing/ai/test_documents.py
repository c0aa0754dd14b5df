"""The examples of docs/segmentation.md do what the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from meshing.ai.sidecar import read_sidecar
from meshing.segmenters import presets as registry
from meshing.segmenters.presets import segment
from meshing.volume import Volume
from tests.conftest import REPOSITORY
from tests.shapes import upright_grid

PAGE = (REPOSITORY / "docs" / "segmentation.md").read_text(encoding="utf-8")


def block(beginning: str) -> str:
    """The fenced code that begins so."""
    return next(code for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL) if code.startswith(beginning))


@pytest.fixture
def fresh() -> Iterator[None]:
    registry._segmenters.cache_clear()
    yield
    registry._segmenters.cache_clear()
    sys.modules.pop("my_liver", None)


def test_the_package_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    (tmp_path / "my_liver").mkdir()
    (tmp_path / "my_liver" / "__init__.py").write_text(block("# my_liver/__init__.py"), encoding="utf-8")
    (tmp_path / "my_liver" / "model.py").write_text(block("# my_liver/model.py"), encoding="utf-8")
    entry = block("# pyproject.toml of the package").split("]\n")[1].replace('"', "")
    (tmp_path / "my_liver-2.dist-info").mkdir()
    (tmp_path / "my_liver-2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: my-liver\nVersion: 2\n")
    (tmp_path / "my_liver-2.dist-info" / "entry_points.txt").write_text(f"[meshing.segmenters]\n{entry}")
    monkeypatch.syspath_prepend(tmp_path)
    voxels = np.zeros((5, 6, 7), np.int16)
    voxels[1:3] = 200
    volume = Volume(voxels, upright_grid((5, 6, 7), (1.0, 1.0, 1.0)), "CT", "HU")
    assert (segment(volume, "my-liver").mask("liver") == (voxels > 100)).all()
    assert "my_liver.model" not in sys.modules


def test_the_sidecar_of_the_page_is_right(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(block("[model]").replace('"…"', '""'), encoding="utf-8")
    found = read_sidecar(tmp_path / "m.toml")
    assert found.feed.axes == "SPL" and found.reading.labels == {1: "liver", 2: "tumour"}
