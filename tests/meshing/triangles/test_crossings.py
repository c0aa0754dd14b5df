"""Crossing triangles: all of them, only them, whatever the order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from meshing.errors import SurfaceError
from meshing.triangles.crossings import crossings

TETRA = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
TETRA_FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def together(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=False)]
    return np.vstack([vertices for vertices, _ in parts]), np.vstack(faces)


def sphere(radius_mm: float, count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    number = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * number / count), np.pi * (1 + 5**0.5) * number
    points = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    return radius_mm * points, ConvexHull(points).simplices


def volumes(*corners: np.ndarray) -> np.ndarray:
    """Six times the signed volume of tetrahedra, corners of shape (N, 3)."""
    a, b, c, d = corners
    return np.einsum("ni,ni->n", b - a, np.cross(c - a, d - a))


def edges_through(a: np.ndarray, b: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether segments pass through the insides of triangles (N, 3, 3): three tetrahedra of one sign."""
    p, q, r = corners[:, 0], corners[:, 1], corners[:, 2]
    turns = np.stack([volumes(a, b, p, q), volumes(a, b, q, r), volumes(a, b, r, p)])
    return (volumes(a, p, q, r) * volumes(b, p, q, r) < 0) & ((turns.min(axis=0) > 0) | (turns.max(axis=0) < 0))


def brute_force(vertices: np.ndarray, faces: np.ndarray) -> list[list[int]]:
    one, other = np.triu_indices(len(faces), 1)
    shares = (faces[one][:, :, None] == faces[other][:, None, :]).any(axis=(1, 2))
    one, other = one[~shares], other[~shares]
    p, q = vertices[faces[one]], vertices[faces[other]]
    crosses = np.zeros(len(one), dtype=bool)
    for side in range(3):
        crosses |= edges_through(p[:, side], p[:, side - 1], q) | edges_through(q[:, side], q[:, side - 1], p)
    return np.stack([one[crosses], other[crosses]], axis=1).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.01, 1.0, 300.0]), st.floats(0.05, 3.0))
def test_crossings_are_those_of_brute_force(seed: int, count: int, scale: float, reach: float) -> None:
    rng = np.random.default_rng(seed)
    middles = rng.uniform(0, 2, (30, 3))
    vertices = scale * (middles + reach * rng.normal(size=(30, 3)))
    faces = np.array([rng.choice(30, 3, replace=False) for _ in range(count)])
    assert crossings(vertices, faces).tolist() == brute_force(vertices, faces)


def test_a_large_mesh_in_threads_has_the_crossings_of_brute_force_near_a_plane() -> None:
    vertices, faces = together(sphere(10.0, 1200), (sphere(10.0, 1200)[0] + [14.0, 0.3, 0.2], sphere(10.0, 1200)[1]))
    found = crossings(vertices, faces)
    is_near = np.abs(vertices[faces][:, :, 0] - 7.0).min(axis=1) < 2.0
    near = np.flatnonzero(is_near)
    assert found.tolist() == [[near[a], near[b]] for a, b in brute_force(vertices, faces[near])]


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("apart", [(0.2, 0.2, 0.2), (0.9, 0.02, 0.03), (-0.6, 0.1, 0.1)])
def test_interlocked_tetrahedra_cross_and_parted_ones_do_not(apart: tuple[float, ...], turn: int) -> None:
    spin = Rotation.random(random_state=turn).as_matrix()
    vertices, faces = together((TETRA, TETRA_FACES), (TETRA + apart, TETRA_FACES))
    found = crossings(vertices @ spin.T + 200.0, faces)
    assert len(found) > 0
    assert (found[:, 0] < 4).all() and (found[:, 1] >= 4).all()
    vertices[4:] += [1.0, 1.0, 1.0]
    assert len(crossings(vertices @ spin.T + 200.0, faces)) == 0


@pytest.mark.parametrize(
    ("distance_mm", "is_crossing"), [(0.0, False), (1.5, False), (3.5, True), (15.0, True), (18.5, False)]
)
def test_spheres_cross_exactly_between_lying_inside_and_lying_apart(distance_mm: float, is_crossing: bool) -> None:
    """Radii 10 and 8 mm: surfaces meet for 2 < distance < 18 mm; facets sag by 0.05 mm."""
    inner, faces = sphere(8.0)
    vertices, every = together(sphere(10.0), (inner + [distance_mm, 0.0, 0.0], faces))
    found = crossings(vertices, every)
    assert (len(found) > 0) == is_crossing
    if is_crossing:
        lens = (distance_mm**2 + 10.0**2 - 8.0**2) / (2 * distance_mm)
        assert vertices[every[found[:, 0]]][:, :, 0].mean() == pytest.approx(lens, abs=0.2)


def test_parts_cut_from_each_other_touch_and_do_not_cross() -> None:
    """At one face, one vertex, one edge: same places, vertices of their own."""
    mirrored = TETRA * [-1, 1, 1]
    for other in (mirrored, -TETRA, TETRA * [-1, -1, 1]):
        for turn in range(20):
            spin = Rotation.random(random_state=turn).as_matrix()
            vertices, faces = together((TETRA, TETRA_FACES), (other, TETRA_FACES[:, ::-1]))
            assert len(crossings(vertices @ spin.T * 0.7 + [31.0, -120.0, 207.0], faces)) == 0


def test_triangles_in_one_plane_and_flat_ones_do_not_count() -> None:
    flat = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0.5, 0.5, 0], [3, 0.5, 0], [0.5, 3, 0]])
    assert len(crossings(flat, [[0, 1, 2], [3, 4, 5]])) == 0
    needle = np.vstack([flat[:3], [[0.5, 0.5, -1], [0.5, 0.5, 1], [0.5, 0.5, 1]]])
    assert len(crossings(needle, [[0, 1, 2], [3, 4, 5]])) == 0


def test_no_and_bad_triangles_are_answered() -> None:
    assert crossings(np.zeros((0, 3)), np.zeros((0, 3), int)).shape == (0, 2)
    assert crossings(TETRA, TETRA_FACES[:1]).shape == (0, 2)
    with pytest.raises(SurfaceError, match="NaN"):
        crossings(TETRA * np.nan, TETRA_FACES)
