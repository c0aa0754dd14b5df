"""Deviation: the distance that was made, on each label's own boundary, whatever the samples."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull

from meshing import deviation as room
from meshing.collapse import collapse
from meshing.deviation import deviation, deviations
from meshing.nets.make import NetSettings, netted, walls_of
from meshing.progress import Cancelled
from meshing.surface import Surface
from meshing.triangles.bins import bins_of
from meshing.triangles.distances import distances_mm, wall_distances_mm
from meshing.volume import Grid
from meshing.walls import Walls


def sphere(radius_mm: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners on the sphere, faces outward."""
    number = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * number / count), np.pi * (1 + 5**0.5) * number
    points = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    is_inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    faces[is_inward] = faces[is_inward][:, ::-1]
    return radius_mm * points, faces.astype(np.int32)


def torus(around: int, across: int) -> tuple[np.ndarray, np.ndarray]:
    """A wound vessel: radius 2 mm with a wavy wall, in a ring of 20 mm."""
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    u, v = 2 * np.pi * i / around, 2 * np.pi * j / across
    radius = 2 + 0.3 * np.sin(7 * u) * np.cos(2 * v)
    ring = 20 + radius * np.cos(v)
    points = np.stack([ring * np.cos(u), ring * np.sin(u), radius * np.sin(v) + 2 * np.sin(3 * u)], axis=-1)
    a, b = i * across + j, (i + 1) % around * across + j
    c, d = (i + 1) % around * across + (j + 1) % across, i * across + (j + 1) % across
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return points.reshape(-1, 3), faces.astype(np.int32)


def walls(*parts: tuple[np.ndarray, np.ndarray, int]) -> Walls:
    """Closed surfaces side by side, each the boundary of its label against nothing."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in parts)])
    return Walls(
        np.vstack([vertices for vertices, _, _ in parts]),
        np.vstack([faces + start for (_, faces, _), start in zip(parts, starts, strict=False)]).astype(np.int32),
        np.vstack([np.tile([label, 0], (len(faces), 1)) for _, faces, label in parts]).astype(np.int32),
    )


@pytest.mark.parametrize("gap_mm", [0.05, 0.5, 4.0])
def test_spheres_lie_apart_by_the_difference_of_their_radii(gap_mm: float) -> None:
    inner, outer = sphere(20.0, 20_000), sphere(20.0 + gap_mm, 30_000)
    found = deviations(walls((*inner, 5)), walls((*outer, 5)))
    assert list(found) == [5]
    # Facets with 0.8 mm edges sag by up to 0.006 mm.
    assert found[5].mean_mm == pytest.approx(gap_mm, abs=0.006)
    assert found[5].max_mm == pytest.approx(gap_mm, abs=0.012)


def test_a_shifted_cube_deviates_by_the_mean_over_its_area() -> None:
    """Of the two sides across the shift the outer lies at 0.5 mm, the inner too, but near its rim the other's walls are
    nearer: the integral of min(0.5, distance to the rim) is (10³ − 9³) / 6. Of the other four sides a strip of 0.5 mm
    sticks out, at 0.25 mm in the mean."""
    corners = np.array([[x, y, z] for x in (0.0, 10) for y in (0.0, 10) for z in (0.0, 10)])
    squares = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    cube = np.array([[s[0], s[i], s[i + 1]] for s in squares for i in (1, 2)], dtype=np.int32)
    found = deviations(walls((corners, cube, 1)), walls((corners + [0.5, 0, 0], cube, 1)))[1]
    assert found.mean_mm == pytest.approx((100 * 0.5 + (10**3 - 9**3) / 6 + 4 * 5 * 0.25) / 600, rel=0.02)
    assert found.max_mm == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [(sphere(30.0, 400), sphere(30.0, 40_000)), (torus(60, 8), torus(900, 90))],
    ids=["sphere", "vessel"],
)
def test_mean_and_maximum_are_stable_to_five_percent_against_ten_times_the_samples(coarse, fine, monkeypatch) -> None:
    few = deviations(walls((*coarse, 1)), walls((*fine, 1)))[1]
    monkeypatch.setattr(room, "_EVEN", 15_000)
    monkeypatch.setattr(room, "_COARSE_TRIANGLES", 10**6)
    monkeypatch.setattr(room, "_FINE_PIECES", 10**6)
    many = deviations(walls((*coarse, 1)), walls((*fine, 1)))[1]
    assert few.mean_mm == pytest.approx(many.mean_mm, rel=0.05)
    assert few.max_mm == pytest.approx(many.max_mm, rel=0.05)
    assert few.max_mm > 1.5 * few.mean_mm > 0


def test_a_lost_part_is_seen_though_another_label_runs_where_it_was() -> None:
    """The vessel's second piece is gone; a wall of the organ takes its place exactly."""
    piece, far = sphere(2.0, 300), np.array([9.0, 0.0, 0.0])
    fine = walls((*piece, 1), (piece[0] + far, piece[1], 1), (*sphere(30.0, 3000), 2))
    coarse = walls((*piece, 1), (piece[0] + far, piece[1], 2), (*sphere(30.0, 3000), 2))
    found = deviations(coarse, fine)
    # The farthest point of the lost piece lies 9 + 2 mm from the centre of the other, whose radius is 2 mm.
    assert found[1].max_mm == pytest.approx(9.0, abs=0.05)
    assert found[2].max_mm > 15.0
    assert deviations(fine, fine)[1].max_mm == pytest.approx(0.0, abs=1e-12)


