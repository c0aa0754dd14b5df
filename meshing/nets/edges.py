"""Walls move to where the image shows an edge: to a tenth of a voxel, and not at all where it shows none.

Along the normal of each vertex the image is read across the wall. What the blurred image holds of the part behind,
beyond the wall, less what it lacks before it, is a volume per area; partial volume and the scanner's blur do not change
it, so that a tube two voxels wide keeps its volume, which the half-level crossing takes a tenth or more of. The volume
is averaged over neighbours, weighted with how far each is to be believed, and becomes a shift along the normal.

A vertex is believed where the two sides differ by more than the noise, the profile falls once, from one plateau to the
other, and the edge lies no further than about a voxel; a look never goes past the middle of a thin part or gap, whose
other half belongs to its other wall. Vertices where three parts meet stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshing.nets import rays
from meshing.nets.lattice import Net
from meshing.nets.levels import Levels, seen_beside, sharpened
from meshing.nets.quads import NetPoints, Quads, QuadSides
from meshing.nets.scene import TENT, Floats, Scene, Wall, evened, wall_of
from meshing.threads import over_rows

_REST = 1.25
"""What smoothing takes from the normals' turning, and so from the sag: measured on tubes of radius 1, 2 and 4 mm."""


@dataclass(frozen=True)
class Looking:
    """How the image is looked at.

    Parameters
    ----------
    rounds
        Times that the wall is moved and looked at again.
    reach
        How far a look goes each way, in voxels.
    furthest
        The furthest edge that a vertex goes to, in voxels.
    blur
        Standard deviation of the scanner's point spread beyond the voxel itself, in voxels.
    even
        Half-steps of averaging over neighbours, in each round.
    labels
        Parts whose walls are looked for; None for all.
    """

    rounds: int = 3
    reach: float = 1.25
    furthest: float = 1.0
    blur: float = 0.0
    even: int = 5
    labels: tuple[int, ...] | None = None


def edge_offsets_mm(scene: Scene, wall: Wall, looking: Looking = Looking()) -> tuple[Floats, Floats]:
    """How far along its normal each vertex lies from the image's edge, in mm, and how far that is to be believed.

    Each by itself, not averaged over neighbours; the confidence is 0 … 1, and the offset 0 where that is 0.
    """
    normals = _normals(wall)
    bends = _bends(scene, wall, normals, looking)
    seen = seen_beside(scene, wall, normals)
    levels = seen.levels(wall.neighbours)
    scene = replace(scene, noise=min(scene.noise, seen.noise))
    found = _look(scene, wall, (normals, bends, levels), np.zeros(len(wall.points), np.float32), looking)
    offset = _shift(np.asarray(found[:, 0] / np.maximum(found[:, 1], 1e-6), np.float32), bends[:, 0])
    return np.where(found[:, 1] > 0, offset, np.float32(0)).astype(np.float32), found[:, 1].copy()


def at_edges(scene: Scene, wall: Wall, looking: Looking = Looking()) -> tuple[Floats, Floats]:
    """The wall's points where the image shows its edges, (V, 3) mm, and how far each is to be believed, (V,)."""
    seen = seen_beside(scene, wall, _normals(wall))
    levels = seen.levels(wall.neighbours)
    scene = replace(scene, noise=min(scene.noise, seen.noise))
    moved, trust = (np.zeros(len(wall.points), np.float32) for _ in range(2))
    for turn in range(looking.rounds):
        normals = _normals(wall)
        bends = _bends(scene, wall, normals, looking)
        if seen.thin and turn == looking.rounds // 2:
            levels = sharpened(scene, wall, normals, bends, seen).levels(wall.neighbours)
        found = _look(scene, wall, (normals, bends, levels), moved, looking)
        shift, trust = _evened_shift(found, bends, wall, looking)
        limit = looking.furthest / np.maximum(np.linalg.norm(normals / scene.spacing, axis=1), 1e-9)
        shift = np.asarray(np.clip(moved + shift, -limit, limit) - moved, np.float32)
        wall = replace(wall, points=wall.points + shift[:, None] * normals)
        moved += shift
    return wall.points, trust


