"""Ratios against named peers, each measured side by side in one interleaved run.

`python -m benchmarks` runs all, `python -m benchmarks.meshing` one. Seconds depend on the machine and its load; only
the ratios of one run are claims.
"""

NAMES = ("meshing", "intake", "export", "surfaces")
