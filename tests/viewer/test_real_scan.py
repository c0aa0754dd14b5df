"""A real abdomen, stored left to right and back to front: organs lie where they belong in every picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.case import Case
from meshing.extract import extract
from meshing.segmentation import Segment, Segmentation
from meshing.terminology import structures
from meshing.volume import Grid, Volume
from viewer.contours import area_and_centroid
from viewer.render import picture
from viewer.scene import Choices, Scene, resolve
from viewer.slices import Plane

LABELS = {"spleen": 1, "kidney_right": 2, "kidney_left": 3, "liver": 5, "aorta": 52, "inferior_vena_cava": 63}
CHOICES = Choices(size=(960, 720))


@pytest.fixture(scope="module")
def abdomen(real_data: Callable[[str], Path]) -> Case:
    import nibabel

    scan = nibabel.load(real_data("ct_abdomen_labels/example_ct.nii.gz"))
    labels = nibabel.load(real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz"))
    ras_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    grid = Grid(scan.shape, ras_to_lps @ scan.affine)
    voxels = np.asfortranarray(scan.dataobj, dtype=np.int16)
    layer = np.asfortranarray(labels.dataobj, dtype=np.uint8)
    segments = tuple(Segment(key, label, 0, structures()[key]) for key, label in LABELS.items())
    segmentation = Segmentation((layer,), grid, segments, "published labels")
    return Case("abdomen", {"scan": Volume(voxels, grid, "CT", "HU")}, {"main": segmentation}, extract(segmentation))


def middle_in(scene: Scene, plane: Plane, key: str) -> np.ndarray:
    """Middle of the largest contour, in pixels."""
    region = next(one for one in scene.slices[plane].regions if one.key == key)
    found: np.ndarray = max((area_and_centroid(contour) for contour in region.contours), key=lambda one: abs(one[0]))[1]
    return found


def test_organs_lie_on_their_side(abdomen: Case) -> None:
    scene = resolve(abdomen, CHOICES)
    liver, spleen = (middle_in(scene, "axial", key) for key in ("liver", "spleen"))
    cava, aorta = (middle_in(scene, "axial", key) for key in ("inferior_vena_cava", "aorta"))
    assert liver[0] + 150 < spleen[0]  # the patient's right on the reader's left
    assert cava[0] + 10 < aorta[0]
    assert aorta[1] > scene.slices["axial"].view.shape[0] * 0.45  # in front of the spine, behind the middle
    coronal_liver, kidney = scene.slices["coronal"], abdomen.surface("kidney_right").vertices.mean(axis=0)
    assert (
        coronal_liver.view.to_pixels(kidney)[1] > middle_in(scene, "coronal", "liver")[1]
    )  # the kidney below the liver


def test_outlines_enclose_the_tissue_that_they_name(abdomen: Case) -> None:
    """Enhanced liver and aorta inside, fat and air outside: a shift of one voxel would let other values in."""
    from PIL import Image, ImageDraw

    scene = resolve(abdomen, CHOICES)
    shown = scene.slices["axial"]
    mask = Image.new("1", (shown.view.shape[1], shown.view.shape[0]))
    for region in shown.regions:
        if region.key == "liver":
            largest = max(region.contours, key=lambda contour: abs(area_and_centroid(contour)[0]))
            ImageDraw.Draw(mask).polygon([tuple(point) for point in largest.tolist()], fill=1)
    hounsfield = shown.image[np.asarray(mask)] / 255 * scene.window.width + scene.window.level - scene.window.width / 2
    assert 30 < np.median(hounsfield) < 160
    assert np.mean((hounsfield > -10) & (hounsfield < 220)) > 0.97


def test_the_picture_of_a_real_case_has_all_its_colours(abdomen: Case) -> None:
    scene = resolve(abdomen, CHOICES)
    drawn = picture(scene).reshape(-1, 3).astype(int)
    for entry in scene.legend:
        for colour in entry.colours:
            assert (np.abs(drawn - np.round(np.array(colour) * 255)).max(axis=1) <= 2).any(), entry.name
