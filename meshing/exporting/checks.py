"""The single checks of a verification; each yields its problems and knows nothing of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from meshing.errors import DamagedFileError, SurfaceError
from meshing.exporting.annotations import annotation_from, shape_of
from meshing.exporting.colour import srgb_to_linear
from meshing.exporting.expected import BOUNDS_MM, VOLUME_SHARE, Expected, Measured
from meshing.exporting.fields import Fields
from meshing.exporting.findings import Problem
from meshing.exporting.layout import ASSET_FIELDS, FIELDS_OF_KIND, MATRIX, NOT_FOR_CLINICAL_USE
from meshing.exporting.measure import box
from meshing.exporting.model import Look, MeshNode, Model
from meshing.frames import GLTF, PATIENT, FloatArray, Transform, between
from meshing.surface import Check, Surface, check
from meshing.terminology import Structure

COLOUR = 0.003
"""In linear light; half a step of a file that stores 8 bits is 0.002, one wrong colour space far more."""

_LARGEST_M, _SMALLEST_M = 3.0, 0.001
_NORMAL_LENGTH = 0.01
_NORMAL_COSINE = 0.2
"""Area-weighted mean cosine between faces and their normals: over 0.9 on smooth meshes, under −0.9 on turned ones."""


def matrix_problems(extras: Fields) -> tuple[Transform | None, list[Problem]]:
    """The stated transform LPS mm → glTF metres, when it is one, and what is wrong with it."""
    try:
        matrix = extras.array(MATRIX, (4, 4))
    except DamagedFileError as error:
        return None, [Problem("matrix", f"the root node does not say how to get back to the patient: {error}")]
    frame, unit = extras.values.get("frame"), extras.values.get("unit")
    if (frame, unit) != (PATIENT.axes, "mm"):
        return None, [Problem("matrix", f"the root node speaks of {frame!r} in {unit!r}, wanted LPS in mm")]
    wanted = between(PATIENT, GLTF).matrix[:3, :3]
    linear = matrix[:3, :3]
    # The entries are 0 and ±0.001 exactly; 1e-9 turns a metre by a micrometre.
    if np.abs(linear - wanted).max() <= 1e-9 and np.array_equal(matrix[3], [0, 0, 0, 1]):
        return Transform(matrix, PATIENT, GLTF), []
    determinant = float(np.linalg.det(linear)) * 1e9
    if determinant < 0:
        return None, [Problem("mirrored", f"the root matrix mirrors: determinant {determinant:.3g}·10⁻⁹, wanted 1")]
    if abs(determinant - 1) > 1e-6:
        return None, [Problem("units", f"the root matrix has determinant {determinant:.3g}·10⁻⁹, wanted 1 (mm to m)")]
    return None, [Problem("axes", "the root matrix turns otherwise than +Y up, +Z the patient's front")]


def size_problems(nodes: Sequence[MeshNode]) -> Iterator[Problem]:
    """A model that no patient fills, whatever the case says."""
    if not nodes:
        return
    low, high = box(np.vstack([box(node.vertices) for node in nodes]))
    size = float((high - low).max())
    if size > _LARGEST_M:
        yield Problem("units", f"the model is {size:.4g} m large; are these millimetres?")
    elif size < _SMALLEST_M:
        yield Problem("units", f"the model is {size * 1000:.4g} mm large")


def name_problems(names: Sequence[str], wanted: Sequence[str]) -> Iterator[Problem]:
    """Structures that are missing, unknown or there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem("names", f"{count} nodes are named {name!r}")
    missing = [key for key in wanted if key not in set(names)]
    unknown = [name for name in dict.fromkeys(names) if name not in set(wanted)]
    if missing:
        yield Problem("names", f"missing: {', '.join(missing[:10])}")
    if unknown:
        yield Problem("names", f"not expected: {', '.join(repr(name) for name in unknown[:10])}")


def label_problems(found: Measured, structure: Structure, label: int | None) -> Iterator[Problem]:
    """What is said of a structure differs from the case."""
    wanted = {
        "name": structure.name,
        "name_zh": structure.name_zh,
        "code": structure.code,
        "side": structure.side,
        "system": structure.system,
        "label": label,
    }
    for field, value in wanted.items():
        said = found.node.extras.values.get(field)
        if said != value:
            yield Problem("names", f"{found.key}: {field} is {said!r}, the case says {value!r}")
    if found.node.group.removesuffix("_group") != structure.system:
        yield Problem("names", f"{found.key} stands under {found.node.group!r}, wanted {structure.system!r}")


