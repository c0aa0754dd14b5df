"""Tilt, gaps, jitter and drift are measured from positions, and what comes out lies where the patient was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from meshing.errors import GeometryError, MissingSlicesError
from meshing.importing.scan import SeriesChoice, import_scan, survey
from tests import dicom_factory as factory
from tests.dicom_checks import CLOSE_MM, fact, kinds, smooth

# ------------------------------------------------------------------------------------------------------------ tilt


@pytest.mark.parametrize("tag", ["right", "missing", "wrong"])
@pytest.mark.parametrize("euler", [(0, 0, 0), (20, 30, 40)])
def test_gantry_tilt_is_measured_from_positions_and_straightened(
    tag: str, euler: tuple[float, float, float], tmp_path: Path
) -> None:
    made = factory.stack((24, 22, 20), tilt_deg=15, axes=factory.direction(euler), field=smooth)

    def claim(k: int, file: FileDataset) -> None:
        if tag != "missing":
            file.GantryDetectorTilt = {"right": 15, "wrong": 0}[tag]

    folder = factory.save(factory.changed(made, claim).files, tmp_path, shuffle=2)
    (line,) = survey(folder)
    assert line.tilt_deg == pytest.approx(15, abs=1e-6)
    scan = import_scan(folder)
    volume = scan.volume
    assert fact(scan, "tilt").values["tilt_deg"] == pytest.approx(15, abs=1e-6)

    grid = volume.grid
    assert np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-9)
    points = grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    assert volume.outside is not None
    inside = ~volume.outside
    # Two roundings by half a unit, and the crest of a wave between two rows, which the range of the taps cuts off.
    crest = 300 * (1 - np.cos(0.55 / 5))
    assert abs(volume.voxels - smooth(points))[inside].max() < 1 + crest
    assert inside.sum() > 0.9 * made.values.size
    assert (volume.voxels[volume.outside] == volume.voxels[inside].min()).all()


def test_last_slice_of_a_tilted_stack_lies_where_its_position_says(tmp_path: Path) -> None:
    made = factory.stack((24, 22, 20), tilt_deg=15)
    dot = np.zeros((22, 24), "<u2")
    dot[11, 7] = 30000
    made.files[-1].PixelData = dot.tobytes()
    volume = import_scan(factory.save(made.files, tmp_path)).volume
    brightest = volume.grid.to_patient(np.unravel_index(volume.voxels.argmax(), volume.voxels.shape))
    truth = made.positions[-1] + made.voxel_to_patient[:3, :2] @ (7, 11)
    # Read upright it would lie 12.7 mm off; on the grid it can be half a pixel of 1.1 mm off.
    assert np.linalg.norm(brightest - truth) <= 0.56


def test_tilt_of_whole_pixels_keeps_every_value(tmp_path: Path) -> None:
    # Each slice lies two rows of 1.1 mm further down.
    tilt = float(np.degrees(np.arctan(2.2 / 2.5)))
    made = factory.stack((6, 8, 5), tilt_deg=tilt)
    volume = import_scan(factory.save(made.files, tmp_path)).volume
    for k in range(5):
        assert np.array_equal(volume.voxels[:, 2 * k : 2 * k + 8, k], made.values[:, :, k])
        assert volume.outside is not None
        assert not volume.outside[:, 2 * k : 2 * k + 8, k].any()
    assert volume.outside is not None
    assert volume.outside.sum() == volume.outside.size - made.values.size


def test_straightening_never_overshoots(tmp_path: Path) -> None:
    made = factory.stack(
        (16, 20, 8), tilt_deg=17, field=lambda points: np.where(points[..., 1] % 9 > 4, 3000.0, -1000.0)
    )
    voxels = import_scan(factory.save(made.files, tmp_path)).volume.voxels
    assert voxels.min() == -1000
    assert voxels.max() == 3000


def test_rounded_cosines_are_no_tilt(tmp_path: Path) -> None:
    made = factory.stack((60, 50, 90), axes=factory.direction((3, 4, 5)), spacing=(0.8, 0.8, 1.0))

    def rounded(k: int, file: FileDataset) -> None:
        file.ImageOrientationPatient = [f"{value:.3f}" for value in file.ImageOrientationPatient]

    rounded_made = factory.changed(made, rounded)
    row, column = np.array(rounded_made.files[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column) / np.linalg.norm(np.cross(row, column))
    drift = made.positions[-1] - made.positions[0]
    assert np.linalg.norm(drift - (drift @ normal) * normal) > CLOSE_MM, "an upright stack would miss a slice"
    folder = factory.save(rounded_made.files, tmp_path)
    assert survey(folder)[0].tilt_deg == 0
    scan = import_scan(folder)
    assert np.array_equal(scan.volume.voxels, made.values)
    placed = scan.volume.grid.to_patient([(0, 0, k) for k in range(90)])
    assert np.linalg.norm(placed - made.positions, axis=1).max() < CLOSE_MM


def test_interpolation_never_reaches_into_padding(tmp_path: Path) -> None:
    made = factory.stack((12, 24, 8), tilt_deg=15, field=smooth)

    def pad(k: int, file: FileDataset) -> None:
        pixels = np.frombuffer(file.PixelData, "<u2").reshape(24, 12).copy()
        pixels[:3], pixels[-4:] = 40_000, 40_000
        file.PixelData, file.PixelPaddingValue = pixels.tobytes(), 40_000
        file["PixelPaddingValue"].VR = "US"

    volume = import_scan(factory.save(factory.changed(made, pad).files, tmp_path)).volume
    grid = volume.grid
    points = grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    assert volume.outside is not None
    inside = ~volume.outside
    # Two roundings by half a unit, and what linear interpolation loses of both waves over rows 1.1 mm apart.
    assert abs(volume.voxels - smooth(points))[inside].max() < 1 + 1.1**2 / 8 * 300 * (1 / 25 + 1 / 36)
    assert inside.sum() > 12 * 15 * 8


def test_planes_that_slide_by_more_than_their_distance_are_no_stack(tmp_path: Path) -> None:
    made = factory.stack(tilt_deg=70)
    with pytest.raises(GeometryError, match=r"slide sideways at 70°"):
        import_scan(factory.save(made.files, tmp_path))


def test_orientation_that_drifts_along_the_stack_is_refused(tmp_path: Path) -> None:
    made = factory.stack((40, 30, 6))

    def turn(k: int, file: FileDataset) -> None:
        factory.place(file, made.positions[k], factory.direction((0, 0, 0.06 * k)), (0.8, 1.1))

    with pytest.raises(GeometryError, match=r"vary within the stack: corners lie up to 0\.16\d mm off"):
        import_scan(factory.save(factory.changed(made, turn).files, tmp_path))


# ------------------------------------------------------------------------------------------------------------ gaps


def test_missing_slice_is_refused_with_both_slices_and_the_gap(tmp_path: Path) -> None:
    folder = factory.save(factory.without(factory.stack(), 3).files, tmp_path, shuffle=3)
    (line,) = survey(folder)
    assert line.gaps_mm == pytest.approx((5.0,))
    assert line.usable
    assert "1 slice missing" in line.note
    with pytest.raises(MissingSlicesError, match=r"slices 3 and 5 lie 5\.00 mm apart, the others 2\.50 mm") as refused:
        import_scan(folder)
    assert "--gaps interpolate" in refused.value.hint


def test_missing_slices_are_interpolated_on_request_and_the_rest_stays_exact(tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save(factory.without(made, 2, 3).files, tmp_path)
    scan = import_scan(folder, SeriesChoice(gaps="interpolate"))
    voxels = scan.volume.voxels.astype(float)
    kept = [0, 1, 4, 5]
    assert np.array_equal(voxels[:, :, kept], made.values[:, :, kept])
    below, above = made.values[:, :, 1], made.values[:, :, 4]
    for k, share in ((2, 1 / 3), (3, 2 / 3)):
        # Half a unit: the mix is rounded to whole Hounsfield units.
        assert abs(voxels[:, :, k] - (below + share * (above - below))).max() <= 0.51
    assert np.allclose(scan.volume.grid.voxel_to_patient, made.voxel_to_patient, atol=1e-6)
    assert fact(scan, "gaps").values == {"missing": 2, "gaps_mm": pytest.approx([7.5])}


def test_missing_slices_of_a_tilted_stack_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(MissingSlicesError):
        import_scan(factory.save(factory.without(factory.stack(tilt_deg=10), 2).files, tmp_path))


def test_uneven_spacing_is_resampled_evenly_and_said(tmp_path: Path) -> None:
    depths = [0, 2.5, 5, 7.5, 12.5, 17.5, 22.5, 27.5]
    made = factory.stack((6, 5, 8), depths=depths, field=lambda points: 8 * points[..., 2])
    folder = factory.save(made.files, tmp_path, shuffle=4)
    assert survey(folder)[0].gaps_mm == pytest.approx((2.5,) * 3)
    scan = import_scan(folder)
    grid = scan.volume.grid
    assert grid.shape == (6, 5, 12)
    assert grid.spacing_mm[2] == pytest.approx(2.5)
    for k in range(12):
        # A field that is linear in depth survives linear interpolation; one unit is lost to two roundings.
        assert abs(scan.volume.voxels[:, :, k] - 8 * grid.to_patient((0, 0, k))[2]).max() <= 1
    assert fact(scan, "uneven").values["most_mm"] == pytest.approx(5.0)


def test_jitter_within_the_tolerance_is_accepted_and_recorded(tmp_path: Path) -> None:
    made = factory.stack()

    def shake(k: int, file: FileDataset) -> None:
        file.ImagePositionPatient[2] = factory.decimal(made.positions[k][2] + (0.015 if k == 2 else 0.0))

    shaken = factory.changed(made, shake)
    scan = import_scan(factory.save(shaken.files, tmp_path))
    assert np.array_equal(scan.volume.voxels, made.values)
    assert 0.005 < fact(scan, "jitter").values["largest_mm"] <= 0.025
    placed = scan.volume.grid.to_patient([(0, 0, k) for k in range(6)])
    assert np.linalg.norm(placed - [file.ImagePositionPatient for file in shaken.files], axis=1).max() <= 0.025


def test_jitter_beyond_the_tolerance_is_resampled(tmp_path: Path) -> None:
    made = factory.stack(depths=[0, 2.5, 5.2, 7.5, 10, 12.5], field=lambda points: 8 * points[..., 2])
    scan = import_scan(factory.save(made.files, tmp_path))
    assert kinds(scan) == {"uneven"}
    grid = scan.volume.grid
    for k in range(grid.shape[2]):
        assert abs(scan.volume.voxels[:, :, k] - 8 * grid.to_patient((0, 0, k))[2]).max() <= 1


@pytest.mark.parametrize(("spacing", "off", "accepted"), [(10.0, 0.09, True), (10.0, 0.3, False), (0.6, 0.03, False)])
def test_tolerance_is_one_percent_of_the_spacing_or_a_hundredth_of_a_millimetre(
    spacing: float, off: float, accepted: bool, tmp_path: Path
) -> None:
    depths = [k * spacing + (off if k == 3 else 0.0) for k in range(8)]
    made = factory.stack((5, 4, 8), spacing=(1, 1, spacing), depths=depths)
    scan = import_scan(factory.save(made.files, tmp_path))
    assert kinds(scan) == ({"jitter"} if accepted else {"uneven"})


@pytest.mark.parametrize(("wide", "numbering", "missing"), [(3, "on", 0), (2, "on", 2), (3, "skipping", 3)])
def test_protocol_that_changes_its_spacing_has_lost_no_slice(
    wide: int, numbering: str, missing: int, tmp_path: Path
) -> None:
    gaps = [2.5] * 6 + [5.0] * wide
    made = factory.stack((5, 4, len(gaps) + 1), depths=np.cumsum([0, *gaps]).tolist())
    numbers = np.cumsum([1, *(gap / 2.5 if numbering == "skipping" else 1 for gap in gaps)]).astype(int)
    folder = factory.save(
        factory.changed(made, lambda k, file: setattr(file, "InstanceNumber", int(numbers[k]))).files, tmp_path
    )
    if missing:
        with pytest.raises(MissingSlicesError, match=f"{missing} such gaps"):
            import_scan(folder)
    else:
        assert kinds(import_scan(folder)) == {"uneven"}


def test_slice_between_measured_and_padded_voxels_is_outside_where_one_of_them_is(tmp_path: Path) -> None:
    made = factory.stack(signed=True)

    def pad(k: int, file: FileDataset) -> None:
        file.PixelPaddingValue = -2000
        file["PixelPaddingValue"].VR = "SS"
        if k in (1, 4):
            pixels = np.frombuffer(file.PixelData, "<i2").reshape(7, 9).copy()
            pixels[:, k] = -2000
            file.PixelData = pixels.tobytes()

    folder = factory.save(factory.without(factory.changed(made, pad), 2, 3).files, tmp_path)
    outside = import_scan(folder, SeriesChoice(gaps="interpolate")).volume.outside
    assert outside is not None
    padded = [sorted(set(np.nonzero(outside[:, :, k])[0].tolist())) for k in range(6)]
    assert padded == [[], [1], [1, 4], [1, 4], [4], []]


def test_slices_that_lie_sideways_of_each_other_are_put_where_they_belong(tmp_path: Path) -> None:
    made = factory.stack((12, 10, 5))

    def push(k: int, file: FileDataset) -> None:
        sideways = [0, 3, 0, 1, 0][k] * 0.8
        file.ImagePositionPatient[0] = factory.decimal(made.positions[k][0] + sideways)

    scan = import_scan(factory.save(factory.changed(made, push).files, tmp_path))
    assert kinds(scan) == {"shift", "padding"}
    for k, columns in enumerate([0, 3, 0, 1, 0]):
        assert np.array_equal(scan.volume.voxels[columns : columns + 12, :, k], made.values[:, :, k])
