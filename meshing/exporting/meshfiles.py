"""Plain mesh files in LPS millimetres: STL and PLY for printing and measuring, OBJ for drawing programs.

Each is one file with all chosen structures, read back before it takes its place.

====== ============================================================================================
STL    binary; keeps no names or colours: name one structure to have it alone
PLY    binary; colour and structure number per face, the numbers' keys in its comments
OBJ    text; a group and a material per structure, colours in the `.mtl` file beside it
====== ============================================================================================

All say "SPACE=LPS", which 3D Slicer reads, and that they are for planning practice and teaching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from meshing.atomic import replace_file
from meshing.case import Case
from meshing.errors import ExportError, UnsupportedError
from meshing.exporting.layout import NOT_FOR_CLINICAL_USE
from meshing.exporting.measure import box, used_part
from meshing.exporting.selection import Chosen, ExportReport, ExportSettings, choose, report
from meshing.frames import FloatArray
from meshing.progress import Progress, part, silent
from meshing.surface import volume_ml

_STL_HEADER = b"AnatomyXR SPACE=LPS UNIT=mm For planning practice, teaching; no medical device"
"""At most 80 bytes, and never "solid" first: that means text."""

_STL_FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_PLY_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3), ("colour", "u1", 4), ("structure", "<u2")])

_BOUNDS_MM = 0.001
_VOLUME_SHARE = 1e-4
"""OBJ is written to 0.0001 mm, the others exactly."""

MeshWriter = Callable[[BinaryIO, Sequence[Chosen], Path], None]


def export_mesh(
    case: Case, path: Path, settings: ExportSettings | None = None, *, progress: Progress = silent
) -> ExportReport:
    """What stands in the STL, PLY or OBJ now at `path`, by its suffix: read back and found to hold the same triangles.

    Raises
    ------
    UnsupportedError
        If the suffix is none of them.
    ExportError
        If the file cannot be written, reads back otherwise, or annotations were asked for.
    NotFoundError, SurfaceError
        If a structure is not there, or the budget is too small.
    """
    settings = settings or ExportSettings()
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UnsupportedError(f"no mesh file ends in {path.suffix!r}", where=path, hint=f"one of: {' '.join(WRITERS)}")
    if settings.annotations:
        raise ExportError(f"{path.suffix} holds no annotations", where=path, hint="export a .glb")
    chosen = choose(case, settings, progress=part(progress, 0.0, 0.5))
    progress(0.5, "writing the meshes")
    with replace_file(path) as file:
        write(file, chosen, path)
        file.flush()
        progress(0.8, "reading them back")
        _require_same(file, path, chosen)
        if path.suffix.lower() == ".obj":
            _write_materials(path.with_suffix(".mtl"), chosen)
    progress(1.0, "exported")
    return report(path, chosen)


def _write_stl(file: BinaryIO, chosen: Sequence[Chosen], path: Path) -> None:
    file.write(_STL_HEADER.ljust(80))
    file.write(np.array(sum(len(one.surface.faces) for one in chosen), "<u4").tobytes())
    for one in chosen:
        corners = one.surface.vertices[one.surface.faces].astype(np.float64)
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        faces = np.zeros(len(corners), _STL_FACE)
        faces["normal"] = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
        faces["corners"] = corners
        file.write(faces.tobytes())


def _write_ply(file: BinaryIO, chosen: Sequence[Chosen], path: Path) -> None:
    parts = [used_part(one.surface) for one in chosen]
    comments = [f"structure {number} {_ascii(one.key)}" for number, one in enumerate(chosen)]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {text}" for text in ("AnatomyXR", "SPACE=LPS", "UNIT=mm", NOT_FOR_CLINICAL_USE, *comments)),
        f"element vertex {sum(len(vertices) for vertices, _ in parts)}",
        *(f"property float {axis}" for axis in "xyz"),
        f"element face {sum(len(faces) for _, faces in parts)}",
        "property list uchar int vertex_indices",
        *(f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")),
        "property ushort structure",
        "end_header",
    ]
    file.write(("\n".join(header) + "\n").encode("ascii"))
    for vertices, _ in parts:
        file.write(vertices.astype("<f4").tobytes())
    first = 0
    for number, (one, (vertices, faces)) in enumerate(zip(chosen, parts, strict=True)):
        rows = np.zeros(len(faces), _PLY_FACE)
        rows["count"], rows["corners"], rows["structure"] = 3, faces + first, number
        rows["colour"] = np.round(np.array([*one.segment.structure.colour, one.segment.structure.opacity]) * 255)
        file.write(rows.tobytes())
        first += len(vertices)


def _write_obj(file: BinaryIO, chosen: Sequence[Chosen], path: Path) -> None:
    lines = ["# AnatomyXR", "# SPACE=LPS", "# UNIT=mm", f"# {NOT_FOR_CLINICAL_USE}"]
    lines.append(f"mtllib {path.with_suffix('.mtl').name}")
    file.write(("\n".join(lines) + "\n").encode())
    first = 1
    for one in chosen:
        vertices, faces = used_part(one.surface)
        file.write(f"o {one.key}\ng {one.key}\nusemtl {one.key}\n".encode())
        file.write(_rows("v %.4f %.4f %.4f\n", vertices))
        file.write(_rows("f %d %d %d\n", faces + first))
        first += len(vertices)


def _write_materials(path: Path, chosen: Sequence[Chosen]) -> None:
    """Colours as sRGB, which is what readers of this old format take them for."""
    lines = ["# AnatomyXR", f"# {NOT_FOR_CLINICAL_USE}"]
    for one in chosen:
        red, green, blue = one.segment.structure.colour
        lines += [f"newmtl {one.key}", f"Kd {red:.6f} {green:.6f} {blue:.6f}", "Ks 0.1 0.1 0.1", "Ns 20"]
        lines += [f"d {one.segment.structure.opacity:.6f}", "illum 2"]
    with replace_file(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


WRITERS: dict[str, MeshWriter] = {".stl": _write_stl, ".ply": _write_ply, ".obj": _write_obj}


def _require_same(file: BinaryIO, path: Path, chosen: Sequence[Chosen]) -> None:
    """Reads the file through trimesh and compares triangles, bounds and volume."""
    vertices, faces = _read_back(file, path)
    parts = [used_part(one.surface) for one in chosen]
    wanted_box = box(np.vstack([box(used) for used, _ in parts]))
    wanted_ml = sum(volume_ml(used, triangles) for used, triangles in parts)
    wanted = sum(len(triangles) for _, triangles in parts)
    found_ml = volume_ml(vertices, faces)
    is_same = (
        len(faces) == wanted
        and np.abs(box(vertices) - wanted_box).max() <= _BOUNDS_MM
        and abs(found_ml - wanted_ml) <= _VOLUME_SHARE * abs(wanted_ml) + 1e-6
    )
    if not is_same:
        raise ExportError(
            f"reads back with {len(faces)} of {wanted} triangles and {found_ml:.3f} of {wanted_ml:.3f} ml",
            where=path,
            hint="the old file is unchanged; check the disk",
        )


def _read_back(file: BinaryIO, path: Path) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    import trimesh

    kind = path.suffix.lower().lstrip(".")
    try:
        file.seek(0)
        mesh: Any = trimesh.load_mesh(file, file_type=kind, process=False, skip_materials=True)
        vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64)
        if faces.shape[1:] != (3,) or vertices.shape[1:] != (3,) or not len(faces) or faces.max() >= len(vertices):
            raise ValueError(f"faces of shape {faces.shape} over vertices of shape {vertices.shape}")
    except Exception as error:
        raise ExportError(f"cannot be read back: {error}", where=path, hint="check the disk") from error
    return vertices, faces


def _rows(pattern: str, table: npt.NDArray[Any]) -> bytes:
    """Every row through one pattern; a hundred thousand at once, so that no great tuple stands in memory."""
    pieces = []
    for start in range(0, len(table), 100_000):
        piece = table[start : start + 100_000]
        pieces.append((pattern * len(piece)) % tuple(piece.ravel().tolist()))
    return "".join(pieces).encode()


def _ascii(key: str) -> str:
    """A key in the ASCII that PLY headers allow: 肝 becomes \\u809d."""
    return key.encode("ascii", "backslashreplace").decode("ascii")
