"""Progress that can be heard and stopped.

Every slow verb takes `progress: Progress = silent` last and calls it with the done fraction (0 to 1) and what
it does now. Raising `Cancelled` inside the callable stops the work; files half written are removed on the way out.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


class Cancelled(BaseException):
    """The user stopped the work. Not an `Exception`, so that no broad handler swallows it."""


def silent(fraction: float, doing: str) -> None:
    """Progress that nobody hears."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Progress of a step that takes the whole from `start` to `stop` (fractions)."""

    def report(fraction: float, doing: str) -> None:
        progress(start + (stop - start) * min(max(fraction, 0.0), 1.0), doing)

    return report
