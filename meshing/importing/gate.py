"""The gate before the voxels: what a file says of itself, judged before a byte is allocated for it.

Format modules (`nifti`, `nrrd`, `metaimage`) read a header into a `Header`; `judged` returns it when it can be
believed: positive sizes within the limits, finite positive spacing, orthonormal axes, and a file as long as its
payload. Positions are LPS millimetres from here on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, TooLargeError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing.limits import Limits
from meshing.importing.unpack import Packing
from meshing.volume import Fact, Grid

# |cosine| between two axes above which a grid counts as sheared: 0.001 moves the far corner of a 500 mm scan by half
# a millimetre, and single-precision headers of honest oblique scans stay below 1e-5.
MOST_SHEAR = 1e-3

# No scanner samples the body coarser or finer than this; a unit mistaken by a factor of a thousand does.
_SPACING_MM = (1e-4, 1e3)

# Further than a kilometre from the scanner's centre lies no patient, and indices would overflow.
_FURTHEST_MM = 1e6


@dataclass(frozen=True, eq=False)
class Header:
    """What a volume file says of itself, in our words.

    Parameters
    ----------
    format
        "NIfTI-1", "NRRD", "MetaImage", …
    shape
        Voxels along i, j, k.
    phases
        Volumes in the file.
    phase_axis
        Where the phases stand in storage: slowest ("last") or fastest ("first").
    dtype
        Of the stored values, with its byte order.
    voxel_to_patient
        (4, 4), LPS mm.
    slope, intercept
        Stored value → value.
    packing, packed_from, skip
        The payload begins `skip` unpacked bytes after file position `packed_from`.
    fields
        Further text of the header by key: names of segments. Never leaves the import room as it is.
    """

    format: str
    shape: tuple[int, int, int]
    phases: int
    dtype: np.dtype[Any]
    voxel_to_patient: FloatArray
    packing: Packing
    packed_from: int = 0
    skip: int = 0
    phase_axis: Literal["first", "last"] = "last"
    slope: float = 1.0
    intercept: float = 0.0
    facts: tuple[Fact, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        return Grid(self.shape, self.voxel_to_patient)

    @property
    def phase_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def payload_bytes(self) -> int:
        return self.phase_bytes * self.phases


def judged(header: Header, path: Path, limits: Limits) -> Header:
    """The same header, when it can be believed.

    Raises
    ------
    DamagedFileError
        If a size is not positive or the file is shorter than its payload.
    TooLargeError
        If it claims more voxels or bytes than `limits` allow.
    GeometryError
        If spacing is not finite and positive, or the axes are singular or sheared.
    """
    judge_sizes(header, path, limits)
    judge_length(header, path)
    judge_axes(header.voxel_to_patient, path)
    if not (math.isfinite(header.slope) and math.isfinite(header.intercept)) or header.slope == 0:
        raise DamagedFileError(f"values are scaled by {header.slope} and {header.intercept}", where=path)
    return header


def judge_sizes(header: Header, path: Path, limits: Limits) -> None:
    """Refuse sizes that are not positive or pass the limits."""
    sizes = (*header.shape, header.phases)
    text = " × ".join(str(size) for size in sizes)
    if min(sizes) < 1:
        raise DamagedFileError(f"it claims {text} voxels", where=path, hint="export it again")
    if math.prod(sizes) > limits.max_voxels:
        raise TooLargeError(
            f"it claims {text} voxels, the limit is {limits.max_voxels}",
            where=path,
            hint="if the scan really is that large, raise the limit max_voxels",
        )
    if header.skip > limits.max_header_bytes:
        raise TooLargeError(
            f"its voxels begin only after {header.skip} bytes, the limit is {limits.max_header_bytes}",
            where=path,
            hint="if its header really is that long, raise the limit max_header_bytes",
        )
    if header.payload_bytes > limits.max_bytes:
        raise TooLargeError(
            f"its voxels take {header.payload_bytes} bytes, the limit is {limits.max_bytes}",
            where=path,
            hint="if the scan really is that large, raise the limit max_bytes",
        )


def judge_length(header: Header, path: Path) -> None:
    """Refuse a file that is too short for what it claims: exactly when it is plain, by deflate's best when packed.

    Deflate cannot pack better than 1032 : 1 (RFC 1951: 258 bytes from two bits), so a packed file of a few bytes that
    claims gigabytes is known for a lie before anything is unpacked.
    """
    on_disk = path.stat().st_size - header.packed_from
    needed = header.skip + header.payload_bytes
    shortest = needed if header.packing == "raw" else 0 if header.packing == "bzip2" else needed // 1032
    if on_disk < shortest:
        raise DamagedFileError(
            f"it has {max(on_disk, 0)} bytes, its header promises voxels that take at least {shortest}",
            where=path,
            hint="it is truncated: copy or export it again",
        )


@np.errstate(all="ignore")
def judge_axes(voxel_to_patient: FloatArray, where: str | Path) -> None:
    """Refuse voxel axes that are not finite, positive in length and at right angles."""
    if not np.isfinite(voxel_to_patient).all():
        raise GeometryError("the position of its voxels is not finite", where=where, hint="export it again")
    if np.abs(voxel_to_patient[:3, 3]).max() > _FURTHEST_MM:
        raise GeometryError(
            f"its first voxel lies at {', '.join(f'{mm:.3g}' for mm in voxel_to_patient[:3, 3])} mm",
            where=where,
            hint="its position is damaged, or in another unit than mm",
        )
    spacing = np.linalg.norm(voxel_to_patient[:3, :3], axis=0)
    if spacing.min() < _SPACING_MM[0] or spacing.max() > _SPACING_MM[1]:
        raise GeometryError(
            f"its voxels measure {' × '.join(f'{length:.4g}' for length in spacing)} mm",
            where=where,
            hint="the spacing in its header is missing or in another unit than mm",
        )
    if (shear := shear_of(voxel_to_patient)) > MOST_SHEAR:
        raise GeometryError(
            f"its voxel axes are {math.degrees(math.asin(min(shear, 1.0))):.2f}° off a right angle",
            where=where,
            hint="resample it to a rectangular grid with the program that made it",
        )


def shear_of(voxel_to_patient: FloatArray) -> float:
    """The largest |cosine| between two voxel axes: 0 for a rectangular grid, 1 for a singular one."""
    axes = voxel_to_patient[:3, :3] / np.linalg.norm(voxel_to_patient[:3, :3], axis=0)
    cosines = axes.T @ axes - np.eye(3)
    return float(np.abs(cosines).max())


def refuse_detached(path: Path, kind: str) -> UnsupportedError:
    """The error for a header whose voxels lie in another file: such a file could name any other on this machine."""
    return UnsupportedError(
        f"its voxels lie in another file ({kind})",
        where=path,
        hint="save header and voxels in one file (.nii.gz, .nrrd or .mha)",
    )
