"""NIfTI-1 and NIfTI-2 headers, of `.nii` and `.nii.gz`, as a `gate.Header`: RAS becomes LPS here.

References
----------
Cox et al., "A (sort of) new image data format standard: NIfTI-1" (2004); nifti1.h and nifti2.h.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meshing.errors import DamagedFileError, GeometryError, UnsupportedError
from meshing.frames import PATIENT, RAS, FloatArray, between
from meshing.importing import gate
from meshing.importing.limits import Limits
from meshing.importing.unpack import Packing, Unpacked
from meshing.volume import Fact

_HEADER_BYTES = {1: 348, 2: 540}
_MAGIC_AT = {1: 344, 2: 4}
_SINGLE = {1: b"n+1\0", 2: b"n+2\0"}
_DETACHED = {1: b"ni1\0", 2: b"ni2\0"}

# nifti1.h, NIFTI_TYPE_*; those not listed are complex, coloured or wider than any scanner's.
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 3: "micrometres"}

# A corner that sform and qform place further apart than this is worth a word; rounding in single precision is not.
_SAME_PLACE_MM = 0.1


def is_nifti(first: bytes) -> bool:
    """Whether unpacked bytes begin as a NIfTI file does; damaged ones count, so that they are told what is wrong."""
    return any(_version(first, order) for order in "<>")


def read_header(path: Path, packing: Packing, limits: Limits) -> gate.Header:
    """The judged header of a single-file NIfTI.

    Raises
    ------
    DamagedFileError, TooLargeError, UnsupportedError, GeometryError
        As `gate.judged`; UnsupportedError also for detached voxels (.hdr with .img) and complex or coloured ones.
    """
    with Unpacked(path, packing) as stream:
        block = stream.read(_HEADER_BYTES[1])
        order = "<" if _version(block, "<") else ">"
        version = _version(block, order)
        if not version:
            raise DamagedFileError("it is no NIfTI file: its header size is neither 348 nor 540", where=path)
        block += stream.read(_HEADER_BYTES[version] - len(block))
        raw = _fields(block, version, order)
        header = _header(raw, path, packing)
        gate.judge_sizes(header, path, limits)
        extension = stream.read(min(header.skip - len(block), limits.max_header_bytes))
    return gate.judged(_with_table(header, extension, order), path, limits)


def _version(first: bytes, order: str) -> int:
    if len(first) < 348:
        return 0
    size = struct.unpack_from(f"{order}i", first)[0]
    return {348: 1, 540: 2}.get(size, 0)


def _fields(block: bytes, version: int, order: str) -> Any:
    """nibabel's view of the header, nothing of it checked or mended yet."""
    import nibabel

    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    return kind(block, endianness=order, check=False)


@np.errstate(all="ignore")  # the gate refuses what is not finite
def _header(raw: Any, path: Path, packing: Packing) -> gate.Header:
    version = 1 if raw.sizeof_hdr == 348 else 2
    _judge_kind(raw, version, path)
    shape, phases = _sizes(raw, path)
    offset = float(raw["vox_offset"])
    if not _HEADER_BYTES[version] + 4 <= offset < 1 << 40:
        raise DamagedFileError(f"its voxels begin at byte {offset:g}, inside the header", where=path)
    ras, facts = _voxel_to_ras(raw, shape, path)
    slope, intercept = _scaling(raw)
    return gate.Header(
        format=f"NIfTI-{version}",
        shape=shape,
        phases=phases,
        dtype=np.dtype(_DTYPES[int(raw["datatype"])]).newbyteorder(raw.endianness),
        voxel_to_patient=between(RAS, PATIENT).matrix @ ras,
        packing=packing,
        skip=int(offset),
        slope=slope,
        intercept=intercept,
        facts=facts,
    )


def _judge_kind(raw: Any, version: int, path: Path) -> None:
    magic = bytes(raw["magic"].tobytes()[:4]).ljust(4, b"\0")
    if magic == _DETACHED[version]:
        raise gate.refuse_detached(path, "NIfTI pair of .hdr and .img")
    if magic != _SINGLE[version]:
        raise DamagedFileError(f"it lacks the NIfTI mark, it has {magic!r}", where=path, hint="export it again")
    code = int(raw["datatype"])
    if code not in _DTYPES:
        raise UnsupportedError(
            f"its voxels are of NIfTI type {code}: colour, complex or unknown", where=path, hint="save it as int16"
        )
    if (bits := int(raw["bitpix"])) != 8 * np.dtype(_DTYPES[code]).itemsize:
        raise DamagedFileError(f"it claims {bits} bits per voxel of type {_DTYPES[code]}", where=path)