def look_problems(key: str, look: Look, structure: Structure | None) -> Iterator[Problem]:
    """Colour and opacity differ from the case, or do not count."""
    mode = "BLEND" if (structure.opacity if structure else look.alpha) < 1 else "OPAQUE"
    if look.alpha_mode != mode:
        yield Problem("alpha", f"{key}: alphaMode is {look.alpha_mode!r} with alpha {look.alpha:.3g}, wanted {mode!r}")
    if look.metallic:
        yield Problem("colour", f"{key}: drawn as metal (factor {look.metallic:.3g}), which turns colours dark")
    if structure is None:
        return
    if abs(look.alpha - structure.opacity) > COLOUR:
        yield Problem("alpha", f"{key}: alpha is {look.alpha:.3f}, wanted {structure.opacity:.3f}")
    wanted = srgb_to_linear(structure.colour)
    if np.abs(np.subtract(look.colour, wanted)).max() > COLOUR:
        is_raw = np.abs(np.subtract(look.colour, structure.colour)).max() <= COLOUR
        said = " (sRGB written as linear light)" if is_raw else ""
        yield Problem("colour", f"{key}: linear colour is {_rounded(look.colour)}, wanted {_rounded(wanted)}{said}")


def stated_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    """What the file states of a structure in numbers is not what it holds, or not the case's volume."""
    try:
        extras = found.node.extras
        features = np.vstack([extras.array("bounds_mm", (2, 3)), extras.array("centroid_mm", (3,))])
        volume = extras.number("volume_ml")
    except DamagedFileError as error:
        yield Problem("names", f"{one.key} does not say where it lies: {error}")
        return
    if not np.abs(features - found.features_mm).max() <= BOUNDS_MM:
        yield Problem("bounds", f"{one.key}: states other bounds or another centroid than it has")
    wanted = one.volume_ml if one.surface is not None else volume
    if not abs(volume - wanted) <= VOLUME_SHARE * abs(wanted):
        yield Problem("volume", f"{one.key}: states {volume:.4f} ml, the case says {wanted:.4f}")


def root_bounds_problems(extras: Fields, measured: Sequence[Measured]) -> Iterator[Problem]:
    """The matrix does not carry the model back into the bounds that the root node states."""
    try:
        stated = extras.array("bounds_mm", (2, 3))
    except DamagedFileError as error:
        yield Problem("matrix", f"the root node does not state the bounds to get back to: {error}")
        return
    if measured:
        found = box(np.vstack([one.bounds_mm for one in measured]))
        off = float(np.abs(found - stated).max())
        if not off <= BOUNDS_MM:
            yield Problem("matrix", f"the root matrix leads {off:.3f} mm beside the bounds that the root states")


def place_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    """Bounds or centroid are off."""
    off = float(np.abs(found.features_mm - one.features_mm).max())
    if not off <= one.bounds_tolerance_mm:
        yield Problem(
            "bounds", f"{one.key}: bounds or centroid are {off:.3f} mm off, at most {one.bounds_tolerance_mm:.2f}"
        )


def volume_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    """The volume enclosed is off or negative."""
    if not found.volume_ml > 0:
        yield Problem("inward", f"{one.key}: faces look inward (signed volume {found.volume_ml:.3f} ml)")
    elif not abs(found.volume_ml - one.volume_ml) <= one.volume_share * abs(one.volume_ml):
        yield Problem(
            "volume", f"{one.key}: {found.volume_ml:.4f} ml, wanted {one.volume_ml:.4f} ± {one.volume_share:.1%}"
        )


def shape_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    """The surface is farther from the case's than it says."""
    if one.surface is None:
        return
    if not one.is_decimated:
        yield from _vertex_problems(found, one)
    elif one.claim is None:
        yield Problem(
            "shape", f"{one.key}: {found.triangles} of {len(one.surface.faces)} triangles, and no deviation stated"
        )
    elif one.claim.max_mm > one.coarsest_mm:
        yield Problem(
            "shape",
            f"{one.key}: {found.triangles} of {len(one.surface.faces)} triangles stray {one.claim.max_mm:.2f} mm "
            f"from the scan's surface, at most {one.coarsest_mm:.2f}",
        )
    else:
        yield from _deviation_problems(found, one)


def mesh_problems(found: Measured, one: Expected) -> tuple[list[Problem], list[str]]:
    """An open or pinched surface is a problem, or a warning where the case's own is no better."""
    check_found = _check(found)
    if check_found is None or (check_found.is_closed and check_found.is_manifold):
        return [], []
    text = (
        f"{one.key}: {check_found.boundary_edges} open, {check_found.crowded_edges} crowded and "
        f"{check_found.flipped_edges} flipped edges, {check_found.pinched_vertices} pinched vertices"
    )
    case_check = check(one.surface) if one.surface is not None else None
    if case_check is not None and not (case_check.is_closed and case_check.is_manifold):
        return [], [f"{text}; so has the case's surface"]
    return [Problem("mesh", text)], []


