"""Compiled steps of one pass: what edges cost, and the sweep that collapses them."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshing.collapse.mesh import FIXED, FREE, Mesh, Stock, faces_on, ring_of
from meshing.collapse.quadrics import joint
from meshing.threads import kernel

_TURN = 0.3
"""Least cosine between a face before and after."""

_SLIVER = 0.02
"""Least double area over the square of the longest side, for a face that had more before."""

_FURTHEST = 0.5
"""Lengths of its edge by which a joint may move to keep the volume."""

_FLAT = 0.05
"""Least six volumes of a tetrahedron over the cube of its longest edge at the tip; a regular one has 0.71."""


@kernel
def costs(mesh: Mesh, spare: Any, step: int) -> Any:
    """What the open edges of every `step`-th face cost to collapse."""
    faces, sides, start, around = mesh.faces, mesh.sides, mesh.start, mesh.around
    points, quadrics, kind = mesh.points, mesh.quadrics, mesh.kind
    cost, count = np.empty(3 * (len(faces) // step + 1)), 0
    for face in range(0, len(faces), step):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if not (spare[sides[face, 0]] and spare[sides[face, 1]]):
            continue
        for one, other in ((a, b), (b, c), (c, a)):
            if kind[one] == FREE or kind[other] == FREE:
                # Plain edges run once each way: one of the two is enough.
                if one > other:
                    continue
            elif kind[one] + kind[other] == 2 * FIXED or not _owns_feature(faces, start, around, face, one, other):
                continue
            gone, kept = (one, other) if kind[one] <= kind[other] else (other, one)
            cost[count] = joint(points, quadrics, gone, kept, kind[gone] == kind[kept])[0]
            count += 1
    return cost[:count]


@kernel
def _owns_feature(faces: Any, start: Any, around: Any, face: int, one: int, other: int) -> bool:
    """Whether an edge is a feature edge and this is the first of its faces."""
    for slot in range(start[one], start[one + 1]):
        its = around[slot]
        for corner in range(3):
            if faces[its, corner] == other:
                return its == face and faces_on(faces, start, around, one, other) != 2
    return False


@kernel
def sweep(mesh: Mesh, limit: float, spare: Any, most: int, stock: Stock) -> Any:
    """How many seen faces went by collapsing edges of at most a cost until `most` had, and edges that cannot.

    A vertex joins at most once, and then keeps still, so that costs and `around` stay true for the others.
    """
    faces, sides, start, around = mesh.faces, mesh.sides, mesh.start, mesh.around
    points, quadrics, kind = mesh.points, mesh.quadrics, mesh.kind
    left, least = stock.left, stock.least
    done = np.zeros(len(points), np.bool_)
    mark = np.zeros(len(points), np.int32)
    widest = 0
    for vertex in range(len(points)):
        widest = max(widest, start[vertex + 1] - start[vertex])
    ring, its = np.empty((widest, 3), np.int32), np.empty((widest, 3), np.int32)
    rim = np.empty((2 * widest, 2), np.int32)
    tick, joined, removed = 0, 0, 0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if a < 0 or not (spare[sides[face, 0]] and spare[sides[face, 1]]):
            continue
        for one, other in ((a, b), (b, c), (c, a)):
            # As in `costs`, written out: a call for each edge takes 7 % more time.
            if done[one] or done[other]:
                continue
            if kind[one] == FREE or kind[other] == FREE:
                if one > other:
                    continue
            elif kind[one] + kind[other] == 2 * FIXED or not _owns_feature(faces, start, around, face, one, other):
                continue
            gone, kept = (one, other) if kind[one] <= kind[other] else (other, one)
            cost, x, y, z = joint(points, quadrics, gone, kept, kind[gone] == kind[kept])
            if cost > limit:
                continue
            tick += 1
            count = ring_of(faces, start, around, gone, ring)
            its_count = ring_of(faces, start, around, kept, its)
            shared = _shared(gone, kept, ring, count, its, its_count, mark, 2 * tick)
            if shared == 0 or not _can_spare(sides, ring, count, kept, shared, left, least):
                continue
            if kind[gone] != FREE and _closes_loop(ring, count, its, its_count, mark, 2 * tick):
                continue
            if kind[kept] == FREE:
                x, y, z = _keeping_volume(points, ring, count, its, its_count, gone, kept, x, y, z)
            if _turns(ring, count, points, gone, kept, x, y, z) or _turns(its, its_count, points, kept, gone, x, y, z):
                continue
            if count + its_count - 2 * shared == 3 or kind[kept] != FREE:
                rims = _rim(ring, count, its, its_count, gone, kept, rim)
                if _flattens(mesh, done, rim, rims, x, y, z):
                    continue
            removed += _join(faces, sides, ring, count, gone, kept, left)
            points[kept, 0], points[kept, 1], points[kept, 2] = x, y, z
            done[gone] = done[kept] = True
            joined += 1
            if removed >= most:
                return removed, tick - joined
    return removed, tick - joined


@kernel
def _shared(gone: int, kept: int, ring: Any, count: int, its: Any, its_count: int, mark: Any, tick: int) -> int:
    """How many faces two vertices share; 0 if to join them tears something: the link condition, and no face twice.

    Leaves `tick + 1` on the marks of common neighbours.
    """
    for spoke in range(count):
        mark[ring[spoke, 0]] = tick
        mark[ring[spoke, 1]] = tick
    mark[kept] = 0
    shared, common = 0, 0
    for spoke in range(its_count):
        b, c = its[spoke, 0], its[spoke, 1]
        if b == gone or c == gone:
            shared += 1
        if mark[b] == tick:
            mark[b] = tick + 1
            common += 1
        if mark[c] == tick:
            mark[c] = tick + 1
            common += 1
    if shared != common:
        return 0
    for spoke in range(count):
        b, c = ring[spoke, 0], ring[spoke, 1]
        if mark[b] == tick + 1 and mark[c] == tick + 1:
            for again in range(its_count):
                d, e = its[again, 0], its[again, 1]
                if (d == b and e == c) or (d == c and e == b):
                    return 0
    return shared


@kernel
def _closes_loop(ring: Any, count: int, its: Any, its_count: int, mark: Any, tick: int) -> bool:
    """Whether two feature edges would fall onto each other."""
    for spoke in range(2 * count):
        other = ring[spoke >> 1, spoke & 1]
        if mark[other] == tick + 1 and _spokes(ring, count, other) != 2 and _spokes(its, its_count, other) != 2:
            return True
    return False


@kernel
def _spokes(ring: Any, count: int, other: int) -> int:
    """How many faces of a ring hold a vertex."""
    found = 0
    for spoke in range(count):
        if ring[spoke, 0] == other or ring[spoke, 1] == other:
            found += 1
    return found


@kernel
def _keeping_volume(
    points: Any, ring: Any, count: int, its: Any, its_count: int, gone: int, kept: int, x: float, y: float, z: float
) -> Any:
    """The place moved along the normal until both sides of the wall have the volume they had.

    Quadrics alone lay every vertex too low on round walls. With the kept vertex for origin its own faces span nothing.
    """
    ox, oy, oz = points[kept, 0], points[kept, 1], points[kept, 2]
    sx, sy, sz, gx, gy, gz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for spoke in range(count + its_count):
        if spoke == count:
            gx, gy, gz = sx, sy, sz
        b, c = (ring[spoke, 0], ring[spoke, 1]) if spoke < count else (its[spoke - count, 0], its[spoke - count, 1])
        if b in (kept, gone) or c in (kept, gone):
            continue
        qx, qy, qz = points[b, 0] - ox, points[b, 1] - oy, points[b, 2] - oz
        rx, ry, rz = points[c, 0] - ox, points[c, 1] - oy, points[c, 2] - oz
        sx, sy, sz = sx + qy * rz - qz * ry, sy + qz * rx - qx * rz, sz + qx * ry - qy * rx
    square = sx * sx + sy * sy + sz * sz
    if square <= 0:
        return x, y, z
    px, py, pz = points[gone, 0] - ox, points[gone, 1] - oy, points[gone, 2] - oz
    lost = px * gx + py * gy + pz * gz - (x - ox) * sx - (y - oy) * sy - (z - oz) * sz
    # Where walls fold back on themselves the normal is short and the way long: not that far.
    furthest = _FURTHEST * np.sqrt((px * px + py * py + pz * pz) * square)
    share = min(max(lost, -furthest), furthest) / square
    return x + sx * share, y + sy * share, z + sz * share


@kernel
def _turns(ring: Any, count: int, points: Any, vertex: int, partner: int, x: float, y: float, z: float) -> bool:
    """Whether a face of `vertex` that stays would turn over or become a sliver with the vertex at x, y, z."""
    px, py, pz = points[vertex, 0], points[vertex, 1], points[vertex, 2]
    for spoke in range(count):
        b, c = ring[spoke, 0], ring[spoke, 1]
        if b == partner or c == partner:
            continue
        qx, qy, qz = points[b, 0], points[b, 1], points[b, 2]
        rx, ry, rz = points[c, 0], points[c, 1], points[c, 2]
        ex, ey, ez = rx - qx, ry - qy, rz - qz
        ox, oy, oz = px - qx, py - qy, pz - qz
        nx, ny, nz = x - qx, y - qy, z - qz
        ax, ay, az = ey * oz - ez * oy, ez * ox - ex * oz, ex * oy - ey * ox
        bx, by, bz = ey * nz - ez * ny, ez * nx - ex * nz, ex * ny - ey * nx
        old, new = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz
        across = ax * bx + ay * by + az * bz
        if old > 0 and (across <= 0 or across * across < _TURN * _TURN * old * new):
            return True
        edge = ex * ex + ey * ey + ez * ez
        longest = max(edge, nx * nx + ny * ny + nz * nz, (x - rx) ** 2 + (y - ry) ** 2 + (z - rz) ** 2)
        if new <= _SLIVER * _SLIVER * longest * longest:
            before = max(edge, ox * ox + oy * oy + oz * oz, (px - rx) ** 2 + (py - ry) ** 2 + (pz - rz) ** 2)
            if new <= 1e-12 * longest * longest or old > _SLIVER * _SLIVER * before * before:
                return True
    return False


@kernel
def _rim(ring: Any, count: int, its: Any, its_count: int, gone: int, kept: int, rim: Any) -> int:
    """Number of faces that the joint will have; into `rim` goes the far edge of each."""
    left = 0
    for spoke in range(count + its_count):
        b, c = (ring[spoke, 0], ring[spoke, 1]) if spoke < count else (its[spoke - count, 0], its[spoke - count, 1])
        if b not in (kept, gone) and c not in (kept, gone):
            rim[left, 0], rim[left, 1] = b, c
            left += 1
    return left


@kernel
def _flattens(mesh: Mesh, done: Any, rim: Any, left: int, x: float, y: float, z: float) -> bool:
    """Whether the joint, put at x, y, z, would be the tip of a tetrahedron of nearly no volume."""
    for one in range(left):
        for other in range(one + 1, left):
            for turn in range(4):
                a, b = rim[one, turn & 1], rim[one, 1 - (turn & 1)]
                c, again = rim[other, turn >> 1], rim[other, 1 - (turn >> 1)]
                if again != b or c == a:
                    continue
                for third in range(left):
                    p, q = rim[third, 0], rim[third, 1]
                    closes = (p == a and q == c) or (p == c and q == a)
                    if closes and _is_face(mesh, done, a, b, c) and _is_flat(mesh.points, a, b, c, x, y, z):
                        return True
    return False


@kernel
def _is_flat(points: Any, a: int, b: int, c: int, x: float, y: float, z: float) -> bool:
    px, py, pz = points[a, 0] - x, points[a, 1] - y, points[a, 2] - z
    qx, qy, qz = points[b, 0] - x, points[b, 1] - y, points[b, 2] - z
    rx, ry, rz = points[c, 0] - x, points[c, 1] - y, points[c, 2] - z
    box = px * (qy * rz - qz * ry) + py * (qz * rx - qx * rz) + pz * (qx * ry - qy * rx)
    longest = max(px * px + py * py + pz * pz, qx * qx + qy * qy + qz * qz, rx * rx + ry * ry + rz * rz)
    return bool(abs(box) < _FLAT * longest**1.5)


@kernel
def _is_face(mesh: Mesh, done: Any, a: int, b: int, c: int) -> bool:
    """Whether three vertices have a face; taken for granted where all three joined others in this sweep."""
    if done[a]:
        a, b, c = b, c, a
    if done[a]:
        a, b, c = b, c, a
    if done[a]:
        return True
    for slot in range(mesh.start[a], mesh.start[a + 1]):
        face = mesh.around[slot]
        hits = 0
        for corner in range(3):
            hits += mesh.faces[face, corner] == b or mesh.faces[face, corner] == c
        if hits == 2 and mesh.faces[face, 0] >= 0:
            return True
    return False


@kernel
def _can_spare(sides: Any, ring: Any, count: int, kept: int, most: int, left: Any, least: Any) -> bool:
    """Whether the labels of the faces that would vanish can lose so many."""
    for spoke in range(count):
        if ring[spoke, 0] == kept or ring[spoke, 1] == kept:
            for side in range(2):
                label = sides[ring[spoke, 2], side]
                if left[label] - most < least[label]:
                    return False
    return True


@kernel
def _join(faces: Any, sides: Any, ring: Any, count: int, gone: int, kept: int, left: Any) -> int:
    """Number of seen faces that vanish, taken off the stock; the others of the ring of `gone` get `kept` for it."""
    removed = 0
    for spoke in range(count):
        face = ring[spoke, 2]
        if ring[spoke, 0] == kept or ring[spoke, 1] == kept:
            faces[face, 0] = -1
            for side in range(2):
                label = sides[face, side]
                left[label] -= 1
                removed += label != 0
        else:
            corner = 0 if faces[face, 0] == gone else (1 if faces[face, 1] == gone else 2)
            faces[face, corner] = kept
    return removed
