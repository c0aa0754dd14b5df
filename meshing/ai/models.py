"""A model at a path, known by what lies there: an ONNX file with its sidecar, an nnU-Net folder, a MONAI bundle."""

from __future__ import annotations

from pathlib import Path

from meshing.ai.monai_bundle import bundle_plug_in, is_bundle
from meshing.ai.nnunet import is_nnunet, nnunet_plug_in
from meshing.ai.onnx_model import onnx_plug_in
from meshing.ai.plugin import PlugIn
from meshing.errors import NotFoundError, SegmentationError

KNOWN = (
    "an .onnx file with its .toml beside it; a folder with dataset.json, plans.json and fold_*/checkpoint_final.pth; "
    "a MONAI bundle with configs/metadata.json"
)


def open_model(path: Path) -> PlugIn:
    """The plug-in that runs a model. Nothing of the model is loaded; its description is read and checked.

    Raises
    ------
    NotFoundError
        If there is nothing at the path.
    SegmentationError
        If it is no model that is known here, or its description is incomplete.
    """
    if not path.exists():
        raise NotFoundError("no such model", where=path, hint=f"name {KNOWN}")
    if path.is_file() and path.suffix.lower() == ".toml" and path.with_suffix(".onnx").is_file():
        return onnx_plug_in(path.with_suffix(".onnx"))
    if path.is_file() and path.suffix.lower() == ".onnx":
        return onnx_plug_in(path)
    if path.is_dir() and is_nnunet(path):
        return nnunet_plug_in(path)
    if path.is_dir() and is_bundle(path):
        return bundle_plug_in(path)
    if path.is_dir():
        inside = sorted(path.glob("*.onnx"))
        if len(inside) == 1:
            return onnx_plug_in(inside[0])
        nested = sorted(found.parent for found in path.glob("*/plans.json") if is_nnunet(found.parent))
        if nested:
            listed = ", ".join(folder.name for folder in nested[:5])
            raise SegmentationError(f"{len(nested)} nnU-Net models lie in it: {listed}", where=path, hint="name one")
    held = ", ".join(sorted(entry.name for entry in path.iterdir())[:6]) if path.is_dir() else f"a {path.suffix} file"
    raise SegmentationError(f"that is no model known here; it holds {held or 'nothing'}", where=path, hint=KNOWN)
