"""Files broken on purpose: each must fail verification for its own reason, though most are valid glTF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from meshing.errors import NotFoundError
from meshing.exporting.gltf import export_glb
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball
from meshing.exporting.verify import verify_glb


@dataclass(frozen=True)
class Break:
    """One way to break a GLB.

    Parameters
    ----------
    kinds
        The problems that a verification against the case finds, no more and no less.
    alone
        Those found without a case.
    """

    operation: Callable[[Any], None]
    kinds: set[str]
    alone: set[str]


def mirror(points):
    return points * (-1, 1, 1)


def mirror_and_flip(opened):
    opened.move(mirror)
    opened.turn_normals(mirror)
    opened.flip()


def mirror_by_node(opened):
    opened.node("anatomyxr")["scale"] = [-1, 1, 1]


def millimetres_by_node(opened):
    opened.node("anatomyxr")["scale"] = [1000, 1000, 1000]


def turn_by_node(opened):
    half = np.sqrt(0.5)
    opened.node("anatomyxr")["rotation"] = [half, 0, 0, half]


def turn(points):
    return points[:, [1, 2, 0]]


def turn_axes(opened):
    opened.move(turn)
    opened.turn_normals(turn)


def z_up(opened):
    """LPS written as it is, only in metres: a patient on the floor."""
    opened.move(lambda points: points[:, [0, 2, 1]] * (1, -1, 1))
    opened.turn_normals(lambda points: points[:, [0, 2, 1]] * (1, -1, 1))


def make_opaque(opened):
    for material in opened.document["materials"]:
        material.pop("alphaMode")


def lose_alpha(opened):
    opened.material("liver")["pbrMetallicRoughness"]["baseColorFactor"][3] = 1.0


def clear_the_aorta(opened):
    opened.material("aorta")["alphaMode"] = "BLEND"


def rename_all(opened):
    for number, node in enumerate(node for node in opened.document["nodes"] if "mesh" in node):
        node["name"] = f"mesh{number}"


def rename_one(opened):
    opened.node("liver")["name"] = "mesh0"


def say_wrong_name(opened):
    opened.node("liver")["extras"]["name"] = "Spleen"


def say_wrong_label(opened):
    opened.node("liver")["extras"]["label"] = 99


def say_wrong_volume(opened):
    opened.node("liver")["extras"]["volume_ml"] *= 1.002


def say_wrong_bounds(opened):
    opened.node("liver")["extras"]["bounds_mm"][0][0] += 1


def recolour(opened):
    opened.material("tumour")["pbrMetallicRoughness"]["baseColorFactor"][:3] = [0.1, 0.2, 0.9]


def colour_a_step_off(opened):
    opened.material("tumour")["pbrMetallicRoughness"]["baseColorFactor"][1] += 0.005


def drop(opened, name):
    number = opened.document["nodes"].index(opened.node(name))
    for node in opened.document["nodes"]:
        if number in node.get("children", ()):
            node["children"] = [child for child in node["children"] if child != number] or [number]
    # An empty group would be invalid: hang the group itself out instead.
    root = opened.node("anatomyxr")
    lone = [at for at, node in enumerate(opened.document["nodes"]) if node.get("children") == [number]]
    root["children"] = [child for child in root["children"] if child not in lone]


def exchange(opened, one, other):
    first, second = opened.node(one), opened.node(other)
    first["mesh"], second["mesh"] = second["mesh"], first["mesh"]


def exchange_with_numbers(opened, one, other):
    exchange(opened, one, other)
    first, second = opened.node(one)["extras"], opened.node(other)["extras"]
    for field in ("bounds_mm", "centroid_mm", "volume_ml"):
        first[field], second[field] = second[field], first[field]


def negate_normals(opened):
    opened.turn_normals(lambda normals: -normals, "liver")


def drop_normals(opened):
    for primitive in opened.primitives():
        del primitive["attributes"]["NORMAL"]


def open_aorta(opened):
    """Without the last triangle of a cap."""
    (primitive,) = opened.primitives(("aorta",))
    opened.document["accessors"][primitive["indices"]]["count"] -= 3


def pinch_tumour(opened):
    """Faces 0 and 1 share three corners: the same triangle twice."""
    (primitive,) = opened.primitives(("tumour",))
    faces = opened.array(primitive["indices"]).reshape(-1, 3)
    faces[1] = faces[0]


def dent_liver(opened):
    """One vertex of 642, away from the bounds, by 0.3 mm: bounds, centroid and volume stay within their tolerance."""

    def dent(points):
        inside = np.abs(points - (points.min(0) + points.max(0)) / 2) < 0.8 * np.ptp(points, axis=0) / 2
        points[np.flatnonzero(inside.all(axis=1))[0]] += 0.0003
        return points

    opened.move(dent, "liver")


def say_other_frame(opened):
    opened.root()["frame"] = "RAS"


def say_strange_kind(opened):
    opened.node("liver")["extras"]["kind"] = ["structure"]


def make_metal(opened):
    opened.material("liver")["pbrMetallicRoughness"]["metallicFactor"] = 1.0


def move_mark(opened):
    opened.move(lambda points: points + 0.001, "target")


def say_mark_elsewhere(opened):
    opened.node("needle")["extras"]["end_mm"][2] += 1


def unknown_mark(opened):
    opened.node("needle")["extras"]["kind"] = "laser"


def lose_matrix(opened):
    del opened.root()["lps_mm_to_gltf_m"]


def matrix_by_columns(opened):
    opened.root()["lps_mm_to_gltf_m"] = np.array(opened.root()["lps_mm_to_gltf_m"]).T.tolist()


def mirror_matrix(opened):
    opened.root()["lps_mm_to_gltf_m"][0] = [-value for value in opened.root()["lps_mm_to_gltf_m"][0]]


def matrix_in_mm(opened):
    opened.root()["lps_mm_to_gltf_m"] = (np.array(opened.root()["lps_mm_to_gltf_m"]) * 1000).tolist()


def matrix_elsewhere(opened):
    opened.root()["lps_mm_to_gltf_m"][1][3] += 0.002


def matrix_of_words(opened):
    opened.root()["lps_mm_to_gltf_m"] = "identity"


def root_bounds_elsewhere(opened):
    opened.root()["bounds_mm"][0][2] += 3


def lose_notice(opened):
    del opened.root()["notForClinicalUse"]


def leak_at(place):
    def leak(opened):
        target = {
            "structure": lambda: opened.node("liver")["extras"],
            "root": opened.root,
            "group": lambda: opened.node("urinary").setdefault("extras", {}),
            "asset": lambda: opened.document["asset"]["extras"],
            "material": lambda: opened.material("liver").setdefault("extras", {}),
            "scene": lambda: opened.document["scenes"][0].setdefault("extras", {}),
        }[place]()
        target["PatientName"] = "Muster^Anna"

    return leak


BREAKS = {
    "mirrored": Break(
        lambda o: o.move(mirror),
        {"mirrored", "inward", "normals", "annotation"},
        {"mirrored", "inward", "normals", "annotation"},
    ),
    "mirrored with its winding": Break(mirror_and_flip, {"mirrored", "annotation"}, {"mirrored", "annotation"}),
    "mirrored by a node": Break(mirror_by_node, {"mirrored", "annotation"}, {"mirrored", "annotation"}),
    "in millimetres": Break(lambda o: o.move(lambda p: p * 1000), {"units", "annotation"}, {"units", "annotation"}),
    "in millimetres by a node": Break(
        millimetres_by_node, {"units", "normals", "annotation"}, {"units", "normals", "annotation"}
    ),
    "in inches": Break(lambda o: o.move(lambda p: p / 0.0254), {"units", "annotation"}, {"units", "annotation"}),
    "axes turned": Break(turn_axes, {"axes", "annotation"}, {"axes", "annotation"}),
    "axes turned by a node": Break(turn_by_node, {"axes", "annotation"}, {"axes", "annotation"}),
    "z up": Break(z_up, {"axes", "annotation"}, {"axes", "annotation"}),
    "shifted": Break(lambda o: o.move(lambda p: p + 0.003), {"matrix", "annotation"}, {"matrix", "annotation"}),
    "one structure shifted": Break(lambda o: o.move(lambda p: p + 0.0002, "tumour"), {"bounds", "shape"}, {"bounds"}),
    "one structure larger": Break(
        lambda o: o.move(lambda p: p.mean(0) + (p - p.mean(0)) * 1.005, "kidney_left"),
        {"bounds", "shape", "volume"},
        {"bounds"},
    ),
    "one structure dented": Break(dent_liver, {"shape"}, set()),
    "opaque": Break(make_opaque, {"alpha"}, {"alpha"}),
    "alpha lost": Break(lose_alpha, {"alpha"}, {"alpha"}),
    "opaque that blends": Break(clear_the_aorta, {"alpha"}, {"alpha"}),
    "renamed": Break(rename_all, {"names"}, {"names"}),
    "one renamed": Break(rename_one, {"names"}, {"names"}),
    "says another name": Break(say_wrong_name, {"names"}, set()),
    "says another label": Break(say_wrong_label, {"names"}, set()),
    "says another volume": Break(say_wrong_volume, {"volume"}, set()),
    "says other bounds": Break(say_wrong_bounds, {"bounds"}, {"bounds"}),
    "recoloured": Break(recolour, {"colour"}, set()),
    "colour a step off": Break(colour_a_step_off, {"colour"}, set()),
    "structure missing": Break(lambda o: drop(o, "aorta"), {"names"}, {"names"}),
    "left and right exchanged": Break(lambda o: exchange(o, "kidney_left", "kidney_right"), {"sides"}, {"sides"}),
    "left and right exchanged, numbers too": Break(
        lambda o: exchange_with_numbers(o, "kidney_left", "kidney_right"), {"sides"}, set()
    ),
    "liver and tumour exchanged": Break(
        lambda o: exchange(o, "liver", "tumour"), {"names", "colour", "alpha"}, {"names"}
    ),
    "winding flipped": Break(lambda o: o.flip("liver"), {"inward", "normals"}, {"inward", "normals"}),
    "normals turned": Break(negate_normals, {"normals"}, {"normals"}),
    "no normals": Break(drop_normals, {"normals"}, {"normals"}),
    "open": Break(open_aorta, {"mesh", "shape", "bounds", "volume"}, {"mesh", "bounds"}),
    "pinched": Break(pinch_tumour, {"mesh"}, {"mesh"}),
    "mark moved": Break(move_mark, {"annotation"}, {"annotation"}),
    "mark says elsewhere": Break(say_mark_elsewhere, {"annotation"}, {"annotation"}),
    "mark of unknown kind": Break(unknown_mark, {"names", "privacy"}, {"names", "privacy"}),
    "no matrix": Break(lose_matrix, {"matrix"}, {"matrix"}),
    "matrix by columns": Break(matrix_by_columns, {"axes"}, {"axes"}),
    "matrix mirrored": Break(mirror_matrix, {"mirrored"}, {"mirrored"}),
    "matrix in mm": Break(matrix_in_mm, {"units"}, {"units"}),
    "matrix leads elsewhere": Break(matrix_elsewhere, {"matrix", "annotation"}, {"matrix", "annotation"}),
    "matrix of words": Break(matrix_of_words, {"matrix"}, {"matrix"}),
    "root bounds elsewhere": Break(root_bounds_elsewhere, {"matrix"}, {"matrix"}),
    "root speaks of RAS": Break(say_other_frame, {"matrix"}, {"matrix"}),
    "strange kind": Break(say_strange_kind, {"privacy"}, {"privacy"}),
    "metal": Break(make_metal, {"colour"}, {"colour"}),
    "notice lost": Break(lose_notice, {"notice"}, {"notice"}),
    **{
        f"name of the patient in {place}": Break(leak_at(place), {"privacy"}, {"privacy"})
        for place in ("structure", "root", "group", "asset", "material", "scene")
    },
}


def test_the_unbroken_file_has_neither_problem_nor_warning(lab, case, good, tmp_path):
    again = lab.open_glb(good).close(tmp_path / "again.glb")
    for path in (good, again):
        for found in (verify_glb(path, case), verify_glb(path)):
            assert found.ok and found.problems == () and found.warnings == ()
            assert [one.key for one in found.structures] == list(case.surfaces)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_file_fails_for_its_own_reason(lab, case, good, tmp_path, name):
    opened = lab.open_glb(good)
    BREAKS[name].operation(opened)
    path = opened.close(tmp_path / "broken.glb")
    found = verify_glb(path, case)
    assert found.kinds == BREAKS[name].kinds, [problem.text for problem in found.problems]
    alone = verify_glb(path)
    assert alone.kinds == BREAKS[name].alone, [problem.text for problem in alone.problems]


def test_the_format_validator_sees_no_error_in_any_of_them(lab, case, good, khronos, tmp_path):
    paths = []
    for one in BREAKS.values():
        opened = lab.open_glb(good)
        one.operation(opened)
        paths.append(opened.close(tmp_path / f"{len(paths)}.glb"))
    errors = {name: report["issues"]["numErrors"] for name, report in zip(BREAKS, khronos(*paths), strict=True)}
    assert set(errors.values()) == {0} and len(errors) > 40


def test_a_missing_file_is_an_error(case, tmp_path):
    with pytest.raises(NotFoundError):
        verify_glb(tmp_path / "none.glb", case)


def test_a_structure_lost_with_its_name_in_the_list_is_missed_by_the_writer(lab, case, good, tmp_path):
    opened = lab.open_glb(good)
    drop(opened, "aorta")
    opened.root()["structures"].remove("aorta")
    path = opened.close(tmp_path / "broken.glb")
    assert verify_glb(path, case, structures=list(case.surfaces)).kinds == {"names"}
    (warning,) = verify_glb(path, case).warnings
    assert "1 of the case's 6" in warning


def test_a_structure_that_the_case_holds_empty_is_a_problem(case, good):
    empty = replace(case.surfaces["liver"], vertices=np.zeros((0, 3)), faces=np.zeros((0, 3)))
    found = verify_glb(good, replace(case, surfaces={**case.surfaces, "liver": empty}))
    assert found.kinds == {"names"} and "no surface of 'liver'" in found.problems[0].text


def test_a_lone_organ_mirrored_is_told_by_its_shape(lab, tmp_path):
    case = lab.case_of({"liver": lab.lumpy((-60, -20, -1060), (75, 60, 55))})
    opened = lab.open_glb(export_glb(case, tmp_path / "a.glb").path)
    mirror_and_flip(opened)
    path = opened.close(tmp_path / "b.glb")
    assert verify_glb(path, case).kinds == {"mirrored"} == verify_glb(path).kinds


def test_a_decimated_file_may_not_state_less_deviation_than_it_has(lab, tmp_path):
    case = lab.case_of({"liver": lab.lumpy((-60, -20, 0), (75, 60, 55), 5)})
    path = export_glb(case, tmp_path / "a.glb", ExportSettings(budget=1_000)).path
    assert verify_glb(path, case).ok
    opened = lab.open_glb(path)
    extras = opened.node("liver")["extras"]
    extras["max_deviation_mm"] = extras["max_deviation_mm"] / 4
    assert "shape" in verify_glb(opened.close(tmp_path / "b.glb"), case).kinds
    del extras["max_deviation_mm"]
    assert "shape" in verify_glb(opened.close(tmp_path / "c.glb"), case).kinds


def test_a_large_stated_deviation_excuses_nothing(lab, case, good, tmp_path):
    opened = lab.open_glb(good)
    open_aorta(opened)
    opened.node("aorta")["extras"] |= {"mean_deviation_mm": 50.0, "max_deviation_mm": 500.0}
    opened.move(lambda points: points * 1.1, "aorta")
    assert {"bounds", "volume"} <= verify_glb(opened.close(tmp_path / "b.glb"), case).kinds


def test_another_case_with_the_same_structures_is_told_apart(lab, case, good):
    other = replace(lab.moved(case, lambda points: points * 1.01), id="0ther")
    found = verify_glb(good, other)
    assert not found.ok and any("0ther" in warning for warning in found.warnings)


def test_a_structure_on_the_wrong_side_of_its_pair_is_warned_of(lab, case, tmp_path):
    shapes = lab.anatomy()
    shapes["kidney_left"], shapes["kidney_right"] = shapes["kidney_right"], shapes["kidney_left"]
    exchanged = lab.case_of(shapes)
    found = verify_glb(export_glb(exchanged, tmp_path / "a.glb").path, exchanged)
    assert found.ok and [warning.split()[0] for warning in found.warnings] == ["kidney_left", "kidney_right"]
    assert "60 mm to the patient's right" in found.warnings[0]
    assert verify_glb(tmp_path / "a.glb").warnings == found.warnings


@pytest.mark.parametrize("with_skin", [True, False])
def test_a_lone_kidney_on_the_wrong_side_is_warned_of(lab, tmp_path, with_skin):
    shapes = {"kidney_left": ball((-60, 0, 0), (25, 20, 50), refinements=2)}
    if with_skin:
        shapes["skin"] = ball((0, 0, 0), (170, 120, 190), refinements=2)
    else:
        shapes["liver"] = ball((60, 0, 0), (50, 40, 40), refinements=2)
    case = lab.case_of(shapes)
    found = verify_glb(export_glb(case, tmp_path / "a.glb").path, case)
    (warning,) = found.warnings
    assert found.ok and ("structures on it" if with_skin else "the middle of the scan") in warning