def test_both_sides_of_a_wall_count_for_their_own_label() -> None:
    """A wall between 1 and 2 moved by 0.3 mm; the far wall of label 2 stays."""
    corners = np.array([[0.0, 0, 0], [20, 0, 0], [20, 20, 0], [0, 20, 0]])
    square = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    faces = np.vstack([square, square + 4])
    sides = np.array([[1, 2], [1, 2], [2, 0], [2, 0]], dtype=np.int32)
    fine = Walls(np.vstack([corners, corners + [0, 0, 10]]), faces, sides)
    coarse = Walls(np.vstack([corners + [0, 0, 0.3], corners + [0, 0, 10]]), faces, sides)
    found = deviations(coarse, fine)
    assert found[1].mean_mm == pytest.approx(0.3, abs=1e-12)
    assert found[2].mean_mm == pytest.approx(0.15, rel=0.01)  # half of its area moved; a wall has one sample in 700
    assert found[1].max_mm == found[2].max_mm == pytest.approx(0.3, abs=1e-12)


def test_a_tiny_label_beside_a_huge_one_keeps_its_samples() -> None:
    huge, tiny = sphere(100.0, 20_000), sphere(0.8, 60)
    moved = (tiny[0] + [0.2, 0, 0], tiny[1], 2)
    found = deviations(walls((*huge, 1), moved), walls((*huge, 1), (*tiny, 2)))
    assert found[1].max_mm < 1e-9
    assert 0.05 < found[2].mean_mm < found[2].max_mm <= 0.2


def test_a_label_that_one_side_lacks_is_infinitely_far() -> None:
    one, other = walls((*sphere(5.0, 50), 3)), walls((*sphere(5.0, 50), 4))
    found = deviations(one, other)
    assert {label: (d.mean_mm, d.max_mm) for label, d in found.items()} == {3: (np.inf, np.inf), 4: (np.inf, np.inf)}
    empty = Walls(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.int32))
    assert deviations(empty, one)[3].max_mm == np.inf
    assert deviations(empty, empty) == {}


def test_deviations_tell_their_progress_and_can_be_stopped() -> None:
    part = walls((*sphere(5.0, 50), 3))
    heard: list[float] = []
    deviations(part, part, progress=lambda fraction, doing: heard.append(fraction))
    assert heard == sorted(heard) and heard[0] == 0.0 and heard[-1] == 1.0

    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        deviations(part, part, progress=stop)


def test_surfaces_and_walls_agree() -> None:
    coarse, fine = sphere(30.0, 400), sphere(30.0, 40_000)
    surfaces = [Surface(vertices.astype(np.float32), faces, "s") for vertices, faces in (coarse, fine)]
    one, other = deviation(*surfaces), deviations(walls((*coarse, 1)), walls((*fine, 1)))[1]
    assert one.mean_mm == pytest.approx(other.mean_mm, rel=0.05)
    assert one.max_mm == pytest.approx(other.max_mm, rel=0.05)


def test_a_real_map_decimated_is_measured_to_five_percent_of_every_sample(real_data, monkeypatch) -> None:
    import nibabel

    from meshing.extract import extract
    from meshing.segmentation import Segment, Segmentation
    from meshing.terminology import Structure
    from meshing.volume import Grid

    image = nibabel.load(real_data("ct_abdomen_labels/example_seg.nii.gz"))
    every = np.asarray(image.dataobj)
    labels, sizes = np.unique(every[every > 0], return_counts=True)
    chosen = [int(label) for label in labels[np.argsort(sizes)[-8::2]]]
    layer = np.asfortranarray(np.where(np.isin(every, chosen), every, 0).astype(np.uint8))
    grid = Grid(layer.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)
    segments = tuple(Segment(f"s{n}", n, 0, Structure(f"s{n}", f"s{n}", f"s{n}")) for n in chosen)
    surfaces = extract(Segmentation((layer,), grid, segments, "test"))
    fine = walls(*((s.vertices.astype(float), s.faces, int(key[1:])) for key, s in surfaces.items()))
    import fast_simplification

    decimated = []
    for key, surface in surfaces.items():
        points, faces = fast_simplification.simplify(surface.vertices.copy(), surface.faces.copy(), 0.9)
        decimated.append((points.astype(float), faces, int(key[1:])))
    coarse = walls(*decimated)
    few = deviations(coarse, fine)
    for name in ("_EVEN", "_COARSE_TRIANGLES", "_FINE_PIECES"):
        monkeypatch.setattr(room, name, 10 * getattr(room, name))
    many = deviations(coarse, fine)
    for label in chosen:
        assert few[label].mean_mm == pytest.approx(many[label].mean_mm, rel=0.05), label
        assert few[label].max_mm == pytest.approx(many[label].max_mm, rel=0.05), label