def normal_problems(node: MeshNode) -> Iterator[Problem]:
    """Normals are missing, not of unit length, or look into the faces."""
    from meshing.triangles.halfedges import normal_sums

    if node.normals is None:
        yield Problem("normals", f"{node.name}: no normals; viewers would show facets")
        return
    lengths = np.linalg.norm(node.normals, axis=1)
    # Each face against the mean of its corners' normals, added up corner by corner.
    sums, across = normal_sums(node.vertices, node.faces)
    along = float(np.einsum("vi,vi->", sums, node.normals) / 3 / max(across.sum(), 1e-30))
    if not np.abs(lengths - 1).max() <= _NORMAL_LENGTH:
        yield Problem("normals", f"{node.name}: normals of length {lengths.min():.3f} to {lengths.max():.3f}, wanted 1")
    elif along < _NORMAL_COSINE:
        yield Problem("normals", f"{node.name}: normals look away from their faces (mean cosine {along:.2f})")


def annotation_problems(node: MeshNode, to_gltf: Transform) -> Iterator[Problem]:
    """A mark is not drawn where its numbers say."""
    try:
        vertices, _ = shape_of(annotation_from(node.name, node.extras))
    except DamagedFileError as error:
        yield Problem("annotation", f"{node.name}: {error}")
        return
    off = _largest_distance(to_gltf(vertices), node.vertices) * 1000
    if not off <= BOUNDS_MM:
        yield Problem("annotation", f"{node.name}: drawn {off:.3f} mm from where its numbers say")


def notice_problems(extras: Fields) -> Iterator[Problem]:
    """The notice is gone or changed."""
    if extras.values.get("notForClinicalUse") != NOT_FOR_CLINICAL_USE:
        yield Problem("notice", f"the root node does not say: {NOT_FOR_CLINICAL_USE}")


def privacy_problems(model: Model) -> Iterator[Problem]:
    """Something is said in `extras` that no list allows."""
    for one in model.objects:
        if "extras" not in one:
            continue
        extras = one.values["extras"]
        allowed = _allowed(one.where, extras)
        unknown = sorted(set(extras) - allowed) if isinstance(extras, dict) else ["(no object)"]
        if unknown:
            yield Problem(
                "privacy", f"{one.where or 'top'}.extras holds {', '.join(unknown[:5])}, which no list allows"
            )


def _allowed(where: str, extras: object) -> frozenset[str]:
    if where == "asset":
        return ASSET_FIELDS
    if where.startswith("nodes[") and isinstance(extras, dict):
        return FIELDS_OF_KIND.get(str(extras.get("kind")), frozenset())
    return frozenset()


def _vertex_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    """An exact copy has the same vertices in the same order; a copy in another order is judged by the other checks."""
    vertices, faces = one.used
    if vertices.shape != found.vertices_mm.shape or not np.array_equal(faces, found.node.faces):
        return
    off = float(np.abs(found.vertices_mm - vertices).max())
    if not off <= BOUNDS_MM:
        yield Problem("shape", f"{found.key}: vertices lie up to {off:.3f} mm from the case's")


def _deviation_problems(found: Measured, one: Expected) -> Iterator[Problem]:
    from meshing.deviation import deviation

    here = _surface(found)
    if here is None or one.surface is None or one.claim is None:
        return
    measured = deviation(here, one.surface, samples=2_000)
    # Other samples than the writer's see up to a quarter more.
    if not measured.max_mm <= 1.25 * one.claim.max_mm + BOUNDS_MM:
        yield Problem(
            "shape", f"{one.key}: {measured.max_mm:.3f} mm from the case's surface, states {one.claim.max_mm:.3f}"
        )


def _check(found: Measured) -> Check | None:
    surface = _surface(found)
    return check(surface) if surface is not None else None


def _surface(found: Measured) -> Surface | None:
    """The structure as a noun, or None where its numbers pass float32; then its bounds are off already."""
    try:
        return Surface(found.vertices_mm.astype(np.float32), found.node.faces.astype(np.int32), found.key)
    except SurfaceError:
        return None


def _largest_distance(wanted: FloatArray, found: FloatArray) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    return float(np.abs(wanted - found).max())


def _rounded(colour: Sequence[float] | FloatArray) -> str:
    return "(" + ", ".join(f"{float(value):.3f}" for value in colour) + ")"
