"""The second opinion: the same file through trimesh, a reader that shares no line with ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meshing.exporting.findings import Problem
from meshing.exporting.model import MeshNode, Model

_SAME_M = 1e-7
"""Both readers start from the same float32 numbers."""

_SAME_VOLUME = 1e-4
_SAME_COLOUR = 0.6 / 255
"""trimesh rounds colours to 8 bits."""


def reader_problems(path: Path, model: Model) -> Iterator[Problem]:
    """Where trimesh sees something else than our reader: names, triangles, place, volume, closedness, colour.

    The file must have passed `read_model`: trimesh believes every number it reads.
    """
    import trimesh

    try:
        scene: Any = trimesh.load_scene(str(path), file_type="glb", process=False)
    except Exception as error:
        # Whatever it raises, the file is one that common software cannot open.
        yield Problem("readers", f"trimesh cannot read it: {type(error).__name__}: {error}"[:200])
        return
    names = sorted(scene.graph.nodes_geometry)
    if names != sorted(node.name for node in model.nodes):
        yield Problem("readers", f"trimesh reads {len(names)} meshes, we {len(model.nodes)}, or under other names")
        return
    for node in model.nodes:
        for text in _differences(node, scene):
            yield Problem("readers", f"{node.name}: trimesh reads {text}")


def _differences(node: MeshNode, scene: Any) -> Iterator[str]:
    matrix, geometry = scene.graph[node.name]
    mesh = scene.geometry[geometry]
    if not np.array_equal(matrix, np.eye(4)):
        mesh = mesh.copy()
        mesh.apply_transform(matrix)
    if len(mesh.faces) != len(node.faces) or len(mesh.vertices) != len(node.vertices):
        yield f"{len(mesh.faces)} triangles, we {len(node.faces)}"
        return
    off = float(np.abs(mesh.vertices - node.vertices).max())
    scale = max(float(np.abs(node.vertices).max()), 1.0)
    if not off <= _SAME_M * scale:
        yield f"vertices up to {off * 1000:.4f} mm elsewhere"
    ours = _volume(node.vertices, node.faces)
    if not abs(float(_volume(mesh.vertices, mesh.faces)) - ours) <= _SAME_VOLUME * abs(ours) + 1e-12:
        yield f"{mesh.volume * 1e6:.4f} ml, we {ours * 1e6:.4f}"
    colour = getattr(mesh.visual.material, "baseColorFactor", None)
    wanted = (*node.look.colour, node.look.alpha)
    if colour is None or np.abs(np.asarray(colour) / 255 - wanted).max() > _SAME_COLOUR:
        yield f"colour {colour}, we {wanted}"


def _volume(vertices: Any, faces: Any) -> float:
    from meshing.surface import volume_ml

    return volume_ml(np.asarray(vertices) * 1000, faces) * 1e-6
