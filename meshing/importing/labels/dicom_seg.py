"""DICOM Segmentation objects: binary, fractional and label-map ones, overlapping segments, with their codes.

References
----------
DICOM PS3.3 A.51 (Segmentation IOD), C.8.20 (Segmentation modules).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import AnatomyError, DamagedFileError, GeometryError, TooLargeError, UnsupportedError
from meshing.frames import FloatArray
from meshing.importing import gate
from meshing.importing.decoder import decode_frames
from meshing.importing.dicom.reading import DEFLATED, UNCOMPRESSED, inflated_file, named_syntax, quiet_pydicom
from meshing.importing.labels.drawn import Colour, Drawn, Name, boxes_of, compact
from meshing.importing.limits import Limits
from meshing.progress import Progress
from meshing.segmentation import Labels
from meshing.volume import Fact, Grid

_SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

# What says where segments lie and what they are; nothing that says whose they are.
_TAGS = [
    *("SOPClassUID", "SegmentationType", "MaximumFractionalValue", "SegmentSequence", "SegmentsOverlap"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelData"),
]

# A share above which a voxel of a fractional segment belongs to it.
THRESHOLD = 0.5

# Positions of one plane, written with a few digits in different frames.
_SAME_PLANE_MM = 0.01
_OF_SPACING = 0.01


Frame = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Planes:
    """Where frames lie: a grid, and the k of each frame."""

    grid: Grid
    slices: list[int]


def read_dicom_seg(path: Path, limits: Limits, progress: Progress) -> Drawn:
    """The segments of a DICOM SEG, packed into as few layers as they allow, and their names.

    Raises
    ------
    UnsupportedError
        If it is a DICOM file of another kind.
    DamagedFileError, TooLargeError, GeometryError, DecodeError
        If it cannot be believed, placed or decoded.
    """
    try:
        with quiet_pydicom():
            dataset, syntax = _parsed(path, limits)
            planes = _planes(dataset, path, limits)
            progress(0.3, "reading segments")
            frame_of = _frames(dataset, syntax, path, limits)
            layers, names = _layers(dataset, frame_of, planes, path)
            cut_in_two = _is(dataset, "FRACTIONAL")
    except AnatomyError:
        raise
    except Exception as error:
        # pydicom raises whatever a damaged value leads it to, and its text may quote the header.
        raise DamagedFileError(
            f"its segmentation module is damaged ({type(error).__name__})", where=path, hint="export it again"
        ) from None
    text = f"fractional segments were cut at {THRESHOLD:.0%}"
    facts = (Fact("labels", text, {"threshold": THRESHOLD}),) if cut_in_two else ()
    return Drawn("DICOM SEG", layers, planes.grid, boxes_of(layers), names, facts=facts)


def _parsed(path: Path, limits: Limits) -> tuple[Any, str]:
    """The wanted elements and the transfer syntax."""
    import pydicom

    if path.stat().st_size > limits.max_bytes:
        raise TooLargeError(f"the file is larger than {limits.max_bytes} bytes", where=path, hint="raise max_bytes")
    with path.open("rb") as stream:
        syntax = named_syntax(stream.read(4096))
    source: Any = io.BytesIO(inflated_file(path, limits)) if syntax == DEFLATED else path
    dataset = pydicom.dcmread(source, force=True, specific_tags=list(_TAGS))
    if str(dataset.get("SOPClassUID", "")) not in _SEGMENTATION:
        raise UnsupportedError("it is a DICOM file, but no segmentation", where=path, hint="give a DICOM SEG")
    return dataset, syntax


# ------------------------------------------------------------------------------------------------------------ places


def _planes(dataset: Any, path: Path, limits: Limits) -> _Planes:
    """The regular grid that every frame lies on; slices that no frame draws are part of it."""
    if min(_shape(dataset)) < 1:
        raise DamagedFileError(f"it claims {' × '.join(map(str, _shape(dataset)))} pixels", where=path)
    positions, axes, spacing, declared = _geometry(dataset, path)
    normal = np.cross(axes[0], axes[1])
    heights = (positions - positions[0]) @ normal
    sideways = np.linalg.norm(positions - positions[0] - np.outer(heights, normal), axis=1)
    if sideways.max() > max(_SAME_PLANE_MM, _OF_SPACING * min(spacing[0], spacing[1])):
        raise GeometryError(
            f"its frames are shifted sideways by up to {sideways.max():.3f} mm against each other",
            where=path,
            hint="a tilted or jagged segmentation is not read; export it as NIfTI or .seg.nrrd",
        )
    step = _step(heights - heights.min(), *declared, path)
    slices = np.rint((heights - heights.min()) / step).astype(int).tolist()
    shape = (int(dataset.Columns), int(dataset.Rows), max(slices) + 1)
    if math.prod(shape) > limits.max_voxels:
        raise TooLargeError(
            f"it spans {' × '.join(map(str, shape))} voxels, the limit is {limits.max_voxels}", where=path
        )
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([axes[0] * spacing[0], axes[1] * spacing[1], normal * step], axis=1)
    matrix[:3, 3] = positions[int(heights.argmin())]
    gate.judge_axes(matrix, path)
    return _Planes(Grid(shape, matrix), slices)


def _geometry(dataset: Any, path: Path) -> tuple[FloatArray, FloatArray, tuple[float, float], tuple[float, float]]:
    """Positions (frames, 3); unit vectors of i and j (2, 3); spacing along i and j; of slices, and their thickness."""
    count = _shape(dataset)[0]
    frames = dataset.PerFrameFunctionalGroupsSequence
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    if len(frames) != count:
        raise DamagedFileError(f"it describes {len(frames)} of {count} frames", where=path)
    positions = np.array([_macro(f, shared, "PlanePositionSequence", path).ImagePositionPatient for f in frames], float)
    orientations = np.array(
        [_macro(f, shared, "PlaneOrientationSequence", path).ImageOrientationPatient for f in frames], float
    )
    if not np.isfinite(positions).all() or np.abs(orientations - orientations[0]).max() > gate.MOST_SHEAR:
        raise GeometryError("its frames lie in different orientations", where=path, hint="export it as NIfTI")
    measures = _macro(frames[0], shared, "PixelMeasuresSequence", path)
    rows, columns = (float(mm) for mm in measures.PixelSpacing)
    declared = [abs(float(measures.get(name) or 0.0)) for name in ("SpacingBetweenSlices", "SliceThickness")]
    return positions, orientations[0].reshape(2, 3), (columns, rows), (declared[0], declared[1])


def _macro(frame: Any, shared: Any, name: str, path: Path) -> Any:
    """A functional group of one frame, or the one that all share."""
    for groups in (frame, shared):
        if groups is not None and groups.get(name):
            return groups[name][0]
    raise GeometryError(f"its frames have no {name}", where=path, hint="export the segmentation again")


def _step(heights: FloatArray, declared: float, thickness: float, path: Path) -> float:
    """The distance of slices: the declared one where every frame fits it, else the smallest one seen, else a slice.

    Frames without a voxel are often left out, so that the gaps between frames may be multiples of the spacing.
    """
    gaps = np.diff(np.unique(np.round(heights / _SAME_PLANE_MM)) * _SAME_PLANE_MM)
    for step in (declared, gaps.min(initial=np.inf), thickness):
        if not _SAME_PLANE_MM < step < np.inf:
            continue
        if np.abs(heights / step - np.rint(heights / step)).max() <= max(_OF_SPACING, _SAME_PLANE_MM / step):
            return float(step)
    if not gaps.size:
        raise GeometryError("it is a single slice without a thickness", where=path, hint="export it with its spacing")
    raise GeometryError(
        f"its slices lie {min(gaps):.3f} to {max(gaps):.3f} mm apart, on no regular grid",
        where=path,
        hint="export it as NIfTI or .seg.nrrd",
    )


# ------------------------------------------------------------------------------------------------------------ voxels


def _frames(dataset: Any, syntax: str, path: Path, limits: Limits) -> Callable[[int], Frame]:
    """What gives frame by frame, (rows, columns): label numbers, or 0 and 1. Plain ones are unpacked only then."""
    shape, bits = _shape(dataset), int(dataset.BitsAllocated)
    if bits not in (1, 8, 16):
        raise DamagedFileError(f"it claims pixels of {bits} bits", where=path)
    if syntax and syntax not in UNCOMPRESSED:
        stored = decode_frames(path, limits=limits)
        if stored.shape != shape:
            raise DamagedFileError(f"its pixels decode to {stored.shape}, its header promises {shape}", where=path)
        frame_of: Callable[[int], Frame] = stored.__getitem__
    else:
        frame_of = _plain_frames(dataset, shape, bits, path)
    if not _is(dataset, "FRACTIONAL"):
        return frame_of
    least = THRESHOLD * int(dataset.MaximumFractionalValue)
    return lambda at: frame_of(at) >= least


def _plain_frames(dataset: Any, shape: tuple[int, int, int], bits: int, path: Path) -> Callable[[int], Frame]:
    payload = np.frombuffer(dataset.PixelData, np.uint8)
    if payload.size * 8 < math.prod(shape) * bits:
        raise DamagedFileError(
            f"it has {payload.size} bytes of pixels, its header promises {(math.prod(shape) * bits + 7) // 8}",
            where=path,
            hint="it is truncated: copy it again",
        )
    size = shape[1] * shape[2]
    if bits > 1:
        order = "<" if dataset.original_encoding[1] else ">"
        whole = np.frombuffer(dataset.PixelData, f"{order}u{bits // 8}", math.prod(shape)).reshape(shape)
        return whole.__getitem__

    def unpacked(at: int) -> Frame:
        # One stream of bits, lowest first, that does not halt at the end of a frame (PS3.5 8.1.1).
        first, before = divmod(at * size, 8)
        some = np.unpackbits(payload[first : first + (before + size + 7) // 8], bitorder="little")
        return some[before : before + size].reshape(shape[1:])

    return unpacked


def _shape(dataset: Any) -> tuple[int, int, int]:
    """Frames, rows and columns as claimed."""
    return max(1, int(dataset.get("NumberOfFrames") or 1)), int(dataset.Rows), int(dataset.Columns)


def _layers(
    dataset: Any, frame_of: Callable[[int], Frame], planes: _Planes, path: Path
) -> tuple[tuple[Labels, ...], dict[tuple[int, int], Name]]:
    """Layers and the names of their labels; a label is the segment's number."""
    items = {int(item.SegmentNumber): _name(item) for item in dataset.SegmentSequence}
    if _is(dataset, "LABELMAP"):
        layer = np.zeros(planes.grid.shape, np.uint16, order="F")
        for at, k in enumerate(planes.slices):
            layer[:, :, k] = frame_of(at).T
        return (compact(layer),), {(0, number): name for number, name in items.items() if number > 0}
    # With one segment alone, its number may stand among what all frames share.
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    identified = (
        _macro(frame, shared, "SegmentIdentificationSequence", path)
        for frame in dataset.PerFrameFunctionalGroupsSequence
    )
    numbers = [int(item.ReferencedSegmentNumber) for item in identified]
    layers: list[npt.NDArray[np.uint16]] = []
    names: dict[tuple[int, int], Name] = {}
    for number in sorted(set(numbers) | set(items)):
        drawn = [(planes.slices[at], frame_of(at).T.astype(bool)) for at, n in enumerate(numbers) if n == number]
        place = _free_layer(layers, drawn, planes.grid.shape)
        for k, mask in drawn:
            layers[place][:, :, k][mask] = number
        names[place, number] = items.get(number, Name(f"segment {number}"))
    return tuple(compact(layer) for layer in layers), names


