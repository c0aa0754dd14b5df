"""A case to a model file, against trimesh's and PyVista's exporters: time, bytes, and what a headset would show wrong.

Peers get what their interfaces take: names, colours, opacities. Nobody but us is told that the case lies in LPS mm, for
no peer asks; whoever turns, scales and linearises beforehand gets a right file from trimesh too. Our seconds include
reading the file back through two readers and holding it against the case.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from benchmarks.clock import Stages
from benchmarks.gltf_faults import Faults, Wanted, faults
from benchmarks.labelmaps import drawn_labels
from benchmarks.report import machine, parser, print_comparison, table
from benchmarks.runner import FEWEST_ROUNDS, Comparison, Contender, compare
from meshing.case import Case
from meshing.exporting.gltf import export_glb
from meshing.extract import extract
from meshing.segmentation import Segmentation
from meshing.surface import vertex_normals
from meshing.terminology import Structure, structures
from meshing.volume import Volume

PACKAGES = ("trimesh", "pyvista", "vtk", "numpy")


def drawn_case(segmentation: Segmentation) -> Case:
    """A case of that label map, its segments named and coloured by the terminology, every fourth see-through."""
    named = replace(
        segmentation,
        segments=tuple(
            replace(segment, key=structure.key, structure=structure)
            for segment, structure in zip(segmentation.segments, _structures(len(segmentation.segments)), strict=True)
        ),
    )
    scan = Volume(np.zeros(segmentation.grid.shape, np.int16), segmentation.grid, "CT", "HU")
    return Case("drawn", {"scan": scan}, {"main": named}, extract(named))


def _structures(count: int) -> list[Structure]:
    """Without sides: drawn blobs lie where they lie."""
    sideless = [structure for structure in structures().values() if not structure.side]
    clear = [structure for structure in sideless if structure.opacity < 1]
    opaque = [structure for structure in sideless if structure.opacity == 1]
    return [*clear[: count // 4], *opaque][:count]


def wanted_of(case: Case) -> dict[str, Wanted]:
    """What a right file shows, by key."""
    return {
        key: Wanted(case.segments[key].structure, np.array([s.vertices.min(axis=0), s.vertices.max(axis=0)], float))
        for key, s in case.surfaces.items()
    }


def compare_export(case: Case, folder: Path, rounds: int = FEWEST_ROUNDS) -> Comparison[Path]:
    """Ours, verified, and the peers, each writing its file into `folder`."""

    def ours(stages: Stages) -> Path:
        return export_glb(case, folder / "ours.glb", progress=stages.progress).path

    return compare(
        [
            Contender("AnatomyXR, verified", ours),
            Contender("trimesh", lambda stages: _with_trimesh(case, folder / "trimesh.glb"), ("trimesh",)),
            Contender("PyVista .gltf", lambda stages: _with_pyvista(case, folder / "pyvista.gltf"), ("pyvista",)),
            Contender("PyVista .glb", lambda stages: _with_pyvista(case, folder / "pyvista.glb"), ("pyvista",)),
        ],
        rounds,
    )


def _with_trimesh(case: Case, path: Path) -> Path:
    import trimesh

    scene = trimesh.Scene()
    for key, surface in case.surfaces.items():
        look = case.segments[key].structure
        material = trimesh.visual.material.PBRMaterial(
            name=key,
            baseColorFactor=[*look.colour, look.opacity],
            alphaMode="BLEND" if look.opacity < 1 else "OPAQUE",
            metallicFactor=0.0,
        )
        mesh = trimesh.Trimesh(
            surface.vertices,
            surface.faces,
            vertex_normals=vertex_normals(surface.vertices, surface.faces)[0],
            visual=trimesh.visual.TextureVisuals(material=material),
            process=False,
        )
        scene.add_geometry(mesh, node_name=key, geom_name=key)
    scene.export(path, include_normals=True)
    return path


def _with_pyvista(case: Case, path: Path) -> Path:
    from viewer.preflight import check_rendering

    # Where graphics libraries are missing, VTK would end this process too.
    check_rendering()
    import pyvista
    from vtkmodules.vtkCommonCore import vtkLogger

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)  # it warns of a missing X server, and needs none
    plotter = pyvista.Plotter(off_screen=True)
    for key, surface in case.surfaces.items():
        look = case.segments[key].structure
        mesh = pyvista.PolyData.from_regular_faces(surface.vertices, surface.faces)
        plotter.add_mesh(mesh, color=look.colour, opacity=look.opacity, name=key, smooth_shading=True)
    plotter.export_gltf(path)
    plotter.close()
    return path


def main(arguments: list[str]) -> int:
    chosen = parser(__doc__ or "").parse_args(arguments)
    case = drawn_case(drawn_labels())
    triangles = sum(len(surface.faces) for surface in case.surfaces.values())
    print(machine(PACKAGES) + "\n")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        comparison = compare_export(case, Path(folder), chosen.rounds)
        print_comparison(
            f"{len(case.surfaces)} structures, {triangles:,} triangles",
            comparison,
            {"bytes": lambda path: f"{path.stat().st_size:,}"},
        )
        found = {one.name: faults(one.outcome, wanted_of(case)) for one in comparison.measured}
    print("What a headset would show:\n")
    questions = [field.name for field in fields(Faults)]
    print(table(["", *questions], [[name, *(getattr(one, q) for q in questions)] for name, one in found.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
