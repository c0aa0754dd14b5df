"""The one door out: the suffix says which format."""

from __future__ import annotations

from pathlib import Path

from meshing.case import Case
from meshing.errors import UnsupportedError
from meshing.exporting.gltf import export_glb
from meshing.exporting.meshfiles import WRITERS, export_mesh
from meshing.exporting.selection import ExportReport, ExportSettings
from meshing.progress import Progress, silent

SUFFIXES = (".glb", *WRITERS)


def export(
    case: Case, path: Path, settings: ExportSettings | None = None, *, progress: Progress = silent
) -> ExportReport:
    """What stands in the file now at `path`: a GLB, STL, PLY or OBJ by its suffix, read back and verified.

    Raises
    ------
    UnsupportedError
        If nothing here writes such files.
    ExportError
        If it cannot be written, or reads back otherwise than the case says; the old file stays.
    NotFoundError, SurfaceError
        If a structure is not there, or the budget is too small.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UnsupportedError(f"no model file ends in {suffix!r}", where=path, hint=f"one of: {' '.join(SUFFIXES)}")
    if suffix == ".glb":
        return export_glb(case, path, settings, progress=progress)
    return export_mesh(case, path, settings, progress=progress)
