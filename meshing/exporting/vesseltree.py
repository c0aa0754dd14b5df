"""A vessel tree as a file: JSON with everything, CSV with a row per point, or VTP with lines for ParaView and Slicer.

In: a `VesselTree`. Out: a file in LPS mm; the VTP says so in a field, and Slicer, which takes RAS, must be told.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from meshing.atomic import replace_file
from meshing.errors import ExportError
from meshing.vessels import Branch, VesselTree, tortuosity

SUFFIXES = (".json", ".csv", ".vtp")


def write_tree(path: Path, tree: VesselTree) -> None:
    """Write a tree, whole or not at all; the suffix says how.

    Raises
    ------
    ExportError
        For another suffix, or where the place cannot be written.
    """
    path = Path(path)
    forms = {".json": _json, ".csv": _csv, ".vtp": _vtp}
    form = forms.get(path.suffix.lower())
    if form is None:
        raise ExportError(f"a tree is not written as {path.suffix!r}", where=path, hint="end in .json, .csv or .vtp")
    text = form(tree)
    with replace_file(path, ExportError) as file:
        file.write(text.encode("utf-8"))


def branch_row(branch: Branch) -> dict[str, Any]:
    """A branch's numbers, JSON-ready, without its points."""
    own = branch.points_mm[branch.own_from :]
    return {
        "number": branch.number,
        "parent": branch.parent,
        "generation": branch.generation,
        "strahler": branch.strahler,
        "start": branch.start,
        "end": branch.end,
        "length_mm": branch.length_mm,
        "own_length_mm": branch.own_length_mm,
        "mean_radius_mm": branch.mean_radius_mm,
        "least_radius_mm": branch.least_radius_mm,
        "tortuosity": tortuosity(own) if len(own) > 1 else None,
    }


def tree_row(tree: VesselTree) -> dict[str, Any]:
    """The whole tree but its wall, JSON-ready."""
    return {
        "frame": "LPS mm",
        "voxel_mm": list(tree.voxel_mm),
        "radius_uncertainty_mm": tree.radius_uncertainty_mm,
        "branches": [
            {
                **branch_row(branch),
                "own_from": branch.own_from,
                "points_mm": branch.points_mm.round(4).tolist(),
                "radius_mm": branch.radius_mm.round(4).tolist(),
            }
            for branch in tree.branches
        ],
        "nodes": [node_row(tree, number) for number in range(len(tree.nodes))],
        "loops": loop_rows(tree),
        "facts": [{"kind": fact.kind, "text": fact.text, "values": fact.values} for fact in tree.facts],
    }


def node_row(tree: VesselTree, number: int) -> dict[str, Any]:
    """A node's numbers."""
    node = tree.nodes[number]
    return {
        "number": node.number,
        "kind": node.kind,
        "at_mm": list(node.at_mm),
        "radius_mm": node.radius_mm,
        "at_border": node.at_border,
        "at_cut": node.at_cut,
    }


def loop_rows(tree: VesselTree) -> list[dict[str, Any]]:
    """The loops that were cut."""
    return [
        {
            "cut_mm": list(loop.cut_mm),
            "middle_mm": list(loop.middle_mm),
            "length_mm": loop.length_mm,
            "least_radius_mm": loop.least_radius_mm,
            "between": list(loop.between),
        }
        for loop in tree.loops
    ]


def _json(tree: VesselTree) -> str:
    return json.dumps(tree_row(tree), ensure_ascii=False, indent=1)


def _csv(tree: VesselTree) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("branch", "parent", "generation", "arc_mm", "left_mm", "posterior_mm", "superior_mm", "radius_mm", "is_own")
    )
    for branch in tree.branches:
        parent = "" if branch.parent is None else branch.parent
        rows = np.column_stack([branch.arc_mm, branch.points_mm, branch.radius_mm])
        for at, numbers in enumerate(rows):
            figures = (f"{number:.4f}" for number in numbers)
            writer.writerow((branch.number, parent, branch.generation, *figures, int(at >= branch.own_from)))
    return text.getvalue()


def _vtp(tree: VesselTree) -> str:
    points = np.concatenate([branch.points_mm for branch in tree.branches])
    radii = np.concatenate([branch.radius_mm for branch in tree.branches])
    counts = [len(branch.points_mm) for branch in tree.branches]

    def array(name: str, kind: str, values: Any, components: int = 1) -> str:
        form = "{:d}" if kind == "Int32" else "{:.6g}"
        figures = " ".join(form.format(value) for value in np.asarray(values).ravel().tolist())
        return (
            f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{components}" format="ascii">'
            f"{figures}</DataArray>"
        )

    cells = [
        array("Branch", "Int32", [branch.number for branch in tree.branches]),
        array("Parent", "Int32", [-1 if branch.parent is None else branch.parent for branch in tree.branches]),
        array("Generation", "Int32", [branch.generation for branch in tree.branches]),
        array("Strahler", "Int32", [branch.strahler for branch in tree.branches]),
    ]
    return "\n".join(
        [
            '<?xml version="1.0"?>',
            '<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian"><PolyData>',
            '<FieldData><Array type="String" Name="SPACE" NumberOfTuples="1" format="ascii">',
            "76 80 83 0</Array></FieldData>",
            f'<Piece NumberOfPoints="{len(points)}" NumberOfLines="{len(counts)}">',
            "<PointData>" + array("MaximumInscribedSphereRadius", "Float64", radii) + "</PointData>",
            "<CellData>" + "".join(cells) + "</CellData>",
            "<Points>" + array("Points", "Float64", points, 3) + "</Points>",
            "<Lines>" + array("connectivity", "Int32", np.arange(len(points)))
            + array("offsets", "Int32", np.cumsum(counts)) + "</Lines>",
            "</Piece></PolyData></VTKFile>",
        ]
    ) + "\n"  # fmt: skip