def _sizes(raw: Any, path: Path) -> tuple[tuple[int, int, int], int]:
    dimensions = int(raw["dim"][0])
    sizes = [int(size) for size in raw["dim"][1:8]]
    if not 1 <= dimensions <= 7:
        raise DamagedFileError(f"it claims {dimensions} dimensions", where=path)
    sizes = sizes[:dimensions] + [1] * (7 - dimensions)
    if any(size != 1 for size in sizes[4:]):
        raise UnsupportedError(
            f"it holds {' × '.join(map(str, sizes[:dimensions]))} values: vectors or more than one time axis",
            where=path,
            hint="save one value per voxel",
        )
    return (sizes[0], sizes[1], sizes[2]), sizes[3]


def _scaling(raw: Any) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or not a number means none (nifti1.h, "DATA SCALING")."""
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept


def _voxel_to_ras(raw: Any, shape: tuple[int, int, int], path: Path) -> tuple[FloatArray, tuple[Fact, ...]]:
    """The sform where it is rectangular, else the qform; never the header's spacing alone, which has no orientation."""
    scale = _MM_PER_UNIT.get(int(raw["xyzt_units"]) & 7, 1.0)
    sform, qform = _sform(raw, scale), _qform(raw, scale)
    if sform is None and qform is None:
        raise GeometryError(
            "neither sform nor qform says how the patient lies in it",
            where=path,
            hint="convert the scan again; left and right cannot be told from this file",
        )
    facts = []
    if unit := _UNIT_NAMES.get(int(raw["xyzt_units"]) & 7):
        facts.append(Fact("units", f"its lengths are in {unit}; they became millimetres", {"mm_per_unit": scale}))
    if sform is None or qform is None:
        chosen = sform if qform is None else qform
    else:
        chosen, said = _preferred(sform, qform, shape)
        facts += said
    assert chosen is not None
    return chosen, tuple(facts)


def _preferred(sform: FloatArray, qform: FloatArray, shape: tuple[int, int, int]) -> tuple[FloatArray, list[Fact]]:
    corners = np.array([(i, j, k, 1) for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    apart = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    sheared = not np.isfinite(sform).all() or not gate.shear_of(sform) <= gate.MOST_SHEAR
    if apart <= _SAME_PLACE_MM or not np.isfinite(qform).all():
        return sform, []
    name, chosen = ("qform", qform) if sheared else ("sform", sform)
    why = ", because the sform is sheared" if sheared else ""
    text = f"its sform and qform place voxels up to {apart:.1f} mm apart; the {name} was used{why}"
    return chosen, [Fact("orientation", text, {"apart_mm": round(apart, 3), "used": name})]


def _sform(raw: Any, scale: float) -> FloatArray | None:
    if int(raw["sform_code"]) <= 0:
        return None
    matrix = np.eye(4)
    matrix[:3] = np.stack([raw["srow_x"], raw["srow_y"], raw["srow_z"]])
    matrix[:3] *= scale
    return matrix


def _qform(raw: Any, scale: float) -> FloatArray | None:
    """The qform, or None where there is none; not a number throughout where its quaternion is none."""
    if int(raw["qform_code"]) <= 0:
        return None
    from nibabel.quaternions import quat2mat

    b, c, d = (float(raw[f"quatern_{letter}"]) for letter in "bcd")
    rest = 1.0 - (b * b + c * c + d * d)
    matrix = np.full((4, 4), np.nan)
    # nibabel's own tolerance: three single-precision squares may pass 1 by a little.
    if rest > -1e-5:
        # qfac = pixdim[0]: −1 mirrors the k axis, anything else means +1.
        flip = -1.0 if float(raw["pixdim"][0]) == -1.0 else 1.0
        lengths = np.asarray(raw["pixdim"][1:4], dtype=np.float64) * (1.0, 1.0, flip)
        offset = [raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"]]
        matrix = np.eye(4)
        matrix[:3, :3] = quat2mat([np.sqrt(max(rest, 0.0)), b, c, d]) * lengths
        matrix[:3, 3] = offset
        matrix[:3] *= scale
    return matrix


def _with_table(header: gate.Header, extension: bytes, order: str) -> gate.Header:
    """The header with the text of its Caret extension, which names labels; the code it stands under is not heeded.

    TotalSegmentator writes it under code 0, Connectome Workbench under 30.
    """
    at = 4
    while extension[:1] != b"\0" and at + 8 <= len(extension):
        size, _ = struct.unpack_from(f"{order}2i", extension, at)
        if size < 8 or at + size > len(extension):
            break
        content = extension[at + 8 : at + size]
        if b"<CaretExtension" in content:
            return replace(header, fields={"caret": content.rstrip(b"\0 \n").decode("utf-8", "replace")})
        at += size
    return header
