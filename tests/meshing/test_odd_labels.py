"""Labels that nobody planned for: empty, tiny, countless, anisotropic, riddled; a right answer or a named error."""

import numpy as np
import pytest

from meshing.errors import SurfaceError
from meshing.extract import Extraction, extract
from meshing.nets.make import NetSettings
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Surface, check
from meshing.terminology import Structure
from meshing.volume import Grid, Volume
from tests.shapes import ball, labelled, middle_of, oblique, upright_grid


def layer_of(labels: np.ndarray, grid: Grid | None = None) -> Segmentation:
    numbers = np.flatnonzero(np.bincount(labels.ravel())).tolist()
    segments = tuple(Segment(f"part_{n}", n, 0, Structure(f"part_{n}", "Part", "部")) for n in numbers if n)
    grid = grid or Grid((labels.shape[0], labels.shape[1], labels.shape[2]), np.eye(4))
    return Segmentation((np.asfortranarray(labels),), grid, segments, "test")


def assert_sound(surfaces: dict[str, Surface]) -> None:
    for key, surface in surfaces.items():
        found = check(surface)
        assert found.is_closed and found.is_manifold and found.is_outward, key


def centre_of_mass(surface: Surface) -> np.ndarray:
    corners = surface.vertices[surface.faces].astype(np.float64)
    volumes = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    found: np.ndarray = volumes @ corners.sum(axis=1) / 4 / volumes.sum()
    return found


@pytest.mark.parametrize("budget", [None, 100])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (7, 1, 3), (12, 12, 12)])
def test_map_filled_to_its_border_is_closed(shape: tuple[int, int, int], budget: int | None) -> None:
    surfaces = extract(layer_of(np.ones(shape, np.uint8)), budget=budget)
    assert_sound(surfaces)
    assert check(surfaces["part_1"]).volume_ml * 1000 == pytest.approx(np.prod(shape), rel=0.02)


def test_empty_map_has_no_surfaces() -> None:
    nothing = Segmentation((np.zeros((5, 5, 5), np.uint8),), Grid((5, 5, 5), np.eye(4)), (), "test")
    assert extract(nothing, budget=100) == {}


def test_thousands_of_labels_up_to_the_largest_number_of_16_bits() -> None:
    labels = np.zeros((60, 60, 60), np.uint16)
    at = np.argwhere(np.ones((14, 14, 14)))[:2500] * 4 + 2
    numbers = np.linspace(1, 65_535, len(at)).astype(np.uint16)
    for step in range(2):
        labels[at[:, 0] + step, at[:, 1], at[:, 2]] = numbers
    surfaces = extract(layer_of(labels), budget=40_000)
    assert len(surfaces) == len(np.unique(numbers))
    assert f"part_{numbers[-1]}" == "part_65535"
    assert_sound(dict(list(surfaces.items())[::50]))
    # Of 20 triangles two to six are gone, not evenly; the next part lies two voxels away.
    assert centre_of_mass(surfaces["part_65535"]) == pytest.approx(at[-1] + [0.5, 0, 0], abs=0.03)


@pytest.mark.slow
def test_65535_labels_have_65535_surfaces() -> None:
    labels = np.zeros((166, 166, 166), np.uint16)
    at = np.argwhere(np.ones((41, 41, 41)))[:65_535] * 4 + 1
    labels[at[:, 0], at[:, 1], at[:, 2]] = np.arange(1, 65_536)
    surfaces = extract(layer_of(labels), budget=500_000)
    assert len(surfaces) == 65_535
    assert_sound(dict(list(surfaces.items())[::5_000]))


@pytest.mark.parametrize("budget", [0, -5, 3])
def test_budget_of_less_than_a_tetrahedron_is_an_error(budget: int) -> None:
    with pytest.raises(SurfaceError, match=f"budget of {budget} triangles"):
        extract(layer_of(np.ones((4, 4, 4), np.uint8)), budget=budget)


def test_sheared_grid_is_an_error_with_how_much() -> None:
    matrix = np.eye(4)
    matrix[0, 2] = 0.6
    with pytest.raises(SurfaceError, match="sheared"):
        extract(layer_of(np.ones((4, 4, 4), np.uint8), Grid((4, 4, 4), matrix)))


