"""Stored pixels of a sorted stack to real values: uncompressed bytes in place, compressed ones by the decoder.

In come slices in order; out goes one (K, rows, columns) array, int16 where every value is a whole number that fits,
else float32, and a mask of what was never measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError
from meshing.importing.decoder import decode_many
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
    columns, rows = slices[0].header.size
    stored = np.empty((len(slices), rows, columns), np.result_type(*{layout_of(one).dtype for one in slices}))
    for done, (index, plane) in enumerate(_stored_planes(slices, limits), start=1):
        _place(plane, stored[index], slices[index].header)
        progress(done / len(slices), "reading slices")
    outside = _padding(stored, slices)
    if outside is not None:
        # Before scaling: padding as low as -32768 would widen the range of values beyond int16.
        _fill(stored, outside)
    values = _scaled(stored, slices)
    if outside is not None:
        _fill(values, outside)
    return values, outside


def layout_of(one: Slice) -> PixelLayout:
    """The layout that every slice of a stack has: the gate lets no other slice into one."""
    if one.header.layout is None:
        raise DamagedFileError("it holds no pixels that can be read", where=one.header.path)
    return one.header.layout


def _stored_planes(slices: Sequence[Slice], limits: Limits) -> Iterator[tuple[int, Stored]]:
    """Each slice's index and stored values; every file is decoded once, compressed ones ahead in child processes."""
    by_file: dict[int, list[int]] = {}
    for index, one in enumerate(slices):
        by_file.setdefault(id(one.header), []).append(index)
    compressed = [indices for indices in by_file.values() if layout_of(slices[indices[0]]).is_compressed]
    decoded = decode_many([slices[indices[0]].header.path for indices in compressed], limits=limits)
    for indices, frames in zip(compressed, decoded, strict=True):
        _check_shape(frames, slices[indices[0]].header)
        yield from ((index, frames[slices[index].plane.frame]) for index in indices)
    for indices in by_file.values():
        header, layout = slices[indices[0]].header, layout_of(slices[indices[0]])
        if layout.is_compressed:
            continue
        plain = inflated_file(header.path, limits) if header.syntax == DEFLATED else None
        for index in indices:
            yield index, _in_range(_plain_frame(header, layout, slices[index].plane.frame, plain), layout)


def _check_shape(frames: Stored, header: Header) -> None:
    promised = (header.frame_count, header.rows, header.columns)
    if frames.shape != promised:
        raise DamagedFileError(
            f"its pixels decode to {frames.shape}, its header promises {promised}",
            where=header.path,
            hint="copy or export the file again",
        )


def _plain_frame(header: Header, layout: PixelLayout, frame: int, plain: bytes | None) -> Stored:
    kind = layout.dtype.newbyteorder(">" if layout.is_big_endian else "<")
    count = header.rows * header.columns
    start = layout.offset + frame * count * kind.itemsize
    if plain is not None:
        values: Stored = np.frombuffer(plain, kind, count, start)
    else:
        with header.path.open("rb") as stream:
            stream.seek(start)
            values = np.fromfile(stream, kind, count)
    if len(values) < count:
        raise DamagedFileError("the file became shorter while it was read", where=header.path)
    return values.reshape(header.rows, header.columns)


def _in_range(plane: Stored, layout: PixelLayout) -> Stored:
    """Stored values without what their unused high bits hold, sign-extended (PS3.5 §8.1.1)."""
    if layout.bits_stored == layout.bits:
        return plane
    plane = plane.astype(layout.dtype)
    plane <<= layout.bits - 1 - layout.high_bit
    plane >>= layout.bits - layout.bits_stored
    return plane


def _place(plane: Stored, target: Stored, header: Header) -> None:
    """Copy a plane in; a codec may answer in another type than the header promised, never with values beyond it."""
    if not np.can_cast(plane.dtype, target.dtype):
        held = np.iinfo(target.dtype)
        if plane.min() < held.min or plane.max() > held.max:
            raise DamagedFileError(
                f"its pixels decode to {plane.min()} … {plane.max()}, beyond the {target.dtype.name} of its header",
                where=header.path,
                hint="copy or export the file again",
            )
    target[...] = plane


def _padding(stored: Stored, slices: Sequence[Slice]) -> Mask | None:
    """Where the stored value is PixelPaddingValue, or lies between it and its limit (PS3.3 C.7.5.1.1.2)."""
    if all(layout_of(one).padding is None for one in slices):
        return None
    mask = np.zeros(stored.shape, np.bool_)
    for plane, found, one in zip(stored, mask, slices, strict=True):
        match layout_of(one).padding:
            case (low, high) if low == high:
                np.equal(plane, low, out=found)
            case (low, high):
                np.logical_and(plane >= low, plane <= high, out=found)
    return mask if mask.any() else None


def _fill(values: Stored, outside: Mask) -> None:
    """Put the lowest measured value where nothing was measured."""
    measured = ~outside
    if measured.any():
        values[outside] = values.min(where=measured, initial=values.max())


def _scaled(stored: Stored, slices: Sequence[Slice]) -> Values:
    scales = [(one.plane.slope, one.plane.intercept) for one in slices]
    are_whole = all(slope.is_integer() and intercept.is_integer() for slope, intercept in scales)
    if len(set(scales)) == 1 and scales[0][0] == 1 and are_whole:
        lowest, highest = int(stored.min()) + int(scales[0][1]), int(stored.max()) + int(scales[0][1])
        if lowest >= _INT16.min and highest <= _INT16.max:
            return _moved(stored, int(scales[0][1]))
    scaled = np.empty(stored.shape, np.float32)
    for plane, target, (slope, intercept) in zip(stored, scaled, scales, strict=True):
        target[...] = plane * np.float64(slope) + intercept
    if are_whole and scaled.min() >= _INT16.min and scaled.max() <= _INT16.max:
        return scaled.astype(np.int16)
    return scaled


def _moved(stored: Stored, by: int) -> npt.NDArray[np.int16]:
    """Stored values plus a whole number, which is known to fit int16; in place where they take 16 bits already."""
    values: npt.NDArray[np.int16] = stored.view(np.int16) if stored.dtype.itemsize == 2 else stored.astype(np.int16)
    # In 16 bits the sum wraps around and lands right, since it fits.
    values += np.array(by & 0xFFFF, np.uint16).view(np.int16)
    return values
