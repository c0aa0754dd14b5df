"""Patches refuse what does not fit; the draft undoes and redoes exactly, within its limit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.editing.brush import stroke
from meshing.editing.draft import Draft, Masking
from meshing.editing.history import StepName
from meshing.editing.logical import intersect, invert, minus, union
from meshing.editing.margins import with_margin
from meshing.editing.patch import LabelPatch, Patch, label_boxes, label_patch_of, patch_of, seed_voxels
from meshing.editing.thresholds import Range, in_range
from meshing.errors import SegmentationError
from meshing.segmentation import Segment, Segmentation
from meshing.terminology import Structure
from meshing.volume import Grid, Volume
from tests.conftest import REPOSITORY
from tests.meshing.editing.drawings import at, ball, ball_patch, room, scanned
from tests.shapes import centres, storage_orders

NAME = StepName("Edit", "编辑")
GRID = room(24.0, (1.0, 1.0, 2.0))


def test_a_mask_of_another_shape_or_of_four_axes_is_refused_with_the_numbers() -> None:
    with pytest.raises(SegmentationError, match=r"\(3, 3, 3\).*\(25, 25, 13\)"):
        patch_of(np.zeros((3, 3, 3), np.bool_), GRID)
    with pytest.raises(SegmentationError, match="three axes") as caught:
        patch_of(np.zeros((*GRID.shape, 2), np.bool_), GRID)
    assert "4-D" in caught.value.hint


def test_a_mask_of_another_patient_says_how_far_away_it_lies() -> None:
    matrix = GRID.voxel_to_patient.copy()
    matrix[0, 3] += 324.0
    elsewhere = Grid(GRID.shape, matrix)
    with pytest.raises(SegmentationError, match=r"they lie 300\.0 mm apart"):
        union(ball_patch(GRID, 5.0), ball_patch(elsewhere, 5.0))


def test_labels_beyond_65535_are_refused_and_65535_is_kept() -> None:
    labels = np.zeros(GRID.shape, np.int32)
    labels[3, 4, 5] = 65_535
    assert label_patch_of(labels, GRID).numbers() == [65_535]
    labels[0, 0, 0] = 65_536
    with pytest.raises(SegmentationError, match="0 to 65536"):
        label_patch_of(labels, GRID)
    draft = Draft(scanned(GRID, []))
    draft.draw(ball_patch(GRID, 4.0), 65_535, NAME)
    assert draft.layer.max() == 65_535
    for label in (0, 65_536):
        with pytest.raises(SegmentationError, match=str(label)):
            draft.draw(ball_patch(GRID, 4.0), label, NAME)


def test_a_seed_outside_the_scan_is_refused_with_its_distance() -> None:
    with pytest.raises(SegmentationError, match=r"7\.5 mm outside"):
        seed_voxels(GRID, [at(GRID, l=12.5 + 7.5)], "test")
    with pytest.raises(SegmentationError, match="not a finite point"):
        seed_voxels(GRID, [(0.0, float("nan"), 0.0)], "test")


@pytest.mark.parametrize("order", range(0, 48, 5))
def test_a_seed_between_two_voxels_takes_the_same_place_in_every_storage_order(order: int) -> None:
    other = storage_orders(GRID)[order]
    between = at(GRID, l=0.5, p=0.5, s=1.0)
    here, there = (grid.to_patient(seed_voxels(grid, [between], "test")) for grid in (GRID, other))
    np.testing.assert_allclose(here, there, atol=1e-9)


def test_logic_of_patches_is_that_of_masks() -> None:
    one, other = ball_patch(GRID, 6.0, l=-3.0), ball_patch(GRID, 7.0, l=3.0, s=2.0)
    a, b = one.whole(), other.whole()
    np.testing.assert_array_equal(union(one, other).whole(), a | b)
    np.testing.assert_array_equal(minus(one, other).whole(), a & ~b)
    np.testing.assert_array_equal(intersect(one, other).whole(), a & b)
    np.testing.assert_array_equal(invert(one).whole(), ~a)
    assert intersect(ball_patch(GRID, 2.0, l=-9.0), ball_patch(GRID, 2.0, l=9.0)).voxels == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_boxes_of_labels_are_those_of_scipy(seed: int) -> None:
    from scipy.ndimage import find_objects

    draw = np.random.default_rng(seed)
    layer = np.asfortranarray(draw.integers(0, 6, draw.integers(1, 9, 3)) * (draw.random() < 0.8), dtype=np.uint8)
    boxes = {n: box for n, box in enumerate(find_objects(layer), start=1) if box is not None}
    assert label_boxes(layer) == boxes


def _random_edit(draft: Draft, draw: np.random.Generator) -> None:
    point = tuple(float(v) for v in draft.grid.to_patient(draw.uniform(0, np.array(draft.grid.shape) - 1)))
    label, kind = int(draw.choice([1, 2, 3, 200, 300, 65_535])), draw.integers(0, 5)
    brush = stroke(draft.grid, [point], draw.uniform(0.5, 9.0))  # type: ignore[list-item]
    masking = Masking(protected=frozenset({2})) if draw.random() < 0.3 else Masking()
    if kind <= 1:
        draft.draw(brush, label, NAME, way="erase" if kind else "add", masking=masking)
    elif kind == 2:
        draft.draw(with_margin(draft.patch(label), draw.uniform(-3, 3)), label, NAME, masking=masking)
    elif kind == 3:
        noise = np.asfortranarray(draw.random(draft.grid.shape) < 0.3)
        draft.draw(patch_of(noise, draft.grid), label, NAME, masking=Masking(within=brush))
    else:
        labels = np.asfortranarray(draw.integers(0, 3, brush.mask.shape).astype(np.uint8))
        draft.draw_labels(LabelPatch(draft.grid, brush.box, labels), NAME, replacing=draw.random() < 0.3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_undoing_and_redoing_everything_is_exact(seed: int, edits: int) -> None:
    draw = np.random.default_rng(seed)
    draft = Draft(scanned(GRID, []))
    states = [draft.layer.astype(np.uint16)]
    for _ in range(edits):
        before = len(draft.history.done)
        _random_edit(draft, draw)
        if len(draft.history.done) > before:
            states.append(draft.layer.astype(np.uint16))
            assert draft.history.done[-1].changed_voxels == (states[-1] != states[-2]).sum()
    for state in reversed(states[:-1]):
        assert draft.undo() is not None
        np.testing.assert_array_equal(draft.layer, state)
    assert draft.undo() is None
    for state in states[1:]:
        assert draft.redo() is not None
        np.testing.assert_array_equal(draft.layer, state)
    assert draft.redo() is None


def test_labels_that_replace_leave_other_labels_outside_their_box() -> None:
    draft = Draft(scanned(GRID, []))
    corner, middle = np.zeros((2, *GRID.shape), np.bool_, order="F")
    corner[:3, :3, :3], middle[5:9, 5:9, 5:9] = True, True
    draft.draw(patch_of(corner, GRID), 7, NAME)
    draft.draw(patch_of(middle, GRID), 1, NAME)
    smaller = np.zeros(GRID.shape, np.uint8, order="F")
    smaller[6:8, 6:8, 6:8] = 1
    draft.draw_labels(label_patch_of(smaller, GRID), NAME, replacing=True)
    np.testing.assert_array_equal(draft.layer, np.where(corner, 7, smaller))


def test_an_edit_after_undo_drops_what_was_undone() -> None:
    draft = Draft(scanned(GRID, []))
    for radius in (3.0, 5.0, 7.0):
        draft.draw(ball_patch(GRID, radius), 1, StepName(f"Ball of {radius:g} mm", f"{radius:g} 毫米球"))
    draft.undo()
    assert [step.name.name for step in draft.history.undone] == ["Ball of 7 mm"]
    draft.draw(ball_patch(GRID, 2.0), 2, NAME)
    assert draft.redo() is None
    assert [step.name.name_zh for step in draft.history.done] == ["3 毫米球", "5 毫米球", "编辑"]


def test_a_change_that_changes_nothing_is_no_step() -> None:
    draft = Draft(scanned(GRID, []))
    assert draft.draw(ball_patch(GRID, 5.0), 1, NAME) is not None
    assert draft.draw(ball_patch(GRID, 5.0), 1, NAME) is None
    assert len(draft.history.done) == 1


def test_beyond_its_limit_the_history_drops_the_oldest_steps_and_says_so() -> None:
    draft = Draft(scanned(GRID, []), most_bytes=2_000)
    draw = np.random.default_rng(1)
    for _ in range(12):
        draft.draw(patch_of(np.asfortranarray(draw.random(GRID.shape) < 0.5), GRID), 1, NAME)
    assert draft.history.dropped_steps + len(draft.history.done) == 12
    assert draft.history.dropped_steps > 0
    assert draft.history.bytes <= 2_000 or len(draft.history.done) == 1


def test_masking_keeps_protected_labels_and_what_lies_outside() -> None:
    draft = Draft(scanned(GRID, []))
    draft.draw(ball_patch(GRID, 5.0), 2, NAME)
    fence = ball_patch(GRID, 8.0)
    draft.draw(invert(ball_patch(GRID, 3.0)), 1, NAME, masking=Masking(within=fence, protected=frozenset({2})))
    np.testing.assert_array_equal(draft.layer == 2, ball(GRID, 5.0))
    np.testing.assert_array_equal(draft.layer == 1, ball(GRID, 8.0) & ~ball(GRID, 5.0))


def test_masking_by_intensity_leaves_other_values_alone() -> None:
    volume = scanned(GRID, [(ball(GRID, 6.0), 200.0)])
    draft = Draft(volume)
    bright = in_range(draft.volume, Range(150, 250))
    draft.draw(ball_patch(GRID, 9.0), 1, NAME, masking=Masking(within=bright))
    np.testing.assert_array_equal(draft.layer == 1, ball(GRID, 6.0))


@pytest.mark.parametrize("order", range(48))
def test_a_draft_gives_back_what_was_drawn_in_every_storage_order(order: int) -> None:
    grid = storage_orders(GRID)[order]
    inside = np.linalg.norm(centres(grid) - at(GRID, 3.0, -2.0, 5.0), axis=-1) < 6
    layer = np.asfortranarray(inside.astype(np.uint8))
    segments = (Segment("liver", 1, 0, Structure("liver", "Liver", "肝")),)
    draft = Draft(Volume(np.zeros(grid.shape, np.int16), grid, "CT", "HU"), Segmentation((layer,), grid, segments, "t"))
    np.testing.assert_allclose(draft.grid.voxel_to_patient, GRID.voxel_to_patient, atol=1e-9)
    np.testing.assert_array_equal(draft.stored(), layer)
    draft.draw(ball_patch(draft.grid, 4.0, l=-5.0), 2, NAME)
    np.testing.assert_array_equal(draft.stored() == 2, np.linalg.norm(centres(grid) - at(GRID, -5.0), axis=-1) <= 4.0)


_TWENTY_STEPS = """
import resource
import numpy as np
from meshing.editing.brush import stroke
from meshing.editing.draft import Draft
from meshing.editing.history import StepName
from meshing.editing.patch import Patch, whole_box
from meshing.volume import Grid, Volume

