"""Each editing verb beside the plain SimpleITK, scikit-image, scipy or numpy call for the same, on one drawn crop.

The last column is Dice with what the plain call gives; where an organ was drawn to be found, the one before is Dice of
either with it. Agreement is below 1 where the verb means something else on purpose: margins count from the surface
rather than from voxel centres, a brush is cut in its own box. Peaks are what numpy allocates.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks import plain_segmentation as plain
from benchmarks.report import machine, parser, table
from benchmarks.runner import Comparison, Contender, compare
from meshing.editing.brush import stroke
from meshing.editing.edges import edge_speed
from meshing.editing.flooding import region_grown
from meshing.editing.islands import largest_island, without_small_islands
from meshing.editing.labelling import grown_from_seeds, watershed
from meshing.editing.levelset import LevelSet, level_set
from meshing.editing.logical import minus
from meshing.editing.marching import marched, marching_box
from meshing.editing.margins import hollowed, with_margin
from meshing.editing.patch import LabelPatch, Patch, label_patch_of, patch_of
from meshing.editing.scissors import Cut, cut_out
from meshing.editing.slices import filled_between
from meshing.editing.smoothing import smoothed, smoothed_together
from meshing.editing.thresholds import Range, in_range
from meshing.editing.walker import random_walker
from meshing.volume import Grid, Volume

PACKAGES = ("numba", "SimpleITK", "scikit-image", "scipy", "numpy")
SPACING_MM = 0.8
WALKER_SIZE = 128
"""scikit-image's random walker takes minutes and gigabytes on 256³."""

