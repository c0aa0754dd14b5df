"""STL, PLY and OBJ: the same triangles in LPS mm, read by other readers; names where the format has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshing.errors import ExportError, NotFoundError, UnsupportedError
from meshing.exporting.annotations import Point
from meshing.exporting.meshfiles import export_mesh
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball
from meshing.exporting.write import SUFFIXES, export
from meshing.surface import volume_ml

KINDS = (".stl", ".ply", ".obj")


def triangles_of(case) -> np.ndarray:
    """(F, 3, 3) of all structures in order, LPS mm."""
    return np.vstack([surface.vertices[surface.faces] for surface in case.surfaces.values()])


def read_with_vtk(path) -> np.ndarray:
    """(F, 3, 3) through VTK, which trimesh, the writer's own check, has nothing to do with."""
    import pyvista

    mesh = pyvista.read(path)
    return np.asarray(mesh.points)[mesh.regular_faces]


@pytest.mark.parametrize("suffix", KINDS)
def test_vtk_reads_the_same_triangles_in_the_same_order(case, tmp_path, suffix):
    report = export(case, tmp_path / f"a{suffix}")
    found = read_with_vtk(report.path)
    # OBJ is text to 0.0001 mm; VTK's STL reader merges equal points but keeps the order of faces.
    assert found.shape == triangles_of(case).shape
    assert np.abs(found - triangles_of(case)).max() <= 6e-5
    assert report.verified and report.bytes == report.path.stat().st_size
    assert report.triangles == len(found)


