"""Ratios against named peers, each measured side by side in one interleaved run, and errors against exact shapes.

`python -m benchmarks` runs all, `python -m benchmarks.meshing` one. Seconds depend on the machine and its load; only
the ratios of one run are claims.
"""

TIMED = ("meshing", "decimation", "intake", "export", "segmentation")
NAMES = (*TIMED, "surfaces", "vessels")
