"""ct-bones: every bone of the phantom's trunk by itself, counted from below; on real scans beside a model's labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import SegmentationError
from meshing.importing.labels import read_labels
from meshing.importing.scan import import_scan
from meshing.phantoms import Phantom, phantom
from meshing.progress import Cancelled
from meshing.segmentation import Segmentation
from meshing.segmenters.presets import segment
from meshing.volume import Volume
from tests.meshing.segmenters.scans import Canvas, Known, chest, dice, orders, reordered

Find = Callable[[str], Path]


@cache
def trunk() -> Phantom:
    return phantom("abdomen", phase="native", spacing_mm=2.0)


@cache
def found() -> Segmentation:
    return segment(trunk().volume, "ct-bones")


def keys_of(segmentation: Segmentation) -> set[str]:
    return {one.key for one in segmentation.segments}


# The lowest vertebra in view is L5, of which the scan holds the upper half.
LEVELS = ["L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9"]


def test_every_vertebra_in_view_is_found_and_counted_from_below() -> None:
    truth = trunk().segmentation
    assert {key for key in keys_of(found()) if key.startswith("vertebra")} == {f"vertebra_{n}" for n in range(1, 10)}
    for number, level in enumerate(LEVELS, start=1):
        # A voxel of 2 mm on the surface of a body of 46 × 34 × 28 mm is a tenth of its volume on either side.
        assert dice(found().mask(f"vertebra_{number}"), truth.mask(f"vertebrae_{level}")) > 0.88, level


def test_ribs_bear_the_number_of_the_vertebra_that_they_begin_at() -> None:
    truth = trunk().segmentation
    for side in ("left", "right"):
        for rib, level in ((12, 6), (11, 7), (10, 8)):
            mine = found().mask(f"rib_{side}_at_vertebra_{level}")
            assert (mine & truth.mask(f"rib_{side}_{rib}")).sum() > 0.75 * mine.sum(), (side, rib)


def test_no_rib_is_on_the_wrong_side_and_no_piece_holds_two_ribs() -> None:
    truth = trunk().segmentation
    for key in (key for key in keys_of(found()) if key.startswith("rib_")):
        mask = found().mask(key)
        shares = {
            one.key: float((mask & truth.mask(one.key)).sum() / mask.sum())
            for one in truth.segments
            if one.key.startswith("rib_")
        }
        best = max(shares, key=lambda name: shares[name])
        assert best.startswith(key[:8] if "left" in key else key[:9]), (key, best)
        assert sum(share > 0.2 for share in shares.values()) == 1, (key, shares)


def test_bones_do_not_overlap_and_are_bone() -> None:
    bone = segment(trunk().volume, "ct-bone").mask("bone")
    total = np.zeros(bone.shape, np.int32)
    for key in keys_of(found()):
        total += found().mask(key)
    np.testing.assert_array_equal(total, bone)


def test_what_was_cut_and_what_is_not_known_is_said() -> None:
    facts = [fact for fact in found().facts if fact.kind == "bones"]
    counted = facts[0]
    assert counted.values["vertebrae"] == 9
    assert counted.values["cut"] == [1, 9]
    assert counted.values["on_sacrum"] is False
    assert counted.values["bearing_ribs"][0] == 6
    assert "its level is not known" in counted.text
    assert any("reach no vertebra in view" in fact.text for fact in facts)


def test_names_say_that_the_level_is_only_counted_in_two_languages() -> None:
    structure = found().segment("vertebra_3").structure
    assert structure.name == "Vertebra 3 from below"
    assert structure.name_zh == "椎骨（自下第3个）"
    assert structure.system == "skeletal" and structure.code == "51282000"
    assert found().segment("rib_left_at_vertebra_6").structure.side == "left"


@pytest.mark.slow
def test_several_storage_orders_give_the_very_same_bones() -> None:
    known = Known(trunk().volume, {})
    for number in (13, 38):
        grid = orders(known)[number]
        other = segment(reordered(known, grid).volume, "ct-bones")
        assert keys_of(other) == keys_of(found())
        for key in keys_of(other):
            expected = reordered(Known(known.volume, {key: found().mask(key)}), grid).truth[key]
            np.testing.assert_array_equal(other.mask(key), expected, err_msg=key)


def test_a_rod_for_a_spine_has_no_canal_and_is_refused() -> None:
    with pytest.raises(SegmentationError, match=r"no (spinal canal|disc)") as caught:
        segment(chest().volume, "ct-bones")
    assert "ct-bone" in caught.value.hint


def test_a_ball_of_bone_is_no_spine() -> None:
    canvas = Canvas((50, 50, 50), (4.0, 4.0, 4.0), -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (80, 80, 80)), 40.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (12, 12, 12)), 900.0)
    with pytest.raises(SegmentationError, match="no spine: no place"):
        segment(canvas.scanned("CT", 10.0).volume, "ct-bones")


def test_stopping_stops_among_the_discs() -> None:
    def stop(done: float, doing: str) -> None:
        if "discs" in doing:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(trunk().volume, "ct-bones", progress=stop)


@pytest.mark.slow
def test_bones_of_the_real_trunk_agree_with_a_models_labels(real_data: Find) -> None:
    """Voxels of 3 mm. Of the bone in each label, how much bears the one number; the labels are a model's, no truth."""
    volume = import_scan(real_data("ct_abdomen_labels/example_ct.nii.gz")).volume
    labels, _ = read_labels(real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz"), volume.grid)
    bones = segment(volume, "ct-bones")
    assert bones.facts[0].values["on_sacrum"] is True
    assert bones.facts[0].values["bearing_ribs"] == [6]  # T12, five vertebrae above the sacrum: the usual number

    def share(label: str, key: str) -> float:
        mine, other = bones.mask(key), labels.mask(label)
        within = sum(int((bones.mask(one.key) & other).sum()) for one in bones.segments)
        return float((mine & other).sum()) / within

    for number, level in enumerate(["L5", "L4", "L3", "L2", "L1", "T12"], start=1):
        assert share(f"vertebrae_{level}", f"vertebra_{number}") > (0.7 if number == 1 else 0.85), level
    for side in ("left", "right"):
        assert share(f"hip_{side}", f"hip_{side}") > 0.9
        assert share(f"femur_{side}", f"femur_{side}") > 0.6
        assert share(f"rib_{side}_12", f"rib_{side}_at_vertebra_6") > 0.9


@pytest.mark.slow
def test_the_real_chest_base_holds_two_whole_vertebrae_and_two_cut_ones(real_data: Find) -> None:
    volume = import_scan(real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip")).volume
    bones = segment(volume, "ct-bones")
    assert bones.facts[0].values["vertebrae"] == 4  # 78 mm at 24 mm each
    assert bones.facts[0].values["cut"] == [1, 4]
    ml = volume.grid.voxel_volume_mm3 / 1000
    whole = [float(bones.mask(f"vertebra_{n}").sum()) * ml for n in (2, 3)]
    assert whole[0] == pytest.approx(whole[1], rel=0.2)  # neighbours are alike
    for key in keys_of(bones):
        if key.startswith("rib_"):
            x = volume.grid.to_patient(np.argwhere(bones.mask(key)).mean(axis=0))[0]
            spine = volume.grid.to_patient(np.argwhere(bones.mask("vertebra_2")).mean(axis=0))[0]
            assert (x > spine) == ("left" in key), key


def test_a_stone_in_a_kidney_is_no_rib() -> None:
    volume = trunk().volume
    kidney = np.argwhere(trunk().segmentation.mask("kidney_left"))
    middle = kidney[np.abs(kidney[:, 2] - kidney[:, 2].mean()).argmin()]
    voxels = volume.voxels.copy()
    offsets = (
        np.stack(np.meshgrid(*(np.arange(n) for n in voxels.shape), indexing="ij", sparse=False), axis=-1) - middle
    )
    stone = np.linalg.norm(offsets * volume.grid.spacing_mm, axis=-1) < 6.0
    voxels[stone] = 900
    bones = segment(Volume(voxels, volume.grid, "CT", "HU"), "ct-bones")
    for key in keys_of(bones):
        assert key == "bone" or not (bones.mask(key) & stone).any(), key


def test_air_alone_has_no_bones() -> None:
    known = chest((8.0, 8.0, 8.0)).volume
    air = Volume(
        np.where(np.arange(known.voxels.size).reshape(known.voxels.shape) % 2, -1000, -990), known.grid, "CT", ""
    )
    with pytest.raises(SegmentationError, match="no body"):
        segment(air, "ct-bones")
