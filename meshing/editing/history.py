"""What was changed, step by step, as differences of a label layer: undo and redo are exact, and the past has a limit.

A difference is `before XOR after` in the box of what changed, run-length coded and deflated; the same difference leads
back and forth. Arrays run (x, y, z) with x fastest in memory.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.runs import run_end
from meshing.segmentation import Labels
from meshing.threads import kernel
from meshing.voxels.upright import Box

MOST_BYTES = 500_000_000
"""Of differences kept, unless a history is told otherwise."""

_SLAB = 1 << 24
"""Voxels coded at once: what the coding takes beside the layer stays small."""


@dataclass(frozen=True)
class StepName:
    """What a list of steps shows."""

    name: str
    name_zh: str


@dataclass(frozen=True, eq=False)
class Step:
    """One edit.

    Parameters
    ----------
    box
        Around all voxels that changed.
    changed_voxels
        How many did.
    """

    name: StepName
    box: Box
    changed_voxels: int
    difference: tuple[bytes, ...]

    @property
    def bytes(self) -> int:
        """What keeping it takes."""
        return sum(map(len, self.difference))


class History:
    """Steps done, steps undone, and how many old ones were dropped to stay within the limit."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.dropped_steps = 0
        self._done: deque[Step] = deque()
        self._undone: list[Step] = []

    @property
    def done(self) -> tuple[Step, ...]:
        """Steps that can be undone, oldest first."""
        return tuple(self._done)

    @property
    def undone(self) -> tuple[Step, ...]:
        """Steps that can be redone, the next one first."""
        return tuple(reversed(self._undone))

    @property
    def bytes(self) -> int:
        """What all steps take together."""
        return sum(step.bytes for step in (*self._done, *self._undone))

    def record(self, step: Step) -> int:
        """How many old steps were dropped for this one; steps undone before are gone."""
        self._undone.clear()
        self._done.append(step)
        dropped = 0
        while self.bytes > self.most_bytes and len(self._done) > 1:
            self._done.popleft()
            dropped += 1
        self.dropped_steps += dropped
        return dropped

    def back(self) -> Step | None:
        """The step to undo, now counted as undone; None at the beginning."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def forth(self) -> Step | None:
        """The step to redo, now counted as done; None at the end."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]


def difference_of(before: Labels, after: Labels) -> tuple[bytes, ...]:
    """What turns either array into the other, for `apply_difference`."""
    return tuple(_packed((before[slab] ^ after[slab]).ravel(order="F")) for slab in _slabs(before.shape))


def apply_difference(layer: Labels, box: Box, difference: tuple[bytes, ...]) -> None:
    """Turns the box of a layer, in place, from before into after, or back."""
    part = layer[box]
    for slab, packed in zip(_slabs(part.shape), difference, strict=True):
        target = part[slab]
        target ^= _unpacked(packed, target.size).reshape(target.shape, order="F").astype(layer.dtype, copy=False)


def _slabs(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Boxes along z."""
    thick = max(1, _SLAB // max(1, shape[0] * shape[1]))
    for low in range(0, shape[2], thick):
        yield slice(None), slice(None), slice(low, low + thick)


def _packed(flat: npt.NDArray[Any]) -> bytes:
    values, lengths = _runs(flat, _count_runs(flat))
    as_runs = values.nbytes + lengths.nbytes < flat.nbytes
    head = bytes((flat.dtype.itemsize, as_runs)) + len(values).to_bytes(4, "little")
    body = values.tobytes() + lengths.tobytes() if as_runs else flat.tobytes()
    return head + zlib.compress(body, 1)


def _unpacked(packed: bytes, size: int) -> npt.NDArray[Any]:
    itemsize, as_runs, count = packed[0], packed[1], int.from_bytes(packed[2:6], "little")
    kind: npt.DTypeLike = np.uint8 if itemsize == 1 else np.uint16
    body = zlib.decompress(packed[6:])
    if not as_runs:
        return np.frombuffer(body, kind, size)
    values = np.frombuffer(body, kind, count)
    return np.repeat(values, np.frombuffer(body, np.uint32, count, count * itemsize))


@kernel
def _count_runs(flat: npt.NDArray[Any]) -> int:
    at = count = 0
    while at < len(flat):
        at = run_end(flat, at + 1, len(flat), flat[at])
        count += 1
    return count


@kernel
def _runs(flat: npt.NDArray[Any], count: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
    values, lengths = np.empty(count, flat.dtype), np.empty(count, np.uint32)
    at = number = 0
    while at < len(flat):
        end = run_end(flat, at + 1, len(flat), flat[at])
        values[number], lengths[number] = flat[at], end - at
        at = end
        number += 1
    return values, lengths


def changed_box(before: Labels, after: Labels, box: Box) -> tuple[Box, int]:
    """The smallest box, within the grid, around voxels that differ, and how many do.

    Parameters
    ----------
    box
        Where both arrays lie in the grid.
    """
    found = _differing(before, after)
    if not found[6]:
        return (slice(0, 0),) * 3, 0
    sides = [slice(side.start + int(found[n]), side.start + int(found[n + 3])) for n, side in enumerate(box)]
    return (sides[0], sides[1], sides[2]), int(found[6])


@kernel
def _differing(before: Labels, after: Labels) -> npt.NDArray[np.int64]:
    found = np.array([1 << 60, 1 << 60, 1 << 60, 0, 0, 0, 0])
    for z in range(before.shape[2]):
        for y in range(before.shape[1]):
            low, high, count = 1 << 60, 0, 0
            for x in range(before.shape[0]):
                if before[x, y, z] != after[x, y, z]:
                    low, high, count = min(low, x), x + 1, count + 1
            if count:
                found[0], found[3] = min(found[0], low), max(found[3], high)
                found[1], found[4] = min(found[1], y), max(found[4], y + 1)
                found[2], found[5] = min(found[2], z), max(found[5], z + 1)
                found[6] += count
    return found
