"""The export benchmark finds each fault that a validator lets pass, and finds none where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.export import compare_export, drawn_case, wanted_of
from benchmarks.gltf_faults import Faults, document_of, faults
from benchmarks.labelmaps import drawn_labels
from meshing.case import Case

RIGHT = Faults(*["right"] * 8)


@pytest.fixture(scope="module")
def case() -> Case:
    return drawn_case(drawn_labels((40, 36, 32), organs=6))


@pytest.fixture(scope="module")
def written(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    comparison = compare_export(case, tmp_path_factory.mktemp("export"), rounds=1)
    return {one.name: one.outcome for one in comparison.measured}


def test_our_file_has_no_fault(case: Case, written: dict[str, Path]) -> None:
    assert faults(written["AnatomyXR, verified"], wanted_of(case)) == RIGHT


def test_trimesh_writes_what_it_is_given(case: Case, written: dict[str, Path]) -> None:
    found = faults(written["trimesh"], wanted_of(case))
    assert (found.container, found.names, found.opacity, found.normals) == ("right",) * 4
    assert found.size.endswith("(1000×)")
    assert found.orientation == "P up, S in front"
    assert found.colours == "sRGB as linear"


def test_pyvista_names_json_glb(case: Case, written: dict[str, Path]) -> None:
    if "PyVista .glb" not in written:
        pytest.skip("PyVista cannot draw on this machine")
    found = faults(written["PyVista .glb"], wanted_of(case))
    assert found.container == "JSON named .glb"
    assert found.opacity.endswith("drawn opaque")
    assert found.names.endswith("lost")
    assert found.orientation == "S up, L in front"


def _scale(document: dict[str, Any]) -> None:
    root = document["nodes"][document["scenes"][0]["nodes"][0]]
    root["matrix"] = [1000.0, 0, 0, 0, 0, 1000.0, 0, 0, 0, 0, 1000.0, 0, 0, 0, 0, 1]


def _mirror(document: dict[str, Any]) -> None:
    root = document["nodes"][document["scenes"][0]["nodes"][0]]
    root["matrix"] = [-1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def _carry_away(document: dict[str, Any]) -> None:
    root = document["nodes"][document["scenes"][0]["nodes"][0]]
    root["matrix"] = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7.0, 0, 0, 1]


def _rename(document: dict[str, Any]) -> None:
    next(node for node in document["nodes"] if "mesh" in node)["name"] = "mesh0"


def _make_opaque(document: dict[str, Any]) -> None:
    for material in document["materials"]:
        material.pop("alphaMode")


def _brighten(document: dict[str, Any]) -> None:
    document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"][0] += 0.1


def _strip_normals(document: dict[str, Any]) -> None:
    del document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_scale, "size"),
        (_mirror, "orientation"),
        (_carry_away, "place"),
        (_rename, "names"),
        (_make_opaque, "opacity"),
        (_brighten, "colours"),
        (_strip_normals, "normals"),
    ],
)
def test_each_fault_is_found_alone(
    spoil: Callable[[dict[str, Any]], None], field: str, case: Case, written: dict[str, Path], tmp_path: Path
) -> None:
    document = document_of(written["AnatomyXR, verified"])
    spoil(document)
    path = tmp_path / "spoilt.gltf"
    path.write_text(json.dumps(document))
    found = faults(path, wanted_of(case))
    wrong = {name for name in RIGHT.__dataclass_fields__ if getattr(found, name) != "right"}
    assert wrong == {"container", field}
    if field == "orientation":
        assert found.orientation.startswith("mirrored")
