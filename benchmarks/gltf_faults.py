"""What a headset would show wrong in a glTF that any validator accepts: read from the JSON of .gltf and .glb alike.

Independent of the project's own reader: boxes come from the accessors' limits and the nodes' matrices, which every
writer must give.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.exporting.colour import srgb_to_linear
from meshing.terminology import Structure

Array = npt.NDArray[np.float64]

# Rows: what should lie along the file's x, y, z, in LPS: left, up, front (glTF 2.0 §3.4).
_WANTED = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
_LETTERS = ("L", "P", "S"), ("R", "A", "I")
_COLOUR = 0.01
"""Half a step of 8 bits is 0.002 in linear light; a forgotten sRGB curve is off by up to 0.28."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A mesh as the file places it: name, lowest and highest corner (2, 3), material, and whether it has normals."""

    name: str
    box: Array
    material: Mapping[str, Any]
    has_normals: bool


@dataclass(frozen=True, eq=False)
class Wanted:
    """A structure as it should be: its box in LPS mm (2, 3), and how it looks."""

    structure: Structure
    box_mm: Array


@dataclass(frozen=True)
class Faults:
    """One answer for each question, "right" where nothing is wrong."""

    container: str
    size: str
    orientation: str
    place: str
    names: str
    opacity: str
    colours: str
    normals: str


def faults(path: Path, wanted: Mapping[str, Wanted]) -> Faults:
    """What is wrong with the file, for `wanted` by key, in the order in which they were given to the writer."""
    document = document_of(path)
    drawn = list(_drawn(document))
    named = {one.name: one for one in drawn}
    is_named = set(wanted) <= set(named)
    # A writer that drops names keeps the order at least; otherwise nothing could be compared at all.
    pairs = [(one, named[key] if is_named else drawn[at]) for at, (key, one) in enumerate(wanted.items())]
    scale, turn = _fit(
        np.array([one.box_mm.mean(axis=0) for one, _ in pairs]),
        np.array([found.box.mean(axis=0) for _, found in pairs]),
    )
    corners = np.concatenate([found.box for _, found in pairs])
    centre = float(np.linalg.norm((corners.min(axis=0) + corners.max(axis=0)) / 2))
    tallest = float(np.ptp(corners, axis=0).max())
    opaque = [one for one, found in pairs if one.structure.opacity < 1 and not _is_clear(found.material, one.structure)]
    clear = sum(one.structure.opacity < 1 for one, _ in pairs)
    lost = sum(key not in named for key in wanted)
    return Faults(
        container=_container(path),
        size="right" if abs(scale * 1000 - 1) < 0.01 else f"{tallest:.0f} m large ({scale * 1000:.0f}×)",
        orientation=_orientation(turn),
        place="right" if centre < tallest else f"{centre:.0f} m away",
        names="right" if not lost else f"{lost} of {len(wanted)} lost",
        opacity="right" if not opaque else f"{len(opaque)} of {clear} drawn opaque",
        colours=_colours(pairs),
        normals="right" if all(found.has_normals for _, found in pairs) else "none: facets",
    )


def document_of(path: Path) -> dict[str, Any]:
    """The JSON of a .glb or .gltf, whatever its suffix says."""
    content = path.read_bytes()
    if content[:4] == b"glTF":
        (length,) = struct.unpack_from("<I", content, 12)
        content = content[20 : 20 + length]
    document: dict[str, Any] = json.loads(content)
    return document


def _container(path: Path) -> str:
    is_binary = path.read_bytes()[:4] == b"glTF"
    if path.suffix == ".glb" and not is_binary:
        return "JSON named .glb"
    return "right" if is_binary else "JSON with base64"


def _drawn(document: Mapping[str, Any]) -> Iterator[Drawn]:
    """Meshes in the order of their nodes, each with the matrices of the nodes above it."""
    nodes = document["nodes"]
    world: dict[int, Array] = {}
    waiting = [(root, np.eye(4)) for scene in document["scenes"] for root in scene["nodes"]]
    while waiting:
        number, above = waiting.pop()
        world[number] = above @ _matrix(nodes[number])
        waiting += [(child, world[number]) for child in nodes[number].get("children", ())]
    for number in sorted(world):
        if "mesh" not in nodes[number]:
            continue
        for primitive in document["meshes"][nodes[number]["mesh"]]["primitives"]:
            limits = document["accessors"][primitive["attributes"]["POSITION"]]
            materials = document.get("materials", [])
            yield Drawn(
                nodes[number].get("name", ""),
                _turned_box(np.array([limits["min"], limits["max"]]), world[number]),
                materials[primitive["material"]] if "material" in primitive else {},
                "NORMAL" in primitive["attributes"],
            )


def _matrix(node: Mapping[str, Any]) -> Array:
    """A node's own matrix; the writers compared here write matrices or nothing."""
    return np.reshape(np.array(node.get("matrix", np.eye(4).ravel()), dtype=np.float64), (4, 4)).T


def _turned_box(box: Array, matrix: Array) -> Array:
    corners = np.array([[box[pick[axis], axis] for axis in range(3)] for pick in np.ndindex(2, 2, 2)])
    moved = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return np.array([moved.min(axis=0), moved.max(axis=0)])


def _fit(wanted_mm: Array, found: Array) -> tuple[float, Array]:
    """Units of the file per mm, and the rows of the file's axes in LPS, by least squares over box centres."""
    linear, *_ = np.linalg.lstsq(wanted_mm - wanted_mm.mean(axis=0), found - found.mean(axis=0), rcond=None)
    scale = float(np.cbrt(abs(np.linalg.det(linear))))
    return scale, linear.T / max(scale, 1e-30)


def _orientation(turn: Array) -> str:
    if np.abs(turn - _WANTED).max() < 0.01:
        return "right"
    mirrored = "mirrored, " if np.linalg.det(turn) < 0 else ""
    up, front = (_letter(turn[row]) for row in (1, 2))
    return f"{mirrored}{up} up, {front} in front"


def _letter(row: Array) -> str:
    axis = int(np.abs(row).argmax())
    return _LETTERS[0 if row[axis] > 0 else 1][axis]


def _is_clear(material: Mapping[str, Any], structure: Structure) -> bool:
    alpha = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])[3]
    return material.get("alphaMode") == "BLEND" and abs(alpha - structure.opacity) <= _COLOUR


def _colours(pairs: list[tuple[Wanted, Drawn]]) -> str:
    off = raw = 0
    for one, found in pairs:
        factor = found.material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])[:3]
        off += bool(np.abs(np.subtract(factor, srgb_to_linear(one.structure.colour))).max() > _COLOUR)
        raw += bool(np.abs(np.subtract(factor, one.structure.colour)).max() <= _COLOUR)
    if not off:
        return "right"
    return "sRGB as linear" if raw >= off else f"{off} of {len(pairs)} off"
