"""The walls of a label array voxel face by voxel face, and what can be counted on walls; for tests, in numpy alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meshing.walls import Triangles, Walls

Labels = npt.NDArray[np.int32]


def walls_of(labels: npt.ArrayLike, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), smooth: int = 0) -> Walls:
    """Two triangles for each pair of voxels that differ, `smooth` times relaxed to the mean of neighbours and self."""
    padded = np.pad(np.asarray(labels, dtype=np.int32), 1)
    corners = np.array(padded.shape) + 1
    quads, sides = [], []
    for axis in range(3):
        behind = np.delete(padded, -1, axis)
        before = np.delete(padded, 0, axis)
        cell = np.argwhere(behind != before)
        pair = np.stack([behind[behind != before], before[behind != before]], axis=1)
        base = cell.copy()
        base[:, axis] += 1
        one, other = np.zeros(3, np.int64), np.zeros(3, np.int64)
        one[(axis + 1) % 3], other[(axis + 2) % 3] = 1, 1
        ring = np.stack([base, base + one, base + one + other, base + other], axis=1)
        swap = pair[:, 0] < pair[:, 1]
        ring[swap] = ring[swap][:, ::-1]
        quads.append(np.ravel_multi_index(tuple(np.moveaxis(ring, -1, 0)), tuple(corners)))
        sides.append(np.sort(pair, axis=1)[:, ::-1])
    quad = np.concatenate(quads)
    used, packed = np.unique(quad, return_inverse=True)
    packed = packed.reshape(-1, 4)
    points = np.stack(np.unravel_index(used, tuple(corners)), axis=1) * np.array(spacing_mm)
    faces = np.concatenate([packed[:, [0, 1, 2]], packed[:, [0, 2, 3]]])
    for _ in range(smooth):
        points = _relaxed(points, packed)
    return Walls(points, faces.astype(np.int32), np.tile(np.concatenate(sides), (2, 1)).astype(np.int32))


def _relaxed(points: npt.NDArray[np.float64], quads: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    one, other = quads.ravel(), np.roll(quads, -1, axis=1).ravel()
    ends, starts = np.concatenate([one, other]), np.concatenate([other, one])
    count = np.bincount(ends, minlength=len(points))
    sums = np.stack([np.bincount(ends, points[starts, axis], minlength=len(points)) for axis in range(3)], axis=1)
    return (points + sums / count[:, None]) / 2


def surface_of(walls: Walls, label: int) -> Triangles:
    """Faces of one label, all looking outward."""
    behind, before = walls.sides[:, 0] == label, walls.sides[:, 1] == label
    return np.concatenate([walls.faces[behind], walls.faces[before][:, ::-1]])


def open_edges(faces: Triangles) -> int:
    """Directed edges that run one way more often than the other."""
    runs = Counter(map(tuple, np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()))
    return sum(abs(count - runs[(b, a)]) for (a, b), count in runs.items())


def edge_uses(faces: Triangles) -> npt.NDArray[np.int64]:
    """How many faces each edge has."""
    half = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(half, axis=0, return_counts=True)[1]


def euler(faces: Triangles) -> int:
    """Vertices − edges + faces: 2 for a ball, 0 for a ring, summed over parts; no legal collapse changes it."""
    return len(np.unique(faces)) - len(edge_uses(faces)) + len(faces)


def parts_of(faces: Triangles) -> list[Triangles]:
    """Faces of each part that hangs together by vertices."""
    count = int(faces.max()) + 1
    a, b, c = faces.T
    graph = coo_matrix((np.ones(2 * len(faces)), (np.r_[a, b], np.r_[b, c])), shape=(count, count))
    part = connected_components(graph, directed=False)[1][a]
    return [faces[part == number] for number in np.unique(part)]


def volume_mm3(walls: Walls, faces: Triangles) -> float:
    """Signed volume."""
    corners = (walls.vertices - walls.vertices.mean(axis=0))[faces]
    return float(np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)