@pytest.mark.parametrize("suffix", KINDS)
def test_every_file_says_frame_unit_and_that_it_is_no_medical_device(case, tmp_path, suffix):
    export(case, tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert b"SPACE=LPS" in content and b"UNIT=mm" in content
    assert b"not a medical device" in content or b"no medical device" in content


def test_stl_is_binary_with_outward_unit_normals(case, tmp_path):
    export(case, tmp_path / "a.stl")
    content = (tmp_path / "a.stl").read_bytes()
    assert len(content) == 84 + 50 * len(triangles_of(case)) and not content.startswith(b"solid")
    rows = np.frombuffer(content, [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")], offset=84)
    across = np.cross(rows["v"][:, 1] - rows["v"][:, 0], rows["v"][:, 2] - rows["v"][:, 0])
    assert np.allclose(np.linalg.norm(rows["n"], axis=1), 1, atol=1e-6) and (rows["a"] == 0).all()
    assert (np.einsum("fi,fi->f", across, rows["n"]) > 0).all()


def test_ply_keeps_colour_and_structure_of_every_face(lab, case, tmp_path):
    export(case, tmp_path / "a.ply")
    header, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    keys = [line.split()[3] for line in header.decode("ascii").splitlines() if line.startswith("comment structure")]
    assert keys == list(case.surfaces)
    vertices = sum(len(surface.vertices) for surface in case.surfaces.values())
    rows = np.frombuffer(body, [("n", "u1"), ("f", "<i4", 3), ("c", "u1", 4), ("s", "<u2")], offset=12 * vertices)
    for number, key in enumerate(keys):
        own, structure = rows[rows["s"] == number], lab.structures[key]
        assert len(own) == len(case.surfaces[key].faces)
        assert np.abs(own["c"] - np.array([*structure.colour, structure.opacity]) * 255).max() <= 0.5


def test_obj_has_a_group_and_a_material_for_each_structure(lab, case, tmp_path):
    export(case, tmp_path / "a.obj")
    lines = (tmp_path / "a.obj").read_text().splitlines()
    for word in ("g", "o", "usemtl"):
        assert [line.split()[1] for line in lines if line.startswith(f"{word} ")] == list(case.surfaces)
    assert "mtllib a.mtl" in lines
    materials = (tmp_path / "a.mtl").read_text().split("newmtl ")[1:]
    for text in materials:
        structure = lab.structures[text.split()[0]]
        fields = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in text.splitlines()[1:]}
        assert np.allclose(fields["Kd"], structure.colour, atol=1e-6)
        assert np.allclose(fields["d"], structure.opacity, atol=1e-6)


def test_obj_groups_enclose_the_volumes_of_their_structures(case, tmp_path):
    report = export(case, tmp_path / "a.obj")
    vertices, faces, key = [], {}, ""
    for line in (tmp_path / "a.obj").read_text().splitlines():
        word, *rest = line.split()
        if word == "v":
            vertices.append([float(value) for value in rest])
        elif word == "g":
            key = rest[0]
        elif word == "f":
            faces.setdefault(key, []).append([int(value) - 1 for value in rest])
    for one in report.structures:
        assert volume_ml(vertices, faces[one.key]) == pytest.approx(one.volume_ml, rel=1e-5)


@pytest.mark.parametrize("suffix", KINDS)
def test_selection_and_budget_count_here_too(lab, tmp_path, suffix):
    case = lab.case_of(
        {"liver": lab.lumpy((-60, -20, 0), (75, 60, 55), 5), "aorta": ball((0, 0, 0), (9, 9, 9), refinements=1)}
    )
    report = export(case, tmp_path / f"a{suffix}", ExportSettings(structures=("liver",), budget=2_000))
    assert [one.key for one in report.structures] == ["liver"]
    # A tenth over: the decimator may keep more where the shape needs it.
    assert report.triangles <= 2_200 and len(read_with_vtk(report.path)) == report.triangles


@pytest.mark.parametrize("suffix", KINDS)
def test_the_same_case_gives_the_same_bytes(lab, case, tmp_path, suffix):
    (tmp_path / "other").mkdir()
    export(case, tmp_path / f"a{suffix}")
    export(lab.case_of(lab.anatomy()), tmp_path / "other" / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / "other" / f"a{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", KINDS)
def test_nothing_of_the_patient_reaches_the_file(lab, tmp_path, suffix):
    canary = "ZZCANARY"
    case = lab.case_of(lab.anatomy(), frame_of_reference=f"1.2.{canary}", source=f"labels of {canary}")
    export(case, tmp_path / f"a{suffix}")
    assert all(canary.encode() not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_chinese_keys_are_kept(lab, tmp_path, suffix):
    case = lab.case_of({"肝": ball((0, 0, 0), (20, 20, 20), refinements=2)})
    export(case, tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert ("肝".encode() if suffix == ".obj" else rb"\u809d") in content


def test_the_suffix_picks_the_writer_in_any_case(case, tmp_path):
    for suffix in SUFFIXES:
        assert export(case, tmp_path / f"a{suffix.upper()}").verified


def test_an_unknown_suffix_is_refused_with_those_there_are(case, tmp_path):
    for verb in (export, export_mesh):
        with pytest.raises(UnsupportedError, match=r"'\.fbx'") as caught:
            verb(case, tmp_path / "a.fbx")
        assert ".ply" in caught.value.hint
    with pytest.raises(UnsupportedError):
        export_mesh(case, tmp_path / "a.glb")
    assert not list(tmp_path.iterdir())


def test_annotations_are_refused_where_the_format_cannot_hold_them(case, tmp_path):
    with pytest.raises(ExportError, match="annotations") as caught:
        export(case, tmp_path / "a.stl", ExportSettings(annotations=(Point("p", (0, 0, 0)),)))
    assert ".glb" in caught.value.hint


def test_an_unknown_structure_is_refused(case, tmp_path):
    with pytest.raises(NotFoundError, match="spleen"):
        export(case, tmp_path / "a.stl", ExportSettings(structures=("spleen",)))


def test_a_case_without_surfaces_is_refused(lab, case, tmp_path):
    for suffix in SUFFIXES:
        with pytest.raises(ExportError, match="no triangles"):
            export(replace(case, surfaces={}), tmp_path / f"a{suffix}")
