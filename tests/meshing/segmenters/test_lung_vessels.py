"""ct-lung-vessels: tubes of known width in the lung of a known chest, and the real lung base."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import SegmentationError
from meshing.importing.scan import import_scan
from meshing.segmenters.presets import segment
from meshing.volume import Volume
from tests.meshing.segmenters.scans import Canvas, Known, Mask, chest, dice, orders, reordered

Find = Callable[[str], Path]

SPACING = (1.5, 1.5, 1.5)
RADII_MM = (3.0, 2.0, 1.2)
TUBES = {3.0: (-66.0, 0.0), 2.0: (-50.0, -20.0), 1.2: (-84.0, 18.0)}
"""Radius → where it stands in the right lung (L, P), in mm from the middle of the scan."""
SPAN = (-40.0, 60.0)


@cache
def chest_with_vessels() -> Known:
    """The chest with three upright tubes of blood in the right lung, and a fissure of one voxel in the left."""
    known = chest(SPACING)
    grid = known.volume.grid
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]
    values = known.volume.voxels.astype(np.float32)
    tall = (axes[2] >= SPAN[0]) & (axes[2] <= SPAN[1])
    fine = (np.arange(6) + 0.5) / 6 - 0.5
    truth = {}
    for radius, (left, behind) in TUBES.items():
        x = axes[0][:, None] + fine * SPACING[0] - left
        y = axes[1][:, None] + fine * SPACING[1] - behind
        share = (np.hypot(x[:, None, :, None], y[None, :, None, :]) <= radius).mean(axis=(2, 3))
        block = share[:, :, None] * tall
        values += block.astype(np.float32) * 890.0
        truth[f"r{radius}"] = block >= 0.5
    plate = (np.abs(axes[1] - 10.0) < 0.75)[None, :, None] & known.truth["lung_left"]
    values[plate] = -400.0
    truth["fissure"] = plate
    volume = Volume(np.asfortranarray(np.rint(values).astype(np.int16)), grid, "CT", "HU")
    return Known(volume, {**known.truth, **truth})


def tubes_of(known: Known) -> Mask:
    return np.logical_or.reduce([known.truth[f"r{radius}"] for radius in RADII_MM])


@cache
def found_vessels() -> Mask:
    return segment(chest_with_vessels().volume, "ct-lung-vessels").mask("lung_vessels")


def test_tubes_keep_their_width_down_to_less_than_two_voxels() -> None:
    known, found = chest_with_vessels(), found_vessels()
    for radius in RADII_MM:
        truth = known.truth[f"r{radius}"]
        near = np.zeros_like(truth)
        x, y, _ = np.nonzero(truth)
        near[x.min() - 3 : x.max() + 4, y.min() - 3 : y.max() + 4] = True
        area_mm2 = (found & near)[:, :, truth.any(axis=(0, 1))].sum(axis=(0, 1)) * SPACING[0] * SPACING[1]
        width = np.sqrt(np.median(area_mm2) / np.pi)
        assert np.mean(area_mm2 > 0) >= 0.95, radius
        # The chest is blurred by half a voxel before its noise, the tube is not: walls are known to a third of one.
        assert width == pytest.approx(radius, abs=SPACING[0] / 3)


def test_the_whole_agrees_with_the_truth() -> None:
    assert dice(found_vessels(), tubes_of(chest_with_vessels())) >= 0.85


def test_noise_and_fissures_are_no_vessels() -> None:
    known, found = chest_with_vessels(), found_vessels()
    assert found[known.truth["fissure"]].mean() < 0.02
    assert found[known.truth["lung_left"]].mean() < 0.002
    assert not found[~(known.truth["lung_left"] | known.truth["lung_right"] | tubes_of(known))].any()


def test_a_seed_chooses_its_vessel() -> None:
    known = chest_with_vessels()
    grid = known.volume.grid
    middle = grid.to_patient((np.array(grid.shape) - 1) / 2)
    seed = tuple(float(c) for c in middle + [*TUBES[2.0], 0.0])
    chosen = segment(known.volume, "ct-lung-vessels", seeds_mm=(seed,)).mask("lung_vessels")  # type: ignore[arg-type]
    assert dice(chosen, found_vessels() & known.truth["r2.0"]) >= 0.8
    assert not (chosen & known.truth["r3.0"]).any()


def test_a_seed_beside_every_vessel_is_refused_with_what_the_scan_reads() -> None:
    known = chest_with_vessels()
    grid = known.volume.grid
    middle = grid.to_patient((np.array(grid.shape) - 1) / 2)
    seed = tuple(float(c) for c in middle + [-66.0, 30.0, 0.0])
    with pytest.raises(SegmentationError, match=r"reads -8\d\d HU"):
        segment(known.volume, "ct-lung-vessels", seeds_mm=(seed,))  # type: ignore[arg-type]


def test_a_body_without_lungs_is_refused() -> None:
    canvas = Canvas((90, 70, 60), (4.0, 4.0, 4.0), -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (140, 95, 1e6)), 40.0)
    canvas.paint(canvas.rod(0, 58, 18), 700.0)
    with pytest.raises(SegmentationError, match="no lung is in view"):
        segment(canvas.scanned("CT", 15.0).volume, "ct-lung-vessels")


def test_storage_orders_give_the_very_same_voxels() -> None:
    known = chest_with_vessels()
    for number in (10, 35):
        grid = orders(known)[number]
        other = segment(reordered(known, grid).volume, "ct-lung-vessels").mask("lung_vessels")
        truth = reordered(Known(known.volume, {"lung_vessels": found_vessels()}), grid).truth["lung_vessels"]
        np.testing.assert_array_equal(other, truth)


def test_the_real_lung_base_without_contrast_has_its_tree(real_data: Find) -> None:
    volume = import_scan(real_data("ct_dicom_lidc0314/lidc-idri-0314_ct.zip")).volume
    found = segment(volume, "ct-lung-vessels").mask("lung_vessels")
    ml = found.sum() * volume.grid.voxel_volume_mm3 / 1000
    # Blood takes a few percent of the 370 ml of lung in view; vessels of 20 HU and more, not the lung's own -870.
    assert 5 < ml < 20
    assert np.median(volume.voxels[found]) > -500
