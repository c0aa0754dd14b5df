"""Where structures cross a plane, as closed lines: surfaces cut by it, or label voxels outlined on it.

In: triangles or labels, and a `SliceView`. Out: contours in its pixels, (N, 2) columns and rows, not repeating the
first point. A hole runs the other way round than its rim, and fills leave it out by the even-odd rule.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.volume import Grid
from viewer.slices import SliceView, axes, normal

Contour = FloatArray

_END, _WALKED = -1, -2  # in place of the next crossing


def cut(vertices: npt.ArrayLike, faces: npt.ArrayLike, view: SliceView) -> tuple[Contour, ...]:
    """Closed contours where a closed surface crosses the plane of the view.

    Vertices on the plane count as above it, so that every crossing lies inside an edge and every contour closes.
    Where the surface is open the contour's ends are joined straight.
    """
    points, triangles = np.asarray(vertices), np.asarray(faces)
    height = points @ normal(view.plane).astype(points.dtype) - points.dtype.type(view.level_mm)
    above = height >= 0
    corners_above = above[triangles].sum(axis=1)
    crossing = triangles[(corners_above == 1) | (corners_above == 2)].astype(np.int64)
    if len(crossing) == 0:
        return ()
    ends = _crossed_edges(crossing, above)
    numbered, place = np.unique(ends.min(axis=-1) * len(points) + ends.max(axis=-1), return_inverse=True)
    a, b = np.divmod(numbered, len(points))
    share = height[a].astype(np.float64) / (height[a].astype(np.float64) - height[b])
    crossings = view.to_pixels(points[a] + share[:, None] * (points[b] - points[a]))
    start, stop = place.reshape(2, -1)
    return tuple(crossings[loop] for loop in _loops(start, stop, len(numbered)))


def _crossed_edges(crossing: npt.NDArray[np.int64], above: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each face, the edge on which its rim goes below the plane, and that on which it comes back: (2, F, 2)."""
    rim = np.stack([crossing, np.roll(crossing, -1, axis=1)], axis=-1)
    is_above = above[rim]
    falls, rises = is_above[..., 0] & ~is_above[..., 1], ~is_above[..., 0] & is_above[..., 1]
    return np.stack([rim[falls], rim[rises]])


def _loops(start: npt.NDArray[np.intp], stop: npt.NDArray[np.intp], count: int) -> list[list[int]]:
    """Crossings in running order: each face leads from one to the next."""
    following = np.full(count, _END, dtype=np.intp)
    following[start] = stop
    is_led_to = np.zeros(count, dtype=bool)
    is_led_to[stop] = True
    onward = following.tolist()
    loops: list[list[int]] = []
    for first in [*np.flatnonzero(~is_led_to).tolist(), *range(count)]:
        loop = []
        at = first
        while at != _END and onward[at] != _WALKED:
            loop.append(at)
            following_one = onward[at]
            onward[at] = _WALKED
            at = following_one
        if len(loop) > 2:
            loops.append(loop)
    return loops


def outline(labels: npt.NDArray[np.integer], grid: Grid, view: SliceView, label: int) -> tuple[Contour, ...]:
    """Contours of one label's voxels, rounded off by half a voxel."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    mask = _sampled_labels(labels, grid, view) == label
    if not mask.any():
        return ()
    blur = 0.5 * float(grid.spacing_mm.min()) / view.mm_per_pixel
    soft = np.pad(gaussian_filter(mask.astype(np.float32), blur), 1)
    return tuple(contour[:-1, ::-1] - 1.0 for contour in find_contours(soft, 0.5))


def _sampled_labels(labels: npt.NDArray[np.integer], grid: Grid, view: SliceView) -> npt.NDArray[np.integer]:
    """The nearest voxel's label at each pixel; 0 outside the grid."""
    rows, columns = view.shape
    first = grid.to_voxel(view.to_patient([0.0, 0.0]))
    right, down = axes(view.plane) * view.mm_per_pixel @ np.linalg.inv(grid.voxel_to_patient)[:3, :3].T
    index = first + np.arange(rows)[:, None, None] * down + np.arange(columns)[None, :, None] * right
    nearest = np.rint(index).astype(np.intp)
    inside = ((nearest >= 0) & (nearest < np.array(grid.shape))).all(axis=-1)
    nearest[~inside] = 0
    sampled: npt.NDArray[np.integer] = np.where(inside, labels[tuple(np.moveaxis(nearest, -1, 0))], 0)
    return sampled


def area_and_centroid(contour: Contour) -> tuple[float, FloatArray]:
    """Signed area in square pixels, and centroid (2,), of the polygon inside a contour."""
    shifted = contour - contour[0]
    after = np.roll(shifted, -1, axis=0)
    cross = shifted[:, 0] * after[:, 1] - after[:, 0] * shifted[:, 1]
    area = float(cross.sum() / 2)
    if abs(area) < 1e-12:
        return 0.0, np.asarray(contour.mean(axis=0))
    centroid: FloatArray = ((shifted + after) * cross[:, None]).sum(axis=0) / (6 * area) + contour[0]
    return area, centroid