def test_samples_lie_on_their_walls() -> None:
    both = walls((*sphere(10.0, 500), 1), (*torus(60, 12), 2))
    ground = room._Triangles(both)
    extents = ground.extents(3)
    for samples in (room._coarse_samples(ground, extents), room._fine_samples(ground, extents)):
        assert np.nanmax(ground.distances_mm(samples.points, samples.sides)) < 1e-12
        for label in (1, 2):
            weight = samples.weights[samples.sides[:, 0] == label].sum()
            assert weight == pytest.approx(extents.areas[label], rel=1 / room._EVEN)


def farthest(points: np.ndarray, of: Walls) -> float:
    """The largest distance from any of the points to label 1."""
    bins = bins_of(of.vertices, of.faces, sides=of.sides)
    return float(np.nanmax(wall_distances_mm(points, np.tile([1, 0], (len(points), 1)), bins)))


@pytest.mark.parametrize("asks_all", [True, False], ids=["every vertex", "some vertices"])
def test_a_narrow_spike_between_the_samples_is_found_from_its_flank(asks_all, monkeypatch) -> None:
    """A spike 1 mm high and 1.4 mm wide on 320,000 triangles: of which 2,000 give a vertex, 2.4 mm apart."""
    if not asks_all:
        monkeypatch.setattr(room, "_FINE_ALL", 0)
    vertices, faces = sphere(30.0, 160_000)
    coarse = walls((*sphere(30.0, 2_000), 1))
    for seed in range(4):
        tip = np.random.default_rng(seed).normal(size=3)
        away = np.linalg.norm(vertices - 30 * tip / np.linalg.norm(tip), axis=1)
        spiked = vertices * (1 + np.exp(-((away / 0.7) ** 2)) / 30)[:, None]
        found = deviations(coarse, walls((spiked, faces, 1)))[1]
        assert found.max_mm >= farthest(spiked, coarse) - 1e-9


def test_the_middle_of_a_dent_under_one_coarse_triangle_is_found() -> None:
    """A dent 1 mm deep, 3 mm wide, under triangles of 8 mm: no centroid, middle or vertex need lie over it."""
    vertices, faces = sphere(30.0, 40_000)
    coarse = walls((*sphere(30.0, 300), 1))
    for seed in range(4):
        dent = np.random.default_rng(seed).normal(size=3)
        away = np.linalg.norm(vertices - 30 * dent / np.linalg.norm(dent), axis=1)
        dented = vertices * (1 - 2 * np.exp(-((away / 1.5) ** 2)) / 30)[:, None]
        found = deviations(coarse, walls((dented, faces, 1)))[1]
        assert found.max_mm >= farthest(dented, coarse) - 1e-9


def test_a_corner_of_the_coarser_surface_that_strays_is_found_from_its_triangles() -> None:
    """Corners give no samples of their own: middles of edges lead to them."""
    vertices, faces = sphere(30.0, 20_000)
    fine = walls((*sphere(30.0, 60_000), 1))
    for seed in range(4):
        drawn = vertices.copy()
        drawn[np.random.default_rng(seed).integers(len(drawn))] *= 31.5 / 30
        found = deviations(walls((drawn, faces, 1)), fine)[1]
        assert found.max_mm == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_no_vertex_lies_further_than_stated_also_where_three_labels_meet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=(30, 30, 30)), 3.0) for _ in range(5)]
    made = netted(np.argmax(fields, axis=0).astype(np.uint8, order="F"), Grid((30, 30, 30), np.eye(4)), NetSettings())
    assert made is not None
    fine = walls_of(made)
    coarse = collapse(fine, len(fine.faces) // 12)
    assert coarse is not None
    pulled = _with_a_horn_where_three_meet(fine, rng)
    for one, other in ((coarse, fine), (fine, pulled)):
        for label, stated in deviations(one, other).items():
            for here, there in ((one, other), (other, one)):
                corners = np.unique(here.faces[(here.sides == label).any(axis=1)])
                faces = there.faces[(there.sides == label).any(axis=1)]
                furthest = distances_mm(here.vertices[corners], there.vertices, faces).max()
                assert furthest <= stated.max_mm * (1 + 1e-9)


def _with_a_horn_where_three_meet(fine: Walls, rng: np.random.Generator) -> Walls:
    """One vertex of three labels or more pulled out by 3 mm."""
    labels: list[set[int]] = [set() for _ in fine.vertices]
    for face, sides in zip(fine.faces.tolist(), fine.sides.tolist(), strict=True):
        for vertex in face:
            labels[vertex].update(sides)
    curve = [vertex for vertex, its in enumerate(labels) if len(its - {0}) >= 3]
    vertices = fine.vertices.copy()
    vertices[rng.choice(curve)] += [0.0, 3.0, 0.0]
    return Walls(vertices, fine.faces, fine.sides)
