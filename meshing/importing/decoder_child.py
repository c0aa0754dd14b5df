"""The process in which native codecs run: it reads requests from stdin, decodes, and writes arrays to stdout.

It believes nothing and is believed nothing: whatever it is fed may crash, hang or subvert it, so it holds no secret,
may write no file, has a memory limit where the system knows one, and its parent checks each byte that it says.

Spoken over the pipes, both ways: four bytes with the length of a JSON header, the header, and the raw bytes that the
header announces. A request is `{"path" or "bytes", "memory", "seconds"}`, the answer `{"dtype", "shape"}` and then
each frame after its own `{"frame": n}`; or, in the place of any of them, `{"refused": kind, "text": …}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

if __name__ == "__main__":  # pydicom asks for the plug-in by module name: it must be this one, not a second copy
    sys.modules.setdefault("meshing.importing.decoder_child", sys.modules["__main__"])

_LENGTH = struct.Struct("<I")
_PLUGIN = "anatomyxr"

# What pydicom has no plug-in for among our dependencies, or only one that takes whatever the machine has (GDCM is
# never used: it crashes on malformed input).
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_RLE = "1.2.840.10008.1.2.5"

# The pixel description, the pixels and where their frames begin; nothing that says who the patient is.
_PIXEL_TAGS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "TransferSyntaxUID"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
]


class Refusal(BaseException):
    """Why the bytes were not decoded, in words of our own: a library's may quote the header.

    Not an `Exception`, so that pydicom, which tries the next plug-in after any of those, lets it through.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


def main() -> None:
    requests, answers = _private_pipes()
    _give_up_rights()
    _load_codecs()
    while (request := _receive(requests)) is not None:
        source: Path | bytes = Path(request["path"]) if "path" in request else requests.read(request["bytes"])
        try:
            # The file itself is held as well, and its size is no lie: the file system tells it.
            size = source.stat().st_size if isinstance(source, Path) else 0
            with _memory(request["memory"] + size):
                end_after(request["seconds"])
                for header, array in frames(source, request["memory"]):
                    _send(answers, header, array)
                    end_after(request["seconds"])
        except Refusal as refusal:
            _send(answers, {"refused": refusal.kind, "text": refusal.text})
        except MemoryError:
            _send(answers, {"refused": "memory", "text": "decoding it takes more memory than the limit"})
        except Exception as error:
            # The name of the error only: its text may quote the header.
            _send(answers, {"refused": "damaged", "text": f"the reader refuses it ({type(error).__name__})"})
        end_after(0)


def frames(source: Path | bytes, memory: int) -> Iterator[tuple[dict[str, Any], npt.NDArray[Any] | None]]:
    """First what is to come, then the stored values of each frame, (rows, columns), of a DICOM file."""
    import pydicom
    from pydicom.pixels import get_decoder

    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        dataset = pydicom.dcmread(stream, force=True, specific_tags=list(_PIXEL_TAGS))
    except MemoryError:
        raise Refusal("damaged", "one of its elements claims more bytes than a file holds") from None
    count, dtype = _judge_pixels(dataset)
    # A codec holds a frame as 32-bit numbers, twice where it undoes wavelets, before the frame itself.
    if (needed := dataset.Rows * dataset.Columns * (8 + dtype.itemsize)) > memory:
        raise Refusal("memory", f"decoding a frame takes {needed} bytes of memory, the limit is {memory}")
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    yield {"dtype": dtype.str, "shape": [count, dataset.Rows, dataset.Columns]}, None
    decoded = decoder.iter_array(dataset, raw=True, decoding_plugin=_plugin_of(decoder))
    for number in range(count):
        frame, _ = next(decoded, (None, None))
        if frame is None:
            raise Refusal("damaged", f"it holds {number} of {count} frames")
        yield {"frame": number}, np.ascontiguousarray(frame, dtype=dtype)


def _judge_pixels(dataset: Any) -> tuple[int, np.dtype[Any]]:
    """Number of frames and the dtype of their stored values, or a refusal."""
    if "PixelData" not in dataset or not dataset.Rows or not dataset.Columns:
        raise Refusal("damaged", "it holds no pixels")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise Refusal("unsupported", f"it is a colour picture ({dataset.SamplesPerPixel} samples per pixel)")
    if dataset.BitsAllocated not in (8, 16, 32):
        raise Refusal("unsupported", f"its pixels have {dataset.BitsAllocated} bits")
    return max(1, int(dataset.get("NumberOfFrames") or 1)), np.dtype(
        f"{'ui'[int(dataset.PixelRepresentation)]}{dataset.BitsAllocated // 8}"
    ).newbyteorder("<")


