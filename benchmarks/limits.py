"""How far our stages are from what memory allows: one pass over the volume, and a plain copy of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clock import Seconds
from benchmarks.report import cores, table

_TRIES = 7


def limits_table(voxels: npt.NDArray[Any], stages: Mapping[str, Seconds]) -> str:
    """Wall seconds of each stage, and how many threshold passes over the same volume or copies of it they are."""
    passing, copying = threshold_s(voxels), copy_s(voxels)
    rows = [
        [name, f"{seconds.wall:.3f}", f"{seconds.wall / passing:,.0f}×", f"{seconds.wall / copying:,.0f}×"]
        for name, seconds in stages.items()
    ]
    header = [
        "stage of AnatomyXR",
        "wall s",
        f"threshold passes of {passing * 1e3:.2g} ms",
        f"copies of {copying * 1e3:.2g} ms",
    ]
    return table(header, rows)


def threshold_s(voxels: npt.NDArray[Any]) -> float:
    """Least wall seconds of one comparison of every voxel, on all cores."""
    flat = voxels.reshape(-1, order="A")
    parts = np.array_split(flat, cores() * 64)  # small enough that the answer stays in the cache

    def above(part: npt.NDArray[Any]) -> int:
        return int(np.count_nonzero(part > 0))

    with ThreadPoolExecutor(cores()) as pool:
        return _least(lambda: list(pool.map(above, parts)))


def copy_s(voxels: npt.NDArray[Any]) -> float:
    """Least wall seconds of a copy to memory that is there already, on one core."""
    flat = voxels.reshape(-1, order="A")
    target = np.empty_like(flat)
    return _least(lambda: np.copyto(target, flat))


def _least(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
