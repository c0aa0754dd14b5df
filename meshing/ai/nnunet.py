"""A trained nnU-Net v2 model folder, through nnU-Net's own predictor.

The folder is what `nnUNetv2_train` leaves: `dataset.json`, `plans.json` and `fold_*/checkpoint_final.pth`. A checkpoint
is a pickle: loading it runs what its author put there, so a folder is as trustworthy as a program.

nnU-Net keeps no orientation: a network sees voxels in the order in which its training files stored them. An
`anatomyxr.toml` in the folder says it (`axes`, and `licence`); without one it is "RAS", the usual order of NIfTI files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from meshing.ai.exchange import Drawn, Scan
from meshing.ai.feeding import turned, turned_back
from meshing.ai.notes import notes_in
from meshing.ai.plugin import PlugIn
from meshing.errors import SegmentationError
from meshing.progress import Progress
from meshing.segmenters.presets import Preset

CHECKPOINT = "checkpoint_final.pth"
_FILES = ("dataset.json", "plans.json")


def is_nnunet(folder: Path) -> bool:
    """Whether the folder looks like a trained nnU-Net v2 model."""
    return all((folder / name).is_file() for name in _FILES)


def nnunet_plug_in(folder: Path) -> PlugIn:
    """The model of a folder.

    Raises
    ------
    SegmentationError
        If it lacks checkpoints, takes several channels, has regions that overlap, or its files are no JSON.
    """
    dataset, plans = (read_json(folder / name) for name in _FILES)
    folds = folds_of(folder)
    if not folds:
        raise SegmentationError(
            f"no fold holds {CHECKPOINT}", where=folder, hint="name the folder with fold_0, fold_1, … in it"
        )
    channels = dataset.get("channel_names", {})
    if len(channels) != 1:
        raise SegmentationError(f"the model wants {len(channels)} channels, a scan has one", where=folder)
    names = label_names(dataset, folder)
    notes = notes_in(folder, axes="RAS")
    name = str(plans.get("dataset_name") or folder.parent.name or folder.name)
    preset = Preset(
        name=name,
        modality="CT" if str(next(iter(channels.values()))).upper() == "CT" else "",
        title=f"nnU-Net {name}",
        title_zh=f"nnU-Net {name}",
        description=f"a trained nnU-Net v2, {len(folds)} folds, {plans.get('plans_name', 'unnamed plans')}",
        description_zh=f"已训练的 nnU-Net v2，{len(folds)} 折",
        structures=tuple(names.values()),
        is_approximate=False,
    )
    digest = hashlib.sha256()
    for fold in folds:
        with (folder / f"fold_{fold}" / CHECKPOINT).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return PlugIn(
        preset=preset,
        runs="meshing.ai.nnunet:segment",
        source=f"model {name}, nnU-Net v2 folds {', '.join(folds)} (sha256 {digest.hexdigest()[:12]})",
        licence=notes.licence or str(dataset.get("licence") or dataset.get("license") or "licence not stated"),
        needs=("nnunetv2", "torch"),
        install=("anatomyxr[nnunet]",),
        options={"folder": str(folder.resolve()), "folds": folds, "axes": notes.axes, **notes.device_option()},
    )


def folds_of(folder: Path) -> list[str]:
    """Names of the folds that hold a final checkpoint: "0", "1", … or "all"."""
    found = sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{CHECKPOINT}"))
    return [name for name in found if name.isdigit()] or [name for name in found if name == "all"]


def label_names(dataset: dict[str, Any], folder: Path) -> dict[int, str]:
    """Number → name from a dataset.json; background and "ignore" left out."""
    names: dict[int, str] = {}
    for name, number in dataset.get("labels", {}).items():
        if isinstance(number, list):
            raise SegmentationError(
                f"{name} is a region of labels {number}; regions overlap and are not read here", where=folder
            )
        if int(number) > 0 and name != "ignore":
            names[int(number)] = str(name)
    if not names:
        raise SegmentationError("dataset.json names no label", where=folder)
    return names


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder."""
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegmentationError(f"it cannot be read: {error}", where=path, hint="get the model again") from error
    if not isinstance(words, dict):
        raise SegmentationError("it holds no JSON object", where=path, hint="get the model again")
    return words


def segment(scan: Scan, options: dict[str, Any], progress: Progress) -> Drawn:
    """What the network draws; runs in the child."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = Path(options["folder"])
    progress(0.05, "loading nnU-Net")
    device = torch.device(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    predictor = nnUNetPredictor(device=device, allow_tqdm=False, verbose=False)
    folds = tuple(fold if fold == "all" else int(fold) for fold in options["folds"])
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=folds, checkpoint_name=CHECKPOINT)
    progress(0.2, f"nnU-Net predicts on {device.type}")
    axes = options["axes"]
    seen = turned(scan.voxels, axes)
    spacing = dict(zip("LPS", scan.spacing_mm, strict=True)) | dict(zip("RAI", scan.spacing_mm, strict=True))
    # nnU-Net's arrays are (channel, z, y, x), as SimpleITK gives them.
    image = np.ascontiguousarray(seen.transpose(2, 1, 0)[None], dtype=np.float32)
    properties = {"spacing": [spacing[letter] for letter in reversed(axes)]}
    labels = predictor.predict_single_npy_array(image, properties)
    progress(0.95, "reading labels")
    names = label_names(read_json(folder / "dataset.json"), folder)
    return Drawn(np.ascontiguousarray(turned_back(labels.transpose(2, 1, 0), axes)), names)
