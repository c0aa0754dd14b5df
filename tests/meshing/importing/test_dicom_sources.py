"""Whatever holds the files: folder, zip, DICOMDIR, single file, volume files; and whoever made them, hostile or not."""

from __future__ import annotations

import io
import json
import logging
import random
import re
import tempfile
import time
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from meshing.errors import AnatomyError, ChooseSeriesError, DamagedFileError, NoImagesError
from meshing.importing.scan import SeriesChoice, import_scan, survey
from meshing.progress import Cancelled
from tests import dicom_factory as factory
from tests.dicom_checks import assert_is


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


# ------------------------------------------------------------------------------------------------- folders and zips


def test_nested_folders_are_one_study(tmp_path: Path) -> None:
    made = factory.stack()
    for k, file in enumerate(made.files):
        factory.save([file], tmp_path / f"PAT{k % 2}" / f"SE {k}")
    assert_is(import_scan(tmp_path), made)


def test_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    made = factory.stack(tilt_deg=10)
    folder = factory.save(made.files, tmp_path / "folder", shuffle=1)
    path = zipped(folder, tmp_path / "study.zip")
    one, other = import_scan(folder).volume, import_scan(path).volume
    assert np.array_equal(one.voxels, other.voxels)
    assert np.array_equal(one.grid.voxel_to_patient, other.grid.voxel_to_patient)
    assert survey(folder) == survey(path)


def test_error_in_a_zip_names_the_zip_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = factory.stack()
    folder = factory.save(made.files, tmp_path / "folder")
    victim = folder / "image0003.dcm"
    victim.write_bytes(victim.read_bytes()[:-9])
    path = zipped(folder, tmp_path / "study.zip")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(DamagedFileError) as refused:
        import_scan(path)
    assert refused.value.where.startswith(f"{path}, file 000004")
    assert not list((tmp_path / "temporary").iterdir())


def test_cancelling_stops_the_import_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(factory.save(factory.stack().files, tmp_path / "folder"), tmp_path / "study.zip")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    heard: list[float] = []

    def stop(fraction: float, doing: str) -> None:
        heard.append(fraction)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        import_scan(path, progress=stop)
    assert heard == sorted(heard)
    assert not list((tmp_path / "temporary").iterdir())


def test_progress_runs_from_nothing_to_everything(tmp_path: Path) -> None:
    heard: list[float] = []
    made = factory.stack(tilt_deg=10)
    import_scan(factory.save(made.files, tmp_path), progress=lambda fraction, doing: heard.append(fraction))
    assert heard == sorted(heard)
    assert 0 < heard[0] < 0.1
    assert heard[-1] == 1


@pytest.mark.parametrize("holding", ["nothing", "no images"])
def test_folder_without_images_is_said_to_be_one(holding: str, tmp_path: Path) -> None:
    if holding == "no images":
        (tmp_path / "letter.txt").write_text("To whom it may concern")
    for verb in (survey, import_scan):
        with pytest.raises(NoImagesError) as refused:
            verb(tmp_path)
        assert refused.value.hint


def test_path_that_does_not_exist_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no such file"):
        import_scan(tmp_path / "nowhere")


