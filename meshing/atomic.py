"""Files that are whole or not there: written beside, synced, read back, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from meshing.errors import AnatomyError, ExportError

PART_SUFFIX = ".part"


@contextlib.contextmanager
def replace_file(path: Path, failure: type[AnatomyError] = ExportError) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends, and vanishes when it fails.

    The old file stays whole until the rename. The bytes are synced to disk and their count is checked first:
    some writers report success on a full disk.

    Raises
    ------
    AnatomyError
        Of type `failure`: the disk is full, or the place cannot be written.
    """
    part = path.with_name(f"{path.name}{PART_SUFFIX}")
    try:
        with part.open("w+b") as file:
            yield file
            wanted = file.seek(0, os.SEEK_END)
            file.flush()
            os.fsync(file.fileno())
        _check_size(part, wanted, failure)
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise failure(_reason(error), where=path, hint=_remedy(error)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview, failure: type[AnatomyError] = ExportError) -> None:
    """`path` holds exactly `content`, read back before the rename."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_checked(path, write, lambda file: file.read() == content, failure)


def write_checked(
    path: Path,
    write: Callable[[BinaryIO], object],
    is_right: Callable[[BinaryIO], bool],
    failure: type[AnatomyError] = ExportError,
) -> None:
    """`path` holds what `write` wrote, and `is_right` found it so on reading it back."""
    with replace_file(path, failure) as file:
        write(file)
        file.flush()
        file.seek(0)
        if not is_right(file):
            raise failure("what was read back is not what was written", where=path, hint="check the disk")


def _check_size(part: Path, wanted: int, failure: type[AnatomyError]) -> None:
    found = part.stat().st_size
    if found != wanted:
        raise failure(f"{found} of {wanted} bytes reached the disk", where=part.parent, hint="free some space")


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk; Windows has no handle for folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    return f"cannot be written: {error.strerror or error}"


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space; what was there before is unchanged"
    return "check that the folder exists and that you may write there"
