"""Which colour means what: entries grouped by system, families joined where room is short.

In: what is shown. Out: lines to write, never more than asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from meshing.terminology import Structure, structures, systems
from viewer.words import Language, word

Colour = tuple[float, float, float]

IMPORTANCE = (
    "plan",
    "lesion",
    "vascular_arterial",
    "vascular_venous",
    "cardiac",
    "digestive",
    "urinary",
    "lymphatic",
    "endocrine",
    "reproductive",
    "nervous",
    "respiratory",
    "other",
    "skeletal",
    "muscular",
    "integument",
)
"""Systems in the order in which a planner looks for them."""

_AROUND_ALL = {"integument", "plan"}  # what a skin encloses is no volume of skin; what is planned is no tissue
_FAMILIES = {"rib": "ribs", "vertebrae": "vertebrae", "disc": "intervertebral_discs"}
_NUMBERED = re.compile(r"^(rib|vertebrae|disc)_.*\d")
_SIDED = re.compile(r"_(left|right)(?=_|$)")
_COPY = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Shown:
    """A structure that is shown: its key in the case, what it is, and how it is drawn."""

    key: str
    structure: Structure
    colour: Colour
    opacity: float
    volume_ml: float | None = None
    spread_ml: float = 0.0

    def name(self, language: Language) -> str:
        """Display name; further copies of a structure ("tumour_2") keep their number."""
        name = self.structure.name_zh if language == "zh" else self.structure.name
        copy = _COPY.search(self.key) if self.key != self.structure.key else None
        return f"{name} {copy[0][1:]}" if copy else name


@dataclass(frozen=True)
class LegendEntry:
    """A line of the legend: a structure, several structures joined, or a heading.

    Parameters
    ----------
    keys
        The structures that it stands for; none for a heading.
    colours
        Theirs, each once; none where they are only counted.
    volume_ml
        Of all of them together; None where that says nothing.
    spread_ml
        What half a voxel all round makes of it.
    """

    name: str
    keys: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()
    volume_ml: float | None = None
    spread_ml: float = 0.0

    @property
    def is_heading(self) -> bool:
        return not self.keys


def by_importance(shown: Iterable[Shown]) -> list[Shown]:
    """Lesions and vessels first, bone and skin last; the case's own order within a system."""
    return sorted(shown, key=lambda one: _rank(one.structure.system))


def legend(shown: Sequence[Shown], language: Language, limit: int) -> tuple[LegendEntry, ...]:
    """At most `limit` lines, headings included.

    Where they do not fit, first the numbered families (ribs, vertebrae, discs) and copies become one line each, then
    left and right are joined, then headings go, then whole systems become one line.
    """
    ordered = by_importance(shown)
    for family_of in (_alone, _numbered_family, _sided_family):
        lines = _lines(ordered, language, family_of)
        if len(lines) <= limit:
            return tuple(lines)
    return _narrowed([line for line in lines if not line.is_heading], ordered, language, limit)


def _narrowed(
    entries: list[LegendEntry], ordered: Sequence[Shown], language: Language, limit: int
) -> tuple[LegendEntry, ...]:
    """Whole systems as one line each, the least important first; what is still too much is only counted."""
    systems_shown = list(dict.fromkeys(one.structure.system for one in ordered))
    for system in reversed(systems_shown):
        if len(entries) <= limit:
            break
        members = [one for one in ordered if one.structure.system == system]
        if len(members) == 1:
            continue
        keys = {one.key for one in members}
        place = next(number for number, entry in enumerate(entries) if keys & set(entry.keys))
        entries = [entry for entry in entries if not keys & set(entry.keys)]
        entries.insert(place, replace(_entry(_system_name(system, language), members), volume_ml=None))
    if len(entries) <= limit:
        return tuple(entries)
    kept, left_out = entries[: max(limit - 1, 0)], entries[max(limit - 1, 0) :]
    keys_left_out = tuple(key for entry in left_out for key in entry.keys)
    return (*kept, LegendEntry(word("more", language).format(len(keys_left_out)), keys_left_out))


def _lines(ordered: Sequence[Shown], language: Language, family_of: Callable[[Shown], str]) -> list[LegendEntry]:
    groups: dict[str, dict[str, list[Shown]]] = {}
    for one in ordered:
        groups.setdefault(one.structure.system, {}).setdefault(family_of(one), []).append(one)
    lines = []
    for system, families in groups.items():
        lines.append(LegendEntry(_system_name(system, language)))
        lines += [_entry(_name(family, members, language), members) for family, members in families.items()]
    return lines


def _entry(name: str, members: Sequence[Shown]) -> LegendEntry:
    measured = [one for one in members if one.volume_ml is not None and one.structure.system not in _AROUND_ALL]
    colours = tuple(dict.fromkeys(one.colour for one in members))
    keys = tuple(one.key for one in members)
    if not measured:
        return LegendEntry(name, keys, colours)
    volume = sum(one.volume_ml or 0.0 for one in measured)
    return LegendEntry(name, keys, colours, volume, sum(one.spread_ml for one in measured))


def _alone(one: Shown) -> str:
    return one.key


def _numbered_family(one: Shown) -> str:
    numbered = _NUMBERED.match(one.key)
    return _FAMILIES[numbered[1]] if numbered else one.structure.key


def _sided_family(one: Shown) -> str:
    return _SIDED.sub("", _numbered_family(one))


def _name(family: str, members: Sequence[Shown], language: Language) -> str:
    if len(members) == 1:
        return members[0].name(language)
    if family in structures():
        return structures()[family].name_zh if language == "zh" else structures()[family].name
    if language == "zh":
        return re.sub("[左右]", "", members[0].structure.name_zh, count=1)
    name = re.sub(r"\b(left|right)\b ?", "", members[0].structure.name, count=1, flags=re.IGNORECASE).strip(" ,")
    return name[:1].upper() + name[1:]


def _system_name(system: str, language: Language) -> str:
    if system not in systems():
        return word(system, language) if system == "plan" else system.capitalize()
    return systems()[system].name_zh if language == "zh" else systems()[system].name


def _rank(system: str) -> int:
    return IMPORTANCE.index(system) if system in IMPORTANCE else len(IMPORTANCE)