def _plugin_of(decoder: Any) -> str:
    """The one plug-in that may decode this syntax; naming it keeps whatever else is installed out."""
    uid = str(decoder.UID)
    if not decoder.is_encapsulated:
        return ""
    if uid == _RLE:
        return "pydicom"
    if not is_available(uid):
        raise Refusal("unsupported", f"its compression ({decoder.UID.name}) is not read here")
    if _PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(_PLUGIN, ("meshing.importing.decoder_child", "decode_frame"))
    return _PLUGIN


# ---------------------------------------------------------------------------------------- the plug-in pydicom calls

DECODER_DEPENDENCIES = dict.fromkeys((*_JPEG, *_JPEG_LS, *_JPEG_2000, *_HTJ2K), ("numpy", "imagecodecs"))


def is_available(uid: str) -> bool:
    """Whether `decode_frame` knows that transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(packed: bytes, runner: Any) -> bytearray:
    """One frame decoded by imagecodecs, in the container that the header names; pydicom then mends its sign."""
    import imagecodecs

    uid = str(runner.transfer_syntax)
    size = codestream_size(packed)
    if size != (runner.rows, runner.columns):
        raise Refusal(
            "damaged", f"the header says {runner.rows} × {runner.columns} pixels, the compressed frame {size}"
        )
    decode = imagecodecs.jpeg8_decode if uid in _JPEG else imagecodecs.jpegls_decode if uid in _JPEG_LS else _jpeg_2000
    try:
        frame = decode(packed)
    except MemoryError:
        raise Refusal("memory", "decoding it takes more memory than the limit") from None
    except Exception as error:
        raise Refusal("damaged", f"the codec refuses a frame ({type(error).__name__})") from None
    container = runner.pixel_dtype
    if frame.shape != size or frame.dtype.kind not in "ui" or frame.itemsize > container.itemsize:
        raise Refusal("damaged", f"a frame decodes to {frame.shape} {frame.dtype}, the header says {size} {container}")
    return bytearray(np.ascontiguousarray(frame, dtype=container))


def _jpeg_2000(packed: bytes) -> npt.NDArray[Any]:
    import imagecodecs

    frame: npt.NDArray[Any] = imagecodecs.jpeg2k_decode(packed, numthreads=1)
    return frame


def codestream_size(packed: bytes) -> tuple[int, int]:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame claims, read before a codec allocates them.

    References
    ----------
    ITU-T T.81 B.2.2 (frame header), T.87 C.2.2 (SOF55), T.800 A.5.1 (SIZ).
    """
    if packed.startswith(b"\xff\x4f\xff\x51") and len(packed) >= 24:
        width, height, left, top = struct.unpack_from(">4I", packed, 8)
        return height - top, width - left
    at = 2
    while packed.startswith(b"\xff\xd8") and at + 9 <= len(packed):
        marker = packed[at + 1]
        if packed[at] != 0xFF:
            break
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">2H", packed, at + 5)
            return height, width
        at += 2 + int(struct.unpack_from(">H", packed, at + 2)[0])
    raise Refusal("damaged", "the compressed frame has no frame header")


# ------------------------------------------------------------------------------------------------------------- pipes


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, moved away from where a library prints to."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _receive(requests: BinaryIO) -> dict[str, Any] | None:
    length = requests.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    request: dict[str, Any] = json.loads(requests.read(_LENGTH.unpack(length)[0]))
    return request


def _send(answers: BinaryIO, header: dict[str, Any], array: npt.NDArray[Any] | None = None) -> None:
    text = json.dumps(header).encode()
    answers.write(_LENGTH.pack(len(text)) + text)
    if array is not None:
        answers.write(array.data.cast("B"))
    answers.flush()


# ------------------------------------------------------------------------------------------------------------ limits


def _load_codecs() -> None:
    """Everything that a request needs, before the first limit on memory: half a library is worse than none."""
    import imagecodecs
    import pydicom.pixels  # noqa: F401

    for codec in (imagecodecs.jpeg8_decode, imagecodecs.jpegls_decode, imagecodecs.jpeg2k_decode):
        with contextlib.suppress(Exception):
            codec(b"")


def _give_up_rights() -> None:
    """No core dumps (they hold pixels), no files written, and the first to go when the machine runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def end_after(seconds: float) -> None:
    """The system ends this process after three times `seconds`, whatever it does by then; 0 takes that back.

    The parent keeps the time; this is for the child that hangs in a codec while its parent is gone. The default action
    of the signal needs no interpreter, which a hanging codec would not give back. Windows has no such clock.
    """
    import signal

    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 3 * seconds)


@contextlib.contextmanager
def _memory(more: int) -> Iterator[None]:
    """Address space capped at what the process has now plus `more` bytes; no cap where the system knows none."""
    try:
        import resource

        have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (have + more, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    main()
