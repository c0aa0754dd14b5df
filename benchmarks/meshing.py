"""A label map to checked, decimated surfaces, against what 3D Slicer's filters and scikit-image make of it.

All cut each label's box from the map, pad it, and reduce the triangles to the same total. Ours also repairs, gives back
the volume, and proves its surfaces: each is checked at both resolutions, and the distance between the two is measured.
One peer is therefore run a second time with the same proofs, though it does nothing with what they say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clock import Stages
from benchmarks.labelmaps import drawn_labels, real_labels
from benchmarks.report import machine, parser, print_comparison
from benchmarks.runner import FEWEST_ROUNDS, Comparison, Contender, compare
from benchmarks.vtkmesh import arrays_of, decimated_pro, discrete_flying_edges, windowed_sinc
from meshing.deviation import deviation
from meshing.extract import Smoothing, extract
from meshing.segmentation import Segmentation, segment_volumes
from meshing.simplify import simplify
from meshing.surface import Surface, check

PACKAGES = ("vtk", "scikit-image", "fast-simplification", "numpy")

REDUCTION = 0.8
"""Share of the triangles that goes: what a scan's label map needs to fit a headset."""


@dataclass(frozen=True)
class Made:
    """What a set of surfaces is like.

    Parameters
    ----------
    volume_off
        By label: volume over that of its voxels, less 1; whoever lost a label has −1 there.
    """

    triangles: int
    open_edges: int
    crowded_edges: int
    pinched_vertices: int
    volume_off: Mapping[str, float]

    @property
    def median_off(self) -> float:
        return median(abs(off) for off in self.volume_off.values())

    @property
    def worst_off(self) -> float:
        return max(self.volume_off.values(), key=abs)


def compare_meshing(segmentation: Segmentation, rounds: int = FEWEST_ROUNDS) -> Comparison[dict[str, Surface]]:
    """Ours, the per-segment filters of 3D Slicer at two smoothings, and scikit-image with fast-simplification."""
    raw = sum(len(surface.faces) for surface in extract(segmentation, Smoothing(passes=0)).values())
    budget = int(raw * (1 - REDUCTION))

    def ours(stages: Stages) -> dict[str, Surface]:
        with stages.stage("extract, checks"):
            surfaces = extract(segmentation)
        with stages.stage("simplify, repair, checks, deviation"):
            return simplify(surfaces, budget)

    def slicer(smoothing: Smoothing, is_proved: bool = False) -> Contender[dict[str, Surface]]:
        name = f"Slicer's filters, sinc {smoothing.passes}/{smoothing.pass_band:g}{', proved' if is_proved else ''}"
        return Contender(name, lambda stages: _as_slicer(segmentation, smoothing, is_proved, stages))

    return compare(
        [
            Contender("AnatomyXR", ours),
            slicer(Smoothing(20, 0.1)),
            slicer(Smoothing(20, 0.1), is_proved=True),
            slicer(Smoothing(40, 0.01)),
            Contender(
                "skimage + fast-simplification",
                lambda stages: _as_skimage(segmentation, stages),
                ("skimage", "fast_simplification"),
            ),
        ],
        rounds,
    )


def _as_slicer(segmentation: Segmentation, smoothing: Smoothing, is_proved: bool, stages: Stages) -> dict[str, Surface]:
    """`vtkBinaryLabelmapToClosedSurfaceConversionRule` of 3D Slicer, filter by filter, in its order."""
    surfaces = {}
    for key, mask, start in _padded_boxes(segmentation):
        with stages.stage("flying edges"):
            full = discrete_flying_edges(mask)
        with stages.stage("DecimatePro"):
            polygons = decimated_pro(full, REDUCTION)
        with stages.stage("windowed sinc"):
            vertices, faces = windowed_sinc(polygons, smoothing.passes, smoothing.pass_band)
        surfaces[key] = _placed(segmentation, key, vertices + start, faces)
        if is_proved:
            with stages.stage("checks, deviation"):
                vertices, faces = arrays_of(full)
                _prove(surfaces[key], _placed(segmentation, key, vertices + start, faces))
    return surfaces


