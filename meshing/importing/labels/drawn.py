"""What a label file holds before it meets the scan: layers of labels on its own grid, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Labels
from meshing.terminology import Structure, match, structure_for
from meshing.volume import Fact, Grid

Colour = tuple[float, float, float]

_LONGEST_NAME = 64

# What drawing programs add to the name of a structure when they name a file.
_ENDING = re.compile(r"[ _.-]*(seg|segmentation|label|labels|mask)$", re.IGNORECASE)

# What they call a segment that nobody named.
_UNNAMED = re.compile(r"(segment|label|structure|mask)?[ _-]*\d*", re.IGNORECASE)


@dataclass(frozen=True)
class Name:
    """What a file says of one label.

    Parameters
    ----------
    text
        The name as drawn.
    meaning
        What a code beside it means, used where the text says nothing: "Segment_1" with the meaning "Liver".
    code
        SNOMED CT concept identifier, or "".
    colour
        sRGB, each 0 to 1; kept only for what the terminology does not know.
    """

    text: str
    meaning: str = ""
    code: str = ""
    colour: Colour | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """The content of a label file.

    Parameters
    ----------
    format
        For people: "NIfTI-1", "DICOM SEG", …
    layers
        Arrays of `grid.shape`; 0 is nothing. Labels of different layers may overlap.
    names
        (layer, label) → name; labels without one are named by `fallback`.
    fallback
        What a label without a name is called when it is the only one: the stem of the file.
    """

    format: str
    layers: tuple[Labels, ...]
    grid: Grid
    names: Mapping[tuple[int, int], Name]
    fallback: str = ""
    facts: tuple[Fact, ...] = field(default=())

    def name(self, layer: int, label: int, alone: bool) -> Name:
        """The name of a label; `alone` says that the file draws no other."""
        given = self.names.get((layer, label))
        if given is not None:
            return given
        if self.fallback and (alone or not self.names):
            return Name(self.fallback if alone else f"{self.fallback} {label}")
        return Name(f"label {label}")


def structure_of(name: Name, number: int) -> Structure:
    """The structure that a name means; the terminology's own colour and code win over the file's."""
    text = "".join(letter for letter in name.text if letter.isprintable()).strip()[:_LONGEST_NAME]
    said = [text, _ENDING.sub("", text), *([name.meaning] if _UNNAMED.fullmatch(text) else [])]
    for words in said:
        if known := match(words):
            return known
    structure = structure_for(text, number)
    return replace(structure, code=name.code, colour=name.colour or structure.colour)


def compact(layer: npt.NDArray[np.generic]) -> Labels:
    """The layer in the smallest type that holds its labels, which are known to lie between 0 and 65535."""
    return layer.astype(np.uint8 if int(layer.max(initial=0)) < 256 else np.uint16, order="F")  # type: ignore[return-value]  # mypy does not see through astype's union
