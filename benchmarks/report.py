"""What a comparison prints: a machine line, aligned Markdown tables, and who was skipped."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TypeVar

from benchmarks.clock import Seconds
from benchmarks.runner import FEWEST_ROUNDS, Comparison

T = TypeVar("T")

Columns = Mapping[str, Callable[[T], str]]


def parser(summary: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    options = argparse.ArgumentParser(description=summary.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=FEWEST_ROUNDS, help="interleaved rounds (default %(default)s)")
    return options


def machine(packages: Sequence[str]) -> str:
    """Cores, system, Python, and the versions of the packages that took part."""
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    return (
        f"{cores()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}; "
        + ", ".join(versions)
    )


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up in a terminal; the first is left-aligned."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * width + ("-" if column == 0 else ":") for column, width in enumerate(widths)]
    text = [_line(line, widths) for line in lines]
    return "\n".join([text[0], "|" + "|".join(f"-{dashes}" for dashes in rule) + "|", *text[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = [
        cell.ljust(width) if at == 0 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join([first, *others]) + " |"


def comparison_table(comparison: Comparison[T], columns: Columns[T]) -> str:
    """Seconds and ratios of everyone who ran, and what their outcomes are like."""
    header = ["", "CPU s", "CPU ratio", "wall s", "wall ratio", *columns]
    rows: list[list[str]] = []
    for one in comparison.measured:
        row = [one.name]
        for clock in (_cpu, _wall):
            row += [f"{clock(one.median):.2f}", str(comparison.ratio(one, clock)) if rows else "1"]
        rows.append(row + [show(one.outcome) for show in columns.values()])
    return table(header, rows)


def stage_table(comparison: Comparison[T]) -> str:
    """Median CPU and wall seconds of every stage that a contender reported; "" when none did."""
    rows = [
        [f"{one.name}: {stage}", f"{seconds.cpu:.2f}", f"{seconds.wall:.2f}"]
        for one in comparison.measured
        for stage, seconds in one.stage_medians.items()
    ]
    return table(["stage", "CPU s", "wall s"], rows) if rows else ""


def print_comparison(title: str, comparison: Comparison[T], columns: Columns[T]) -> None:
    """Title, tables, and the peers skipped with the reason."""
    rounds = len(comparison.measured[0].rounds)
    short = f" (under {FEWEST_ROUNDS}: an indication, no claim)" if rounds < FEWEST_ROUNDS else ""
    print(f"## {title}\n")
    reference = comparison.measured[0].name
    turns = f"{rounds} interleaved round{'s' if rounds > 1 else ''}{short}"
    print(f"{turns}; medians; ratio: seconds over those of {reference} (least–most).\n")
    print(comparison_table(comparison, columns))
    stages = stage_table(comparison)
    if stages:
        print(f"\n{stages}")
    for name, reason in comparison.skipped.items():
        print(f"\nskipped {name}: {reason}")
    print(flush=True)


def _cpu(seconds: Seconds) -> float:
    return seconds.cpu


def _wall(seconds: Seconds) -> float:
    return seconds.wall
