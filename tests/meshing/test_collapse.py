"""Decimated walls: within budget, nothing torn, gone or moved off its place, for parts that share walls and curves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from meshing.collapse import collapse
from meshing.collapse.mesh import FIXED, ON_CURVE, Mesh, opened
from meshing.collapse.quadrics import joint, set_quadrics
from meshing.walls import Walls
from tests.meshing.cuberille import edge_uses, euler, open_edges, parts_of, surface_of, volume_mm3, walls_of

Array = npt.NDArray[np.float64]


def grid_mm(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Array:
    """Voxel centres from the middle of the array, (*shape, 3)."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def icosphere(radius_mm: float, rounds: int, middle: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Walls:
    """A ball of 20 · 4^rounds triangles with every vertex on it."""
    golden = (1 + 5**0.5) / 2
    corners = [(a, b * golden, 0.0) for a in (-1, 1) for b in (-1, 1)]
    points = np.array([np.roll(corner, turn) for turn in range(3) for corner in corners], dtype=np.float64)
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < 2.1
    triples = [(a, b, c) for a in range(12) for b in range(a) for c in range(b) if near[a, b] & near[b, c] & near[a, c]]
    faces = np.array(triples)
    inward = np.einsum("fi,fi->f", points[faces[:, 0]], np.cross(points[faces[:, 1]], points[faces[:, 2]])) < 0
    faces[inward] = faces[inward][:, ::-1]
    for _ in range(rounds):
        half = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges, number = np.unique(half, axis=0, return_inverse=True)
        ab, bc, ca = (len(points) + number.reshape(-1, 3)).T
        points = np.concatenate([points, points[edges].sum(axis=1) / 2])
        a, b, c = faces.T
        faces = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    points = radius_mm * points / np.linalg.norm(points, axis=1, keepdims=True) + middle
    return Walls(points, faces.astype(np.int32), np.tile(np.int32([1, 0]), (len(faces), 1)))


def seen(walls: Walls) -> int:
    """Triangles over all parts; a wall between two counts for both."""
    return int(np.count_nonzero(walls.sides))


def assert_nothing_tore(before: Walls, after: Walls) -> None:
    """Labels, parts and topology are as before; every surface is closed; no edge is more crowded than it was."""
    assert after.labels == before.labels
    assert len(np.unique(np.sort(after.faces, axis=1), axis=0)) == len(after.faces)
    assert len(np.unique(after.faces)) == len(after.vertices)
    for label in before.labels:
        was, now = surface_of(before, label), surface_of(after, label)
        assert open_edges(now) == 0, label
        assert euler(now) == euler(was), label
        assert len(parts_of(now)) == len(parts_of(was)), label
        assert (edge_uses(now) > 2).sum() <= (edge_uses(was) > 2).sum(), label
        for part in parts_of(now):
            assert len(part) >= 4, label
            size = np.ptp(after.vertices[np.unique(part)], axis=0).max()
            assert len(part) > 4 or abs(volume_mm3(after, part)) > 1e-3 * size**3, label


def beams(shape: tuple[int, int, int] = (24, 24, 24)) -> Walls:
    """A ball of three labels, cut by a plane and half of another: two kinds of walls, a curve and where curves meet."""
    p = grid_mm(shape, (1.0, 1.0, 1.0))
    labels = np.where(p[..., 0] > 0, np.where(p[..., 1] > 0, 1, 2), 3)
    return walls_of(np.where(np.linalg.norm(p, axis=-1) < 10, labels, 0), smooth=4)


def nested() -> Walls:
    """A box in a box in a box, and one that touches them from outside."""
    labels = np.zeros((20, 20, 26), np.int32)
    for label, rim in ((1, 2), (2, 5), (3, 8)):
        labels[rim:-rim, rim:-rim, rim : 20 - rim] = label
    labels[4:12, 4:12, 18:24] = 4
    return walls_of(labels, (0.7, 0.7, 1.0))


def noise(seed: int = 0) -> Walls:
    return walls_of(np.random.default_rng(seed).integers(0, 4, (9, 9, 9)), smooth=1)


def islands() -> Walls:
    """A hundred single voxels of three labels, no two of which touch."""
    labels = np.zeros((15, 15, 12), np.int32)
    labels[::3, ::3, ::3] = np.arange(100).reshape(5, 5, 4) % 3 + 1
    return walls_of(labels)


