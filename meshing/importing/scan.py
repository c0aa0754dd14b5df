"""The door for any scan path: DICOM in a folder, zip, DICOMDIR or file; NIfTI, NRRD, MetaImage, in a zip or not.

`survey` lists what is there, `import_scan` brings one volume in. What comes out is in LPS mm, holds no identity of
the patient, and says in facts what was done to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from meshing.errors import AnatomyError, ChooseSeriesError, TooLargeError
from meshing.importing.dicom.folder import holds_dicom
from meshing.importing.dicom.intake import import_dicom, survey_dicom
from meshing.importing.files import is_volume_file, read_file, survey_file
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.series import ImportedScan, SeriesChoice, SeriesInfo
from meshing.importing.unpack import opened
from meshing.progress import Progress, silent

__all__ = ["ImportedScan", "SeriesChoice", "SeriesInfo", "import_scan", "survey"]

_ANY = SeriesChoice()


def survey(path: Path | str, *, limits: Limits = DEFAULT, progress: Progress = silent) -> tuple[SeriesInfo, ...]:
    """What `path` holds, one line per series.

    Raises
    ------
    ScanError
        If nothing in it can be read.
    """
    with _unpacked(Path(path), limits) as plain:
        if files := _volume_files(plain):
            return tuple(_line(file, ordinal, limits) for ordinal, file in enumerate(files, start=1))
        return survey_dicom(plain, limits=limits, progress=progress)


def import_scan(
    path: Path | str, choice: SeriesChoice = _ANY, *, limits: Limits = DEFAULT, progress: Progress = silent
) -> ImportedScan:
    """One volume of `path` on a regular, upright grid, and what was done to it.

    Raises
    ------
    ChooseSeriesError
        If several volumes, or phases, are there and none was chosen.
    ScanError
        If the chosen one cannot become a volume; the message has the numbers, the hint a remedy.
    DecodeError
        If its compressed pixels cannot be decoded.
    """
    with _unpacked(Path(path), limits) as plain:
        if files := _volume_files(plain):
            file = _chosen(files, choice, plain)
            return ImportedScan(*read_file(file, choice.phase, limits=limits, progress=progress))
        return import_dicom(plain, choice, limits=limits, progress=progress)


@contextmanager
def _unpacked(path: Path, limits: Limits) -> Iterator[Path]:
    """What to read; errors about unpacked files name the packed one, as nobody knows the temporary folder."""
    with opened(path, limits) as plain:
        try:
            yield plain
        except AnatomyError as error:
            if plain != path and error.where.startswith(str(plain)):
                inner = error.where.removeprefix(str(plain)).lstrip("/\\")
                error.where = f"{path}, file {inner}" if inner else str(path)
            raise
        except MemoryError as error:
            raise TooLargeError(
                "this machine has no memory for it", where=path, hint="give a smaller series"
            ) from error


def _volume_files(plain: Path) -> list[Path]:
    """The volume files that `plain` is, or that it holds when there is no DICOM in it."""
    if holds_dicom(plain):
        return []
    files = [plain] if plain.is_file() else sorted(file for file in plain.rglob("*") if file.is_file())
    return [file for file in files if is_volume_file(file)]


def _line(file: Path, ordinal: int, limits: Limits) -> SeriesInfo:
    found = survey_file(file, limits)
    kind = "volume" if found.usable else "single image"
    return SeriesInfo(
        ordinal, kind, found.modality, found.shape, found.spacing_mm, 0.0, (), found.phases, found.usable, found.note
    )


def _chosen(files: Sequence[Path], choice: SeriesChoice, plain: Path) -> Path:
    if choice.series is None and len(files) > 1:
        raise ChooseSeriesError(
            f"{len(files)} volume files are here and none was chosen",
            where=plain,
            hint=f"pass --series 1 to {len(files)}",
        )
    number = 1 if choice.series is None else choice.series
    if not 1 <= number <= len(files):
        raise ChooseSeriesError(f"there is no series {number}", where=plain, hint=f"pass --series 1 to {len(files)}")
    return files[number - 1]
