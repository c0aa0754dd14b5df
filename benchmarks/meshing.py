"""Labels and grey values to a headset's triangles in a file, against the scripts that people write with VTK for it.

Every contender is a fresh process, timed from its start to its file on disk: imports, reading and writing count. Ours
also proves its surfaces, measures what decimation cost, and reads its file back. Speed is shown beside what stands in
the files: soundness, volumes against the voxels, vessels against their exact shape.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.children import Finished, finished, installed, program
from benchmarks.clock import Seconds, Stages, now
from benchmarks.contenders.notes import IMPORTS
from benchmarks.labelmaps import Body, drawn_body, drawn_scan, finer_scan, real_labels, save_nifti
from benchmarks.limits import limits_table
from benchmarks.quality import Made, made, surface_in_stl, surfaces_in_glb
from benchmarks.report import machine, parser, print_comparison
from benchmarks.runner import FEWEST_ROUNDS, Comparison, Contender, compare
from meshing.surface import check

PACKAGES = ("vtk", "SimpleITK", "pyvista", "fast-simplification", "numba", "numpy")

LEVEL_HU = 200.0

_START_BUDGET = 1_000


@dataclass(frozen=True)
class Size:
    """How large the drawn body is, and how many triangles may remain of its labels and of its grey surface."""

    shape: tuple[int, int, int]
    organs: int
    radii_mm: tuple[float, ...]
    label_budget: int
    grey_budget: int


_RADII_MM = (4.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0, 1.5, 2.0)

SIZES = {
    "full": Size((512, 512, 400), 70, _RADII_MM * 3, 300_000, 100_000),
    "small": Size((256, 256, 200), 20, _RADII_MM, 80_000, 25_000),
    "tiny": Size((64, 60, 56), 3, (3.0, 1.5), 8_000, 4_000),
}


def compare_labels(source: Path, folder: Path, budget: int, *, rounds: int = FEWEST_ROUNDS) -> Comparison[Finished]:
    """A label file to a GLB of about `budget` triangles: ours, Slicer's filters segment by segment, SurfaceNets."""
    modules = {
        "AnatomyXR": "labels_ours",
        "Slicer's filters": "labels_slicer",
        "SurfaceNets + fast-simplification": "labels_surfacenets",
    }
    return compare(
        [
            program(name, module, source, folder / f"{module}.glb", options={"budget": budget})
            for name, module in modules.items()
        ],
        rounds,
    )


def compare_grey(
    source: Path, folder: Path, budget: int, *, rounds: int = FEWEST_ROUNDS, peers: Path | None = None
) -> Comparison[Finished]:
    """A scan to an STL of about `budget` triangles where it passes `LEVEL_HU`.

    Parameters
    ----------
    peers
        Folder of commands to look for dicom2stl in; the usual ones when None.
    """

    def dicom2stl(stages: Stages) -> Finished:
        target = folder / "grey_dicom2stl.stl"
        level = LEVEL_HU + 0.5
        line = [installed("dicom2stl", peers), "--disable", "shrink", "--isovalue", str(level)]
        share = 1 - budget / _triangles_at(source, level)
        return finished([*line, "--reduce", f"{share:.5f}", "-o", str(target), str(source)], target, stages)

    options = {"budget": budget, "level": LEVEL_HU}
    return compare(
        [
            program("AnatomyXR", "grey_ours", source, folder / "grey_ours.stl", options=options),
            Contender("dicom2stl without shrinking", dicom2stl),
            program("PyVista contour, decimate", "grey_pyvista", source, folder / "grey_pyvista.stl", options=options),
        ],
        rounds,
    )


def first_run(folder: Path) -> Seconds:
    """The same job where nothing is compiled yet."""
    environment = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    target, options = folder / "first.glb", {"budget": _START_BUDGET}
    cold = program("cold", "labels_ours", _twenty(folder), target, options=options, environment=environment)
    start = now()
    cold.work(Stages())
    return now() - start


