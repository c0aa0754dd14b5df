"""What a contender says of itself beside its output: seconds of its stages, and its memory."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.clock import Seconds, Stages, now

IMPORTS = "imports"
LOADING = "loading more code"
"""What a verb imports or takes from the cache of compiled code before its first word of progress."""


@dataclass(frozen=True)
class Notes:
    """As written to `--notes`.

    Parameters
    ----------
    stages
        name → (wall, CPU) seconds.
    ready_mb
        Memory in RAM when the imports were done and the input was read; None where the system does not say.
    peak_mb
        The most from then on.
    """

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    ready_mb: float | None = None
    peak_mb: float | None = None

    @property
    def above_mb(self) -> float | None:
        """Memory of the work above its inputs."""
        return None if self.ready_mb is None or self.peak_mb is None else self.peak_mb - self.ready_mb

    @classmethod
    def read(cls, path: Path) -> Notes:
        """Those of a file; empty ones when there is none."""
        if not path.is_file():
            return cls()
        found = json.loads(path.read_text())
        stages = {name: (float(wall), float(cpu)) for name, (wall, cpu) in found["stages"].items()}
        return cls(stages, found["ready_mb"], found["peak_mb"])


class Diary:
    """Keeps the notes of the process that it runs in; begins with what the process took until then, its imports."""

    def __init__(self) -> None:
        self.stages = Stages()
        self.stages.add(IMPORTS, Seconds(_age_s(), now().cpu))
        self._ready_mb: float | None = None

    def ready(self) -> None:
        """The inputs are in memory: what comes above this is the work's own."""
        self._ready_mb = _memory_mb("VmRSS")
        try:
            # proc(5): 5 sets the peak back to what is held now.
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._ready_mb = None

    def write(self, path: Path | None) -> None:
        """The notes, to a file; nowhere when None."""
        self.stages.close()
        if path is not None:
            stages = {name: (seconds.wall, seconds.cpu) for name, seconds in self.stages.seconds.items()}
            path.write_text(json.dumps(asdict(Notes(stages, self._ready_mb, _memory_mb("VmHWM")))))


@dataclass(frozen=True)
class Job:
    """What every contender is told."""

    source: Path
    target: Path
    budget: int
    level: float
    notes: Path | None


def job(arguments: Sequence[str] | None = None) -> Job:
    """The job on the command line."""
    options = argparse.ArgumentParser()
    options.add_argument("source", type=Path)
    options.add_argument("target", type=Path)
    options.add_argument("--budget", type=int, required=True, help="triangles in the file")
    options.add_argument("--level", type=float, default=200.0, help="of a grey surface")
    options.add_argument("--notes", type=Path)
    chosen = options.parse_args(arguments)
    return Job(chosen.source, chosen.target, chosen.budget, chosen.level, chosen.notes)


def _memory_mb(name: str) -> float | None:
    """A line of /proc/self/status; None off Linux."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)


def _age_s() -> float:
    """Wall seconds since the process began; 0 off Linux."""
    try:
        # proc(5): field 22 is the start in ticks since boot; 19 more after the name in brackets.
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"), 0.0)
