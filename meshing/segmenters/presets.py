"""The presets by name: what they are called, what they need, and the one verb that runs them.

In: a `Volume` and the name of a preset. Out: a checked `Segmentation` on the volume's own grid. Presets of other
packages come through the entry-point group "meshing.segmenters"; what they return is checked like anybody's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from meshing.errors import NotFoundError, SegmentationError
from meshing.library import asset
from meshing.plan import Point
from meshing.progress import Progress, silent
from meshing.segmentation import Segmentation, stack_masks
from meshing.segmenters.found import Found
from meshing.volume import Volume, is_same_grid
from meshing.voxels.upright import Upright, to_storage, upright

ENTRY_POINTS = "meshing.segmenters"


@dataclass(frozen=True)
class Preset:
    """What a segmenter is called and gives.

    Parameters
    ----------
    name
        Stable: "ct-body".
    modality
        DICOM modality that it needs: "CT", "MR".
    title, title_zh, description, description_zh
        For people.
    structures
        Terminology keys that it can give.
    is_approximate
        Whether its result is for orientation only.
    """

    name: str
    modality: str
    title: str
    title_zh: str
    description: str
    description_zh: str
    structures: tuple[str, ...]
    is_approximate: bool


@runtime_checkable
class Segmenter(Protocol):
    """The seam: what an entry point of the group "meshing.segmenters" must load to."""

    @property
    def preset(self) -> Preset:
        """What it is called and gives."""

    def unavailable_because(self) -> str:
        """What is missing and how to install it; "" when it can run."""

    def __call__(self, volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress) -> Segmentation:
        """The segmentation of a volume."""


def presets() -> tuple[Preset, ...]:
    """Every preset: the built-in ones first, then those of other packages."""
    return tuple(segmenter.preset for segmenter in _segmenters().values())


def segmenters() -> Mapping[str, Segmenter]:
    """Every segmenter by the name of its preset, in the order of `presets`."""
    return dict(_segmenters())


def preset_for(volume: Volume) -> str:
    """Name of the usual preset for a scan: its modality decides, for MR also whether it is an angiogram.

    Raises
    ------
    SegmentationError
        If no preset is usual for that modality.
    """
    if volume.modality == "CT":
        return "ct-body"
    if volume.modality == "MR":
        return "mr-vessels" if _is_angiogram(volume) else "mr-head"
    raise SegmentationError(
        f"no preset is usual for modality {volume.modality or 'unknown'!r}",
        hint="choose one of: " + ", ".join(_segmenters()),
    )


def segment(
    volume: Volume, preset: str, *, seeds_mm: tuple[Point, ...] = (), progress: Progress = silent
) -> Segmentation:
    """The structures that a preset finds in a volume, on the volume's own grid.

    Parameters
    ----------
    seeds_mm
        LPS points inside the structure sought, for presets that grow from seeds; others ignore them.

    Raises
    ------
    NotFoundError
        If there is no preset of that name.
    SegmentationError
        If the scan is not of the modality, nothing was found, or a segmenter of another package gave something
        unusable.
    """
    return segment_with(_segmenter(preset), volume, seeds_mm=seeds_mm, progress=progress)


def segment_with(
    segmenter: Segmenter, volume: Volume, *, seeds_mm: tuple[Point, ...] = (), progress: Progress = silent
) -> Segmentation:
    """What a segmenter finds in a volume, checked as `segment` does.

    Raises
    ------
    SegmentationError
        As `segment`.
    """
    preset = segmenter.preset.name
    missing = segmenter.unavailable_because()
    if missing:
        raise SegmentationError(f"preset {preset} cannot run: {missing}", where=f"preset {preset}")
    needed = segmenter.preset.modality
    if volume.modality and needed and volume.modality != needed:
        others = [p.name for p in presets() if p.modality == volume.modality]
        raise SegmentationError(
            f"the preset is made for {needed}, the scan is {volume.modality}",
            where=f"preset {preset}",
            hint=("for this scan: " + ", ".join(others)) if others else "",
        )
    progress(0.0, segmenter.preset.title)
    made = segmenter(volume, seeds_mm, progress)
    _check(made, volume, preset)
    progress(1.0, segmenter.preset.title)
    return made


def _is_angiogram(volume: Volume) -> bool:
    """Whether a small part of the scan is far brighter than the rest, as vessels are and tissue is not."""
    sample = volume.voxels[::2, ::2, ::2].astype(np.float32)
    lit = sample[sample > 0.1 * np.percentile(sample, 99.9)]
    if len(lit) == 0:
        return False
    return bool(np.percentile(lit, 99) > 4.0 * np.median(lit))


def _check(made: Segmentation, volume: Volume, preset: str) -> None:
    """Refuses another grid, labels that no segment names, and segments without voxels."""
    where = f"preset {preset}"
    if not is_same_grid(made.grid, volume.grid):
        raise SegmentationError(
            f"the result lies on a grid of {made.grid.shape}, the scan on {volume.grid.shape}, or elsewhere in space",
            where=where,
        )
    if not made.segments:
        raise SegmentationError("nothing was found", where=where, hint="try another preset")
    for number, layer in enumerate(made.layers):
        used = np.flatnonzero(np.bincount(layer.ravel(order="K")))
        named = {segment.label for segment in made.segments if segment.layer == number}
        unknown = sorted(set(used.tolist()) - named - {0})
        empty = sorted(named - set(used.tolist()))
        if unknown:
            raise SegmentationError(f"layer {number} holds labels {unknown[:5]} that no segment names", where=where)
        if empty:
            raise SegmentationError(f"layer {number} holds no voxel of label {empty[:5]}", where=where)


def _segmenter(name: str) -> Segmenter:
    found = _segmenters()
    if name not in found:
        raise NotFoundError(f"no preset is called {name!r}", hint="one of: " + ", ".join(found))
    return found[name]


@cache
def _segmenters() -> dict[str, Segmenter]:
    built_in: dict[str, Segmenter] = {name: BuiltIn(preset) for name, preset in _described().items()}
    return built_in | _from_other_packages(set(built_in))


def _from_other_packages(taken: set[str]) -> dict[str, Segmenter]:
    """Segmenters of installed packages; one that fails to load is offered with the reason, so that nothing hides it."""
    found: dict[str, Segmenter] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
            segmenter: Segmenter = loaded() if isinstance(loaded, type) else loaded
            name = segmenter.preset.name
        except Exception as error:
            segmenter, name = Broken(entry.name, f"{type(error).__name__}: {error}"), entry.name
        if name not in taken | set(found):
            found[name] = segmenter
    return found


@dataclass(frozen=True)
class Broken:
    """A segmenter of another package that could not be loaded."""

    name: str
    reason: str

    @property
    def preset(self) -> Preset:
        return Preset(self.name, "", self.name, self.name, self.reason, self.reason, (), True)

    def unavailable_because(self) -> str:
        return self.reason

    def __call__(self, volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress) -> Segmentation:
        raise SegmentationError(self.reason, where=f"preset {self.name}")


@dataclass(frozen=True)
class BuiltIn:
    """A preset of this package: turns the scan upright, runs, and puts the masks back into storage order."""

    preset: Preset

    def unavailable_because(self) -> str:
        return ""

    def __call__(self, volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress) -> Segmentation:
        lowest, highest = float(volume.voxels.min()), float(volume.voxels.max())
        if not highest > lowest:
            raise SegmentationError(f"every voxel reads {lowest:g}", where=f"preset {self.preset.name}")
        scan = upright(volume)
        made = _RUN[self.preset.name](scan, seeds_mm, progress)
        progress(0.97, "packing layers")
        found = {key: to_storage(mask, scan) for key, mask in made.masks.items() if mask.any()}
        approximate = ", approximate" if self.preset.is_approximate else ""
        inside = {key: "skin" for key in found if key != "skin"} if "skin" in found else {}
        stacked = stack_masks(
            found,
            {key: made.structure(key) for key in found},
            volume.grid,
            f"preset {self.preset.name}{approximate}",
            inside,
        )
        return replace(stacked, facts=tuple(made.facts))


def _ct_body(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import ct_body

    return ct_body.parts_of_ct_body(scan, settings_of(ct_body.CtBodySettings), progress)


def _ct_bone(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import ct_bone

    return Found({"bone": ct_bone.bone_of_ct(scan, settings_of(ct_bone.CtBoneSettings), progress)})


def _ct_bones(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import ct_bone_parts

    return ct_bone_parts.bones_of_ct(scan, settings_of(ct_bone_parts.CtBonesSettings), progress)


def _cta_vessels(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import vessels

    return Found({"arterial_tree": vessels.arteries_of_ct(scan, settings_of(vessels.CtaSettings), seeds_mm, progress)})


def _ct_lung_vessels(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import ct_body, lung_vessels

    body, own = settings_of(ct_body.CtBodySettings), settings_of(lung_vessels.LungVesselSettings)
    return Found({"lung_vessels": lung_vessels.vessels_of_lungs(scan, body, own, seeds_mm, progress)})


def _ct_portal(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import liver_veins

    return liver_veins.veins_of_liver(scan, settings_of(liver_veins.CtPortalSettings), seeds_mm, progress)


def _mr_vessels(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import mr_vessels

    settings = settings_of(mr_vessels.MrVesselSettings)
    return Found({"arterial_tree": mr_vessels.vessels_of_mr(scan, settings, seeds_mm, progress)})


def _mr_head(scan: Upright, seeds_mm: tuple[Point, ...], progress: Progress) -> Found:
    from meshing.segmenters import mr_head

    return Found(mr_head.head_of_mr(scan, progress))


_Run = Callable[[Upright, tuple[Point, ...], Progress], Found]
_RUN: Mapping[str, _Run] = {
    "ct-body": _ct_body,
    "ct-bone": _ct_bone,
    "ct-bones": _ct_bones,
    "cta-vessels": _cta_vessels,
    "ct-lung-vessels": _ct_lung_vessels,
    "ct-portal": _ct_portal,
    "mr-vessels": _mr_vessels,
    "mr-head": _mr_head,
}

_T = TypeVar("_T")


def settings_of(kind: type[_T]) -> _T:
    """A settings class filled from `assets/presets.toml`.

    A class whose fields are settings classes takes one table per field; any other takes the table of its own name:
    `BoneSettings` takes `[settings.bone]`.

    Raises
    ------
    NotFoundError
        If a table lacks a value that the class needs, or holds one that it does not know.
    """
    from typing import get_type_hints

    hints = get_type_hints(kind)
    if all(isinstance(hint, type) and hint.__name__.endswith("Settings") for hint in hints.values()):
        return kind(**{name: _from_table(hint, name) for name, hint in hints.items()})
    return _from_table(kind, _table_name(kind))


def _table_name(kind: type[Any]) -> str:
    words = kind.__name__.removesuffix("Settings")
    return "".join(("_" if letter.isupper() and at else "") + letter.lower() for at, letter in enumerate(words))


def _from_table(kind: type[_T], name: str) -> _T:
    table = _read()["settings"].get(name, {})
    wanted = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if wanted != set(table):
        differ = ", ".join(sorted(wanted ^ set(table)))
        raise NotFoundError(f"[settings.{name}] and {kind.__name__} differ in {differ}", where="presets.toml")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


@cache
def _described() -> dict[str, Preset]:
    rows = _read()["presets"]
    return {name: Preset(name=name, **{**row, "structures": tuple(row["structures"])}) for name, row in rows.items()}


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(asset("presets.toml").read_text(encoding="utf-8"))
