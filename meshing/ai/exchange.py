"""What goes to a plug-in and what comes back: nouns, and their files in a folder that both processes see.

A `Scan` stands upright: its axes run to the patient's left, back and head, whatever the storage order was. `Drawn` lies
on those voxels. The files are `request.json`, `scan.npy`, `answer.json`, `labels.npy`, `progress.txt` and `log.txt`;
no pickles. Points and matrices are LPS mm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.progress import Progress
from meshing.volume import Volume
from meshing.voxels.upright import Upright

REQUEST, SCAN, ANSWER, LABELS = "request.json", "scan.npy", "answer.json", "labels.npy"
PROGRESS, LOG = "progress.txt", "log.txt"

_TOLD_BYTES = 400
_TOLD_LETTERS = 80


@dataclass(frozen=True, eq=False)
class Scan:
    """The scan that a plug-in sees.

    Parameters
    ----------
    voxels
        shape (X, Y, Z), int16 or float32, read-only: x grows to the left, y to the back, z to the head.
    spacing_mm
        Along x, y, z.
    voxel_to_patient
        (4, 4), indices of that array to LPS mm.
    seeds_mm
        LPS points that the user gave.
    """

    voxels: npt.NDArray[Any]
    spacing_mm: tuple[float, float, float]
    voxel_to_patient: FloatArray
    modality: str
    seeds_mm: tuple[Point, ...] = ()


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a plug-in drew on a scan.

    Parameters
    ----------
    labels
        Integers of shape (X, Y, Z), or (layers, X, Y, Z) where structures overlap; 0 is nothing.
    names
        Name of every label that may occur, in any layer: a key or name of the terminology, or a name of its own.
    voxel_to_patient
        Where the plug-in says that its voxels lie, (4, 4); None: on the scan.
    """

    labels: npt.NDArray[Any]
    names: Mapping[int, str]
    voxel_to_patient: FloatArray | None = None


def scan_of(volume: Volume, scan: Upright, seeds_mm: tuple[Point, ...] = ()) -> Scan:
    """The upright scan with its place in space."""
    return Scan(scan.voxels, scan.spacing_mm, upright_to_patient(scan), volume.modality, seeds_mm)


def upright_to_patient(scan: Upright) -> FloatArray:
    """(4, 4): indices of the upright array to LPS mm."""
    to_stored = np.zeros((4, 4))
    to_stored[3, 3] = 1.0
    for axis, (stored, back) in enumerate(zip(scan.axes, scan.reversed_axes, strict=True)):
        to_stored[stored, axis] = -1.0 if back else 1.0
        to_stored[stored, 3] = scan.voxels.shape[axis] - 1 if back else 0
    matrix: FloatArray = scan.grid.voxel_to_patient @ to_stored
    return matrix


# ------------------------------------------------------------------------------------------------------------- files


def write_request(folder: Path, scan: Scan, words: Mapping[str, Any]) -> None:
    """The scan and what to do with it; `words` is JSON."""
    np.save(folder / SCAN, np.asfortranarray(scan.voxels), allow_pickle=False)
    about = {
        "spacing_mm": scan.spacing_mm,
        "voxel_to_patient": scan.voxel_to_patient.tolist(),
        "modality": scan.modality,
        "seeds_mm": scan.seeds_mm,
    }
    (folder / REQUEST).write_text(json.dumps({**words, "scan": about}), encoding="utf-8")


def read_request(folder: Path) -> tuple[Scan, dict[str, Any]]:
    """What `write_request` wrote; the voxels stay on disk until they are read."""
    words: dict[str, Any] = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    about = words.pop("scan")
    scan = Scan(
        voxels=np.load(folder / SCAN, mmap_mode="r", allow_pickle=False),
        spacing_mm=tuple(about["spacing_mm"]),
        voxel_to_patient=np.array(about["voxel_to_patient"]),
        modality=about["modality"],
        seeds_mm=tuple(tuple(point) for point in about["seeds_mm"]),
    )
    return scan, words


def write_answer(folder: Path, drawn: Drawn) -> None:
    """What was drawn, as it is: the reader judges it."""
    np.save(folder / LABELS, np.asarray(drawn.labels), allow_pickle=False)
    matrix = None if drawn.voxel_to_patient is None else np.asarray(drawn.voxel_to_patient, float).tolist()
    words = {"names": [[int(label), str(name)] for label, name in drawn.names.items()], "voxel_to_patient": matrix}
    _put(folder / ANSWER, words)


def write_refusal(folder: Path, kind: str, text: str, hint: str = "") -> None:
    """Why nothing was drawn: `kind` is "stated", "raised", "memory" or "left"."""
    _put(folder / ANSWER, {"refused": kind, "text": text, "hint": hint})


def teller(folder: Path) -> Progress:
    """Progress that the other process hears."""

    def tell(fraction: float, doing: str) -> None:
        with (folder / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(f"{fraction:.4f}\t{plain_text(doing, _TOLD_LETTERS)}\n")

    return tell


def last_told(folder: Path) -> tuple[float, str] | None:
    """The last whole line of progress, or None; anything else in the file is passed over."""
    try:
        with (folder / PROGRESS).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TOLD_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines):
        number, _, doing = line.partition("\t")
        try:
            fraction = float(number)
        except ValueError:
            continue
        if math.isfinite(fraction):
            return min(max(fraction, 0.0), 1.0), plain_text(doing, _TOLD_LETTERS)
    return None


def plain_text(text: str, letters: int) -> str:
    """At most so many printable letters of a text that may hold anything, on one line."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * letters])
    return " ".join(kept.split())[:letters]


def _put(path: Path, words: dict[str, Any]) -> None:
    """The file is there as a whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(words), encoding="utf-8")
    part.replace(path)
