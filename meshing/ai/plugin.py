"""`PlugIn`: a segmenter that runs in a process of its own; what an entry point of "meshing.segmenters" should load to.

The module that makes one must be light: it is imported to list what there is. The function that `runs` names is
imported in the child only, with all that it needs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from meshing.ai.runner import ChildLimits, Job, run_apart
from meshing.plan import Point
from meshing.progress import Progress
from meshing.segmentation import Segmentation
from meshing.segmenters.presets import Preset
from meshing.volume import Volume


@dataclass(frozen=True)
class PlugIn:
    """A segmenter in a process of its own.

    Parameters
    ----------
    preset
        What it is called and gives.
    runs
        "module:function"; the function takes (`Scan`, options, progress) and gives `Drawn`.
    source
        Model, version and where it comes from; it goes into the case.
    licence
        Of the code and the weights, in words.
    needs
        Modules that must be installed.
    install
        What to install them with: the arguments of `pip install`.
    download
        What must be fetched before it runs, with its size; "" for nothing.
    options
        JSON for the function.
    """

    preset: Preset
    runs: str
    source: str
    licence: str
    needs: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    download: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: ChildLimits = field(default_factory=ChildLimits)

    def unavailable_because(self) -> str:
        """What is missing and the command that installs it; "" when it can run. Nothing is imported to find out."""
        lacking = [name for name in self.needs if find_spec(name) is None]
        if not lacking:
            return ""
        command = f"; install it: pip install {shlex.join(self.install)}" if self.install else ""
        return f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not installed{command}"

    def __call__(self, volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress) -> Segmentation:
        job = Job(self.preset.name, self.runs, f"{self.source}, {self.licence}", self.options, self.limits)
        return run_apart(job, volume, seeds_mm=seeds_mm, progress=progress)

    def within(self, limits: ChildLimits) -> PlugIn:
        """The same with other limits."""
        return replace(self, limits=limits)
