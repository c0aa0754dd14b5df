"""A MONAI bundle folder, through MONAI's own ConfigParser: its preprocessing, network, inferer and postprocessing.

The folder holds `configs/metadata.json`, `configs/inference.json` (or .yaml) and `models/model.pt` or `model.ts`. A
configuration may hold Python expressions, and weights may be pickles, so a bundle is as trustworthy as a program.

References
----------
MONAI Bundle Specification, docs.monai.io, "mb_specification".
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.ai.exchange import Drawn, Scan
from meshing.ai.nnunet import read_json
from meshing.ai.notes import notes_in
from meshing.ai.plugin import PlugIn
from meshing.errors import SegmentationError
from meshing.progress import Progress
from meshing.segmenters.presets import Preset

_METADATA = Path("configs", "metadata.json")
_CONFIGS = ("inference.json", "inference.yaml", "inference.yml")
_WEIGHTS = (Path("models", "model.pt"), Path("models", "model.ts"))
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_WRITERS = ("SaveImage", "SaveImaged")


def is_bundle(folder: Path) -> bool:
    """Whether the folder looks like a MONAI bundle."""
    return (folder / _METADATA).is_file()


def bundle_plug_in(folder: Path) -> PlugIn:
    """The model of a bundle.

    Raises
    ------
    SegmentationError
        If its configuration or weights are missing, or its metadata name no labels.
    """
    metadata = read_json(folder / _METADATA)
    config, weights = _first(folder / "configs", _CONFIGS), _first(folder, _WEIGHTS)
    names = channel_names(metadata, folder)
    name = str(metadata.get("name") or folder.resolve().name)
    version = str(metadata.get("version", ""))
    description = str(metadata.get("description") or metadata.get("task") or name)
    image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
    preset = Preset(
        name=name,
        modality={"CT": "CT", "MR": "MR", "MRI": "MR"}.get(str(image.get("modality", "")).upper(), ""),
        title=f"MONAI {name}",
        title_zh=f"MONAI {name}",
        description=description,
        description_zh=description,
        structures=tuple(names.values()),
        is_approximate=False,
    )
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    notes = notes_in(folder, axes="RAS")
    return PlugIn(
        preset=preset,
        runs="meshing.ai.monai_bundle:segment",
        source=f"model {f'{name} {version}'.strip()}, MONAI bundle (sha256 {digest[:12]})",
        licence=notes.licence or _licence(folder, metadata),
        needs=("monai", "torch", "nibabel"),
        install=("anatomyxr[monai]",),
        options={"folder": str(folder.resolve()), "config": config.name, **notes.device_option()},
    )


def channel_names(metadata: dict[str, Any], folder: Path) -> dict[int, str]:
    """Number → name of what the network's channels mean, from the metadata; background left out."""
    outputs = metadata.get("network_data_format", {}).get("outputs", {})
    channels = outputs.get("pred", {}).get("channel_def", {}) if isinstance(outputs, dict) else {}
    names = {int(number): str(name) for number, name in channels.items() if str(number).isdigit()}
    found = {number: name for number, name in names.items() if name.lower() != "background" and number > 0}
    if not found:
        raise SegmentationError(
            "metadata.json names no channel of the output (network_data_format, outputs, pred, channel_def)",
            where=folder,
        )
    return found


