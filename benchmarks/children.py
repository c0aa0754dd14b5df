"""Contenders that are whole processes: started fresh, timed from their start to the file on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import Seconds, Stages
from benchmarks.contenders.notes import Notes
from benchmarks.runner import Contender


@dataclass(frozen=True, eq=False)
class Finished:
    """What a process left behind.

    Parameters
    ----------
    peak_mb
        The most memory that it held; None off Linux.
    """

    target: Path
    notes: Notes
    peak_mb: float | None


def program(
    name: str,
    module: str,
    source: Path,
    target: Path,
    *,
    options: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
) -> Contender[Finished]:
    """A module of `benchmarks.contenders` as a contender, with its notes."""
    notes = target.with_suffix(target.suffix + ".json")
    given = [word for option, value in options.items() for word in (f"--{option}", str(value))]
    line = [sys.executable, "-m", f"benchmarks.contenders.{module}", str(source), str(target), *given]
    line += ["--notes", str(notes)]
    return Contender(name, lambda stages: finished(line, target, stages, notes=notes, environment=environment))


def installed(command: str, peers: Path | None) -> str:
    """The path of a peer's command, from a folder of its own or from the usual ones.

    Raises
    ------
    FileNotFoundError
        With how to get it.
    """
    found = shutil.which(command, path=str(peers)) if peers else shutil.which(command)
    if found is None:
        raise FileNotFoundError(
            f"not installed: pip install {command} into an environment of its own, and name its bin with --peers"
        )
    return found


def finished(
    line: Sequence[str],
    target: Path,
    stages: Stages,
    *,
    notes: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """The process, run to its end.

    Parameters
    ----------
    environment
        Variables to set beside those that are set.

    Raises
    ------
    RuntimeError
        If it fails, or leaves no file.
    """
    target.unlink(missing_ok=True)
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**_own(), **(environment or {})}
    ) as child:
        peak = _Peak(child.pid)
        _, complaint = child.communicate()
        highest = peak.ended()
    if child.returncode or not target.is_file():
        last = complaint.strip().splitlines()[-1:] or ["no file was left"]
        raise RuntimeError(f"{last[0]} (exit {child.returncode})")
    found = Notes.read(notes) if notes else Notes()
    for name, (wall, cpu) in found.stages.items():
        stages.add(name, Seconds(wall, cpu))
    return Finished(target, found, max(filter(None, (highest, found.peak_mb)), default=None))


def _own() -> dict[str, str]:
    """The environment of a program that somebody starts by hand in this folder."""
    return {**os.environ, "PYTHONPATH": str(Path.cwd())}


class _Peak:
    """The peak memory of a running process, asked for again and again: what `wait` tells includes its parent's."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._highest: float | None = None
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:  # it ended, or this is no Linux
                return
            peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
            self._highest = max(self._highest or 0.0, peak) or None

    def ended(self) -> float | None:
        """The highest that was seen."""
        self._is_over.set()
        self._watch.join()
        return self._highest
