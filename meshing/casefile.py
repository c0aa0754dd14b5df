"""A case as a folder: `case.json` names the parts, arrays lie beside it.

::

    CASE/case.json                     version, names, facts, plan; replaced atomically, alone
    CASE/volumes/scan-3f9c….npy        voxels, uncompressed, memory-mapped on reading
    CASE/layers/main-0-81aa….npy       label layers
    CASE/surfaces/liver-7c02….npy      vertices; liver-….faces.npy its triangles

Parts are named by their content and never change in place: new ones are written and synced first, then `case.json`
points to them, then parts that nothing names are swept. A process killed at any moment leaves the old case or the new.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meshing import caserecord as record
from meshing.atomic import PART_SUFFIX, write_bytes, write_checked
from meshing.case import Case
from meshing.errors import CaseError, StaleRevisionError
from meshing.plan import Plan
from meshing.progress import Progress, silent

DISCLAIMER = "For planning practice and teaching; not a medical device."
FORMAT = "anatomyxr-case"
VERSION = 1

_INDEX = "case.json"
_ROOMS = ("volumes", "layers", "surfaces")
_LOCK = ".lock"
_CHUNK = 1 << 24


def write_case(folder: Path, case: Case, *, progress: Progress = silent) -> None:
    """`folder` holds `case`; a case that was there before is replaced whole.

    Raises
    ------
    CaseError
        The folder holds something else, or the disk is full (the old case is then unchanged).
    StaleRevisionError
        The case that lies there carries a newer plan.
    """
    _refuse_other_folders(folder)
    try:
        for room in _ROOMS:
            (folder / room).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaseError(f"cannot be made: {error.strerror}", where=folder, hint="choose another folder") from error
    with _locked(folder):
        if is_case(folder):
            _refuse_older_plan(folder, case.plan)
        index = _written_parts(folder, case, progress)
        _replace_index(folder, index)
        _sweep(folder, index)
    progress(1.0, "case written")


def read_case(folder: Path) -> Case:
    """The case in that folder. Volumes and label layers are memory-mapped, so this takes milliseconds.

    Raises
    ------
    CaseError
        No case, an unknown version, or parts that are missing or of the wrong size.
    """
    index = _read_index(folder)
    try:
        return record.case_from(index, lambda part: _load(folder, part))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaseError(
            f"case.json cannot be understood: {error!r}", where=folder, hint="build the case again from the scan"
        ) from error


def save_plan(folder: Path, plan: Plan) -> None:
    """The case in `folder` carries `plan`, which must be made from the plan that lies there.

    Only `case.json` is rewritten.

    Raises
    ------
    StaleRevisionError
        If the plan on disk is as new as this one, or newer: somebody else saved meanwhile.
    """
    with _locked(folder):
        index = _read_index(folder)
        on_disk = int(index["plan"]["revision"])
        if plan.revision <= on_disk:
            raise StaleRevisionError(
                f"the plan on disk has revision {on_disk}, yours {plan.revision}",
                where=folder,
                hint="read the case again and repeat the change",
            )
        _replace_index(folder, {**index, "plan": record.plan_record(plan)})


def is_case(folder: Path) -> bool:
    """Whether a case lies there."""
    return (folder / _INDEX).is_file()


def _refuse_older_plan(folder: Path, plan: Plan) -> None:
    on_disk = int(_read_index(folder)["plan"]["revision"])
    if plan.revision < on_disk:
        raise StaleRevisionError(
            f"the case there carries a plan of revision {on_disk}, this one {plan.revision}",
            where=folder,
            hint="choose another folder, or read the case again and repeat the change",
        )


def _refuse_other_folders(folder: Path) -> None:
    if folder.is_file():
        raise CaseError("a file has that name", where=folder, hint="choose another name for the case folder")
    if folder.is_dir() and not is_case(folder):
        foreign = [path.name for path in folder.iterdir() if path.name not in (*_ROOMS, _LOCK, _INDEX + PART_SUFFIX)]
        if foreign:
            raise CaseError(
                f"the folder holds other things ({', '.join(sorted(foreign)[:3])}) and no case",
                where=folder,
                hint="choose an empty or a new folder",
            )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the operating system frees the lock of a killed process."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / _LOCK, timeout=30):
            yield
    except Timeout as error:
        raise CaseError("another process has been writing for 30 s", where=folder, hint="close it") from error
    except OSError as error:
        raise CaseError(f"cannot be locked: {error.strerror}", where=folder, hint="check that it exists") from error


def _written_parts(folder: Path, case: Case, progress: Progress) -> dict[str, Any]:
    """Every array of the case on disk, and the index that names them."""
    arrays = record.arrays_of(case)
    parts = {}
    for done, (name, array) in enumerate(arrays.items()):
        progress(done / len(arrays), "writing the case")
        parts[name] = _write_array(folder, name, array)
    return {"format": FORMAT, "version": VERSION, "disclaimer": DISCLAIMER, **record.case_record(case, parts)}


def _write_array(folder: Path, name: str, array: npt.NDArray[Any]) -> dict[str, Any]:
    """The part of that array: `room/stem-<hash>.npy`, written unless it lies there already."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    payload = _bytes_in_memory_order(array)
    digest = hashlib.blake2b(header.getvalue(), digest_size=8)
    digest.update(payload)
    path = f"{name}-{digest.hexdigest()}.npy"
    size = header.tell() + len(payload)
    target = folder / path
    if not (target.is_file() and target.stat().st_size == size):

        def write(file: Any) -> None:
            file.write(header.getvalue())
            for at in range(0, len(payload), _CHUNK):
                file.write(payload[at : at + _CHUNK])

        def is_right(file: Any) -> bool:
            again = hashlib.blake2b(digest_size=8)
            while block := file.read(_CHUNK):
                again.update(block)
            return again.hexdigest() == digest.hexdigest()

        write_checked(target, write, is_right, CaseError)
    return {"file": path, "bytes": size}


