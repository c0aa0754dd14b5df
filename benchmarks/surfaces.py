"""How far surfaces of masks lie from the shapes behind them: balls and vessels with exact distances, in random poses.

Ours as it comes, on the finer net, and decimated; marching cubes; Slicer's usual smoothing; VTK's surface nets as they
come. Distances are two-sided: samples of the mesh against the shape's formula, points of the shape against the mesh's
triangles. Beside the volumes stands what counting voxels would say: no method can know more than the mask does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.analytic import Array, Capsule, labelled, labelled_in_a_row, posed
from benchmarks.quality import samples
from benchmarks.report import machine, table
from benchmarks.vtkmesh import closest_distances, discrete_flying_edges, surface_nets, windowed_sinc
from meshing.cubes import Smoothing
from meshing.extract import Extraction, extract
from meshing.nets.make import NetSettings
from meshing.segmentation import Segmentation
from meshing.surface import volume_ml

PACKAGES = ("vtk", "numba", "numpy")

SPACING_MM = (0.7, 0.7, 1.0)
"""An abdominal CT of today."""

VESSEL_MM = 24.0
SAMPLES = 3_000

KEPT = 50_000 / 1_900_000
"""Share of the triangles that is left when an abdomen of 41 labels on half-millimetre slices goes to 50,000."""

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
    *(Kind(radius, VESSEL_MM) for radius in (4.0, 2.0, 1.5, 1.0, 0.7)),
)


@dataclass(frozen=True)
class Error:
    """Of one surface against its shape.

    Parameters
    ----------
    volume, beyond_voxels
        As a share, less 1; the second less what the voxel count is off already.
    stairs_deg
        Angle between the triangles and the shape, mean by area.
    """

    mean_mm: float
    max_mm: float
    volume: float
    stairs_deg: float = np.nan
    beyond_voxels: float = np.nan


@dataclass(frozen=True)
class Spread:
    """A share over poses: mean, standard deviation, and the one furthest from 0."""

    mean: float
    deviation: float
    worst: float

    def __str__(self) -> str:
        if not np.isfinite(self.mean):
            return "–"
        return f"{_signed(self.mean)} ± {self.deviation * 100:.1f} ({_signed(self.worst)})"


@dataclass(frozen=True)
class Summary:
    """Over poses: mean and largest of the mean distances, the largest distance of all, and the volumes."""

    mean_mm: float
    worst_mean_mm: float
    max_mm: float
    volume: Spread
    beyond_voxels: Spread
    stairs_deg: float

    def row(self) -> list[str]:
        """Its cells of the table."""
        distances = [f"{self.mean_mm:.3f} ({self.worst_mean_mm:.3f})", f"{self.max_mm:.2f}"]
        if not np.isfinite(self.mean_mm):
            distances = ["–", "–"]
        stairs = f"{self.stairs_deg:.1f}°" if np.isfinite(self.stairs_deg) else "–"
        return [*distances, stairs, str(self.volume), str(self.beyond_voxels)]


HEADER = (
    "mean mm (worst pose)",
    "largest mm",
    "stairs",
    "volume off: mean ± sd (worst)",
    "beyond the voxel count",
)

VOXELS = "voxel count"
DECIMATED = "AnatomyXR, decimated"


def methods() -> Mapping[str, Method]:
    """By name, in the order of the table; `DECIMATED` needs its neighbours and stands apart."""
    unsmoothed = Extraction("marching-cubes", smoothing=Smoothing(passes=0))
    return {
        "AnatomyXR": partial(_ours, extraction=Extraction()),
        "AnatomyXR --fine": partial(_ours, extraction=Extraction(nets=NetSettings(is_fine=True))),
        "marching cubes, raw": partial(_ours, extraction=unsmoothed),
        "marching cubes, sinc 20/0.1": partial(_ours, extraction=Extraction("marching-cubes")),
        "Slicer's usual, sinc 40/0.01": _as_slicer,
        "vtkSurfaceNets3D as it comes": _with_surface_nets,
    }


def accuracy_table(
    kinds: Sequence[Kind] = KINDS, poses: int = 40, spacing_mm: tuple[float, float, float] = SPACING_MM, seed: int = 11
) -> dict[Kind, dict[str, Summary]]:
    """The summary of each method on each kind; all methods see the same masks. `VOXELS` has only volumes."""
    shapes = {kind: _posed(kind, poses, seed) for kind in kinds}
    errors: dict[Kind, dict[str, list[Error]]] = {kind: {} for kind in kinds}
    for pose in range(poses):
        row = [shapes[kind][pose] for kind in kinds]
        decimated = _decimated(row, spacing_mm)
        for kind, shape, smaller in zip(kinds, row, decimated, strict=True):
            for name, error in _errors(shape, smaller, spacing_mm).items():
                errors[kind].setdefault(name, []).append(error)
    return {kind: {name: _summary(many) for name, many in by_name.items()} for kind, by_name in errors.items()}


def _posed(kind: Kind, poses: int, seed: int) -> list[Capsule]:
    rng = np.random.default_rng(seed)
    return [posed(kind.radius_mm, kind.length_mm, rng) for _ in range(poses)]


def _errors(
    shape: Capsule, decimated: tuple[Mesh, Capsule], spacing_mm: tuple[float, float, float]
) -> dict[str, Error]:
    """Of every method on one shape."""
    mask = labelled(shape, spacing_mm)
    voxels = float(mask.layers[0].sum(dtype=np.int64)) * mask.grid.voxel_volume_mm3 / 1000.0 / shape.volume_ml - 1
    found = {name: error_of(method(mask), shape, voxels=voxels) for name, method in methods().items()}
    mesh, moved = decimated
    found[DECIMATED] = error_of(mesh, moved, voxels=voxels)
    found[VOXELS] = Error(np.nan, np.nan, voxels)
    return found


def error_of(mesh: Mesh, shape: Capsule, *, voxels: float = np.nan) -> Error:
    """Two-sided distance and volume of a mesh against the shape; a mesh that is gone is the shape's radius away.

    Parameters
    ----------
    voxels
        By what share the voxel count is off.
    """
    vertices, faces = mesh
    if len(faces) == 0:
        return Error(shape.radius_mm, shape.radius_mm, -1.0, 90.0, -1.0 - voxels)
    there = np.abs(shape.distance_mm(samples(vertices, faces, SAMPLES)))
    corners = np.abs(shape.distance_mm(vertices))
    back = closest_distances(shape.surface_points(SAMPLES), vertices, faces)
    volume = abs(volume_ml(vertices, faces)) / shape.volume_ml - 1
    return Error(
        float(there.mean() + back.mean()) / 2,
        float(max(there.max(), corners.max(), back.max())),
        volume,
        stairs_deg(mesh, shape),
        volume - voxels,
    )


def stairs_deg(mesh: Mesh, shape: Capsule) -> float:
    """Angle between the triangles and the shape next to them, mean by area; whoever is inside out has over 90°."""
    vertices, faces = mesh
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    twice_area = np.linalg.norm(across, axis=1)
    cosine = np.einsum("fa,fa->f", across, shape.normals((a + b + c) / 3)) / np.maximum(twice_area, 1e-30)
    return float(np.degrees((np.arccos(cosine.clip(-1, 1)) * twice_area).sum() / twice_area.sum()))


def _ours(segmentation: Segmentation, extraction: Extraction) -> Mesh:
    surface = extract(segmentation, extraction)["shape"]
    return surface.vertices.astype(np.float64), surface.faces


def _decimated(shapes: Sequence[Capsule], spacing_mm: tuple[float, float, float]) -> list[tuple[Mesh, Capsule]]:
    """All shapes in one map, taken to `KEPT` of their triangles together, and where each stands there.

    Together, because how much a thin vessel keeps is decided beside the large structures that compete with it.
    """
    row, moved = labelled_in_a_row(shapes, spacing_mm)
    every = sum(len(surface.faces) for surface in extract(row).values())
    surfaces = extract(row, budget=round(KEPT * every))
    return [((surfaces[key].vertices.astype(np.float64), surfaces[key].faces), shape) for key, shape in moved.items()]


def _as_slicer(segmentation: Segmentation) -> Mesh:
    """3D Slicer's smoothing factor 0.5: 40 passes at pass band 0.01."""
    vertices, faces = windowed_sinc(discrete_flying_edges(segmentation.layers[0]), 40, 0.01)
    return segmentation.grid.to_patient(vertices), faces


