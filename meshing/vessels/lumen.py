"""The lumen that a tree is followed in: its voxels, turned upright and cropped, and its wall at sub-voxel places.

In: a mask on its grid, and the grey values where they are known; or a closed surface. Out: a `Lumen`, whose
millimetres run along the axes of the upright scan from its first voxel; `to_patient` carries them to LPS. So a tree
does not depend on the order in which a scan is stored, to the last bit but the grid's own.

Where a vessel is cut by the edge of the scan it is drawn on beyond it, straight on, so that the edge is no wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import VesselError
from meshing.frames import FloatArray
from meshing.nets.make import NetSettings, netted, walls_of
from meshing.progress import Progress, silent
from meshing.triangles.bins import Bins, bins_of
from meshing.triangles.distances import nearest_mm
from meshing.volume import Fact, Grid, Volume, is_same_grid
from meshing.voxels.morphology import bounding_box, from_image, to_image
from meshing.voxels.upright import Box, Mask, Spacing, Upright, upright

WHERE = "vessel tree"
_ISLAND_VOXELS = 27  # a cube of three: less is noise, and cannot be longer than it is wide
_ROUND_FACE = 8.0  # area of a cut by its inscribed radius squared: π for a disc; a vessel along the edge has far more
_WALL_VOXELS = 0.15  # see docs/accuracy.md: how far walls lie from the truth, in voxels, on phantoms
_DIGITS = 9  # of a spacing: its last bits depend on the order in which the axes are stored


@dataclass(frozen=True, eq=False)
class Lumen:
    """Where blood flows.

    Parameters
    ----------
    mask
        bool (X, Y, Z), upright, cropped, with what was added beyond the edges of the scan.
    spacing_mm
        Along x, y, z.
    wall
        Triangles in bins, in the lumen's own mm.
    to_patient
        (4, 4): those mm to LPS.
    low_mm, high_mm
        (3,), the box that the scan covers, in those mm: beyond it the lumen is guessed.
    wall_uncertainty_mm
        How far the wall may lie from where it is drawn.
    """

    mask: Mask
    spacing_mm: Spacing
    wall: Bins
    to_patient: FloatArray
    low_mm: FloatArray
    high_mm: FloatArray
    wall_uncertainty_mm: float
    facts: tuple[Fact, ...]

    @property
    def voxel_mm(self) -> float:
        """Edge of a cube of a voxel's volume."""
        return float(np.cbrt(np.prod(self.spacing_mm)))

    def depth_mm(self, points: FloatArray) -> FloatArray:
        """Distance of points (N, 3) in its mm from the wall; positive on either side."""
        return nearest_mm(points, self.wall)

    def in_patient(self, points: FloatArray) -> FloatArray:
        """LPS mm of points (..., 3) in its mm."""
        carried: FloatArray = points @ self.to_patient[:3, :3].T + self.to_patient[:3, 3]
        return carried

    def from_patient(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Its mm of LPS points (..., 3)."""
        carried: FloatArray = (np.asarray(points_mm, np.float64) - self.to_patient[:3, 3]) @ self.to_patient[:3, :3]
        return carried


def lumen_of_mask(mask: Mask, grid: Grid, image: Volume | None = None, progress: Progress = silent) -> Lumen:
    """The lumen of a mask, its wall smooth and of the mask's volume, or at the edges of the image.

    Raises
    ------
    VesselError
        If the mask is empty, is not on the grid, or holds nothing but specks; if the grid's axes are sheared.
    """
    _check(mask, grid, image)
    scan = upright(Volume(mask.view(np.uint8), grid, "MASK", ""))
    grey = None if image is None else upright(image).voxels
    x, y, z = (round(s, _DIGITS) for s in scan.spacing_mm)
    spacing = (x, y, z)
    box = bounding_box(scan.voxels.view(np.bool_), margin_mm=2.0)
    if box is None:
        raise VesselError("the mask is empty", where=WHERE, hint="segment the vessel first")
    progress(0.1, "leaving specks out")
    cropped, facts = _cleaned(scan.voxels.view(np.bool_)[box])
    progress(0.2, "looking for vessels cut by the edge")
    drawn, room, more = _beyond_edges(cropped, spacing, box, scan.voxels.shape)
    progress(0.3, "finding the wall")
    pads = [tuple(int(n) for n in side) for side in room]
    values = None if grey is None else np.pad(grey[box], pads, mode="edge")
    wall = _wall_of(drawn, spacing, values)
    first = np.array([part.start for part in box], np.float64) - room[:, 0]
    low = -(first + 0.5) * spacing
    return Lumen(
        drawn,
        spacing,
        wall,
        _frame(scan, first),
        low,
        low + np.array(scan.voxels.shape) * spacing,
        _WALL_VOXELS * float(np.cbrt(np.prod(spacing))),
        (*facts, *more),
    )


def lumen_of_surface(vertices: npt.ArrayLike, faces: npt.ArrayLike, voxel_mm: float) -> Lumen:
    """The lumen inside a closed surface in LPS mm, whose faces are exact; ways are looked for on voxels of that edge.

    Raises
    ------
    VesselError
        If no voxel lies inside.
    SurfaceError
        For NaN, or faces that name no vertex.
    """
    corners = np.asarray(vertices, np.float64)
    low = np.floor(corners.min(axis=0) / voxel_mm - 2.0) * voxel_mm
    shape = np.ceil((corners.max(axis=0) - low) / voxel_mm + 2.0).astype(int)
    wall = bins_of(corners - low, faces)
    inside = _voxels_in(wall, (int(shape[0]), int(shape[1]), int(shape[2])), voxel_mm)
    mask, facts = _cleaned(inside)
    matrix = np.eye(4)
    matrix[:3, 3] = low
    spacing = (voxel_mm, voxel_mm, voxel_mm)
    edges = (np.full(3, -np.inf), np.full(3, np.inf))
    return Lumen(mask, spacing, wall, matrix, *edges, _WALL_VOXELS * voxel_mm, facts)


def _check(mask: Mask, grid: Grid, image: Volume | None) -> None:
    if mask.dtype != np.bool_ or mask.shape != grid.shape:
        raise VesselError(
            f"the mask is {mask.dtype} of shape {mask.shape}, the grid {grid.shape}",
            where=WHERE,
            hint="give a bool mask on its own grid",
        )
    upright_share = grid.voxel_volume_mm3 / float(np.prod(grid.spacing_mm))
    if upright_share < 0.999:
        raise VesselError(
            f"the axes of the grid are sheared: its voxels have {100 * upright_share:.1f} % of upright ones volume",
            where=WHERE,
            hint="resample the mask onto a grid with axes at right angles",
        )
    if image is not None and not is_same_grid(image.grid, grid):
        raise VesselError(
            f"the image has {image.grid.shape} voxels, the mask {grid.shape}, or they lie elsewhere",
            where=WHERE,
            hint="resample one onto the grid of the other",
        )


def _cleaned(mask: Mask) -> tuple[Mask, tuple[Fact, ...]]:
    """The mask without specks and holes, and what that was."""
    import SimpleITK

    numbers = from_image(SimpleITK.ConnectedComponent(to_image(mask, (1.0, 1.0, 1.0)), True)).ravel(order="F")
    at = np.flatnonzero(numbers)  # work goes by voxels of the lumen, a hundredth of the box
    counts = np.bincount(numbers[at], minlength=1)
    is_vessel = counts >= _ISLAND_VOXELS
    if not is_vessel.any():
        raise VesselError(
            f"the mask holds {len(at)} voxels in {len(counts) - 1} parts, the largest of"
            f" {int(counts.max(initial=0))}; a vessel takes at least {_ISLAND_VOXELS} that hang together",
            where=WHERE,
            hint="segment the vessel first, or use a scan of finer voxels",
        )
    kept = np.asfortranarray(mask).copy(order="F")
    kept.reshape(-1, order="F")[at[~is_vessel[numbers[at]]]] = False
    facts = []
    specks = counts[1:][~is_vessel[1:]]
    if len(specks):
        text = f"{len(specks)} specks of under {_ISLAND_VOXELS} voxels, {int(specks.sum())} voxels in all, left out"
        facts.append(Fact("specks", text, {"parts": len(specks), "voxels": int(specks.sum())}))
    holes = _fill_holes(kept)
    if holes:
        facts.append(Fact("holes", f"{holes} voxels in holes of the lumen filled", {"voxels": holes}))
    return kept, tuple(facts)


def _fill_holes(mask: Mask) -> int:
    """Fill what the mask encloses, in place; how many voxels that was."""
    import SimpleITK

    rest = from_image(SimpleITK.ConnectedComponent(to_image(~mask, (1.0, 1.0, 1.0)), False))
    reaches_out = np.zeros(int(rest.max()) + 1, np.bool_)
    for axis in range(3):
        reaches_out[np.unique(np.moveaxis(rest, axis, 0)[[0, -1]])] = True
    numbers = rest.ravel(order="F")
    # The first part is nearly always what lies around the vessel, and nearly all.
    at = np.flatnonzero(numbers > int(reaches_out[1:2].all()))
    holes = at[~reaches_out[numbers[at]]]
    mask.reshape(-1, order="F")[holes] = True
    return len(holes)


def _beyond_edges(
    mask: Mask, spacing: Spacing, box: Box, shape: tuple[int, ...]
) -> tuple[Mask, npt.NDArray[np.int64], list[Fact]]:
    """The mask with vessels that the scan's edge cuts drawn on beyond it, and the voxels added at both ends of axes."""
    room = np.zeros((3, 2), np.int64)
    faces = []
    for axis in range(3):
        for end in (0, 1):
            touches = box[axis].start == 0 if end == 0 else box[axis].stop == shape[axis]
            face = np.moveaxis(mask, axis, 0)[-end]
            cuts = _cuts_of(face, [s for a, s in enumerate(spacing) if a != axis]) if touches else []
            room[axis, end] = max([2, *(int(np.ceil(1.5 * reach / spacing[axis])) + 3 for _, reach in cuts)])
            faces.append((axis, end, cuts))
    drawn = np.asfortranarray(np.pad(mask, [(int(a), int(b)) for a, b in room]))
    count = 0
    for axis, end, cuts in faces:
        for cut, reach in cuts:
            count += 1
            _draw_on(drawn, cut, (axis, end), int(np.ceil(1.5 * reach / spacing[axis])) + 1, room)
    text = f"{count} cuts of vessels by the edge of the scan taken for open ends"
    return drawn, room, [Fact("edge", text, {"cuts": count})] if count else []


def _cuts_of(face: Mask, spacing: list[float]) -> list[tuple[Mask, float]]:
    """The cuts of vessels in an outermost slice: each part, and its inscribed radius. Not vessels that run along it."""
    from scipy import ndimage

    numbers, count = ndimage.label(face, np.ones((3, 3)))
    cuts = []
    for number in range(1, count + 1):
        part = numbers == number
        reach = float(ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing).max())
        if part.sum() * np.prod(spacing) <= _ROUND_FACE * reach**2:
            cuts.append((part, reach))
    return cuts


