"""How far surfaces of masks lie from the shapes behind them: balls and vessels with exact distances, in random poses.

Raw marching cubes, ours, ours decimated, Slicer's usual smoothing, and VTK's surface nets as they come. Distances are
two-sided: samples of the mesh against the shape's formula, points of the shape against the mesh's triangles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.analytic import Array, Capsule, labelled, posed
from benchmarks.report import machine, table
from benchmarks.vtkmesh import closest_distances, discrete_flying_edges, surface_nets, windowed_sinc
from meshing.extract import Smoothing, extract
from meshing.segmentation import Segmentation
from meshing.simplify import SMALLEST, simplify
from meshing.surface import volume_ml

PACKAGES = ("vtk", "fast-simplification", "numpy")

SPACING_MM = (0.7, 0.7, 1.0)
"""An abdominal CT of today."""

VESSEL_MM = 24.0
SAMPLES = 4_000

Mesh = tuple[Array, Array]
Method = Callable[[Segmentation], Mesh]


@dataclass(frozen=True)
class Kind:
    """A family of shapes: balls when `length_mm` is 0."""

    radius_mm: float
    length_mm: float

    def __str__(self) -> str:
        return f"{'vessel' if self.length_mm else 'ball'}, r {self.radius_mm:g} mm"


KINDS = (
    *(Kind(radius, 0.0) for radius in (30.0, 10.0, 5.0)),
    *(Kind(radius, VESSEL_MM) for radius in (4.0, 2.0, 1.5, 1.0)),
)


@dataclass(frozen=True)
class Error:
    """Of one surface against its shape: mean and largest distance, and the volume as a share, less 1."""

    mean_mm: float
    max_mm: float
    volume: float


@dataclass(frozen=True)
class Summary:
    """Over poses: mean of the means, the largest distance of all, mean volume error, and the one furthest from 0."""

    mean_mm: float
    max_mm: float
    volume: float
    worst_volume: float

    def distance(self) -> str:
        return f"{self.mean_mm:.3f} ({self.max_mm:.2f})" if np.isfinite(self.mean_mm) else "–"

    def volume_change(self) -> str:
        return f"{_signed(self.volume)} ({_signed(self.worst_volume)})"


def methods() -> Mapping[str, Method]:
    """By name, in the order of the table."""
    return {
        "marching cubes, raw": partial(_ours, smoothing=Smoothing(passes=0)),
        "AnatomyXR": partial(_ours, smoothing=Smoothing()),
        "AnatomyXR, a fifth of the triangles": _ours_decimated,
        "Slicer's usual, sinc 40/0.01": _as_slicer,
        "vtkSurfaceNets3D as it comes": _with_surface_nets,
    }


def accuracy_table(
    kinds: Sequence[Kind] = KINDS, poses: int = 8, spacing_mm: tuple[float, float, float] = SPACING_MM, seed: int = 11
) -> dict[Kind, dict[str, Summary]]:
    """The summary of each method on each kind; all methods see the same masks. "voxel count" has only volumes."""
    found: dict[Kind, dict[str, Summary]] = {}
    for kind in kinds:
        rng = np.random.default_rng(seed)
        shapes = [posed(kind.radius_mm, kind.length_mm, rng) for _ in range(poses)]
        masks = [labelled(shape, spacing_mm) for shape in shapes]
        found[kind] = {
            name: _summary([error_of(method(mask), shape) for mask, shape in zip(masks, shapes, strict=True)])
            for name, method in methods().items()
        }
        found[kind]["voxel count"] = _summary(
            [Error(np.nan, np.nan, _voxels_ml(m) / s.volume_ml - 1) for m, s in zip(masks, shapes, strict=True)]
        )
    return found


def error_of(mesh: Mesh, shape: Capsule) -> Error:
    """Two-sided distance and volume of a mesh against the shape; a mesh that is gone is the shape's radius away."""
    vertices, faces = mesh
    if len(faces) == 0:
        return Error(shape.radius_mm, shape.radius_mm, -1.0)
    there = np.abs(shape.distance_mm(_samples(vertices, faces)))
    corners = np.abs(shape.distance_mm(vertices))
    back = closest_distances(shape.surface_points(SAMPLES), vertices, faces)
    volume = abs(volume_ml(vertices, faces)) / shape.volume_ml - 1
    return Error(float(there.mean() + back.mean()) / 2, float(max(there.max(), corners.max(), back.max())), volume)


def _samples(vertices: Array, faces: Array) -> Array:
    """Random points on the triangles, even by area; the seed is fixed."""
    rng = np.random.default_rng(0)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(faces), SAMPLES, p=area / area.sum())
    u, v = rng.random((2, SAMPLES, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    points: Array = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return points


def _ours(segmentation: Segmentation, smoothing: Smoothing) -> Mesh:
    surface = extract(segmentation, smoothing)["shape"]
    return surface.vertices.astype(np.float64), surface.faces


def _ours_decimated(segmentation: Segmentation) -> Mesh:
    surfaces = extract(segmentation)
    surface = simplify(surfaces, max(len(surfaces["shape"].faces) // 5, SMALLEST))["shape"]
    return surface.vertices.astype(np.float64), surface.faces


def _as_slicer(segmentation: Segmentation) -> Mesh:
    """3D Slicer's smoothing factor 0.5: 40 passes at pass band 0.01."""
    vertices, faces = windowed_sinc(discrete_flying_edges(segmentation.layers[0]), 40, 0.01)
    return segmentation.grid.to_patient(vertices), faces


def _with_surface_nets(segmentation: Segmentation) -> Mesh:
    vertices, faces = surface_nets(segmentation.layers[0])
    return segmentation.grid.to_patient(vertices), faces


def _voxels_ml(segmentation: Segmentation) -> float:
    return float(segmentation.layers[0].sum(dtype=np.int64)) * segmentation.grid.voxel_volume_mm3 / 1000.0


def _summary(errors: Sequence[Error]) -> Summary:
    volumes = [error.volume for error in errors]
    return Summary(
        mean_mm=float(np.mean([error.mean_mm for error in errors])),
        max_mm=float(np.max([error.max_mm for error in errors])),
        volume=float(np.mean(volumes)),
        worst_volume=max(volumes, key=abs),
    )


def _signed(share: float) -> str:
    return f"{round(share, 3) + 0.0:+.1%}"  # adding 0 turns −0 into 0


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--poses", type=int, default=8, help="random poses of each shape (default %(default)s)")
    poses = options.parse_args(arguments).poses
    print(machine(PACKAGES) + "\n")
    print(
        f"{poses} random poses of each shape on voxels of {' × '.join(f'{mm:g}' for mm in SPACING_MM)} mm; "
        f"vessels are {VESSEL_MM:g} mm long with round ends."
    )
    found = accuracy_table(poses=poses)
    for title, show in (
        ("Distance between surface and shape, mm: mean (largest)", Summary.distance),
        ("Volume against the shape's: mean (worst pose)", Summary.volume_change),
    ):
        names = next(iter(found.values()))
        rows = [[name, *(show(by_method[name]) for by_method in found.values())] for name in names]
        rows = [row for row in rows if set(row[1:]) != {"–"}]
        print(f"\n## {title}\n\n{table(['', *map(str, found)], rows)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
