"""Slices of one orientation told apart into phases: time points, contrast phases, echoes, b-values, images of a pair.

Two images at one position never go into one volume. What tells them apart is looked for in the headers; when nothing
does, the series is refused rather than guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from meshing.errors import GeometryError
from meshing.importing.dicom.geometry import axes_of, tolerance_mm
from meshing.importing.dicom.headers import Slice

Part = tuple[str, list[Slice]]


def split_by_phase(cluster: Sequence[Slice]) -> list[Part]:
    """(label, slices) of each phase, in the order of what tells them apart; one part when nothing collides.

    Raises
    ------
    GeometryError
        If two images lie at one position and no header tells which volume they belong to.
    """
    places = _places(cluster)
    deepest = max(Counter(places).values())
    if deepest == 1:
        return [("", list(cluster))]
    marks = [_marks(one) for one in cluster]
    names = list(dict.fromkeys(name for found in marks for name in found))
    for chosen in [(name,) for name in names] + list(combinations(names, 2)):
        if parts := _split(cluster, places, marks, chosen, deepest):
            return parts
    if parts := _split_by_number(cluster, places, deepest):
        return parts
    raise _ambiguous(cluster, places)


def _places(cluster: Sequence[Slice]) -> list[int]:
    """For each slice the number of its place: slices within the tolerance of each other share one."""
    positions = np.array([one.plane.position_mm for one in cluster])
    first = cluster[0].plane
    depths = positions @ axes_of(first.along_row, first.along_column)[:, 2]
    order = np.argsort(depths, kind="stable")
    gaps = np.diff(depths[order])
    wide = gaps[gaps > 0.01]
    near = tolerance_mm(float(np.median(wide))) if len(wide) else 0.01
    places = [0] * len(cluster)
    anchors: list[int] = []
    for index in order:
        place = len(anchors)
        for number in range(len(anchors) - 1, -1, -1):
            if depths[index] - depths[anchors[number]] > near:
                break
            if np.linalg.norm(positions[index] - positions[anchors[number]]) <= near:
                place = number
        if place == len(anchors):
            anchors.append(int(index))
        places[index] = place
    return places


def _marks(one: Slice) -> dict[str, float | str]:
    marks: dict[str, float | str] = dict(one.plane.marks)
    marks["frame of reference"] = one.header.frame_of_reference
    if one.header.frame_count > 1:
        marks["file"] = f"{one.header.instance or 0:012d} {one.header.instance_uid}"
    return marks


def _split(
    cluster: Sequence[Slice],
    places: Sequence[int],
    marks: Sequence[dict[str, float | str]],
    chosen: tuple[str, ...],
    deepest: int,
) -> list[Part] | None:
    """The parts that these marks make, when there are as many as the deepest pile and no place repeats in one."""
    parts: dict[tuple[float | str, ...], list[int]] = {}
    for index, found in enumerate(marks):
        if any(name not in found for name in chosen):
            return None
        parts.setdefault(tuple(found[name] for name in chosen), []).append(index)
        if len(parts) > deepest:
            return None
    if len(parts) != deepest:
        return None
    for indices in parts.values():
        if len({places[index] for index in indices}) < len(indices):
            return None
    label = " and ".join(chosen)
    return [
        (label, [cluster[index] for index in parts[value]])
        for value in sorted(
            parts, key=lambda value: (value, min(cluster[i].header.instance or 0 for i in parts[value]))
        )
    ]


def _split_by_number(cluster: Sequence[Slice], places: Sequence[int], deepest: int) -> list[Part] | None:
    """The parts by instance number, when every place has as many images and they count phase by phase, or place by
    place."""
    piles: dict[int, list[tuple[int, int]]] = {}
    for index, (one, place) in enumerate(zip(cluster, places, strict=True)):
        if one.header.instance is None:
            return None
        piles.setdefault(place, []).append((one.header.instance, index))
    if any(len(pile) != deepest or len({number for number, _ in pile}) < deepest for pile in piles.values()):
        return None
    ranked = [sorted(pile) for pile in piles.values()]
    numbers = np.array([[number for number, _ in pile] for pile in ranked])
    phase_by_phase = bool((numbers[:, :-1].max(axis=0) < numbers[:, 1:].min(axis=0)).all())
    place_by_place = bool((numbers[:, -1] - numbers[:, 0] == deepest - 1).all())
    if not (phase_by_phase or place_by_place):
        return None
    return [("instance number", [cluster[pile[rank][1]] for pile in ranked]) for rank in range(deepest)]


def _ambiguous(cluster: Sequence[Slice], places: Sequence[int]) -> GeometryError:
    counts = Counter(places)
    place = next(place for place in sorted(counts) if counts[place] > 1)
    rivals = [one for one, found in zip(cluster, places, strict=True) if found == place]
    crowded = sum(count > 1 for count in counts.values())
    return GeometryError(
        f"{crowded} of {len(counts)} positions hold several different images, and no header tells which belong "
        f"together; the first are instances {', '.join(one.name for one in rivals[:4])} at "
        f"{[round(value, 2) for value in rivals[0].plane.position_mm]} mm",
        where=rivals[0].header.path,
        hint="export the phases as series of their own, or remove the image that does not belong",
    )
