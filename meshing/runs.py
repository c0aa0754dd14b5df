"""Runs of equal voxels: label maps are long stretches of one value, so most of them need only be compared.

Voxels are flat, uint8 or uint16, in the order of memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.threads import kernel, over_rows

Array = npt.NDArray[Any]

_AT_ONCE = 64


def tally(voxels: Array, labels: int) -> npt.NDArray[np.int64]:
    """Voxels of each label below `labels`; numpy's own count would first copy a byte map to eight times its size."""
    counts = np.zeros(labels, np.int64)
    for part in over_rows(_tally, len(voxels), voxels, labels):
        counts += part
    return counts


@kernel
def _tally(first: int, last: int, voxels: Array, labels: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(labels, np.int64)
    at = first
    while at < last:
        label = voxels[at]
        end = run_end(voxels, at + 1, last, label)
        counts[label] += end - at
        at = end
    return counts


@kernel
def run_end(voxels: Array, at: int, last: int, label: Any) -> int:
    """Where voxels from `at` on cease to be `label`: runs are long, so many are looked at at once."""
    while at + _AT_ONCE <= last:
        block = voxels[at : at + _AT_ONCE]
        differs = voxels.dtype.type(0)
        for n in range(_AT_ONCE):
            differs |= block[n] ^ label
        if differs:
            break
        at += _AT_ONCE
    while at < last and voxels[at] == label:
        at += 1
    return at
