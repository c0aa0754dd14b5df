"""Where graders differ: disputes of known size at known places, walls of balls at known distances."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.compare import boundary, compare
from meshing.compare.apart import dispute_of, least_alike, wall_distances
from meshing.progress import Cancelled
from tests.meshing.compare.graders import GRID, SHAPE, block, cube, drawn
from tests.shapes import ball, labelled, middle_of, oblique, storage_orders, upright_grid


def test_a_dispute_is_what_some_drew_and_others_did_not() -> None:
    nothing = np.zeros(SHAPE, bool)
    graders = {"A": drawn(GRID, liver=cube(0)), "B": drawn(GRID, liver=cube(3)), "C": drawn(GRID, liver=nothing)}
    found = dispute_of(graders, "liver")
    assert list(found.masks) == ["A", "B"]  # who drew nothing has no say
    assert found.disputed.sum() == 2 * 3 * 400
    assert found.disputed_ml == pytest.approx(2400 * 0.125 / 1000)
    whole = np.zeros(SHAPE, bool)
    first = np.rint(GRID.to_voxel(found.grid.to_patient((0, 0, 0)))).astype(int)
    whole[tuple(slice(at, at + size) for at, size in zip(first, found.disputed.shape, strict=True))] = found.disputed
    np.testing.assert_array_equal(whole, cube(0) ^ cube(3))


def test_the_place_is_the_middle_of_the_thickest_dispute() -> None:
    extra = block(SHAPE, (27, 6, 6), (34, 24, 24))  # seven voxels thick; the shift of the cube is two
    graders = {"A": drawn(GRID, liver=cube(0)), "B": drawn(GRID, liver=cube(2) | extra)}
    found = dispute_of(graders, "liver")
    # Of the many places on its middle sheet the lowest, most anterior one.
    np.testing.assert_allclose(found.place_mm, GRID.to_patient((30, 9, 9)))
    assert found.thickness_mm == pytest.approx(2 * 4 * 0.5)  # to the centre of the first voxel beyond


def test_equal_drawings_have_no_dispute_and_the_place_is_their_middle() -> None:
    found = dispute_of(dict.fromkeys("AB", drawn(GRID, liver=cube(0))), "liver")
    assert not found.disputed.any() and found.thickness_mm == 0.0
    np.testing.assert_allclose(found.place_mm, GRID.to_patient((13.5, 14.5, 14.5)))


def test_the_place_is_the_same_in_every_storage_order() -> None:
    grid = upright_grid((20, 16, 12), (0.8, 1.1, 2.0))
    middle = middle_of(grid)
    places = []
    for order in storage_orders(grid):
        graders = {
            name: labelled(order, {"liver": ball(middle + shift, 5.0)})
            for name, shift in (("A", (0, 0, 0)), ("B", (1.6, 0, 0)))
        }
        places.append(dispute_of(graders, "liver").place_mm)
    assert len(places) == 48
    np.testing.assert_allclose(places, np.broadcast_to(places[0], (48, 3)), atol=1e-6)


@pytest.mark.parametrize("radii_mm", [(12.0, 15.0), (15.0, 12.0)])
def test_walls_of_balls_lie_as_far_apart_as_their_radii_and_on_the_right_side(radii_mm: tuple[float, float]) -> None:
    grid = oblique(upright_grid((60, 50, 26), (0.7, 0.9, 1.6)))
    one, other = (labelled(grid, {"liver": ball(middle_of(grid), radius)}) for radius in radii_mm)
    found = wall_distances(one, other, "liver")
    gap = radii_mm[1] - radii_mm[0]
    assert np.median(found.distance_mm) == pytest.approx(gap, abs=0.1)
    # Smoothed surfaces of labels stray by no more than half a voxel's diagonal each.
    assert np.abs(found.distance_mm - gap).max() < np.linalg.norm(grid.spacing_mm)
    assert set(np.sign(found.distance_mm)) == {np.sign(gap)}
    assert len(found.vertices) == len(found.distance_mm)


def test_shifted_balls_are_larger_on_one_side_and_smaller_on_the_other() -> None:
    grid = upright_grid((60, 50, 40), (0.8, 0.8, 0.8))
    middle = middle_of(grid)
    one, other = (labelled(grid, {"liver": ball(middle + (shift, 0, 0), 10.0)}) for shift in (0.0, 3.0))
    found = wall_distances(one, other, "liver")
    towards = (found.vertices - middle)[:, 0] / 10.0
    assert (found.distance_mm[towards > 0.5] > 0).all() and (found.distance_mm[towards < -0.2] < 0).all()
    assert found.distance_mm.max() == pytest.approx(3.0, abs=0.4)
    assert found.distance_mm.min() == pytest.approx(-3.0, abs=0.4)


def test_those_least_alike_come_first_with_their_worst_pair() -> None:
    graders = {
        "A": drawn(GRID, liver=cube(0), spleen=cube(0), cyst=cube(5)),
        "B": drawn(GRID, liver=cube(1), spleen=cube(6)),
        "C": drawn(GRID, liver=cube(2), spleen=cube(1)),
    }
    ranked = least_alike(compare(graders))
    assert [(structure.key, pair.reference, pair.other) for structure, pair in ranked] == [
        ("spleen", "A", "B"),
        ("liver", "A", "C"),
    ]
    assert len(least_alike(compare(graders), most=1)) == 1


def test_it_can_be_stopped_within_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "_AT_ONCE", 500)
    graders = {"A": drawn(GRID, liver=cube(0)), "B": drawn(GRID, liver=cube(3))}
    said: list[tuple[float, str]] = []
    compare(graders, progress=lambda fraction, doing: said.append((fraction, doing)))
    assert [fraction for fraction, _ in said] == sorted(fraction for fraction, _ in said)
    assert sum(doing == "measuring distances" for _, doing in said) >= 16  # 2400 faces and their corners, both ways

    def stop(fraction: float, doing: str) -> None:
        if doing == "measuring distances":
            raise Cancelled

    with pytest.raises(Cancelled):
        compare(graders, progress=stop)
