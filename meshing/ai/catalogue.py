"""All segmenters in one list: built-in presets, plug-ins of packages, a model at a path, and what each lacks."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshing.ai.models import open_model
from meshing.ai.plugin import PlugIn
from meshing.ai.totalsegmentator import LICENSED_WHY, licensed_tasks
from meshing.segmenters.presets import BuiltIn, Segmenter, segmenters

Kind = Literal["built-in", "plug-in", "model", "not offered"]

OWN_LICENCE = "Apache-2.0, part of AnatomyXR"


@dataclass(frozen=True)
class Row:
    """One segmenter as lists show it.

    Parameters
    ----------
    use
        What to add to `anatomyxr build SCAN CASE`.
    licence
        Of code and weights, in words.
    download
        What must be fetched before the first run, with its size where known; "" for nothing.
    missing
        What stands in the way, with the command that removes it; "" when it can run.
    """

    name: str
    kind: Kind
    modality: str
    title: str
    title_zh: str
    description: str
    description_zh: str
    structures: tuple[str, ...]
    is_approximate: bool
    licence: str
    source: str
    download: str
    missing: str
    own_process: bool
    use: str

    @property
    def is_available(self) -> bool:
        return not self.missing


def catalogue(model: Path | None = None) -> tuple[Row, ...]:
    """Every segmenter; with a path, the model that lies there first.

    Raises
    ------
    NotFoundError, SegmentationError
        If nothing known lies at the path.
    """
    rows = [_row(open_model(model), "model", f"--model {shlex.quote(str(model))}")] if model else []
    for name, segmenter in segmenters().items():
        rows.append(_row(segmenter, "built-in" if isinstance(segmenter, BuiltIn) else "plug-in", f"--preset {name}"))
    rows += [_licensed(task) for task in licensed_tasks()]
    return tuple(rows)


def _row(segmenter: Segmenter, kind: Kind, use: str) -> Row:
    preset = segmenter.preset
    plug_in = segmenter if isinstance(segmenter, PlugIn) else None
    missing = segmenter.unavailable_because()
    return Row(
        name=preset.name,
        kind=kind,
        modality=preset.modality,
        title=preset.title,
        title_zh=preset.title_zh,
        description=preset.description,
        description_zh=preset.description_zh,
        structures=preset.structures,
        is_approximate=preset.is_approximate,
        licence=plug_in.licence if plug_in else OWN_LICENCE if kind == "built-in" else "not stated",
        source=plug_in.source if plug_in else "AnatomyXR" if kind == "built-in" else "an installed package",
        download=plug_in.download if plug_in and missing else "",
        missing=missing,
        own_process=plug_in is not None,
        use=use,
    )


def _licensed(task: str) -> Row:
    title = f"TotalSegmentator, task {task}"
    return Row(
        name=f"totalsegmentator:{task}",
        kind="not offered",
        modality="MR" if task.endswith("_mr") else "CT",
        title=title,
        title_zh=f"TotalSegmentator 任务 {task}",
        description=LICENSED_WHY,
        description_zh="需要作者的许可密钥：非商业用途免费，其他收费；此处不提供",
        structures=(),
        is_approximate=False,
        licence="its author's licence key",
        source="TotalSegmentator",
        download="",
        missing=LICENSED_WHY,
        own_process=True,
        use="",
    )
