"""Brush, scissors, margins, hollows, islands, smoothing and slices against closed forms, on voxels of any shape."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshing.editing.brush import stroke
from meshing.editing.distances import distance_mm
from meshing.editing.islands import islands_at, largest_island, split_islands, without_small_islands
from meshing.editing.margins import hollowed, with_margin
from meshing.editing.patch import Patch, empty_patch, patch_of
from meshing.editing.scissors import Cut, cut_away, cut_out
from meshing.editing.slices import filled_between
from meshing.editing.smoothing import smoothed, smoothed_together
from meshing.errors import SegmentationError
from meshing.voxels.morphology import distance_from
from tests.meshing.editing.drawings import SPACINGS, at, ball, ball_patch, dice, marked, radius_of, room
from tests.shapes import capsule, centres, oblique, storage_orders, upright_grid

GRID = room(60.0, (1.0, 1.0, 1.5))


@given(
    arrays(np.bool_, st.tuples(*[st.integers(1, 20)] * 3)).filter(np.any),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3),
)
@settings(max_examples=60, deadline=None)
def test_distances_are_exact(mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(distance_mm(mask, spacing), distance_from(mask, spacing), rtol=1e-5, atol=1e-5)


def test_the_distance_from_nothing_is_infinite() -> None:
    assert np.isinf(distance_mm(np.zeros((3, 4, 5), np.bool_), (1.0, 1.0, 1.0))).all()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_stroke_is_every_centre_within_the_radius(spacing: tuple[float, float, float], turned: bool) -> None:
    grid = room(40.0, spacing)
    grid = oblique(grid) if turned else grid
    points = [at(grid, -8, 3, 2), at(grid, 9, -2, 4), at(grid, 9, 8, -6)]
    way = np.zeros(grid.shape, np.bool_)
    for start, end in pairwise(points):
        way |= capsule(start, end, 3.3)(centres(grid))
    np.testing.assert_array_equal(stroke(grid, points, 3.3).whole(), way)
    np.testing.assert_array_equal(stroke(grid, points[:1], 7.13).whole(), ball(grid, 7.13, -8, 3, 2))


def test_a_brush_smaller_than_a_voxel_paints_the_voxel_it_is_in() -> None:
    grid = room(20.0, (1.0, 1.0, 5.0))
    assert stroke(grid, [at(grid, 0.3, 0.3, 1.7)], 0.1).voxels == 1


def test_a_brush_may_hang_over_the_edge_but_not_miss_the_scan() -> None:
    assert 0 < stroke(GRID, [at(GRID, l=32.0)], 5.0).voxels < ball_patch(GRID, 5.0).voxels
    with pytest.raises(SegmentationError, match=r"passes the scan at 19\.5 mm"):
        stroke(GRID, [at(GRID, l=50.0)], 5.0)
    for points, radius in (([], 5.0), ([(0.0, 0.0, float("inf"))], 5.0), ([at(GRID)], 0.0), ([at(GRID)], float("nan"))):
        with pytest.raises(SegmentationError):
            stroke(GRID, points, radius)


def _disc(grid: object, radius: float, s: float = 0.0) -> list[tuple[float, float, float]]:
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    return [at(grid, radius * np.cos(a), radius * np.sin(a), s) for a in turn]  # type: ignore[arg-type]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_scissors_cut_a_cylinder_along_the_view(spacing: tuple[float, float, float], turned: bool) -> None:
    grid = room(40.0, spacing)
    grid = oblique(grid, 3) if turned else grid
    offsets = centres(grid) - at(grid)
    radius = np.hypot(offsets[..., 0], offsets[..., 1])
    clear = np.abs(radius - 9.0) > 0.01  # the polygon has 400 corners, so it lies up to 0.0003 mm inside the circle
    cylinder = cut_out(grid, Cut(_disc(grid, 9.0, 15.0), (0.0, 0.0, 2.0))).whole()
    np.testing.assert_array_equal(cylinder[clear], (radius < 9.0)[clear])
    limited = cut_out(grid, Cut(_disc(grid, 9.0, 15.0), (0.0, 0.0, -1.0), (5.01, 17.01))).whole()
    depth = 15.0 - offsets[..., 2]
    np.testing.assert_array_equal(limited[clear], ((radius < 9.0) & (depth > 5.01) & (depth < 17.01))[clear])


def test_scissors_take_away_one_side_or_the_other() -> None:
    whole, cut = ball_patch(GRID, 20.0), Cut(_disc(GRID, 9.0), (0.0, 0.0, 1.0))
    inner, outer = cut_away(whole, cut, "outside"), cut_away(whole, cut, "inside")
    assert inner.voxels + outer.voxels == whole.voxels
    assert not (inner.whole() & outer.whole()).any()
    assert cut_away(empty_patch(GRID), cut).voxels == 0


def test_a_slanted_view_cuts_a_slanted_prism() -> None:
    square = [at(GRID, *corner, 0.0) for corner in ((-5.3, -5.3), (5.3, -5.3), (5.3, 5.3), (-5.3, 5.3))]
    found = cut_out(GRID, Cut(square, (1.0, 0.0, 1.0))).whole()
    offsets = centres(GRID) - at(GRID)
    np.testing.assert_array_equal(
        found, (np.abs(offsets[..., 0] - offsets[..., 2]) < 5.3) & (np.abs(offsets[..., 1]) < 5.3)
    )


def test_scissors_refuse_lines_and_views_that_enclose_nothing() -> None:
    line = _disc(GRID, 9.0)
    for cut in (
        Cut(line[:2], (0, 0, 1)),
        Cut(line, (0, 0, 0)),
        Cut(line, (1, 0, 0)),
        Cut(line, (0, 0, 1), (5.0, 5.0)),
        Cut([*line, (np.nan, 0, 0)], (0, 0, 1)),
    ):
        with pytest.raises(SegmentationError):
            cut_out(GRID, cut)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("margin", [-6.0, -2.5, 2.0, 5.0, 10.0])
def test_a_ball_with_a_margin_is_a_ball_of_that_much_more(spacing: tuple[float, float, float], margin: float) -> None:
    grid = room(70.0, spacing)
    # Where the ball lies between voxels changes its count: the mean of some places is compared.
    places = np.random.default_rng(1).uniform(-0.5, 0.5, (6, 3)) * spacing
    grown = []
    for place in places:
        patch = ball_patch(grid, 18.0, *place)
        grown.append(radius_of(with_margin(patch, margin)) - radius_of(patch))
    # As `with_margin` promises; the voxels of a ball do not say more about its surface.
    assert np.mean(grown) == pytest.approx(margin, abs=max(spacing) / 8)


def test_margins_grow_with_themselves_and_shrinking_is_growing_the_rest() -> None:
    patch = ball_patch(GRID, 12.0)
    sizes = [with_margin(patch, mm).voxels for mm in (-4.0, -2.0, 0.0, 2.0, 4.0)]
    assert sizes == sorted(set(sizes))
    rest = patch_of(~patch.whole(), GRID)
    np.testing.assert_array_equal(with_margin(patch, -3.0).whole(), ~with_margin(rest, 3.0).whole())
    assert with_margin(patch, -50.0).voxels == 0
    with pytest.raises(SegmentationError, match="inf"):
        with_margin(patch, float("inf"))


def test_a_segment_cut_by_the_edge_of_the_scan_is_not_shrunk_there() -> None:
    slab = np.zeros(GRID.shape, np.bool_, order="F")
    slab[:, :, :20] = True
    shrunk = with_margin(patch_of(slab, GRID), -6.0).whole()
    assert shrunk[:, :, :15].all()
    assert not shrunk[:, :, 17:].any()


@pytest.mark.parametrize("spacing", SPACINGS[:2])
@pytest.mark.parametrize(
    ("wall", "inner_mm", "outer_mm"), [("inside", 13.0, 17.0), ("outside", 17.0, 21.0), ("centred", 15.0, 19.0)]
)
def test_a_hollow_ball_has_the_volume_of_its_wall(
    spacing: tuple[float, float, float], wall: str, inner_mm: float, outer_mm: float
) -> None:
    grid = room(60.0, spacing)
    found = hollowed(ball_patch(grid, 17.0), 4.0, wall)  # type: ignore[arg-type]
    expected = 4 / 3 * np.pi * (outer_mm**3 - inner_mm**3) / 1000
    # An eighth of a voxel's longest edge at each of the two surfaces that are moved.
    area = 4 * np.pi * (inner_mm**2 * (wall != "outside") + outer_mm**2 * (wall != "inside")) / 1000
    assert found.volume_ml == pytest.approx(expected, abs=area * max(spacing) / 8 + 0.01 * expected)
    radius = np.linalg.norm(centres(grid) - at(grid), axis=-1)
    slack = 0.75 * max(spacing)
    assert radius[found.whole()].min() > inner_mm - slack
    assert radius[found.whole()].max() < outer_mm + slack


def test_a_wall_that_leaves_no_hollow_is_refused() -> None:
    with pytest.raises(SegmentationError, match="leaves no hollow"):
        hollowed(ball_patch(GRID, 5.0), 9.0)
    with pytest.raises(SegmentationError, match="0 mm"):
        hollowed(ball_patch(GRID, 5.0), 0.0)


def _archipelago() -> Patch:
    return patch_of(ball(GRID, 9.0) | ball(GRID, 4.0, l=-18.0) | ball(GRID, 2.5, p=20.0), GRID)


def test_islands_are_kept_by_size_or_by_a_click() -> None:
    sea = _archipelago()
    np.testing.assert_array_equal(largest_island(sea).whole(), ball(GRID, 9.0))
    np.testing.assert_array_equal(islands_at(sea, [at(GRID, l=-18.0)]).whole(), ball(GRID, 4.0, l=-18.0))
    loose = Patch(GRID, (slice(0, 61), slice(0, 61), slice(0, 41)), sea.whole())  # in a larger box than it needs
    np.testing.assert_array_equal(islands_at(loose, [at(GRID)]).whole(), ball(GRID, 9.0))
    smallest_ml = ball_patch(GRID, 2.5, p=20.0).volume_ml
    np.testing.assert_array_equal(without_small_islands(sea, smallest_ml).whole(), sea.whole())
    assert without_small_islands(sea, smallest_ml * 1.01).voxels == sea.voxels - ball_patch(GRID, 2.5, p=20.0).voxels
    with pytest.raises(SegmentationError, match="no part lies"):
        islands_at(sea, [at(GRID, s=25.0)])


def test_split_islands_have_labels_of_their_own_largest_first() -> None:
    split = split_islands(_archipelago(), first_label=7)
    assert split.numbers() == [7, 8, 9]
    np.testing.assert_array_equal(split.of(7).whole(), ball(GRID, 9.0))
    np.testing.assert_array_equal(split.of(9).whole(), ball(GRID, 2.5, p=20.0))
    assert split_islands(_archipelago(), least_ml=0.2).numbers() == [1, 2]


def _dots(count_each_way: tuple[int, int, int]) -> Patch:
    grid = upright_grid(tuple(2 * n for n in count_each_way), (1.0, 1.0, 1.0))  # type: ignore[arg-type]
    mask = np.zeros(grid.shape, np.bool_, order="F")
    mask[::2, ::2, ::2] = True
    return patch_of(mask, grid)


def test_ten_thousand_islands_take_no_longer_than_a_blink() -> None:
    dots = _dots((25, 20, 20))
    start = time.process_time()
    split = split_islands(dots)
    assert time.process_time() - start < 1.0
    assert split.numbers() == list(range(1, 10_001))


def test_more_islands_than_labels_are_refused_with_both_numbers() -> None:
    with pytest.raises(SegmentationError, match=r"65600 parts .* 65600; 1 to 65535"):
        split_islands(_dots((40, 41, 40)))


def test_smoothing_says_what_it_did_to_the_volume() -> None:
    draw = np.random.default_rng(0)
    rough = patch_of((ball(GRID, 15.0) & (draw.random(GRID.shape) < 0.95)) | (draw.random(GRID.shape) < 0.01), GRID)
    for way, size in (("median", 2.0), ("gaussian", 1.5)):
        found = smoothed(rough, way, size)  # type: ignore[arg-type]
        assert dice(found.patch.whole(), ball(GRID, 15.0)) > 0.97
        assert found.before_ml == rough.volume_ml
        assert found.after_ml == found.patch.volume_ml
        assert found.change_percent == pytest.approx(100 * (found.after_ml / found.before_ml - 1))


def test_opening_takes_spurs_and_closing_fills_gaps() -> None:
    spur = ball(GRID, 12.0) | (np.abs(centres(GRID) - at(GRID, l=15.0)) < (8.0, 1.1, 1.6)).all(axis=-1)
    opened = smoothed(patch_of(spur, GRID), "opening", 3.0)
    assert dice(opened.patch.whole(), ball(GRID, 12.0)) > 0.98
    assert opened.after_ml < opened.before_ml
    gap = ball(GRID, 12.0) & (np.abs(centres(GRID) - at(GRID))[..., 0] > 1.2)
    closed = smoothed(patch_of(gap, GRID), "closing", 3.0)
    assert dice(closed.patch.whole(), ball(GRID, 12.0)) > 0.98
    assert (closed.patch.whole() >= gap).all()


def test_a_straight_wall_stays_where_it_is_under_every_smoothing() -> None:
    half = np.zeros(GRID.shape, np.bool_, order="F")
    half[:30] = True
    for way in ("median", "opening", "closing", "gaussian"):
        np.testing.assert_array_equal(smoothed(patch_of(half, GRID), way, 2.5).patch.whole(), half)  # type: ignore[arg-type]


def test_smoothing_together_leaves_no_gap_where_labels_met() -> None:
    body = ball(GRID, 18.0)
    left = centres(GRID)[..., 0] > at(GRID)[0] + 0.5
    teeth = np.random.default_rng(2).random(GRID.shape) < 0.3
    side = np.where(np.abs(centres(GRID)[..., 0] - at(GRID)[0]) < 2, left ^ teeth, left)
    found = smoothed_together(marked(GRID, {1: body & side, 7: body & ~side}), 1.5)
    both = found.labels.of(1).whole() | found.labels.of(7).whole()
    assert both[ball(GRID, 16.0)].all()
    assert dice(found.labels.of(1).whole(), body & left) > 0.97
    for label, (before, after) in found.volumes_ml.items():
        assert after == pytest.approx(found.labels.of(label).volume_ml)
        assert before == pytest.approx(after, rel=0.1)
    with pytest.raises(SegmentationError, match="nothing to smooth"):
        smoothed(empty_patch(GRID), "median", 2.0)


def _only_slices(mask: np.ndarray, axis: int, step: int) -> np.ndarray:
    kept = np.zeros_like(mask)
    places = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    chosen = sorted({*places[::step].tolist(), int(places[-1])})
    np.moveaxis(kept, axis, 0)[chosen] = np.moveaxis(mask, axis, 0)[chosen]
    return kept


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_and_a_cone_come_back_from_some_of_their_slices(axis: int) -> None:
    grid = room(60.0, (1.0, 1.0, 1.0))
    offsets = np.moveaxis(centres(grid) - at(grid), -1, 0)
    along = offsets[axis]
    across = np.sqrt(sum(offsets[a] ** 2 for a in range(3) if a != axis))
    # A cone is linear along its axis, as the interpolation is: what errs is the voxels of its rim.
    cone = (across <= 20 - 0.5 * (along + 20)) & (np.abs(along) <= 20)
    for mask, step, least in ((cone, 8, 0.97), (ball(grid, 20.0), 5, 0.96)):
        drawn = marked(grid, {3: _only_slices(mask, axis, step)})
        found = filled_between(drawn)
        assert dice(found.of(3).whole(), mask) > least
        assert found.of(3).whole()[drawn.of(3).whole()].all()


def test_an_oblique_vessel_is_followed_though_its_outlines_do_not_overlap() -> None:
    vessel = capsule(at(GRID, -18, 0, -20), at(GRID, 18, 0, 20), 4.0)(centres(GRID))
    drawn = marked(GRID, {1: _only_slices(vessel, 2, 7)})  # 7 slices of 1.5 mm: 9.5 mm sidewards, more than its width
    assert dice(filled_between(drawn, axis=2).of(1).whole(), vessel) > 0.85


def test_two_labels_are_filled_each_by_itself_and_do_not_overwrite_what_was_drawn() -> None:
    left, right = ball(GRID, 14.0, l=9.0), ball(GRID, 14.0, l=-9.0) & ~ball(GRID, 14.0, l=9.0)
    drawn = marked(GRID, {1: _only_slices(left, 2, 3), 2: _only_slices(right, 2, 4)})
    found = filled_between(drawn, axis=2)
    for label, mask in ((1, left), (2, right)):
        assert dice(found.of(label).whole(), mask) > 0.93
        assert found.of(label).whole()[drawn.of(label).whole()].all()


def test_slices_without_a_gap_are_refused() -> None:
    with pytest.raises(SegmentationError, match="have no gap"):
        filled_between(marked(GRID, {1: ball(GRID, 9.0)}))
    with pytest.raises(SegmentationError, match="nothing is drawn"):
        filled_between(marked(GRID, {}))


VERBS: dict[str, Callable[[Patch], Patch]] = {
    "margin": lambda patch: with_margin(patch, 3.0),
    "shrunk": lambda patch: with_margin(patch, -2.0),
    "hollow": lambda patch: hollowed(patch, 2.0, "centred"),
    "median": lambda patch: smoothed(patch, "median", 1.5).patch,
    "gaussian": lambda patch: smoothed(patch, "gaussian", 1.2).patch,
    "closing": lambda patch: smoothed(patch, "closing", 2.0).patch,
    "opening": lambda patch: smoothed(patch, "opening", 2.0).patch,
    "island": largest_island,
    "stroke": lambda patch: stroke(patch.grid, [at(patch.grid, 1.3, 2.1, 0.7), at(patch.grid, 4.0, -3.0, 2.0)], 3.7),
    "scissors": lambda patch: cut_away(patch, Cut(_disc(patch.grid, 6.2, 3.0), (0.2, 0.1, 1.0), (-4.0, 9.0))),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_gives_the_same_in_all_48_storage_orders(verb: str) -> None:
    grid = upright_grid((23, 21, 17), (1.0, 1.1, 1.7))
    mask = (ball(grid, 7.0) | ball(grid, 4.0, l=6.0, s=3.0)) & ~ball(grid, 2.0, p=-5.0)
    expected = VERBS[verb](patch_of(mask, grid)).whole()
    for other in storage_orders(grid):
        place = tuple(np.moveaxis(np.rint(grid.to_voxel(centres(other))).astype(int), -1, 0))
        found = VERBS[verb](patch_of(np.asfortranarray(mask[place]), other)).whole()
        np.testing.assert_array_equal(found, expected[place])
