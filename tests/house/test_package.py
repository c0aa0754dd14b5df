"""The wheel holds what an installation needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    done = subprocess.run([*command, str(REPOSITORY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_both_houses_the_assets_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"meshing", "viewer"} <= tops
    assert all(top in {"meshing", "viewer"} or top.endswith(".dist-info") for top in tops)
    wanted = [path.relative_to(REPOSITORY / "assets") for path in (REPOSITORY / "assets").rglob("*") if path.is_file()]
    assert wanted
    for path in wanted:
        assert f"meshing/_assets/{path.as_posix()}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_unpacked_wheel_finds_its_assets_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import meshing\n"
        "from meshing.library import asset\n"
        "from meshing.terminology import structures\n"
        "assert meshing.__file__.startswith(sys.argv[1]), meshing.__file__\n"
        "assert '_assets' in str(asset('terminology.toml'))\n"
        "print(len(structures()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
