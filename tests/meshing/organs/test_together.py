"""Several organs at once, and through the whole flow: build, confidence in the case, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshing.build import BuildSettings, build
from meshing.casefile import read_case, write_case
from meshing.drawing import CLICKS, CONFIDENCE
from meshing.errors import NotFoundError, SegmentationError
from meshing.organs.together import kind_of, requests_for
from meshing.plan import Point
from meshing.volume import Volume
from tests.flow.command import anatomyxr, answer
from tests.meshing.organs.lesions import inner_point, lesion
from viewer.scene import Choices, resolve
from viewer.scene.certainty import colours_of, on_surface

HERE: Point = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Point]:
    """A lesion as NIfTI, and a point in it."""
    import nibabel

    known = lesion((14.0, 12.0, 13.0), -60.0, spacing_mm=(2.0, 2.0, 2.0), seed=3)
    voxels = known.volume.voxels.copy()
    voxels[:3] = -1000  # air says that it is a CT
    path = tmp_path_factory.mktemp("scan") / "lesion.nii.gz"
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(voxels, to_ras @ known.volume.grid.voxel_to_patient), path)
    return path, inner_point(known, "lesion", 0.5, 0)


def test_names_in_both_languages_and_several_points_make_one_request() -> None:
    requests = requests_for([("左肾", HERE), ("bladder", HERE), ("Left kidney", HERE)], [("bladder", HERE)])
    assert [request.kind for request in requests] == ["kidney_left", "urinary_bladder"]
    assert len(requests[0].clicks.inside_mm) == 2
    assert requests[1].clicks.outside_mm == (HERE,)


def test_what_cannot_be_grown_is_an_error() -> None:
    with pytest.raises(NotFoundError, match="femur"):
        kind_of("femur")
    with pytest.raises(SegmentationError, match="0 clicks and 0 boxes"):
        requests_for([], [("liver", HERE)])
    box = (HERE, (1.0, 1.0, 1.0))
    with pytest.raises(SegmentationError, match="2 boxes"):
        requests_for([], [], [("liver", box), ("liver", box)])


def test_a_case_keeps_what_grew_and_how_sure_it_is(scan: tuple[Path, Point], tmp_path: Path) -> None:
    path, point = scan
    settings = BuildSettings(clicks=requests_for([("lesion", point)]))
    case = build(path, settings).case
    write_case(tmp_path / "case", case)
    again = read_case(tmp_path / "case")
    assert again.segmentations[CLICKS].source == "grown from 1 click"
    assert again.scan is again.volumes["scan"]
    confidence: Volume = again.volumes[CONFIDENCE]
    assert confidence.voxels.dtype == np.float32
    assert confidence.grid.shape == again.scan.grid.shape
    surface = again.surfaces["lesion"]
    sure = on_surface(confidence, surface.vertices, surface.faces)
    assert sure.shape == (len(surface.vertices),)
    assert 0.0 <= sure.min() <= sure.max() <= 1.0 + 1e-6
    scene = resolve(again, Choices(is_confidence_shown=True, size=(400, 300)))
    assert scene.surfaces[0].colours is not None
    assert all(one.overlay is not None for one in scene.slices.values())
    assert all(one.overlay is None for one in resolve(again, Choices(size=(400, 300))).slices.values())


def test_a_map_of_confidence_that_is_not_there_is_an_error(scan: tuple[Path, Point]) -> None:
    case = build(scan[0], BuildSettings(preset="none")).case
    with pytest.raises(NotFoundError, match="no map of confidence"):
        resolve(case, Choices(is_confidence_shown=True))


def test_colours_of_confidence_differ_in_brightness_too() -> None:
    """Rec. 709 luma falls from unsure to sure, so the scale reads in grey and with any colour vision."""
    luma = colours_of(np.linspace(0, 1, 20)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) < 0).all()
    assert luma[0] - luma[-1] > 0.35


def test_the_command_line_grows_draws_and_exports(scan: tuple[Path, Point], tmp_path: Path) -> None:
    path, point = scan
    case, where = tmp_path / "case", ",".join(f"{value:.1f}" for value in point)
    made = answer("build", path, case, "--click", f"lesion={where}")
    assert [row["key"] for row in made["structures"]] == ["lesion"]
    assert "grown" in {fact["kind"] for fact in made["facts"]}
    picture = tmp_path / "picture.png"
    answer("shot", case, picture, "--confidence", "--language", "zh", "--size", "600x450", "--layout", "slices")
    assert Image.open(picture).size == (600, 450)
    answer("export", case, tmp_path / "model.glb")
    answer("verify", tmp_path / "model.glb", "--case", case)


def test_a_click_in_air_is_an_error_with_numbers(scan: tuple[Path, Point], tmp_path: Path) -> None:
    done = anatomyxr("build", scan[0], tmp_path / "case", "--click", "liver=9999,0,0")
    assert done.returncode == 1
    assert "mm outside the scan" in done.stderr
    wrong = anatomyxr("build", scan[0], tmp_path / "case", "--click", "liver")
    assert wrong.returncode == 2
    assert "NAME=L,P,S" in wrong.stderr
