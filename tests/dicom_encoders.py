"""One frame of stored values to the bytes of a compressed DICOM fragment, without loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt


def _rle(frame: npt.NDArray[np.int64]) -> bytes:
    """PS3.5 annex G with literal runs alone: two byte planes, the high one first."""
    segments = []
    for plane in (frame.astype("<u2") >> 8, frame.astype("<u2") & 0xFF):
        rows = b""
        for row in plane.astype(np.uint8):
            for at in range(0, len(row), 128):
                run = row[at : at + 128].tobytes()
                rows += bytes([len(run) - 1]) + run
        segments.append(rows + b"\0" * (len(rows) % 2))
    offsets = [2, 64, 64 + len(segments[0]), *[0] * 13]
    return np.array(offsets, "<u4").tobytes() + b"".join(segments)


def _jpeg_lossless(frame: npt.NDArray[np.int64]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.ljpeg_encode(np.ascontiguousarray(frame).view("<u2"), bitspersample=16))


def _jpeg_ls(frame: npt.NDArray[np.int64]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame).view("<u2")))


def _jpeg_2000(frame: npt.NDArray[np.int64]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(frame), level=0, codecformat="j2k"))


ENCODERS: dict[str, Callable[[npt.NDArray[np.int64]], bytes]] = {
    "rle": _rle,
    "jpeg lossless": _jpeg_lossless,
    "jpeg-ls": _jpeg_ls,
    "jpeg 2000": _jpeg_2000,
}
