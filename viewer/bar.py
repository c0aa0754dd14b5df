"""A progress bar on a terminal, silence in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from meshing.progress import Progress, silent

_WIDTH = 28
_EVERY_S = 0.1


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Progress]:
    """A progress that draws on `stream` when that is a terminal, and wipes its line at the end."""
    if not stream.isatty():
        yield silent
        return
    last = 0.0

    def draw(fraction: float, doing: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _EVERY_S and fraction < 1.0:
            return
        last = now
        full = round(_WIDTH * min(max(fraction, 0.0), 1.0))
        stream.write(f"\r\x1b[K{'█' * full}{'·' * (_WIDTH - full)} {100 * fraction:3.0f} %  {doing}")
        stream.flush()

    try:
        yield draw
    finally:
        stream.write("\r\x1b[K")
        stream.flush()
