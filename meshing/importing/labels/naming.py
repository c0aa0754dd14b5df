"""From what a file calls its labels to structures, and the facts that say which names were not plain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshing.importing.labels.drawn import Drawn, Name, Place
from meshing.names import Label, Match, Naming
from meshing.terminology import Structure, unknown_structure
from meshing.volume import Fact

_LONGEST_NAME = 64
_MOST_LISTED = 40
_NOT_PLAIN = ("spelling", "code", "class number", "correction")
"""What a match rests on that the reader of a case should hear of."""


class Namer:
    """Names labels one by one, and remembers what was mended, not known or left out."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._read: dict[str, list[str]] = {how: [] for how in _NOT_PLAIN}
        self._unknown: list[str] = []
        self._left_out: list[str] = []

    def structure(self, drawn: Drawn, place: Place, number: int) -> Structure | None:
        """What a label is, with a colour from `number` if nobody knows it; None where a correction leaves it out."""
        match = meaning_of(drawn, place, self._naming)
        name = drawn.name(place)
        structure = structure_of(name, match, number)
        shown = printable(name.text)
        if match.is_left_out:
            self._left_out.append(shown)
            return None
        if match.structure is None:
            self._unknown.append(shown)
        elif match.how in self._read:
            sure = "" if match.confidence == 1.0 else f" ({match.confidence:.2f})"
            self._read[match.how].append(f"{shown} as {structure.name}{sure}")
        return structure

    def facts(self) -> Iterator[Fact]:
        """Of what was named so far; plain names are not spoken of."""
        for how, read in self._read.items():
            if read:
                yield Fact("names", f"named by {how}: {listed(read)}", {"how": how, "names": read})
        if self._unknown:
            text = f"{len(self._unknown)} labels keep their own names, no structure is known for them: "
            yield Fact("names", text + listed(self._unknown), {"unknown": self._unknown})
        if self._left_out:
            text = f"left out, as the corrections say: {listed(self._left_out)}"
            yield Fact("names", text, {"left_out": self._left_out})


def meaning_of(drawn: Drawn, place: Place, naming: Naming) -> Match:
    """What a label of a file means; with class numbers asked for, those without a name of their own go by them."""
    name = drawn.name(place)
    text = "" if naming.scheme is not None and place not in drawn.names else printable(name.text)
    return naming.match(Label(place[1], text, name.code, name.meaning))


def structure_of(name: Name, match: Match, number: int) -> Structure:
    """The structure that was matched, with its own colour and code; else one of the name as the file has it."""
    if match.structure is not None:
        return match.structure
    structure = unknown_structure(printable(name.text), number)
    return replace(structure, code=name.code, colour=name.colour or structure.colour)


def printable(text: str) -> str:
    """A name as it may be shown: no control characters, no more than a line."""
    return "".join(letter for letter in text if letter.isprintable()).strip()[:_LONGEST_NAME]


def listed(names: list[str]) -> str:
    """Names for a sentence; of many, the first."""
    rest = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")
