"""The nouns of this room: `Header` is what passes the door of one file, `Slice` one image plane of it.

All lengths in LPS mm. A defect is kept beside what it concerns (`problem`), so that a listing can show what an
import would refuse, and the import can raise it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshing.errors import ScanError
from meshing.frames import FloatArray

Marks = tuple[tuple[str, float | str], ...]
"""What may tell two planes at one position apart: time point, acquisition, echo, b-value, frame type, …"""

Technique = tuple[tuple[str, float | str | bool], ...]
"""Technical facts from the allow-list of `technique`."""


@dataclass(frozen=True, eq=False)
class PixelLayout:
    """How the stored values of a file lie in its bytes.

    Parameters
    ----------
    offset
        Where the value of the pixel element starts.
    is_compressed
        Whether the decoder must read it.
    bits, bits_stored, high_bit
        PS3.5 §8.1.1.
    padding
        Stored values (lowest, highest), both included, that were never measured, or None.
    """

    offset: int
    is_compressed: bool
    is_big_endian: bool
    bits: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    padding: tuple[int, int] | None

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Of one stored value, in the machine's own byte order."""
        return np.dtype(f"{'i' if self.is_signed else 'u'}{self.bits // 8}")


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one image plane lies and how its values scale.

    Parameters
    ----------
    frame
        Which frame of its file, from 0.
    position_mm
        Centre of its first voxel.
    along_row, along_column
        Unit vectors: where i (columns) and j (rows) count to.
    pixel_mm
        Distance of voxels along i and j: PixelSpacing the other way round.
    stack
        Which stack of a multi-frame file it belongs to.
    """

    frame: int
    position_mm: tuple[float, ...] = (0.0, 0.0, 0.0)
    along_row: tuple[float, ...] = (1.0, 0.0, 0.0)
    along_column: tuple[float, ...] = (0.0, 1.0, 0.0)
    pixel_mm: tuple[float, float] = (1.0, 1.0)
    slope: float = 1.0
    intercept: float = 0.0
    stack: str = ""
    marks: Marks = ()
    problem: ScanError | None = None


@dataclass(frozen=True, eq=False)
class Header:
    """What passes the door of one file. Its identifiers stay in this room; `Pseudonyms` replaces them.

    Parameters
    ----------
    layout
        None when the file holds no pixels that could be read.
    acquired_s
        Seconds on a clock of its own: only differences between headers mean anything.
    copies
        How many identical files were dropped in favour of this one.
    planes
        Empty for what is never part of a volume.
    """

    path: Path
    kind: str
    modality: str
    study: str
    series: str
    instance_uid: str
    frame_of_reference: str
    series_number: int
    instance: int | None
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frame_count: int
    syntax: str
    layout: PixelLayout | None = None
    technique: Technique = ()
    tilt_tag_deg: float | None = None
    acquired_s: float | None = None
    unit: str = ""
    copies: int = 0
    planes: tuple[Plane, ...] = field(default=(), repr=False)

    @property
    def size(self) -> tuple[int, int]:
        return self.columns, self.rows


@dataclass(frozen=True, eq=False)
class Slice:
    """A plane and the header of the file that holds it."""

    header: Header
    plane: Plane

    @property
    def name(self) -> str:
        """What an error calls it: its instance number, and its frame when the file holds several."""
        number = "without a number" if self.header.instance is None else str(self.header.instance)
        return f"{number} frame {self.plane.frame + 1}" if self.header.frame_count > 1 else number

    @property
    def number(self) -> int | None:
        """What counts the slices of a stack: the frame in a multi-frame file, else the instance number."""
        return self.plane.frame if self.header.frame_count > 1 else self.header.instance

    @property
    def edges_mm(self) -> FloatArray:
        """(6,): from the first voxel along the whole first row, and down the whole first column."""
        across = np.array(self.plane.along_row) * self.plane.pixel_mm[0] * (self.header.columns - 1)
        down = np.array(self.plane.along_column) * self.plane.pixel_mm[1] * (self.header.rows - 1)
        return np.concatenate([across, down])
