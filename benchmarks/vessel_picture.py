"""A branching vessel of 1 to 2 mm radius from the same voxels through five methods, side by side, as a picture.

`python -m benchmarks.vessel_picture` writes docs/pictures/vessel-1mm.jpg. Under each stands how much of the exact
shape's volume is left, and the mean distance from it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.analytic import Array, Capsule
from benchmarks.labelmaps import arc
from benchmarks.quality import samples
from benchmarks.surfaces import SPACING_MM, Mesh, methods
from benchmarks.vtkmesh import closest_distances
from meshing.segmentation import Segment, Segmentation
from meshing.surface import volume_ml
from meshing.terminology import Structure
from meshing.volume import Grid
from viewer.lettering import Ink, write
from viewer.preflight import check_rendering

TARGET = Path("docs/pictures/vessel-1mm.jpg")

_BRANCHES = (  # radius at both ends; from, to, and how far the middle bends, in mm: x to the right, y away, z up
    ((2.0, 1.8), (0.0, 0.0, -16.0), (0.0, 0.0, -4.0), (0.8, 0.0, 0.0)),
    ((1.7, 1.3), (0.0, 0.0, -4.0), (-4.5, 1.0, 6.0), (-0.8, 0.0, -0.8)),
    ((1.1, 1.0), (-4.5, 1.0, 6.0), (-7.2, -1.0, 17.0), (-0.8, 0.0, -0.5)),
    ((1.1, 1.0), (-4.5, 1.0, 6.0), (-1.5, 2.5, 18.0), (0.9, 0.0, -0.6)),
    ((1.2, 1.0), (0.0, 0.0, -4.0), (6.5, -1.5, 10.0), (1.8, 0.0, -1.2)),
    ((1.0, 0.7), (6.5, -1.5, 10.0), (7.0, -1.0, 18.0), (0.6, 0.0, 0.0)),
)
_PIECES = 10
_SEED = 8
_PANEL = (262, 560)
_SUPERSAMPLING = 3
_TOP, _BOTTOM, _EDGE = 138, 92, 16
_HALF_HEIGHT_MM = 20.4
_PAGE: Ink = (17, 19, 23)
_LIGHT: Ink = (232, 236, 240)
_SOFT: Ink = (158, 167, 177)
_GOOD: Ink = (126, 211, 155)
_BAD: Ink = (244, 122, 108)
_MM_OF_TRUTH = 0.2
_SAMPLES = 20_000


@dataclass(frozen=True, eq=False)
class Tree:
    """Capsules that overlap; a point is inside when it is inside any of them."""

    parts: tuple[Capsule, ...]

    def distance_mm(self, points: Array) -> Array:
        """Signed distance (N,) to its skin; exact outside, and inside next to the skin."""
        nearest: Array = np.min([part.distance_mm(points) for part in self.parts], axis=0)
        return nearest

    def surface_points(self) -> Array:
        """Points on the skin, about even by area."""
        points = np.concatenate([part.surface_points(1500) for part in self.parts])
        found: Array = points[self.distance_mm(points) > -1e-6]
        return found


@dataclass(frozen=True, eq=False)
class Panel:
    """One method's mesh and what is said of it."""

    name: str
    detail: str
    mesh: Mesh
    is_smooth: bool
    kept: float
    mean_mm: float


def vessel_tree() -> tuple[Tree, Array]:
    """The tree in a random but fixed pose against the voxels, and the (3, 3) rows of its own axes."""
    rng = np.random.default_rng(_SEED)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    axes *= np.linalg.det(axes)
    shift = rng.uniform(-0.5, 0.5, 3)
    parts = []
    for radii, start, end, bend in _BRANCHES:
        line = arc(np.array(start), np.array(end), np.array(bend), pieces=_PIECES) @ axes + shift
        taper = np.linspace(*radii, _PIECES)
        parts += [Capsule(a, b, float(r)) for (a, b), r in zip(itertools.pairwise(line), taper, strict=True)]
    return Tree(tuple(parts)), axes