Mask = npt.NDArray[np.bool_]
Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scan with two organs in a body, what is drawn of it, and seeds."""

    volume: Volume
    organ: Patch
    rough: Patch
    seeds: LabelPatch
    slices: LabelPatch
    middle_mm: Point
    radius_mm: float


@dataclass(frozen=True, eq=False)
class Row:
    """A verb, ours and plain; `truth` where the verb is to find the organ that was drawn."""

    verb: str
    ours: Callable[[], Mask]
    peer: str
    plain: Callable[[], Mask]
    truth: Mask | None = None


def drawn(size: int) -> Drawn:
    """Organs of 110 and 150 in a body of 20, noise 15, in a cube of that many voxels."""
    grid = Grid((size, size, size), np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0]))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    organ: Mask = np.asfortranarray((x + 0.15) ** 2 / 0.3 + y**2 / 0.22 + z**2 / 0.35 <= 1)
    other: Mask = np.asfortranarray(((x - 0.6) ** 2 + (y - 0.2) ** 2 + z**2 <= 0.06) & ~organ)
    body: Mask = x**2 + y**2 <= 0.9
    draw = np.random.default_rng(0)
    values = np.where(body, np.float32(20), np.float32(-1000)) + np.zeros_like(z)
    values[organ], values[other] = 110, 150
    values += draw.normal(0, 15, values.shape).astype(np.float32)
    volume = Volume(np.asfortranarray(np.rint(values).astype(np.int16)), grid, "CT", "HU")
    chance = draw.random(values.shape, np.float32)
    rough = patch_of(np.asfortranarray((organ & (chance < 0.95)) | (chance < 0.002)), grid)
    markers = np.zeros(grid.shape, np.uint8, order="F")
    markers[(x + 0.15) ** 2 + y**2 + z**2 <= 0.03] = 1
    markers[(x - 0.6) ** 2 + (y - 0.2) ** 2 + z**2 <= 0.01] = 2
    markers[(np.abs(x) + 0 * y + 0 * z > 0.93) | (np.abs(y) + 0 * x + 0 * z > 0.9)] = 3
    layer = np.zeros(grid.shape, np.uint8, order="F")
    layer[:, :, :: max(size // 25, 2)] = organ[:, :, :: max(size // 25, 2)]
    middle = grid.to_patient(np.array([0.425, 0.5, 0.5]) * (size - 1))
    point = (float(middle[0]), float(middle[1]), float(middle[2]))
    seeds, slices = label_patch_of(markers, grid), label_patch_of(layer, grid)
    return Drawn(volume, patch_of(organ, grid), rough, seeds, slices, point, 0.1 * size * SPACING_MM)


def growing_rows(scan: Drawn) -> list[Row]:
    """Verbs that look at the scan."""
    volume, values, whole, truth = scan.volume, Range(60, 200), 1e9, scan.organ.whole()
    stop = 0.3 * volume.grid.shape[0] * SPACING_MM
    box = marching_box(volume.grid, [scan.middle_mm], stop)
    speed = edge_speed(volume, box, steepness=15.0)
    start = stroke(volume.grid, [scan.middle_mm], 2 * scan.radius_mm)
    moves = LevelSet(15.0, balloon=1.0, reach_mm=15.0)
    seed = np.rint(volume.grid.to_voxel(scan.middle_mm)).astype(int)
    return [
        Row(
            "threshold",
            lambda: in_range(volume, values).whole(),
            "numpy comparison",
            lambda: (volume.voxels >= 60) & (volume.voxels <= 200),
        ),
        Row(
            "region growing",
            lambda: region_grown(volume, [scan.middle_mm], values).patch.whole(),
            "SimpleITK ConnectedThreshold",
            lambda: plain.connected(volume, seed, 60, 200),
        ),
        Row(
            "grow from seeds",
            lambda: grown_from_seeds(volume, scan.seeds, margin_mm=whole).of(1).whole(),
            "ours, every voxel (exact)",
            lambda: grown_from_seeds(volume, scan.seeds, margin_mm=whole, exact=True).of(1).whole(),
            truth,
        ),
        Row(
            "watershed",
            lambda: watershed(volume, scan.seeds, margin_mm=whole).of(1).whole(),
            "scikit-image watershed",
            lambda: plain.watershed(volume, scan.seeds) == 1,
            truth,
        ),
        Row(
            "fast marching",
            lambda: marched(volume.grid, [scan.middle_mm], speed, stop).patch().whole(),
            "SimpleITK FastMarching",
            lambda: plain.marched(volume.grid, box, seed, speed, stop),
        ),
        Row(
            "level set",
            lambda: level_set(volume, start, moves).patch.whole(),
            "SimpleITK GeodesicActiveContour",
            lambda: plain.contour(volume, start, moves),
            truth,
        ),
    ]


def shape_rows(scan: Drawn) -> list[Row]:
    """Verbs that look at what is drawn."""
    grid, organ, rough = scan.volume.grid, scan.organ, scan.rough
    mask, dots = organ.whole(), rough.whole()
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x, y, z = scan.middle_mm
    line = [(x + 3 * scan.radius_mm * np.cos(a), y + 2 * scan.radius_mm * np.sin(a), z) for a in angles]
    ball = stroke(grid, [scan.middle_mm], scan.radius_mm)
    return [
        Row(
            "brush",
            lambda: stroke(grid, [scan.middle_mm], scan.radius_mm).whole(),
            "numpy distances",
            lambda: plain.ball(grid, scan.middle_mm, scan.radius_mm),
        ),
        Row(
            "scissors",
            lambda: cut_out(grid, Cut(line, (0.0, 0.0, 1.0))).whole(),
            "scikit-image polygon2mask",
            lambda: plain.prism(grid, line),
        ),
        Row(
            "fill between slices",
            lambda: filled_between(scan.slices, axis=2).of(1).whole(),
            "scipy distances, slice by slice",
            lambda: plain.between(scan.slices, grid),
        ),
        Row("largest island", lambda: largest_island(rough).whole(), "scipy label", lambda: plain.largest(dots)),
        Row(
            "small islands",
            lambda: without_small_islands(rough, 0.1).whole(),
            "scikit-image remove_small_objects",
            lambda: plain.without_small(dots, grid, 0.1),
        ),
        Row(
            "margin 5 mm",
            lambda: with_margin(organ, 5.0).whole(),
            "scipy distance transform",
            lambda: plain.grown(mask, 5.0),
        ),
        Row(
            "hollow 3 mm",
            lambda: hollowed(organ, 3.0).whole(),
            "scipy distance transform",
            lambda: plain.wall(mask, 3.0),
        ),
        Row(
            "median",
            lambda: smoothed(rough, "median", 2.0).patch.whole(),
            "SimpleITK BinaryMedian",
            lambda: plain.median(dots, 2),
        ),
        Row(
            "closing",
            lambda: smoothed(rough, "closing", 2.4).patch.whole(),
            "SimpleITK BinaryMorphologicalClosing",
            lambda: plain.closed(dots, 3),
        ),
        Row(
            "gaussian",
            lambda: smoothed(rough, "gaussian", 1.6).patch.whole(),
            "scipy gaussian_filter",
            lambda: plain.blurred(dots, 2.0),
        ),
        Row(
            "joint smoothing",
            lambda: smoothed_together(scan.seeds, 1.6).labels.of(1).whole(),
            "scipy gaussian_filter, label by label",
            lambda: plain.together(scan.seeds, 2.0) == 1,
        ),
        Row("minus", lambda: minus(organ, ball).whole(), "numpy", lambda: mask & ~ball.whole()),
    ]


def measured(row: Row, rounds: int) -> list[str]:
    """The row's cells."""
    both: Comparison[Mask] = compare(
        [Contender("ours", lambda stages: row.ours()), Contender(row.peer, lambda stages: row.plain())], rounds
    )
    tracemalloc.start()
    found = row.ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ours = both.measured[0]
    cells = [row.verb, f"{ours.median.wall:.3f}", f"{ours.median.cpu:.3f}", f"{peak / 1e6:.0f}", row.peer]
    if len(both.measured) == 1:
        return [*cells, "–", "–", "–", both.skipped[row.peer]]
    other = both.measured[1]
    right = "–" if row.truth is None else f"{_dice(found, row.truth):.3f}, {_dice(other.outcome, row.truth):.3f}"
    ratio = both.ratio(other, lambda seconds: seconds.wall)
    return [*cells, f"{other.median.wall:.2f}", str(ratio), right, f"{_dice(found, other.outcome):.3f}"]


