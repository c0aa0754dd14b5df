"""TotalSegmentator's open tasks as presets, run by its own package in a process of its own.

Which there are stands in `assets/totalsegmentator.toml`. Weights are never fetched from here: a task whose weights are
not on this disk says so, with the package's own command that fetches them, and the child is kept off the network, usage
statistics included.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meshing.ai.exchange import Drawn, Scan
from meshing.ai.plugin import PlugIn
from meshing.library import asset
from meshing.progress import Progress
from meshing.segmenters.presets import Preset
from meshing.terminology import match

LICENSED_WHY = "needs a licence key of its author: free for non-commercial use, paid otherwise; not offered here"

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NOWHERE = "http://127.0.0.1:9"
"""The discard port: whatever would go out, ends here."""


@dataclass(frozen=True)
class TotalSegmentator(PlugIn):
    """One task of the package.

    Parameters
    ----------
    weights
        Folders that must lie in the weights folder.
    task
        What the package calls it.
    """

    weights: tuple[str, ...] = ()
    task: str = ""

    def unavailable_because(self) -> str:
        """The package or the weights that are missing, with the command that gets them."""
        missing = super().unavailable_because()
        if missing:
            return missing
        lacking = [name for name in self.weights if not any((weights_folder() / name).rglob("checkpoint_final.pth"))]
        if not lacking:
            return ""
        command = f"totalseg_download_weights -t {self.task}"
        if any("Dataset297" in name or "Dataset298" in name for name in lacking):
            command += " && totalseg_download_weights -t total_fast"
        return (
            f"{len(lacking)} of {len(self.weights)} sets of weights are not in {weights_folder()}; "
            f"fetch them, {self.download}: {command}"
        )


def weights_folder() -> Path:
    """Where the package keeps its weights."""
    if named := os.environ.get("TOTALSEG_WEIGHTS_PATH"):
        return Path(named)
    home = os.environ.get("TOTALSEG_HOME_DIR")
    return (Path(home) if home else Path.home() / ".totalsegmentator") / "nnunet" / "results"


def licensed_tasks() -> tuple[str, ...]:
    """Tasks that nobody may run without a licence key."""
    return tuple(_table()["licensed"])


def task_preset(name: str) -> TotalSegmentator:
    """The plug-in of a preset name in the asset."""
    table = _table()
    row = table["presets"][name]
    classes = class_names(name)
    structures = [known.key for known in map(match, classes.values()) if known is not None]
    preset = Preset(
        name=name,
        modality=row["modality"],
        title=row["title"],
        title_zh=row["title_zh"],
        description=row["description"],
        description_zh=row["description_zh"],
        structures=tuple(dict.fromkeys(structures)),
        is_approximate=row["is_fast"],
    )
    return TotalSegmentator(
        preset=preset,
        runs="meshing.ai.totalsegmentator:segment",
        source=f"{table['package']}, task {row['task']}{' at 3 mm' if row['is_fast'] else ''}",
        licence=table["licence"],
        needs=("totalsegmentator", "nnunetv2", "torch"),
        install=("anatomyxr[totalsegmentator]",),
        download=f"{len(row['weights'])} archives of weights whose size the package does not state",
        options={"task": row["task"], "is_fast": row["is_fast"], "weights": str(weights_folder())},
        weights=tuple(row["weights"]),
        task=row["task"] + ("_fast" if row["is_fast"] else ""),
    )


def class_names(name: str) -> dict[int, str]:
    """Number → our key, where the terminology or the asset knows one, else the package's own name."""
    table = _table()
    row = table["presets"][name]
    classes = row.get("classes") or table["presets"][row["classes_of"]]["classes"]
    return {number: table["names"].get(text, text) for number, text in enumerate(classes, start=1)}


def __getattr__(name: str) -> TotalSegmentator:
    """An entry point names a preset with underscores: "meshing.ai.totalsegmentator:totalsegmentator_fast"."""
    preset = name.replace("_", "-")
    if preset.startswith("totalsegmentator") and preset in _table()["presets"]:
        return task_preset(preset)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(asset("totalsegmentator.toml").read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------------------------- the child


def segment(scan: Scan, options: dict[str, Any], progress: Progress) -> Drawn:
    """What the task draws; runs in the child."""
    _keep_to_itself(Path.cwd() / "home", options["weights"])
    import nibabel
    from totalsegmentator.map_to_binary import class_map
    from totalsegmentator.python_api import totalsegmentator

    task = options["task"]
    progress(0.1, f"TotalSegmentator, task {task}")
    image = nibabel.Nifti1Image(np.asarray(scan.voxels), _LPS_TO_RAS @ scan.voxel_to_patient)
    made = totalsegmentator(image, None, ml=True, task=task, fast=options["is_fast"], quiet=True, nr_thr_saving=1)
    names = {int(number): _table()["names"].get(name, name) for number, name in class_map[task].items()}
    labels = np.asarray(made.dataobj)
    return Drawn(np.rint(labels).astype(np.int64), names, _LPS_TO_RAS @ made.affine)


def _keep_to_itself(home: Path, weights: str) -> None:
    """The user's weights, but a settings folder of its own that sends no statistics, and no way out."""
    home.mkdir()
    settings = {"totalseg_id": "", "prediction_counter": 0, "send_usage_stats": False}
    settings["statistics_disclaimer_shown"] = True
    (home / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    os.environ.update(TOTALSEG_HOME_DIR=str(home), TOTALSEG_WEIGHTS_PATH=weights)
    os.environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE))