def _with_surface_nets(segmentation: Segmentation) -> Mesh:
    vertices, faces = surface_nets(segmentation.layers[0])
    return segmentation.grid.to_patient(vertices), faces


def _summary(errors: Sequence[Error]) -> Summary:
    means = [error.mean_mm for error in errors]
    return Summary(
        mean_mm=float(np.mean(means)),
        worst_mean_mm=float(np.max(means)),
        max_mm=float(np.max([error.max_mm for error in errors])),
        volume=_spread([error.volume for error in errors]),
        beyond_voxels=_spread([error.beyond_voxels for error in errors]),
        stairs_deg=float(np.mean([error.stairs_deg for error in errors])),
    )


def _spread(shares: Sequence[float]) -> Spread:
    return Spread(float(np.mean(shares)), float(np.std(shares)), max(shares, key=abs))


def _signed(share: float) -> str:
    return f"{round(share, 3) + 0.0:+.1%}"  # adding 0 turns −0 into 0


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--poses", type=int, default=40, help="random poses of each shape (default %(default)s)")
    poses = options.parse_args(arguments).poses
    print(machine(PACKAGES) + "\n")
    print(
        f"{poses} random poses of each shape on voxels of {' × '.join(f'{mm:g}' for mm in SPACING_MM)} mm; vessels are "
        f"{VESSEL_MM:g} mm long with round ends.\nDecimated: all shapes in one map, {KEPT:.1%} of their triangles kept."
    )
    for kind, by_name in accuracy_table(poses=poses).items():
        rows = [[name, *summary.row()] for name, summary in by_name.items()]
        print(f"\n## {kind}\n\n{table(['', *HEADER], rows)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