@pytest.mark.parametrize("make", [beams, nested, noise, islands])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.0])
def test_no_label_part_or_edge_is_torn_however_small_the_budget(make, share: float) -> None:
    before = make()
    after = collapse(before, int(share * len(before.faces)))
    assert len(after.faces) < len(before.faces)
    assert_nothing_tore(before, after)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([0.1, 0.4, 0.8]), st.integers(0, 2))
def test_random_labels_are_never_torn(seed: int, labels: int, empty: float, smooth: int) -> None:
    random = np.random.default_rng(seed)
    drawn = random.integers(1, labels + 1, (7, 6, 8)) * (random.random((7, 6, 8)) > empty)
    before = walls_of(drawn, (0.7, 0.7, 1.5), smooth=smooth)
    assert_nothing_tore(before, collapse(before, len(before.faces) // 10))


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05])
def test_budget_is_met_to_a_triangle_or_two(share: float) -> None:
    before = icosphere(30.0, 5)
    budget = int(share * len(before.faces))
    assert budget - 2 < len(collapse(before, budget).faces) <= budget


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25])
def test_walls_between_two_parts_count_for_both_in_the_budget(share: float) -> None:
    before = beams()
    budget = int(share * seen(before))
    # At most four go at once where two parts share a wall, six along a curve.
    assert budget - 6 < seen(collapse(before, budget)) <= budget


def test_where_those_that_must_stay_find_no_room_nothing_comes_back() -> None:
    before = noise()
    fixed = int(np.count_nonzero(opened_of(before).kind == FIXED))
    budget = seen(before) // 2
    found = budget * len(before.faces) // (seen(before) * fixed)
    assert fixed > 100
    assert collapse(before, budget, room=found) is not None
    assert collapse(before, budget, room=found + 1) is None


def test_islands_keep_their_volume_above_zero() -> None:
    after = collapse(islands(), 0)
    assert len(after.faces) == 400
    assert min(volume_mm3(after, part) for label in (1, 2, 3) for part in parts_of(surface_of(after, label))) > 0.01


def test_walls_within_budget_come_back_as_they_are() -> None:
    before = beams()
    assert collapse(before, seen(before)) is before
    assert seen(before) > len(before.faces)


def test_same_input_gives_the_same_bytes() -> None:
    one, other = (collapse(beams(), 500) for _ in range(2))
    assert one.vertices.tobytes() == other.vertices.tobytes()
    assert one.faces.tobytes() == other.faces.tobytes()
    assert one.sides.tobytes() == other.sides.tobytes()


def test_given_walls_do_not_change() -> None:
    before = beams()
    kept = before.vertices.copy(), before.faces.copy(), before.sides.copy()
    collapse(before, 300)
    for array, copy in zip((before.vertices, before.faces, before.sides), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_sides_may_stand_in_any_order() -> None:
    before = beams()
    swapped = np.arange(len(before.faces)) % 3 == 0
    swapped &= before.sides[:, 1] != 0
    faces, sides = before.faces.copy(), before.sides.copy()
    faces[swapped], sides[swapped] = faces[swapped][:, ::-1], sides[swapped][:, ::-1]
    mixed = Walls(before.vertices, faces, sides)
    plain, after = collapse(before, 400), collapse(mixed, 400)
    assert (after.sides[:, 0] < after.sides[:, 1]).any()
    assert_nothing_tore(mixed, after)
    for label in before.labels:
        # Faces start from another corner: sums differ in their last digits, choices do not.
        volumes = [volume_mm3(walls, surface_of(walls, label)) for walls in (plain, after)]
        assert volumes[0] == pytest.approx(volumes[1], rel=1e-9)


def test_ball_of_2000_triangles_is_nearly_as_good_as_equilateral_ones() -> None:
    radius, budget, middle = 30.0, 2_000, (140.0, -90.0, -1100.0)
    before = icosphere(radius, 6, middle)
    after = collapse(before, budget)
    corners = after.vertices[after.faces] - middle
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], 400)
    error = np.linalg.norm(np.einsum("sc,fci->fsi", shares, corners), axis=-1) - radius
    # A triangle of edge e bulges off the sphere by (e²/3 − r²)/2R, r from its centre; volume kept means mean error 0.
    edge = np.sqrt(4 / np.sqrt(3) * 4 * np.pi * radius**2 / budget)
    flat = edge * np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    bulge = np.square(shares @ flat - flat.mean(axis=0)).sum(axis=1) / (2 * radius)
    best = np.abs(bulge - bulge.mean()).mean()
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Greedy meshes are not of equilateral triangles: 1.6 times here; quadrics without volume kept reach 2.5.
    assert np.average(np.abs(error).mean(axis=1), weights=area) < 1.7 * best
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / area[:, None]
    assert np.einsum("fi,fi->f", normals, corners.mean(axis=1)).min() > 0.98 * radius
    assert np.abs(error).max() < 3 * edge**2 / (6 * radius)
    assert volume_mm3(after, after.faces) == pytest.approx(volume_mm3(before, before.faces), rel=1e-9)