def _evened_shift(found: Floats, bends: Floats, wall: Wall, looking: Looking) -> tuple[Floats, Floats]:
    """How far each vertex goes, in mm, and how far it and its neighbours are believed."""
    area = bends[:, 2]
    fields = evened(np.column_stack([found[:, 0] * area, found[:, 1] * area, area]), wall.neighbours, looking.even)
    trust = np.clip((fields[:, 1] / np.maximum(fields[:, 2], 1e-9) - 0.1) / 0.4, 0.0, 1.0).astype(np.float32)
    trust[wall.labels[:, 0] < 0] = 0
    volume = np.asarray(fields[:, 0] / np.maximum(fields[:, 1], 1e-9), np.float32)
    shift: Floats = trust * (_shift(volume, bends[:, 0]) + bends[:, 3])
    return shift, trust


def moved_to_edges(
    net: Net, points: NetPoints, *, pieces: tuple[Quads, QuadSides], scene: Scene, looking: Looking = Looking()
) -> tuple[NetPoints, Floats]:
    """Points of the whole net, and how far each vertex is believed to be at an edge, (V,) 0 … 1.

    Vertices where three labels meet, and all that are not believed, stay where they are to the bit.
    """
    wall, chosen = wall_of(net, points, pieces, scene, looking.labels)
    moved, trust = at_edges(scene, wall, looking)
    out = points.copy()
    out[chosen] += moved - wall.points
    believed = np.zeros(len(points), np.float32)
    believed[chosen] = trust
    return out, believed


def _normals(wall: Wall) -> Floats:
    """Unit normals, evened a little: a ray that misses the axis of a tube finds too little of it."""
    total = np.zeros((len(wall.points), 3), np.float32)
    rays.face_normals(wall.quads, wall.points, total)
    total = evened(_unit(total), wall.neighbours, 2)
    return _unit(total)


def _unit(vectors: Floats) -> Floats:
    sizes = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(sizes, 1e-12), np.float32)


def _bends(scene: Scene, wall: Wall, normals: Floats, looking: Looking) -> Floats:
    """(V, 4): how the wall bends in 1/mm, what uneven blur moves in mm, area in mm², and the sag in mm.

    Blur that is wider along the wall than across it lowers a bent wall: by half of the difference of the two variances,
    each weighted with its bend.
    """
    variance = ((TENT + looking.blur**2) * scene.spacing**2).astype(np.float32)
    sums = np.zeros((len(wall.points), 4), np.float32)
    rays.bending(wall.quads, wall.points, normals, variance, sums)
    area = sums[:, 0].copy()
    sums = evened(sums, wall.neighbours, 4)
    bend, blurred, sag = (sums[:, n] / np.maximum(sums[:, 0], 1e-9) for n in (1, 2, 3))
    uneven = 0.5 * (bend * (normals**2 @ variance) - blurred)
    sag = _REST * sag * (1 + 1.9 * np.abs(bend * sag))
    return np.column_stack([bend, uneven, area, sag]).astype(np.float32)


def _look(scene: Scene, wall: Wall, beside: tuple[Floats, Floats, Levels], moved: Floats, looking: Looking) -> Floats:
    """(V, 2): volume per area times trust, and trust."""
    normals, bends, levels = beside
    settings = np.array([looking.reach, looking.furthest, scene.noise], np.float32)
    out = np.empty((len(wall.points), 2), np.float32)
    over_rows(
        rays.edges,
        len(out),
        scene.image,
        scene.shape,
        scene.strides,
        scene.spacing,
        wall.points,
        normals,
        np.ascontiguousarray(bends[:, 0]),
        moved,
        levels,
        settings,
        out,
    )
    out[:, 1] *= wall.free
    out[:, 0] = (out[:, 0] - bends[:, 1]) * out[:, 1]
    return out


def _shift(volume: Floats, bend: Floats) -> Floats:
    """How far to go so that the wall sweeps that volume per area: s + bend · s² / 2 = volume."""
    return np.asarray(2 * volume / (1 + np.sqrt(np.maximum(1 + 2 * bend * volume, 0.01))), np.float32)
