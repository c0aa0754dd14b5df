"""A vessel tree as a file: what is read back is what was written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, grown_tree
from meshing.errors import ExportError
from meshing.exporting.vesseltree import write_tree
from meshing.vessels import VesselTree, vessel_tree


@pytest.fixture(scope="module")
def tree() -> VesselTree:
    solid = grown_tree(0, generations=1).tubes()
    grid = grid_round(solid, (0.9, 0.9, 0.9))
    return vessel_tree(drawn(solid, grid), grid)


def test_json_and_csv_hold_every_point(tree: VesselTree, tmp_path: Path) -> None:
    write_tree(tmp_path / "tree.json", tree)
    read = json.loads((tmp_path / "tree.json").read_text(encoding="utf-8"))
    assert read["frame"] == "LPS mm"
    for row, branch in zip(read["branches"], tree.branches, strict=True):
        np.testing.assert_allclose(row["points_mm"], branch.points_mm, atol=1e-4)
        assert (row["parent"], row["generation"], row["own_from"]) == (
            branch.parent,
            branch.generation,
            branch.own_from,
        )
    write_tree(tmp_path / "tree.csv", tree)
    with (tmp_path / "tree.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(branch.points_mm) for branch in tree.branches)
    assert {row["parent"] for row in rows} == {"", "0"}


def test_vtk_reads_the_lines_with_their_radii(tree: VesselTree, tmp_path: Path) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    write_tree(tmp_path / "tree.vtp", tree)
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "tree.vtp"))
    reader.Update()
    mesh = reader.GetOutput()
    assert mesh.GetNumberOfLines() == len(tree.branches)
    points = np.concatenate([branch.points_mm for branch in tree.branches])
    np.testing.assert_allclose(vtk_to_numpy(mesh.GetPoints().GetData()), points, atol=1e-3)
    radii = vtk_to_numpy(mesh.GetPointData().GetArray("MaximumInscribedSphereRadius"))
    np.testing.assert_allclose(radii, np.concatenate([branch.radius_mm for branch in tree.branches]), atol=1e-4)
    assert mesh.GetFieldData().GetAbstractArray("SPACE").GetValue(0) == "LPS"


def test_another_suffix_is_refused(tree: VesselTree, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"not written as '\.obj'"):
        write_tree(tmp_path / "tree.obj", tree)
    assert not list(tmp_path.iterdir())