def _dice(one: Mask, other: Mask) -> float:
    return 2.0 * float((one & other).sum()) / max(float(one.sum() + other.sum()), 1.0)


def walker_row(scan: Drawn, size: int) -> Row:
    """The random walker, at a size that scikit-image can do."""
    return Row(
        f"random walker, {size}³",
        lambda: random_walker(scan.volume, scan.seeds, margin_mm=1e9).labels.of(1).whole(),
        "scikit-image random_walker cg_j",
        lambda: plain.walked(scan.volume, scan.seeds) == 1,
        scan.organ.whole(),
    )


def _walked_near(scan: Drawn) -> Mask:
    return random_walker(scan.volume, scan.seeds, margin_mm=5.0).labels.of(1).whole()


def main(arguments: list[str]) -> int:
    options = parser(__doc__ or "")
    options.add_argument("--size", type=int, default=256, help="voxels along each axis (default %(default)s)")
    chosen = options.parse_args(arguments)
    print(machine(PACKAGES) + "\n", flush=True)
    print(f"## {chosen.size}³ int16, {chosen.rounds} interleaved rounds; medians; ratio: plain over ours\n")
    scan = drawn(chosen.size)
    rows = []
    for row in [*growing_rows(scan), *shape_rows(scan)]:
        print(f"timing {row.verb}", file=sys.stderr, flush=True)  # some peers take a minute
        rows.append(measured(row, chosen.rounds))
    small = min(chosen.size // 2, WALKER_SIZE)
    rows.append(measured(walker_row(drawn(small), small), 1))
    if chosen.size > WALKER_SIZE:
        whole = walker_row(scan, chosen.size)
        near = Row(whole.verb, whole.ours, "ours, margin 5 mm", lambda: _walked_near(scan), whole.truth)
        rows.append(measured(near, chosen.rounds))
    header = ["", "wall s", "CPU s", "peak MB", "plain call", "wall s", "ratio", "truth: ours, plain", "Dice"]
    print(table(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