def _draw_on(drawn: Mask, cut: Mask, side: tuple[int, int], layers: int, room: npt.NDArray[np.int64]) -> None:
    axis, end = side
    inner = tuple(slice(int(a), int(n - b)) for (a, b), n in zip(room, drawn.shape, strict=True))
    first = int(room[axis, 0]) if end == 0 else drawn.shape[axis] - int(room[axis, 1])
    span = slice(first - layers, first) if end == 0 else slice(first, first + layers)
    there = [span if a == axis else inner[a] for a in range(3)]
    drawn[tuple(there)] |= np.expand_dims(cut, axis)


def _wall_of(mask: Mask, spacing: Spacing, values: npt.NDArray[np.generic] | None) -> Bins:
    grid = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), np.diag([*spacing, 1.0]))
    net = netted(mask.view(np.uint8), grid, NetSettings(), image=values)
    if net is None:
        raise VesselError("the mask is empty", where=WHERE)
    walls = walls_of(net)
    return bins_of(walls.vertices, walls.faces)


def _frame(scan: Upright, first: FloatArray) -> FloatArray:
    """The lumen's mm to LPS: its zero is the voxel `first` of the upright scan."""
    axes = np.array(scan.grid.voxel_to_patient[:3, list(scan.axes)])
    origin = scan.grid.voxel_to_patient[:3, 3].copy()
    for column, back in enumerate(scan.reversed_axes):
        if back:
            origin += axes[:, column] * (scan.voxels.shape[column] - 1)
            axes[:, column] *= -1.0
    matrix = np.eye(4)
    matrix[:3, :3] = axes / np.linalg.norm(axes, axis=0)
    matrix[:3, 3] = origin + axes @ first
    return matrix


