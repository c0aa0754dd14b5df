"""Thresholds, growing, fast marching, fronts, the random walker and the level set, on shapes with known truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from meshing.editing.edges import edge_speed, gradient_magnitude, range_speed
from meshing.editing.flooding import Growth, region_grown
from meshing.editing.fronts import Ground, settled
from meshing.editing.labelling import grown_from_seeds, watershed
from meshing.editing.levelset import LevelSet, level_set
from meshing.editing.marching import marched, marching_box
from meshing.editing.patch import box_shape, empty_patch, label_patch_of, patch_of
from meshing.editing.thresholds import Range, in_range, masked_by_range, range_at
from meshing.editing.walker import random_walker
from meshing.errors import SegmentationError
from meshing.progress import Cancelled
from meshing.volume import Volume
from tests.meshing.editing.drawings import at, ball, ball_patch, dice, marked, radius_of, room, scanned
from tests.shapes import centres, storage_orders, upright_grid

GRID = room(60.0, (1.0, 1.0, 1.5))


def test_a_range_holds_its_limits_and_nothing_else() -> None:
    volume = scanned(GRID, [(ball(GRID, 10.0), 100.0), (ball(GRID, 5.0), 101.0)])
    np.testing.assert_array_equal(in_range(volume, Range(100, 100)).whole(), ball(GRID, 10.0) & ~ball(GRID, 5.0))
    np.testing.assert_array_equal(in_range(volume, Range(100, np.inf)).whole(), ball(GRID, 10.0))
    np.testing.assert_array_equal(in_range(volume, Range(-1e9, 1e9)).voxels, volume.voxels.size)


def test_an_empty_range_says_what_the_scan_holds() -> None:
    volume = scanned(GRID, [(ball(GRID, 10.0), 100.0)])
    with pytest.raises(SegmentationError, match="from 5 to 3 is empty"):
        Range(5, 3)
    with pytest.raises(SegmentationError, match="empty"):
        Range(float("nan"), 3)
    with pytest.raises(SegmentationError, match=r"no voxel reads 200 to 300; the scan holds 0 to 100 HU"):
        in_range(volume, Range(200, 300))


def test_what_is_not_finite_or_was_not_measured_is_in_no_range() -> None:
    voxels = np.full(GRID.shape, 50.0, np.float32)
    voxels[0, 0, 0], voxels[1, 0, 0], voxels[2, 0, 0] = np.nan, np.inf, -np.inf
    outside = np.zeros(GRID.shape, np.bool_)
    outside[3, 0, 0] = True
    found = in_range(Volume(voxels, GRID, "CT", "HU", outside), Range(-1e30, 1e30)).whole()
    assert not found[:4, 0, 0].any()
    assert found.sum() == found.size - 4


def test_masking_by_intensity_keeps_the_voxels_in_the_range() -> None:
    volume = scanned(GRID, [(ball(GRID, 10.0), 100.0)])
    kept = masked_by_range(ball_patch(GRID, 14.0), volume, Range(50, 150))
    np.testing.assert_array_equal(kept.whole(), ball(GRID, 10.0))
    assert masked_by_range(empty_patch(GRID), volume, Range(0, 1)).voxels == 0


def test_the_range_of_a_seed_hardly_feels_a_vessel_beside_it() -> None:
    volume = scanned(GRID, [(ball(GRID, 20.0), 100.0), (ball(GRID, 1.5, l=2.5), 400.0)], noise=10.0)
    found = range_at(volume, [at(GRID)])
    assert found.low == pytest.approx(75, abs=12)
    assert found.high == pytest.approx(125, abs=12)


def _dumbbell(neck_mm: float) -> Growth:
    """A ball and a larger one behind it, with a neck between."""
    grid = room(90.0, (1.0, 1.0, 1.5))
    offsets = centres(grid) - at(grid)
    neck = (np.hypot(offsets[..., 1], offsets[..., 2]) <= neck_mm) & (np.abs(offsets[..., 0]) < 20)
    one, other = ball(grid, 12.0, l=-22.0), ball(grid, 18.0, l=22.0)
    volume = scanned(grid, [(neck | one | other, 100.0)], noise=4.0)
    grown = region_grown(volume, [at(grid, l=-22.0)], Range(80, 120))
    np.testing.assert_array_equal(grown.patch.whole(), neck | one | other)
    return grown


def test_region_growing_is_the_part_that_holds_the_seed() -> None:
    volume = scanned(GRID, [(ball(GRID, 8.0, l=-12.0) | ball(GRID, 8.0, l=12.0), 100.0)])
    grown = region_grown(volume, [at(GRID, l=-12.0)], Range(90, 110))
    np.testing.assert_array_equal(grown.patch.whole(), ball(GRID, 8.0, l=-12.0))
    assert grown.leak is None
    assert not grown.reaches_edge
    both = region_grown(volume, [at(GRID, l=-12.0), at(GRID, l=12.0)], Range(90, 110))
    assert both.patch.voxels == 2 * grown.patch.voxels
    assert region_grown(volume, [at(GRID, s=20.0)], Range(-1, 1)).reaches_edge


def test_a_leak_is_found_where_it_is_with_what_lies_beyond() -> None:
    leak = _dumbbell(2.5).leak
    assert leak is not None
    assert leak.at_mm[0] == pytest.approx(at(room(90.0, (1.0, 1.0, 1.5)))[0] - 3, abs=8)
    assert 0.5 <= leak.neck_mm2 / (np.pi * 2.5**2) <= 2.0  # "good to a factor of two"
    assert leak.beyond_ml == pytest.approx(4 / 3 * np.pi * 18**3 / 1000, rel=0.1)
    assert "ml lie beyond a neck" in leak.text()


def test_a_wide_passage_is_no_leak() -> None:
    assert _dumbbell(11.0).leak is None


def test_a_seed_out_of_range_says_what_it_reads() -> None:
    volume = scanned(GRID, [(ball(GRID, 8.0), 100.0)], background=-1000.0)
    with pytest.raises(SegmentationError, match=r"reads -1000, the range is 50 to 150"):
        region_grown(volume, [at(GRID, l=20.0)], Range(50, 150))
    with pytest.raises(SegmentationError, match="outside what may grow"):
        region_grown(volume, [at(GRID)], Range(50, 150), within=ball_patch(GRID, 3.0, l=10.0))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.0)])
def test_a_front_at_full_speed_arrives_after_its_distance(spacing: tuple[float, float, float]) -> None:
    grid = room(50.0, spacing)
    box = marching_box(grid, [at(grid)], 20.0)
    arrival = marched(grid, [at(grid)], np.ones(box_shape(box), np.float32, order="F"), 20.0)
    true = np.linalg.norm(centres(grid)[box] - at(grid), axis=-1)
    came = np.isfinite(arrival.at_mm)
    # First order: from a point late by one and a half voxels along diagonals, never early by more than rounding.
    error = (arrival.at_mm - true)[came]
    assert error.min() > -1e-4
    assert error.max() < 1.6 * max(spacing)
    assert radius_of(arrival.patch()) == pytest.approx(20.0 - error.mean(), abs=0.4 * max(spacing))
    stops, ml = arrival.curve(10)
    assert (np.diff(ml) > 0).all()
    assert stops[-1] == 20.0


def test_a_front_is_that_of_simpleitk() -> None:
    import SimpleITK

    from meshing.voxels.morphology import from_image, to_image

    draw = np.random.default_rng(2)
    grid = upright_grid((41, 37, 29), (0.8, 1.0, 1.6))
    speed = np.asfortranarray(draw.uniform(0.2, 1.0, grid.shape).astype(np.float32))
    seed = (20, 18, 14)
    point = tuple(float(v) for v in grid.to_patient(seed))
    found = marched(grid, [point], speed, 200.0).at_mm  # type: ignore[list-item]
    theirs = SimpleITK.FastMarching(to_image(speed, (0.8, 1.0, 1.6)), [seed])
    # Voxels are taken in order to within a quarter of the shortest step.
    np.testing.assert_allclose(found, from_image(theirs), atol=0.25 * 0.8)
    assert np.abs(found - from_image(theirs)).mean() < 0.02


def test_a_front_stops_at_edges_and_tells_where_it_breaks_through() -> None:
    grid = room(80.0, (1.0, 1.0, 1.0))
    offsets = centres(grid) - at(grid)
    hole = (np.hypot(offsets[..., 1], offsets[..., 2]) <= 1.5) & (offsets[..., 0] > 0) & (offsets[..., 0] < 16)
    wall = ball(grid, 15.0) & ~ball(grid, 12.0)
    shell = wall & ~hole
    volume = scanned(grid, [(shell, 1000.0)])
    box = marching_box(grid, [at(grid)], 38.0)
    arrival = marched(grid, [at(grid)], range_speed(volume, box, Range(-100, 100)), 38.0)
    assert arrival.leak is not None
    assert np.linalg.norm(np.subtract(arrival.leak.at_mm, at(grid, l=13.5))) < 4
    assert dice(arrival.patch(13.5).whole(), ball(grid, 12.0)) > 0.9
    closed = scanned(grid, [(wall, 1000.0)])
    kept = marched(grid, [at(grid)], range_speed(closed, box, Range(-100, 100)), 38.0)
    np.testing.assert_array_equal(kept.patch().whole(), ball(grid, 12.0))
    assert kept.leak is None


def test_marching_refuses_speeds_and_stops_that_mean_nothing() -> None:
    box = marching_box(GRID, [at(GRID)], 5.0)
    with pytest.raises(SegmentationError, match="goes nowhere"):
        marching_box(GRID, [at(GRID)], float("inf"))
    with pytest.raises(SegmentationError, match="shape"):
        marched(GRID, [at(GRID)], np.ones((2, 2, 2), np.float32), 5.0)
    with pytest.raises(SegmentationError, match="0 to 7"):
        marched(GRID, [at(GRID)], np.linspace(0, 7, np.prod(box_shape(box))).reshape(box_shape(box)), 5.0)
    with pytest.raises(SegmentationError, match="no front starts there"):
        marched(GRID, [at(GRID)], np.zeros(box_shape(box), np.float32), 5.0)


def test_the_gradient_of_a_ramp_is_its_slope_and_speed_falls_at_edges() -> None:
    grid = upright_grid((9, 8, 7), (0.5, 1.0, 2.0))
    ramp = (centres(grid) @ np.array([3.0, -2.0, 6.0])).astype(np.float32)
    np.testing.assert_allclose(gradient_magnitude(ramp, (0.5, 1.0, 2.0)), 7.0, rtol=1e-4)
    volume = scanned(GRID, [(ball(GRID, 10.0), 500.0)])
    box = (slice(0, GRID.shape[0]), slice(0, GRID.shape[1]), slice(0, GRID.shape[2]))
    speed = edge_speed(volume, box, steepness=30.0)
    assert speed[ball(GRID, 5.0)].min() > 0.95
    assert speed[ball(GRID, 10.5) & ~ball(GRID, 9.5)].max() < 0.25


def _brute_paths(levels: np.ndarray, seeds: np.ndarray, tolls: tuple[int, int, int]) -> np.ndarray:
    """Costs of shortest paths by Bellman and Ford."""
    costs = np.where(seeds > 0, 0, 10**9).astype(np.int64)
    while True:
        before = costs.copy()
        for axis, toll in enumerate(tolls):
            step = np.abs(np.diff(levels.astype(int), axis=axis)) + toll
            low, high = (np.moveaxis(costs, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
            step = np.moveaxis(step, axis, 0)
            np.minimum(high, low + step, out=high)
            np.minimum(low, high + step, out=low)
        if (costs == before).all():
            return costs


@pytest.mark.parametrize("seed", range(4))
def test_fronts_take_the_shortest_paths(seed: int) -> None:
    draw = np.random.default_rng(seed)
    levels = np.asfortranarray(draw.integers(0, 256, (9, 8, 7)).astype(np.uint8))
    markers = np.zeros(levels.shape, np.uint8, order="F")
    markers[tuple(draw.integers(0, 7, (3, 2)))] = (1, 2)
    ground = Ground(levels, np.ones(levels.shape, np.bool_, order="F"), (1.0, 1.0, 2.0), "shortest path")
    labels = settled(ground, markers, exact=True)
    one, two = (_brute_paths(levels, markers == n, (1, 1, 2)) for n in (1, 2))
    np.testing.assert_array_equal(labels[one < two], 1)
    np.testing.assert_array_equal(labels[two < one], 2)


def test_floods_are_those_of_scikit_image() -> None:
    from scipy.ndimage import gaussian_filter
    from skimage.segmentation import watershed as theirs

    draw = np.random.default_rng(3)
    rough = gaussian_filter(draw.normal(size=(40, 36, 30)), 2)
    levels = np.asfortranarray(((rough - rough.min()) / np.ptp(rough) * 255).astype(np.uint8))
    markers = np.zeros(levels.shape, np.uint8, order="F")
    markers[tuple(draw.integers(0, 30, (3, 6)))] = range(1, 7)
    ground = Ground(levels, np.ones(levels.shape, np.bool_, order="F"), (1.0, 1.0, 1.0), "flood")
    # Plateaus of equal levels may be shared out otherwise: less than 3 voxels in a hundred.
    assert (settled(ground, markers, exact=True) == theirs(levels, markers.astype(np.int32))).mean() > 0.97


Labeller = Callable[..., object]


def _two_organs(shape_mm: float = 60.0, noise: float = 12.0) -> tuple[Volume, dict[int, np.ndarray]]:
    grid = room(shape_mm, (1.0, 1.0, 1.5))
    one, other = ball(grid, 12.0, l=-10.0), ball(grid, 11.0, l=11.0)
    return scanned(grid, [(one, 100.0), (other, 160.0)], noise=noise), {1: one & ~other, 2: other}


@pytest.mark.parametrize("verb", ["grow", "watershed", "walker"])
def test_two_organs_come_out_of_a_stroke_in_each(verb: str) -> None:
    volume, truth = _two_organs()
    grid = volume.grid
    around = ~ball(grid, 27.0)
    seeds = marked(grid, {1: ball(grid, 4.0, l=-11.0), 2: ball(grid, 4.0, l=12.0), 3: around})
    labels = {
        "grow": lambda: grown_from_seeds(volume, seeds),
        "watershed": lambda: watershed(volume, seeds),
        "walker": lambda: random_walker(volume, seeds).labels,
    }[verb]()
    for label, mask in truth.items():
        # A blur of 1 mm and noise move the wall by half a voxel: 6 % of the volume of such a ball.
        assert dice(labels.of(label).whole(), mask) > 0.94
    for label in (1, 2, 3):
        assert (labels.of(label).within(seeds.box)[seeds.of(label).mask]).all()


def test_coarse_to_fine_agrees_with_every_voxel() -> None:
    volume, truth = _two_organs(110.0)  # 1.2 million voxels: above the limit of fronts, below that of the walker
    grid = volume.grid
    seeds = marked(grid, {1: ball(grid, 4.0, l=-11.0), 2: ball(grid, 4.0, l=12.0), 3: ~ball(grid, 50.0)})
    quick, slow = (grown_from_seeds(volume, seeds, exact=exact) for exact in (False, True))
    for label in truth:
        assert dice(quick.of(label).mask, slow.of(label).mask) > 0.97


def test_one_label_alone_is_refused() -> None:
    volume, _ = _two_organs()
    seeds = marked(volume.grid, {4: ball(volume.grid, 4.0)})
    for verb in (grown_from_seeds, watershed, random_walker):
        with pytest.raises(SegmentationError, match="label 4 alone"):
            verb(volume, seeds)  # type: ignore[operator]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
def test_the_level_set_finds_the_edge_from_within(spacing: tuple[float, float, float]) -> None:
    grid = room(60.0, spacing)
    volume = scanned(grid, [(ball(grid, 16.0), 200.0)], noise=8.0)
    settings = LevelSet(20.0, balloon=1.0, smoothness=0.3, reach_mm=14.0, most_steps=300)
    found = level_set(volume, ball_patch(grid, 9.0), settings)
    assert radius_of(found.patch) == pytest.approx(16.0, abs=0.6 * max(spacing))
    assert found.before_ml < found.after_ml
    assert not found.reaches_limit


def test_a_level_set_on_blocks_stops_at_the_edge_too() -> None:
    """Fine voxels, a faint edge and a strong balloon: averaged over blocks the edge would hold nothing."""
    grid = room(60.0, (0.6, 0.6, 0.6))
    organ = ball(grid, 18.0)
    volume = scanned(grid, [(organ, 90.0)], noise=15.0)
    found = level_set(volume, ball_patch(grid, 10.0), LevelSet(15.0, balloon=1.0, reach_mm=15.0))
    assert found.worked_at_mm == pytest.approx((1.2, 1.2, 1.2))
    # Half a block all round a ball of 18 mm is a Dice of 0.95.
    assert dice(found.patch.whole(), organ) > 0.95


def test_a_level_set_that_leaks_says_that_it_reached_its_limit() -> None:
    volume = scanned(GRID, [])
    found = level_set(volume, ball_patch(GRID, 8.0), LevelSet(20.0, balloon=1.0, reach_mm=6.0, most_steps=200))
    assert found.reaches_limit
    with pytest.raises(SegmentationError, match="starts from nothing"):
        level_set(volume, empty_patch(GRID), LevelSet(20.0))


def test_every_slow_verb_can_be_stopped() -> None:
    volume, _ = _two_organs()
    grid = volume.grid
    seeds = marked(grid, {1: ball(grid, 4.0, l=-11.0), 3: ~ball(grid, 27.0)})
    box = marching_box(grid, [at(grid)], 20.0)

    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    verbs: list[Callable[[], object]] = [
        lambda: region_grown(volume, [at(grid, l=-11.0)], Range(50, 150), progress=stop),
        lambda: marched(grid, [at(grid)], np.ones(box_shape(box), np.float32), 20.0, progress=stop),
        lambda: grown_from_seeds(volume, seeds, progress=stop),
        lambda: watershed(volume, seeds, progress=stop),
        lambda: random_walker(volume, seeds, progress=stop),
        lambda: level_set(volume, ball_patch(grid, 8.0), LevelSet(20.0), progress=stop),
    ]
    for verb in verbs:
        with pytest.raises(Cancelled):
            verb()


def test_a_level_set_stops_in_the_middle() -> None:
    volume, _ = _two_organs()

    def stop_half_way(fraction: float, doing: str) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        level_set(volume, ball_patch(volume.grid, 8.0), LevelSet(20.0), progress=stop_half_way)


@pytest.mark.parametrize("order", range(1, 48, 2))
def test_growing_gives_the_same_in_every_storage_order(order: int) -> None:
    grid = upright_grid((21, 19, 15), (1.0, 1.0, 1.5))
    volume = scanned(grid, [(ball(grid, 6.0), 100.0)], noise=20.0)
    other = storage_orders(grid)[order]
    index = np.rint(grid.to_voxel(centres(other))).astype(int)
    place = tuple(np.moveaxis(index, -1, 0))
    turned = Volume(np.asfortranarray(volume.voxels[place]), other, "CT", "HU")
    point = at(grid)
    for verb in (
        lambda scan: region_grown(scan, [point], Range(60, 160)).patch,
        lambda scan: in_range(scan, Range(60, 160)),
        lambda scan: patch_of(
            marched(scan.grid, [point], range_speed(scan, marching_box(scan.grid, [point], 7.0), Range(60, 160)), 7.0)
            .patch()
            .whole(),
            scan.grid,
        ),
    ):
        np.testing.assert_array_equal(verb(volume).whole()[place], verb(turned).whole())


def test_labels_are_the_same_in_every_storage_order() -> None:
    grid = upright_grid((33, 29, 21), (1.0, 1.1, 1.5))
    volume = scanned(grid, [(ball(grid, 8.0), 100.0)], noise=25.0)
    markers = np.zeros(grid.shape, np.uint8)
    markers[ball(grid, 3.0)], markers[~ball(grid, 12.0)] = 1, 2

    def drawn(scan: Volume, marks: np.ndarray) -> list[np.ndarray]:
        seeds = label_patch_of(marks, scan.grid)
        start = patch_of(marks == 1, scan.grid)
        found = [grown_from_seeds(scan, seeds), watershed(scan, seeds), random_walker(scan, seeds).labels]
        wholes = [patch.of(1).whole() for patch in found]
        return [*wholes, level_set(scan, start, LevelSet(15.0, balloon=1.0, most_steps=40)).patch.whole()]

    expected = drawn(volume, markers)
    for other in storage_orders(grid)[1::6]:
        place = tuple(np.moveaxis(np.rint(grid.to_voxel(centres(other))).astype(int), -1, 0))
        turned = Volume(np.asfortranarray(volume.voxels[place]), other, "CT", "HU")
        for one, two in zip(expected, drawn(turned, markers[place]), strict=True):
            assert one.sum() > 100
            np.testing.assert_array_equal(two, one[place])
