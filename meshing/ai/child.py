"""The process in which a plug-in runs: it reads a request, calls one function, writes the answer, and ends.

    python -m meshing.ai.child FOLDER

Whatever the function does here, its parent lives on: a crash, a hang or a full memory ends this process only. What it
prints goes to a log. It ends by itself when its parent is gone, and takes the scan in the folder with it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshing.ai.exchange import Drawn, Scan, read_request, teller, write_answer, write_refusal
from meshing.errors import AnatomyError
from meshing.progress import Progress

Run = Callable[[Scan, dict[str, Any], Progress], Drawn]


def main(folder: Path) -> None:
    scan, words = read_request(folder)
    _end_with_parent(folder)
    _limit(words["memory_bytes"], words["seconds"])
    try:
        drawn = found(words["runs"])(scan, words["options"], teller(folder))
        if not isinstance(drawn, Drawn):
            raise TypeError(f"it gave {type(drawn).__name__}, not meshing.ai.Drawn")
        write_answer(folder, drawn)
    except MemoryError:
        write_refusal(folder, "memory", f"it needs more than {words['memory_bytes'] / 2**30:.3g} GiB of memory")
    except SystemExit as left:
        write_refusal(folder, "left", f"it gave up with exit code {left.code}")
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, AnatomyError):
            write_refusal(folder, "stated", error.message, error.hint)
        else:
            write_refusal(folder, "raised", f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a library left behind would hold the process back


def found(runs: str) -> Run:
    """The function that "module:function" names."""
    module, _, name = runs.partition(":")
    run: Run = getattr(importlib.import_module(module), name)
    return run


def _end_with_parent(folder: Path) -> None:
    """The parent holds the other end of standard input; when it is gone, so are the scan, this process and its own."""

    def wait() -> None:
        sys.stdin.buffer.read()
        shutil.rmtree(folder, ignore_errors=True)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _limit(memory_bytes: int, seconds: float) -> None:
    """No core dumps (they hold pixels), a cap on memory, a clock, and first to go when the machine runs out of memory.

    The parent keeps the time; the clock is for the plug-in that hangs in native code while its parent is gone.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