def _is(dataset: Any, kind: str) -> bool:
    return str(dataset.SegmentationType).upper() == kind


def _free_layer(
    layers: list[npt.NDArray[np.uint16]],
    drawn: Iterable[tuple[int, npt.NDArray[np.bool_]]],
    shape: tuple[int, int, int],
) -> int:
    """The first layer in which none of these voxels is taken; a new one if there is none."""
    for place, layer in enumerate(layers):
        if not any(layer[:, :, k][mask].any() for k, mask in drawn):
            return place
    layers.append(np.zeros(shape, np.uint16, order="F"))
    return len(layers) - 1


# ------------------------------------------------------------------------------------------------------------- names


def _name(item: Any) -> Name:
    kind = (item.get("SegmentedPropertyTypeCodeSequence") or [None])[0]
    if kind is None:
        return Name(str(item.get("SegmentLabel", "")), colour=_colour(item))
    modifier = (kind.get("SegmentedPropertyTypeModifierCodeSequence") or [None])[0]
    side = str(modifier.get("CodeMeaning", "")) if modifier is not None else ""
    meaning = f"{side} {kind.get('CodeMeaning', '')}".strip()
    return Name(str(item.get("SegmentLabel") or meaning), meaning, _snomed_ct(kind), _colour(item))


def _snomed_ct(code: Any) -> str:
    """The SNOMED CT identifier; older objects carry SNOMED RT codes, which pydicom's table translates."""
    from pydicom.sr.coding import snomed_mapping

    scheme, value = str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeValue", ""))
    if scheme in ("SRT", "SNM3", "99SDM"):
        return str(snomed_mapping["SRT"].get(value, ""))
    return value if scheme == "SCT" else ""


def _colour(item: Any) -> Colour | None:
    """RecommendedDisplayCIELabValue in sRGB (PS3.3 C.10.7.1.1: 16 bits for L* 0 to 100, a* and b* −128 to 127)."""
    given = item.get("RecommendedDisplayCIELabValue")
    if given is None or len(given) != 3:
        return None
    from skimage.color import lab2rgb

    lab = np.array(given, dtype=np.float64) / 65535.0 * (100.0, 255.0, 255.0) - (0.0, 128.0, 128.0)
    red, green, blue = (float(min(max(part, 0.0), 1.0)) for part in lab2rgb(lab))
    return red, green, blue
