"""mr-vessels: on a tube of known size under coil shading, and on a real angiogram with another program's surface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from meshing.deviation import distances_mm
from meshing.errors import SegmentationError
from meshing.extract import extract
from meshing.importing.scan import import_scan
from meshing.plan import Point
from meshing.segmenters.presets import segment
from meshing.volume import Grid, Volume
from tests.meshing.segmenters.scans import Canvas, Known, dice, orders, reordered

Find = Callable[[str], Path]
Mask = npt.NDArray[np.bool_]


def tubes(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), *, shaded: bool = True) -> Known:
    """A trunk of radius 8 mm that splits into two of 4 mm, and a vessel apart; the coil fades to a third upwards."""
    extent = (100.0, 80.0, 140.0)
    shape = tuple(round(e / s) for e, s in zip(extent, spacing_mm, strict=True))
    canvas = Canvas(shape, spacing_mm, 200.0)  # type: ignore[arg-type]
    canvas.paint(canvas.rod(0, 0, 8, (0, 1e9)), 1500.0, "trunk")
    for side in (-1, 1):
        leaning = (canvas.x - side * (4 - 0.4 * canvas.z)) ** 2 + canvas.y**2 <= 16
        canvas.paint(leaning & (canvas.z <= 2), 1500.0, "branches")
    canvas.paint(canvas.rod(38, 20, 2.5), 1500.0, "apart")
    if shaded:
        canvas.values *= np.exp(-0.008 * (canvas.z + 70)).astype(np.float32)
    return canvas.scanned("MR", 25.0, kind=np.float32)


def tree_of(volume: Volume, *seeds_mm: Point) -> Mask:
    return segment(volume, "mr-vessels", seeds_mm=seeds_mm).mask("arterial_tree")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.4), (1.6, 0.8, 0.8)])
def test_a_tree_under_coil_shading_is_drawn_at_its_wall(spacing: tuple[float, float, float]) -> None:
    known = tubes(spacing)
    tree = tree_of(known.volume)
    truth = known.truth["trunk"] | known.truth["branches"]
    near = tree & ~known.truth["apart"]
    # A tube of radius 4 mm has a quarter of its area within half a millimetre of its wall.
    assert dice(near, truth) > 0.93
    assert near.sum() == pytest.approx(truth.sum(), rel=0.08)


def test_the_dark_end_is_followed_as_far_as_the_bright_one() -> None:
    known = tubes()
    top = known.truth["trunk"].copy()
    top[:, :, :-10] = False
    assert (tree_of(known.volume) & top).sum() > 0.9 * top.sum()


def test_a_seed_gives_its_own_vessel_alone() -> None:
    known = tubes()
    x, y, z = known.volume.grid.to_patient(np.argwhere(known.truth["apart"]).mean(axis=0))
    tree = tree_of(known.volume, (float(x), float(y), float(z)))
    assert not (tree & (known.truth["trunk"] | known.truth["branches"])).any()
    assert (tree & known.truth["apart"]).sum() > 0.9 * known.truth["apart"].sum()


def test_the_tree_is_the_same_voxels_in_all_48_storage_orders() -> None:
    known = tubes((2.0, 2.0, 2.0))
    first = tree_of(known.volume)
    for grid in orders(known):
        expected = reordered(Known(known.volume, {"tree": first}), grid).truth["tree"]
        np.testing.assert_array_equal(tree_of(reordered(known, grid).volume), expected)


def test_a_seed_beside_the_vessels_or_the_scan_is_refused_with_numbers() -> None:
    known = tubes((2.0, 2.0, 2.0))
    dark = known.volume.grid.to_patient((3, 3, 3))
    with pytest.raises(SegmentationError, match=r"lies in \d+, a filled vessel reads at least \d+"):
        tree_of(known.volume, (float(dark[0]), float(dark[1]), float(dark[2])))
    with pytest.raises(SegmentationError, match=r"lies \d+\.\d mm outside the scan"):
        tree_of(known.volume, (float(dark[0]) - 100, float(dark[1]), float(dark[2])))


def test_even_tissue_has_no_vessels() -> None:
    canvas = Canvas((50, 50, 50), (1.0, 1.0, 1.0), 200.0)
    with pytest.raises(SegmentationError, match="nothing is as bright as blood"):
        tree_of(canvas.scanned("MR", 20.0).volume)


def test_specks_are_no_tree() -> None:
    canvas = Canvas((60, 60, 60), (1.0, 1.0, 1.0), 200.0)
    for at in ((-20, 0, 0), (20, 0, 0), (0, 20, 0)):
        canvas.paint(canvas.ellipsoid(at, (2.5, 2.5, 2.5)), 2000.0)
    with pytest.raises(SegmentationError, match=r"largest bright part holds 0\.\d+ ml, wanted 0\.5 ml"):
        tree_of(canvas.scanned("MR", 10.0).volume)


def test_what_was_never_measured_is_no_vessel() -> None:
    known = tubes((2.0, 2.0, 2.0))
    outside = np.zeros(known.volume.grid.shape, np.bool_)
    outside[:10] = True
    voxels = known.volume.voxels.copy()
    voxels[outside] = voxels.max()
    tree = tree_of(Volume(voxels, known.volume.grid, "MR", "", outside))
    assert not (tree & outside).any()
    assert dice(tree & ~known.truth["apart"], known.truth["trunk"] | known.truth["branches"]) > 0.9


def reference_surface(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Corners in LPS mm and triangles of a surface file that is stored in RAS."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    corners = vtk_to_numpy(reader.GetOutput().GetPoints().GetData()).astype(np.float64) * [-1, -1, 1]
    return corners, vtk_to_numpy(reader.GetOutput().GetPolys().GetConnectivityArray()).reshape(-1, 3)


def voxels_within(corners_mm: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], grid: Grid) -> Mask:
    """The voxels whose centre a closed surface encloses: an odd number of crossings along i."""
    triangles = grid.to_voxel(corners_mm)[faces]
    crossings = np.zeros(grid.shape, np.int32)
    for triangle in triangles + [0.0, 1e-7, 2e-7]:  # off the centres, so that no crossing hits an edge
        low, high = np.ceil(triangle[:, 1:].min(axis=0)).astype(int), np.floor(triangle[:, 1:].max(axis=0)).astype(int)
        j, k = (part.ravel() for part in np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1])
        sides = triangle[[1, 2], 1:] - triangle[0, 1:]
        if len(j) == 0 or abs(np.linalg.det(sides)) < 1e-12:
            continue
        weights = np.stack([j - triangle[0, 1], k - triangle[0, 2]], axis=1) @ np.linalg.inv(sides)
        hit = (weights >= 0).all(axis=1) & (weights.sum(axis=1) <= 1)
        at = triangle[0, 0] + weights @ (triangle[[1, 2], 0] - triangle[0, 0])
        first = np.maximum(np.ceil(at[hit]).astype(int), 0)
        for start, row, column in zip(first, j[hit], k[hit], strict=True):
            crossings[start:, row, column] += 1
    inside: Mask = crossings % 2 == 1
    return inside


@pytest.mark.slow
def test_the_real_aorta_agrees_with_the_surface_of_another_program(real_data: Find) -> None:
    """Over the box of the surface, a level set of the aorta below the renal arteries and of the iliacs alone.

    Lumbar and mesenteric arteries lie in the same box and are ours, about 6 % of its voxels; so Dice stays below
    0.97, our volume is the larger one, and distances are measured from the reference to ours.
    """
    volume = import_scan(real_data("mra_aorta_vmtk/aorta.mha")).volume
    corners, faces = reference_surface(real_data("mra_aorta_vmtk/aorta-surface.vtp"))
    truth = voxels_within(corners, faces, volume.grid)
    ml = volume.grid.voxel_volume_mm3 / 1000
    assert truth.sum() * ml == pytest.approx(13.2, rel=0.03)  # the surface's own volume
    found = segment(volume, "mr-vessels")
    tree = found.mask("arterial_tree")
    assert 75 < tree.sum() * ml < 95  # 30 cm of aorta with renal, mesenteric and iliac arteries
    box = tuple(slice(used.min(), used.max() + 1) for used in np.nonzero(truth))
    assert dice(tree[box], truth[box]) > 0.92  # measured 0.946
    assert 1.0 < tree[box].sum() / truth[box].sum() < 1.15
    assert (tree & truth).sum() > 0.98 * truth.sum()
    surface = extract(found, image=volume)["arterial_tree"]
    distance = distances_mm(corners, surface)
    # Voxels of 0.88 × 0.88 × 1.5 mm: a quarter of a voxel, and the mouths of branches that the other has not.
    assert np.median(distance) < 0.25
    assert np.percentile(distance, 95) < 1.2
