"""Slices of one orientation told apart into phases: time points, contrast phases, echoes, b-values, images of a pair.

Two images at one position never go into one volume. What tells them apart is looked for in the headers; when nothing
does, the series is refused rather than guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from meshing.errors import GeometryError
from meshing.frames import FloatArray
from meshing.importing.dicom.geometry import Stack, axes_of, measure, tolerance_mm
from meshing.importing.dicom.headers import Slice

Part = tuple[str, list[Slice]]
"""What told a phase apart, and its slices."""

# Marks that grow along a phase, so that their rank at each position names the phase even where their values differ.
_RANKED = ("trigger time", "time")


def split_by_phase(cluster: Sequence[Slice]) -> list[Part]:
    """Each phase, in the order of what tells them apart; one part when nothing collides or interleaves.

    Raises
    ------
    GeometryError
        If two images lie at one position and no header tells which volume they belong to.
    """
    places = _places(cluster)
    deepest = max(Counter(places).values())
    marks = [_marks(one) for one in cluster]
    names = list(dict.fromkeys(name for found in marks for name in found))
    if deepest == 1:
        return _split_interleaved(cluster, marks, names) or [("", list(cluster))]
    for chosen in [(name,) for name in names] + list(combinations(names, 2)):
        if parts := _split_by_value(cluster, places, marks, chosen):
            return parts
    for name in _RANKED:
        if parts := _split_by_rank(cluster, places, [found.get(name) for found in marks], name):
            return parts
    if parts := _split_by_count(cluster, places):
        return parts
    raise _ambiguous(cluster, places)


def stack_of(slices: Sequence[Slice]) -> Stack:
    """The geometry of at least two slices of one orientation at different positions."""
    first = slices[0].plane
    return measure(
        _positions(slices),
        axes_of(first.along_row, first.along_column),
        first.pixel_mm,
        [one.number for one in slices],
    )


def _positions(slices: Sequence[Slice]) -> FloatArray:
    return np.array([one.plane.position_mm for one in slices])


def _places(cluster: Sequence[Slice]) -> list[int]:
    """For each slice the number of its place along the normal: no stack holds two slices at one depth."""
    first = cluster[0].plane
    depths = _positions(cluster) @ axes_of(first.along_row, first.along_column)[:, 2]
    order = np.argsort(depths, kind="stable")
    near = _near_mm(np.diff(depths[order]))
    places, place, anchor = [0] * len(cluster), 0, float(depths[order[0]])
    for index in order:
        if depths[index] - anchor > near:
            place, anchor = place + 1, float(depths[index])
        places[index] = place
    return places


def _near_mm(gaps: FloatArray) -> float:
    """How close slices are at one depth: the tolerance of the grid, and never as far as their neighbour."""
    wide = gaps[gaps > 0.01] if (gaps > 0.01).any() else gaps[gaps > 1e-4]
    usual = float(np.median(wide)) if len(wide) else 1.0
    return min(tolerance_mm(usual), 0.25 * usual)


def _marks(one: Slice) -> dict[str, float | str]:
    marks: dict[str, float | str] = dict(one.plane.marks)
    if one.header.frame_count > 1:
        marks["file"] = f"{one.header.instance or 0:012d} {one.header.instance_uid}"
    return marks


def _split_by_value(
    cluster: Sequence[Slice], places: Sequence[int], marks: Sequence[dict[str, float | str]], chosen: tuple[str, ...]
) -> list[Part] | None:
    """The parts that these marks make, when they are as many as the deepest pile and no place repeats in one."""
    parts = _by_value(cluster, marks, chosen)
    if parts is None or len(parts) != max(Counter(places).values()):
        return None
    place_of = {id(one): place for one, place in zip(cluster, places, strict=True)}
    for _, part in parts:
        if len({place_of[id(one)] for one in part}) < len(part):
            return None
    return parts


def _by_value(
    cluster: Sequence[Slice], marks: Sequence[dict[str, float | str]], chosen: tuple[str, ...]
) -> list[Part] | None:
    """Slices by the values of these marks, in the order of the values; None when a slice lacks one."""
    parts: dict[tuple[float | str, ...], list[Slice]] = {}
    for one, found in zip(cluster, marks, strict=True):
        if any(name not in found for name in chosen):
            return None
        parts.setdefault(tuple(found[name] for name in chosen), []).append(one)
    return [(" and ".join(chosen), parts[value]) for value in sorted(parts)]


def _split_interleaved(
    cluster: Sequence[Slice], marks: Sequence[dict[str, float | str]], names: Sequence[str]
) -> list[Part] | None:
    """The phases of a stack that is uneven as a whole, when a mark takes it apart into even stacks that overlap.

    Stacks that follow each other are one scan in several acquisitions; only those that interlock are phases.
    """
    if len(cluster) < 4 or not (stack := stack_of(cluster)).gaps_mm:
        return None
    depth = stack.axes[:, 2]
    for name in names:
        parts = _by_value(cluster, marks, (name,))
        if parts is None or not 2 <= len(parts) <= len(cluster) // 2 or min(len(part) for _, part in parts) < 2:
            continue
        ranges = sorted((float(low), float(high)) for low, high in (_range(part, depth) for _, part in parts))
        interlock = all(after[0] < before[1] for before, after in pairwise(ranges))
        if interlock and not any(stack_of(part).gaps_mm for _, part in parts):
            return parts
    return None


def _range(part: Sequence[Slice], direction: FloatArray) -> tuple[float, float]:
    depths = _positions(part) @ direction
    return depths.min(), depths.max()


def _split_by_rank(
    cluster: Sequence[Slice], places: Sequence[int], values: Sequence[float | str | None], label: str
) -> list[Part] | None:
    """The parts by rank of a value at each place, when every place has as many images and no value ties there."""
    piles: dict[int, list[tuple[float, int]]] = {}
    for index, (value, place) in enumerate(zip(values, places, strict=True)):
        if not isinstance(value, float | int):
            return None
        piles.setdefault(place, []).append((value, index))
    deepest = max(map(len, piles.values()))
    if any(len(pile) != deepest or len({value for value, _ in pile}) < deepest for pile in piles.values()):
        return None
    ranked = [sorted(pile) for pile in piles.values()]
    return [(label, [cluster[pile[rank][1]] for pile in ranked]) for rank in range(deepest)]


def _split_by_count(cluster: Sequence[Slice], places: Sequence[int]) -> list[Part] | None:
    """The parts by instance number, when the numbers count phase by phase, or place by place."""
    parts = _split_by_rank(cluster, places, [one.header.instance for one in cluster], "instance number")
    if parts is None:
        return None
    numbers = np.array([[one.header.instance or 0 for one in part] for _, part in parts])
    phase_by_phase = bool((numbers[:-1].max(axis=1) < numbers[1:].min(axis=1)).all())
    place_by_place = bool((numbers[-1] - numbers[0] == len(parts) - 1).all())
    return parts if phase_by_phase or place_by_place else None


def _ambiguous(cluster: Sequence[Slice], places: Sequence[int]) -> GeometryError:
    counts = Counter(places)
    place = next(place for place in sorted(counts) if counts[place] > 1)
    rivals = [one for one, found in zip(cluster, places, strict=True) if found == place]
    crowded = sum(count > 1 for count in counts.values())
    return GeometryError(
        f"{crowded} of {len(counts)} positions hold several different images, and no header tells which belong "
        f"together; the first are instances {', '.join(one.name for one in rivals[:4])} at "
        f"({', '.join(f'{value:.2f}' for value in rivals[0].plane.position_mm)}) mm",
        where=rivals[0].header.path,
        hint="export the phases as series of their own, or remove the image that does not belong",
    )
