"""One surface to fewer triangles: our collapse against pymeshlab's, open3d's and fast-simplification's quadrics.

Only the decimation itself is timed, on arrays in memory. pymeshlab and open3d live in an environment of their own
(`--peers`), since neither is a dependency; who is missing is skipped.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.clock import Seconds, now
from benchmarks.labelmaps import drawn_body, drawn_scan
from benchmarks.meshing import LEVEL_HU, SIZES
from benchmarks.report import machine, parser, table
from meshing.collapse import collapse
from meshing.cubes import extract_grey
from meshing.deviation import deviation
from meshing.split import surfaces_of, walls_around
from meshing.surface import Surface, check
from meshing.volume import Volume

PACKAGES = ("numba", "fast-simplification", "numpy")

_LOAD = """
import sys, time
import numpy as np
given = np.load(sys.argv[1])
vertices, faces, budget = given["vertices"].astype(np.float64), given["faces"].astype(np.int32), int(sys.argv[3])
"""
_TIMED = """
np.savez(sys.argv[2], vertices=v, faces=f, cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)
"""
_CLOCKS = "cpu, wall = time.process_time(), time.perf_counter()\n"

SCRIPTS = {
    "pymeshlab, topology kept": f"""{_LOAD}
import pymeshlab
mesh = pymeshlab.MeshSet()
mesh.add_mesh(pymeshlab.Mesh(vertices, faces))
{_CLOCKS}
mesh.meshing_decimation_quadric_edge_collapse(targetfacenum=budget, preservetopology=True, preservenormal=True)
v, f = mesh.current_mesh().vertex_matrix(), mesh.current_mesh().face_matrix()
{_TIMED}""",
    "open3d": f"""{_LOAD}
import open3d
mesh = open3d.geometry.TriangleMesh(open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(faces))
{_CLOCKS}
mesh = mesh.simplify_quadric_decimation(budget)
v, f = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
{_TIMED}""",
}

Made = tuple[Seconds, npt.NDArray[np.float64], npt.NDArray[np.int32]]
Work = Callable[[], Made]


def given_surface(size: str) -> Surface:
    """The grey surface of a drawn scan, at full resolution."""
    wanted = SIZES[size]
    body = drawn_body(wanted.shape, wanted.organs, radii_mm=wanted.radii_mm)
    volume = Volume(drawn_scan(body), body.segmentation.grid, "CT", "HU")
    return extract_grey(volume, LEVEL_HU, "bone")


def ours(surface: Surface, budget: int) -> Made:
    """Our collapse, on walls of one part."""
    start = now()
    walls = collapse(walls_around(surface), budget)
    took = now() - start
    assert walls is not None  # only with `room` it may give up
    made = surfaces_of(walls, {1: "bone"})["bone"]
    return took, made.vertices.astype(np.float64), made.faces


def fast(surface: Surface, budget: int) -> Made:
    """fast-simplification."""
    import fast_simplification

    points, triangles = surface.vertices.copy(), surface.faces.copy()  # read-only ones are refused
    start = now()
    vertices, faces = fast_simplification.simplify(points, triangles, target_count=budget)
    return now() - start, vertices.astype(np.float64), faces.astype(np.int32)


def elsewhere(script: str, source: Path, budget: int, python: Path) -> Made:
    """A peer in its own Python."""
    target = source.with_name("made.npz")
    subprocess.run([python, "-c", script, source, target, str(budget)], check=True, capture_output=True, text=True)
    found = np.load(target)
    return Seconds(float(found["wall"]), float(found["cpu"])), found["vertices"], found["faces"].astype(np.int32)


def main(arguments: list[str]) -> int:
    options = parser(__doc__ or "")
    options.add_argument("--size", choices=list(SIZES), default="small", help="of the drawn scan (default %(default)s)")
    options.add_argument("--peers", type=Path, help="bin folder of an environment with pymeshlab and open3d")
    chosen = options.parse_args(arguments)
    print(machine(PACKAGES) + "\n", flush=True)
    surface, budget = given_surface(chosen.size), SIZES[chosen.size].grey_budget
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "surface.npz"
        np.savez(source, vertices=surface.vertices, faces=surface.faces)
        works: dict[str, Work] = {
            "AnatomyXR": lambda: ours(surface, budget),
            "fast-simplification": lambda: fast(surface, budget),
        }
        for title, script in SCRIPTS.items() if chosen.peers else ():
            works[title] = lambda script=script: elsewhere(script, source, budget, chosen.peers / "python")  # type: ignore[misc]
        rounds = [{title: work() for title, work in works.items()} for _ in range(chosen.rounds + 1)][1:]
    print(f"## {len(surface.faces):,} → {budget:,} triangles, {chosen.rounds} interleaved rounds\n")
    rows = [_row(title, rounds, surface) for title in works]
    print(table(["", "CPU s", "CPU ratio", "triangles", "open edges", "crowded edges", "mean mm", "max mm"], rows))
    return 0


def _row(title: str, rounds: list[dict[str, Made]], surface: Surface) -> list[str]:
    ratios = [made[title][0].cpu / made["AnatomyXR"][0].cpu for made in rounds]
    _, vertices, faces = rounds[-1][title]
    made = Surface(vertices.astype(np.float32), faces, "bone")
    found, lost = check(made), deviation(made, surface, samples=20_000)
    return [
        title,
        f"{median(made[title][0].cpu for made in rounds):.2f}",
        f"{median(ratios):.2g}× ({min(ratios):.2g}–{max(ratios):.2g})",
        f"{len(faces):,}",
        f"{found.boundary_edges:,}",
        f"{found.crowded_edges:,}",
        f"{lost.mean_mm:.4f}",
        f"{lost.max_mm:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
