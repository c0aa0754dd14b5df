"""Label maps in volume files (NIfTI, NRRD, Slicer's `.seg.nrrd`, MetaImage) and the names that they carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError, SegmentationError
from meshing.importing import gate
from meshing.importing.files import read_header, stored_voxels
from meshing.importing.labels.drawn import Box, Colour, Drawn, Name, Place, boxes_of, compact
from meshing.importing.limits import Limits
from meshing.progress import Progress, part
from meshing.segmentation import Labels
from meshing.volume import Fact

_MOST_LABELS = 0xFFFF

# More distinct values than any label map draws: it is a picture.
_MOST_DISTINCT = 1024

_MOST_LAYERS = 64
_SEGMENT_FIELD = re.compile(r"Segment(\d+)_(Name|Color|LabelValue|Layer|Tags)")
_SUFFIX = re.compile(r"(\.seg)?\.(nrrd|nhdr|nii|nii\.gz|mha|mhd)$", re.IGNORECASE)


def read_map(path: Path, limits: Limits, progress: Progress) -> Drawn:
    """The layers and names of a label map; several volumes in one file are layers.

    Raises
    ------
    SegmentationError
        If its values are no labels: negative, broken or of more kinds than anybody draws.
    ScanError
        As `files.read_header`.
    """
    header = read_header(path, limits)
    if header.phases > _MOST_LAYERS:
        raise SegmentationError(f"it holds {header.phases} volumes, too many for layers of labels", where=path)
    steps = [(phase / header.phases, (phase + 1) / header.phases) for phase in range(header.phases)]
    layers = tuple(
        _labels(header, stored_voxels(path, header, phase, progress=part(progress, *steps[phase])), path)
        for phase in range(header.phases)
    )
    boxes = boxes_of(layers)
    if len(boxes) > _MOST_DISTINCT:
        raise SegmentationError(f"it holds {len(boxes)} different values: it is a picture, not labels", where=path)
    names, facts = _names(header, boxes, path)
    fallback = _SUFFIX.sub("", path.name)
    return Drawn(header.format, layers, header.grid, boxes, names, fallback, (*header.facts, *facts))


def _labels(header: gate.Header, stored: npt.NDArray[Any], path: Path) -> Labels:
    scaled = header.slope != 1.0 or header.intercept != 0.0
    values = stored * header.slope + header.intercept if scaled else stored
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)) or lowest < 0 or highest > _MOST_LABELS:
        raise SegmentationError(
            f"its values run from {lowest:g} to {highest:g}; labels are whole numbers from 0 to {_MOST_LABELS}",
            where=path,
            hint="give a label map, not the scan",
        )
    if values.dtype.kind == "f" and not (values == np.rint(values)).all():
        raise SegmentationError("its values are not whole numbers", where=path, hint="give a label map, not a picture")
    return compact(values)


def _names(header: gate.Header, boxes: Mapping[Place, Box], path: Path) -> tuple[dict[Place, Name], tuple[Fact, ...]]:
    """Names from the header, else from a colour table that lies alone beside the file."""
    if "caret" in header.fields:
        return {(0, label): name for label, name in caret_names(header.fields["caret"], path).items()}, ()
    if names := _slicer_names(header.fields, header.phases):
        return names, ()
    tables = sorted(path.parent.glob("*.ctbl"))
    if len(tables) == 1 and header.phases == 1 and len(boxes) > 1:
        # A table names hundreds of labels that this file never draws: only those drawn count.
        named = {(0, label): name for label, name in _table_names(tables[0]).items() if (0, label) in boxes}
        text = f"names of {len(named)} labels come from the colour table beside the file"
        return named, (Fact("labels", text, {"named": len(named)}),)
    return {}, ()


# ------------------------------------------------------------------------------------------------------ Caret tables


def caret_names(text: str, where: str | Path) -> dict[int, Name]:
    """Label → name of the first label table in a Caret extension.

    Raises
    ------
    DamagedFileError
        If it is no XML, or brings a document type or entities: nothing honest needs them here.
    """
    found: dict[int, Name] = {}
    label: list[Any] = []

    def refuse(*_: object) -> int:
        raise DamagedFileError("the table of label names defines XML entities", where=where)

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Label":
            label[:] = [int(attributes["Key"]), _colour([attributes[c] for c in ("Red", "Green", "Blue")]), ""]

    def letters(text: str) -> None:
        if label:
            label[2] += text

    def end(tag: str) -> None:
        if tag == "Label" and label:
            found.setdefault(label[0], Name(label[2].strip(), colour=label[1]))
            label.clear()

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, letters
    try:
        parser.Parse(text.strip("\0 \n\r\t"), True)
    except (expat.ExpatError, KeyError, ValueError) as error:
        raise DamagedFileError(f"the table of label names is damaged: {error}", where=where) from error
    return {key: name for key, name in found.items() if key > 0 and name.text}


# ---------------------------------------------------------------------------------------------------- Slicer's fields


def _slicer_names(fields: Mapping[str, str], layers: int) -> dict[tuple[int, int], Name]:
    """(layer, label) → name, from the `SegmentN_…` fields of a `.seg.nrrd`.

    References
    ----------
    3D Slicer developer guide, "Segmentations file format".
    """
    segments: dict[str, dict[str, str]] = {}
    for key, value in fields.items():
        if told := _SEGMENT_FIELD.fullmatch(key):
            segments.setdefault(told[1], {})[told[2]] = value
    names = {}
    for number, told_of in segments.items():
        at = (_number(told_of.get("Layer"), 0), _number(told_of.get("LabelValue"), int(number) + 1))
        if at[0] < layers and at[1] > 0:
            code, meaning = _terminology_entry(told_of.get("Tags", ""))
            colour = _colour(told_of.get("Color", "").split())
            names[at] = Name(told_of.get("Name") or f"Segment_{number}", meaning, code, colour)
    return names


def _terminology_entry(tags: str) -> tuple[str, str]:
    """SNOMED CT code and meaning, with its side, of `TerminologyEntry:context~category~type~modifier~…|`."""
    entry = next((tag for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = [part.split("^") for part in entry.partition(":")[2].split("~")]
    kind = parts[2] if len(parts) > 2 and len(parts[2]) == 3 else ["", "", ""]
    side = parts[3][2] if len(parts) > 3 and len(parts[3]) == 3 else ""
    return (kind[1] if kind[0] == "SCT" else ""), f"{side} {kind[2]}".strip()


def _table_names(path: Path) -> dict[int, Name]:
    """Label → name of a Slicer colour table: "number name red green blue alpha", bytes for colours."""
    names: dict[int, Name] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[: _MOST_LABELS + 1]:
        told = re.fullmatch(r"\s*(\d+)\s+(.+?)\s+(\d+)\s+(\d+)\s+(\d+)\s+\d+\s*", line)
        if told and int(told[1]) > 0:
            names[int(told[1])] = Name(told[2], colour=_colour([str(int(told[c]) / 255) for c in (3, 4, 5)]))
    return names


def _colour(words: list[str]) -> Colour | None:
    try:
        red, green, blue = (min(max(float(word), 0.0), 1.0) for word in words)
    except ValueError:
        return None
    return None if any(np.isnan((red, green, blue))) else (red, green, blue)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.strip().isdigit() else otherwise