def _prove(surface: Surface, full: Surface) -> None:
    """What `extract` and `simplify` look at before they let a surface go; the answers are dropped."""
    check(full)
    check(surface)
    deviation(surface, full)


def _as_skimage(segmentation: Segmentation, stages: Stages) -> dict[str, Surface]:
    import fast_simplification
    from skimage.measure import marching_cubes

    surfaces = {}
    for key, mask, start in _padded_boxes(segmentation):
        with stages.stage("marching cubes"):
            vertices, faces, _, _ = marching_cubes(mask, 0.5)
        with stages.stage("fast-simplification"):
            points, triangles = fast_simplification.simplify(
                vertices.astype(np.float32), faces, target_reduction=REDUCTION
            )
        surfaces[key] = _placed(segmentation, key, points + start, triangles[:, ::-1])
    return surfaces


def _padded_boxes(segmentation: Segmentation) -> Iterator[tuple[str, npt.NDArray[np.uint8], npt.NDArray[Any]]]:
    """Key, padded mask of its box, and the box's first index less the padding."""
    from scipy.ndimage import find_objects

    boxes = [find_objects(layer) for layer in segmentation.layers]
    for segment in segmentation.segments:
        box = boxes[segment.layer][segment.label - 1]
        mask = np.pad((segmentation.layers[segment.layer][box] == segment.label).astype(np.uint8), 1)
        yield segment.key, mask, np.array([s.start - 1 for s in box])


def _placed(segmentation: Segmentation, key: str, indices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> Surface:
    """Outward in LPS mm, so that peers are not blamed for a frame they do not know."""
    turned = faces[:, ::-1] if segmentation.grid.is_left_handed else faces
    return Surface(segmentation.grid.to_patient(indices).astype(np.float32), turned.astype(np.int32), key)


def made(segmentation: Segmentation, surfaces: Mapping[str, Surface]) -> Made:
    """What the surfaces are like, counted by `meshing.surface.check`."""
    checks = {key: check(surface) for key, surface in surfaces.items()}
    voxels = segment_volumes(segmentation)
    return Made(
        triangles=sum(found.triangles for found in checks.values()),
        open_edges=sum(found.boundary_edges for found in checks.values()),
        crowded_edges=sum(found.crowded_edges for found in checks.values()),
        pinched_vertices=sum(found.pinched_vertices for found in checks.values()),
        volume_off={
            key: (checks[key].volume_ml if key in checks else 0.0) / volume.inclusive_ml - 1
            for key, volume in voxels.items()
        },
    )


def main(arguments: list[str]) -> int:
    options = parser(__doc__ or "")
    options.add_argument("--labels", type=Path, help="a NIfTI label map instead of the drawn one")
    options.add_argument("--finer", type=int, default=2, help="cut its voxels so many times (default %(default)s)")
    chosen = options.parse_args(arguments)
    segmentation = real_labels(chosen.labels, chosen.finer) if chosen.labels else drawn_labels()
    grid = segmentation.grid
    print(machine(PACKAGES) + "\n")
    comparison = compare_meshing(segmentation, chosen.rounds)
    found = {id(one.outcome): made(segmentation, one.outcome) for one in comparison.measured}
    print_comparison(
        f"{len(segmentation.segments)} labels on {' × '.join(map(str, grid.shape))} voxels of "
        f"{' × '.join(f'{mm:g}' for mm in grid.spacing_mm)} mm, {REDUCTION:.0%} of the triangles removed",
        comparison,
        {
            "triangles": lambda surfaces: f"{found[id(surfaces)].triangles:,}",
            "open edges": lambda surfaces: f"{found[id(surfaces)].open_edges:,}",
            "crowded edges": lambda surfaces: f"{found[id(surfaces)].crowded_edges:,}",
            "pinched vertices": lambda surfaces: f"{found[id(surfaces)].pinched_vertices:,}",
            "volume off, median": lambda surfaces: f"{found[id(surfaces)].median_off:.2%}",
            "worst label": lambda surfaces: f"{found[id(surfaces)].worst_off:+.1%}",
        },
    )
    print("Volume off: against the voxel count of the label. Marching cubes on a mask cut corners, so a tube of 1 mm")
    print("radius starts some percent under its voxels whatever follows (see benchmarks.surfaces).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
