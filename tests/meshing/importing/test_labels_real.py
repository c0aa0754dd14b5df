"""Label maps that others drew on real scans."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import AnatomyError, SegmentationError
from meshing.importing.files import read_file, read_header
from meshing.importing.labels import read_labels
from meshing.segmentation import segment_volumes
from meshing.terminology import match
from tests.meshing.importing.drawings import texts, value


def test_the_61_labels_of_the_abdomen_stand_under_their_names(real_data: Callable[[str], Path]) -> None:
    scan, _ = read_file(real_data("ct_abdomen_labels/example_ct.nii.gz"))
    path = real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz")
    segmentation, facts = read_labels(path, scan.grid)
    table = dict(re.findall(r'Key="(\d+)".*?CDATA\[(.*?)\]', read_header(path).fields["caret"]))
    assert len(segmentation.segments) == 61
    stored = read_file(path)[0].voxels
    for segment in segmentation.segments:
        known = match(table[str(segment.label)])
        assert known is not None, table[str(segment.label)]
        assert segment.structure == known
        assert segment.key == known.key
        np.testing.assert_array_equal(segmentation.mask(segment.key), stored == segment.label)
    assert len(value(facts, "empty")) == 117 - 61  # type: ignore[arg-type]  # a list
    left, right = (
        scan.grid.to_patient(np.argwhere(segmentation.mask(f"kidney_{side}")).mean(axis=0))
        for side in ("left", "right")
    )
    assert left[0] > right[0] + 50  # mm towards the patient's left


def test_the_aorta_folder_lists_its_empty_masks_and_keeps_the_true_ones(real_data: Callable[[str], Path]) -> None:
    folder = real_data("cta_aorta/aorta")
    scan, _ = read_file(folder / "ct_cropped.nii.gz")
    segmentation, facts = read_labels(folder, scan.grid)
    assert set(value(facts, "empty")) == {  # type: ignore[call-overload]  # a list
        *("Left common iliac artery", "Right common iliac artery", "Renal arteries")
    }
    assert value(facts, "left_out") == 1  # the CT itself
    for name in ("aorta", "aorta_true_lumen", "aorta_false_lumen", "vertebrae_T12", "brachiocephalic_trunk"):
        np.testing.assert_array_equal(segmentation.mask(name), read_file(folder / f"{name}.nii.gz")[0].voxels > 0)
    assert segmentation.segment("aorta_true_lumen").inside == "aorta"
    assert segmentation.segment("vertebrae_T12").inside is None


def test_a_heart_on_a_larger_grid_is_brought_onto_the_scan_as_simpleitk_does(real_data: Callable[[str], Path]) -> None:
    import SimpleITK as sitk

    folder = real_data("cta_aorta/pulmonary")
    scan, _ = read_file(folder / "ct_cropped.nii.gz")
    segmentation, facts = read_labels(folder / "heart.nii.gz", scan.grid)
    reference, heart = (sitk.ReadImage(str(folder / name)) for name in ("ct_cropped.nii.gz", "heart.nii.gz"))
    expected = sitk.GetArrayFromImage(sitk.Resample(heart, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)).T
    np.testing.assert_array_equal(segmentation.mask("heart"), expected > 0)
    assert "233 × 167 × 191" in texts(facts)


def test_the_atlas_takes_its_names_from_the_table_beside_it(real_data: Callable[[str], Path]) -> None:
    path = real_data("atlas_abdomen/seg.nrrd")
    volume, _ = read_file(path)
    segmentation, facts = read_labels(path, volume.grid)
    assert len(segmentation.segments) == len(np.unique(volume.voxels)) - 1
    assert value(facts, "named") == 94
    volumes = segment_volumes(segmentation)
    assert volumes["liver"].inclusive_ml == pytest.approx(239.3, abs=0.1)  # measured by the data's keeper
    np.testing.assert_array_equal(segmentation.mask("spleen"), volume.voxels == 4)


def test_the_manual_cord_lies_in_its_scan(real_data: Callable[[str], Path]) -> None:
    folder = real_data("mr_spine_cord")
    scan, _ = read_file(folder / "t2.nii.gz")
    segmentation, _ = read_labels(folder / "t2_seg-manual.nii.gz", scan.grid)
    (cord,) = segmentation.segments
    mask = segmentation.mask(cord.key)
    # On T2 the cord is darker than the fluid around it, one voxel further out.
    from scipy.ndimage import binary_dilation

    ring = binary_dilation(mask, iterations=2) & ~binary_dilation(mask)
    assert scan.voxels[mask].mean() < 0.8 * np.percentile(scan.voxels[ring], 90)
    assert len(read_labels(folder / "t2_seg-manual_labeled.nii.gz", scan.grid)[0].segments) == 4


def test_a_scan_given_as_labels_is_refused(real_data: Callable[[str], Path]) -> None:
    for name in ("ct_abdomen_labels/example_ct.nii.gz", "mr_brain_tumour/brain1_image.nrrd"):
        scan, _ = read_file(real_data(name))
        with pytest.raises(SegmentationError):
            read_labels(real_data(name), scan.grid)


def test_labels_of_another_patient_are_refused(real_data: Callable[[str], Path]) -> None:
    scan, _ = read_file(real_data("cta_aorta/aorta/ct_cropped.nii.gz"))
    with pytest.raises(AnatomyError, match="outside the scan"):
        read_labels(real_data("mr_spine_cord/t2_seg-manual.nii.gz"), scan.grid)
