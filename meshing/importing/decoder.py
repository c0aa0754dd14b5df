"""Native codecs at arm's length: bytes go to a child process, checked arrays come back.

A codec that crashes, hangs, eats the memory or lies ends its own process and one `DecodeError`; the next call starts a
fresh child. Children are started on first use and kept warm, so that a series of slices pays for them once.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import AnatomyError, DamagedFileError, DecodeError, TooLargeError, UnsupportedError
from meshing.importing.limits import DEFAULT, Limits

_CHILD_MODULE = "meshing.importing.decoder_child"

# All that a Python process needs of its parent's environment; the rest may hold secrets, and codecs may be subverted.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL")

# What a child may answer with; anything else is refused unread.
_DTYPES = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"}
_LENGTH = struct.Struct("<I")
_MOST_HEADER_BYTES = 1 << 16
_MOST_TEXT = 200

# Two feed a two-core laptop; a third gains nothing while the parent also works.
_MOST_CHILDREN = max(1, min(4, os.cpu_count() or 1))

# A pipe of the usual 64 KiB makes the two processes take turns eight times per slice.
_PIPE_BYTES = 1 << 20


def decode_frames(source: bytes | Path, *, limits: Limits = DEFAULT) -> npt.NDArray[Any]:
    """Stored values of every frame, shape (frames, rows, columns), of a DICOM file in any transfer syntax.

    The sign is mended as pydicom does it, nothing is rescaled. `source` is the file or its bytes.

    Raises
    ------
    DecodeError
        If the codec crashed, hung, ran out of memory, or answered what cannot be.
    DamagedFileError, UnsupportedError
        If it refused the bytes; TooLargeError if they would decode to more than `limits` allow.
    """
    with _borrowed() as child:
        return child.frames(source, limits)


def decode_many(sources: Iterable[bytes | Path], *, limits: Limits = DEFAULT) -> Iterator[npt.NDArray[Any]]:
    """`decode_frames` of each source, in their order, decoded ahead in as many children as the machine feeds.

    Raises
    ------
    AnatomyError
        At the first source that fails, as `decode_frames`; the sources before it have been yielded.
    """
    with ThreadPoolExecutor(_MOST_CHILDREN, thread_name_prefix="decoder") as threads:
        ahead: list[Future[npt.NDArray[Any]]] = []
        try:
            for source in sources:
                ahead.append(threads.submit(decode_frames, source, limits=limits))
                if len(ahead) > 2 * _MOST_CHILDREN:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for waiting in ahead:
                waiting.cancel()


def close() -> None:
    """End every idle child; the next call starts one again."""
    while True:
        try:
            _idle.get_nowait().kill()
        except Empty:
            return


# -------------------------------------------------------------------------------------------------------------- pool

_idle: SimpleQueue[_Child] = SimpleQueue()
_places = threading.BoundedSemaphore(_MOST_CHILDREN)


@contextmanager
def _borrowed() -> Iterator[_Child]:
    """A living child, given back warm if it still lives at the end."""
    with _places:
        child = _living_child()
        try:
            yield child
        except BaseException:
            # A refusal leaves the pipe clean, everything else may leave half an answer in it.
            if not child.is_clean:
                child.kill()
            raise
        finally:
            if child.lives():
                _idle.put(child)


def _living_child() -> _Child:
    while True:
        try:
            child = _idle.get_nowait()
        except Empty:
            return _Child()
        if child.lives():
            return child
        child.kill()


atexit.register(close)


def _child_environment(package_root: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": package_root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class _Child:
    """One decoding process and the checked conversation with it."""

    def __init__(self) -> None:
        package_root = str(Path(__file__).resolve().parents[2])
        self.is_clean = True
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-m", _CHILD_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_child_environment(package_root),
            pipesize=_PIPE_BYTES,
        )

    def lives(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()

    def frames(self, source: bytes | Path, limits: Limits) -> npt.NDArray[Any]:
        where = source if isinstance(source, Path) else "compressed frames"
        with self._answering(where, limits.decode_seconds) as watch:
            self._ask(source, limits)
            dtype, shape = self._announced(where, limits)
            watch.extend(limits.decode_seconds * shape[0] / 10)
            stored = np.empty(shape, dtype)
            for number in range(shape[0]):
                if self._header(where).get("frame") != number:
                    raise _nonsense(where)
                self._fill(stored[number])
        return stored

    # ---- one question, one answer

    @contextmanager
    def _answering(self, where: str | Path, seconds: float) -> Iterator[_Watch]:
        """The child is killed when `seconds` have passed; however it ends, the reason is a typed error."""
        watch = _Watch(self._process, seconds)
        self.is_clean = False
        try:
            yield watch
            self.is_clean = True
        except (OSError, EOFError, ValueError) as error:
            self.kill()
            raise _ending(watch, self._process.returncode, where) from error
        except MemoryError as error:
            raise TooLargeError("this machine has no memory for the voxels", where=where) from error
        finally:
            watch.stop()
            if watch.rang:
                self.kill()

    def _ask(self, source: bytes | Path, limits: Limits) -> None:
        request: dict[str, Any] = {"memory": limits.decode_memory_bytes, "seconds": limits.decode_seconds}
        if isinstance(source, Path):
            request["path"] = str(source.resolve())
        else:
            request["bytes"] = len(source)
        text = json.dumps(request).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(_LENGTH.pack(len(text)) + text)
        if not isinstance(source, Path):
            self._process.stdin.write(source)
        self._process.stdin.flush()

    def _announced(self, where: str | Path, limits: Limits) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """dtype and shape (frames, rows, columns) of what is to come, both believable."""
        header = self._header(where)
        shape = header.get("shape")
        if header.get("dtype") not in _DTYPES or not isinstance(shape, list) or len(shape) != 3:
            raise _nonsense(where)
        if not all(type(size) is int and size > 0 for size in shape):
            raise _nonsense(where)
        dtype, voxels = np.dtype(header["dtype"]), math.prod(shape)
        if voxels > limits.max_voxels or voxels * dtype.itemsize > limits.max_bytes:
            raise TooLargeError(
                f"it decodes to {' × '.join(map(str, shape))} voxels, the limit is {limits.max_voxels}",
                where=where,
                hint="raise the limit max_voxels",
            )
        return dtype, tuple(shape)

    def _header(self, where: str | Path) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = _LENGTH.unpack(_exactly(self._process.stdout.read(_LENGTH.size), _LENGTH.size))[0]
        if length > _MOST_HEADER_BYTES:
            raise _nonsense(where)
        header = json.loads(_exactly(self._process.stdout.read(length), length))
        if not isinstance(header, dict):
            raise _nonsense(where)
        if "refused" in header:
            self.is_clean = True
            raise _refusal(header, where)
        return header

    def _fill(self, array: npt.NDArray[Any]) -> None:
        assert self._process.stdout is not None
        rest = array.data.cast("B")
        while rest:
            got = self._process.stdout.readinto(rest)  # type: ignore[attr-defined]  # a BufferedReader has it
            if not got:
                raise EOFError
            rest = rest[got:]


class _Watch:
    """Kills a process when its time is up; knows afterwards whether it did."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process, self.seconds, self.rang = process, seconds, False
        self._began = time.monotonic()
        # Without the lock the bell could ring just after the last byte came, and kill the child of the next call.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def extend(self, seconds: float) -> None:
        self.seconds += seconds

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()

    def _wait(self) -> None:
        while (left := self._began + self.seconds - time.monotonic()) > 0:
            if self._stopped.wait(left):
                return
        with self._lock:
            if not self._stopped.is_set():
                self.rang = True
                self._process.kill()


