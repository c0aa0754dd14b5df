"""All benchmarks, one after the other, each in a process of its own: caches and warm children stay apart."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import NAMES, TIMED
from benchmarks.report import parser


def main(arguments: list[str]) -> int:
    """0 when every benchmark ran."""
    rounds = parser(__doc__ or "").parse_args(arguments).rounds
    failed = []
    for name in NAMES:
        print(f"# python -m benchmarks.{name}\n", flush=True)
        options = ["--rounds", str(rounds)] if name in TIMED else []
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options]).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        print(f"did not finish: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
