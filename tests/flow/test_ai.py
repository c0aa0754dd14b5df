"""A model of one's own through the command line: scan, case, picture, headset model, verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshing.casefile import read_case
from meshing.phantoms.varied import varied
from tests.flow.command import anatomyxr, answer
from tests.meshing.ai.test_onnx import organ
from tests.meshing.importing.specimens import write_nifti
from tests.meshing.segmenters.scans import dice

MODEL = Path(__file__).parent.parent / "meshing" / "ai" / "models" / "phantom_abdomen.onnx"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom that the model never saw, as a file without a modality."""
    made = varied(1007, spacing_mm=4.0)
    return write_nifti(tmp_path_factory.mktemp("scan") / "ct.nii.gz", made.volume.voxels, made.volume.grid)


@pytest.mark.slow
def test_a_model_goes_end_to_end(scan: Path, tmp_path: Path) -> None:
    built = answer("build", scan, tmp_path / "case", "--model", MODEL)
    assert {row["key"] for row in built["structures"]} == {"liver", "spleen", "kidney_left", "kidney_right"}
    segmentation = read_case(tmp_path / "case").segmentations["model"]
    made = varied(1007, spacing_mm=4.0)
    assert dice(segmentation.mask("liver"), organ(made, "liver")) >= 0.90
    assert segmentation.source.startswith("model phantom-abdomen 1 (sha256 ")
    assert segmentation.source.endswith("Apache-2.0")
    assert any(fact["text"].startswith("surfaces of model by nets") for fact in built["facts"])
    shown = answer("shot", tmp_path / "case", tmp_path / "picture.png", "--size", "640x480")
    assert shown["bytes"] > 10_000
    assert answer("export", tmp_path / "case", tmp_path / "abdomen.glb")["verified"]
    assert answer("verify", tmp_path / "abdomen.glb", "--case", tmp_path / "case")["ok"]


def test_labels_come_first_and_the_model_adds_what_they_lack(scan: Path, tmp_path: Path) -> None:
    made = varied(1007, spacing_mm=4.0)
    (tmp_path / "masks").mkdir()
    write_nifti(tmp_path / "masks" / "liver.nii.gz", made.segmentation.mask("liver").astype(np.uint8), made.volume.grid)
    answer("build", scan, tmp_path / "case", "--model", MODEL, "--labels", tmp_path / "masks")
    case = read_case(tmp_path / "case")
    assert [segment.key for segment in case.segmentations["labels"].segments] == ["liver"]
    assert "liver" not in {segment.key for segment in case.segmentations["model"].segments}
    assert (case.segmentations["labels"].mask("liver") == made.segmentation.mask("liver")).all()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "nowhere"), 1, "no such model (nowhere)"),
        (("--model", str(MODEL), "--model-seconds", "0.001"), 1, "took longer than 0.001 s"),
        (("--model", str(MODEL), "--model-seconds", "soon"), 2, "'soon' is not a number of seconds"),
    ],
)
def test_what_cannot_be_is_said_and_no_case_is_left(
    scan: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = anatomyxr("build", scan, tmp_path / "case", *arguments)
    assert done.returncode == code and said in done.stderr
    assert not (tmp_path / "case").exists()


def test_segmenters_describes_the_model_at_a_path() -> None:
    row = answer("segmenters", "--model", MODEL)["segmenters"][0]
    assert (row["name"], row["kind"], row["modality"]) == ("phantom-abdomen", "model", "CT")
    assert row["structures"] == ["liver", "spleen", "kidney_right", "kidney_left"]
    assert row["licence"] == "Apache-2.0" and row["use"] == f"--model {MODEL}"
