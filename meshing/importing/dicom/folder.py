"""All headers under a path: a folder however nested and mixed, one file, or what a DICOMDIR refers to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshing.errors import DamagedFileError, NoImagesError, ScanError, TooLargeError
from meshing.importing.dicom import tags
from meshing.importing.dicom.headers import Header
from meshing.importing.dicom.planes import header_of
from meshing.importing.dicom.reading import quiet_pydicom, read_elements
from meshing.importing.limits import DEFAULT, Limits
from meshing.progress import Progress, silent

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, eq=False)
class Found:
    """The headers under a path, what could not be read, and how many files are no DICOM."""

    headers: tuple[Header, ...]
    damaged: tuple[ScanError, ...]
    foreign: int


def find_headers(path: Path, limits: Limits = DEFAULT, progress: Progress = silent) -> Found:
    """Every DICOM header under `path`.

    Raises
    ------
    NoImagesError
        If there is none.
    DamagedFileError
        If files look like DICOM and not one of them can be read; or a DICOMDIR refers outside its folder.
    TooLargeError
        If there are more files than the limit.
    """
    files = list(_files(path, limits))
    headers: list[Header] = []
    damaged: list[ScanError] = []
    foreign = 0
    with quiet_pydicom():
        for number, file in enumerate(files, start=1):
            progress(number / len(files), "reading headers")
            try:
                elements = read_elements(file, limits)
                if elements is None:
                    foreign += 1
                elif tags.text(elements.dataset, tags.SOP_CLASS) != DIRECTORY_CLASS and elements.dataset:
                    headers.append(header_of(elements, file))
            except ScanError as error:
                damaged.append(error)
            except OSError as error:
                damaged.append(DamagedFileError(f"it cannot be read: {error.strerror}", where=file))
    if not headers and damaged:
        raise damaged[0]
    if not headers:
        raise NoImagesError(
            f"none of {len(files)} files is a DICOM image", where=path, hint="give the folder that holds the series"
        )
    return Found(tuple(headers), tuple(damaged), foreign)


def _files(path: Path, limits: Limits) -> Iterator[Path]:
    if path.is_file():
        yield from referenced_files(path, limits) if is_directory_record(path) else [path]
        return
    count = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if not file.is_file():
                continue
            count += 1
            if count > limits.max_members:
                raise TooLargeError(
                    f"there are more than {limits.max_members} files",
                    where=path,
                    hint="give the folder of one study, or raise the limit max_members",
                )
            yield file


def is_directory_record(path: Path) -> bool:
    """Whether the file is a DICOMDIR, by its media storage class (PS3.10 §8)."""
    with path.open("rb") as stream:
        return DIRECTORY_CLASS.encode() in stream.read(1024)


def referenced_files(directory: Path, limits: Limits = DEFAULT) -> list[Path]:
    """The files that a DICOMDIR refers to and that are there.

    Raises
    ------
    DamagedFileError
        If it cannot be read, or a reference leaves its folder.
    """
    import pydicom

    if directory.stat().st_size > limits.max_bytes:
        raise TooLargeError(f"a DICOMDIR of {directory.stat().st_size} bytes", where=directory)
    with quiet_pydicom():
        try:
            records = pydicom.dcmread(directory, specific_tags=["DirectoryRecordSequence"])
            references = [
                reference.value for record in records.DirectoryRecordSequence if (reference := record.get(0x00041500))
            ]
        except Exception as error:
            raise DamagedFileError(
                f"the DICOMDIR cannot be read ({type(error).__name__})",
                where=directory,
                hint="give the folder instead",
            ) from None
    root = directory.parent
    files = []
    for reference in references:
        parts = [reference] if isinstance(reference, str) else list(reference or ())
        file = root.joinpath(*map(str, parts))
        if not parts or any(part in ("", ".", "..") or set(str(part)) & set("/\\:") for part in parts):
            raise _leaves(directory)
        if not file.resolve().is_relative_to(root.resolve()):
            raise _leaves(directory)
        if file.is_file():
            files.append(file)
    return files


def _leaves(directory: Path) -> DamagedFileError:
    # CVE-2026-32711: a reference with ".." or an absolute path reads files that nobody gave.
    return DamagedFileError(
        "the DICOMDIR refers to a file outside its own folder",
        where=directory,
        hint="give the folder of images instead",
    )
