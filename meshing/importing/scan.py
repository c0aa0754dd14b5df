"""The door for any scan path: DICOM in a folder, zip, DICOMDIR or file; NIfTI, NRRD, MHA.

`survey` lists what is there, `import_scan` brings one volume in. What comes out is in LPS mm, holds no identity of
the patient, and says in facts what was done to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshing.errors import AnatomyError
from meshing.importing.dicom.intake import import_dicom, survey_dicom
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.series import ImportedScan, SeriesChoice, SeriesInfo
from meshing.importing.unpack import opened
from meshing.progress import Progress, silent

__all__ = ["ImportedScan", "SeriesChoice", "SeriesInfo", "import_scan", "survey"]


def survey(path: Path | str, *, limits: Limits = DEFAULT, progress: Progress = silent) -> tuple[SeriesInfo, ...]:
    """What `path` holds, one line per series.

    Raises
    ------
    ScanError
        If nothing in it can be read.
    """
    path = Path(path)
    with opened(path, limits) as plain, _named_as_given(path, plain):
        return survey_dicom(plain, limits=limits, progress=progress)


def import_scan(
    path: Path | str,
    choice: SeriesChoice = SeriesChoice(),  # noqa: B008
    *,
    limits: Limits = DEFAULT,
    progress: Progress = silent,
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
    path = Path(path)
    with opened(path, limits) as plain, _named_as_given(path, plain):
        return import_dicom(plain, choice, limits=limits, progress=progress)


@contextmanager
def _named_as_given(path: Path, plain: Path) -> Iterator[None]:
    """Errors about unpacked files name the packed one: nobody knows the temporary folder."""
    try:
        yield
    except AnatomyError as error:
        if plain != path and error.where.startswith(str(plain)):
            inner = error.where.removeprefix(str(plain)).lstrip("/\\")
            error.where = f"{path}, file {inner}" if inner else str(path)
        raise