def test_labels_of_another_type_are_an_error_with_its_name() -> None:
    layer = np.ones((4, 4, 4), bool)
    shape = layer_of(layer.astype(np.uint8))
    wrong = Segmentation((layer,), shape.grid, shape.segments, "test")
    with pytest.raises(SurfaceError, match="labels are bool"):
        extract(wrong)


def test_labels_that_nobody_asked_for_take_no_triangles() -> None:
    labels = np.zeros((40, 20, 20), np.uint8)
    labels[2:18, 2:18, 2:18] = 1
    labels[18:38, 2:18, 2:18] = 2
    both = layer_of(labels)
    alone = extract(both, keys=["part_1"], budget=1_500)["part_1"]
    assert len(alone.faces) > 1_300
    assert_sound({"part_1": alone})


def test_ten_thousand_islands_stay_ten_thousand_however_small_the_budget() -> None:
    labels = np.zeros((90, 90, 90), np.uint8)
    at = np.argwhere(np.ones((22, 22, 22)))[:10_000] * 4 + 1
    labels[at[:, 0], at[:, 1], at[:, 2]] = 1
    surface = extract(layer_of(labels), budget=1_000)["part_1"]
    assert_sound({"part_1": surface})
    assert len(surface.faces) == 40_000  # no closed surface has fewer than four


def test_holes_stay_holes() -> None:
    labels = np.ones((30, 30, 30), np.uint8)
    labels[4:26:4, 4:26:4, 4:26:4] = 0
    surface = extract(layer_of(labels), budget=20_000)["part_1"]
    assert_sound({"part_1": surface})
    assert check(surface).volume_ml * 1000 == pytest.approx(30**3 - 6**3, rel=0.01)


@pytest.mark.parametrize("budget", [None, 400])
def test_voxels_ten_times_as_high_as_wide(budget: int | None) -> None:
    labels = np.zeros((40, 40, 12), np.uint8)
    labels[10:30, 10:30, 3:9] = 1
    grid = Grid((40, 40, 12), np.diag([0.5, 0.5, 5.0, 1.0]))
    surface = extract(layer_of(labels, grid), budget=budget)["part_1"]
    assert_sound({"part_1": surface})
    assert check(surface).volume_ml == pytest.approx(20 * 20 * 6 * 1.25 / 1000, rel=0.01)
    assert np.ptp(surface.vertices, axis=0) == pytest.approx([10, 10, 30], abs=2.6)


def test_oblique_grid_with_a_finer_net_gives_the_same_ball() -> None:
    grid = oblique(upright_grid((40, 40, 40), (0.6, 0.8, 1.0)), seed=5)
    surface = extract(labelled(grid, {"ball": ball(middle_of(grid), 9.0)}), Extraction(nets=NetSettings(is_fine=True)))
    assert_sound(surface)
    assert surface["ball"].vertices.mean(axis=0) == pytest.approx(middle_of(grid), abs=0.05)


def test_image_of_another_grid_is_an_error_with_both_shapes() -> None:
    labels = layer_of(np.ones((5, 5, 5), np.uint8))
    image = Volume(np.zeros((6, 5, 5), np.int16), Grid((6, 5, 5), np.eye(4)), "CT", "HU")
    with pytest.raises(SurfaceError, match=r"\(6, 5, 5\) voxels, the labels \(5, 5, 5\)"):
        extract(labels, image=image)


def test_voxels_that_are_not_a_number_move_nothing_near_them() -> None:
    grid = upright_grid((40, 40, 40), (1.0, 1.0, 1.0))
    shape = labelled(grid, {"ball": ball(middle_of(grid), 10.0)})
    voxels = np.where(shape.mask("ball"), 300.0, 50.0).astype(np.float32)
    voxels[:20] = np.nan
    plain = extract(shape)["ball"]
    moved = extract(shape, image=Volume(voxels, grid, "CT", "HU"))["ball"]
    assert_sound({"ball": moved})
    dark = plain.vertices[:, 0] < middle_of(grid)[0] - 4
    assert np.array_equal(moved.vertices[dark], plain.vertices[dark])
