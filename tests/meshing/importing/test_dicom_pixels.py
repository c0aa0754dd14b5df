"""Stored values become real ones: scaled, typed, padding masked, unused bits cleared, in every transfer syntax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from meshing.errors import AnatomyError, DamagedFileError, DecodeError, UnsupportedError
from meshing.importing.scan import import_scan, survey
from tests import dicom_factory as factory
from tests.dicom_checks import assert_is, fact


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", factory.SYNTAXES)
def test_every_transfer_syntax_gives_the_same_voxels(syntax: str, signed: bool, tmp_path: Path) -> None:
    made = factory.stack((40, 33, 4), signed=signed)
    scan = import_scan(factory.save(made.files, tmp_path, syntax=syntax, shuffle=1))
    assert_is(scan, made)
    assert scan.volume.voxels.dtype == np.int16


def test_slope_per_slice_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    made = factory.stack(intercept=0.0)
    slopes = [0.5, 0.75, 1.0, 1.2345678, 2.0, 3.1]

    def scale(k: int, file: FileDataset) -> None:
        file.RescaleSlope, file.RescaleIntercept = str(slopes[k]), str(-10 * k)

    scan = import_scan(factory.save(factory.changed(made, scale).files, tmp_path))
    truth = made.values * slopes - 10.0 * np.arange(6)
    assert scan.volume.voxels.dtype == np.float32
    assert np.array_equal(scan.volume.voxels, truth.astype(np.float32))
    assert fact(scan, "rescale").values == {"least_slope": 0.5, "most_slope": 3.1}


@pytest.mark.parametrize(
    ("slope", "intercept", "low", "high", "dtype"),
    [
        (1, -1024, 0, 4095, np.int16),
        (1, 0, 0, 32767, np.int16),
        (1, 0, 0, 32768, np.float32),
        (1, -32768, 0, 65535, np.int16),
        (2, -1024, 0, 4095, np.int16),
        (16, 0, 0, 4095, np.float32),
        (1, 0.5, 0, 4095, np.float32),
        (0.5, 0, 0, 4095, np.float32),
        (-1, 0, 0, 4095, np.int16),
    ],
)
def test_whole_numbers_that_fit_stay_int16(
    slope: float, intercept: float, low: int, high: int, dtype: type, tmp_path: Path
) -> None:
    made = factory.stack((4, 3, 2), slope=slope, intercept=intercept)
    stored = np.linspace(low, high, 24).astype("<u2").reshape(2, 3, 4)
    for k, file in enumerate(made.files):
        file.PixelData = stored[k].tobytes()
    voxels = import_scan(factory.save(made.files, tmp_path)).volume.voxels
    assert voxels.dtype == dtype
    assert np.array_equal(voxels, (stored.transpose(2, 1, 0).astype(float) * slope + intercept).astype(dtype))


@pytest.mark.parametrize("bits", [8, 32])
def test_other_widths_are_read(bits: int, tmp_path: Path) -> None:
    made = factory.stack((5, 4, 3), intercept=0.0)
    truth = np.arange(60).reshape(3, 4, 5) * (4 if bits == 8 else 70_000)
    for k, file in enumerate(made.files):
        file.BitsAllocated = file.BitsStored = bits
        file.HighBit = bits - 1
        file.PixelData = truth[k].astype(f"<u{bits // 8}").tobytes()
    voxels = import_scan(factory.save(made.files, tmp_path)).volume.voxels
    assert np.array_equal(voxels, truth.transpose(2, 1, 0))


def test_odd_width_is_refused(tmp_path: Path) -> None:
    made = factory.changed(factory.stack(), lambda k, file: setattr(file, "BitsAllocated", 12))
    with pytest.raises(UnsupportedError, match="BitsAllocated"):
        import_scan(factory.save(made.files, tmp_path))


@pytest.mark.parametrize("signed", [False, True])
def test_unused_high_bits_do_not_reach_the_values(signed: bool, tmp_path: Path) -> None:
    # Old files keep an overlay in bit 12 and above, and write negative values without extending their sign.
    made = factory.stack((6, 5, 3), signed=signed, intercept=0.0)
    low = -2048 if signed else 0
    truth = np.random.default_rng(3).integers(low, low + 4096, (3, 5, 6))
    overlay = np.random.default_rng(4).integers(0, 16, truth.shape) << 12
    for k, file in enumerate(made.files):
        file.BitsStored, file.HighBit = 12, 11
        file.PixelData = ((truth[k] & 0xFFF) | overlay[k]).astype("<u2").tobytes()
    assert np.array_equal(import_scan(factory.save(made.files, tmp_path)).volume.voxels, truth.transpose(2, 1, 0))


def padded(made: factory.Made, value: int, limit: int | None = None) -> factory.Made:
    """Two columns of padding on every slice."""

    def pad(k: int, file: FileDataset) -> None:
        kind = "<i2" if file.PixelRepresentation else "<u2"
        pixels = np.frombuffer(file.PixelData, kind).reshape(file.Rows, file.Columns).copy()
        pixels[:, 0], pixels[:, -1] = value, value if limit is None else limit
        file.PixelData = pixels.tobytes()
        file.PixelPaddingValue = value
        file["PixelPaddingValue"].VR = "SS" if file.PixelRepresentation else "US"
        if limit is not None:
            file.PixelPaddingRangeLimit = limit
            file["PixelPaddingRangeLimit"].VR = "SS" if file.PixelRepresentation else "US"

    return factory.changed(made, pad)


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "rle"])
@pytest.mark.parametrize(
    ("signed", "value", "limit"),
    [(True, -2000, None), (True, -32768, -3000), (False, 65535, None), (False, 63536, None), (True, -3000, -32768)],
)
def test_padding_is_masked_and_reads_as_the_lowest_value(
    signed: bool, value: int, limit: int | None, syntax: str, tmp_path: Path
) -> None:
    made = factory.stack((8, 6, 3), signed=signed)
    scan = import_scan(factory.save(padded(made, value, limit).files, tmp_path, syntax=syntax))
    volume = scan.volume
    mask = np.zeros(volume.voxels.shape, bool)
    mask[[0, -1]] = True
    assert volume.outside is not None
    assert np.array_equal(volume.outside, mask)
    assert np.array_equal(volume.voxels[1:-1], made.values[1:-1])
    assert (volume.voxels[mask] == made.values[1:-1].min()).all()
    assert volume.voxels.dtype == np.int16
    assert fact(scan, "padding").values["share"] == pytest.approx(0.25)


def test_padding_reads_as_the_lowest_value_of_the_whole_scan(tmp_path: Path) -> None:
    made = padded(factory.stack((8, 6, 3), intercept=0.0), 65535)
    for k, file in enumerate(made.files):
        file.RescaleSlope, file.RescaleIntercept = "0.5", str([300, -700, 40][k])
    voxels = import_scan(factory.save(made.files, tmp_path)).volume.voxels
    assert (voxels[[0, -1]] == voxels[1:-1].min()).all()


def test_padding_value_that_no_voxel_has_masks_nothing(tmp_path: Path) -> None:
    made = factory.changed(factory.stack(signed=True), lambda k, file: setattr(file, "PixelPaddingValue", -32768))
    for file in made.files:
        file["PixelPaddingValue"].VR = "SS"
    scan = import_scan(factory.save(made.files, tmp_path))
    assert scan.volume.outside is None
    assert_is(scan, made)


def test_padding_stays_outside_when_a_tilt_is_straightened(tmp_path: Path) -> None:
    made = padded(factory.stack((10, 9, 4), signed=True, tilt_deg=12), -2000)
    volume = import_scan(factory.save(made.files, tmp_path)).volume
    assert volume.outside is not None
    assert volume.outside[[0, -1]].all()
    assert volume.voxels.min() == made.values[1:-1].min()


def test_modality_lookup_table_is_refused(tmp_path: Path) -> None:
    def add(k: int, file: FileDataset) -> None:
        table = factory.item(LUTDescriptor=[2, 0, 16], ModalityLUTType="US", LUTData=b"\0\0\1\0")
        table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
        file.ModalityLUTSequence = [table]

    with pytest.raises(UnsupportedError, match="lookup table"):
        import_scan(factory.save(factory.changed(factory.stack(), add).files, tmp_path))


def test_colour_images_are_listed_and_not_offered(tmp_path: Path) -> None:
    made = factory.stack()
    for file in made.files:
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "RGB", 0
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit, file.PixelData = 7, b"\0" * 190
    (line,) = survey(factory.save(made.files, tmp_path))
    assert (line.kind, line.usable) == ("colour image", False)


@pytest.mark.parametrize("syntax", sorted(factory.ENCODERS))
def test_compressed_slice_that_ends_early_is_refused_and_named(syntax: str, tmp_path: Path) -> None:
    folder = factory.save(factory.stack((40, 33, 4)).files, tmp_path, syntax=syntax)
    victim = sorted(folder.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:-1500])
    with pytest.raises((DamagedFileError, DecodeError)) as refused:
        import_scan(folder)
    assert victim.name in refused.value.where


def test_compressed_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    made = factory.stack((40, 33, 4))
    folder = factory.save(made.files, tmp_path, syntax="jpeg-ls")
    liar = factory.stack((40, 33, 4)).files[1]
    smaller = factory.stack((20, 33, 4)).files[1]
    path = folder / "image0001.dcm"
    factory.save_one(smaller, path, "jpeg-ls")
    import pydicom

    file = pydicom.dcmread(path)
    file.Columns = 40
    for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(file, name, getattr(liar, name))
    file.save_as(path)
    with pytest.raises(AnatomyError) as refused:
        import_scan(folder)
    assert path.name in refused.value.where


@pytest.mark.parametrize(("modality", "unit"), [("CT", "HU"), ("MR", "")])
def test_unit_follows_the_modality(modality: str, unit: str, tmp_path: Path) -> None:
    volume = import_scan(factory.save(factory.stack(modality=modality).files, tmp_path)).volume
    assert (volume.modality, volume.unit) == (modality, unit)


def test_ct_that_says_it_is_not_in_hounsfield_units_is_believed(tmp_path: Path) -> None:
    made = factory.changed(factory.stack(), lambda k, file: setattr(file, "RescaleType", "US"))
    assert import_scan(factory.save(made.files, tmp_path)).volume.unit == ""
