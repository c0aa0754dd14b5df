"""Contenders side by side: interleaved rounds, medians, ratios to the first of them.

On a shared machine a slow minute slows everybody who runs in it. So each round runs every contender once, the order
turns from round to round, a ratio is taken within its round, and the median ratio is reported with its range.
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

from benchmarks.clock import NOTHING, Seconds, Stages, now

T = TypeVar("T")

FEWEST_ROUNDS = 5
"""Below five a median is one noisy minute away from another value."""


@dataclass(frozen=True, eq=False)
class Contender(Generic[T]):
    """Someone who does the work.

    Parameters
    ----------
    name
        As the table shows it.
    work
        One run; what its last one returns is kept. It may report its stages.
    requires
        Modules without which it is skipped.
    """

    name: str
    work: Callable[[Stages], T]
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measured(Generic[T]):
    """What one contender took in each round, and what its last run returned."""

    name: str
    outcome: T
    rounds: tuple[Seconds, ...]
    stages: tuple[Mapping[str, Seconds], ...]

    @property
    def median(self) -> Seconds:
        return _median(self.rounds)

    @property
    def stage_medians(self) -> dict[str, Seconds]:
        """Median seconds by stage; a stage that a round lacked counts 0 there."""
        names = dict.fromkeys(name for one in self.stages for name in one)
        return {name: _median([one.get(name, NOTHING) for one in self.stages]) for name in names}


@dataclass(frozen=True)
class Ratio:
    """How many times the first contender's seconds: the median over rounds, and its range."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2g}× ({self.least:.2g}–{self.most:.2g})"


@dataclass(frozen=True, eq=False)
class Comparison(Generic[T]):
    """All contenders who ran, the reference first, and why the others did not."""

    measured: tuple[Measured[T], ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, one: Measured[T], clock: Callable[[Seconds], float]) -> Ratio:
        """That contender's seconds over the first one's, round by round."""
        pairs = zip(one.rounds, self.measured[0].rounds, strict=True)
        ratios = [clock(mine) / max(clock(first), 1e-6) for mine, first in pairs]
        return Ratio(median(ratios), min(ratios), max(ratios))


def compare(contenders: Sequence[Contender[T]], rounds: int = FEWEST_ROUNDS) -> Comparison[T]:
    """Everyone's seconds from one interleaved run.

    The first contender is the reference and must run. A peer that is not installed, or that raises in its warm-up run,
    is skipped with the reason.

    Raises
    ------
    ValueError
        If there are no contenders or no rounds.
    """
    if not contenders or rounds < 1:
        raise ValueError(f"{len(contenders)} contenders in {rounds} rounds")
    outcomes, skipped = _warm_up(contenders)
    running = [one for one in contenders if one.name in outcomes]
    seconds: dict[str, list[Seconds]] = {one.name: [] for one in running}
    stages: dict[str, list[Mapping[str, Seconds]]] = {one.name: [] for one in running}
    for number in range(rounds):
        turn = number % len(running)
        for one in [*running[turn:], *running[:turn]]:
            taken, stage_seconds, outcomes[one.name] = _timed(one)
            seconds[one.name].append(taken)
            stages[one.name].append(stage_seconds)
    return Comparison(
        tuple(
            Measured(one.name, outcomes[one.name], tuple(seconds[one.name]), tuple(stages[one.name])) for one in running
        ),
        skipped,
    )


def _warm_up(contenders: Sequence[Contender[T]]) -> tuple[dict[str, T], dict[str, str]]:
    """One untimed run each: imports and compilation are paid, and who cannot run is found."""
    outcomes: dict[str, T] = {}
    skipped: dict[str, str] = {}
    for one in contenders:
        missing = [module for module in one.requires if importlib.util.find_spec(module) is None]
        if missing:
            skipped[one.name] = f"{', '.join(missing)} not installed"
            continue
        try:
            outcomes[one.name] = one.work(Stages())
        except Exception as error:
            if one is contenders[0]:
                raise
            reason = " ".join(str(error).split())
            skipped[one.name] = f"{type(error).__name__}: {reason[:200]}"
    return outcomes, skipped


def _timed(one: Contender[T]) -> tuple[Seconds, Mapping[str, Seconds], T]:
    gc.collect()
    stages = Stages()
    start = now()
    outcome = one.work(stages)
    taken = now() - start
    stages.close()
    return taken, stages.seconds, outcome


def _median(many: Iterable[Seconds]) -> Seconds:
    many = list(many)
    return Seconds(median(one.wall for one in many), median(one.cpu for one in many))
