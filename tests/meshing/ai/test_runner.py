"""Plug-ins in their own process: right answers come back, all else is a typed error and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshing.ai.runner import ChildLimits, Job, run_apart
from meshing.errors import PlugInError, SegmentationError
from meshing.progress import Cancelled
from meshing.segmentation import Segmentation
from meshing.volume import Grid, Volume
from tests.conftest import REPOSITORY
from tests.meshing.ai.packages import write_package
from tests.shapes import oblique, storage_orders, upright_grid

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")

GRID = upright_grid((6, 7, 8), (1.0, 1.5, 2.0))


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(write_package(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "exchange"))
    (tmp_path / "exchange").mkdir()
    return tmp_path


def scan(grid: Grid = GRID) -> Volume:
    """The left end is brightest."""
    left = grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))[..., 0]
    return Volume(np.rint(100 * left).astype(np.int16), grid, "CT", "HU")


def run(name: str, *, volume: Volume | None = None, limits: ChildLimits | None = None, **options: Any) -> Segmentation:
    limits = limits or ChildLimits(60)
    job = Job("foreign", f"foreign_model:{name}", "foreign 1.0, MIT", options, limits)
    return run_apart(job, volume or scan())


def test_a_right_answer_comes_back_with_its_source_and_nothing_stays(tmp_path: Path) -> None:
    found = run("good", threshold=-2900)
    assert (found.mask("liver") == (scan().voxels > -2900)).all()
    assert found.source == "foreign 1.0, MIT"
    assert list((tmp_path / "exchange").iterdir()) == []
    assert "foreign_model" not in sys.modules


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crash", r"it crashed \(SIGSEGV\); it last said “.*address 0"),
        ("abort", r"it crashed \(SIGABRT\)"),
        ("killed", r"it was killed \(SIGKILL\), most likely because the memory"),
        ("raises", r"RuntimeError: the moon is in the wrong house and more"),
        ("gives_up", "it gave up with exit code 3"),
        ("leaves", "ended with exit code 0 and without an answer"),
        ("other_shape", r"drew on \(3, 3, 3\) voxels, the scan has \(6, 7, 8\)"),
        ("other_place", r"lie elsewhere: the first 12\.50 mm off"),
        ("no_place", "the place of its voxels is none"),
        ("unknown_labels", r"does not name: 7 \(1 voxels\), 9 \(2 voxels\); it names \[1\]"),
        ("nothing", "nothing was found: none of 1 structures"),
        ("floats", "its labels are float64 numbers, not integers"),
        ("not_numbers", "its labels are float32 numbers, 56 of them not finite"),
        ("negative", "reach from -1 to 0"),
        ("too_high", r"it names labels \[70000\]"),
        ("nameless", r"labels that it does not name: 1 \(18 voxels\)"),
        ("words", "its labels are <U5 numbers, not integers"),
        ("objects", "ValueError"),
        ("no_answer", "it gave NoneType, not meshing.ai.Drawn"),
        ("not_there", "AttributeError: module 'foreign_model' has no attribute 'not_there'"),
    ],
)
def test_what_goes_wrong_is_said(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match=said) as caught:
        run(name)
    assert isinstance(caught.value, PlugInError) == (name != "nothing")
    assert caught.value.where == "foreign" and caught.value.hint
    assert list((tmp_path / "exchange").iterdir()) == []


def test_a_module_that_cannot_be_imported_names_what_is_missing() -> None:
    with pytest.raises(PlugInError, match="ModuleNotFoundError: No module named 'nowhere'"):
        run_apart(Job("foreign", "nowhere:segment", "x"), scan())


def test_what_a_plug_in_states_is_passed_on_with_its_hint() -> None:
    with pytest.raises(SegmentationError, match="the scan has 3 slices, 16 are needed") as caught:
        run("states")
    assert not isinstance(caught.value, PlugInError)
    assert caught.value.hint == "scan more"


def test_one_that_hangs_is_stopped_when_its_time_is_up() -> None:
    began = time.monotonic()
    with pytest.raises(PlugInError, match=r"took longer than 1\.5 s .*thinking for ever"):
        run("hang", limits=ChildLimits(1.5))
    assert time.monotonic() - began < 6.0


def test_one_that_asks_for_too_much_memory_is_refused_it() -> None:
    with pytest.raises(PlugInError, match="needs more than 4 GiB of memory"):
        run("full_memory", limits=ChildLimits(60, memory_gib=4))


def test_one_that_prints_without_end_is_stopped() -> None:
    with pytest.raises(PlugInError, match="printed more than 64 MB"):
        run("flood")


def test_garbage_on_every_stream_changes_nothing() -> None:
    heard: list[tuple[float, str]] = []
    job = Job("foreign", "foreign_model:chatter", "x")
    found = run_apart(job, scan(), progress=lambda done, doing: heard.append((done, doing)))
    assert found.mask("liver").sum() == 18
    assert all(0 <= done <= 1 and doing.isprintable() for done, doing in heard)


def hexed(array: np.ndarray) -> str:
    with tempfile.TemporaryFile() as file:
        np.save(file, array)
        file.seek(0)
        return file.read().hex()


RIGHT_WORDS = json.dumps({"names": [[1, "liver"]], "voxel_to_patient": None})


@pytest.mark.parametrize(
    ("words", "labels", "said"),
    [
        ("{", "", "its answer is no JSON"),
        ("[1]", "", "no JSON object"),
        ("{}", "", "does not say what its labels are called"),
        ('{"names": [["1", "liver"]]}', "", "does not say what"),
        ('{"names": [[1, "liver"]], "voxel_to_patient": [[1]]}', "", "the place of its voxels is none"),
        ('{"names": [[1, "liver"]], "voxel_to_patient": "here"}', "", "the place of its voxels is none"),
        (RIGHT_WORDS, "", "its labels are no array"),
        (RIGHT_WORDS, "504b0304" + "00" * 40, "its labels are no array"),
        (RIGHT_WORDS, hexed(np.ones((6, 7, 8), np.uint8))[:-40], "its labels are no array"),
        (RIGHT_WORDS, hexed(np.ones((6, 7), np.uint8)), r"drew on \(6, 7\) voxels"),
        (RIGHT_WORDS, hexed(np.ones((300, 6, 7, 8), np.uint8)), r"drew on \(300, 6, 7, 8\) voxels"),
        (RIGHT_WORDS, hexed(np.ones((6, 7, 8), [("a", "u1")])), "not integers"),
    ],
)
def test_a_forged_answer_is_not_believed(words: str, labels: str, said: str) -> None:
    with pytest.raises(PlugInError, match=said):
        run("forged", words=words, labels=labels)


def test_cancelling_ends_the_child_and_what_it_started_at_once(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def stop(done: float, doing: str) -> None:
        if pids.exists() and len(pids.read_text().split()) == 2:
            raise Cancelled

    job = Job("foreign", "foreign_model:parent_of_many", "x", {"pids": str(pids)})
    with pytest.raises(Cancelled):
        run_apart(job, scan(), progress=stop)
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())
    assert list((tmp_path / "exchange").iterdir()) == []


def is_gone(pid: int) -> bool:
    """Within a second: a killed process without a parent waits for init to reap it."""
    for _ in range(20):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 0)
                time.sleep(0.05)
                continue
            return True
        time.sleep(0.05)
    return False


def test_the_child_ends_and_takes_the_scan_with_it_when_its_parent_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import numpy as np\n"
        "from meshing.ai.runner import Job, run_apart\n"
        "from meshing.volume import Grid, Volume\n"
        "volume = Volume(np.zeros((3, 3, 3), np.int16), Grid((3, 3, 3), np.eye(4)), 'CT', 'HU')\n"
        f"run_apart(Job('x', 'foreign_model:parent_of_many', 'x', {{'pids': {str(pids)!r}}}), volume)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}", "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=tmp_path)
    try:
        for _ in range(200):
            if pids.exists() and len(pids.read_text().split()) == 2:
                break
            time.sleep(0.1)
        found = [int(pid) for pid in pids.read_text().split()]
        assert list(tmp_path.glob("anatomyxr-*/scan.npy"))
    finally:
        parent.kill()
        parent.wait()
    assert len(found) == 2 and all(is_gone(pid) for pid in found)
    assert not list(tmp_path.glob("anatomyxr-*"))


def test_progress_is_heard_and_never_falls() -> None:
    heard: list[float] = []
    said: list[str] = []

    def hear(done: float, doing: str) -> None:
        heard.append(done)
        said.append(doing)

    run_apart(Job("foreign", "foreign_model:environment", "x"), scan(), progress=hear)
    assert heard == sorted(heard)
    assert any("no secret CT" in doing for doing in said)


def test_secrets_of_our_environment_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "the key")
    said: list[str] = []
    job = Job("foreign", "foreign_model:environment", "x")
    run_apart(job, scan(), progress=lambda done, doing: said.append(doing))
    assert any("no secret" in doing for doing in said) and not any("the key" in doing for doing in said)


def test_names_find_the_terminology_and_unknown_ones_stay() -> None:
    found = run("foreign_names")
    keys = {segment.key for segment in found.segments}
    assert keys == {"kidney_left", "kidney_left_2", "spleen", "gizmo_of_the_liver"}
    assert found.layers[0].dtype == np.uint16 and len(found.layers) == 2
    assert found.segment("gizmo_of_the_liver").structure.name == "gizmo of the liver"
    gizmo = found.mask("gizmo_of_the_liver")
    assert [(found.mask(key) & gizmo).any() for key in ("kidney_left", "kidney_left_2")].count(True) == 1


@pytest.mark.parametrize("grid", [GRID, oblique(GRID, 1), storage_orders(GRID)[7]])
def test_seeds_arrive_in_patient_millimetres(grid: Grid) -> None:
    seed = tuple(grid.to_patient((4, 2, 5)).tolist())
    found = run_apart(Job("foreign", "foreign_model:seeds", "x"), scan(grid), seeds_mm=(seed,))
    assert np.argwhere(found.mask("liver")).tolist() == [[4, 2, 5]]


@pytest.mark.parametrize("grid", [GRID, oblique(GRID, 1), storage_orders(GRID)[37]])
def test_its_own_place_is_accepted_on_any_grid(grid: Grid) -> None:
    assert run("own_place", volume=scan(grid)).mask("liver").any()


@pytest.mark.slow
def test_all_storage_orders_give_the_same_voxels_in_space() -> None:
    wanted = None
    for grid in storage_orders(GRID):
        found = run("good", volume=scan(grid), threshold=-2900)
        points = grid.to_patient(np.argwhere(found.mask("liver")))
        there = sorted(map(tuple, points.round(6).tolist()))
        wanted = wanted or there
        assert there == wanted
