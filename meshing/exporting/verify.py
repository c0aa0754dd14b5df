"""A headset model held against its case: whether a viewer sees the right thing, at the right size, the right way round.

Format validators find none of the faults that matter here: a mirrored patient, millimetres taken for metres or a
forgotten `alphaMode` are all valid glTF. So the file is read back twice, by our own strict reader and by trimesh, is
carried back to LPS mm by the matrix that it states, and every number is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meshing.case import Case
from meshing.errors import DamagedFileError, TooLargeError, UnsupportedError
from meshing.exporting import checks
from meshing.exporting.annotations import KINDS
from meshing.exporting.expected import Expected, Measured, expected_of_case, expected_of_file, measure
from meshing.exporting.findings import Problem, Verification, VerifiedStructure
from meshing.exporting.measure import box, used_part
from meshing.exporting.midline import side_warnings
from meshing.exporting.model import Model, read_model
from meshing.exporting.orientation import exchanged, orientation_problems
from meshing.exporting.second_reader import reader_problems
from meshing.frames import Transform, patient_to_gltf


def verify_glb(path: Path, case: Case | None = None, *, structures: Sequence[str] | None = None) -> Verification:
    """What is wrong with the GLB at `path`: nothing, or problems of known kinds.

    Parameters
    ----------
    case
        What it should show; without one, only what the file says of itself is checked.
    structures
        Keys that must be there; by default those that the file lists.

    Raises
    ------
    NotFoundError
        If there is no such file. A damaged one is a problem, not an error.
    """
    try:
        model = read_model(path)
        # Absurd coordinates overflow on their way to being reported.
        with np.errstate(all="ignore"):
            return _verified(path, model, case, structures)
    except (DamagedFileError, UnsupportedError, TooLargeError) as error:
        return Verification(path, (Problem("file", str(error)),))


def _verified(path: Path, model: Model, case: Case | None, structures: Sequence[str] | None) -> Verification:
    marks = [node for node in model.nodes if node.kind in KINDS]
    bodies = [node for node in model.nodes if node.kind not in KINDS]
    listed = model.root_extras.texts("structures")
    wanted = list(structures) if structures is not None else listed
    stated, problems = checks.matrix_problems(model.root_extras)
    problems += checks.size_problems(bodies)
    problems += checks.name_problems([node.name for node in bodies], wanted)
    to_gltf = stated or _assumed(model, case, wanted)
    measured = measure(bodies, to_gltf.inverse())
    expected, lacking = _expected(case, wanted, measured)
    problems += lacking
    problems += _geometry_problems(expected, measured, model)
    warnings = _add_structure_findings(expected, measured, problems)
    for mark in marks:
        problems += checks.annotation_problems(mark, to_gltf)
        problems += checks.normal_problems(mark)
    problems += checks.notice_problems(model.root_extras)
    problems += checks.privacy_problems(model)
    problems += reader_problems(path, model)
    warnings += side_warnings(measured, {one.key: one.side for one in expected}, case)
    warnings += _case_warnings(case, model, wanted)
    return Verification(path, tuple(dict.fromkeys(problems)), tuple(warnings), _structures(measured))


def _assumed(model: Model, case: Case | None, wanted: Sequence[str]) -> Transform:
    """The transform that the writer would have used, where the file states none: its centre is that of the bounds."""
    surfaces = [case.surfaces[key] for key in wanted if key in case.surfaces] if case else []
    boxes = [box(used_part(surface)[0]) for surface in surfaces if len(surface.faces)]
    if not boxes:
        boxes = [model.root_extras.array("bounds_mm", (2, 3), np.zeros((2, 3)))]
    return patient_to_gltf(box(np.vstack(boxes)).mean(axis=0))


def _expected(
    case: Case | None, wanted: Sequence[str], measured: dict[str, Measured]
) -> tuple[list[Expected], list[Problem]]:
    """What each structure should be, from the case or, without one, from the file."""
    expected: list[Expected] = []
    problems: list[Problem] = []
    for key in wanted:
        found = measured.get(key)
        if case is not None and (key not in case.surfaces or len(case.surfaces[key].faces) == 0):
            problems.append(Problem("names", f"the case holds no surface of {key!r}"))
        elif case is not None:
            expected.append(expected_of_case(case, key, found))
        elif found is not None:
            try:
                expected.append(expected_of_file(found))
            except DamagedFileError as error:
                problems.append(Problem("names", f"{key} does not say what it is: {error}"))
    return expected, problems


def _geometry_problems(expected: list[Expected], measured: dict[str, Measured], model: Model) -> list[Problem]:
    """The one thing wrong with the whole model, or else what is wrong with each structure."""
    whole = orientation_problems(expected, measured)
    if whole:
        # Every structure is off by the same cause; sixty times the same sentence would hide it.
        return whole + [
            problem
            for one in expected
            if one.key in measured
            for problem in checks.volume_problems(measured[one.key], one)
            if problem.kind == "inward"
        ]
    wrongly_named = exchanged(expected, measured)
    problems = list(wrongly_named.values())
    if {one.key for one in expected} == set(measured):
        problems += checks.root_bounds_problems(model.root_extras, list(measured.values()))
    for one in expected:
        if one.key in measured and one.key not in wrongly_named:
            found = measured[one.key]
            problems += checks.shape_problems(found, one)
            problems += checks.place_problems(found, one)
            problems += checks.volume_problems(found, one)
            problems += checks.stated_problems(found, one)
    return problems


def _add_structure_findings(
    expected: list[Expected], measured: dict[str, Measured], problems: list[Problem]
) -> list[str]:
    """Adds what is wrong with the mesh, the look and the labels of each structure; returns the warnings."""
    warnings: list[str] = []
    for one in expected:
        found = measured.get(one.key)
        if found is None:
            continue
        problems += checks.look_problems(one.key, found.node.look, one.structure)
        problems += checks.normal_problems(found.node)
        if one.structure is not None:
            problems += checks.label_problems(found, one.structure, one.label)
        mesh, mesh_warnings = checks.mesh_problems(found, one)
        problems += mesh
        warnings += mesh_warnings
    return warnings


def _case_warnings(case: Case | None, model: Model, wanted: Sequence[str]) -> list[str]:
    if case is None:
        return []
    warnings = []
    said = model.root_extras.values.get("case")
    if said != case.id:
        warnings.append(f"the file was made from case {said!r}, this is {case.id!r}")
    left_out = [key for key in case.surfaces if key not in set(wanted)]
    if left_out:
        warnings.append(f"{len(left_out)} of the case's {len(case.surfaces)} structures were left out")
    return warnings


def _structures(measured: dict[str, Measured]) -> tuple[VerifiedStructure, ...]:
    return tuple(
        VerifiedStructure(key, found.triangles, found.volume_ml, _three(found.bounds_mm[0]), _three(found.bounds_mm[1]))
        for key, found in measured.items()
    )


def _three(corner: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float, float]:
    return float(corner[0]), float(corner[1]), float(corner[2])
