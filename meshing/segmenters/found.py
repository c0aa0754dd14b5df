"""What a preset found: masks by key, what they are called where the terminology has no such word, and facts to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshing.terminology import Structure, structure_for
from meshing.volume import Fact
from meshing.voxels.upright import Mask


@dataclass(eq=False)
class Found:
    """Gathered by a preset while it runs, in patient order.

    Parameters
    ----------
    masks
        key → bool mask.
    structures
        key → what it is, where that differs from the terminology's word for the key.
    facts
        What was cut, doubted or left out.
    """

    masks: dict[str, Mask]
    structures: dict[str, Structure] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def add(self, structure: Structure, mask: Mask) -> None:
        """Takes a mask under a structure's key."""
        self.masks[structure.key] = mask
        self.structures[structure.key] = structure

    def note(self, kind: str, text: str, **values: object) -> None:
        """Adds a fact: a sentence, and its numbers alone."""
        self.facts.append(Fact(kind, text, values))

    def structure(self, key: str) -> Structure:
        """What a key is."""
        return self.structures.get(key) or structure_for(key)
