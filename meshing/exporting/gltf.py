"""The headset model: a case as one binary glTF, verified before it takes its place.

In: a case, LPS mm. Out: metres, +Y up, the patient's front to +Z, recentred on its structures; the way back stands in
the root node's `extras`. Nodes: root → one group per system → one node per structure, named by its key; marks stand
under "annotations". No cameras, lights, textures or extensions: every viewer reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.atomic import replace_file
from meshing.case import Case
from meshing.errors import ExportError
from meshing.exporting.annotations import Annotation, Plane, fields_of, shape_of
from meshing.exporting.colour import Colour, srgb_to_linear
from meshing.exporting.findings import Verification
from meshing.exporting.glb import padding, write_glb
from meshing.exporting.layout import (
    ANNOTATIONS_NAME,
    CASE_KIND,
    MATRIX,
    NOT_FOR_CLINICAL_USE,
    ROOT_NAME,
    STRUCTURE_KIND,
    generator,
)
from meshing.exporting.measure import box, centroid, used_part
from meshing.exporting.selection import Chosen, ExportReport, ExportSettings, choose, report
from meshing.exporting.verify import verify_glb
from meshing.frames import PATIENT, FloatArray, Transform, patient_to_gltf
from meshing.progress import Progress, part, silent
from meshing.surface import vertex_normals, volume_ml

ROUGHNESS = 0.55
"""Between wet and chalk: a highlight that shows curvature without hiding it."""

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_MOST_FOR_SHORT = 65_535
"""Vertices that 16-bit indices can name: index 65,535 itself restarts primitives."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One thing to draw: a name, triangles in LPS mm, how they look (sRGB) and what is said of them."""

    name: str
    vertices_mm: FloatArray
    faces: npt.NDArray[np.int32]
    colour: Colour
    opacity: float
    extras: Mapping[str, Any]
    is_two_sided: bool = False


def export_glb(
    case: Case, path: Path, settings: ExportSettings | None = None, *, progress: Progress = silent
) -> ExportReport:
    """What stands in the GLB now at `path`: the chosen structures and marks, read back and held against the case.

    The same case and settings give the same bytes. Until the file is verified, the old one stays.

    Raises
    ------
    ExportError
        If it cannot be written, or is not what the case says.
    NotFoundError, SurfaceError
        If a structure is not there, or the budget is too small.
    """
    settings = settings or ExportSettings()
    chosen = choose(case, settings, progress=part(progress, 0.0, 0.5))
    progress(0.5, "writing the model")
    document, arrays = _document(case, chosen, settings.annotations)
    with replace_file(path) as file:
        write_glb(file, document, arrays)
        file.flush()
        progress(0.7, "verifying the model")
        found = verify_glb(Path(file.name), case, structures=[one.key for one in chosen])
        _require_ok(found, path, settings)
    progress(1.0, "exported")
    return report(path, chosen)


def _require_ok(found: Verification, path: Path, settings: ExportSettings) -> None:
    if not found.ok:
        shown = "; ".join(problem.text for problem in found.problems[:3])
        raise ExportError(
            f"the model written is not what the case says ({len(found.problems)} problems): {shown}",
            where=path,
            hint=(
                "give a larger triangle budget; nothing was changed on disk"
                if settings.budget is not None and "shape" in found.kinds
                else "build the case again, and report this if it stays; nothing was changed on disk"
            ),
        )


def _document(
    case: Case, chosen: Sequence[Chosen], annotations: Sequence[Annotation]
) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    """The JSON of the model and the arrays that it points into."""
    structures = [_drawn_structure(one) for one in chosen]
    marks = [_drawn_annotation(annotation) for annotation in annotations]
    _require_one_name_each([*structures, *marks])
    bounds = box(np.vstack([box(drawn.vertices_mm) for drawn in structures]))
    to_gltf = patient_to_gltf(bounds.mean(axis=0))
    builder = _Builder(to_gltf)
    groups: dict[str, list[int]] = {}
    for one, drawn in zip(chosen, structures, strict=True):
        groups.setdefault(one.segment.structure.system, []).append(builder.add_drawn(drawn))
    names_taken = {drawn.name for drawn in (*structures, *marks)} | {ROOT_NAME}
    children = [builder.add_group(_free(name, names_taken), nodes) for name, nodes in groups.items()]
    if marks:
        nodes = [builder.add_drawn(mark) for mark in marks]
        children.append(builder.add_group(_free(ANNOTATIONS_NAME, names_taken | set(groups)), nodes))
    root = builder.add_group(ROOT_NAME, children, extras=_root_extras(case, structures, bounds, to_gltf))
    return builder.document(root), builder.arrays


def _drawn_structure(one: Chosen) -> Drawn:
    vertices, faces = used_part(one.surface)
    structure = one.segment.structure
    return Drawn(one.key, vertices, faces, structure.colour, structure.opacity, _structure_extras(one, vertices, faces))


def _drawn_annotation(annotation: Annotation) -> Drawn:
    vertices, faces = shape_of(annotation)
    return Drawn(
        annotation.name,
        vertices,
        faces,
        annotation.colour,
        annotation.opacity,
        fields_of(annotation),
        is_two_sided=isinstance(annotation, Plane),
    )


