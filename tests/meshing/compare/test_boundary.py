"""Distances between boundaries: cubes and balls with known answers, and every face asked the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.compare.boundary import Boundary, boundary_of, distances
from meshing.volume import Grid
from tests.meshing.compare.graders import GRID, Mask, block, cube
from tests.shapes import ball, centres, middle_of, oblique, upright_grid

SIDE, VOXEL = 10.0, 0.5


def whole(mask: Mask, grid: Grid) -> Boundary:
    return boundary_of(mask, (0, 0, 0), grid)


def test_boundary_of_a_block_has_its_area_and_lies_half_a_voxel_out() -> None:
    grid = upright_grid((9, 8, 7), (0.7, 0.9, 2.5))
    found = whole(block(grid.shape, (2, 3, 0), (6, 5, 7)), grid)
    a, b, c = 4 * 0.7, 2 * 0.9, 7 * 2.5
    assert found.areas.sum() == pytest.approx(2 * (a * b + b * c + c * a))
    np.testing.assert_allclose(found.corners.min(axis=0), grid.to_patient((1.5, 2.5, -0.5)))
    np.testing.assert_allclose(found.corners.max(axis=0), grid.to_patient((5.5, 4.5, 6.5)))


@pytest.mark.parametrize("voxels", [2, 4, 8])
def test_cubes_shifted_along_an_edge_have_their_closed_forms(voxels: int) -> None:
    shift, tolerance = voxels * VOXEL, VOXEL
    found = distances(whole(cube(0), GRID), whole(cube(voxels), GRID), tolerance)
    assert found.hausdorff_mm == found.hd95_mm == shift
    # The front lies `shift` away, the four sides run in, the back lies within the other: as deep as the nearest side.
    front, sides, back = shift * SIDE**2, 2 * SIDE * shift**2, (SIDE**3 - (SIDE - 2 * shift) ** 3) / 6
    # On the diagonals of the back a face's middle is deeper than the face: by a sixth of a voxel, 4 × `voxels` times.
    too_deep = 4 * voxels * VOXEL**3 / 6
    assert found.assd_mm == pytest.approx((front + sides + back + too_deep) / (6 * SIDE**2), abs=1e-9)
    frame = SIDE**2 - (SIDE - 2 * tolerance) ** 2
    near = frame + 4 * SIDE * (SIDE - shift + tolerance)
    assert found.surface_dice == pytest.approx(near / (6 * SIDE**2))
    assert distances(whole(cube(0), GRID), whole(cube(voxels), GRID), shift).surface_dice == 1.0


def test_cubes_apart_from_each_other_are_as_far_as_their_far_sides() -> None:
    shape = (60, 12, 12)
    grid = oblique(upright_grid(shape, (0.5, 0.8, 2.0)))
    one, other = block(shape, (2, 3, 3), (10, 9, 9)), block(shape, (30, 3, 3), (38, 9, 9))
    found = distances(whole(one, grid), whole(other, grid), 1.0)
    assert found.hausdorff_mm == pytest.approx(28 * 0.5)
    assert found.surface_dice == 0.0


def test_a_lost_corner_counts_for_the_hausdorff_distance() -> None:
    """A voxel off the corner of a cube: only corners of faces lie the whole diagonal away."""
    shape = (8, 8, 8)
    grid = upright_grid(shape, (1.0, 2.0, 3.0))
    small, large = block(shape, (2, 2, 2), (5, 5, 5)), block(shape, (2, 2, 2), (6, 6, 6))
    found = distances(whole(small, grid), whole(large, grid), 1.0)
    assert found.hausdorff_mm == pytest.approx(np.sqrt(1 + 4 + 9))


def test_hd95_leaves_out_a_twentieth_of_the_area() -> None:
    """A knob of 8 × 8 × 3 voxels on a cube of 20: of 2,496 faces 64 lie 3 voxels away, 32 each 2.5, 1.5 and 0.5."""
    knob = block(cube(0).shape, (24, 11, 11), (27, 19, 19))
    found = distances(whole(cube(0), GRID), whole(cube(0) | knob, GRID), 1.0)
    assert found.hausdorff_mm == pytest.approx(3 * VOXEL)
    assert found.hd95_mm == pytest.approx(1.5 * VOXEL)  # 124.8 faces are a twentieth: 64 + 32 + 28.8


@pytest.mark.parametrize("radii_mm", [(12.0, 20.0), (15.0, 17.0)])
def test_balls_one_in_the_other_are_as_far_as_their_radii_differ(radii_mm: tuple[float, float]) -> None:
    grid = oblique(upright_grid((70, 56, 22), (0.7, 0.9, 2.5)))
    small, large = (ball(middle_of(grid), radius)(centres(grid)) for radius in radii_mm)
    found = distances(whole(small, grid), whole(large, grid), 1.0)
    gap = radii_mm[1] - radii_mm[0]
    half_diagonal = float(np.linalg.norm(grid.spacing_mm)) / 2
    assert found.hausdorff_mm == pytest.approx(gap, abs=2 * half_diagonal)  # either staircase strays by a half
    assert found.hd95_mm == pytest.approx(gap, abs=half_diagonal)
    assert found.assd_mm == pytest.approx(gap, abs=half_diagonal)


def test_the_mean_distance_of_balls_nears_the_truth_as_voxels_shrink() -> None:
    errors = []
    for voxel in (2.0, 1.0, 0.5):
        size = int(26 / voxel)
        grid = upright_grid((size, size, size), (voxel, voxel, voxel))
        masks = [ball(middle_of(grid), radius)(centres(grid)) for radius in (7.0, 11.0)]
        errors.append(abs(distances(whole(masks[0], grid), whole(masks[1], grid), 1.0).assd_mm - 4.0) / voxel)
    assert max(errors) < 0.6, errors  # of a voxel: steps reach for each other


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(0.3, 4.0)] * 3), st.floats(0.0, 3.0))
@settings(max_examples=25, deadline=None)
def test_distances_are_those_of_every_face_asked_the_slow_way(
    seed: int, spacing: tuple[float, float, float], tolerance: float
) -> None:
    random = np.random.default_rng(seed)
    grid = upright_grid((5, 4, 3), spacing)
    masks = [random.random(grid.shape) < share for share in (0.5, 0.15)]
    for mask in masks:
        mask[tuple(random.integers(grid.shape))] = True
    one, other = (whole(mask, grid) for mask in masks)
    there, back = slow_mm(one.middles, masks[1], grid), slow_mm(other.middles, masks[0], grid)
    corners = [slow_mm(one.corners, masks[1], grid), slow_mm(other.corners, masks[0], grid)]
    found = distances(one, other, tolerance)
    assert found.hausdorff_mm == pytest.approx(max(there.max(), back.max(), *(c.max() for c in corners)), abs=1e-6)
    area = one.areas.sum() + other.areas.sum()
    assert found.assd_mm == pytest.approx((there @ one.areas + back @ other.areas) / area, abs=1e-6)
    all_mm, areas = np.concatenate([there, back]), np.concatenate([one.areas, other.areas])
    clear = np.abs(all_mm - tolerance) > 1e-5
    near = areas[clear & (all_mm <= tolerance)].sum() / area
    assert near - 1e-9 <= found.surface_dice <= near + areas[~clear].sum() / area + 1e-9


def slow_mm(points: np.ndarray, mask: Mask, grid: Grid) -> np.ndarray:
    """To the nearest of all faces, each a flat box along the axes."""
    flat = []
    for axis in range(3):
        ends = [(1, 1) if other == axis else (0, 0) for other in range(3)]
        for at in np.argwhere(np.diff(np.pad(mask, ends).astype(int), axis=axis)):
            middle, half = at.astype(float), np.full(3, 0.5)
            middle[axis] -= 0.5
            half[axis] = 0.0
            beyond = np.abs(points - grid.to_patient(middle)) - half * grid.spacing_mm
            flat.append(np.linalg.norm(beyond.clip(0), axis=1))
    return np.min(flat, axis=0)


@pytest.mark.parametrize(("gap", "short"), [(0.5, 0.11), (1.0, 0.30), (2.0, 0.42), (4.0, 0.50), (8.0, 0.57)])
def test_the_mean_distance_of_balls_is_short_by_as_much_as_is_said(gap: float, short: float) -> None:
    errors, hd95 = [], []
    for radius, shift in ((10.0, 0.1), (20.0, 0.3)):
        size = int(2 * (radius + gap) + 6)
        grid = upright_grid((size, size, size), (1.0, 1.0, 1.0))
        middle = middle_of(grid) + shift
        masks = [ball(middle, around)(centres(grid)) for around in (radius, radius + gap)]
        found = distances(whole(masks[0], grid), whole(masks[1], grid), 1.0)
        errors.append(found.assd_mm - gap)
        hd95.append(found.hd95_mm - gap)
    assert errors == pytest.approx([-short, -short], abs=0.04)  # a ball on another place of the grid: ± 0.01
    assert max(np.abs(hd95)) <= 0.5 + 1e-9
