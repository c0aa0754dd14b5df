"""ct-body and ct-bone: on a chest of known parts, in any order, resolution and field of view; on real scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.importing.scan import import_scan
from meshing.segmentation import Segmentation, segment_volumes
from meshing.segmenters.presets import segment
from meshing.volume import Grid, Volume
from tests.meshing.segmenters.scans import Known, arterial_abdomen, chest, dice, orders, reordered, volume_ml

Find = Callable[[str], Path]

# Voxels of 4 mm on a trunk of 280 × 190 mm: moving its surface by a tenth of a voxel changes Dice by 0.002.
AGREEMENT = {"skin": 0.99, "lung_left": 0.98, "lung_right": 0.98, "airway": 0.85, "bone": 0.85}


def keys_of(found: Segmentation) -> set[str]:
    return {one.key for one in found.segments}


def assert_agrees(found: Segmentation, known: Known, agreement: dict[str, float] = AGREEMENT) -> None:
    assert keys_of(found) == set(agreement)
    for key, least in agreement.items():
        assert dice(found.mask(key), known.truth[key]) >= least, key


@pytest.mark.parametrize(
    "spacing", [(4.0, 4.0, 4.0), (2.0, 2.0, 20.0), (8.0, 2.5, 2.5), (3.0, 3.0, 3.0)], ids=lambda s: f"{s[0]}x{s[2]}"
)
def test_parts_of_a_chest_are_found_at_any_resolution(spacing: tuple[float, float, float]) -> None:
    known = chest(spacing)
    found = segment(known.volume, "ct-body")
    # Thick slices: half of the end slices of a lung is missed or added; in sagittal slices of 8 mm the trachea is
    # two voxels wide, and half-filled voxels make bone of 36 mm twice as thick.
    least = AGREEMENT if max(spacing) < 5 else {"skin": 0.97, "lung_left": 0.95, "lung_right": 0.95, "bone": 0.4}
    if spacing[0] < 5:
        least = {**least, "airway": 0.75, "bone": 0.75}
    assert_agrees(found, known, least)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_integers_and_floats_give_the_same_parts(kind: type[np.generic]) -> None:
    known = chest(kind=kind)
    assert_agrees(segment(known.volume, "ct-body"), known)


def test_lungs_that_touch_are_parted_on_the_midline_side() -> None:
    known = chest(touching=True)
    assert_agrees(segment(known.volume, "ct-body"), known)


def some_orders(known: Known) -> list[Grid]:
    every = orders(known)
    return [every[number] for number in (1, 10, 21, 30, 35, 44)]


def test_several_storage_orders_give_the_very_same_voxels() -> None:
    known = chest()
    first = segment(known.volume, "ct-body")
    for grid in some_orders(known):
        other = segment(reordered(known, grid).volume, "ct-body")
        for key in keys_of(first):
            truth = reordered(Known(known.volume, {key: first.mask(key)}), grid).truth[key]
            np.testing.assert_array_equal(other.mask(key), truth)


@pytest.mark.slow
def test_all_48_storage_orders_give_the_very_same_voxels() -> None:
    known = chest((5.0, 5.0, 5.0))
    first = segment(known.volume, "ct-body")
    assert {"lung_left", "lung_right"} <= keys_of(first)
    for grid in orders(known):
        other = segment(reordered(known, grid).volume, "ct-body")
        assert keys_of(other) == keys_of(first)
        for key in keys_of(first):
            truth = reordered(Known(known.volume, {key: first.mask(key)}), grid).truth[key]
            np.testing.assert_array_equal(other.mask(key), truth)


def test_a_mirrored_patient_has_the_sides_swapped() -> None:
    """The very same voxels in a scan whose x runs to the right: the large lung is now the left one."""
    known = chest()
    matrix = known.volume.grid.voxel_to_patient.copy()
    matrix[:, 0] *= -1
    mirrored = Volume(known.volume.voxels, Grid(known.volume.grid.shape, matrix), "CT", "HU")
    found = segment(mirrored, "ct-body")
    assert dice(found.mask("lung_left"), known.truth["lung_right"]) > 0.98
    assert dice(found.mask("lung_right"), known.truth["lung_left"]) > 0.98


def test_everything_lies_inside_the_skin_in_a_layer_of_its_own() -> None:
    found = segment(chest().volume, "ct-body")
    skin = found.mask("skin")
    for one in found.segments:
        assert one.inside == (None if one.key == "skin" else "skin")
        assert (found.mask(one.key) <= skin).all()
    assert found.segment("skin").layer != found.segment("lung_left").layer
    volumes = segment_volumes(found)
    inner = sum(volumes[key].inclusive_ml for key in keys_of(found) - {"skin"})
    assert volumes["skin"].exclusive_ml == pytest.approx(volumes["skin"].inclusive_ml - inner, rel=1e-6)


def test_table_blanket_and_the_air_in_the_bed_are_no_skin() -> None:
    known = chest()
    skin = segment(known.volume, "ct-body").mask("skin")
    assert (skin & ~known.truth["skin"]).sum() < 0.005 * known.truth["skin"].sum()
    for y_mm in (-110.0, 104.0, 115.0):  # blanket, table top, its core
        index = np.rint(known.volume.grid.to_voxel([(0.0, y_mm, 0.0)])[0]).astype(int)
        middle = (np.array(known.volume.grid.shape) - 1) / 2
        row = round(middle[1] + y_mm / known.volume.grid.spacing_mm[1])
        assert not skin[:, row].any(), (y_mm, index)


def test_gas_in_the_stomach_is_body_but_no_lung() -> None:
    known = chest()
    found = segment(known.volume, "ct-body")
    middle = (np.array(known.volume.grid.shape) - 1) / 2
    gas = tuple(np.rint(middle + np.array((40.0, -30.0, -100.0)) / known.volume.grid.spacing_mm).astype(int))
    assert known.volume.voxels[gas] < -900
    assert found.mask("skin")[gas]
    assert not found.mask("lung_left")[gas] and not found.mask("lung_right")[gas]


def test_the_arm_beside_the_trunk_belongs_to_the_body() -> None:
    known = chest()
    skin = segment(known.volume, "ct-body").mask("skin")
    arm = known.truth["skin"].copy()
    arm[: arm.shape[0] // 2 + round(141 / 4)] = False
    assert arm.sum() > 1000
    assert (skin & arm).sum() > 0.95 * arm.sum()


def test_padding_and_what_was_never_measured_change_nothing() -> None:
    """A round field of view, padded with −2048, or marked as outside and read as air."""
    known = chest((3.0, 3.0, 4.0))
    shape = known.volume.grid.shape
    x, y = (np.arange(n) - (n - 1) / 2 for n in shape[:2])
    outside = np.broadcast_to(((x[:, None] * 3) ** 2 + (y[None, :] * 3) ** 2 > 185.0**2)[:, :, None], shape)
    plain = segment(known.volume, "ct-body")
    padded = known.volume.voxels.copy()
    padded[outside] = -2048
    marked = Volume(
        np.where(outside, -1024, known.volume.voxels).astype(np.int16), known.volume.grid, "CT", "HU", outside
    )
    for volume in (Volume(padded, known.volume.grid, "CT", "HU"), marked):
        found = segment(volume, "ct-body")
        assert keys_of(found) == keys_of(plain)
        for key in keys_of(plain):
            assert dice(found.mask(key), plain.mask(key)) > 0.995, key
    assert not (segment(marked, "ct-body").mask("skin") & outside).any()


def test_a_narrow_field_of_view_that_cuts_the_body_keeps_the_lungs() -> None:
    """The scan ends inside the chest on both sides, so lung reaches the edge of the array."""
    known = chest((3.0, 3.0, 4.0))
    part = (slice(25, 95), slice(12, 84), slice(None))
    volume = Volume(np.asfortranarray(known.volume.voxels[part]), _cropped(known.volume.grid, part), "CT", "HU")
    found = segment(volume, "ct-body")
    for key in ("skin", "lung_left", "lung_right"):
        assert dice(found.mask(key), known.truth[key][part]) > 0.97, key


def test_a_marked_round_field_of_view_that_cuts_the_chest_keeps_the_lungs() -> None:
    known = chest((3.0, 3.0, 4.0))
    shape = known.volume.grid.shape
    x, y = (np.arange(n) - (n - 1) / 2 for n in shape[:2])
    outside = np.broadcast_to(((x[:, None] * 3) ** 2 + (y[None, :] * 3) ** 2 > 88.0**2)[:, :, None], shape)
    marked = Volume(
        np.where(outside, -1024, known.volume.voxels).astype(np.int16), known.volume.grid, "CT", "HU", outside
    )
    found = segment(marked, "ct-body")
    for key in ("skin", "lung_left", "lung_right"):
        assert dice(found.mask(key), known.truth[key] & ~outside) > 0.95, key


def _cropped(grid: Grid, part: tuple[slice, ...]) -> Grid:
    matrix = grid.voxel_to_patient.copy()
    matrix[:3, 3] = grid.to_patient([p.start or 0 for p in part])
    shape = tuple(len(range(*p.indices(n))) for p, n in zip(part, grid.shape, strict=True))
    return Grid((shape[0], shape[1], shape[2]), matrix)


@pytest.fixture(scope="module")
def abdomen() -> Known:
    made = arterial_abdomen()
    return Known(made.volume, {one.key: made.segmentation.mask(one.key) for one in made.segmentation.segments})


def test_the_phantom_abdomen_gives_its_lung_bases_and_no_bowel(abdomen: Known) -> None:
    found = segment(abdomen.volume, "ct-body")
    assert keys_of(found) == {"skin", "lung_left", "lung_right", "bone"}
    for key in ("skin", "lung_left", "lung_right"):
        assert dice(found.mask(key), abdomen.truth[key]) > 0.97, key


def test_contrast_filled_vessels_heart_and_kidneys_are_no_bone(abdomen: Known) -> None:
    bone = segment(abdomen.volume, "ct-bone").mask("bone")
    for key in ("aorta", "heart", "kidney_left", "kidney_right", "iliac_artery_left", "superior_mesenteric_artery"):
        # The surface of a spine that an artery touches is blurred by a voxel.
        assert (bone & abdomen.truth[key]).sum() < 0.01 * abdomen.truth[key].sum(), key
    skeleton = [key for key in abdomen.truth if key.startswith(("vertebrae_", "rib_", "hip_"))]
    assert len(skeleton) > 25
    for key in skeleton:
        # The uppermost ribs are cut by the edge of the scan.
        assert (bone & abdomen.truth[key]).sum() > 0.85 * abdomen.truth[key].sum(), key


def test_marrow_is_filled_and_the_spinal_canal_stays_open(abdomen: Known) -> None:
    bone = segment(abdomen.volume, "ct-bone").mask("bone")
    assert (bone & abdomen.truth["spinal_cord"]).sum() < 0.02 * abdomen.truth["spinal_cord"].sum()
    body = abdomen.truth["vertebrae_L2"]
    assert (bone & body).sum() > 0.98 * body.sum()


@pytest.mark.slow
def test_the_real_chest_base_has_what_is_left_of_both_lungs_and_no_table(real_data: Find) -> None:
    """Without contrast; an effusion leaves 10 ml of the right lung beside the spine; the table top has two shells."""
    volume = import_scan(real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip")).volume
    found = segment(volume, "ct-body")
    assert keys_of(found) == {"skin", "lung_left", "lung_right", "bone"}
    assert 4200 < volume_ml(found, "skin") < 4500
    assert 350 < volume_ml(found, "lung_left") < 390
    assert 5 < volume_ml(found, "lung_right") < 20
    assert 190 < volume_ml(found, "bone") < 260
    # From front to back the body measures 247 mm in the last slice; the table top begins 9 mm behind it.
    depth_mm = [np.ptp(np.flatnonzero(plane.any(axis=0))) * 0.78125 for plane in np.moveaxis(found.mask("skin"), 2, 0)]
    assert max(depth_mm) < 252


@pytest.mark.slow
def test_the_thin_shell_of_a_plastic_skull_is_bone(real_data: Find) -> None:
    """Five millimetres of plastic at 700 HU round air: 389 ml above 300 HU, a few of them in table and labels."""
    volume = import_scan(real_data("phantom_ct_tilt/head_phantom_tilt_p16.5.zip")).volume
    bone = segment(volume, "ct-bone").mask("bone")
    dense = volume.voxels > 300
    # Where the shell is thinner than two blocks of 2.5 mm it is lost; before, half of it was.
    assert (bone & dense).sum() > 0.82 * dense.sum()
    assert (bone & ~dense).sum() < 0.1 * bone.sum()  # enclosed pores


@pytest.mark.slow
def test_the_real_cropped_chest_has_both_lungs_and_its_airway(real_data: Find) -> None:
    volume = import_scan(real_data("cta_aorta/aorta/ct_cropped.nii.gz")).volume
    found = segment(volume, "ct-body")
    assert keys_of(found) == {"skin", "lung_left", "lung_right", "airway", "bone"}
    # Trachea from the arch down and the main bronchi; a leak would take in a lobe, hundreds of ml.
    assert 15 < volume_ml(found, "airway") < 45
    assert 1200 < volume_ml(found, "lung_right") < 1400
    assert 1350 < volume_ml(found, "lung_left") < 1600
    airway = volume.voxels[found.mask("airway")]
    assert np.median(airway) < -900


@pytest.mark.slow
def test_bone_of_the_real_angiogram_leaves_the_aorta_alone(real_data: Find) -> None:
    from meshing.importing.labels import read_labels

    volume = import_scan(real_data("cta_aorta/aorta/ct_cropped.nii.gz")).volume
    bone = segment(volume, "ct-bone").mask("bone")

    def truth(name: str) -> np.ndarray:
        return read_labels(real_data(f"cta_aorta/aorta/{name}.nii.gz"), volume.grid)[0].layers[0] > 0

    assert (bone & truth("aorta")).sum() < 0.002 * truth("aorta").sum()
    # The mask takes in disc and soft marrow, and its surface is half a voxel farther out.
    assert (bone & truth("vertebrae_T12")).sum() > 0.7 * truth("vertebrae_T12").sum()
