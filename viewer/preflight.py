"""Whether this machine can draw off the screen, found out in a child process.

Without its graphics libraries VTK ends the whole program with a segmentation fault instead of an error; so a child
draws one small picture first. A good answer is remembered until VTK, Python or those libraries change; a bad one is
asked for again each time, since the user may have installed what was missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from meshing.errors import RenderError

PACKAGES = "libegl1 libgl1-mesa-dri"
_TIMEOUT_S = 120
_PROBE = """
import sys
from viewer.render import probe
sys.exit(0 if probe() else 3)
"""
_SETTINGS = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "VTK_DEFAULT_OPENGL_WINDOW",
    "LD_LIBRARY_PATH",
    "LIBGL_DRIVERS_PATH",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
)
_LIBRARIES = ("libEGL.so.1", "libEGL_mesa.so.0", "libGL.so.1", "dri/swrast_dri.so", "dri/libdril_dri.so")


def check_rendering() -> None:
    """Return if this machine can draw.

    Raises
    ------
    RenderError
        Otherwise, with the packages to install.
    """
    answer = _answer_file()
    if answer.exists():
        return
    failure = probe_in_child([sys.executable, "-P", "-c", _PROBE])
    if failure:
        raise RenderError(f"this machine cannot draw: {failure}", where=platform.platform(terse=True), hint=_remedy())
    # An unwritable cache only means that the question is asked again next time.
    with contextlib.suppress(OSError):
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.touch()


def probe_in_child(command: Sequence[str]) -> str:
    """How a command that should draw a picture failed, in words; "" when it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"a test picture was not done within {_TIMEOUT_S} s"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            return f"the graphics libraries ended a test with {signal.Signals(-done.returncode).name}"
    if done.returncode == 3:
        return "a test picture stayed empty"
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"a test picture ended with exit code {done.returncode}: {last[:200]}"


def _remedy() -> str:
    if sys.platform == "linux":
        return f"apt install {PACKAGES}"
    return "install a graphics driver with OpenGL 3.2 or later"


def _answer_file() -> Path:
    """Named by all that the answer depends on, so that a change asks again."""
    import platformdirs

    facts = [_version("vtk"), _version("pyvista"), platform.python_version(), platform.node(), platform.machine()]
    facts += [os.environ.get(name, "") for name in _SETTINGS]
    facts += [f"{path}:{path.stat().st_mtime_ns}" for path in _graphics_libraries()]
    name = hashlib.sha256("\n".join([sys.prefix, *facts]).encode()).hexdigest()[:24]
    return Path(platformdirs.user_cache_dir("anatomyxr", appauthor=False)) / f"can-draw-{name}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _graphics_libraries() -> list[Path]:
    """Those of the usual places that are there; removing a package changes the answer's name."""
    folders = [*Path("/usr/lib").glob("*-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib")]
    return [folder / name for folder in folders for name in _LIBRARIES if (folder / name).exists()]
