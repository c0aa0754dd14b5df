"""The GLB that the writer makes: valid, in metres, upright, named, coloured, reversible, and free of the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshing.errors import ExportError, NotFoundError, SurfaceError
from meshing.exporting.annotations import Curve, Ellipsoid, Line, Plane, Point
from meshing.exporting.colour import srgb_to_linear
from meshing.exporting.gltf import export_glb
from meshing.exporting.model import read_model
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball, tube
from meshing.exporting.verify import verify_glb
from meshing.frames import GLTF, PATIENT, Transform
from meshing.plan import Plan, Trajectory
from meshing.surface import Deviation, check
from meshing.terminology import Structure
from meshing.volume import Fact

MARKS = (
    Point("target", (-80, -10, -1050)),
    Line("needle", (-170, -60, -1040), (-80, -10, -1050)),
    Curve("route", ((8, 25, -1180), (9, 20, -1140), (10, 15, -1100))),
    Ellipsoid("zone", (-80, -10, -1050), (20, 15, 15)),
    Plane("cut", (0, 0, -1100), (0, 0.6, 0.8)),
)


def to_gltf_of(path) -> Transform:
    return Transform(read_model(path).root_extras.array("lps_mm_to_gltf_m", (4, 4)), PATIENT, GLTF)


def issues(report) -> dict[str, int]:
    return {name: report["issues"][name] for name in ("numErrors", "numWarnings", "numInfos", "numHints")}


CLEAN = {"numErrors": 0, "numWarnings": 0, "numInfos": 0, "numHints": 0}


def test_khronos_validator_finds_no_error_warning_hint_or_info(lab, case, khronos, tmp_path):
    full = export_glb(case, tmp_path / "full.glb", ExportSettings(annotations=MARKS))
    one = export_glb(case, tmp_path / "one.glb", ExportSettings(structures=("tumour",)))
    # 65,535 vertices are the most that 16-bit indices can name.
    way = np.stack([np.zeros(5041), np.zeros(5041), np.arange(5041) * 0.1], axis=1)
    at_limit = export_glb(lab.case_of({"aorta": tube(way, 5.0, sides=13)}), tmp_path / "limit.glb")
    reports = khronos(full.path, one.path, at_limit.path)
    assert [issues(report) for report in reports] == [CLEAN] * 3, reports
    assert reports[0]["info"]["drawCallCount"] == 11 and reports[0]["info"]["totalTriangleCount"] > full.triangles


def test_every_vertex_comes_back_to_its_millimetre(case, tmp_path):
    export_glb(case, tmp_path / "a.glb")
    to_patient = to_gltf_of(tmp_path / "a.glb").inverse()
    for node in read_model(tmp_path / "a.glb").nodes:
        surface = case.surfaces[node.name]
        assert np.array_equal(node.faces, surface.faces)
        # float32 at 0.2 m steps by 1.5e-8 m.
        assert np.abs(to_patient(node.vertices) - surface.vertices).max() < 1e-4


@pytest.mark.parametrize("seed", range(48))
def test_a_patient_in_any_pose_is_verified_and_comes_back(lab, case, tmp_path, seed):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    shift = rng.uniform(-1500, 1500, 3)
    posed = lab.moved(case, lambda points: points @ turn.T + shift)
    # The kidneys are named by what they are, whatever the pose: only the midline warning may mind.
    report = export_glb(posed, tmp_path / "a.glb")
    assert report.verified
    to_patient = to_gltf_of(report.path).inverse()
    for node in read_model(report.path).nodes:
        assert np.abs(to_patient(node.vertices) - posed.surfaces[node.name].vertices).max() < 2e-4


def test_left_ear_lies_at_plus_x_crown_at_plus_y_and_nose_at_plus_z(lab, tmp_path):
    places = {"ear": (90, 0, 0), "nose": (0, -110, 0), "crown": (0, 0, 130), "head": (0, 0, 0)}
    shapes = {key: ball(np.add(at, (20, -300, 1800)), (8, 8, 8), refinements=2) for key, at in places.items()}
    export_glb(lab.case_of(shapes), tmp_path / "a.glb")
    middle = {node.name: node.vertices.mean(axis=0) for node in read_model(tmp_path / "a.glb").nodes}
    away = {key: middle[key] - middle["head"] for key in places}
    assert np.allclose(away["ear"], (0.09, 0, 0), atol=1e-7)
    assert np.allclose(away["crown"], (0, 0.13, 0), atol=1e-7)
    assert np.allclose(away["nose"], (0, 0, 0.11), atol=1e-7)


def test_model_is_recentred_on_its_bounds_in_metres(case, tmp_path):
    export_glb(case, tmp_path / "a.glb")
    points = np.vstack([node.vertices for node in read_model(tmp_path / "a.glb").nodes])
    assert np.allclose(points.min(axis=0) + points.max(axis=0), 0, atol=1e-7)
    assert np.allclose(np.ptp(points, axis=0), (0.3405, 0.38, 0.24), atol=0.002)


def test_structures_hang_under_their_system_and_no_two_nodes_share_a_name(lab, case, tmp_path):
    export_glb(case, tmp_path / "a.glb", ExportSettings(annotations=MARKS))
    document = lab.open_glb(tmp_path / "a.glb").document
    names = [node["name"] for node in document["nodes"]]
    assert len(set(names)) == len(names)
    groups = {node.name: node.group for node in read_model(tmp_path / "a.glb").nodes}
    # "skin" names a structure and a system; viewers would rename the second of two.
    assert groups["skin"] == "skin_group"
    assert groups["kidney_left"] == groups["kidney_right"] == "urinary"
    assert {groups[mark.name] for mark in MARKS} == {"annotations"}
    root = document["nodes"][document["scenes"][0]["nodes"][0]]
    assert root["name"] == "anatomyxr" and {"cameras", "extensionsUsed"}.isdisjoint(document)


def test_extras_say_what_each_structure_is(lab, case, tmp_path):
    export_glb(case, tmp_path / "a.glb")
    opened = lab.open_glb(tmp_path / "a.glb")
    said = opened.node("kidney_left")["extras"]
    measured = check(case.surfaces["kidney_left"])
    assert {key: said[key] for key in ("name", "name_zh", "label", "code", "side", "system")} == {
        "name": "Left kidney",
        "name_zh": "左肾",
        "label": 13,
        "code": "18639004",
        "side": "left",
        "system": "urinary",
    }
    assert said["volume_ml"] == pytest.approx(measured.volume_ml, rel=1e-9)
    root = opened.root()
    assert root["frame"] == "LPS" and root["unit"] == "mm" and root["case"] == case.id
    assert "not a medical device" in root["notForClinicalUse"]
    assert "not a medical device" in opened.document["asset"]["extras"]["disclaimer"]
    assert np.linalg.det(np.array(root["lps_mm_to_gltf_m"])[:3, :3]) == pytest.approx(1e-9)


def test_colours_are_linear_and_only_clear_structures_blend(lab, case, tmp_path):
    export_glb(case, tmp_path / "a.glb")
    opened = lab.open_glb(tmp_path / "a.glb")
    for key, structure in lab.structures.items():
        material = opened.material(key)
        factors = material["pbrMetallicRoughness"]
        assert np.allclose(factors["baseColorFactor"][:3], srgb_to_linear(structure.colour), atol=1e-12)
        assert factors["baseColorFactor"][3] == structure.opacity
        assert material["alphaMode"] == ("BLEND" if structure.opacity < 1 else "OPAQUE")
        assert material["doubleSided"] is False and factors["metallicFactor"] == 0


def test_srgb_curve_meets_the_standard():
    # IEC 61966-2-1: both branches meet at 0.04045; half grey is 0.2140.
    assert srgb_to_linear(0.0) == 0 and srgb_to_linear(1.0) == pytest.approx(1.0, abs=1e-12)
    assert srgb_to_linear(0.5) == pytest.approx(0.21404114, abs=1e-8)
    assert srgb_to_linear(0.04045) == pytest.approx(((0.04045 + 0.055) / 1.055) ** 2.4, rel=1e-4)
    assert (np.diff(srgb_to_linear(np.linspace(0, 1, 1001))) > 0).all()


def test_normals_of_a_sphere_point_from_its_centre(lab, tmp_path):
    export_glb(lab.case_of({"tumour": ball((10, 20, 30), (15, 15, 15), refinements=4)}), tmp_path / "a.glb")
    (node,) = read_model(tmp_path / "a.glb").nodes
    radial = node.vertices / np.linalg.norm(node.vertices, axis=1, keepdims=True)
    # 1 - cos: an icosphere of 5,120 faces is smooth to half a degree.
    assert np.einsum("vi,vi->v", radial, node.normals).min() > np.cos(np.radians(0.5))


@pytest.mark.parametrize(("sides", "rings", "component"), [(13, 5041, 5123), (14, 4681, 5125)])
def test_indices_take_16_bits_up_to_65535_vertices(lab, tmp_path, sides, rings, component):
    way = np.stack([np.zeros(rings), np.zeros(rings), np.arange(rings) * 0.1], axis=1)
    shape = tube(way, 5.0, sides=sides)
    assert len(shape[0]) == (65_535 if component == 5123 else 65_536)
    export_glb(lab.case_of({"aorta": shape}), tmp_path / "a.glb")
    accessors = lab.open_glb(tmp_path / "a.glb").document["accessors"]
    assert [one["componentType"] for one in accessors if one["type"] == "SCALAR"] == [component]


def test_a_mesh_of_a_third_of_a_million_triangles_is_valid_and_verified(lab, khronos, tmp_path):
    case = lab.case_of(
        {"skin": lab.lumpy((0, 0, -900), (170, 120, 400), 7), "liver": lab.lumpy((-60, 0, -900), (70, 60, 50), 5)}
    )
    report = export_glb(case, tmp_path / "a.glb")
    assert report.triangles == 327_680 + 20_480
    assert verify_glb(report.path, case).problems == ()
    assert issues(khronos(report.path)[0]) == CLEAN


def test_the_same_case_gives_the_same_bytes(lab, case, tmp_path):
    settings = ExportSettings(annotations=MARKS)
    export_glb(case, tmp_path / "one.glb", settings)
    export_glb(lab.case_of(lab.anatomy()), tmp_path / "two.glb", settings)
    assert (tmp_path / "one.glb").read_bytes() == (tmp_path / "two.glb").read_bytes()


def test_report_counts_what_is_in_the_file(case, tmp_path):
    report = export_glb(case, tmp_path / "a.glb")
    assert report.verified and report.bytes == (tmp_path / "a.glb").stat().st_size
    assert report.triangles == sum(len(surface.faces) for surface in case.surfaces.values())
    assert [one.key for one in report.structures] == list(case.surfaces)
    for one in report.structures:
        assert one.volume_ml == pytest.approx(check(case.surfaces[one.key]).volume_ml)
        assert one.mean_deviation_mm == one.max_deviation_mm == 0.0


def test_structures_can_be_chosen_by_key_and_by_name_in_both_languages(case, tmp_path):
    report = export_glb(case, tmp_path / "a.glb", ExportSettings(structures=("aorta", "Left kidney", "肝")))
    assert {one.key for one in report.structures} == {"aorta", "kidney_left", "liver"}
    found = verify_glb(report.path, case)
    assert found.ok and any("3 of the case's 6" in warning for warning in found.warnings)


def test_an_unknown_structure_is_refused_with_the_ones_there_are(case, tmp_path):
    with pytest.raises(NotFoundError, match="spleen") as caught:
        export_glb(case, tmp_path / "a.glb", ExportSettings(structures=("spleen",)))
    assert "kidney_left" in caught.value.hint and not list(tmp_path.iterdir())


def test_a_budget_keeps_the_model_verified_and_its_deviation_stated(lab, tmp_path):
    case = lab.case_of(
        {"liver": lab.lumpy((-60, -20, 0), (75, 60, 55), 5), "tumour": ball((-80, 0, 0), (9, 9, 9), refinements=4)}
    )
    report = export_glb(case, tmp_path / "a.glb", ExportSettings(budget=4_000))
    # A tenth over: where a structure would lose too much, it keeps more than its share.
    assert report.triangles <= 4_400
    assert all(0 < one.mean_deviation_mm < one.max_deviation_mm < 1.0 for one in report.structures)
    assert verify_glb(report.path, case).ok and verify_glb(report.path).ok


def test_a_budget_too_small_for_the_structures_is_refused(case, tmp_path):
    with pytest.raises(SurfaceError, match="budget of 10"):
        export_glb(case, tmp_path / "a.glb", ExportSettings(budget=10))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("stated_mm", "says"), [(60.0, "at most"), (0.5, "states 0.500")])
def test_a_decimation_that_loses_a_part_is_refused(lab, monkeypatch, tmp_path, stated_mm, says):
    large, small = ball((0, 0, 0), (40, 40, 40), refinements=3), ball((0, 60, 0), (5, 5, 5), refinements=2)
    both = (np.vstack([large[0], small[0]]), np.vstack([large[1], small[1] + len(large[0])]))
    case = lab.case_of({"tumour": both})

    def lose_the_small_one(surfaces, budget, *, neighbours, importance, progress):
        stated = Deviation(0.1, stated_mm)
        return {key: replace(one, faces=large[1], deviation=stated) for key, one in surfaces.items()}

    monkeypatch.setattr("meshing.simplify.simplify", lose_the_small_one)
    with pytest.raises(ExportError, match=says) as caught:
        export_glb(case, tmp_path / "a.glb", ExportSettings(budget=1_500))
    assert "larger triangle budget" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_an_annotation_may_not_take_the_name_of_a_structure(case, tmp_path):
    with pytest.raises(ExportError, match="liver"):
        export_glb(case, tmp_path / "a.glb", ExportSettings(annotations=(Point("liver", (0, 0, 0)),)))


def test_a_structure_without_triangles_is_left_out_unless_named(lab, case, tmp_path):
    empty = replace(case.surfaces["tumour"], vertices=np.zeros((0, 3)), faces=np.zeros((0, 3)))
    case = replace(case, surfaces={**case.surfaces, "tumour": empty})
    assert "tumour" not in {one.key for one in export_glb(case, tmp_path / "a.glb").structures}
    with pytest.raises(ExportError, match="tumour has no triangles"):
        export_glb(case, tmp_path / "b.glb", ExportSettings(structures=("tumour",)))


def test_vertices_that_no_face_uses_do_not_stretch_the_model(lab, case, tmp_path):
    liver = case.surfaces["liver"]
    astray = replace(liver, vertices=np.vstack([liver.vertices, [[9e3, 9e3, 9e3]]]))
    export_glb(replace(case, surfaces={**case.surfaces, "liver": astray}), tmp_path / "a.glb")
    export_glb(case, tmp_path / "b.glb")
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_an_inward_surface_is_refused_and_the_old_file_stays(case, tmp_path):
    path = tmp_path / "a.glb"
    export_glb(case, path)
    before = path.read_bytes()
    liver = case.surfaces["liver"]
    inward = replace(liver, faces=liver.faces[:, ::-1])
    with pytest.raises(ExportError, match="inward"):
        export_glb(replace(case, surfaces={**case.surfaces, "liver": inward}), path)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.glb"]


def test_an_open_surface_of_the_case_is_exported_with_a_warning(case, tmp_path):
    liver = case.surfaces["liver"]
    case = replace(case, surfaces={**case.surfaces, "liver": replace(liver, faces=liver.faces[:-1])})
    export_glb(case, tmp_path / "a.glb")
    found = verify_glb(tmp_path / "a.glb", case)
    assert found.ok and any("liver: 3 open" in warning for warning in found.warnings)


def test_nothing_of_the_patient_reaches_the_file(lab, tmp_path):
    canary = "ZZ-CANARY-Muster^Anna-19571231"
    case = lab.case_of(
        lab.anatomy(),
        facts=(Fact("tilt", f"tilt of {canary}", {"who": canary}),),
        frame_of_reference=f"1.2.3.{canary}",
        source=f"labels of {canary}.nii.gz",
    )
    needle = Trajectory(f"needle {canary}", (0, 0, 0), (1, 1, 1), 1.0)
    case = replace(case, volumes={canary: case.scan}, plan=Plan(1, (needle,)))
    export_glb(case, tmp_path / "a.glb", ExportSettings(annotations=MARKS))
    content = (tmp_path / "a.glb").read_bytes()
    assert b"liver" in content
    for word in (canary, "CANARY", "Muster", "19571231"):
        assert word.encode() not in content


def test_keys_and_names_in_chinese_survive(lab, khronos, tmp_path):
    case = lab.case_of(
        {"肝_左叶": ball((0, 0, 0), (20, 20, 20), refinements=2)},
        {"肝_左叶": Structure("肝_左叶", "肝 左叶", "肝 左叶")},
    )
    export_glb(case, tmp_path / "a.glb")
    assert [node.name for node in read_model(tmp_path / "a.glb").nodes] == ["肝_左叶"]
    assert issues(khronos(tmp_path / "a.glb")[0]) == CLEAN


def test_progress_runs_from_0_to_1(case, tmp_path):
    heard = []
    export_glb(case, tmp_path / "a.glb", progress=lambda fraction, doing: heard.append(fraction))
    assert heard == sorted(heard) and heard[-1] == 1.0 and heard[0] < 1
