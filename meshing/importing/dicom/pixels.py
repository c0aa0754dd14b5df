"""Stored pixels of a sorted stack to real values: uncompressed bytes in place, compressed ones by the decoder.

In come slices in order; out goes one (K, rows, columns) array, int16 where every value is a whole number that fits,
else float32, and a mask of what was never measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError
from meshing.importing.dicom.headers import Header, PixelLayout, Slice
from meshing.importing.dicom.reading import DEFLATED, inflated_file
from meshing.importing.limits import DEFAULT, Limits
from meshing.progress import Progress, silent

Values = npt.NDArray[np.int16] | npt.NDArray[np.float32]
Stored = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_INT16 = np.iinfo(np.int16)


def read_values(
    slices: Sequence[Slice], limits: Limits = DEFAULT, progress: Progress = silent
) -> tuple[Values, Mask | None]:
    """Real values, shape (K, rows, columns), and where padding lies; voxels there hold the lowest real value.

    Raises
    ------
    DamagedFileError, DecodeError
    """
    first = slices[0].header
    stored = np.empty((len(slices), first.rows, first.columns), _common_type(slices))
    for index, plane in _stored_planes(slices, limits):
        stored[index] = plane
        progress((index + 1) / len(slices), "reading slices")
    outside = _outside(stored, slices)
    if outside is not None:
        _fill(stored, outside)
    values = _rescaled(stored, slices)
    if outside is not None:
        _fill(values, outside)
    return values, outside


def _common_type(slices: Sequence[Slice]) -> np.dtype[Any]:
    return np.result_type(*{stored_type(one.header.layout) for one in slices if one.header.layout})


def stored_type(layout: PixelLayout) -> np.dtype[Any]:
    """The numpy type of one stored value, in the machine's own byte order."""
    return np.dtype(f"{'i' if layout.signed else 'u'}{layout.bits // 8}")


def _stored_planes(slices: Sequence[Slice], limits: Limits) -> Iterator[tuple[int, Stored]]:
    """Each slice's index and stored values; a file of many frames is decoded once."""
    by_file: dict[Path, list[int]] = {}
    for index, one in enumerate(slices):
        by_file.setdefault(one.header.path, []).append(index)
    for indices in by_file.values():
        header = slices[indices[0]].header
        frames = None
        if header.layout is not None and (header.layout.compressed or header.syntax == DEFLATED):
            frames = stored_frames(header, limits)
        for index in indices:
            frame = slices[index].plane.frame
            yield index, frames[frame] if frames is not None else _raw_frame(header, frame)


def stored_frames(header: Header, limits: Limits) -> Stored:
    """All frames of a compressed or deflated file, (frames, rows, columns)."""
    layout = header.layout
    assert layout is not None
    if header.syntax == DEFLATED:
        plain = inflated_file(header.path, limits)
        count = header.frame_count * header.rows * header.columns
        kind = stored_type(layout).newbyteorder("<")
        frames = np.frombuffer(plain, kind, count, layout.offset).reshape(-1, header.rows, header.columns)
        return _in_range(frames, layout)
    from meshing.importing.decoder import decode_frames

    frames = decode_frames(header.path, limits=limits)
    wanted = (header.frame_count, header.rows, header.columns)
    if frames.shape != wanted:
        raise DamagedFileError(
            f"its pixels decode to {frames.shape}, its header promises {wanted}",
            where=header.path,
            hint="copy or export the file again",
        )
    return frames


def _raw_frame(header: Header, frame: int) -> Stored:
    layout = header.layout
    assert layout is not None
    kind = stored_type(layout).newbyteorder(">" if layout.big_endian else "<")
    count = header.rows * header.columns
    with header.path.open("rb") as stream:
        stream.seek(layout.offset + frame * count * kind.itemsize)
        plane = np.fromfile(stream, kind, count)
    if len(plane) < count:
        raise DamagedFileError("the file became shorter while it was read", where=header.path)
    return _in_range(plane.reshape(header.rows, header.columns), layout)


def _in_range(plane: Stored, layout: PixelLayout) -> Stored:
    """Stored values without what their unused high bits hold, sign-extended (PS3.5 §8.1.1)."""
    if layout.bits_stored == layout.bits:
        return plane
    plane = plane.astype(stored_type(layout), copy=True)
    plane <<= layout.bits - 1 - layout.high_bit
    plane >>= layout.bits - layout.bits_stored
    return plane


def _outside(stored: Stored, slices: Sequence[Slice]) -> Mask | None:
    paddings = {one.header.layout.padding for one in slices if one.header.layout}
    if paddings == {None}:
        return None
    mask = np.zeros(stored.shape, np.bool_)
    for plane, found, one in zip(stored, mask, slices, strict=True):
        padding = one.header.layout.padding if one.header.layout else None
        if padding is not None:
            found[...] = (
                plane == padding[0] if padding[0] == padding[1] else (plane >= padding[0]) & (plane <= padding[1])
            )
    return mask if mask.any() else None


def _rescaled(stored: Stored, slices: Sequence[Slice]) -> Values:
    scales = [(one.plane.slope, one.plane.intercept) for one in slices]
    whole = all(slope == round(slope) and intercept == round(intercept) for slope, intercept in scales)
    if len(set(scales)) == 1 and scales[0][0] == 1 and whole and stored.dtype.kind in "iu":
        shift = int(scales[0][1])
        if _INT16.min <= int(stored.min()) + shift and int(stored.max()) + shift <= _INT16.max:
            if stored.dtype.itemsize != 2:
                return (stored.astype(np.int64) + shift).astype(np.int16)
            values = stored.view(np.int16)
            # Wraps within 16 bits and lands right, since the sum fits.
            values += np.array(shift & 0xFFFF, np.uint16).view(np.int16)
            return values
    scaled = np.empty(stored.shape, np.float32)
    for plane, target, (slope, intercept) in zip(stored, scaled, scales, strict=True):
        target[...] = plane * np.float64(slope) + intercept
    if whole and _INT16.min <= scaled.min() and scaled.max() <= _INT16.max:
        return scaled.astype(np.int16)
    return scaled


def _fill(values: Stored, outside: Mask) -> None:
    """Put the lowest measured value where nothing was measured: padding as low as -32768 would widen the range."""
    measured = ~outside
    lowest = values.min(where=measured, initial=values.max()) if measured.any() else values.min()
    values[outside] = lowest
