"""A GLB read back as a viewer would draw it: meshes in world coordinates, looks, and what is said of them.

This reader is one half of `verify` (trimesh is the other). It knows what our writer may write, refuses the rest, and
checks every number before it allocates: the file may come from anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError, NotFoundError, TooLargeError, UnsupportedError
from meshing.exporting.fields import Fields, every_object
from meshing.exporting.glb import Glb, read_glb
from meshing.exporting.measure import box
from meshing.frames import FloatArray

MAX_TRIANGLES = 50_000_000
"""Of the whole model; two hundred times what a headset draws."""

_KNOWN_PARTS = frozenset(
    {"asset", "scene", "scenes", "nodes", "meshes", "materials", "accessors", "bufferViews", "buffers"}
)
_COMPONENTS: dict[int, np.dtype[Any]] = {
    5126: np.dtype("<f4"),
    5121: np.dtype("u1"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
}
_WIDTHS = {"SCALAR": 1, "VEC3": 3}
_TRIANGLES = 4
_DEEPEST = 32


@dataclass(frozen=True)
class Look:
    """How a mesh is drawn: linear colour, alpha, whether alpha counts ("BLEND") or not ("OPAQUE"), and as what."""

    colour: tuple[float, float, float]
    alpha: float
    alpha_mode: str
    metallic: float


@dataclass(frozen=True, eq=False)
class MeshNode:
    """One mesh as the scene places it.

    Parameters
    ----------
    group
        Name of the node above it.
    vertices, normals
        (V, 3) float64 in world coordinates; normals as the file gives them, or None.
    faces
        (F, 3); counter-clockwise as the viewer sees them.
    """

    name: str
    group: str
    vertices: FloatArray
    normals: FloatArray | None
    faces: npt.NDArray[np.int32]
    look: Look
    extras: Fields

    @property
    def kind(self) -> str:
        """What `extras` call it: "structure", the kind of an annotation, or "" for nothing that we know."""
        kind = self.extras.values.get("kind")
        return kind if isinstance(kind, str) else ""


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that a GLB draws, and the `extras` of its root node."""

    root_extras: Fields
    nodes: tuple[MeshNode, ...]
    objects: tuple[Fields, ...]


def read_model(path: Path) -> Model:
    """The model in the file.

    Raises
    ------
    DamagedFileError
        If it breaks the format, or a number in it promises what the file cannot hold.
    UnsupportedError
        If it holds what our writer never writes: extensions, textures, several primitives to a mesh, …
    NotFoundError, TooLargeError
        If there is no such file, or more of it than a model can be.
    """
    try:
        return _read(read_glb(path))
    except (DamagedFileError, UnsupportedError, TooLargeError) as error:
        place = f"{path.name}: {error.where}" if error.where else path.name
        raise type(error)(error.message, where=place, hint=error.hint or "export the case again") from error
    except NotFoundError:
        raise
    except (MemoryError, OverflowError) as error:
        raise TooLargeError(f"cannot be held: {error}", where=path) from error


def _read(glb: Glb) -> Model:
    root = glb.root
    objects = tuple(every_object(root.values))
    _refuse_unknown(root, objects)
    arrays = _Arrays(glb)
    meshes = [_Mesh(fields, arrays) for fields in root.each("meshes")]
    materials = [_look(fields) for fields in root.each("materials")]
    nodes = root.each("nodes")
    roots = _scene_roots(root, len(nodes))
    placed = _placed(nodes, roots)
    drawn = [one for one in placed if "mesh" in one.fields]
    triangles = sum(meshes[one.fields.whole("mesh", below=len(meshes))].triangles for one in drawn)
    if triangles > MAX_TRIANGLES:
        raise TooLargeError(f"{triangles} triangles, at most {MAX_TRIANGLES} are read")
    made = tuple(_mesh_node(one, meshes[one.fields.whole("mesh")], materials) for one in drawn)
    first = nodes[roots[0]].inner("extras") if roots else Fields({}, "")
    return Model(first, made, objects)


def _refuse_unknown(root: Fields, objects: tuple[Fields, ...]) -> None:
    version = root.inner("asset").text("version")
    if version != "2.0":
        raise UnsupportedError(f"glTF version {version!r}, wanted '2.0'", where="asset")
    for one in objects:
        if "extensions" in one:
            raise UnsupportedError("uses extensions, which our models never need", where=one.where)
    unknown = sorted(set(root.values) - _KNOWN_PARTS)
    if unknown:
        raise UnsupportedError(f"holds {', '.join(unknown)[:100]}, which our models never have")


