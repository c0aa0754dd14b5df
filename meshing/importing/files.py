"""The door for single-file volumes: NIfTI, NRRD and MetaImage become a `Volume` in LPS millimetres.

A header passes the gate before its voxels are unpacked, and no native reader sees the file: the three formats keep
plain numbers behind a header, so that NumPy and zlib are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import ChooseSeriesError, DamagedFileError, NoImagesError, TooLargeError, UnsupportedError
from meshing.importing import gate, metaimage, nifti, nrrd
from meshing.importing.limits import DEFAULT, Limits
from meshing.importing.unpack import Packing, Unpacked, unpacked_chunks
from meshing.progress import Progress, silent
from meshing.volume import Fact, Volume, Voxels

# The names under which such files come; their content decides.
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img")

_GZIP = b"\x1f\x8b"

# Air is −1000 HU by definition and scanners pad below it; no other modality stores values that low.
_LOWEST_OF_CT = -900

# Unpacked bytes that a survey looks at: the corners of the first slices hold air in any CT.
_SURVEYED_BYTES = 4 << 20

# Beyond 2^24 float32 skips whole numbers.
_EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True, eq=False)
class FileSurvey:
    """What a volume file holds, told by its header and its first voxels.

    Parameters
    ----------
    kind
        "NIfTI-1", "NIfTI-2", "NRRD" or "MetaImage".
    modality
        "CT", "MR" or "unknown": guessed from values, the formats do not say.
    shape
        Voxels along i, j, k.
    phases
        Volumes in the file; `read_file` wants one chosen when there are more than one.
    usable
        Whether `read_file` will take it.
    note
        One sentence for people.
    """

    kind: str
    modality: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    phases: int
    usable: bool
    note: str


def is_volume_file(path: Path) -> bool:
    """Whether the file is named, or begins, as one of these formats: `survey_file` then says what it is or lacks."""
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        first, _ = _first_bytes(path)
    except (OSError, DamagedFileError):
        return False
    # A name-less DICOM data set may begin with any bytes; a NIfTI header also carries its mark.
    marked = first[344:347] in (b"n+1", b"ni1") or first[4:7] in (b"n+2", b"ni2")
    return nrrd.is_nrrd(first) or metaimage.is_metaimage(first) or (marked and nifti.is_nifti(first))


def survey_file(path: Path, limits: Limits = DEFAULT) -> FileSurvey:
    """What the file holds, without unpacking more than its first megabytes.

    Raises
    ------
    ScanError
        As `read_header`.
    """
    header = read_header(path, limits)
    first = _values(header, _first_voxels(path, header))
    modality = guessed_modality(float(first[np.isfinite(first)].min(initial=0.0)))
    notes = [f"{header.format}; modality guessed from its values"]
    if header.phases > 1:
        notes.append(f"{header.phases} phases")
    flat = min(header.shape) < 2
    if flat:
        notes.append("a single slice, not a volume")
    spacing = header.grid.spacing_mm
    return FileSurvey(
        kind=header.format,
        modality=modality,
        shape=header.shape,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        phases=header.phases,
        usable=not flat,
        note="; ".join(notes),
    )


def read_file(
    path: Path,
    phase: int | None = None,
    *,
    modality: str | None = None,
    limits: Limits = DEFAULT,
    progress: Progress = silent,
) -> tuple[Volume, tuple[Fact, ...]]:
    """The volume in a file, int16 where its values are whole and fit, float32 otherwise.

    Parameters
    ----------
    phase
        Which volume, from 1; needed when the file holds several.
    modality
        "CT" or "MR"; None guesses from the values and says so in a fact.

    Raises
    ------
    ChooseSeriesError
        If the file holds several phases and none, or one that it has not, was chosen.
    ScanError
        As `read_header`; DamagedFileError also if the voxels end early.
    """
    header = read_header(path, limits)
    if min(header.shape) < 2:
        raise UnsupportedError("it is a single slice, not a volume", where=path, hint="give the whole scan")
    stored = stored_voxels(path, header, _phase(header, phase, path), progress=progress)
    voxels, outside, facts = _volume_values(header, stored, path)
    kind = modality or guessed_modality(float(voxels.min()))
    if modality is None:
        text = (
            f"the file does not say its modality; {kind} was guessed from values {voxels.min():g} to {voxels.max():g}"
        )
        facts = (*facts, Fact("modality", text, {"modality": kind, "guessed": True}))
    if header.phases > 1:
        text = f"phase {phase} of {header.phases} was read"
        facts = (*facts, Fact("phase", text, {"phase": phase, "phases": header.phases}))
    unit = "HU" if kind == "CT" else ""
    return Volume(voxels, header.grid, kind, unit, outside), (*header.facts, *facts)


def read_header(path: Path, limits: Limits = DEFAULT) -> gate.Header:
    """The judged header of a NIfTI, NRRD or MetaImage file, whatever its name.

    Raises
    ------
    NoImagesError
        If there is no such file.
    UnsupportedError
        If it is none of these formats, or keeps its voxels in another file, or holds more than one value per voxel.
    DamagedFileError, TooLargeError, GeometryError
        As `gate.judged`.
    """
    if not path.is_file():
        raise NoImagesError("there is no such file", where=path, hint="check the path")
    try:
        first, packing = _first_bytes(path)
        if nrrd.is_nrrd(first):
            return nrrd.read_header(path, limits)
        if metaimage.is_metaimage(first):
            return metaimage.read_header(path, limits)
        if nifti.is_nifti(first) or path.name.lower().endswith((".nii", ".nii.gz")):
            return nifti.read_header(path, packing, limits)
    except OSError as error:
        raise DamagedFileError(f"it cannot be read: {error.strerror}", where=path, hint="check the disk") from error
    raise UnsupportedError(
        "it is no NIfTI, NRRD or MetaImage file", where=path, hint="convert it to .nii.gz, .nrrd or .mha"
    )


def stored_voxels(path: Path, header: gate.Header, phase: int = 0, *, progress: Progress = silent) -> npt.NDArray[Any]:
    """Stored values of one phase (from 0), shape `header.shape`, Fortran-ordered, in the machine's byte order.

    Raises
    ------
    DamagedFileError
        If they end early or fail their checksum.
    TooLargeError
        If this machine has no memory for them.
    """
    first, volumes = (0, header.phases) if header.phase_axis == "first" else (phase, 1)
    try:
        with Unpacked(path, header.packing, packed_from=header.packed_from) as stream:
            for _ in stream.pieces(header.skip + first * header.phase_bytes):
                pass
            payload = np.empty(volumes * header.phase_bytes, np.uint8)
            at = 0
            for piece in stream.pieces(payload.size):
                payload[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)
                progress(at / payload.size, "reading voxels")
    except MemoryError as error:
        raise TooLargeError(f"this machine has no memory for {header.phase_bytes} bytes", where=path) from error
    values = payload.view(header.dtype)
    if header.phase_axis == "first":
        values = values.reshape(header.phases, -1, order="F")[phase]
    return values.reshape(header.shape, order="F").astype(header.dtype.newbyteorder("="), copy=False)


def guessed_modality(lowest: float) -> str:
    """CT when values reach down to air in Hounsfield units, MR when none is negative, else unknown."""
    if lowest <= _LOWEST_OF_CT:
        return "CT"
    return "MR" if lowest >= 0 else "unknown"


def _phase(header: gate.Header, phase: int | None, path: Path) -> int:
    """The chosen phase from 0."""
    if phase is None and header.phases == 1:
        return 0
    if phase is None or not 1 <= phase <= header.phases:
        asked = "none was chosen" if phase is None else f"phase {phase} was asked for"
        raise ChooseSeriesError(
            f"it holds {header.phases} phases, {asked}", where=path, hint=f"pass --phase, 1 to {header.phases}"
        )
    return phase - 1


# ------------------------------------------------------------------------------------------------------------ values


def _volume_values(
    header: gate.Header, stored: npt.NDArray[Any], path: Path
) -> tuple[Voxels, npt.NDArray[np.bool_] | None, tuple[Fact, ...]]:
    """Values as int16 or float32, what is no number masked, and what was done."""
    lowest, highest, whole, numbers = _census(header, stored)
    if not numbers:
        raise DamagedFileError("none of its voxels is a number", where=path, hint="export it again")
    fits = whole and np.iinfo(np.int16).min <= lowest and highest <= np.iinfo(np.int16).max
    voxels = np.empty(header.shape, np.int16 if fits else np.float32, order="F")
    outside = np.zeros(header.shape, np.bool_, order="F") if numbers < stored.size else None
    for k in range(header.shape[2]):
        values = _values(header, stored[..., k])
        if outside is not None:
            outside[..., k] = ~_are_numbers(values)
            values = np.where(outside[..., k], lowest, values)
        voxels[..., k] = values
    return voxels, outside, tuple(_facts_of_values(header, stored.size - numbers, whole, max(-lowest, highest)))


def _census(header: gate.Header, stored: npt.NDArray[Any]) -> tuple[float, float, bool, int]:
    """Lowest and highest value, whether all are whole, and how many are numbers; slice by slice, to spare memory."""
    lowest, highest, whole, numbers = np.inf, -np.inf, True, 0
    for k in range(header.shape[2]):
        values = _values(header, stored[..., k])
        if values.dtype.kind == "f":
            values = values[_are_numbers(values)]
            whole = whole and bool((values == np.rint(values)).all())
        if values.size:
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
        numbers += values.size
    return lowest, highest, whole, numbers


def _are_numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where values are finite and fit single precision, in which they are kept."""
    fit: npt.NDArray[np.bool_] = np.abs(values) <= np.finfo(np.float32).max
    return fit