def test_flat_wall_and_its_rim_stay_where_they_are() -> None:
    p = grid_mm((40, 40, 40), (1.0, 1.0, 1.0))
    before = walls_of((np.linalg.norm(p, axis=-1) < 16) * np.where(p[..., 2] > 0, 1, 2), smooth=6)
    middle = np.full(3, 21.0)
    wall = (before.sides == (2, 1)).all(axis=1)
    flat = before.vertices.copy()
    rim = np.intersect1d(np.unique(before.faces[wall]), np.unique(before.faces[~wall]))
    assert np.ptp(flat[np.unique(before.faces[wall]), 2]) < 1e-9
    spread = np.linalg.norm(flat[rim] - middle, axis=1)
    after = collapse(before, len(before.faces) // 12)
    wall = (after.sides == (2, 1)).all(axis=1)
    rim = np.intersect1d(np.unique(after.faces[wall]), np.unique(after.faces[~wall]))
    np.testing.assert_allclose(after.vertices[np.unique(after.faces[wall]), 2], middle[2], atol=0.02)
    radius = np.linalg.norm(after.vertices[rim] - middle, axis=1)
    assert len(rim) >= 12
    # The rim was a stair of voxels, smoothed; no vertex leaves the band it lay in by more than a tenth of a voxel.
    assert radius.min() > spread.min() - 0.1
    assert radius.max() < spread.max() + 0.1


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.3, 0.5, 0.81), (0.7, 0.1, 0.7)])
def test_thin_vessel_beside_an_organ_keeps_its_volume(direction: tuple[float, float, float]) -> None:
    p = grid_mm((100, 60, 60), (0.7, 0.7, 1.0))
    along = np.array(direction) / np.linalg.norm(direction)
    q = p - (20.0, 0.0, 0.0)
    t = np.clip(q @ along, -14, 14)
    vessel = np.linalg.norm(q - t[..., None] * along, axis=-1) < 1.0
    organ = np.linalg.norm(p + (14.0, 0.0, 0.0), axis=-1) < 18
    before = walls_of(np.where(vessel, 2, np.where(organ, 1, 0)), (0.7, 0.7, 1.0), smooth=1)
    after = collapse(before, len(before.faces) // 20, {2: 64.0})  # (4 mm over half of its radius)²
    assert_nothing_tore(before, after)
    for label, most in ((1, 1e-3), (2, 0.01)):
        was, now = (volume_mm3(walls, surface_of(walls, label)) for walls in (before, after))
        assert now == pytest.approx(was, rel=most)
    unweighted = collapse(before, len(before.faces) // 20)
    assert len(surface_of(after, 2)) > len(surface_of(unweighted, 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_flat_faces_with_ragged_rims_do_not_fold(seed: int) -> None:
    ragged = gaussian_filter(np.random.default_rng(seed).normal(size=(40, 40)), 1.5) > 0
    before = walls_of(np.repeat(ragged[:, :, None], 3, axis=2))
    after = collapse(before, len(before.faces) // 4)
    corners = after.vertices[after.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    # The top is flat: a face that turns over adds itself to the area that looks up. Unguarded, that is 0.4 %.
    assert np.maximum(normals[:, 2], 0).sum() == pytest.approx(ragged.sum(), rel=1e-3)


def test_curve_whose_sheets_turn_back_fixes_its_vertex() -> None:
    pages = [(0, 1, 3), (0, 3, 2), (0, 1, 4), (0, 4, 2), (0, 1, 5), (0, 5, 2)]
    turned_back = [(0, 1, 3), (0, 3, 2), (0, 1, 4), (0, 4, 5), (0, 5, 1), (0, 2, 6), (0, 6, 7), (0, 7, 2)]
    for faces, kind in ((pages, ON_CURVE), (turned_back, FIXED)):
        mesh = opened(np.array(faces, np.int32), np.ones((len(faces), 2), np.int32), np.zeros((8, 3)))
        assert mesh.kind[0] == kind


def test_a_label_of_larger_weight_keeps_more() -> None:
    before = beams()
    even, heavy = collapse(before, 400), collapse(before, 400, {1: 50.0})
    assert len(surface_of(heavy, 1)) > 1.2 * len(surface_of(even, 1))


def test_a_part_keeps_its_least_number_of_faces_while_others_pay() -> None:
    walls = islands()
    label = walls.labels[0]
    count = int(np.count_nonzero(walls.sides == label))
    budget = len(walls.faces) // 10
    wanted = 2 * count // 3
    free, held = collapse(walls, budget), collapse(walls, budget, least={label: wanted})
    assert np.count_nonzero(free.sides == label) < wanted <= np.count_nonzero(held.sides == label)


def opened_of(walls: Walls) -> Mesh:
    return opened(np.array(walls.faces), np.array(walls.sides), np.array(walls.vertices))


def test_quadrics_measure_squared_distance_to_planes() -> None:
    box = walls_of(np.ones((1, 1, 1)), (2.0, 3.0, 5.0))
    mesh = opened_of(box)
    set_quadrics(mesh, np.array([0.0, 7.0]))
    corner = int(np.argmin(box.vertices.sum(axis=1)))
    touching = (box.faces == corner).any(axis=1)
    x, y, z = 0.1, 0.2, 0.4
    terms = np.array([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z])
    half_mm2 = {0: 7.5, 1: 5.0, 2: 3.0}
    wanted = 0.0
    for a, b, c in box.vertices[box.faces[touching]]:
        axis = int(np.argmax(np.abs(np.cross(b - a, c - a))))
        wanted += 7.0 * half_mm2[axis] * (x, y, z)[axis] ** 2
    assert mesh.quadrics[corner] @ terms == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_joint_lies_where_it_costs_least(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(2, 3))
    normals = rng.normal(size=(2, 12, 3))
    forms = np.einsum("vni,vnj->vij", normals, normals)
    quadrics = forms[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]].astype(np.float32)

    def lost(place: Array) -> float:
        return sum(float((place - p) @ form @ (place - p)) for p, form in zip(points, forms, strict=True))

    cost, *place = joint(points, quadrics, 0, 1, True)
    best = np.linalg.solve(forms.sum(axis=0), forms[0] @ points[0] + forms[1] @ points[1])
    # Damping towards the middle and the cost of length are under a thousandth.
    np.testing.assert_allclose(place, best, atol=2e-3)
    assert cost == pytest.approx(lost(best), rel=1e-3)
    cost, *place = joint(points, quadrics, 0, 1, False)
    assert place == points[1].tolist()
    assert cost == pytest.approx(lost(points[1]), rel=1e-3)


TETRA = np.int32([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [2, 1, 1], [1, 2, 2]], dtype=np.float64)


@pytest.mark.parametrize(
    "second",
    [[0, 1, 2, 3], [3, 4, 5, 6], [1, 2, 4, 5], [1, 2, 3, 4]],
    ids=["alone", "vertex", "edge", "face"],
)
def test_tetrahedra_that_touch_stay(second: list[int]) -> None:
    other = np.int32(second)[TETRA]
    faces, sides = [tuple(f) for f in TETRA.tolist()], [(2, 0)] * 4
    for face in other.tolist() if second != [0, 1, 2, 3] else []:
        match = [n for n, f in enumerate(faces) if set(f) == set(face)]
        if match:
            sides[match[0]] = (2, 1)
        else:
            faces.append(tuple(face))
            sides.append((1, 0))
    before = Walls(POINTS[: max(map(max, faces)) + 1], np.int32(faces), np.int32(sides))
    after = collapse(before, 0)
    assert len(after.faces) == len(before.faces)
    assert_nothing_tore(Walls(*_used(before)), after)


def _used(walls: Walls) -> tuple[Array, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    used, packed = np.unique(walls.faces, return_inverse=True)
    return walls.vertices[used], packed.reshape(-1, 3).astype(np.int32), walls.sides


def test_no_walls_stay_no_walls() -> None:
    nothing = Walls(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.int32))
    assert collapse(nothing, 0) is nothing


def test_walls_of_no_area_end_without_harm() -> None:
    flat = icosphere(10.0, 3)
    squashed = Walls(flat.vertices * (1.0, 1.0, 0.0), flat.faces, flat.sides)
    after = collapse(squashed, 100)
    assert np.isfinite(after.vertices).all()
    assert open_edges(after.faces) == 0


def test_progress_rises_to_one() -> None:
    heard: list[float] = []
    collapse(icosphere(10.0, 5), 500, progress=lambda fraction, doing: heard.append(fraction))
    assert heard == sorted(heard)
    assert heard[-1] == 1.0 and heard[0] >= 0.0
