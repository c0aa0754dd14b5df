"""Runs a plug-in in a process of its own and judges what comes back.

In: a volume and the name of a function. Out: a `Segmentation` on the volume's own grid, or a typed error. Neither torch
nor any other library of a plug-in is ever loaded here. The exchange is a folder that is removed in the end: here, or by
the child when this process was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshing.ai.answer import read_answer
from meshing.ai.exchange import ANSWER, LOG, last_told, plain_text, scan_of, write_request
from meshing.errors import PlugInError
from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation
from meshing.volume import Volume
from meshing.voxels.upright import upright

# What plug-ins need of our environment; the rest may hold secrets.
_KEPT = ("PATH", "HOME", "USER", "TMPDIR", "TEMP", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "USERPROFILE")
_KEPT_BEGINNINGS = ("CUDA_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_", "nnUNet_", "TOTALSEG_", "MONAI_", "TORCH_")

_POLL_SECONDS = 0.1
_MOST_LOG_BYTES = 64 << 20
_SAID_LETTERS = 200


@dataclass(frozen=True)
class ChildLimits:
    """How long a plug-in may take, and how much memory it may ask for (address space, where the system knows that)."""

    seconds: float = 3600.0
    memory_gib: float = 48.0


@dataclass(frozen=True)
class Job:
    """What is to run.

    Parameters
    ----------
    name
        Of the preset or model, for messages.
    runs
        "module:function"; the function takes (`Scan`, options, progress) and gives `Drawn`.
    options
        JSON for that function.
    source
        Who draws: it becomes the source of the segmentation.
    """

    name: str
    runs: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: ChildLimits = field(default_factory=ChildLimits)


def run_apart(
    job: Job, volume: Volume, *, seeds_mm: tuple[Point, ...] = (), progress: Progress = silent
) -> Segmentation:
    """What the plug-in draws on the volume.

    Raises
    ------
    PlugInError
        If it crashed, hung, ran out of memory, raised, or answered what cannot be.
    SegmentationError
        If it found nothing, or said itself why it cannot.
    """
    scan = upright(volume)
    with tempfile.TemporaryDirectory(prefix="anatomyxr-") as name:
        folder = Path(name)
        progress(0.0, f"handing the scan to {job.name}")
        words = {
            "runs": job.runs,
            "options": dict(job.options),
            "seconds": job.limits.seconds,
            "memory_bytes": int(job.limits.memory_gib * 2**30),
        }
        write_request(folder, scan_of(volume, scan, seeds_mm), words)
        _run_child(folder, job, part(progress, 0.02, 0.95))
        progress(0.95, f"reading what {job.name} drew")
        return read_answer(folder, scan, where=job.name, source=job.source)


def _run_child(folder: Path, job: Job, progress: Progress) -> None:
    """Returns when the child has ended and left an answer."""
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-m", "meshing.ai.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_child_environment(),
            cwd=folder,
            start_new_session=os.name == "posix",
        )
    try:
        _watch(process, folder, job, progress)
    finally:
        _end(process)
    if not (folder / ANSWER).exists():
        raise _ending(process.returncode, folder, job)


def _watch(process: subprocess.Popen[bytes], folder: Path, job: Job, progress: Progress) -> None:
    """Waits, passing on what the child tells; a word of progress that raises ends the wait."""
    began = time.monotonic()
    told = (0.0, f"{job.name} starts")
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return
        fraction, doing = last_told(folder) or told
        told = max(fraction, told[0]), doing
        progress(*told)
        if time.monotonic() - began > job.limits.seconds:
            raise PlugInError(
                f"it took longer than {job.limits.seconds:g} s and was stopped; it last said {_said(folder, doing)}",
                where=job.name,
                hint="give it more time (--model-seconds), or a smaller scan",
            )
        if (folder / LOG).stat().st_size > _MOST_LOG_BYTES:
            raise PlugInError(f"it printed more than {_MOST_LOG_BYTES >> 20} MB and was stopped", where=job.name)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Neither the child nor anything that it started lives on."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _ending(code: int, folder: Path, job: Job) -> PlugInError:
    said = _said(folder)
    if code == -9:
        return PlugInError(
            f"it was killed (SIGKILL), most likely because the memory of this machine ran out; it last said {said}",
            where=job.name,
            hint="close other programs, or give it a smaller part of the scan",
        )
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return PlugInError(f"it crashed ({name}); it last said {said}", where=job.name)
    return PlugInError(f"it ended with exit code {code} and without an answer; it last said {said}", where=job.name)


def _said(folder: Path, otherwise: str = "nothing") -> str:
    """The last line that the child printed."""
    with (folder / LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - 4096))
        lines = [plain_text(line, _SAID_LETTERS) for line in log.read().decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return f"“{last}”" if last else otherwise


def _child_environment() -> dict[str, str]:
    """What a child may know; it finds modules where we find them."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}
    ours = str(Path(__file__).resolve().parents[2])
    folders = [ours, *(entry for entry in sys.path if entry and Path(entry).is_dir())]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(folders)), "PYTHONUNBUFFERED": "1"}
