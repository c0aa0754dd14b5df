"""Faults of triangles: counted as the definitions say, on any mess; surfaces are mended only where they are faulty."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import SurfaceError
from meshing.triangles.halfedges import faults, middle, normal_sums, signed_volume_mm3
from meshing.triangles.repair import repair

TETRA = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
TETRA_FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=np.int32)


def fans_of(faces: list[list[int]], vertex: int) -> int:
    """Groups of faces round a vertex, joined where they share an edge that ends there."""
    groups: list[tuple[set[int], int]] = []
    for face in faces:
        if vertex not in face:
            continue
        others, count = set(face) - {vertex}, 1
        apart = []
        for known, size in groups:
            if known & others:
                others, count = others | known, count + size
            else:
                apart.append((known, size))
        groups = [*apart, (others, count)]
    return len(groups)


LOOSE = st.permutations(range(7)).map(lambda order: [order[:3]])
# Whole rings round a vertex, which chance alone hardly draws: they touch, cross and double each other.
TETRAHEDRA = st.permutations(range(7)).map(lambda order: [[order[corner] for corner in face] for face in TETRA_FACES])


@settings(max_examples=600, deadline=None)
@given(st.lists(LOOSE, max_size=24) | st.lists(LOOSE | TETRAHEDRA, max_size=5))
def test_faults_are_those_of_the_definitions(groups: list[list[list[int]]]) -> None:
    faces = [face for group in groups for face in group]
    halves = Counter((face[side], face[(side + 1) % 3]) for face in faces for side in range(3))
    uses = Counter(tuple(sorted(half)) for half in halves.elements())
    found = faults(np.array(faces, dtype=np.int32).reshape(-1, 3), 7)
    assert found.boundary_edges == sum(count == 1 for count in uses.values())
    assert found.crowded_edges == sum(count > 2 for count in uses.values())
    assert found.flipped_edges == sum(count > 1 for count in halves.values())
    pinched = [fans_of(faces, vertex) > 1 for vertex in range(7)]
    assert found.pinched_vertices == sum(pinched)
    bad = {vertex for edge, count in uses.items() if count > 2 for vertex in edge}
    bad |= {vertex for half, count in halves.items() if count > 1 for vertex in half}
    at_least = np.array(pinched) | np.isin(np.arange(7), list(bad))
    assert (found.is_faulty >= at_least).all()
    if not found.folded_faces:
        assert np.array_equal(found.is_faulty, at_least)


def test_a_vertex_of_a_hundred_thousand_faces_is_no_trouble() -> None:
    rim = np.arange(1, 100_001)
    cone = np.stack([np.zeros_like(rim), rim, np.roll(rim, -1)], axis=1)
    found = faults(cone, 100_001)
    assert (found.boundary_edges, found.crowded_edges, found.pinched_vertices) == (100_000, 0, 0)
    assert faults(cone[np.arange(100_000) % 50_000 != 7], 100_001).pinched_vertices == 1


def test_two_faces_back_to_back_and_thin_faces_are_folded() -> None:
    assert faults([[0, 1, 2], [0, 2, 1]], 3).folded_faces > 0
    assert faults([[0, 1, 1]], 3).folded_faces > 0
    assert faults(TETRA_FACES, 4).folded_faces == 0
    assert len(repair(TETRA, np.array([[0, 1, 2], [0, 2, 1]], dtype=np.int32))[1]) == 0


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_volume_is_that_of_the_solid_wherever_it_lies(far: float) -> None:
    assert signed_volume_mm3(TETRA + far, TETRA_FACES) == pytest.approx(1 / 6, rel=1e-9)
    assert signed_volume_mm3(TETRA + far, TETRA_FACES[:, ::-1]) == pytest.approx(-1 / 6, rel=1e-9)
    assert signed_volume_mm3(TETRA, TETRA_FACES[:0]) == 0.0


def test_middle_and_normals_are_those_of_the_faces() -> None:
    rng = np.random.default_rng(3)
    points, faces = rng.normal(size=(50, 3)), rng.integers(0, 50, (200, 3))
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(across, axis=1)
    # Sums of some hundred doubles, in another order: a few units in the last place.
    np.testing.assert_allclose(middle(points, faces), areas @ corners.mean(axis=1) / areas.sum(), rtol=1e-12)
    sums, lengths = normal_sums(points, faces)
    expected = [across[(faces == vertex).any(axis=1)].sum(axis=0) for vertex in range(50)]
    np.testing.assert_allclose(sums, expected, atol=1e-12)
    np.testing.assert_allclose(lengths, areas, rtol=1e-12)


def test_faces_that_name_no_vertex_are_an_error() -> None:
    for bad in ([[0, 1, 4]], [[0, 1, -1]]):
        with pytest.raises(SurfaceError, match="of 4"):
            faults(bad, 4)
        with pytest.raises(SurfaceError, match="of 4"):
            signed_volume_mm3(TETRA, bad)
    with pytest.raises(SurfaceError, match=r"\(1, 2\)"):
        faults([[0, 1]], 4)


def grid_of_tetrahedra(count: int) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.vstack([TETRA + [3.0 * number, 0, 0] for number in range(count)])
    return vertices, np.vstack([TETRA_FACES + 4 * number for number in range(count)]).astype(np.int32)


def test_sound_triangles_come_back_as_they_were() -> None:
    vertices, faces = grid_of_tetrahedra(50)
    again, mended = repair(vertices, faces)
    assert np.array_equal(again, vertices) and np.array_equal(mended, faces)
    spare, mended = repair(np.vstack([[[9.0, 9, 9]], vertices]), faces + np.int32(1))
    assert np.array_equal(spare, vertices) and np.array_equal(mended, faces)


def test_repair_leaves_everything_far_from_the_fault_alone() -> None:
    vertices, faces = grid_of_tetrahedra(50)
    faces[faces == 4 * 7] = 4 * 6  # two tetrahedra hang together at one vertex, of which one is dropped
    before = faults(faces, len(vertices))
    assert (before.pinched_vertices, before.is_faulty.sum()) == (1, 1)
    again, mended = repair(vertices, faces)
    after = faults(mended, len(again))
    assert (after.boundary_edges, after.pinched_vertices, after.is_faulty.sum()) == (0, 0, 0)
    assert len(again) == len(vertices)
    wanted = {tuple(map(tuple, np.roll(vertices[face], -int(face.argmin()), axis=0))) for face in faces}
    corners = again[mended]
    found = {tuple(map(tuple, np.roll(face, turn, axis=0))) for face in corners for turn in range(3)}
    assert len(mended) == len(faces) and wanted <= found