def _first(folder: Path, names: tuple[str, ...] | tuple[Path, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    listed = " or ".join(str(name) for name in names)
    raise SegmentationError(f"the bundle lacks {listed}", where=folder, hint="get the bundle again")


def _licence(folder: Path, metadata: dict[str, Any]) -> str:
    """The first line of the bundle's licence file, or its copyright."""
    for name in ("LICENSE", "docs/license.txt", "docs/LICENSE", "LICENSE.txt"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip()[:80] for line in lines if line.strip()), "licence not stated")
    return str(metadata.get("license") or metadata.get("copyright") or "licence not stated")


# --------------------------------------------------------------------------------------------------------- the child


def segment(scan: Scan, options: dict[str, Any], progress: Progress) -> Drawn:
    """What the bundle draws; runs in the child."""
    import torch
    from monai.bundle import ConfigParser

    folder = Path(options["folder"])
    progress(0.05, "loading the bundle")
    device = torch.device(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    parser = ConfigParser()
    parser.read_config(folder / "configs" / options["config"])
    parser.read_meta(folder / _METADATA)
    parser["bundle_root"] = str(folder)
    parser["device"] = device
    _without_writers(parser)
    network = _network(parser, folder, device)
    item = parser.get_parsed_content("preprocessing")({"image": _nifti(scan, Path.cwd())})
    progress(0.2, f"the network predicts on {device.type}")
    inferer = parser.get_parsed_content("inferer")
    with torch.inference_mode():
        item["pred"] = inferer(inputs=item["image"][None].to(device), network=network)[0].cpu()
    progress(0.9, "postprocessing")
    pred = parser.get_parsed_content("postprocessing")(_with_place(item))["pred"]
    names = channel_names(read_json(folder / _METADATA), folder)
    return Drawn(_labels(np.asarray(pred.detach().cpu()), names), names, _place(pred))


def _without_writers(parser: Any) -> None:
    """Takes out what would write files; preprocessing and postprocessing must be there."""
    for name in ("preprocessing", "postprocessing", "inferer"):
        if name not in parser:
            raise SegmentationError(f"the configuration has no {name!r}", where="inference configuration")
    for name in ("preprocessing", "postprocessing"):
        steps = parser[name].get("transforms")
        if isinstance(steps, list):
            targets = [str(step.get("_target_", "")) if isinstance(step, dict) else "" for step in steps]
            kept = [step for step, target in zip(steps, targets, strict=True) if target.split(".")[-1] not in _WRITERS]
            parser[f"{name}::transforms"] = kept


def _network(parser: Any, folder: Path, device: Any) -> Any:
    """The network with its weights: TorchScript as it is, else the configured one with the state of model.pt."""
    import torch

    state, script = (folder / name for name in _WEIGHTS)
    if not state.is_file():
        return torch.jit.load(str(script), map_location=device).eval()
    name = next((name for name in ("network_def", "network", "net") if name in parser), "")
    if not name:
        raise SegmentationError("the configuration has no 'network_def'", where="inference configuration")
    network = parser.get_parsed_content(name)
    weights = torch.load(state, map_location=device, weights_only=True)
    network.load_state_dict(weights.get("model", weights) if isinstance(weights, dict) else weights)
    return network.to(device).eval()


def _nifti(scan: Scan, folder: Path) -> str:
    """The scan as the NIfTI file that bundles read."""
    import nibabel

    path = folder / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(np.asarray(scan.voxels), _LPS_TO_RAS @ scan.voxel_to_patient), path)
    return str(path)


def _with_place(item: dict[str, Any]) -> dict[str, Any]:
    """The prediction knows where it lies, so that postprocessing can undo what preprocessing did."""
    from monai.data import MetaTensor

    item["pred"] = MetaTensor(item["pred"], affine=item["image"].affine, meta=dict(item["image"].meta))
    item["pred"].applied_operations = item["image"].applied_operations
    return item


def _labels(pred: npt.NDArray[Any], names: dict[int, str]) -> npt.NDArray[Any]:
    """One label map of a label map, of one channel per label, or of one channel per label and background."""
    if pred.ndim == 4 and pred.shape[0] == 1:
        pred = pred[0]
    if pred.ndim == 3:
        return np.asarray(np.rint(pred), np.int64)
    if pred.ndim == 4 and pred.shape[0] == max(names) + 1:
        return np.asarray(pred.argmax(axis=0))
    if pred.ndim == 4 and pred.shape[0] == len(names):
        layers = zip(pred, sorted(names), strict=True)
        return np.stack([np.where(layer > 0.5, number, 0) for layer, number in layers])
    raise SegmentationError(f"the bundle answers {pred.shape}, its metadata name {len(names)} labels", where="pred")


def _place(pred: Any) -> npt.NDArray[np.float64] | None:
    """(4, 4) to LPS, of a prediction that says it in RAS."""
    affine = getattr(pred, "affine", None)
    return None if affine is None else _LPS_TO_RAS @ np.asarray(affine, dtype=np.float64)