def mask_of(tree: Tree, spacing_mm: Sequence[float]) -> Segmentation:
    """Voxels whose centres are inside."""
    grid = _grid_round(tree, spacing_mm)
    mask = (_field(tree, grid) <= 0).astype(np.uint8, order="F")
    return Segmentation((mask,), grid, (Segment("shape", 1, 0, Structure("shape", "Shape", "形")),), "drawn by rule")


def exact_mesh(tree: Tree) -> Mesh:
    """The tree's own skin, from distances on a grid that is fine against its radii."""
    from skimage.measure import marching_cubes

    grid = _grid_round(tree, (_MM_OF_TRUTH,) * 3)
    vertices, faces, _, _ = marching_cubes(_field(tree, grid), 0.0)
    return grid.to_patient(vertices), faces


def _grid_round(tree: Tree, spacing_mm: Sequence[float]) -> Grid:
    spacing = np.array(spacing_mm)
    ends = np.concatenate([[part.start_mm, part.end_mm] for part in tree.parts])
    origin = np.floor((ends.min(axis=0) - 4) / spacing) * spacing
    i, j, k = (int(n) for n in np.ceil((ends.max(axis=0) + 4 - origin) / spacing) + 1)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = origin
    return Grid((i, j, k), matrix)


def _field(tree: Tree, grid: Grid) -> Array:
    """Signed distances at the middle of every voxel."""
    centres = grid.to_patient(np.indices(grid.shape).reshape(3, -1).T)
    field: Array = tree.distance_mm(centres).reshape(grid.shape)
    return field


def made_panels() -> tuple[list[Panel], Array]:
    """The exact shape, what five methods make of the same voxels, and the axes to look along."""
    tree, axes = vessel_tree()
    mask = mask_of(tree, SPACING_MM)
    exact = exact_mesh(tree)
    truth_ml = abs(volume_ml(*exact))
    way = methods()
    shown: tuple[tuple[str, str, Callable[[Segmentation], Mesh], bool], ...] = (
        ("Exact shape", "radius 2 to 0.7 mm", lambda _: exact, True),
        ("Voxels", "0.7 × 0.7 × 1.0 mm", voxel_faces, False),
        ("AnatomyXR", "default", way["AnatomyXR"], True),
        ("AnatomyXR", "--fine", way["AnatomyXR --fine"], True),
        ("Windowed sinc", "40 / 0.01, usual in Slicer", way["Slicer's usual, sinc 40/0.01"], True),
        ("SurfaceNets", "VTK, as it comes", way["vtkSurfaceNets3D as it comes"], True),
    )
    panels = []
    for name, detail, method, is_smooth in shown:
        mesh = method(mask)
        there = np.abs(tree.distance_mm(samples(*mesh, _SAMPLES))).mean()
        back = closest_distances(tree.surface_points(), *mesh).mean()
        kept = abs(volume_ml(*mesh)) / truth_ml
        panels.append(Panel(name, detail, mesh, is_smooth, kept, float(there + back) / 2))
    return panels, axes


def voxel_faces(segmentation: Segmentation) -> Mesh:
    """Two triangles for every side of a voxel that looks out of the mask."""
    mask = np.pad(segmentation.layers[0].astype(np.int8), 1)
    corners: list[Array] = []
    faces: list[Array] = []
    for axis in range(3):
        step = np.diff(mask, axis=axis)
        u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        for sign in (1, -1):
            at = (
                np.argwhere(step == -sign) - 1 - 0.5
            )  # low corner of the voxel below the wall, in the map's index space
            at[:, axis] += 1
            ring = [at, at + u, at + u + v, at + v] if sign == 1 else [at, at + v, at + u + v, at + u]
            first = sum(map(len, corners))
            corners.append(np.stack(ring, axis=1).reshape(-1, 3))
            number = first + 4 * np.arange(len(at))[:, None]
            faces += [number + np.array([0, 1, 2]), number + np.array([0, 2, 3])]
    return segmentation.grid.to_patient(np.concatenate(corners)), np.concatenate(faces)