def _bytes_in_memory_order(array: npt.NDArray[Any]) -> memoryview:
    """What `.npy` stores: Fortran order where the array has it, else C order."""
    order: Literal["F", "C"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat: npt.NDArray[np.uint8] = array.ravel(order=order).view(np.uint8)
    return flat.data


def _load(folder: Path, part: Mapping[str, Any]) -> npt.NDArray[Any]:
    path = folder / str(part["file"])
    if path.resolve().parent.parent != folder.resolve():
        raise CaseError(f"a part lies outside the case: {part['file']}", where=folder)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CaseError(f"{part['file']} is missing", where=folder, hint="copy the case folder again, whole") from error
    if found != part["bytes"]:
        raise CaseError(
            f"{part['file']} has {found} bytes instead of {part['bytes']}",
            where=folder,
            hint="copy the case folder again, whole",
        )
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise CaseError(f"{part['file']} is damaged: {error}", where=folder, hint="copy the case again") from error
    return array


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / _INDEX
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CaseError("no case is here", where=folder, hint="make one: anatomyxr build SCAN CASE") from error
    except (OSError, ValueError) as error:
        raise CaseError(f"case.json cannot be read: {error}", where=folder, hint="copy the case again") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise CaseError("case.json is not a case index", where=folder)
    if index.get("version") != VERSION:
        raise CaseError(
            f"the case has version {index.get('version')}, this program reads {VERSION}",
            where=folder,
            hint="update anatomyxr",
        )
    return index


def _replace_index(folder: Path, index: Mapping[str, Any]) -> None:
    text = json.dumps(index, ensure_ascii=False, indent=1, allow_nan=False)
    write_bytes(folder / _INDEX, text.encode("utf-8"), CaseError)


def _sweep(folder: Path, index: Mapping[str, Any]) -> None:
    """Parts that the index does not name, and leftovers of killed writers, are removed."""
    named = {str(folder / part["file"]) for part in record.parts_of(index)}
    for room in _ROOMS:
        for path in (folder / room).iterdir():
            if str(path) not in named:
                with contextlib.suppress(OSError):  # an open map on Windows keeps its file until the next sweep
                    path.unlink()