def _values(header: gate.Header, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if header.slope == 1.0 and header.intercept == 0.0:
        return stored
    with np.errstate(all="ignore"):  # what overflows is no number
        return stored.astype(np.float64) * header.slope + header.intercept


def _facts_of_values(header: gate.Header, not_numbers: int, whole: bool, largest: float) -> Iterator[Fact]:
    if header.slope != 1.0 or header.intercept != 0.0:
        scaling = {"slope": header.slope, "intercept": header.intercept}
        yield Fact("rescale", f"values are {header.slope:g} × stored + {header.intercept:g}", scaling)
    if not_numbers:
        text = f"{not_numbers} voxels are not numbers; they count as outside the scan"
        yield Fact("padding", text, {"voxels": not_numbers})
    if whole and largest > _EXACT_IN_FLOAT32:
        yield Fact("rounding", f"values reach {largest:g} and are rounded to single precision", {"largest": largest})


# ------------------------------------------------------------------------------------------------------- first bytes


def _first_bytes(path: Path) -> tuple[bytes, Packing]:
    """The first unpacked bytes, enough to tell the format, and how they are packed."""
    with path.open("rb") as stream:
        packing: Packing = "gzip" if stream.read(2) == _GZIP else "raw"
        stream.seek(0)
        return next(unpacked_chunks(stream, packing, where=path), b"")[:1024], packing


def _first_voxels(path: Path, header: gate.Header) -> npt.NDArray[Any]:
    size = min(header.payload_bytes, _SURVEYED_BYTES) // header.dtype.itemsize * header.dtype.itemsize
    with Unpacked(path, header.packing, packed_from=header.packed_from) as stream:
        for _ in stream.pieces(header.skip):
            pass
        return np.frombuffer(stream.read(size), header.dtype)
