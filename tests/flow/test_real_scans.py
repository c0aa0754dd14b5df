"""The main job on real public scans: build, picture, export, verify, each through the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flow.command import anatomyxr, answer

pytestmark = pytest.mark.slow

Find = Callable[[str], Path]


@dataclass(frozen=True)
class RealScan:
    """A scan, what to build of it, and the keys that must come out."""

    scan: str
    options: tuple[str, ...]
    keys: frozenset[str]
    shape: tuple[int, int, int] | None = None
    labels: str = ""


SCANS = {
    "ct_dicom": RealScan(
        "ct_dicom_lidc0314/lidc-idri-0314_ct.zip",
        ("--preset", "ct-body"),
        frozenset({"skin", "lung_left", "bone"}),  # the right lung base is compressed by an effusion
        (512, 512, 78),
    ),
    "ct_61_labels": RealScan(
        "ct_abdomen_labels/example_ct.nii.gz",
        (),
        frozenset({"liver", "spleen", "kidney_left", "kidney_right", "aorta", "vertebrae_L3", "urinary_bladder"}),
        (122, 101, 112),
        labels="ct_abdomen_labels/example_seg_fast_force_split.nii.gz",
    ),
    "cta_masks": RealScan(
        "cta_aorta/aorta/ct_cropped.nii.gz",
        (),
        frozenset({"aorta", "aorta_true_lumen", "aorta_false_lumen", "celiac_trunk"}),
        (120, 126, 164),
        labels="cta_aorta/aorta",
    ),
    "mra": RealScan(
        "mra_aorta_vmtk/aorta.mha", ("--preset", "mr-vessels"), frozenset({"arterial_tree"}), (157, 393, 34)
    ),
    "mr_head": RealScan(
        "mr_t1_head_dicom/t1_head_dicom.zip", ("--preset", "mr-head"), frozenset({"skin", "brain"}), (274, 384, 384)
    ),
    "tilted_phantom": RealScan(
        "phantom_ct_tilt/head_phantom_tilt_p16.5.zip", ("--preset", "ct-bone"), frozenset({"bone"})
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_scan_becomes_case_picture_and_verified_model(name: str, real_data: Find, tmp_path: Path) -> None:
    wanted = SCANS[name]
    options: list[object] = list(wanted.options)
    if wanted.labels:
        options += ["--labels", real_data(wanted.labels)]
    built = answer("build", real_data(wanted.scan), tmp_path / "case", *options)
    keys = {row["key"] for row in built["structures"]}
    assert wanted.keys <= keys
    if wanted.shape:
        assert sorted(built["grid"]["shape"]) == sorted(wanted.shape)
    for row in built["structures"]:
        assert row["closed"] and row["manifold"] and row["volume_ml"] > 0, row["key"]
        allowed = 0.03 if row["raw_volume_ml"] < 2 else 0.01
        assert abs(row["volume_ml"] - row["raw_volume_ml"]) <= allowed * row["raw_volume_ml"], row["key"]
    answer("shot", tmp_path / "case", tmp_path / "four.png", "--size", "1000x800")
    assert np.asarray(Image.open(tmp_path / "four.png").convert("L")).std() > 15
    model = answer("export", tmp_path / "case", tmp_path / "case.glb", "--budget", 150_000)
    assert model["verified"] is True
    assert answer("verify", tmp_path / "case.glb", "--case", tmp_path / "case")["ok"]


def test_all_sixty_one_labels_keep_their_names(real_data: Find, tmp_path: Path) -> None:
    built = answer(
        "build",
        real_data("ct_abdomen_labels/example_ct.nii.gz"),
        tmp_path / "case",
        "--labels",
        real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz"),
    )
    assert len(built["structures"]) == 61
    left, right = (
        next(row for row in built["structures"] if row["key"] == f"kidney_{side}") for side in ("left", "right")
    )
    assert (left["name"], left["name_zh"], left["side"]) == ("Left kidney", "左肾", "left")
    assert left["code"] == right["code"] == "64033007"  # SNOMED CT "kidney structure"; the side is a field of its own
    assert right["side"] == "right"
    assert all(row["code"] for row in built["structures"] if row["key"].startswith("vertebrae_L"))


def test_enhanced_multiframe_offers_its_phases(real_data: Find, tmp_path: Path) -> None:
    folder = real_data("mr_enhanced_multiframe")
    (series,) = [row for row in answer("info", folder)["series"] if row["usable"]]
    assert series["phases"] == 4
    built = answer("build", folder, tmp_path / "case", "--phase", 1, "--preset", "none")
    assert built["grid"]["shape"] == [64, 64, 6]
    assert built["grid"]["spacing_mm"] == pytest.approx([3.375, 3.375, 2.4], abs=0.001)
    assert built["structures"] == []
    answer("shot", tmp_path / "case", tmp_path / "slices.png", "--layout", "slices", "--size", "800x600")
    assert np.asarray(Image.open(tmp_path / "slices.png").convert("L")).std() > 15
    nothing = anatomyxr("export", tmp_path / "case", tmp_path / "empty.glb")
    assert nothing.returncode == 1
    assert "Try: " in nothing.stderr
    refused = anatomyxr("build", folder, tmp_path / "none", "--preset", "mr-head")
    assert refused.returncode == 1
    assert "--phase" in refused.stderr


def test_info_names_series_without_patient(real_data: Find) -> None:
    found = answer("info", real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip"))
    (series,) = found["series"]
    assert (series["ordinal"], series["kind"], series["modality"]) == (1, "volume", "CT")
    assert series["shape"] == [512, 512, 78]
    assert series["spacing_mm"] == pytest.approx([0.78125, 0.78125, 1.0])
    assert "LIDC" not in str(series)


@pytest.mark.slow
def test_any_sensible_budget_gives_a_verified_model(real_data: Find, tmp_path: Path) -> None:
    """Shared walls without freedom, lost branches, volumes off: each failed at one budget and not at the next."""
    folder = real_data("ct_abdomen_labels")
    case = tmp_path / "case"
    answer("build", folder / "example_ct.nii.gz", case, "--labels", folder / "example_seg.nii.gz")
    for budget in (12_000, 15_000, 20_000, 30_000, 40_000, 60_000):
        model = answer("export", case, tmp_path / f"{budget}.glb", "--budget", budget)
        assert model["verified"] is True
        assert model["triangles"] <= budget