def test_study_of_reports_alone_holds_no_volume(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no volume"):
        import_scan(factory.save(factory.other_objects(), tmp_path))


def test_file_without_preamble_is_read(tmp_path: Path) -> None:
    made = factory.stack()
    for k, file in enumerate(made.files):
        plain = io.BytesIO()
        file.file_meta.TransferSyntaxUID = factory.SYNTAXES["implicit"]
        file.save_as(plain, enforce_file_format=True)
        raw = plain.getvalue()
        start = raw.index(b"\x08\x00\x05\x00")
        (tmp_path / f"IM{k}").write_bytes(raw[start:])
    assert_is(import_scan(tmp_path), made)


def test_volume_files_are_read_through_the_same_door(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
    affine = np.diag([-1.5, -2.0, 2.5, 1.0])
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    (line,) = survey(path)
    assert (line.ordinal, line.kind, line.shape, line.usable) == (1, "volume", (6, 5, 4), True)
    for source in (path, tmp_path, zipped(tmp_path, tmp_path.parent / "scan.zip")):
        volume = import_scan(source).volume
        assert np.array_equal(volume.voxels, voxels)
        assert np.allclose(volume.grid.voxel_to_patient, np.diag([1.5, 2.0, 2.5, 1.0]))


def test_one_of_several_volume_files_must_be_chosen(tmp_path: Path) -> None:
    for name, shape in (("a.nii", (3, 4, 5)), ("b.nii", (5, 4, 3))):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / name)
    assert [line.shape for line in survey(tmp_path)] == [(3, 4, 5), (5, 4, 3)]
    with pytest.raises(ChooseSeriesError, match="2 volume files"):
        import_scan(tmp_path)
    assert import_scan(tmp_path, SeriesChoice(series=2)).volume.grid.shape == (5, 4, 3)
    with pytest.raises(ChooseSeriesError, match="no series 3"):
        import_scan(tmp_path, SeriesChoice(series=3))


# --------------------------------------------------------------------------------------------------------- DICOMDIR


def directory(path: Path, references: list[list[str]]) -> Path:
    """A DICOMDIR that refers to these files."""
    file = factory.blank("1.2.840.10008.1.3.10")
    records = []
    for parts in references:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.add_new(0x00041500, "CS", parts)
        records.append(record)
    file.DirectoryRecordSequence = records
    file.save_as(path, enforce_file_format=True)
    return path


def test_dicomdir_gives_what_it_refers_to_and_no_more(tmp_path: Path) -> None:
    made = factory.stack()
    factory.save(made.files, tmp_path / "IMAGES" / "CT1")
    factory.save(factory.stack((5, 5, 4), seed=2).files, tmp_path / "OTHER")
    references = [["IMAGES", "CT1", f"image{k:04d}.dcm"] for k in range(6)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # file names that PS3.10 would not allow on a disc
        path = directory(tmp_path / "DICOMDIR", [*references, ["IMAGES", "GONE"]])
    assert_is(import_scan(path), made)
    assert len(survey(tmp_path)) == 2, "the folder holds more than its DICOMDIR refers to"


@pytest.mark.parametrize(
    "reference",
    [
        ["..", "secret.dcm"],
        ["IMAGES", "..", "..", "secret.dcm"],
        ["../secret.dcm"],
        ["..\\secret.dcm"],
        ["/etc/passwd"],
    ],
)
def test_dicomdir_that_leaves_its_folder_is_refused(reference: list[str], tmp_path: Path) -> None:
    factory.save_one(factory.stack().files[0], tmp_path / "secret.dcm")
    (tmp_path / "disc" / "IMAGES").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = directory(tmp_path / "disc" / "DICOMDIR", [reference])
    with pytest.raises(DamagedFileError, match="outside its own folder"):
        import_scan(path)


def test_dicomdir_that_refers_through_a_link_is_refused(tmp_path: Path) -> None:
    factory.save(factory.stack().files, tmp_path / "elsewhere")
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "IMAGES").symlink_to(tmp_path / "elsewhere")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = directory(tmp_path / "disc" / "DICOMDIR", [["IMAGES", "image0000.dcm"]])
    with pytest.raises(DamagedFileError, match="outside its own folder"):
        import_scan(path)


# ---------------------------------------------------------------------------------------------------------- privacy


def test_no_planted_identity_passes_the_door(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    made = factory.stack(tilt_deg=10)
    canaries = [canary for file in made.files for canary in factory.plant_canaries(file)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in made.files:
            file.PatientAge = "CANARY"  # an invalid value, which pydicom likes to quote
        folder = factory.save(made.files, tmp_path)
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan = import_scan(folder)
        lines = survey(folder)
    grid = scan.volume.grid
    said = "\n".join(
        [
            json.dumps([asdict(fact) for fact in scan.facts]),
            json.dumps([asdict(line) for line in lines]),
            repr(scan),
            repr(scan.volume),
            repr(grid),
            grid.frame_of_reference,
            caplog.text,
            *capfd.readouterr(),
            *(str(warning.message) for warning in caught),
        ]
    )
    for canary in canaries:
        assert canary not in said
    assert "CANARY" not in said
    assert not re.search(r"(19|20)[23]\d{5}", re.sub(r"2\.25\.\d+", "", said)), "a date"


def test_header_value_that_pydicom_would_quote_is_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = factory.save(factory.stack().files, tmp_path)
    for file in folder.iterdir():
        syntax = b"1.2.840.10008.1.2.1\0"
        assert syntax in file.read_bytes()
        file.write_bytes(file.read_bytes().replace(syntax, b"1.2.840.CANARY.NAM\0\0"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        survey(folder)
        with pytest.raises(AnatomyError) as refused:
            import_scan(folder)
    said = [caplog.text, *capfd.readouterr(), *(str(warning.message) for warning in caught), str(refused.value)]
    assert "CANARY" not in "".join(said)


@pytest.mark.parametrize("modality", ["CANARY^NAME", "", None])
def test_modality_that_is_no_defined_term_is_told_from_the_class(modality: str | None, tmp_path: Path) -> None:
    made = factory.stack()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in made.files:
            file.Modality = modality
        folder = factory.save(made.files, tmp_path)
    assert [line.modality for line in survey(folder)] == ["CT"]
    assert import_scan(folder).volume.modality == "CT"


def test_identity_stays_out_of_errors_about_broken_headers(tmp_path: Path) -> None:
    made = factory.stack()
    canaries = [canary for file in made.files for canary in factory.plant_canaries(file)]
    for file in made.files:
        file["PixelSpacing"]._value = ["CANARY^ROSALIND", "1"]
    with pytest.raises(AnatomyError) as refused:
        import_scan(factory.save(made.files, tmp_path / "study"))
    said = refused.value.message + refused.value.hint
    assert not any(canary in said for canary in [*canaries, "CANARY"])


def test_identifiers_are_replaced_and_only_the_link_leads_back(tmp_path: Path) -> None:
    made = factory.stack()
    folder = factory.save(made.files, tmp_path)
    first, second = import_scan(folder), import_scan(folder)
    link = first.original_identifiers
    (source,) = [fact for fact in first.facts if fact.kind == "source"]
    file = made.files[0]
    assert link[first.volume.grid.frame_of_reference] == file.FrameOfReferenceUID
    assert link[source.values["series"]] == file.SeriesInstanceUID
    assert link[source.values["study"]] == file.StudyInstanceUID
    assert set(link).isdisjoint(second.original_identifiers), "every import has a salt of its own"
    assert all(re.fullmatch(r"2\.25\.\d{1,39}", pseudonym) for pseudonym in link)


def test_listing_is_plain_json(tmp_path: Path) -> None:
    folder = factory.save([*factory.stack(tilt_deg=5).files, factory.scout()], tmp_path)
    lines = [asdict(line) for line in survey(folder)]
    assert json.loads(json.dumps(lines))[0]["shape"]


def test_listing_tells_when_a_phase_began_and_never_the_date(tmp_path: Path) -> None:
    files = []
    for number, clock in enumerate(["101500", "101535.5"], start=1):
        made = factory.stack(seed=number)
        for file in made.files:
            file.StudyInstanceUID = factory.uid("one study")
            file.AcquisitionDate, file.AcquisitionTime = "20210304", clock
        files += made.files
    notes = [line.note for line in survey(factory.save(files, tmp_path))]
    assert "began" not in notes[0]
    assert "began 36 s after the first volume" in notes[1]
    assert "2021" not in "".join(notes)


# ---------------------------------------------------------------------------------------------------------- hostile


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """The bytes with a few of them changed, cut or doubled; mostly in the header, where the damage is."""
    changed = bytearray(raw)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(changed)) if dice.random() < 0.2 else dice.randrange(min(1200, len(changed)))
        match dice.randrange(4):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                changed[at : at + 4] = dice.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\xf0"]
                )
            case 2:
                del changed[at : at + dice.randint(1, 40)]
            case _:
                changed[at:at] = changed[at : at + dice.randint(1, 40)]
    return bytes(changed)


@pytest.mark.parametrize("kind", ["classic", "implicit", "enhanced", "deflated", "big endian"])
def test_mutated_files_end_in_a_volume_or_a_typed_error(kind: str, tmp_path: Path) -> None:
    made = factory.stack((6, 5, 4))
    files = [factory.enhanced(made)] if kind == "enhanced" else made.files
    folder = factory.save(files, tmp_path, syntax=kind if kind in factory.SYNTAXES else "explicit")
    victim = sorted(folder.iterdir())[len(files) // 2]
    raw = victim.read_bytes()
    dice = random.Random(kind)
    started = time.monotonic()
    refused = 0
    for _ in range(150):
        victim.write_bytes(mutated(raw, dice))
        try:
            volume = import_scan(folder).volume
            assert np.isfinite(volume.voxels).all()
        except AnatomyError as error:
            refused += 1
            assert error.message
    assert refused > 10
    assert time.monotonic() - started < 60


def test_element_that_claims_four_gigabytes_costs_nothing(tmp_path: Path) -> None:
    folder = factory.save(factory.stack().files, tmp_path)
    victim = folder / "image0002.dcm"
    raw = victim.read_bytes()
    at = raw.index(b"\x28\x00\x30\x00DS")
    victim.write_bytes(raw[: at + 4] + b"UN\0\0\x00\x00\x00\xf0" + raw[at + 8 :])
    started = time.monotonic()
    with pytest.raises(AnatomyError):
        import_scan(folder)
    assert time.monotonic() - started < 2