grid = Grid((512, 512, 512), np.diag([0.7, 0.7, 0.7, 1.0]))
draft = Draft(Volume(np.zeros(grid.shape, np.int8, order="F"), grid, "CT", "HU"))
draw, name = np.random.default_rng(0), StepName("Edit", "编辑")
before = None
for number in range(20):
    points = [tuple(p) for p in draw.uniform(60, 300, (4, 3))]
    if number % 10 == 0:  # a threshold of a noisy scan: a tenth of one quarter of all voxels, one by one
        mask = np.zeros(grid.shape, np.bool_, order="F")
        mask[:256, :256] = draw.random((256, 256, 512), np.float32) < 0.1
        draft.draw(Patch(grid, whole_box(grid), mask), 1 + number // 10, name)
    else:
        draft.draw(stroke(grid, points, draw.uniform(3, 40)), 1 + number % 7, name, way="add")
final = draft.layer.copy()
while draft.undo():
    pass
assert not draft.layer.any()
while draft.redo():
    pass
assert (draft.layer == final).all()
print(len(draft.history.done), draft.history.bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_steps_on_512_cubed_take_under_5_mb_each() -> None:
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", _TWENTY_STEPS], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    steps, kept, _ = map(int, done.stdout.split())
    assert steps == 20
    assert kept / steps < 5e6  # so that a hundred stay under 500 MB


def test_patches_are_read_only_and_trim_to_their_voxels() -> None:
    patch = Patch(GRID, (slice(0, 25), slice(0, 25), slice(0, 13)), ball(GRID, 5.0))
    assert patch.trimmed().box == ball_patch(GRID, 5.0).box
    with pytest.raises(ValueError, match="read-only"):
        patch.mask[0, 0, 0] = True