# ------------------------------------------------------------------------------------------------------------ errors


def _ending(watch: _Watch, code: int | None, where: str | Path) -> DecodeError:
    if watch.rang:
        return DecodeError(
            f"decoding took longer than {watch.seconds:.0f} s and was stopped",
            where=where,
            hint="the file is probably damaged; if it is only large, raise the limit decode_seconds",
        )
    ended = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return DecodeError(
        f"the codec crashed ({ended})",
        where=where,
        hint="the file is damaged: export the series again, uncompressed if the archive can",
    )


def _refusal(header: dict[str, Any], where: str | Path) -> AnatomyError:
    text = "".join(letter for letter in str(header.get("text"))[:_MOST_TEXT] if letter.isprintable())
    match header["refused"]:
        case "unsupported":
            return UnsupportedError(text, where=where, hint="export it as an uncompressed grey-scale image")
        case "memory":
            return DecodeError(text, where=where, hint="raise the limit decode_memory_bytes")
        case _:
            return DamagedFileError(text, where=where, hint="copy or export the file again")


def _nonsense(where: str | Path) -> DecodeError:
    return DecodeError("the codec answered what cannot be", where=where, hint="export the file again")


def _exactly(read: bytes, size: int) -> bytes:
    if len(read) < size:
        raise EOFError
    return read
