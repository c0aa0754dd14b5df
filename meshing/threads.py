"""Compiled work on rows of arrays, in chunks on all processors.

A kernel is a function on arrays that becomes machine code when first called; the code is kept on disk. numba's own
threads stay out of it: they abort the process when two callers meet, as a window and its background work do. A kernel
for `over_rows` takes `(first, last, *arrays)` and writes nothing that another chunk reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_CHUNKS_PER_THREAD = 4
_SMALLEST = 512
"""Rows below which a thread costs more than it saves."""


def kernel(function: Kernel) -> Kernel:
    """The function as machine code that runs without the interpreter's lock."""
    from numba import njit

    compiled: Kernel = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


def inlined(function: Kernel) -> Kernel:
    """The function for kernels alone, which it becomes a part of: calls that take arrays cost more than short work."""
    from numba import njit

    compiled: Kernel = njit(inline="always", error_model="numpy")(function)
    return compiled


def over_rows(kernel: Callable[..., Any], count: int, *arrays: Any) -> list[Any]:
    """What `kernel(first, last, *arrays)` gave for each chunk of `range(count)`, in order."""
    if _threads() == 1 or count < 2 * _SMALLEST:
        return [kernel(0, count, *arrays)] if count else []
    with many_over_rows() as over:
        return over(kernel, count, *arrays)


@contextmanager
def many_over_rows() -> Iterator[Callable[..., list[Any]]]:
    """`over_rows` for hundreds of short calls: the threads are made once."""
    threads = _threads()
    with ThreadPoolExecutor(threads) as pool:

        def over(kernel: Callable[..., Any], count: int, *arrays: Any) -> list[Any]:
            chunks = min(threads * _CHUNKS_PER_THREAD, count // _SMALLEST)
            if threads == 1 or chunks < 2:
                return [kernel(0, count, *arrays)] if count else []
            bounds = [count * part // chunks for part in range(chunks + 1)]
            futures = [pool.submit(kernel, low, high, *arrays) for low, high in pairwise(bounds)]
            return [future.result() for future in futures]

        yield over


def _threads() -> int:
    return min(os.cpu_count() or 1, 8)