def drawn(panel: Panel, axes: Array, middle_mm: Array) -> Image.Image:
    """One panel's vessel, seen from the front of its own axes."""
    import pyvista

    width, height = _PANEL
    size = [width * _SUPERSAMPLING, height * _SUPERSAMPLING]
    plotter = pyvista.Plotter(off_screen=True, window_size=size, lighting=None, theme=pyvista.themes.Theme())
    plotter.set_background(tuple(channel / 255 for channel in _PAGE))
    for position, strength in (((-0.6, 0.7, 0.8), 0.95), ((0.9, 0.1, 0.7), 0.3), ((0.4, 0.5, -0.9), 0.5)):
        light = pyvista.Light(position=position, focal_point=(0, 0, 0), light_type="camera light", intensity=strength)
        plotter.add_light(light)
    vertices, faces = panel.mesh
    mesh = pyvista.PolyData.from_regular_faces(vertices.astype(np.float32), np.asarray(faces))
    look: dict[str, Any] = {"ambient": 0.2, "diffuse": 0.85, "specular": 0.25, "specular_power": 22.0}
    plotter.add_mesh(mesh, color=(0.80, 0.24, 0.20), smooth_shading=panel.is_smooth, split_sharp_edges=False, **look)
    plotter.camera.focal_point = middle_mm
    plotter.camera.position = middle_mm - 200 * axes[1]
    plotter.camera.up = axes[2]
    plotter.camera.parallel_projection = True
    plotter.camera.parallel_scale = _HALF_HEIGHT_MM
    plotter.renderer.ResetCameraClippingRange()
    pixels = plotter.screenshot(return_img=True)
    plotter.close()
    return Image.fromarray(pixels).reduce(_SUPERSAMPLING)


def page(panels: Sequence[Panel], axes: Array) -> Image.Image:
    """The whole picture."""
    width, height = _PANEL
    picture = Image.new("RGB", (width * len(panels) + 2 * _EDGE, _TOP + height + _BOTTOM), _PAGE)
    title = "A small branching vessel: what each method makes of the same voxels"
    write(picture, (picture.width / 2, 38), title, px=25, ink=_LIGHT, weight="SemiBold", anchor="mm")
    local = panels[0].mesh[0] @ axes.T
    middle = (local.min(axis=0) + local.max(axis=0)) / 2 @ axes
    draw = ImageDraw.Draw(picture)
    for number, panel in enumerate(panels):
        left = _EDGE + number * width
        centre = left + width / 2
        picture.paste(drawn(panel, axes, middle), (left, _TOP))
        write(picture, (centre, 92), panel.name, px=21, ink=_LIGHT, weight="SemiBold", anchor="mm")
        write(picture, (centre, 117), panel.detail, px=15, ink=_SOFT, anchor="mm")
        is_truth = number == 0
        ink = _LIGHT if is_truth else _GOOD if abs(panel.kept - 1) < 0.05 else _BAD
        error = f"{panel.mean_mm:.2f} mm mean error" if not is_truth else f"{volume_ml(*panel.mesh) * 1000:.0f} mm³"
        base = _TOP + height
        draw.line([(left + 40, base + 8), (left + width - 40, base + 8)], fill=(48, 54, 62))
        write(
            picture,
            (centre, base + 36),
            f"{panel.kept:.0%} of the volume",
            px=21,
            ink=ink,
            weight="SemiBold",
            anchor="mm",
        )
        write(picture, (centre, base + 66), error, px=16, ink=_SOFT, anchor="mm")
    return picture


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--out", type=Path, default=TARGET, help="JPEG to write (default %(default)s)")
    target = options.parse_args(arguments).out
    check_rendering()
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # Without a display VTK would first try X and complain on stderr.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    os.environ.setdefault("ALLOW_PLOTTING", "true")
    panels, axes = made_panels()
    page(panels, axes).save(target, quality=88, optimize=True)
    for panel in panels:
        print(f"{panel.name}, {panel.detail}: {panel.kept:.1%} of the volume, {panel.mean_mm:.3f} mm mean error")
    print(f"{target}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
