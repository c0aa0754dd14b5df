"""The timed pipelines: every contender writes the same thing in the same place, and its faults are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.analytic import Capsule, labelled
from benchmarks.clock import Seconds
from benchmarks.dicom_series import Syntax, drawn_truth, write_series
from benchmarks.intake import Read, accuracy, compare_intake
from benchmarks.labelmaps import ORIGIN_MM, Body, Tube, drawn_body, drawn_labels, drawn_scan, real_labels, save_nifti
from benchmarks.limits import limits_table
from benchmarks.meshing import LEVEL_HU, compare_grey, compare_labels
from benchmarks.quality import made, surface_in_stl, surfaces_in_glb, tube_distance, vessel_errors
from benchmarks.runner import Contender, compare
from meshing.extract import extract
from meshing.surface import Surface, check

CAPSULE = Capsule(np.array([1.0, -2.0, 3.0]), np.array([5.0, 6.0, -4.0]), 2.5)


@pytest.fixture(scope="module")
def body() -> Body:
    return drawn_body((64, 60, 56), 3, radii_mm=(3.0, 1.5))


def test_label_contenders_write_the_same_labels_in_the_same_place(tmp_path: Path, body: Body) -> None:
    source = save_nifti(tmp_path / "labels.nii.gz", body.segmentation.layers[0], body.segmentation.grid)
    comparison = compare_labels(source, tmp_path, 8_000, rounds=1)
    assert not comparison.skipped
    found = {one.name: made(body, surfaces_in_glb(one.outcome.target)) for one in comparison.measured}
    ours = found["AnatomyXR"]
    assert (ours.open_edges, ours.crowded_edges, ours.pinched_vertices) == (0, 0, 0)
    assert abs(ours.worst_off) < 0.01
    for name, one in found.items():
        assert one.triangles == pytest.approx(8_000, rel=0.05), name
        assert set(one.volume_off) == {segment.key for segment in body.segmentation.segments}
        # A peer in a wrong frame would be millimetres away, wherever its smoothing leads.
        assert one.vessel_mm[3.0][0] < 0.5, name
    assert ours.vessel_mm[3.0][0] < 0.1
    for ran in comparison.measured:
        assert ran.outcome.peak_mb is None or ran.outcome.peak_mb > 50
        assert ran.stage_medians["imports"].wall <= ran.median.wall
        assert sum(stage.cpu for stage in ran.stage_medians.values()) <= ran.median.cpu + 0.1  # ticks of 0.01


def test_grey_contenders_write_the_same_surface(tmp_path: Path, body: Body) -> None:
    source = save_nifti(tmp_path / "scan.nii", drawn_scan(body), body.segmentation.grid)
    comparison = compare_grey(source, tmp_path, 2_000, rounds=1, peers=tmp_path)
    assert comparison.skipped["dicom2stl without shrinking"].startswith("FileNotFoundError: not installed: pip install")
    found = [check(surface_in_stl(one.outcome.target)) for one in comparison.measured]
    bright = float((drawn_scan(body) > LEVEL_HU).sum()) * body.segmentation.grid.voxel_volume_mm3 / 1000
    for one in found:
        assert one.triangles == pytest.approx(2_000, rel=0.05)
        assert one.volume_ml == pytest.approx(bright, rel=0.1)  # the level runs inside of thin vessels' outer voxels
    assert found[0].volume_ml == pytest.approx(found[1].volume_ml, rel=0.01)


def test_quality_sees_a_lost_a_moved_and_an_open_label(body: Body) -> None:
    right = extract(body.segmentation)
    whole = made(body, _in_body(right))
    assert whole.open_edges == 0
    assert abs(whole.worst_thin_off) < 0.01
    vessel = "label_5"
    lost = made(body, _in_body({key: surface for key, surface in right.items() if key != vessel}))
    assert (lost.worst_off, lost.worst_thin_off) == (-1.0, -1.0)
    assert lost.vessel_mm[1.5] == (1.5, 1.5)
    torn = right[vessel].faces[1:]
    opened = made(body, _in_body({**right, vessel: Surface(right[vessel].vertices, torn, vessel)}))
    assert opened.open_edges == 3
    moved = Surface(right[vessel].vertices + np.float32(0.5), right[vessel].faces, vessel)
    assert made(body, _in_body({**right, vessel: moved})).vessel_mm[1.5][0] > 0.3


def _in_body(surfaces: dict[str, Surface]) -> dict[str, Surface]:
    """From LPS mm to mm from the middle of the first voxel."""
    origin = np.array(ORIGIN_MM, np.float32)
    return {key: Surface(surface.vertices - origin, surface.faces, key) for key, surface in surfaces.items()}


def test_distance_of_a_straight_tube_is_the_capsules() -> None:
    points = np.random.default_rng(2).uniform(-10, 10, (500, 3))
    line = np.linspace(CAPSULE.start_mm, CAPSULE.end_mm, 9)
    tube = Tube(line, CAPSULE.radius_mm)
    assert tube_distance(tube, points) == pytest.approx(CAPSULE.distance_mm(points), abs=1e-9)


def test_where_vessels_cross_nobody_is_blamed() -> None:
    """A tube whose surface stops where another runs through it is right, unless that other is not there."""
    one = Tube(np.array([[-15.0, 0, 0], [15.0, 0, 0]]), 2.0)
    other = Tube(np.array([[0, -15.0, 0], [0, 15.0, 0]]), 3.0)
    whole = extract(labelled(Capsule(one.line_mm[0], one.line_mm[1], 2.0), (0.5, 0.5, 0.5)))["shape"]
    outside = np.abs(whole.vertices[whole.faces][:, :, 0].mean(axis=1)) > 4.0
    cut = Surface(whole.vertices, whole.faces[outside], "one")
    assert vessel_errors({"one": one}, {"one": whole})[2.0][1] < 0.4
    assert vessel_errors({"one": one}, {"one": cut})[2.0][1] > 1.0
    assert vessel_errors({"one": one, "other": other}, {"one": cut})[2.0][1] < 0.4


def test_limits_stand_beside_every_stage() -> None:
    printed = limits_table(np.zeros((40, 30, 20), np.uint8), {"reading": Seconds(1.0, 0.5), "nets": Seconds(2.0, 3.0)})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    assert [row[:2] for row in rows[2:]] == [["reading", "1.000"], ["nets", "2.000"]]
    times = [[float(cell.rstrip("×").replace(",", "")) for cell in row[2:]] for row in rows[2:]]
    assert times[1] == pytest.approx([2 * number for number in times[0]], rel=0.01)


def test_drawn_labels_repeat_and_hold_every_label() -> None:
    one, other = drawn_labels(), drawn_labels()
    assert np.array_equal(one.layers[0], other.layers[0])
    assert len(one.segments) == 32


def test_drawn_vessels_are_the_voxels_of_their_tubes(body: Body) -> None:
    grid = body.segmentation.grid
    points = np.indices(grid.shape).reshape(3, -1).T * grid.spacing_mm
    key, last = list(body.tubes.items())[-1]  # nothing was drawn over it
    inside = (tube_distance(last, points) <= 0).reshape(grid.shape)
    # Float32 decides voxels whose centre is on the skin.
    assert (inside != body.segmentation.mask(key)).sum() <= 2
    assert inside.sum() > 100


def test_last_outcome_is_kept() -> None:
    runs = iter(range(10))
    comparison = compare([Contender("ours", lambda stages: next(runs))], rounds=3)
    assert comparison.measured[0].outcome == 3


def test_finer_labels_stay_in_place(tmp_path: Path) -> None:
    import nibabel

    coarse = np.zeros((12, 10, 8), np.uint8)
    coarse[3:8, 2:6, 3:6] = 4
    affine = np.array([[0, 2.0, 0, -30], [-2.0, 0, 0, 11], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(coarse, affine), tmp_path / "labels.nii.gz")
    fine = real_labels(tmp_path / "labels.nii.gz", finer=2)
    assert [segment.label for segment in fine.segments] == [4]
    # RAS to LPS by hand, from the middle of the block.
    wanted = (affine @ [5.0, 3.5, 4.0, 1])[:3] * [-1, -1, 1]
    middle = fine.grid.to_patient(np.argwhere(fine.layers[0]).mean(axis=0))
    assert middle == pytest.approx(wanted, abs=1e-6)
    volume = fine.layers[0].astype(bool).sum() * fine.grid.voxel_volume_mm3
    assert volume == pytest.approx(5 * 4 * 3 * 12.0, rel=0.25)  # linear interpolation rounds the corners


def test_real_labels_mesh_soundly(real_data: Callable[[str], Path]) -> None:
    labels = real_labels(real_data("ct_abdomen_labels/example_seg.nii.gz"), finer=1)
    surfaces = extract(labels)
    assert len(surfaces) == len(labels.segments) == 41
    assert all(check(surface).is_closed and check(surface).is_manifold for surface in surfaces.values())


# --- intake -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["raw", "JPEG-LS", "JPEG 2000"])
def test_everybody_reads_the_drawn_series_exactly(tmp_path: Path, syntax: Syntax) -> None:
    truth = drawn_truth((40, 32, 6))
    comparison = compare_intake(write_series(tmp_path / "series", truth, syntax), rounds=1)
    assert comparison.measured[0].name == "AnatomyXR"
    for one in comparison.measured:
        found = accuracy(one.outcome, truth)
        assert found.value == 0, one.name
        assert found.place_mm < 1e-3, one.name


def test_accuracy_sees_a_wrong_value_and_a_wrong_place() -> None:
    truth = drawn_truth((10, 9, 8))
    wrong = truth.hounsfield.copy()
    wrong[1, 2, 3] += 7
    assert accuracy(Read(wrong, truth.voxel_to_patient), truth).value == 7
    far = truth.voxel_to_patient.copy()
    far[2, 2] *= 1.01
    found = accuracy(Read(truth.hounsfield, far), truth)
    assert found.place_mm == pytest.approx(7 * 1.25 * 0.01)
    assert accuracy(Read(truth.hounsfield[:-1], truth.voxel_to_patient), truth).value == np.inf


def test_accuracy_does_not_blame_a_storage_order() -> None:
    truth = drawn_truth((10, 9, 8))
    flipped = truth.voxel_to_patient.copy()
    flipped[:3, 3] += flipped[:3, 1] * 8
    flipped[:3, 1] *= -1
    turned = flipped[:, [2, 0, 1, 3]]
    found = accuracy(Read(np.flip(truth.hounsfield, 1).transpose(2, 0, 1), turned), truth)
    assert found.value == 0
    assert found.place_mm == pytest.approx(0, abs=1e-9)
