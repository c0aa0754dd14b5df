"""Several organs of one scan grown from their clicks: one segmentation, one map of confidence.

In: a CT and `Request`s. Out: a `Segmentation`, the confidence as a `Volume` on the scan's grid, the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshing.errors import NotFoundError, SegmentationError
from meshing.organs.clicks import Clicks
from meshing.organs.course import follow, is_vessel
from meshing.organs.grow import Found, grow, source
from meshing.organs.priors import KINDS
from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation, stack_masks
from meshing.terminology import match, structure_for
from meshing.volume import Fact, Volume


@dataclass(frozen=True)
class Request:
    """An organ that is wanted, and its clicks."""

    kind: str
    clicks: Clicks


def requests_for(
    inside: Sequence[tuple[str, Point]],
    outside: Sequence[tuple[str, Point]] = (),
    boxes: Sequence[tuple[str, tuple[Point, Point]]] = (),
) -> tuple[Request, ...]:
    """Requests from points and boxes by name; names in either language, one request per organ, in their order.

    Raises
    ------
    NotFoundError
        If a name is no organ that can be grown.
    SegmentationError
        If an organ has only outside points, or two boxes.
    """
    named = [(kind_of(name), point) for name, point in inside]
    left_out = [(kind_of(name), point) for name, point in outside]
    boxed = [(kind_of(name), box) for name, box in boxes]
    requests = []
    for kind in dict.fromkeys(kind for kind, _ in (*named, *boxed, *left_out)):
        corners = [box for other, box in boxed if other == kind]
        points = tuple(point for other, point in named if other == kind)
        if len(corners) > 1 or not (corners or points):
            raise SegmentationError(
                f"{len(points)} clicks and {len(corners)} boxes",
                where=kind,
                hint="an organ takes at least one click inside, or one box",
            )
        clicks = Clicks(points, tuple(p for other, p in left_out if other == kind), corners[0] if corners else None)
        requests.append(Request(kind, clicks))
    return tuple(requests)


def kind_of(name: str) -> str:
    """The kind that a name means: "bladder", "左肾".

    Raises
    ------
    NotFoundError
        If it cannot be grown.
    """
    known = match(name)
    if known is None or not (known.key in KINDS or is_vessel(known.key)):
        raise NotFoundError(
            f"{name!r} cannot be grown from a click", hint=f"one of: {', '.join(KINDS)}; or a vessel, from two clicks"
        )
    return known.key


def grow_all(
    volume: Volume, requests: Sequence[Request], *, progress: Progress = silent
) -> tuple[Segmentation, Volume, tuple[Fact, ...]]:
    """Every organ asked for, the confidence of the least sure one for every voxel, and the facts.

    Raises
    ------
    SegmentationError
        As `grow`; also if two requests turn out to be one organ.
    """
    found: list[Found] = []
    for number, request in enumerate(requests):
        step = part(progress, number / len(requests), (number + 1) / len(requests))
        one = _grown(volume, request, step)
        if one.kind in {other.kind for other in found}:
            raise SegmentationError(f"{request.kind} is asked for twice", where=one.kind, hint="name the other side")
        found.append(one)
    masks = {one.kind: one.mask for one in found}
    segmentation = stack_masks(masks, {key: structure_for(key) for key in masks}, volume.grid, source(found))
    facts = tuple(fact for one in found for fact in one.facts)
    return segmentation, confidence_of(found, volume), facts


def _grown(volume: Volume, request: Request, progress: Progress) -> Found:
    clicks = request.clicks
    if not is_vessel(request.kind):
        return grow(
            volume,
            request.kind,
            clicks.inside_mm,
            outside_mm=clicks.outside_mm,
            box_mm=clicks.box_mm,
            progress=progress,
        )
    if clicks.outside_mm or clicks.box_mm:
        raise SegmentationError(
            "a vessel takes clicks along its course, no outside clicks and no box",
            where=request.kind,
            hint="where it strays, click in between",
        )
    return follow(volume, request.kind, clicks.inside_mm, progress=progress)


def confidence_of(found: Sequence[Found], volume: Volume) -> Volume:
    """How sure every voxel is, 0 to 1, over several organs: the least; 1 where nothing was grown."""
    values = np.ones(volume.grid.shape, np.float32, order="F")
    for one in found:
        there = values[one.confidence_box]
        np.minimum(there, one.confidence, out=there)
    return Volume(values, volume.grid, "", "confidence")
