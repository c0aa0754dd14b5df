"""Which structures of a case are shown, with the triangles or label voxels that show them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from meshing.case import Case
from meshing.describe import volume_spread_ml
from meshing.errors import NotFoundError
from meshing.frames import FloatArray
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Faces, Vertices, volume_ml
from meshing.terminology import Structure, match, plain, structure_for, systems
from viewer.legend import Shown
from viewer.planshapes import shape_of, structure_of
from viewer.scene.nouns import Choices

_AROUND_OTHERS = 0.45  # opacity at most, of what holds another shown structure: a liver round its tumour
_FILLED = 0.85  # share of a structure's volume from which its contents are all that it is: an aorta of two lumens
_SHELL = 0.15  # opacity at most, of what is so filled: the surfaces coincide, and only one of them can be seen


@dataclass(frozen=True, eq=False)
class Triangles:
    """Vertices (V, 3) in LPS mm and outward faces (F, 3)."""

    vertices: Vertices | FloatArray
    faces: Faces

    def centroid(self) -> FloatArray:
        """Centre of the volume inside, (3,); of the vertices where there is none."""
        corners = np.asarray(self.vertices, dtype=np.float64)
        middle = corners.mean(axis=0)
        a, b, c = (corners[self.faces[:, corner]] - middle for corner in range(3))
        sixfold = np.einsum("fi,fi->f", a, np.cross(b, c))
        if abs(sixfold.sum()) < 1e-6:
            return np.asarray(middle)
        centroid: FloatArray = middle + ((a + b + c) * sixfold[:, None]).sum(axis=0) / (4 * sixfold.sum())
        return centroid


@dataclass(frozen=True, eq=False)
class Part:
    """A structure that is shown: as triangles, or as label voxels where no surface was made."""

    shown: Shown
    triangles: Triangles | None = None
    labels: tuple[Segmentation, Segment] | None = None


def shown_parts(case: Case, choices: Choices) -> list[Part]:
    """The parts that the choices leave, in the case's order; what is planned comes last.

    Raises
    ------
    NotFoundError
        If a hidden or chosen key is not in the case.
    """
    names = structures_of(case)
    _check_known(case, names, choices)
    kept = [key for key in names if key not in choices.hidden and (choices.only is None or key in choices.only)]
    parts = {key: _part(case, key, names[key], choices) for key in kept}
    return [*(_let_through(part, parts, case, choices) for part in parts.values()), *_planned(case, choices)]


def structures_of(case: Case) -> dict[str, Structure]:
    """key → structure of everything that can be shown."""
    named = {key: segment.structure for key, segment in case.segments.items()}
    return named | {key: structure_for(key) for key in case.surfaces if key not in named}


def keys_of(case: Case, names: Iterable[str]) -> list[str]:
    """Keys of the structures that `names` mean.

    A name is a key, a display name in either language, a system ("skeletal") or a pattern ("rib_*").

    Raises
    ------
    NotFoundError
        If a name means nothing that the case holds.
    """
    known = structures_of(case)
    found: dict[str, None] = {}
    for name in names:
        keys = [key for key, structure in known.items() if _means(name, key, structure)]
        if not keys:
            raise NotFoundError(f"no structure is called {name!r}", where=case.id, hint=_some(known))
        found.update(dict.fromkeys(keys))
    return list(found)


def _means(name: str, key: str, structure: Structure) -> bool:
    if name == key or fnmatchcase(key, name):
        return True
    system = systems().get(structure.system)
    groups = {structure.system} | ({system.name, system.name_zh} if system else set())
    return plain(name) in {plain(other) for other in (structure.name, structure.name_zh, *groups)} or (
        structure == match(name)
    )


def _check_known(case: Case, names: dict[str, Structure], choices: Choices) -> None:
    planned = {structure_of(part).key for part in case.plan.parts}
    unknown = (choices.hidden | (choices.only or frozenset()) | set(choices.opacity)) - set(names) - planned
    if unknown:
        raise NotFoundError(f"the case holds no {', '.join(sorted(unknown))}", where=case.id, hint=_some(names))


def _some(names: Iterable[str]) -> str:
    return "one of: " + ", ".join(list(names)[:20])


def _let_through(part: Part, parts: dict[str, Part], case: Case, choices: Choices) -> Part:
    """The part, faint enough to show what lies inside it, unless the reader chose its opacity."""
    shown = part.shown
    inside = [parts[key].shown for key, one in case.segments.items() if one.inside == shown.key and key in parts]
    if not inside or shown.key in choices.opacity:
        return part
    contents_ml = sum(one.volume_ml or 0.0 for one in inside)
    is_filled = contents_ml > _FILLED * (shown.volume_ml or math.inf)
    opacity = min(shown.opacity, _SHELL if is_filled else _AROUND_OTHERS)
    return replace(part, shown=replace(shown, opacity=opacity))


def _part(case: Case, key: str, structure: Structure, choices: Choices) -> Part:
    opacity = min(max(choices.opacity.get(key, structure.opacity), 0.0), 1.0)
    surface = case.surfaces.get(key)
    if surface is not None and len(surface.faces):
        volume = volume_ml(surface.vertices, surface.faces)
        shown = Shown(key, structure, structure.colour, opacity, volume, volume_spread_ml(case, key))
        return Part(shown, Triangles(surface.vertices, surface.faces))
    for segmentation in case.segmentations.values():
        for segment in segmentation.segments:
            if segment.key == key:
                return Part(Shown(key, structure, structure.colour, opacity), labels=(segmentation, segment))
    return Part(Shown(key, structure, structure.colour, opacity))


def _planned(case: Case, choices: Choices) -> list[Part]:
    parts = []
    for part in case.plan.parts:
        structure = structure_of(part)
        if structure.key in choices.hidden:
            continue
        opacity = choices.opacity.get(structure.key, structure.opacity)
        vertices, faces = shape_of(part)
        parts.append(Part(Shown(structure.key, structure, structure.colour, opacity), Triangles(vertices, faces)))
    return parts
