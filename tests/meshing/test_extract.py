"""Surfaces of labels by either method: never mirrored, closed, manifold, outward, of the right volume."""

import numpy as np
import pytest

from meshing.errors import NotFoundError
from meshing.extract import Extraction, extract
from meshing.progress import Cancelled
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Surface, check, volume_ml
from meshing.terminology import Structure
from tests.meshing.heads import HEAD_GRID, ORDERS, head_on
from tests.shapes import ball, labelled, middle_of, oblique, upright_grid

both = pytest.mark.parametrize(
    "how", [Extraction("nets"), Extraction("marching-cubes")], ids=["nets", "marching-cubes"]
)


@both
@pytest.mark.parametrize("order", range(48))
def test_surface_is_never_mirrored(order: int, how: Extraction) -> None:
    surfaces = extract(head_on(ORDERS[order]), how)
    head, ear, nose = (surfaces[key].vertices.mean(axis=0) for key in ("head", "ear_left", "nose"))
    assert ear[0] - head[0] == pytest.approx(20.0, abs=0.5)
    assert nose[1] - head[1] == pytest.approx(-20.0, abs=0.5)
    assert abs(nose[0] - head[0]) < 0.5
    for surface in surfaces.values():
        found = check(surface)
        assert found.is_closed and found.is_manifold
        assert found.volume_ml > 0


def test_a_forgotten_flip_would_be_noticed_in_half_of_the_storage_orders() -> None:
    assert sum(order.is_left_handed for order in ORDERS) == 24
    surface = extract(head_on(ORDERS[0]))["head"]
    turned = Surface(surface.vertices, surface.faces[:, ::-1], "head")
    assert not check(turned).is_outward


@both
def test_oblique_grid_gives_the_same_ball(how: Extraction) -> None:
    grid = oblique(upright_grid((50, 50, 50), (0.6, 0.8, 1.0)), seed=3)
    centre = middle_of(grid)
    surface = extract(labelled(grid, {"ball": ball(centre, 12.0)}), how)["ball"]
    assert surface.vertices.mean(axis=0) == pytest.approx(centre, abs=0.1)
    assert check(surface).volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.01)


@both
def test_structure_that_touches_the_border_is_closed(how: Extraction) -> None:
    grid = upright_grid((20, 20, 20), (1.0, 1.0, 1.0))
    surface = extract(labelled(grid, {"half": lambda p: p[..., 0] < middle_of(grid)[0]}), how)["half"]
    assert check(surface).is_closed


@both
def test_single_voxel_is_a_closed_surface(how: Extraction) -> None:
    grid = upright_grid((9, 9, 9), (1.0, 1.0, 10.0))
    layer = np.zeros(grid.shape, np.uint8)
    layer[4, 4, 4] = 1
    one = Segmentation((layer,), grid, (Segment("dot", 1, 0, Structure("dot", "Dot", "点")),), "test")
    surface = extract(one, how)["dot"]
    assert check(surface).is_closed
    assert surface.vertices.mean(axis=0) == pytest.approx(grid.to_patient((4, 4, 4)), abs=1e-3)


@both
def test_empty_segment_has_no_surface_and_unknown_key_is_an_error(how: Extraction) -> None:
    grid = upright_grid((12, 12, 12), (1.0, 1.0, 1.0))
    shapes = labelled(grid, {"ball": ball(middle_of(grid), 4), "nothing": lambda p: np.zeros(p.shape[:-1], bool)})
    assert set(extract(shapes, how)) == {"ball"}
    with pytest.raises(NotFoundError, match="liver"):
        extract(shapes, how, keys=["liver"])


@both
def test_cancel_stops_extraction(how: Extraction) -> None:
    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        extract(head_on(HEAD_GRID), how, progress=stop)


def test_volume_of_a_cube_far_from_the_origin_is_exact() -> None:
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float) * 10 + 5000
    faces = [
        *[(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)],
        *[(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)],
    ]
    assert volume_ml(corner, faces) == pytest.approx(1.0, abs=1e-9)
