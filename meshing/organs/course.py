"""A vessel from clicks along its course, as a `Found` like any organ's: mask, confidence, facts.

In: a CT in any storage order and LPS points, two or more. The confidence says where the wall was seen: where the
vessel lies against something as bright as itself it was drawn smooth, and may be off by a quarter of its radius.
"""

from __future__ import annotations

import numpy as np

from meshing.errors import NotFoundError, SegmentationError
from meshing.frames import FloatArray
from meshing.organs.clicks import Clicks
from meshing.organs.grow import Found
from meshing.organs.lumen import Lumen, lumen_between
from meshing.plan import Point
from meshing.progress import Progress, part, silent
from meshing.terminology import Structure, structure_for
from meshing.volume import Fact, Volume
from meshing.voxels.morphology import bounding_box, depth_of, distance_from
from meshing.voxels.seeds import checked_seeds
from meshing.voxels.upright import Box, Float32Array, Mask, Upright, box_to_storage, to_storage, upright

_TUBES = ("vascular_arterial", "vascular_venous")
_UNSEEN = 0.25
"""Of the radius: how far an unseen wall may lie off; edges are looked for no farther."""
_SEEN_VOXELS = 0.5
"""A seen wall is known to half a voxel."""
_DOUBTFUL_MM = 3.0
"""Depth to which an unseen wall makes voxels doubtful."""
_LITTLE_SEEN = 0.7


def is_vessel(kind: str) -> bool:
    """Whether structures of that kind are followed from click to click rather than grown from one."""
    return structure_for(kind).system in _TUBES


def follow(volume: Volume, kind: str, clicks_mm: tuple[Point, ...], *, progress: Progress = silent) -> Found:
    """The vessel through the clicks.

    Parameters
    ----------
    kind
        Terminology key of a vessel: "aorta", "iliac_artery_left".
    clicks_mm
        LPS points inside it, in the order of its course.

    Raises
    ------
    NotFoundError
        If the kind is no vessel.
    SegmentationError
        If the scan is no CT, a click lies outside it, there is only one, or the way leaves the vessel.
    """
    structure = structure_for(kind)
    if structure.system not in _TUBES:
        raise NotFoundError(f"{structure.name} is no vessel", where=kind, hint="grow it from one click")
    if volume.modality != "CT":
        raise SegmentationError(
            f"a vessel is followed by the values of CT, the scan is {volume.modality or 'of unknown modality'}",
            where=kind,
            hint="for an MR angiogram: --preset mr-vessels",
        )
    scan = upright(volume)
    lumen, mask = lumen_between(scan, checked_seeds(scan, clicks_mm, kind), progress=part(progress, 0.0, 0.9))
    progress(0.9, "judging the wall")
    box = bounding_box(mask, scan.spacing_mm, _DOUBTFUL_MM)
    if box is None:
        raise SegmentationError("the vessel is thinner than the voxels", where=kind)
    confidence, stored_box = box_to_storage(_confidence(mask[box], lumen, box, scan), box, scan)
    volumes = _volumes_ml(lumen, scan)
    own = float(mask.sum()) * scan.voxel_ml
    return Found(
        kind=kind,
        mask=to_storage(mask, scan),
        confidence=confidence,
        confidence_box=stored_box,
        grid=volume.grid,
        clicks=Clicks(clicks_mm),
        volume_ml=own,
        volumes_ml=(min(volumes[0], own), max(volumes[1], own)),
        facts=_facts(structure, lumen, own, volumes),
    )


def _confidence(mask: Mask, lumen: Lumen, box: Box, scan: Upright) -> Float32Array:
    """1 deep inside and far outside; at the wall what was seen of it there, coming back within a few mm."""
    from scipy.spatial import cKDTree

    spacing = np.array(scan.spacing_mm)
    reach = _DOUBTFUL_MM + float(spacing.max())
    near = np.argwhere(np.maximum(distance_from(mask, scan.spacing_mm), depth_of(mask, scan.spacing_mm)) <= reach)
    turns = np.arange(lumen.radius_mm.shape[1]) * (2 * np.pi / lumen.radius_mm.shape[1])
    outward = lumen.across[:, None] * np.cos(turns)[:, None] + lumen.beside[:, None] * np.sin(turns)[:, None]
    wall = (lumen.centre_mm[:, None] + outward * lumen.radius_mm[..., None]).reshape(-1, 3)
    places = (near + [part.start for part in box]) * spacing
    apart, nearest = cKDTree(wall).query(places)
    doubt = 1.0 - np.minimum(lumen.seen.ravel()[nearest], 1.0)
    fade = np.clip(1.0 - apart / reach, 0.0, 1.0)
    confidence = np.ones(mask.shape, np.float32)
    confidence[tuple(near.T)] = 1.0 - doubt * fade
    return confidence


def _volumes_ml(lumen: Lumen, scan: Upright) -> tuple[float, float]:
    """Volume with every wall moved in, and out, by as much as is not known of it."""
    step = np.linalg.norm(np.diff(lumen.centre_mm, axis=0), axis=1).mean()
    seen_mm = _SEEN_VOXELS * float(np.cbrt(np.prod(scan.spacing_mm)))
    off = lumen.seen * seen_mm + (1.0 - lumen.seen) * np.maximum(_UNSEEN * lumen.radius_mm, seen_mm)
    low, high = (_tube_ml(np.maximum(lumen.radius_mm + way * off, 0.0), float(step)) for way in (-1.0, 1.0))
    return low, high


def _tube_ml(radius_mm: FloatArray, step_mm: float) -> float:
    return float((np.pi * (radius_mm**2).mean(axis=1)).sum() * step_mm / 1000.0)


def _facts(structure: Structure, lumen: Lumen, volume: float, volumes: tuple[float, float]) -> tuple[Fact, ...]:
    length = float(np.linalg.norm(np.diff(lumen.centre_mm, axis=0), axis=1).sum())
    radius = float(np.sqrt((lumen.radius_mm**2).mean()))
    name = structure.name.lower()
    text = (
        f"{name}: followed over {length:.0f} mm, mean radius {radius:.1f} mm, {volume:.1f} ml "
        f"({volumes[0]:.1f} to {volumes[1]:.1f} by what is known of its wall); "
        f"an edge shows on {100 * lumen.share_seen:.0f} % of the wall"
    )
    values = {
        "key": structure.key,
        "length_mm": length,
        "radius_mm": radius,
        "volume_ml": volume,
        "low_ml": volumes[0],
        "high_ml": volumes[1],
        "share_seen": lumen.share_seen,
    }
    facts = [Fact("followed", text, values)]
    if lumen.share_seen < _LITTLE_SEEN:
        text = f"{name}: no edge shows on {100 * (1 - lumen.share_seen):.0f} % of its wall; look at it"
        facts.append(Fact("unsure", text, {"key": structure.key, "share_seen": lumen.share_seen}))
    return tuple(facts)