def compare_start(folder: Path, *, rounds: int = FEWEST_ROUNDS) -> Comparison[Finished]:
    """The label job on 20 × 20 × 20 voxels: what imports and loading compiled code cost before there is any work."""
    source = _twenty(folder)
    numpy = [sys.executable, "-c", f"import numpy; open({str(folder / 'empty')!r}, 'w')"]
    modules = {"AnatomyXR": "labels_ours", "Slicer's filters": "labels_slicer"}
    contenders = [
        program(name, module, source, folder / f"start_{module}.glb", options={"budget": _START_BUDGET})
        for name, module in modules.items()
    ]
    bare = Contender("Python, import numpy", lambda stages: finished(numpy, folder / "empty", stages))
    return compare([*contenders, bare], rounds)


def _twenty(folder: Path) -> Path:
    body = drawn_body((20, 20, 20), 2, radii_mm=(2.0,)).segmentation
    return save_nifti(folder / "twenty.nii.gz", body.layers[0], body.grid)


@cache
def _triangles_at(source: Path, level: float) -> int:
    """Of the whole surface; dicom2stl wants to know the share that goes."""
    import pyvista

    found: int = pyvista.read(source).contour([level], method="flying_edges").n_cells
    return found


def print_labels(body: Body, source: Path, folder: Path, budget: int, *, rounds: int) -> Comparison[Finished]:
    """The table of the label job, with what is in the files of the last round."""
    comparison = compare_labels(source, folder, budget, rounds=rounds)
    results = {one.outcome.target: made(body, surfaces_in_glb(one.outcome.target)) for one in comparison.measured}
    grid = body.segmentation.grid
    print_comparison(
        f"{len(body.segmentation.segments)} labels on {' × '.join(map(str, grid.shape))} voxels "
        f"→ {budget:,} triangles in a GLB",
        comparison,
        {
            "peak MB above inputs": lambda one: _megabytes(one.notes.above_mb),
            "peak MB": lambda one: _megabytes(one.peak_mb),
            "triangles": lambda one: f"{results[one.target].triangles:,}",
            "open edges": lambda one: f"{results[one.target].open_edges:,}",
            "crowded edges": lambda one: f"{results[one.target].crowded_edges:,}",
            "volume off, median": lambda one: f"{results[one.target].median_off:.2%}",
            "worst": lambda one: f"{results[one.target].worst_off:+.1%}",
            "worst vessel r ≤ 1.5 mm": lambda one: f"{results[one.target].worst_thin_off:+.1%}",
            **_vessel_columns(body, results),
        },
    )
    print(
        "Volume off: against the label's voxels. Vessel: mean (largest) distance from its exact shape, mm, both ways,"
    )
    print("in the very file that was timed; where another vessel crosses is left out.\n")
    _print_verification(comparison)
    return comparison


def _print_verification(comparison: Comparison[Finished]) -> None:
    ours = comparison.measured[0]
    verifying = [seconds for stage, seconds in ours.stage_medians.items() if stage.startswith("verifying")]
    if verifying:
        cpu, wall = sum(one.cpu for one in verifying), sum(one.wall for one in verifying)
        print(
            f"Of {ours.name}'s {ours.median.cpu:.2f} CPU s and {ours.median.wall:.2f} s on the wall, {cpu:.2f} and "
            f"{wall:.2f} are the reading back and verifying of the file, which no peer does.\n",
            flush=True,
        )


def print_grey(source: Path, folder: Path, budget: int, *, rounds: int, peers: Path | None) -> None:
    """The table of the grey job."""
    comparison = compare_grey(source, folder, budget, rounds=rounds, peers=peers)
    results = {one.outcome.target: check(surface_in_stl(one.outcome.target)) for one in comparison.measured}
    print_comparison(
        f"One grey level → {budget:,} triangles in an STL",
        comparison,
        {
            "peak MB": lambda one: _megabytes(one.peak_mb),
            "triangles": lambda one: f"{results[one.target].triangles:,}",
            "open edges": lambda one: f"{results[one.target].boundary_edges:,}",
            "crowded edges": lambda one: f"{results[one.target].crowded_edges:,}",
            "ml": lambda one: f"{results[one.target].volume_ml:.1f}",
        },
    )
    print("dicom2stl also smooths and drops small parts, as it does unless told otherwise.\n")


