"""Ctrl-C and SIGTERM that are not lost, and leave nothing behind.

Compiled code may swallow the exception, so the next word of progress stops the work too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from meshing.progress import Cancelled, Progress


@contextmanager
def stoppable(progress: Progress) -> Iterator[Progress]:
    """The progress, which raises `Cancelled` once an interrupt came.

    The given itself in threads but the main one, and where interrupts are ignored or somebody else's.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield progress
        return
    was_stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal was_stopped
        was_stopped = True
        raise KeyboardInterrupt

    def told(fraction: float, doing: str) -> None:
        if was_stopped:
            raise Cancelled
        progress(fraction, doing)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
