"""The long drill: mutations through every door until the time is up.

    python -m tests.fuzz_drill --minutes 10 --seed 1 [--door "NIfTI gz"] [--keep FOLDER]

Prints how each door ended; whatever was neither refused by type nor read is written to FOLDER, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.meshing.importing.mutations import doors, mutated, outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", action="append")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-finds"))
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    finds = 0
    until = time.monotonic() + 60 * chosen.minutes
    with TemporaryDirectory() as folder:
        every = {name: door for name, door in doors(Path(folder)).items() if not chosen.door or name in chosen.door}
        while time.monotonic() < until:
            for name, door in every.items():
                content = mutated(door.seed, rng)
                began = time.monotonic()
                try:
                    ends[name][outcome(door, content, Path(folder))] += 1
                except Exception:
                    finds += 1
                    ends[name]["FIND"] += 1
                    chosen.keep.mkdir(exist_ok=True)
                    (chosen.keep / f"{finds:04d}-{door.file_name}").write_bytes(content)
                    print(f"{name}: find {finds}\n{traceback.format_exc(limit=-3)}", file=sys.stderr)  # noqa: T201
                slowest[name] = max(slowest[name], time.monotonic() - began)
    for name, counts in ends.items():
        total = sum(counts.values())
        print(f"{name:20} {total:7} files, slowest {slowest[name]:.2f} s, {dict(counts.most_common())}")  # noqa: T201
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
