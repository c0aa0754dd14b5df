"""The door for label maps: files that others drew become a `Segmentation` on the scan's grid.

NIfTI (names from a Caret table in its header), NRRD, Slicer's `.seg.nrrd`, DICOM SEG, or a folder with one mask per
structure. Names find their structure, colour and code in the terminology (`meshing.names`); what it does not know keeps
its own. Labels on another grid are resampled by nearest neighbour, and said to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from meshing.errors import DecodeError, NoImagesError, ScanError, SegmentationError, UnsupportedError
from meshing.importing.dicom.reading import looks_like_dicom
from meshing.importing.files import is_volume_file, read_header
from meshing.importing.labels.assembly import Assembly
from meshing.importing.labels.dicom_seg import read_dicom_seg
from meshing.importing.labels.drawn import Drawn
from meshing.importing.labels.map_file import read_map
from meshing.importing.limits import DEFAULT, Limits
from meshing.names import BY_NAME, Naming, refuse_numbers_that_are_not_there
from meshing.progress import Progress, part, silent
from meshing.segmentation import Segmentation
from meshing.volume import Fact, Grid

__all__ = ["grid_of_labels", "read_labels"]

_FOLDER_HINT = "give the folder with one .nii.gz, .nrrd or .mha mask per structure"

# What an operating system or a viewer leaves in a folder.
_LITTER = ("thumbs.db", "desktop.ini")


def read_labels(
    path: Path, grid: Grid, *, naming: Naming = BY_NAME, limits: Limits = DEFAULT, progress: Progress = silent
) -> tuple[Segmentation, tuple[Fact, ...]]:
    """The structures drawn in a label file, or in a folder of masks, on `grid`.

    Parameters
    ----------
    naming
        How labels get their structures; class numbers count in files alone, not in folders of masks.

    Facts name the structures without a voxel, what was resampled and how much of it fell outside, copies that were
    dropped and, in a folder, how many files were no masks.

    Raises
    ------
    SegmentationError
        If nothing is drawn, if it does not lie on the scan, or if the values are no labels.
    ScanError, DecodeError
        If the file cannot be read, as `files.read_header` and `decoder.decode_frames`.
    """
    path = _existing(path)
    if path.is_dir():
        return _read_folder(path, grid, naming, limits, progress)
    drawn = _read_one(path, limits, part(progress, 0.0, 0.7))
    refuse_strange_numbers(naming, drawn, path)
    assembly = Assembly(grid, where=path, naming=naming)
    assembly.add_as_drawn(drawn)
    if not assembly.has_segments:
        raise SegmentationError(
            "the corrections leave every label out", where=path, hint="give at least one of them a structure"
        )
    progress(0.9, "naming structures")
    return assembly.finished(f"labels ({drawn.format})")


def each_drawn(path: Path, limits: Limits = DEFAULT, progress: Progress = silent) -> Iterator[Drawn]:
    """What a label file draws, or each mask of a folder, on its own grid.

    Raises
    ------
    SegmentationError, ScanError, DecodeError
        As `read_labels`.
    """
    path = _existing(path)
    if not path.is_dir():
        yield _read_one(path, limits, progress)
        return
    files = [file for file in sorted(path.iterdir()) if _may_hold_labels(file)]
    found = False
    for number, file in enumerate(files):
        progress(number / len(files), "reading masks")
        try:
            drawn = _read_one(file, limits)
        except (ScanError, SegmentationError, DecodeError):
            continue  # as in `_read_folder`
        found = True
        yield drawn
    if not found:
        raise SegmentationError(f"none of its {len(files)} files holds a mask", where=path, hint=_FOLDER_HINT)


def grid_of_labels(path: Path, *, limits: Limits = DEFAULT) -> Grid:
    """The grid that a label file itself is drawn on; of a folder, that of its first mask.

    Raises
    ------
    SegmentationError, ScanError, DecodeError
        As `read_labels`.
    """
    path = _existing(path)
    if not path.is_dir():
        return read_header(path, limits).grid if is_volume_file(path) else _read_one(path, limits).grid
    refused = ""
    for file in sorted(path.iterdir()):
        if _may_hold_labels(file):
            try:
                return _read_one(file, limits).grid
            except (ScanError, SegmentationError, DecodeError) as error:
                refused = refused or f": {error.message}"  # as in `_read_folder`, another may be good
    raise SegmentationError(
        f"none of its files holds a mask{refused}", where=path, hint="give the folder with one mask per structure"
    )


def _existing(path: Path) -> Path:
    path = Path(path)
    if not (path.is_dir() or path.is_file()):
        raise NoImagesError("there is no such label file or folder", where=path, hint="check the path")
    return path


def refuse_strange_numbers(naming: Naming, drawn: Drawn, where: Path) -> None:
    """Raise `NotFoundError` if corrections name a label that the file has not."""
    if naming.corrections is not None:
        numbers = {label for _, label in (*drawn.boxes, *drawn.names)}
        refuse_numbers_that_are_not_there(naming.corrections, numbers, where)


def naming_of_folder(naming: Naming, folder: Path) -> Naming:
    """The same without class numbers, which mean nothing where every mask is 1.

    Raises
    ------
    SegmentationError
        If corrections go by number.
    """
    if naming.corrections is not None and naming.corrections.by_number:
        raise SegmentationError(
            "in a folder of masks numbers say nothing",
            where=folder,
            hint="correct them by name, under [names]: the file's name without its ending",
        )
    return replace(naming, scheme=None)


def _read_folder(
    folder: Path, grid: Grid, naming: Naming, limits: Limits, progress: Progress
) -> tuple[Segmentation, tuple[Fact, ...]]:
    """One mask per file, its stem the name; what is no mask is counted, not read."""
    files = [file for file in sorted(folder.iterdir()) if _may_hold_labels(file)]
    assembly = Assembly(grid, where=folder, naming=naming_of_folder(naming, folder))
    refused: list[str] = []
    for number, file in enumerate(files):
        progress(number / len(files), "reading masks")
        try:
            assembly.add_mask_by_mask(_read_one(file, limits))
        except (ScanError, SegmentationError, DecodeError) as error:
            # One damaged mask among a hundred: the others are good, and the fact says that it is missing.
            refused.append(error.message)
    if not assembly.has_segments:
        raise SegmentationError(
            f"none of its {len(files)} files holds a mask that lies on the scan"
            + (f": {refused[0]}" if refused else ""),
            where=folder,
            hint=_FOLDER_HINT,
        )
    segmentation, facts = assembly.finished("labels (folder of masks)")
    return segmentation, (*facts, *_refusals(refused))


def _read_one(path: Path, limits: Limits, progress: Progress = silent) -> Drawn:
    with path.open("rb") as stream:
        head = stream.read(512)
    if is_volume_file(path):
        return read_map(path, limits, progress)
    if looks_like_dicom(head):
        return read_dicom_seg(path, limits, progress)
    raise UnsupportedError(
        "it is no label file that is read here", where=path, hint="give NIfTI, NRRD, .seg.nrrd, MHA or DICOM SEG"
    )


def _may_hold_labels(file: Path) -> bool:
    """Files alone: neither hidden ones nor links, which may lead anywhere."""
    if file.is_symlink() or not file.is_file() or file.name.startswith(".") or file.name.lower() in _LITTER:
        return False
    if is_volume_file(file):
        return True
    with file.open("rb") as stream:
        return looks_like_dicom(stream.read(512))


def _refusals(refused: list[str]) -> Iterator[Fact]:
    if refused:
        reasons = "; ".join(sorted(set(refused))[:5])
        text = f"{len(refused)} files of the folder were left out: {reasons}"
        yield Fact("labels", text, {"left_out": len(refused)})
