"""Distances to triangles: exact, wherever the point and whatever the triangles, and each label's own where asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import SurfaceError
from meshing.triangles.bins import bins_of
from meshing.triangles.distances import distances_mm, nearest_mm, wall_distances_mm


def sphere(radius_mm: float, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles with all corners on a sphere about the origin."""
    from scipy.spatial import ConvexHull

    number = np.arange(rings * rings) + 0.5
    polar, turn = np.arccos(1 - 2 * number / len(number)), np.pi * (1 + 5**0.5) * number
    points = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    return radius_mm * points, ConvexHull(points).simplices.astype(np.int32)


def brute_force(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Least of the distances to the edges, and to the plane where the foot lies inside; in extended precision."""
    long = vertices.astype(np.longdouble)[faces]
    at = points.astype(np.longdouble)[:, None]
    best = np.full(len(points), np.inf, np.longdouble)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        edge = long[:, other] - long[:, one]
        length = (edge**2).sum(-1)
        share = ((at - long[:, one]) * edge).sum(-1) / np.where(length > 0, length, 1)
        foot = long[:, one] + np.clip(share, 0, 1)[..., None] * edge
        best = np.minimum(best, np.sqrt(((at - foot) ** 2).sum(-1)).min(axis=1))
    normal = np.cross(long[:, 1] - long[:, 0], long[:, 2] - long[:, 0])
    area = np.sqrt((normal**2).sum(-1))
    is_inside = np.broadcast_to(area > 0, (len(points), len(faces))).copy()
    for one, other in ((0, 1), (1, 2), (2, 0)):
        across = np.cross(long[:, other] - long[:, one], at - long[:, one])
        is_inside &= (across * normal).sum(-1) >= 0
    height = np.abs(((at - long[:, 0]) * normal).sum(-1)) / np.where(area > 0, area, 1)
    return np.minimum(best, np.where(is_inside, height, np.inf).min(axis=1)).astype(float)


@pytest.mark.parametrize("offset_mm", [-19.0, -3.0, -0.1, 0.2, 5.0, 400.0])
def test_points_off_a_sphere_are_as_far_as_they_were_put(offset_mm: float) -> None:
    vertices, faces = sphere(20.0, 70)
    out = vertices[::7] / 20.0
    found = distances_mm((20.0 + offset_mm) * out, vertices, faces)
    # All corners lie on the sphere, so outside the corner is nearest; inside, facets sag by edge²/8r, at most 0.015 mm.
    sag = 0.0 if offset_mm > 0 else 0.015
    assert found.max() <= abs(offset_mm) + 1e-9
    assert found.min() >= abs(offset_mm) - sag - 1e-9


def test_points_over_a_plane_are_as_far_as_high() -> None:
    rng = np.random.default_rng(0)
    across = np.stack(np.meshgrid(np.arange(40.0), np.arange(30.0), indexing="ij"), axis=-1).reshape(-1, 2)
    from scipy.spatial import Delaunay

    vertices = np.column_stack([across, np.zeros(len(across))])
    points = np.column_stack([rng.uniform(0, 39, 4000), rng.uniform(0, 29, 4000), rng.normal(0, 20, 4000)])
    assert distances_mm(points, vertices, Delaunay(across).simplices) == pytest.approx(np.abs(points[:, 2]), abs=1e-12)


coordinates = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-100, 100, width=32), st.sampled_from([1e-7, 1 + 1e-9])
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.lists(coordinates, min_size=9, max_size=60))
def test_distances_are_those_of_brute_force_for_any_triangles(seed: int, count: int, numbers: list[float]) -> None:
    """With corners from a short list triangles are often doubled, flat, or a point."""
    rng = np.random.default_rng(seed)
    vertices = rng.choice(np.array(numbers), (12, 3)) * rng.choice([1.0, 0.01, 30.0])
    faces = rng.integers(0, 12, (count, 3)).astype(np.int32)
    points = np.vstack([rng.normal(0, 50, (10, 3)), vertices + rng.normal(0, 1e-3, vertices.shape), vertices])
    size = np.abs(vertices).max() + np.abs(points).max()
    truth = brute_force(points, vertices, faces)
    assert np.abs(distances_mm(points, vertices, faces) - truth).max() <= 1e-8 * size


def test_one_huge_triangle_among_small_ones_is_found_and_costs_little_memory() -> None:
    vertices, faces = sphere(2.0, 60)
    huge = np.array([[-900.0, -900.0, -50.0], [900.0, -900.0, 50.0], [0.0, 900.0, 900.0]])
    needles = np.random.default_rng(0).normal(0, 300, (3000, 3))
    needles[1000:2000] = needles[:1000] + 1e-3
    spikes = np.arange(3000).reshape(3, -1).T
    vertices = np.vstack([vertices, huge, needles])
    every = np.vstack([faces, [[3600, 3601, 3602]], spikes + 3603])
    bins = bins_of(vertices, every)
    assert bins.entries.nbytes + bins.starts.nbytes < 100 * len(every) + 1e6
    points = np.random.default_rng(1).normal(0, 200, (50, 3))
    assert nearest_mm(points, bins) == pytest.approx(brute_force(points, vertices, every), rel=1e-9)


@pytest.mark.parametrize("cell_mm", [0.5, 3.0, 1e6])
def test_the_size_of_cells_changes_no_distance(cell_mm: float) -> None:
    vertices, faces = sphere(15.0, 40)
    points = np.random.default_rng(0).normal(0, 12, (3000, 3))
    assert nearest_mm(points, bins_of(vertices, faces, cell_mm=cell_mm)) == pytest.approx(
        distances_mm(points, vertices, faces), rel=1e-12
    )


def test_beyond_the_limit_points_are_infinitely_far_and_within_it_exact() -> None:
    vertices, faces = sphere(15.0, 40)
    bins = bins_of(vertices, faces)
    points = np.random.default_rng(0).normal(0, 30, (3000, 3))
    full, limited = nearest_mm(points, bins), nearest_mm(points, bins, most_mm=4.0)
    assert np.array_equal(limited, np.where(full < 4.0, full, np.inf))
    assert 0 < np.isinf(limited).sum() < 3000


def two_planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label 1 above z = 0 and label 2 below z = −7; at z = −1, nearer to 2, runs a wall of label 3 alone."""
    corners = np.array([[-50.0, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]])
    square = np.array([[0, 1, 2], [0, 2, 3]])
    heights = (0.0, -7.0, -1.0)
    vertices = np.vstack([corners + [0, 0, height] for height in heights])
    faces = np.vstack([square + 4 * number for number in range(3)])
    return vertices, faces, np.repeat([[1, 0], [2, 0], [3, 0]], 2, axis=0)


def test_a_nearer_wall_of_a_third_label_hides_no_distance() -> None:
    vertices, faces, sides = two_planes()
    bins = bins_of(vertices, faces, sides=sides)
    points = np.array([[1.0, 2, -2], [1.0, 2, -2], [3, 4, -2], [3, 4, -2]])
    asked = np.array([[1, 2], [2, 3], [2, 0], [9, 1]])
    found = wall_distances_mm(points, asked, bins)
    assert found == pytest.approx(np.array([[2.0, 5], [5, 1], [5, np.nan], [np.inf, 2]]), nan_ok=True, abs=1e-12)
    assert nearest_mm(points, bins) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_wall_distances_are_those_to_each_labels_own_triangles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = rng.normal(0, 20, (90, 3)), rng.integers(0, 90, (60, 3)).astype(np.int32)
    sides = rng.integers(0, 5, (60, 2)).astype(np.int32)
    points, asked = rng.normal(0, 25, (40, 3)), rng.integers(0, 5, (40, 2)).astype(np.int32)
    found = wall_distances_mm(points, asked, bins_of(vertices, faces, sides=sides))
    for label in range(1, 5):
        own = brute_force(points, vertices, faces[(sides == label).any(axis=1)])
        for side in range(2):
            is_asked = asked[:, side] == label
            assert found[is_asked, side] == pytest.approx(own[is_asked], rel=1e-9, abs=1e-9)
    assert np.array_equal(np.isnan(found), asked == 0)


def test_read_only_and_lists_are_as_good_as_arrays() -> None:
    vertices, faces = sphere(5.0, 10)
    points = np.zeros((1, 3))
    expected = distances_mm(points, vertices, faces)
    for array in (vertices, faces, points):
        array.setflags(write=False)
    assert distances_mm(points, vertices, faces) == expected
    assert distances_mm(points.tolist(), vertices.tolist(), faces.tolist()) == expected


def test_what_cannot_be_measured_is_said() -> None:
    vertices, faces = sphere(5.0, 10)
    with pytest.raises(SurfaceError, match="1 of 2 points hold NaN"):
        distances_mm([[0, 0, 0], [0, np.nan, 0]], vertices, faces)
    with pytest.raises(SurfaceError, match=r"points of shape \(2, 2\)"):
        distances_mm(np.zeros((2, 2)), vertices, faces)
    with pytest.raises(SurfaceError, match="vertices hold NaN or infinity"):
        bins_of(np.where(vertices == vertices[3], np.inf, vertices), faces)
    with pytest.raises(SurfaceError, match="vertices 0 to 100 of 100"):
        bins_of(vertices, np.vstack([faces, [[0, 1, 100]]]))
    with pytest.raises(SurfaceError, match=r"\(100, 2\), \(196, 3\) and \(0, 2\) are not"):
        bins_of(vertices[:, :2], faces)
    with pytest.raises(SurfaceError, match="no triangles"):
        bins_of(vertices, faces[:0])
    with pytest.raises(SurfaceError, match=r"1 points with labels \(2, 2\)"):
        wall_distances_mm(np.zeros((1, 3)), np.ones((2, 2)), bins_of(vertices, faces, sides=np.ones((len(faces), 2))))
    assert distances_mm(np.zeros((2, 3)), vertices, faces[:0]).tolist() == [np.inf, np.inf]
