"""Preflight: a machine that cannot draw is told what to install, and never crashes the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshing.errors import RenderError
from tests.conftest import REPOSITORY
from viewer import preflight

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(preflight, "_answer_file", lambda: tmp_path / "cache" / "can-draw-here")
    return tmp_path / "cache"


def test_a_crash_of_the_graphics_libraries_names_the_packages(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_PROBE", CRASH)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(RenderError, match="SIGSEGV") as caught:
        preflight.check_rendering()
    assert caught.value.hint == "apt install libegl1 libgl1-mesa-dri"
    assert not cache.exists()  # asked again next time: the packages may be there by then


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.exit(3)", "stayed empty"),
        ("raise ImportError('libGL.so.1: cannot open')", "libGL.so.1"),
        ("import time; time.sleep(60)", "not done within"),
    ],
)
def test_every_other_failure_is_said_in_words(code: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_TIMEOUT_S", 2 if "sleep" in code else 60)
    assert says in preflight.probe_in_child([sys.executable, "-c", code])


def test_a_good_answer_is_asked_for_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(3):
        preflight.check_rendering()
    assert len(asked) == 1
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(preflight, "_answer_file", lambda: tmp_path / "file" / "can-draw")
    monkeypatch.setattr(preflight, "probe_in_child", lambda command: "")
    preflight.check_rendering()


def test_the_answer_depends_on_what_it_was_asked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBGL_DRIVERS_PATH", "/nowhere")
    one = preflight._answer_file()
    monkeypatch.delenv("LIBGL_DRIVERS_PATH")
    assert preflight._answer_file() != one
    monkeypatch.setattr(preflight, "_version", lambda package: "0.1")
    assert preflight._answer_file() not in (one,)


@pytest.mark.skipif(sys.platform != "linux", reason="hides Mesa in the way that Linux finds it")
def test_a_machine_without_mesa_gets_an_error_and_not_a_crash(tmp_path: Path) -> None:
    """VTK itself, with EGL's vendor libraries hidden from it: the child dies, this process says why."""
    hidden = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull, "LIBGL_DRIVERS_PATH": str(tmp_path)}
    environment = {**os.environ, **hidden, "XDG_CACHE_HOME": str(tmp_path)}
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    code = (
        "from meshing.errors import RenderError\n"
        "from viewer.preflight import check_rendering\n"
        "try: check_rendering()\n"
        "except RenderError as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=REPOSITORY, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "apt install libegl1 libgl1-mesa-dri"


def test_this_machine_can_draw() -> None:
    """The suite's pictures need it; when this fails, the reason is in the message."""
    assert preflight.probe_in_child([sys.executable, "-P", "-c", preflight._PROBE]) == ""