class _Arrays:
    """The accessors of a file, each checked against the bytes behind it; arrays are views, nothing is copied."""

    def __init__(self, glb: Glb) -> None:
        self._binary = glb.binary
        self._size = _buffer_size(glb)
        self._views = glb.root.each("bufferViews")
        self._accessors = glb.root.each("accessors")
        for number in range(len(self._accessors)):
            self.read(number)

    def __len__(self) -> int:
        return len(self._accessors)

    def read(self, number: int) -> npt.NDArray[Any]:
        """(count,) or (count, 3) of the accessor."""
        accessor = self._accessors[number]
        component, width = _COMPONENTS.get(accessor.whole("componentType")), _WIDTHS.get(accessor.text("type"))
        if component is None or width is None or "sparse" in accessor or accessor.values.get("normalized"):
            raise UnsupportedError("is sparse, normalised or of a type that our models never use", where=accessor.where)
        start, length, stride = self._view(accessor.whole("bufferView", below=len(self._views)))
        offset, count = accessor.whole("byteOffset", 0), accessor.whole("count")
        item = component.itemsize * width
        step = stride or item
        if count < 1 or step < item or offset + (count - 1) * step + item > length:
            raise DamagedFileError(f"{count} items from byte {offset} leave its view of {length}", where=accessor.where)
        if (start + offset) % component.itemsize or step % component.itemsize:
            raise DamagedFileError(f"begins at byte {start + offset}, not aligned", where=accessor.where)
        shape, strides = ((count, 3), (step, component.itemsize)) if width == 3 else ((count,), (step,))
        return np.ndarray(shape, component, self._binary, start + offset, strides)

    def limits(self, number: int) -> tuple[FloatArray, FloatArray]:
        """The lowest and highest values that the accessor declares."""
        return self._accessors[number].array("min", (3,)), self._accessors[number].array("max", (3,))

    def _view(self, number: int) -> tuple[int, int, int]:
        view = self._views[number]
        start, length = view.whole("byteOffset", 0), view.whole("byteLength")
        view.whole("buffer", below=1)
        if start + length > self._size:
            raise DamagedFileError(f"ends at byte {start + length} of {self._size}", where=view.where)
        return start, length, view.whole("byteStride", 0, below=253)


def _buffer_size(glb: Glb) -> int:
    buffers = glb.root.each("buffers")
    if len(buffers) != 1 or "uri" in buffers[0]:
        raise UnsupportedError(f"{len(buffers)} buffers, wanted one inside the file", where="buffers")
    size = buffers[0].whole("byteLength")
    if not 0 <= len(glb.binary) - size <= 3:
        raise DamagedFileError(f"claims {size} bytes, the chunk holds {len(glb.binary)}", where="buffers[0]")
    return size


class _Mesh:
    """One triangle list, not yet placed."""

    def __init__(self, fields: Fields, arrays: _Arrays) -> None:
        primitives = fields.each("primitives")
        if len(primitives) != 1 or primitives[0].whole("mode", _TRIANGLES) != _TRIANGLES or "targets" in primitives[0]:
            raise UnsupportedError(f"{len(primitives)} primitives, wanted one of triangles", where=fields.where)
        primitive, attributes = primitives[0], primitives[0].inner("attributes")
        self.where = primitive.where
        number = attributes.whole("POSITION", below=len(arrays))
        self.positions = _vectors(arrays, number, attributes.where)
        self.normals = None
        if "NORMAL" in attributes:
            self.normals = _vectors(arrays, attributes.whole("NORMAL", below=len(arrays)), attributes.where)
        self.indices = arrays.read(primitive.whole("indices", below=len(arrays)))
        self.material = primitive.whole("material")
        self.triangles = len(self.indices) // 3
        self._check(*arrays.limits(number))

    def _check(self, low: FloatArray, high: FloatArray) -> None:
        if self.indices.dtype.kind != "u" or self.indices.ndim != 1 or len(self.indices) % 3:
            raise DamagedFileError("its indices are no triples of whole numbers", where=self.where)
        if self.indices.max() >= len(self.positions):
            raise DamagedFileError(f"index {self.indices.max()} of {len(self.positions)} vertices", where=self.where)
        if self.normals is not None and len(self.normals) != len(self.positions):
            raise DamagedFileError(f"{len(self.normals)} normals, {len(self.positions)} vertices", where=self.where)
        if not np.array_equal(box(self.positions), [low, high]):
            raise DamagedFileError("its positions leave or do not fill their declared min and max", where=self.where)