def print_start(folder: Path, *, rounds: int) -> None:
    """The table of what comes before any work."""
    comparison = compare_start(folder, rounds=rounds)
    imports = {one.outcome.target: _imports(one.stage_medians) for one in comparison.measured}
    print_comparison(
        "Imports and compiled code: the label job on 20 × 20 × 20 voxels, second run",
        comparison,
        {"imports, wall s": lambda one: imports[one.target]},
    )
    first = first_run(folder)
    print(f"The first run of all, with everything to compile: {first.cpu:.1f} CPU s, {first.wall:.1f} s on the wall.")


def _vessel_columns(body: Body, results: Mapping[Path, Made]) -> dict[str, Callable[[Finished], str]]:
    def column(radius: float) -> Callable[[Finished], str]:
        return lambda one: _distance(results[one.target], radius)

    radii = sorted({tube.radius_mm for tube in body.tubes.values()})
    return {f"vessel r {radius:g} mm": column(radius) for radius in radii}


def _imports(stages: Mapping[str, Seconds]) -> str:
    found = stages.get(IMPORTS)
    return f"{found.wall:.2f}" if found is not None else "–"


def _megabytes(many: float | None) -> str:
    return "–" if many is None else f"{many:,.0f}"


def _distance(result: Made, radius: float) -> str:
    mean, most = result.vessel_mm[radius]
    return f"{mean:.3f} ({most:.2f})"


def main(arguments: list[str]) -> int:
    options = parser(__doc__ or "")
    options.add_argument("--size", choices=list(SIZES), default="full", help="of the drawn body (default %(default)s)")
    options.add_argument("--only", choices=("labels", "grey", "start"), help="one table instead of all three")
    options.add_argument("--labels", type=Path, help="a NIfTI label map instead of the drawn one, voxels cut in eight")
    options.add_argument("--scan", type=Path, help="a NIfTI scan instead of the drawn one, interpolated to the size")
    options.add_argument("--peers", type=Path, help="bin folder of an environment that dicom2stl is installed in")
    chosen = options.parse_args(arguments)
    size = SIZES[chosen.size]
    print(machine(PACKAGES) + "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        wanted = {chosen.only} if chosen.only else {"labels", "grey", "start"}
        body = _body(size, chosen.labels)
        if "labels" in wanted:
            segmentation = body.segmentation
            source = save_nifti(folder / "labels.nii.gz", segmentation.layers[0], segmentation.grid)
            comparison = print_labels(body, source, folder, size.label_budget, rounds=chosen.rounds)
            print(limits_table(segmentation.layers[0], comparison.measured[0].stage_medians) + "\n", flush=True)
        if "grey" in wanted:
            scan = _scan(body, size, folder / "scan.nii", chosen.scan)
            print_grey(scan, folder, size.grey_budget, rounds=chosen.rounds, peers=chosen.peers)
        if "start" in wanted:
            print_start(folder, rounds=chosen.rounds)
    return 0


def _body(size: Size, labels: Path | None) -> Body:
    if labels is not None:
        return Body(real_labels(labels), {})
    return drawn_body(size.shape, size.organs, radii_mm=size.radii_mm)


def _scan(body: Body, size: Size, target: Path, scan: Path | None) -> Path:
    """Not packed: unpacking noise would take everybody longer than the contour, and scanners send slices anyway."""
    if scan is not None:
        return save_nifti(target, *finer_scan(scan, size.shape))
    return save_nifti(target, drawn_scan(body), body.segmentation.grid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
