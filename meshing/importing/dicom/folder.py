"""All headers under a path: a folder however nested and mixed, one file, or what a DICOMDIR refers to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from meshing.errors import DamagedFileError, NoImagesError, ScanError, TooLargeError
from meshing.importing.dicom import tags
from meshing.importing.dicom.headers import Header
from meshing.importing.dicom.planes import header_of
from meshing.importing.dicom.reading import looks_like_dicom, quiet_pydicom, read_elements
from meshing.importing.limits import DEFAULT, Limits
from meshing.progress import Progress, silent

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, eq=False)
class Found:
    """The headers under a path, and what looks like DICOM and could not be read."""

    headers: tuple[Header, ...]
    damaged: tuple[ScanError, ...]


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
    with quiet_pydicom():
        for number, file in enumerate(files, start=1):
            progress(number / len(files), "reading headers")
            try:
                if (header := _header(file, limits)) is not None:
                    headers.append(header)
            except ScanError as error:
                damaged.append(error)
    if not headers and damaged:
        raise damaged[0]
    if not headers:
        raise NoImagesError(
            f"none of {len(files)} files is a DICOM image", where=path, hint="give the folder that holds the series"
        )
    return Found(tuple(headers), tuple(damaged))


def holds_dicom(path: Path) -> bool:
    """Whether any file under `path` begins as DICOM does."""
    files = [path] if path.is_file() else (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return any(_begins_as_dicom(file) for file in files)


def _begins_as_dicom(file: Path) -> bool:
    if not file.is_file():
        return False
    with suppress(OSError), file.open("rb") as stream:
        return looks_like_dicom(stream.read(132))
    return False


def _header(file: Path, limits: Limits) -> Header | None:
    """The header of a DICOM file; None for one of another kind, and for a DICOMDIR."""
    try:
        elements = read_elements(file, limits)
        if elements is None or not len(elements.dataset):
            return None
        if tags.text(elements.dataset, tags.SOP_CLASS) == DIRECTORY_CLASS:
            return None
        return header_of(elements, file)
    except ScanError:
        raise
    except OSError as error:
        raise DamagedFileError(f"it cannot be read: {error.strerror}", where=file) from None
    except Exception as error:
        # A malformed sequence surfaces only when its items are looked at; the cause may quote header values.
        raise DamagedFileError(
            f"the header cannot be read ({type(error).__name__})", where=file, hint="copy or export the file again"
        ) from None


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