def _vectors(arrays: _Arrays, number: int, where: str) -> npt.NDArray[Any]:
    found = arrays.read(number)
    if found.dtype.kind != "f" or found.ndim != 2 or not np.isfinite(found).all():
        raise DamagedFileError("vectors are not three finite floats each", where=where)
    return found


def _look(fields: Fields) -> Look:
    factors = fields.inner("pbrMetallicRoughness")
    red, green, blue, alpha = factors.array("baseColorFactor", (4,), (1.0, 1.0, 1.0, 1.0)).tolist()
    return Look((red, green, blue), alpha, fields.text("alphaMode", "OPAQUE"), factors.number("metallicFactor", 1.0))


@dataclass(frozen=True, eq=False)
class _Placed:
    """A node, the name of the one above it, and its place in the world."""

    fields: Fields
    group: str
    matrix: FloatArray


def _scene_roots(root: Fields, count: int) -> list[int]:
    scenes = root.each("scenes")
    if len(scenes) != 1:
        raise UnsupportedError(f"{len(scenes)} scenes, wanted one", where="scenes")
    root.whole("scene", 0, below=1)
    return scenes[0].indices("nodes", below=count)


def _placed(nodes: list[Fields], roots: list[int]) -> list[_Placed]:
    """Every node that the scene reaches, each once.

    Raises
    ------
    DamagedFileError
        If nodes form a ring, or one hangs under two others or too deep.
    """
    placed: list[_Placed] = []
    seen: set[int] = set()
    waiting = [(number, "", np.eye(4), 0) for number in reversed(roots)]
    while waiting:
        number, group, above, depth = waiting.pop()
        if number in seen or depth > _DEEPEST:
            raise DamagedFileError("is reached twice, or lies too deep", where=nodes[number].where)
        seen.add(number)
        node = nodes[number]
        matrix = above @ _local_matrix(node)
        if not np.isfinite(matrix).all():
            raise DamagedFileError("its place in the world is not finite", where=node.where)
        placed.append(_Placed(node, group, matrix))
        name = node.text("name", "")
        below = node.indices("children", below=len(nodes))
        waiting.extend((child, name, matrix, depth + 1) for child in reversed(below))
    return placed


def _local_matrix(node: Fields) -> FloatArray:
    """Translation · rotation · scale, or the matrix (column-major in the file). glTF 2.0 §3.5.3."""
    if "matrix" in node:
        return node.array("matrix", (16,)).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = node.array("rotation", (4,), (0.0, 0.0, 0.0, 1.0))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:3, :3] = turn * node.array("scale", (3,), (1.0, 1.0, 1.0))
    matrix[:3, 3] = node.array("translation", (3,), (0.0, 0.0, 0.0))
    return matrix


def _mesh_node(place: _Placed, mesh: _Mesh, materials: list[Look]) -> MeshNode:
    node = place.fields
    if mesh.material >= len(materials):
        raise DamagedFileError(f"material {mesh.material} of {len(materials)}", where=mesh.where)
    linear = place.matrix[:3, :3]
    faces = mesh.indices.reshape(-1, 3).astype(np.int32)  # under 2³¹: vertices take 12 bytes each of 4 GiB
    if np.linalg.det(linear) < 0:
        # Viewers turn the winding round under a mirroring transform (glTF 2.0 §3.7.4).
        faces = faces[:, ::-1]
    with np.errstate(all="ignore"):
        vertices = mesh.positions.astype(np.float64) @ linear.T + place.matrix[:3, 3]
        normals = None if mesh.normals is None else mesh.normals.astype(np.float64) @ _normal_matrix(linear)
    if not np.isfinite(vertices).all():
        raise DamagedFileError("its place in the world is not finite", where=node.where)
    extras = node.inner("extras")
    return MeshNode(node.text("name", ""), place.group, vertices, normals, faces, materials[mesh.material], extras)


def _normal_matrix(linear: FloatArray) -> FloatArray:
    """Carries row normals along with `linear`; the identity stays exactly that."""
    if abs(np.linalg.det(linear)) < 1e-30:
        return np.zeros((3, 3))
    return np.asarray(np.linalg.inv(linear), dtype=np.float64)