def _structure_extras(one: Chosen, vertices: FloatArray, faces: npt.NDArray[np.int32]) -> dict[str, Any]:
    """What is said of a structure; `layout.STRUCTURE_FIELDS` is the list of what may be."""
    structure, deviation = one.segment.structure, one.surface.deviation
    extras: dict[str, Any] = {
        "kind": STRUCTURE_KIND,
        "name": structure.name,
        "name_zh": structure.name_zh,
        "label": one.segment.label,
        "code": structure.code,
        "side": structure.side,
        "system": structure.system,
        "volume_ml": volume_ml(*used_part(one.original)),
        "bounds_mm": box(vertices).tolist(),
        "centroid_mm": centroid(vertices, faces).tolist(),
    }
    if deviation is not None:
        extras |= {"mean_deviation_mm": deviation.mean_mm, "max_deviation_mm": deviation.max_mm}
    return extras


def _root_extras(case: Case, structures: Sequence[Drawn], bounds: FloatArray, to_gltf: Transform) -> dict[str, Any]:
    return {
        "kind": CASE_KIND,
        "case": case.id,
        "generator": generator(),
        "frame": PATIENT.axes,
        "unit": "mm",
        MATRIX: to_gltf.matrix.tolist(),
        "bounds_mm": bounds.tolist(),
        "structures": [drawn.name for drawn in structures],
        "notForClinicalUse": NOT_FOR_CLINICAL_USE,
    }


def _require_one_name_each(things: Iterable[Drawn]) -> None:
    names = [drawn.name for drawn in things]
    repeated = sorted({name for name in names if names.count(name) > 1} | ({ROOT_NAME} & set(names)))
    if repeated:
        raise ExportError(
            f"names stand twice in the model: {', '.join(repeated)}",
            hint="rename the annotation; keys stay as they are",
        )


def _free(name: str, taken: set[str]) -> str:
    """The name, or with "group" behind it where a structure has it: viewers rename the second of two."""
    while name in taken:
        name += "_group"
    return name


@dataclass
class _Builder:
    """A glTF document that grows: lists of JSON objects, and the arrays behind their buffer views."""

    to_gltf: Transform
    nodes: list[dict[str, Any]] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    arrays: list[npt.NDArray[Any]] = field(default_factory=list)
    size: int = 0

    def add_group(self, name: str, children: Sequence[int], *, extras: Mapping[str, Any] | None = None) -> int:
        node: dict[str, Any] = {"name": name, "children": list(children)}
        self.nodes.append(node | ({"extras": dict(extras)} if extras else {}))
        return len(self.nodes) - 1

    def add_drawn(self, drawn: Drawn) -> int:
        # Recentred in double precision first: float32 at a metre from the origin still resolves 0.1 µm.
        positions = self.to_gltf(drawn.vertices_mm).astype("<f4")
        normals = _unit_normals(positions, drawn.faces)
        short = len(positions) <= _MOST_FOR_SHORT
        indices = drawn.faces.ravel().astype("<u2" if short else "<u4")
        low_high = dict(zip(("min", "max"), box(positions).tolist(), strict=True))
        primitive = {
            "attributes": {
                "POSITION": self._add_accessor(positions, _FLOAT, _VERTICES, **low_high),
                "NORMAL": self._add_accessor(normals, _FLOAT, _VERTICES),
            },
            "indices": self._add_accessor(indices, _UNSIGNED_SHORT if short else _UNSIGNED_INT, _INDICES),
            "material": len(self.materials),
        }
        self.materials.append(_material(drawn))
        self.meshes.append({"name": drawn.name, "primitives": [primitive]})
        self.nodes.append({"name": drawn.name, "mesh": len(self.meshes) - 1, "extras": dict(drawn.extras)})
        return len(self.nodes) - 1

    def document(self, root: int) -> dict[str, Any]:
        return {
            "asset": {
                "version": "2.0",
                "generator": generator(),
                "extras": {"disclaimer": NOT_FOR_CLINICAL_USE},
            },
            "scene": 0,
            "scenes": [{"nodes": [root]}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": self.materials,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self.size}],
        }

    def _add_accessor(self, array: npt.NDArray[Any], component: int, target: int, **limits: list[float]) -> int:
        self.views.append({"buffer": 0, "byteOffset": self.size, "byteLength": array.nbytes, "target": target})
        self.arrays.append(array)
        self.size += array.nbytes + padding(array.nbytes)
        kind = "SCALAR" if array.ndim == 1 else "VEC3"
        view = len(self.views) - 1
        self.accessors.append(
            {"bufferView": view, "componentType": component, "count": len(array), "type": kind, **limits}
        )
        return len(self.accessors) - 1


def _unit_normals(positions: npt.NDArray[np.float32], faces: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """(V, 3); a vertex whose faces cancel looks up, for glTF wants unit length everywhere."""
    normals, _ = vertex_normals(positions, faces)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 1.0, 0.0)
    return normals.astype("<f4")


def _material(drawn: Drawn) -> dict[str, Any]:
    is_clear = drawn.opacity < 1.0
    material: dict[str, Any] = {
        "name": drawn.name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [*srgb_to_linear(drawn.colour).tolist(), float(drawn.opacity)],
            "metallicFactor": 0.0,
            "roughnessFactor": ROUGHNESS,
        },
        "alphaMode": "BLEND" if is_clear else "OPAQUE",
        "doubleSided": drawn.is_two_sided,
    }
    return material
