"""What a plug-in answered, believed only as far as it can be checked.

In: the folder of the exchange. Out: a `Segmentation` in the storage order of the scan. Labels that nobody named,
another grid, numbers that are no labels and an empty drawing are refused with the numbers; names that the terminology
does not know stay as they are, as for label files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from meshing.ai.exchange import ANSWER, LABELS, plain_text, upright_to_patient
from meshing.errors import AnatomyError, GeometryError, PlugInError, SegmentationError
from meshing.segmentation import Labels, Segment, Segmentation
from meshing.terminology import structure_for
from meshing.volume import Grid, is_same_grid
from meshing.voxels.upright import Mask, Upright, to_storage

_MOST_WORDS_BYTES = 1 << 22
_MOST_LAYERS = 255
_MOST_LETTERS = 400
_LISTED = 5


def read_answer(folder: Path, scan: Upright, *, where: str, source: str) -> Segmentation:
    """The segmentation that a child left in the folder.

    Raises
    ------
    PlugInError
        If the answer cannot be: another grid, no integers, labels without a name, a file that is none.
    SegmentationError
        If it says why it cannot draw, or drew nothing.
    """
    words = _words(folder / ANSWER, where)
    if "refused" in words:
        raise _refusal(words, where)
    names = _names(words, where)
    _check_place(words.get("voxel_to_patient"), scan, where)
    layers = _layers(folder / LABELS, scan, where)
    counts = [np.bincount(layer.ravel(order="K"), minlength=1) for layer in layers]
    _check_named(counts, names, where)
    segments = _segments(counts, names)
    if not segments:
        raise SegmentationError(
            f"nothing was found: none of {len(names)} structures", where=where, hint="is the scan of that body part?"
        )
    stored = tuple(cast("Labels", to_storage(cast("Mask", layer), scan)) for layer in layers)
    return Segmentation(stored, scan.grid, segments, source)


def _words(path: Path, where: str) -> dict[str, Any]:
    if path.stat().st_size > _MOST_WORDS_BYTES:
        raise PlugInError(f"its answer has {path.stat().st_size} bytes of words", where=where)
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlugInError(f"its answer is no JSON: {error}", where=where) from error
    if not isinstance(words, dict):
        raise PlugInError("its answer is no JSON object", where=where)
    return words


def _refusal(words: dict[str, Any], where: str) -> AnatomyError:
    text, hint = (plain_text(str(words.get(name, "")), _MOST_LETTERS) for name in ("text", "hint"))
    match words["refused"]:
        case "stated":
            return SegmentationError(text, where=where, hint=hint)
        case "memory":
            return PlugInError(text, where=where, hint="give it more memory, or a smaller scan")
        case _:
            return PlugInError(text, where=where, hint=hint)


def _names(words: dict[str, Any], where: str) -> dict[int, str]:
    rows = words.get("names")
    is_right = isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == 2 and type(row[0]) is int and isinstance(row[1], str) for row in rows
    )
    if not is_right:
        raise PlugInError("it does not say what its labels are called", where=where)
    names = {label: plain_text(name, _MOST_LETTERS) for label, name in cast("list[list[Any]]", rows) if label != 0}
    wrong = [label for label in names if not 0 < label <= 65_535]
    if wrong:
        raise PlugInError(f"it names labels {wrong[:_LISTED]}; labels go from 1 to 65535", where=where)
    return names


def _check_place(matrix: Any, scan: Upright, where: str) -> None:
    """Refuses voxels that the plug-in itself puts elsewhere in space."""
    if matrix is None:
        return
    x, y, z = scan.voxels.shape
    try:
        said = Grid((x, y, z), np.array(matrix, float))
    except (GeometryError, ValueError, TypeError) as error:
        raise PlugInError(f"the place of its voxels is none: {error}", where=where) from error
    ours = Grid((x, y, z), upright_to_patient(scan))
    if not is_same_grid(said, ours):
        away = np.linalg.norm(said.to_patient((0, 0, 0)) - ours.to_patient((0, 0, 0)))
        raise PlugInError(
            f"its voxels lie elsewhere: the first {away:.2f} mm off, spacing {said.spacing_mm.round(3).tolist()} "
            f"instead of {ours.spacing_mm.round(3).tolist()} mm",
            where=where,
        )


def _layers(path: Path, scan: Upright, where: str) -> list[npt.NDArray[Any]]:
    """Label layers of the scan's shape, as small as their labels allow."""
    try:
        labels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise PlugInError(f"its labels are no array: {error}", where=where) from error
    own = tuple(scan.voxels.shape)
    if labels.ndim not in (3, 4) or labels.shape[-3:] != own or (labels.ndim == 4 and len(labels) > _MOST_LAYERS):
        raise PlugInError(f"it drew on {labels.shape} voxels, the scan has {own} (left, back, head)", where=where)
    _check_integers(labels, where)
    layers = [labels] if labels.ndim == 3 else list(labels)
    few = int(labels.max(initial=0)) < 256
    return [np.asfortranarray(layer, dtype=np.uint8 if few else np.uint16) for layer in layers]


def _check_integers(labels: npt.NDArray[Any], where: str) -> None:
    if labels.dtype.kind not in "uib":
        not_finite = int((~np.isfinite(labels)).sum()) if labels.dtype.kind in "fc" else 0
        also = f", {not_finite} of them not finite" if not_finite else ""
        raise PlugInError(f"its labels are {labels.dtype} numbers{also}, not integers", where=where)
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > 65_535:
        raise PlugInError(f"its labels reach from {low} to {high}; labels go from 0 to 65535", where=where)


def _check_named(counts: list[npt.NDArray[np.int64]], names: dict[int, str], where: str) -> None:
    unknown: dict[int, int] = {}
    for count in counts:
        for label in np.flatnonzero(count).tolist():
            if label and label not in names:
                unknown[label] = unknown.get(label, 0) + int(count[label])
    if unknown:
        listed = ", ".join(f"{label} ({voxels} voxels)" for label, voxels in sorted(unknown.items())[:_LISTED])
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise PlugInError(
            f"it drew labels that it does not name: {listed}{more}; it names {sorted(names)[:20]}",
            where=where,
            hint="name them in the sidecar of the model, or ask who made the plug-in",
        )


def _segments(counts: list[npt.NDArray[np.int64]], names: dict[int, str]) -> tuple[Segment, ...]:
    """A segment for every label that has voxels; a second structure of one key gets a number."""
    segments: list[Segment] = []
    for layer, count in enumerate(counts):
        for label in np.flatnonzero(count).tolist():
            if label == 0:
                continue
            structure = structure_for(names[label], label)
            taken = {segment.key for segment in segments}
            numbered = (f"{structure.key}_{number}" for number in range(2, 65_536))
            key = structure.key if structure.key not in taken else next(k for k in numbered if k not in taken)
            segments.append(Segment(key, label, layer, structure))
    return tuple(segments)
