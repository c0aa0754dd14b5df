"""What lies at a path is known by its content, or refused by what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from meshing.ai.models import open_model
from meshing.errors import AnatomyError, NotFoundError, SegmentationError

MODELS = Path(__file__).parent / "models"

DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}}
PLANS = {"dataset_name": "Dataset901_Phantom", "plans_name": "nnUNetPlans", "configurations": {}}
METADATA = {
    "name": "phantom",
    "version": "0.3",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT"}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "liver"}}},
    },
}


def nnunet(folder: Path, dataset: dict[str, Any] = DATASET, folds: tuple[str, ...] = ("0", "3")) -> Path:
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(PLANS))
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(b"weights " + fold.encode())
    return folder


def bundle(folder: Path, metadata: dict[str, Any] = METADATA, weights: str = "model.pt") -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text("{}")
    (folder / "models" / weights).write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("path", [MODELS / "threshold.onnx", MODELS / "threshold.toml"])
def test_an_onnx_file_is_known_with_its_sidecar(path: Path) -> None:
    found = open_model(path)
    assert found.preset.name == "threshold" and found.preset.structures == ("liver",)
    assert "model threshold 1 (sha256 " in found.source and found.licence == "Apache-2.0"
    assert found.install == ("anatomyxr[ai]",)


def test_an_nnunet_folder_is_known_and_described(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    (folder / "anatomyxr.toml").write_text('axes = "LPS"\nlicence = "CC-BY-4.0"\n')
    found = open_model(folder)
    assert found.preset.name == "Dataset901_Phantom" and found.preset.modality == "CT"
    assert found.preset.structures == ("liver", "tumour")
    assert found.options["folds"] == ["0", "3"] and found.options["axes"] == "LPS"
    assert "folds 0, 3 (sha256 " in found.source and found.licence == "CC-BY-4.0"
    assert found.install == ("anatomyxr[nnunet]",)


def test_a_monai_bundle_is_known_and_described(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "phantom")
    (folder / "LICENSE").write_text("\nApache License\nVersion 2.0\n")
    found = open_model(folder)
    assert (found.preset.name, found.preset.modality, found.licence) == ("phantom", "CT", "Apache License")
    assert "model phantom 0.3, MONAI bundle (sha256 " in found.source


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: nnunet(p, folds=()), "no fold holds checkpoint_final.pth"),
        (lambda p: nnunet(p, {**DATASET, "channel_names": {"0": "T1", "1": "T2"}}), "wants 2 channels"),
        (lambda p: nnunet(p, {**DATASET, "labels": {"background": 0, "all": [1, 2]}}), "all is a region"),
        (lambda p: nnunet(p, {**DATASET, "labels": {"background": 0}}), "names no label"),
        (lambda p: bundle(p, weights="model.onnx"), "lacks models/model.pt or models/model.ts"),
        (lambda p: bundle(p, {"name": "x"}), "names no channel"),
        (lambda p: nnunet(p / "inner") if p.mkdir() is None else None, "1 nnU-Net models lie in it: inner"),
        (lambda p: p.mkdir(), "no model known here; it holds nothing"),
        (lambda p: p.write_text("x"), "no model known here"),
    ],
)
def test_what_is_incomplete_is_refused_with_what_is_missing(tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "model")
    with pytest.raises(SegmentationError, match=said) as caught:
        open_model(tmp_path / "model")
    assert caught.value.where


def test_broken_json_and_notes_are_refused(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "model")
    (folder / "anatomyxr.toml").write_text('axes = "LPX"')
    with pytest.raises(SegmentationError, match="axes is 'LPX'"):
        open_model(folder)
    (folder / "anatomyxr.toml").write_text("spacing = 3")
    with pytest.raises(SegmentationError, match="spacing = 3 is not known"):
        open_model(folder)
    (folder / "anatomyxr.toml").unlink()
    (folder / "plans.json").write_text("[")
    with pytest.raises(SegmentationError, match="cannot be read"):
        open_model(folder)


def test_nothing_there_says_what_a_model_may_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        open_model(tmp_path / "none")
    assert ".toml beside it" in caught.value.hint and "MONAI" in caught.value.hint


def test_a_model_that_its_sidecar_does_not_mean_is_refused(tmp_path: Path) -> None:
    for name in ("threshold.onnx", "threshold.toml"):
        shutil.copy(MODELS / name, tmp_path / name)
    with (tmp_path / "threshold.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(AnatomyError, match=r"its sha256 is [0-9a-f]{12}…, the sidecar says 558721282a2e…"):
        open_model(tmp_path / "threshold.onnx")
    (tmp_path / "threshold.toml").unlink()
    with pytest.raises(SegmentationError, match="no sidecar"):
        open_model(tmp_path / "threshold.onnx")
