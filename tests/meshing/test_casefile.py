"""Case folders: what is read is what was written; never torn, never lost, never silently overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshing.case import Case
from meshing.casefile import is_case, read_case, save_plan, write_case
from meshing.errors import AnatomyError, CaseError, StaleRevisionError
from meshing.extract import extract
from meshing.frames import PATIENT, Transform
from meshing.plan import AblationZone, CutPlane, Plan, Route, Trajectory, with_part, without_part
from meshing.registration import Registration
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Deviation
from meshing.volume import Fact, Volume
from tests.shapes import ball, labelled, middle_of, oblique, upright_grid

TRAJECTORY = Trajectory("biopsy", (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), 0.9)


def small_case(value: int = 7, size: int = 16) -> Case:
    grid = oblique(upright_grid((size, size + 1, size + 2), (0.8, 0.9, 1.5)), seed=5)
    voxels = np.asfortranarray(np.full(grid.shape, value, np.int16))
    outside = np.zeros(grid.shape, bool, order="F")
    outside[0] = True
    labels = labelled(grid, {"liver": ball(middle_of(grid), 5.0), "tumour": ball(middle_of(grid), 2.0)})
    surfaces = {
        key: replace(surface, made_from="main", deviation=Deviation(0.01, 0.2))
        for key, surface in extract(labels).items()
    }
    plan = Plan()
    for part in (
        TRAJECTORY,
        AblationZone("zone", (1.0, 2.0, 3.0), (0.0, 0.0, 1.0), 20.0, 12.5),
        Route("way", ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
        CutPlane("cut", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
    ):
        plan = with_part(plan, part)
    shift = np.eye(4)
    shift[0, 3] = value
    return Case(
        id="c0ffee",
        volumes={"scan": Volume(voxels, grid, "CT", "HU", outside)},
        segmentations={"main": labels},
        surfaces=surfaces,
        registrations=(Registration(Transform(shift, PATIENT, PATIENT), "points", 0.4, 1.1, ("a", "b")),),
        plan=plan,
        facts=(Fact("tilt", "tilt of 3° corrected", {"tilt_deg": 3.0}),),
    )


def assert_equal(one: Case, other: Case) -> None:
    assert (one.id, one.plan, one.facts) == (other.id, other.plan, other.facts)
    for name, volume in one.volumes.items():
        again = other.volumes[name]
        assert np.array_equal(volume.voxels, again.voxels)
        assert again.voxels.dtype == volume.voxels.dtype
        assert np.array_equal(volume.grid.voxel_to_patient, again.grid.voxel_to_patient)
        assert (volume.modality, volume.unit) == (again.modality, again.unit)
        assert np.array_equal(volume.outside, again.outside)  # type: ignore[arg-type]  # both may be None
    for name, segmentation in one.segmentations.items():
        again_s = other.segmentations[name]
        assert segmentation.segments == again_s.segments
        assert all(np.array_equal(a, b) for a, b in zip(segmentation.layers, again_s.layers, strict=True))
    for key, surface in one.surfaces.items():
        again_f = other.surfaces[key]
        assert np.array_equal(surface.vertices, again_f.vertices)
        assert np.array_equal(surface.faces, again_f.faces)
        assert (surface.deviation, surface.raw_volume_ml, surface.made_from) == (
            again_f.deviation,
            again_f.raw_volume_ml,
            again_f.made_from,
        )
    for a, b in zip(one.registrations, other.registrations, strict=True):
        assert np.array_equal(a.transform.matrix, b.transform.matrix)
        assert (a.method, a.fre_mm, a.tre_mm, a.landmarks) == (b.method, b.fre_mm, b.tre_mm, b.landmarks)


def test_case_comes_back_as_it_was_written(tmp_path: Path) -> None:
    case = small_case()
    write_case(tmp_path / "case", case)
    assert_equal(case, read_case(tmp_path / "case"))


def test_arrays_are_memory_mapped_in_index_order(tmp_path: Path) -> None:
    write_case(tmp_path / "case", small_case())
    voxels = read_case(tmp_path / "case").scan.voxels
    assert isinstance(voxels, np.memmap)
    assert voxels.flags.f_contiguous
    assert not voxels.flags.writeable


def test_writing_again_sweeps_what_nothing_names(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    write_case(folder, small_case(value=1))
    (folder / "volumes" / "scan-dead.npy.part").write_bytes(b"left by a killed writer")
    before = {path.name for path in (folder / "volumes").iterdir()}
    write_case(folder, small_case(value=2))
    after = {path.name for path in (folder / "volumes").iterdir()}
    assert len(after) == 2  # voxels and outside
    assert len(before & after) == 1  # the unchanged mask keeps its file


def test_changed_plan_rewrites_no_volume(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    case = small_case()
    write_case(folder, case)
    stamps = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*/*.npy")}
    save_plan(folder, without_part(case.plan, "cut"))
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*/*.npy")} == stamps
    assert read_case(folder).plan == without_part(case.plan, "cut")


def test_saving_over_a_stale_revision_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    case = small_case()
    write_case(folder, case)
    mine, theirs = with_part(case.plan, replace(TRAJECTORY, radius_mm=2.0)), without_part(case.plan, "way")
    save_plan(folder, mine)
    with pytest.raises(StaleRevisionError, match="revision 5, yours 5"):
        save_plan(folder, theirs)
    assert read_case(folder).plan == mine


def test_writing_a_case_over_a_newer_plan_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    case = small_case()
    write_case(folder, case)
    planned = with_part(case.plan, replace(TRAJECTORY, radius_mm=2.0))
    save_plan(folder, planned)
    with pytest.raises(StaleRevisionError, match="revision 5, this one 4"):
        write_case(folder, case)
    assert read_case(folder).plan == planned


def test_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("three years of work")
    with pytest.raises(CaseError, match=r"thesis\.docx"):
        write_case(tmp_path, small_case())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "case.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "case.json").write_text("[]"), "not a case index"),
        (lambda folder: (folder / "case.json").unlink(), "no case is here"),
        (lambda folder: next((folder / "surfaces").iterdir()).unlink(), "is missing"),
        (lambda folder: next((folder / "layers").iterdir()).write_bytes(b"short"), "5 bytes instead of"),
        (lambda folder: _rewrite(folder, "version", 99), "version 99"),
        (lambda folder: _rewrite(folder, "volumes", {"scan": {}}), "cannot be understood"),
        (lambda folder: _rewrite(folder, "plan", {"revision": 1, "parts": [{"kind": "spell"}]}), "'spell'"),
        (lambda folder: _escape(folder), "outside the case"),
    ],
)
def test_damaged_case_is_a_typed_error(tmp_path: Path, damage: object, message: str) -> None:
    folder = tmp_path / "case"
    write_case(folder, small_case())
    damage(folder)  # type: ignore[operator]  # each is a function of the folder
    with pytest.raises(CaseError, match=message):
        read_case(folder)


def _rewrite(folder: Path, key: str, value: object) -> None:
    index = json.loads((folder / "case.json").read_text())
    index[key] = value
    (folder / "case.json").write_text(json.dumps(index))


def _escape(folder: Path) -> None:
    index = json.loads((folder / "case.json").read_text())
    index["volumes"]["scan"]["voxels"] = {"file": "../../etc/passwd", "bytes": 1}
    (folder / "case.json").write_text(json.dumps(index))


WRITER = """
import sys
from pathlib import Path
from meshing.casefile import write_case
from tests.meshing.test_casefile import small_case
folder = Path(sys.argv[1])
cases = [small_case(value, size=48) for value in (1, 2)]
print("ready", flush=True)
for turn in range(10_000):
    write_case(folder, cases[turn % 2])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_killed_at_forty_random_moments_the_case_is_old_or_new(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    wanted = {value: small_case(value, size=48) for value in (1, 2)}
    write_case(folder, wanted[1])
    rng = random.Random(20)
    seen = set()
    for _ in range(40):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout and writer.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.12))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        found = read_case(folder)
        value = int(found.scan.voxels[0, 0, 0])
        assert_equal(wanted[value], found)
        seen.add(value)
    assert seen == {1, 2}, "the writer was never caught between two cases"
    write_case(folder, wanted[1])
    named = {path.name for path in folder.rglob("*.npy")}
    assert len(named) == 2 + 1 + 2 * len(wanted[1].surfaces)
    assert not list(folder.rglob("*.part"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; needs the right to mount."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True)
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {mount.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_is_a_typed_error_and_loses_nothing(tiny_disk: Path) -> None:
    folder = tiny_disk / "case"
    old = small_case(value=1)
    write_case(folder, old)
    with pytest.raises(CaseError, match="disk is full"):
        write_case(folder, small_case(value=2, size=130))
    assert_equal(old, read_case(folder))
    assert not list(folder.rglob("*.part"))


def test_simulated_full_disk_is_a_typed_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "case"
    old = small_case(value=1)
    write_case(folder, old)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CaseError, match="disk is full") as caught:
        write_case(folder, small_case(value=2))
    assert "unchanged" in caught.value.hint
    monkeypatch.undo()
    assert_equal(old, read_case(folder))


def test_disk_that_forgets_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshing import atomic

    def lose_the_end(handle: int) -> None:
        with contextlib.suppress(OSError):  # folders are synced too
            os.ftruncate(handle, 10)

    monkeypatch.setattr(atomic.os, "fsync", lose_the_end)
    with pytest.raises(AnatomyError, match="bytes reached the disk"):
        write_case(tmp_path / "case", small_case())
    assert not is_case(tmp_path / "case")


def test_overlapping_segments_survive(tmp_path: Path) -> None:
    case = small_case()
    labels = case.segmentations["main"]
    second = np.zeros(labels.grid.shape, np.uint16)
    second[5:8, 5:8, 5:8] = 400
    lesion = Segment("cyst", 400, 1, labels.segments[1].structure, inside="liver")
    both = Segmentation((*labels.layers, second), labels.grid, (*labels.segments, lesion), "two layers")
    again = replace(case, segmentations={"main": both})
    write_case(tmp_path / "case", again)
    assert_equal(again, read_case(tmp_path / "case"))
