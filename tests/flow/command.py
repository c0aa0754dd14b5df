"""Runs the command line as a user does, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.conftest import REPOSITORY


def anatomyxr(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The finished command, with what it said."""
    return subprocess.run(
        [sys.executable, "-m", "viewer.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=REPOSITORY,
    )


def answer(*arguments: object, timeout: float = 240) -> dict[str, Any]:
    """The JSON object of a command that must succeed, silent on stderr."""
    done = anatomyxr(*arguments, "--json", timeout=timeout)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found
