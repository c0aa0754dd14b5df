"""`build --level`: the surface where grey values pass a number, from the command line to the case."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.flow.command import anatomyxr, answer

RADIUS_MM = 12.0


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball of 1000 HU in water, falling linearly across its edge: half way down lies exactly its radius."""
    spacing = np.array([0.8, 0.8, 1.25])
    centres = (np.indices((44, 44, 30)).T - np.array([43, 43, 29]) / 2).T * spacing[:, None, None, None]
    beyond = np.linalg.norm(centres, axis=0) - RADIUS_MM
    voxels = np.round(np.clip(500 - 200 * beyond, 0, 1000)).astype(np.int16)
    path = tmp_path_factory.mktemp("ball") / "ball.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return path


def test_levels_become_named_closed_surfaces_at_the_radius_of_the_level(ball: Path, tmp_path: Path) -> None:
    found = answer("build", ball, tmp_path / "case", "--level", "500=bone", "--level", 250, "--quality")
    rows = {row["key"]: row for row in found["structures"]}
    assert rows.keys() == {"bone", "above_250"}
    for key, radius_mm in (("bone", RADIUS_MM), ("above_250", RADIUS_MM + 1.25)):
        exact_ml = 4 / 3 * np.pi * radius_mm**3 / 1000
        assert rows[key]["closed"] and rows[key]["manifold"]
        # Planes cut off the caps of a ball: at 0.8 mm voxels half a per cent.
        assert rows[key]["volume_ml"] == pytest.approx(exact_ml, rel=0.006)
    assert any("follow the grey values" in fact["text"] for fact in found["facts"])


def test_level_may_be_negative_and_stands_alone(ball: Path, tmp_path: Path) -> None:
    found = answer("build", ball, tmp_path / "case", "--preset", "none", "--level", "-1=skin")
    assert [row["key"] for row in found["structures"]] == ["skin"]


def test_level_stands_beside_labels_and_not_under_their_name(ball: Path, tmp_path: Path) -> None:
    image = nibabel.load(ball)
    drawn = nibabel.Nifti1Image((np.asarray(image.dataobj) > 700).astype(np.uint8), image.affine)
    nibabel.save(drawn, tmp_path / "liver.nii.gz")
    labels = ("--labels", tmp_path / "liver.nii.gz")
    found = answer("build", ball, tmp_path / "case", *labels, "--level", "500=bone")
    assert {row["key"] for row in found["structures"]} == {"bone", "liver"}
    twin = anatomyxr("build", ball, tmp_path / "case", *labels, "--level", "500=liver")
    assert twin.returncode == 1 and "another name" in twin.stderr


def test_large_levels_keep_their_digits_and_other_ways_of_contouring_are_refused(ball: Path, tmp_path: Path) -> None:
    found = answer("build", ball, tmp_path / "case", "--level", "-0.0", "--level", 999.5)
    assert [row["key"] for row in found["structures"]] == ["above_0", "above_999_5"]
    done = anatomyxr("build", ball, tmp_path / "case", "--level", 500, "--fine")
    assert done.returncode == 1 and "grey levels" in done.stderr


def test_level_above_everything_is_an_error_with_the_numbers(ball: Path, tmp_path: Path) -> None:
    done = anatomyxr("build", ball, tmp_path / "case", "--level", 3000)
    assert done.returncode == 1
    assert "above 3000;" in done.stderr and "1000" in done.stderr and "lower level" in done.stderr


def test_two_levels_of_one_name_are_refused(ball: Path, tmp_path: Path) -> None:
    done = anatomyxr("build", ball, tmp_path / "case", "--level", "200=bone", "--level", "300=bone")
    assert done.returncode == 1 and "bone" in done.stderr


@pytest.mark.parametrize("text", ["high", "nan=bone", "=bone"])
def test_what_is_no_level_is_wrong_usage(ball: Path, tmp_path: Path, text: str) -> None:
    assert anatomyxr("build", ball, tmp_path / "case", "--level", text).returncode == 2
