"""The spine in a CT: where the spinal canal runs, and where discs part one vertebra from the next.

In: bone on working blocks and their Hounsfield units, in patient order. Out: the middle of the canal in every slice,
and a plane per disc. The canal is followed as the column of soft tissue that bone surrounds; a disc is a plane before
it that is darker than the endplates above and below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.progress import Progress
from meshing.voxels.morphology import depth_of
from meshing.voxels.upright import Coarse, Float32Array, Mask

# Rays in the axial plane that look for bone round the canal.
_RAYS = 16
# Planes through a disc are tilted by up to that, in degrees, against the canal: 30 at the sacrum.
_SAGITTAL, _CORONAL = tuple(range(-35, 36, 5)), (-10, 0, 10)


@dataclass(frozen=True)
class SpineSettings:
    """Lengths in mm, values in HU; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    spacing_mm
        Of the blocks to work on.
    canal_mm
        Half the width of a canal that counts; wider is no better.
    look_mm
        How far from the middle of the canal its bony wall may lie.
    lean
        Most that the canal moves sideways per mm of height.
    enclosed
        Least share of the rays that meet bone, on average over the spine.
    before_mm, beside_mm
        The patch in which a disc is sought: from, to before the middle of the canal, and to either side.
    endplate_mm
        From, to: how far above and below a disc's middle its endplates lie.
    step_hu
        A disc is darker than the mean of its endplates by at least that.
    height_mm
        Least and most distance between two discs.
    uneven
        Most that neighbouring vertebrae differ in height, as a share.
    """

    spacing_mm: float
    canal_mm: float
    look_mm: float
    lean: float
    enclosed: float
    before_mm: tuple[float, float]
    beside_mm: float
    endplate_mm: tuple[float, float]
    step_hu: float
    height_mm: tuple[float, float]
    uneven: float


@dataclass(frozen=True, eq=False)
class Canal:
    """The spinal canal, bottom to top.

    Parameters
    ----------
    middle_mm
        (N, 3): its middle in each slice of the blocks, in mm from the first block.
    enclosed
        (N,): share of the rays that meet bone there.
    """

    middle_mm: FloatArray
    enclosed: FloatArray


@dataclass(frozen=True, eq=False)
class Disc:
    """A plane between two vertebrae: a point in the disc and the normal towards the head, in mm; and its contrast."""

    middle_mm: FloatArray
    normal: FloatArray
    step_hu: float


def canal_of(low: Coarse, bone: Mask, start: tuple[int, int], settings: SpineSettings) -> Canal | None:
    """The canal, or None where bone encloses none.

    Parameters
    ----------
    start
        Block indices (x, y) near which the spine runs.
    """
    sx, sy, sz = low.spacing_mm
    reach = (round(45.0 / sx), round(60.0 / sy))
    window = tuple(slice(max(0, at - r), at + r + 1) for at, r in zip(start, reach, strict=True))
    near = bone[window[0], window[1], :]
    share = _enclosed(near, (sx, sy), settings.look_mm)
    depth = np.minimum(depth_of(~near, (sx, sy, sz)), np.float32(settings.canal_mm)) / np.float32(settings.canal_mm)
    worth = np.where(near, np.float32(0.0), share**2 * depth)
    path = _best_path(worth, max(1, round(settings.lean * sz / sx)), max(1, round(settings.lean * sz / sy)))
    z = np.arange(near.shape[2])
    enclosed = share[path[:, 0], path[:, 1], z]
    if float(np.percentile(enclosed, 60)) < settings.enclosed:
        return None
    corner = (window[0].start * sx, window[1].start * sy)
    raw = np.stack([path[:, 0] * sx + corner[0], path[:, 1] * sy + corner[1], z * sz], axis=1)
    return Canal(_smooth(raw, worth[path[:, 0], path[:, 1], z], 10.0 / sz), enclosed.astype(np.float64))


def _enclosed(bone: Mask, spacing: tuple[float, float], look_mm: float) -> Float32Array:
    """Share of axial rays from each block that meet bone within reach."""
    count = np.zeros(bone.shape, np.float32)
    room = [int(np.ceil(look_mm / s)) + 1 for s in spacing]
    padded = np.pad(bone, [(room[0], room[0]), (room[1], room[1]), (0, 0)])
    steps = np.arange(1, int(look_mm / min(spacing)) + 1) * min(spacing)
    for angle in np.arange(_RAYS) * 2.0 * np.pi / _RAYS:
        hit = np.zeros(bone.shape, np.bool_)
        for dx, dy in {(round(s * np.cos(angle) / spacing[0]), round(s * np.sin(angle) / spacing[1])) for s in steps}:
            x, y = room[0] + dx, room[1] + dy
            hit |= padded[x : x + bone.shape[0], y : y + bone.shape[1]]
        count += hit
    return count / np.float32(_RAYS)


def _best_path(worth: Float32Array, drift_x: int, drift_y: int) -> npt.NDArray[np.int64]:
    """The (x, y) per slice of greatest total worth that drifts no faster than that, shape (Z, 2)."""
    from scipy import ndimage

    size = (2 * drift_x + 1, 2 * drift_y + 1)
    total = [worth[:, :, 0].astype(np.float64)]
    for z in range(1, worth.shape[2]):
        total.append(ndimage.maximum_filter(total[-1], size, mode="constant", cval=-np.inf) + worth[:, :, z])
    path = np.zeros((worth.shape[2], 2), np.int64)
    x, y = (int(at) for at in np.unravel_index(int(total[-1].argmax()), total[-1].shape))
    for z in range(worth.shape[2] - 1, -1, -1):
        if z < worth.shape[2] - 1:
            x0, y0 = max(0, x - drift_x), max(0, y - drift_y)
            near = total[z][x0 : x + drift_x + 1, y0 : y + drift_y + 1]
            dx, dy = np.unravel_index(int(near.argmax()), near.shape)
            x, y = x0 + int(dx), y0 + int(dy)
        path[z] = x, y
    return path


def _smooth(path: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """The path evened along z; slices where bone encloses the canal well count more."""
    from scipy import ndimage

    weight = weight + 1e-3
    evened = path.copy()
    for axis in (0, 1):
        top = ndimage.gaussian_filter1d(path[:, axis] * weight, sigma, mode="nearest")
        evened[:, axis] = top / ndimage.gaussian_filter1d(weight, sigma, mode="nearest")
    return evened


def discs_of(low: Coarse, canal: Canal, settings: SpineSettings, progress: Progress) -> list[Disc]:
    """The discs, bottom to top; none where no plane before the canal is darker than what lies above and below."""
    planes = []
    stations = _stations(canal)
    for number, station in enumerate(stations):
        if number % 10 == 0:
            progress(number / len(stations), "finding the discs")
        planes.append(_best_plane(low, station, settings))
    chosen = _sequence(planes, settings)
    return [planes[at] for at in chosen]


def _stations(canal: Canal) -> list[tuple[FloatArray, FloatArray]]:
    """Points along the canal a millimetre apart, with its direction there towards the head."""
    step = np.linalg.norm(np.diff(canal.middle_mm, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(step)])
    even = np.arange(0.0, along[-1] + 1e-9, 1.0)
    points = np.stack([np.interp(even, along, canal.middle_mm[:, axis]) for axis in range(3)], axis=1)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return list(zip(points, tangent, strict=True))


def _best_plane(low: Coarse, station: tuple[FloatArray, FloatArray], settings: SpineSettings) -> Disc:
    """The plane through a station, among all tilts, that is darkest against what lies above and below it."""
    from scipy import ndimage

    point, tangent = station
    front = np.array([0.0, -1.0, 0.0])
    front -= tangent * (front @ tangent)
    front /= np.linalg.norm(front)
    side = np.cross(tangent, front)
    before = np.arange(settings.before_mm[0], settings.before_mm[1] + 0.1, 3.0)
    beside = np.arange(-settings.beside_mm, settings.beside_mm + 0.1, 3.0)
    offsets = np.arange(-settings.endplate_mm[1], settings.endplate_mm[1] + 0.1, 1.0)
    middle = point + front * before.mean()
    frames = []
    for tilt, lean in ((t, c) for t in np.deg2rad(_SAGITTAL) for c in np.deg2rad(_CORONAL)):
        normal = np.cos(tilt) * tangent + np.sin(tilt) * front
        normal = np.cos(lean) * normal + np.sin(lean) * side
        u = np.cross(side, normal)
        u /= np.linalg.norm(u)
        w = np.cross(normal, u)
        frames.append((normal, u if u @ front > 0 else -u, w))
    normals = np.array([f[0] for f in frames])
    u, w = np.array([f[1] for f in frames]), np.array([f[2] for f in frames])
    patch = u[:, None, None] * (before - before.mean())[None, :, None, None] + w[:, None, None] * beside[:, None]
    where = middle + patch[:, None] + normals[:, None, None, None] * offsets[None, :, None, None, None]
    index = np.moveaxis(where / np.array(low.spacing_mm), -1, 0)
    read = ndimage.map_coordinates(low.values, index, order=1, mode="nearest")
    profile = np.clip(read, 0.0, 400.0).mean(axis=(2, 3))  # (tilts, offsets)
    above = profile[:, offsets >= settings.endplate_mm[0]].max(axis=1)
    below = profile[:, offsets <= -settings.endplate_mm[0]].max(axis=1)
    step = np.minimum(above, below) - profile[:, np.abs(offsets) <= 1.0].mean(axis=1)
    best = int(step.argmax())
    return Disc(middle, normals[best], float(step[best]))


def _sequence(planes: list[Disc], settings: SpineSettings) -> list[int]:
    """Indices of the planes that are discs: the chain of greatest total contrast with even distances."""
    contrast = np.array([plane.step_hu for plane in planes])
    peaks = [
        at
        for at in range(len(planes))
        if contrast[at] >= settings.step_hu and contrast[at] == contrast[max(0, at - 6) : at + 7].max()
    ]
    least, most = settings.height_mm
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
    chains: list[tuple[float, tuple[int, ...]]] = [(float(contrast[at]), (at,)) for at in peaks]
    for here in peaks:
        for before in peaks:
            gap = float(np.linalg.norm(planes[here].middle_mm - planes[before].middle_mm))
            if before >= here or not least <= gap <= most:
                continue
            worth = float(contrast[before])
            chain: tuple[int, ...] = (before,)
            for (earlier, last), (old, old_chain) in best.items():
                if last != before:
                    continue
                old_gap = float(np.linalg.norm(planes[before].middle_mm - planes[earlier].middle_mm))
                even = abs(gap - old_gap) <= settings.uneven * max(gap, old_gap)
                if even and old > worth:
                    worth, chain = old, old_chain
            found = (worth + float(contrast[here]), (*chain, here))
            if found > best.get((before, here), (0.0, ())):
                best[before, here] = found
                chains.append(found)
    return list(max(chains, default=(0.0, ()))[1])
