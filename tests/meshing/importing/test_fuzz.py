"""Hundreds of seeded mutations through every door: a typed error or a believable result, soon, and nothing dies."""

from __future__ import annotations

import time
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from tests.meshing.importing.mutations import LIMITS, Door, doors, mutated, outcome

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # numbers are judged before they are used

# Times the 25 doors: over a thousand files. The long drill is `python -m tests.fuzz_drill`.
MUTATIONS = 50

# The decoding limit, a tenth of it for each of up to a hundred claimed frames, a child's start, and a busy machine.
MOST_SECONDS = LIMITS.decode_seconds * 4 + 6


@cache
def every_door() -> dict[str, Door]:
    with TemporaryDirectory() as folder:
        return doors(Path(folder))


@pytest.mark.parametrize("name", every_door())
def test_the_seed_itself_is_read_or_refused_for_what_it_is(tmp_path: Path, name: str) -> None:
    door = every_door()[name]
    # One slice alone is no volume; every other seed is honest and whole.
    expected = {"DICOM file", "DICOM deflated"}
    assert (outcome(door, door.seed, tmp_path) == "read") == (name not in expected)


@pytest.mark.parametrize("name", every_door())
def test_mutated_files_end_in_a_typed_error_or_a_believable_result(tmp_path: Path, name: str) -> None:
    door = every_door()[name]
    rng = np.random.default_rng(list(name.encode()))
    ends: Counter[str] = Counter()
    for number in range(MUTATIONS):
        began = time.monotonic()
        ends[outcome(door, mutated(door.seed, rng), tmp_path)] += 1
        assert time.monotonic() - began < MOST_SECONDS, f"mutation {number} of {name}"
    # If every mutation were read, the damage would not reach the reader, and the test would say nothing.
    assert sum(ends.values()) - ends["read"] > MUTATIONS // 10, ends


@pytest.mark.parametrize("name", every_door())
def test_truncation_at_twenty_points_is_always_refused(tmp_path: Path, name: str) -> None:
    door = every_door()[name]
    for cut in range(20):
        assert outcome(door, door.seed[: len(door.seed) * cut // 20], tmp_path) != "read", f"cut {cut}"
