"""The benchmarks measure what they say: fair turns, honest ratios, every process counted, exact shapes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runner
from benchmarks.analytic import Capsule, labelled, labelled_in_a_row, posed
from benchmarks.clock import Seconds, Stages, now
from benchmarks.report import print_comparison, table
from benchmarks.runner import Comparison, Contender, compare
from benchmarks.surfaces import DECIMATED, VOXELS, Kind, accuracy_table, error_of, stairs_deg
from benchmarks.vessel_picture import Tree, exact_mesh, voxel_faces
from meshing.errors import SurfaceError
from meshing.surface import Surface, check, volume_ml

# --- the runner -------------------------------------------------------------------------------------------


class FakeClock:
    """Seconds that pass only when a contender says so; `drag` makes a later hour slower."""

    def __init__(self, drag: float = 0.0) -> None:
        self.seconds = 0.0
        self.drag = drag

    def __call__(self) -> Seconds:
        return Seconds(self.seconds, self.seconds / 2)

    def spend(self, seconds: float) -> None:
        self.seconds += seconds * (1 + self.drag * self.seconds)


def pair(clock: FakeClock, calls: list[str]) -> list[Contender[str]]:
    def work(name: str, seconds: float) -> Callable[[Stages], str]:
        def run(stages: Stages) -> str:
            calls.append(name)
            clock.spend(seconds)
            return name

        return run

    return [Contender("ours", work("ours", 1.0)), Contender("peer", work("peer", 3.0))]


def wall(seconds: Seconds) -> float:
    return seconds.wall


def test_every_round_runs_everyone_once_and_the_first_turn_wanders(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = FakeClock(), list[str]()
    monkeypatch.setattr(runner, "now", clock)
    compare(pair(clock, calls), rounds=4)
    warm_up, timed = calls[:2], calls[2:]
    assert warm_up == ["ours", "peer"]
    assert timed == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]


def test_ratio_is_of_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(runner, "now", clock)
    comparison = compare(pair(clock, []), rounds=5)
    ours, peer = comparison.measured
    assert (ours.median, peer.median) == (Seconds(1.0, 0.5), Seconds(3.0, 1.5))
    ratio = comparison.ratio(peer, wall)
    assert (ratio.median, ratio.least, ratio.most) == (3.0, 3.0, 3.0)


def test_a_machine_that_slows_down_all_the_time_hardly_moves_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(drag=0.02)
    monkeypatch.setattr(runner, "now", clock)
    comparison = compare(pair(clock, []), rounds=7)
    peer = comparison.measured[1]
    assert peer.rounds[-1].wall > 1.5 * peer.rounds[0].wall
    # Within a round a contender drags the next by 2 % a second: at most 1.06 one way, and turns alternate.
    assert comparison.ratio(peer, wall).median == pytest.approx(3.0, rel=0.07)


def test_peer_that_is_not_installed_is_skipped_by_name() -> None:
    comparison = compare(
        [Contender("ours", lambda stages: 1), Contender("peer", lambda stages: 2, requires=("no_such_module",))], 1
    )
    assert [one.name for one in comparison.measured] == ["ours"]
    assert comparison.skipped == {"peer": "no_such_module not installed"}


def test_peer_that_fails_is_skipped_with_its_words_and_ours_never() -> None:
    def fails(stages: Stages) -> int:
        raise SurfaceError("3 open edges")

    fine = Contender("fine", lambda stages: 1)
    comparison = compare([fine, Contender("peer", fails)], 1)
    assert comparison.skipped == {"peer": "SurfaceError: 3 open edges"}
    with pytest.raises(SurfaceError):
        compare([Contender("ours", fails), fine], 1)


def test_nobody_and_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="0 contenders"):
        compare([], 1)
    with pytest.raises(ValueError, match="0 rounds"):
        compare([Contender("ours", lambda stages: 1)], 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="living children are counted on Linux only")
def test_child_that_still_runs_is_counted_and_not_twice_when_it_ends() -> None:
    burn = "import sys, time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\nsys.stdin.read()"
    start = now()
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"done\n"
        alive = (now() - start).cpu
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
    ended = (now() - start).cpu
    assert alive > 0.45  # of 0.5; the system counts in steps of 0.01
    assert alive - 0.02 <= ended < alive + 0.4


def test_waiting_costs_wall_and_no_cpu() -> None:
    start = now()
    time.sleep(0.2)
    taken = now() - start
    assert taken.wall >= 0.2
    assert taken.cpu < 0.1


def test_progress_sentences_become_stages() -> None:
    stages = Stages()
    for fraction, doing in ((0.1, "reading"), (0.2, "reading"), (0.5, "decoding"), (0.9, "reading")):
        stages.progress(fraction, doing)
        time.sleep(0.01)
    stages.close()
    assert list(stages.seconds) == ["reading", "decoding"]
    assert stages.seconds["reading"].wall >= 0.03
    assert stages.seconds["decoding"].wall >= 0.01


def test_printed_comparison_names_peers_ratios_and_the_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = (Seconds(2.0, 1.0),)
    measured = (
        runner.Measured("ours", 7, seconds, ({},)),
        runner.Measured("peer", 9, (Seconds(5.0, 4.0),), ({"decode": Seconds(4.0, 3.0)},)),
    )
    print_comparison("A title", Comparison(measured, {"other": "not installed"}), {"found": str})
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    assert "1 interleaved round (under 5: an indication, no claim)" in printed
    assert ["ours", "1.00", "1", "2.00", "1", "7"] in rows
    assert ["peer", "4.00", "4× (4–4)", "5.00", "2.5× (2.5–2.5)", "9"] in rows
    assert ["peer: decode", "3.00", "4.00"] in rows
    assert "skipped other: not installed" in printed


def test_table_lines_up() -> None:
    lines = table(["", "b"], [["long name", "1"], ["x", "12345"]]).splitlines()
    assert lines == ["|           |     b |", "|-----------|------:|", "| long name |     1 |", "| x         | 12345 |"]


# --- exact shapes -----------------------------------------------------------------------------------------

CAPSULE = Capsule(np.array([1.0, -2.0, 3.0]), np.array([5.0, 6.0, -4.0]), 2.5)


def test_points_of_a_capsule_lie_on_it_and_spread_evenly() -> None:
    points = CAPSULE.surface_points(20_000)
    assert np.abs(CAPSULE.distance_mm(points)).max() < 1e-9
    along = (CAPSULE.end_mm - CAPSULE.start_mm) / CAPSULE.length_mm
    height = (points - CAPSULE.start_mm) @ along
    # By Archimedes area is even in height, over the round ends too.
    share = np.sort((height + CAPSULE.radius_mm) / (CAPSULE.length_mm + 2 * CAPSULE.radius_mm))
    assert np.abs(share - np.linspace(0, 1, len(share))).max() < 1e-3
    assert np.abs(points.mean(axis=0) - (CAPSULE.start_mm + CAPSULE.end_mm) / 2).max() < 0.01


def test_mask_of_a_capsule_has_its_volume() -> None:
    fine = labelled(CAPSULE, (0.25, 0.25, 0.25))
    counted = fine.layers[0].sum() * 0.25**3 / 1000
    assert counted == pytest.approx(CAPSULE.volume_ml, rel=0.01)


def ball_mesh(radius_mm: float, shift_mm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions=5, radius=radius_mm)
    return np.asarray(mesh.vertices) + [shift_mm, 0, 0], np.asarray(mesh.faces)


def test_error_of_a_shifted_ball_has_its_closed_form() -> None:
    ball = Capsule(np.zeros(3), np.zeros(3), 10.0)
    exact, shifted = error_of(ball_mesh(10.0), ball), error_of(ball_mesh(10.0, 0.5), ball)
    assert exact.max_mm < 0.01  # the icosphere's own facets: r (1 − cos half an edge)
    assert abs(exact.volume) < 0.001
    # Distances are |shift · cos| to first order; cos is even on a ball, so its mean size is 1/2.
    assert shifted.mean_mm == pytest.approx(0.25, rel=0.03)
    assert shifted.max_mm == pytest.approx(0.5, rel=0.01)


def test_error_sees_what_is_missing_from_the_mesh() -> None:
    """Half a ball lies exactly on the ball; only looking from the shape tells that the rest is gone."""
    vertices, faces = ball_mesh(10.0)
    upper = faces[(vertices[faces][:, :, 2] >= 0).all(axis=1)]
    found = error_of((vertices, upper), Capsule(np.zeros(3), np.zeros(3), 10.0))
    assert found.max_mm == pytest.approx(10.0 * np.sqrt(2), rel=0.05)  # from the lower pole to the rim


def test_error_of_a_lost_vessel_is_all_of_it() -> None:
    nothing = (np.zeros((0, 3)), np.zeros((0, 3), int))
    found = error_of(nothing, CAPSULE)
    assert (found.mean_mm, found.max_mm, found.volume) == (2.5, 2.5, -1.0)


def test_stairs_are_the_angle_to_the_shape() -> None:
    ball = Capsule(np.zeros(3), np.zeros(3), 10.0)
    vertices, faces = ball_mesh(10.0)
    assert stairs_deg((vertices, faces), ball) < 0.1
    assert stairs_deg((vertices, faces[:, ::-1]), ball) > 179.9
    # A cube's faces against a ball: by symmetry one face; angle atan(√(u² + v²)) over the unit square.
    import trimesh

    cube = trimesh.creation.box()
    for _ in range(6):
        cube = cube.subdivide()
    u, v = np.meshgrid(*2 * [(np.arange(400) + 0.5) / 400])
    wanted = np.degrees(np.arctan(np.hypot(u, v))).mean()
    assert stairs_deg((np.asarray(cube.vertices), np.asarray(cube.faces)), ball) == pytest.approx(wanted, rel=0.001)


def test_shapes_in_a_row_lie_against_the_voxels_as_they_did_alone() -> None:
    rng = np.random.default_rng(4)
    shapes = [posed(3.0, 0.0, rng), posed(1.0, 12.0, rng), posed(2.0, 9.0, rng)]
    row, moved = labelled_in_a_row(shapes, (0.7, 0.7, 1.0))
    centres = row.grid.to_patient(np.indices(row.grid.shape).reshape(3, -1).T)
    for number, (shape, (key, there)) in enumerate(zip(shapes, moved.items(), strict=True), start=1):
        inside = (there.distance_mm(centres) <= 0).reshape(row.grid.shape)
        assert np.array_equal(row.mask(key), inside)
        assert inside.sum() == labelled(shape, (0.7, 0.7, 1.0)).layers[0].sum(), number


def test_accuracy_table_shows_who_keeps_a_thin_vessel() -> None:
    ball, vessel = Kind(5.0, 0.0), Kind(1.0, 12.0)
    found = accuracy_table((ball, vessel), poses=2)[vessel]
    ours, raw, usual = found["AnatomyXR"], found["marching cubes, raw"], found["Slicer's usual, sinc 40/0.01"]
    # Nets give a label the volume of its voxels; marching cubes cuts corners.
    assert abs(ours.beyond_voxels.worst) < 0.005
    assert abs(found[DECIMATED].beyond_voxels.worst) < 0.03
    assert raw.beyond_voxels.mean < -0.05
    assert ours.mean_mm < raw.mean_mm
    assert found["AnatomyXR --fine"].mean_mm < ours.mean_mm
    assert usual.volume.mean < -0.4
    assert abs(found[VOXELS].volume.worst) < 0.15


def test_poses_differ_and_repeat() -> None:
    one, other = (posed(1.0, 12.0, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.start_mm, other.start_mm)
    rng = np.random.default_rng(3)
    assert not np.array_equal(posed(1.0, 12.0, rng).end_mm, posed(1.0, 12.0, rng).end_mm)


# --- the picture of a small vessel ------------------------------------------------------------------------


def test_faces_of_voxels_hold_their_volume_and_are_closed() -> None:
    mask = labelled(CAPSULE, (0.7, 0.8, 1.0))
    vertices, faces = voxel_faces(mask)
    counted = mask.layers[0].sum() * mask.grid.voxel_volume_mm3 / 1000
    assert volume_ml(vertices, faces) == pytest.approx(counted, rel=1e-9)  # also outward, or it would be negative
    assert vertices.min(axis=0) == pytest.approx(
        mask.grid.to_patient(np.argwhere(mask.layers[0]).min(axis=0) - 0.5), abs=1e-9
    )
    joined, corners = np.unique(vertices.round(6), axis=0, return_inverse=True)
    assert check(Surface(joined.astype(np.float32), corners[faces].astype(np.int32), "voxels")).boundary_edges == 0


def test_exact_mesh_of_a_tree_of_one_branch_is_the_capsule() -> None:
    vertices, faces = exact_mesh(Tree((CAPSULE,)))
    assert np.abs(CAPSULE.distance_mm(vertices)).max() < 0.005
    assert volume_ml(vertices, faces) == pytest.approx(CAPSULE.volume_ml, rel=0.005)


# --- meshing ----------------------------------------------------------------------------------------------
