"""Compiled looks along the normals of a wall into the image, and the smoothing of what they see.

Positions are millimetres from the centre of the image's first voxel, along its axes. Lengths along a ray are counted in
voxels: the step that crosses one voxel in index space, so that a coarse axis is looked along as far as it is blurred.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from meshing.threads import kernel


@kernel
def _value(
    image: Any,
    shape: Any,
    strides: Any,
    x: Any,
    y: Any,
    z: Any,
) -> Any:
    """Trilinear; the border goes on outside."""
    x = min(max(x, np.float32(0)), np.float32(shape[0] - 1))
    y = min(max(y, np.float32(0)), np.float32(shape[1] - 1))
    z = min(max(z, np.float32(0)), np.float32(shape[2] - 1))
    i, j, k = np.int64(x), np.int64(y), np.int64(z)
    a, b, c = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    at = i * strides[0] + j * strides[1] + k * strides[2]
    dx = strides[0] if i + 1 < shape[0] else 0
    dy = strides[1] if j + 1 < shape[1] else 0
    dz = strides[2] if k + 1 < shape[2] else 0
    one = np.float32(1)
    low = (one - b) * ((one - a) * image[at] + a * image[at + dx])
    low += b * ((one - a) * image[at + dy] + a * image[at + dx + dy])
    at += dz
    high = (one - b) * ((one - a) * image[at] + a * image[at + dx])
    high += b * ((one - a) * image[at + dy] + a * image[at + dx + dy])
    return np.float32((one - c) * low + c * high)


@kernel
def _run(voxels: Any, lattice: Any, place: Any, step: Any, label: int) -> Any:
    """Voxels along `step` for which the label stays, from half a voxel on; 4 when it stays to the end of the look."""
    for half in range(1, 9):
        t = np.float32(0.5 * half)
        i = np.int64(np.floor(place[0] + t * step[0] + 0.5)) - lattice[3]
        j = np.int64(np.floor(place[1] + t * step[1] + 0.5)) - lattice[4]
        k = np.int64(np.floor(place[2] + t * step[2] + 0.5)) - lattice[5]
        found = 0
        if 0 <= i < lattice[0] and 0 <= j < lattice[1] and 0 <= k < lattice[2]:
            found = voxels[i + lattice[0] * (j + lattice[1] * k)]
        # The label itself may begin up to a voxel late: the wall is smooth, voxels are not.
        if found != label and half > 2:
            return t - np.float32(0.25)
    return np.float32(4)


@kernel
def plateaus(
    first: int,
    last: int,
    image: Any,
    shape: Any,
    strides: Any,
    voxels: Any,
    lattice: Any,
    spacing: Any,
    points: Any,
    normals: Any,
    labels: Any,
    noise: Any,
    out: Any,
) -> None:
    """What the image holds beyond the blur, behind and before each vertex.

    `out`, (V, 8) float32: for each of the two sides the value, its weight (0 where the part is thinner than the blur or
    not even), how many voxels the part goes on, and the difference over a voxel of plateau (−1 where there is none).
    """
    place = np.empty(3, np.float32)
    step = np.empty(3, np.float32)
    seen = np.empty(5, np.float32)
    for v in range(first, last):
        size = np.float32(0)
        for axis in range(3):
            place[axis] = points[v, axis] / spacing[axis]
            step[axis] = normals[v, axis] / spacing[axis]
            size += step[axis] * step[axis]
        size = np.sqrt(max(size, np.float32(1e-12)))
        for side in range(2):
            sign = np.float32(-1) if side == 0 else np.float32(1)
            for axis in range(3):
                step[axis] = sign * abs(size) * (normals[v, axis] / spacing[axis]) / (size * size)
            reach = _run(voxels, lattice, place, step, labels[v, side])
            out[v, 4 * side + 2] = reach
            out[v, 4 * side + 3] = -1
            many = 0
            total = np.float32(0)
            for n in range(5):
                t = np.float32(1.75 + 0.25 * n)
                # The next part's edge reaches a voxel and a quarter into this one.
                if t > reach - np.float32(1.25) and reach < 4:
                    break
                seen[n] = _value(
                    image, shape, strides, place[0] + t * step[0], place[1] + t * step[1], place[2] + t * step[2]
                )
                total += seen[n]
                many += 1
            weight = np.float32(0)
            level = np.float32(0)
            if many == 5:
                level = total / np.float32(many)
                drift = abs(seen[many - 1] - seen[0])
                out[v, 4 * side + 3] = drift
                weight = np.float32(1) / (np.float32(1) + (drift / (np.float32(2) * noise)) ** 2)
                if not np.isfinite(level):
                    level = np.float32(0)
                    weight = np.float32(0)
            out[v, 4 * side] = level
            out[v, 4 * side + 1] = weight


@kernel
def edges(
    first: int,
    last: int,
    image: Any,
    shape: Any,
    strides: Any,
    spacing: Any,
    points: Any,
    normals: Any,
    bends: Any,
    moved: Any,
    levels: Any,
    rays: Any,
    out: Any,
) -> None:
    """Volume per area between each vertex and the edge, and how far that is to be believed.

    With the share f of the part behind in the blurred image, behind = 1 and before = 0, the volume beyond the wall is
    ∫ f − [s < 0] weighted with the area that the wall has at depth s, 1 + s · bend. The scanner's blur moves no
    volume, so this needs no model of it.

    `rays` is (reach, furthest, noise). `levels` (V, 5) float32: value behind, value before, voxels behind, voxels
    before, trust in the values. `out` (V, 2) float32.
    """
    reach, furthest, noise = rays[0], rays[1], rays[2]
    for v in range(first, last):
        out[v, 0] = 0
        out[v, 1] = 0
        contrast = levels[v, 0] - levels[v, 1]
        size = np.float32(0)
        for axis in range(3):
            size += (normals[v, axis] / spacing[axis]) ** 2
        if size < np.float32(1e-9) or abs(contrast) < np.float32(4) * noise or contrast == 0:
            continue
        unit = np.float32(1) / np.sqrt(size)
        volume, top, bottom, rise, over = _along(
            v, image, shape, strides, spacing, points, normals, bends, levels, unit, reach
        )
        if not np.isfinite(volume):
            continue
        away = abs(moved[v] + volume) / unit
        out[v, 0] = volume
        out[v, 1] = levels[v, 4] * _trust(noise / abs(contrast), top, bottom, rise, over)
        out[v, 1] *= np.float32(1) - _ramp(away, np.float32(0.8) * furthest, np.float32(1.2) * furthest)


@kernel
def _along(
    v: int,
    image: Any,
    shape: Any,
    strides: Any,
    spacing: Any,
    points: Any,
    normals: Any,
    bends: Any,
    levels: Any,
    unit: Any,
    reach: Any,
) -> Any:
    """Volume beyond the wall; highest share behind, lowest before, largest rise on the way, and excess over 0 … 1."""
    half = 3
    pace = reach / np.float32(half)
    half_pace = np.float32(0.5) * pace
    before, contrast, bend = levels[v, 1], levels[v, 0] - levels[v, 1], bends[v]
    low, high = _bounds(levels[v, 2], levels[v, 3], bend * unit, reach)
    volume = rise = over = np.float32(0)
    top = np.float32(-9)
    bottom = lowest = np.float32(9)
    for n in range(-half, half + 1):
        t = pace * np.float32(n)
        if t < low - half_pace or t > high + half_pace:
            continue
        depth = t * unit
        weight = np.float32(1) + bend * depth
        x = (points[v, 0] + depth * normals[v, 0]) / spacing[0]
        y = (points[v, 1] + depth * normals[v, 1]) / spacing[1]
        z = (points[v, 2] + depth * normals[v, 2]) / spacing[2]
        share = (_value(image, shape, strides, x, y, z) - before) / contrast
        if n <= 0:
            top = max(top, share)
        if n >= 0:
            bottom = min(bottom, share)
        lowest = min(lowest, share)
        if weight > np.float32(0.25):
            rise = max(rise, share - lowest)
            over = max(over, max(share - np.float32(1), -share))
        inner = np.float32(1) if n < 0 else (np.float32(0.5) if n == 0 else np.float32(0))
        if weight > 0:
            part = np.float32(0.5) if n == -half or n == half else np.float32(1)
            volume += part * (share - inner) * weight
    return volume * pace * unit, top, bottom, rise, over


@kernel
def _trust(grain: Any, top: Any, bottom: Any, rise: Any, over: Any) -> Any:
    """How far a profile is to be believed: contrast well over the noise, one fall, both plateaus reached."""
    trust = _ramp(np.float32(1) / max(grain, np.float32(1e-6)), np.float32(4), np.float32(8))
    trust *= np.float32(1) - _ramp(rise, np.float32(0.2) + 3 * grain, np.float32(0.4) + 5 * grain)
    trust *= np.float32(1) - _ramp(over, np.float32(0.3) + 4 * grain, np.float32(0.6) + 6 * grain)
    return trust * _ramp(top, np.float32(0.5), np.float32(0.65)) * _ramp(np.float32(1) - bottom, 0.5, 0.65)


@kernel
def _bounds(behind: Any, before: Any, bend: Any, reach: Any) -> Any:
    """How far to look each way: not past the middle of a thin part, whose other half belongs to its other wall."""
    low, high = reach, reach
    if behind < 4 and not bend * behind > np.float32(1.2):
        low = min(reach, max(np.float32(0.5) * behind, np.float32(0.5)))
    if before < 4 and not -bend * before > np.float32(1.2):
        high = min(reach, max(np.float32(0.5) * before, np.float32(0.5)))
    return -low, high


@kernel
def _ramp(value: Any, low: Any, high: Any) -> Any:
    """0 below `low`, 1 above `high`."""
    return np.float32(min(max((value - low) / (high - low), 0.0), 1.0))


@kernel
def spread(first: int, last: int, fields: Any, out: Any, neighbours: Any) -> None:
    """Half a step of four fields, (V, 4) float32, towards the mean of the neighbours."""
    half = np.float32(0.5)
    for v in range(first, last):
        a = b = c = d = np.float32(0)
        n = 0
        for way in range(6):
            u = neighbours[v, way]
            if u >= 0:
                a += fields[u, 0]
                b += fields[u, 1]
                c += fields[u, 2]
                d += fields[u, 3]
                n += 1
        share = half / np.float32(n) if n else np.float32(0)
        own = half if n else np.float32(1)
        out[v, 0] = own * fields[v, 0] + share * a
        out[v, 1] = own * fields[v, 1] + share * b
        out[v, 2] = own * fields[v, 2] + share * c
        out[v, 3] = own * fields[v, 3] + share * d


@kernel
def face_normals(quads: Any, points: Any, out: Any) -> None:
    """Sum of the area vectors around each vertex, (V, 3) float32."""
    for q in range(len(quads)):
        a, b, c, d = quads[q, 0], quads[q, 1], quads[q, 2], quads[q, 3]
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            area = (points[c, y] - points[a, y]) * (points[d, z] - points[b, z])
            area -= (points[c, z] - points[a, z]) * (points[d, y] - points[b, y])
            out[a, axis] += area
            out[b, axis] += area
            out[c, axis] += area
            out[d, axis] += area


@kernel
def bending(quads: Any, points: Any, normals: Any, variance: Any, out: Any) -> None:
    """How the wall bends around each vertex; sums over its quads, (V, 4) float32.

    Area; divergence of the normal, times area; the same with each axis weighted by the blur's variance; and what the
    flat triangles lie below the bent wall, times area.
    """
    p = np.empty(3)
    q = np.empty(3)
    cross = np.empty(3)
    for f in range(len(quads)):
        a, b, c, d = quads[f, 0], quads[f, 1], quads[f, 2], quads[f, 3]
        for axis in range(3):
            p[axis] = points[c, axis] - points[a, axis]
            q[axis] = points[d, axis] - points[b, axis]
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            cross[axis] = p[y] * q[z] - p[z] * q[y]
        size = np.sqrt(cross[0] ** 2 + cross[1] ** 2 + cross[2] ** 2) + 1e-12
        turn = 0.0
        blurred = 0.0
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            along = (q[y] * cross[z] - q[z] * cross[y]) / size
            across = (cross[y] * p[z] - cross[z] * p[y]) / size
            slope = 0.5 * (normals[c, axis] - normals[a, axis]) * along
            slope += 0.5 * (normals[d, axis] - normals[b, axis]) * across
            turn += slope
            blurred += slope * variance[axis]
        # A quadratic height over a triangle lies 1/24 of its edges' (n' − n)·(x' − x) above it.
        sag = _turn(points, normals, a, b) + _turn(points, normals, b, c)
        sag += _turn(points, normals, c, d) + _turn(points, normals, d, a)
        if p[0] ** 2 + p[1] ** 2 + p[2] ** 2 <= q[0] ** 2 + q[1] ** 2 + q[2] ** 2:
            sag += 2 * _turn(points, normals, a, c)
        else:
            sag += 2 * _turn(points, normals, b, d)
        for corner in range(4):
            v = quads[f, corner]
            out[v, 0] += 0.125 * size
            out[v, 1] += 0.25 * turn
            out[v, 2] += 0.25 * blurred
            out[v, 3] += 0.125 * size * sag / 48


@kernel
def _turn(points: Any, normals: Any, a: int, b: int) -> Any:
    total = 0.0
    for axis in range(3):
        total += (normals[b, axis] - normals[a, axis]) * (points[b, axis] - points[a, axis])
    return total


@kernel
def profile(
    image: Any,
    shape: Any,
    strides: Any,
    spacing: Any,
    points: Any,
    normals: Any,
    depths: Any,
    out: Any,
) -> None:
    """Sums over all vertices of the image at each depth along their normals, `out` (n,) float64."""
    for v in range(len(points)):
        for n in range(len(depths)):
            out[n] += _value(
                image,
                shape,
                strides,
                (points[v, 0] + depths[n] * normals[v, 0]) / spacing[0],
                (points[v, 1] + depths[n] * normals[v, 1]) / spacing[1],
                (points[v, 2] + depths[n] * normals[v, 2]) / spacing[2],
            )
