"""Wall and CPU seconds of a piece of work, threads and child processes included, and of its named stages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seconds:
    """Time on the wall, and user plus system time of all threads and child processes."""

    wall: float
    cpu: float

    def __sub__(self, earlier: Seconds) -> Seconds:
        return Seconds(self.wall - earlier.wall, self.cpu - earlier.cpu)

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


NOTHING = Seconds(0.0, 0.0)


def now() -> Seconds:
    """Clock readings; only differences mean anything."""
    ended = os.times()
    children = ended.children_user + ended.children_system + _living_children(os.getpid())
    return Seconds(time.perf_counter(), time.process_time() + children)


def _living_children(parent: int) -> float:
    """CPU seconds of descendants that still run: the system counts a child only once it has ended.

    Linux only; elsewhere 0, and a child kept warm between runs looks free.
    """
    total = 0.0
    for listing in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except OSError:  # the thread ended meanwhile
            continue
        for child in children:
            total += _own_and_ended(int(child)) + _living_children(int(child))
    return total


def _own_and_ended(child: int) -> float:
    try:
        # proc(5): fields 14 to 17, counted after the name in brackets, which may hold blanks.
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended between the listing and here
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Stages:
    """Seconds of the named stages of one run, in the order in which they began."""

    def __init__(self) -> None:
        self.seconds: dict[str, Seconds] = {}
        self._open: tuple[str, Seconds] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what runs inside under that name."""
        start = now()
        yield
        self.add(name, now() - start)

    def progress(self, fraction: float, doing: str) -> None:
        """A `Progress` for slow verbs: each sentence that they report begins a stage of that name."""
        if self._open is not None and self._open[0] == doing:
            return
        self.close()
        self._open = (doing, now())

    def close(self) -> None:
        """Ends the stage that a last `progress` began."""
        if self._open is not None:
            name, start = self._open
            self.add(name, now() - start)
            self._open = None

    def add(self, name: str, seconds: Seconds) -> None:
        """Counts seconds that were measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, NOTHING) + seconds
