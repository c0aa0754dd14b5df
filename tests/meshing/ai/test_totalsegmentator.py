"""TotalSegmentator's tasks: our table, what they lack, their names; against the package where it is installed."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from meshing.ai import totalsegmentator as tasks
from meshing.ai.answer import read_answer
from meshing.ai.exchange import Drawn, scan_of, write_answer
from meshing.importing.scan import import_scan
from meshing.segmenters.presets import ENTRY_POINTS, Segmenter
from meshing.terminology import match
from meshing.voxels.upright import upright
from tests.conftest import REPOSITORY

NAMES = tuple(tasks._table()["presets"])

has_package = pytest.mark.skipif(
    importlib.util.find_spec("totalsegmentator") is None, reason="the extra [totalsegmentator] is not installed"
)


def declared() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries: dict[str, str] = project["entry-points"][ENTRY_POINTS]
    return entries


def test_every_task_of_the_table_is_an_entry_point_that_loads() -> None:
    assert set(declared()) == set(NAMES)
    for name, value in declared().items():
        loaded = EntryPoint(name, value, ENTRY_POINTS).load()
        assert isinstance(loaded, Segmenter) and loaded.preset.name == name
        assert loaded.preset.modality in ("CT", "MR") and "Apache-2.0" in loaded.licence


def test_an_attribute_that_is_no_task_is_missing() -> None:
    with pytest.raises(AttributeError):
        tasks.totalsegmentator_of_the_moon  # noqa: B018


def test_the_open_tasks_are_none_that_need_a_licence() -> None:
    offered = {tasks.task_preset(name).options["task"] for name in NAMES}
    assert not offered & set(tasks.licensed_tasks())
    assert {"coronary_arteries", "heartchambers_highres", "tissue_types", "face"} <= set(tasks.licensed_tasks())


def test_the_classes_of_the_whole_body_are_all_in_the_terminology() -> None:
    names = tasks.class_names("totalsegmentator")
    assert len(names) == 117 and names[1] == "spleen" and names[5] == "liver"
    assert all(known is not None and known.key == name for name in names.values() for known in [match(name)])
    assert tasks.class_names("totalsegmentator-liver-lesions") == {1: "tumour"}


def test_without_the_package_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshing.ai.plugin.find_spec", lambda name: None)
    said = tasks.task_preset("totalsegmentator").unavailable_because()
    assert said.startswith("totalsegmentator, nnunetv2, torch are not installed")
    assert said.endswith("pip install 'anatomyxr[totalsegmentator]'")


def test_weights_that_are_not_here_are_counted_and_their_command_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("meshing.ai.plugin.find_spec", lambda name: object())
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path))
    said = tasks.task_preset("totalsegmentator-liver-vessels").unavailable_because()
    assert f"2 of 2 sets of weights are not in {tmp_path}" in said
    assert "totalseg_download_weights -t liver_vessels && totalseg_download_weights -t total_fast" in said
    for folder in tasks.task_preset("totalsegmentator-liver-vessels").weights:
        fold = tmp_path / folder / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "fold_0"
        fold.mkdir(parents=True)
        assert tasks.task_preset("totalsegmentator-liver-vessels").unavailable_because()
        (fold / "checkpoint_final.pth").touch()
    assert tasks.task_preset("totalsegmentator-liver-vessels").unavailable_because() == ""


def test_its_weights_lie_where_the_package_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path))
    assert tasks.weights_folder() == tmp_path / "nnunet" / "results"
    monkeypatch.delenv("TOTALSEG_HOME_DIR")
    assert tasks.weights_folder() == Path.home() / ".totalsegmentator" / "nnunet" / "results"


def test_the_example_labels_find_their_61_structures(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """The package's own output on its own example: this tests names and plumbing, not quality."""
    volume = import_scan(real_data("ct_abdomen_labels/example_ct.nii.gz")).volume
    drawn = import_scan(real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz")).volume
    scan = upright(volume)
    labels = upright(drawn).voxels.astype(np.int32)
    write_answer(tmp_path, Drawn(labels, tasks.class_names("totalsegmentator"), scan_of(volume, scan).voxel_to_patient))
    found = read_answer(tmp_path, scan, where="totalsegmentator", source="example")
    assert len(found.segments) == 61
    assert all(match(segment.key) is not None for segment in found.segments)
    assert (found.mask("liver") == (drawn.voxels == 5)).all()


# ------------------------------------------------------------------------------------------- against the real package


@has_package
def test_the_table_is_what_the_installed_package_says() -> None:
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import class_map, commercial_models

    assert set(tasks.licensed_tasks()) == set(commercial_models)
    for name, row in tasks._table()["presets"].items():
        classes = row.get("classes") or tasks._table()["presets"][row["classes_of"]]["classes"]
        assert dict(enumerate(classes, start=1)) == class_map[row["task"]], name
        task = TASK_CONFIGS[row["task"]]
        task = task["sub_modes"]["fast" if row["is_fast"] else "default"] if "sub_modes" in task else task
        ids = task["task_id"] if isinstance(task["task_id"], list) else [task["task_id"]]
        crop = [297 if task.get("robust_crop") else 298] if task.get("crop") else []
        assert row["weights"] == [TASK_ID_WEIGHTS_CONFIGS[number]["foldername"] for number in [*ids, *crop]], name


@has_package
def test_the_child_keeps_the_package_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real package: settings of its own, no statistics, the user's weights, and no way to any server."""
    import requests

    for name in (
        "TOTALSEG_HOME_DIR",
        "TOTALSEG_WEIGHTS_PATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ):
        monkeypatch.setenv(name, "")
    tasks._keep_to_itself(tmp_path / "home", str(tmp_path / "weights"))
    from totalsegmentator.config import get_config_key, get_weights_dir

    assert get_config_key("send_usage_stats") is False
    assert get_weights_dir() == tmp_path / "weights"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://backend.totalsegmentator.invalid", timeout=5)


@has_package
def test_without_weights_the_real_package_is_not_run_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path))
    assert "5 of 5 sets of weights" in tasks.task_preset("totalsegmentator").unavailable_because()