def _voxels_in(wall: Bins, shape: tuple[int, int, int], voxel_mm: float) -> Mask:
    """Voxel centres inside a closed surface: rays along z cross it an odd number of times before them."""
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), np.int32)
    corners = wall.vertices[wall.faces] / voxel_mm
    corners[..., :2] += 1e-7  # off the lattice, so that no ray runs through a vertex
    low = np.maximum(np.ceil(corners[..., :2].min(axis=1)), 0).astype(int)
    high = np.minimum(np.floor(corners[..., :2].max(axis=1)), np.array(shape[:2]) - 1).astype(int)
    for triangle, (i0, j0), (i1, j1) in zip(corners, low, high, strict=True):
        if i1 < i0 or j1 < j0:
            continue
        i, j = np.meshgrid(np.arange(i0, i1 + 1), np.arange(j0, j1 + 1), indexing="ij")
        a, b, c = triangle
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0.0:
            continue
        u = ((i - a[0]) * (c[1] - a[1]) - (j - a[1]) * (c[0] - a[0])) / area
        v = ((b[0] - a[0]) * (j - a[1]) - (b[1] - a[1]) * (i - a[0])) / area
        hit = (u >= 0) & (v >= 0) & (u + v <= 1)
        height = a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2])
        k = np.clip(np.ceil(height[hit]), 0, shape[2]).astype(int)
        np.add.at(crossings, (i[hit], j[hit], k), 1)
    inside: Mask = np.cumsum(crossings, axis=2)[:, :, :-1] % 2 == 1
    return np.asfortranarray(inside)
