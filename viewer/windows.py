"""Grey-level windows: which values of a scan are drawn black to white.

Presets come from `assets/windows.toml`; "auto" takes the range from the scan itself, for modalities without a scale.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import NotFoundError
from meshing.library import asset
from meshing.terminology import Structure
from meshing.volume import Volume, Voxels

AUTO = "auto"
_VESSELS = {"vascular_arterial", "vascular_venous", "cardiac"}
_IN_AIR = {"lung_vessels": "respiratory"}
"""Read against the lung, whatever system they belong to."""
_SAYS_LITTLE = {"integument", "muscular", "other", "lesion", "plan"}


@dataclass(frozen=True)
class Window:
    """Values from `level - width/2` (black) to `level + width/2` (white)."""

    key: str
    name: str
    name_zh: str
    width: float
    level: float


@cache
def presets() -> dict[str, Window]:
    """The fixed windows by key, in the order of menus."""
    return {
        key: Window(key, row["name"], row["name_zh"], float(row["width"]), float(row["level"]))
        for key, row in _rows().items()
        if key != AUTO
    }


@cache
def _rows() -> dict[str, dict[str, Any]]:
    return tomllib.loads(asset("windows.toml").read_text(encoding="utf-8"))


def window_for(volume: Volume, structures: Iterable[Structure], name: str | None = None) -> Window:
    """The window of that name; without one, the window that suits what is shown.

    Raises
    ------
    NotFoundError
        With the names that there are.
    """
    name = name or suggested(volume.modality, structures)
    if name == AUTO:
        return automatic(volume)
    if name not in presets():
        raise NotFoundError(f"no window is called {name!r}", hint="one of: " + ", ".join([*presets(), AUTO]))
    return presets()[name]


def suggested(modality: str, structures: Iterable[Structure]) -> str:
    """Key of the window in which those structures are read; "auto" unless the values are Hounsfield units."""
    if modality != "CT":
        return AUTO
    systems = {_IN_AIR.get(structure.key, structure.system) for structure in structures} - _SAYS_LITTLE
    for system, window in (("skeletal", "bone"), ("respiratory", "lung")):
        if systems == {system}:
            return window
    soft = systems - {"skeletal"}
    if soft and soft <= _VESSELS:
        return "angio"
    return "brain" if soft == {"nervous"} else "abdomen"


def automatic(volume: Volume) -> Window:
    """From the 1st to the 99.5th percentile of what was measured, background left out."""
    values = sampled(volume.voxels)
    if volume.outside is not None:
        values = values[~sampled(volume.outside)]
    values = values[np.isfinite(values)]
    tissue = values[values > values.min()] if values.size else np.array([0.0, 1.0])
    low, high = np.percentile(tissue if tissue.size else values, [1.0, 99.5])
    width = max(float(high - low), 1e-6)
    names = _rows()[AUTO]
    return Window(AUTO, names["name"], names["name_zh"], width, float(low) + width / 2)


def sampled(voxels: Voxels, per_axis: int = 64) -> Voxels:
    """At most about `per_axis` voxels along each axis, chosen alike from both ends.

    A turned or flipped copy of a scan gives the same values, so that a window never depends on storage order.
    """
    for axis, count in enumerate(voxels.shape):
        voxels = voxels[(slice(None),) * axis + (sampled_indices(count, per_axis),)]
    return voxels


def sampled_indices(count: int, per_axis: int = 64) -> npt.NDArray[np.intp]:
    """Indices from 0 to `count - 1` in even steps, symmetric about the middle."""
    if count <= per_axis:
        return np.arange(count)
    half = np.linspace(0, (count - 1) / 2, per_axis // 2, endpoint=False).astype(np.intp)
    return np.concatenate([half, (count - 1 - half)[::-1]])


def apply_window(values: npt.ArrayLike, window: Window) -> npt.NDArray[np.uint8]:
    """Grey levels 0 to 255, same shape as `values`; NaN is black.

    References
    ----------
    DICOM PS3.3 C.11.2.1.3.2, LINEAR_EXACT: y = ((x - level) / width + 0.5) · 255, clipped.
    """
    grey = (np.asarray(values, dtype=np.float32) - np.float32(window.level)) / np.float32(window.width) + np.float32(
        0.5
    )
    levels: npt.NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(grey, nan=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels
