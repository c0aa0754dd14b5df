"""Packed input made plain under caps: a zip becomes a private folder, deflated bytes become bytes.

In comes a path or a stream that nobody vouches for; out comes something to read that is never larger than the limits,
never lies outside its own temporary folder, and whose names say nothing about the patient.
"""

from __future__ import annotations

import bz2
import errno
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from meshing.errors import AnatomyError, DamagedFileError, NoImagesError, TooLargeError, UnsupportedError
from meshing.importing.limits import DEFAULT, GIB, MIB, Limits

Packing = Literal["raw", "gzip", "zlib", "deflate", "bzip2"]

_CHUNK = MIB
_WINDOW_BITS = {"gzip": 31, "zlib": 15, "deflate": -15}

# A suffix says how a file is read and nothing about whose it is; every other suffix could be part of a name.
_KEPT_SUFFIXES = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")

# Names that computers leave behind, never a scan.
_LITTER = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\._)")

_END_OF_CENTRAL_DIRECTORY = b"PK\x05\x06"
_END_OF_CENTRAL_DIRECTORY_64 = b"PK\x06\x06"
# A name longer than this on average is an attack on the memory of whoever lists it.
_DIRECTORY_BYTES_PER_MEMBER = 512


@contextmanager
def opened(path: Path, limits: Limits = DEFAULT) -> Iterator[Path]:
    """What to read: `path` itself, or, when it is a zip, a private folder with its members, removed at the end.

    Members are called `000001.bin`, `000002.dcm`, … in the order of the zip, in one flat folder: their own names may
    hold the patient's. Links, folders and litter (`__MACOSX`, `.DS_Store`) are left out.

    Raises
    ------
    NoImagesError
        If there is no such path, or the zip holds no file.
    DamagedFileError, UnsupportedError
        If the zip is torn, or encrypted, or packed in a way that is not read here.
    TooLargeError
        If it holds more members or bytes than `limits` allow, or grows like a bomb.
    """
    path = Path(path)
    if path.is_dir():
        yield path
    elif not path.exists():
        raise NoImagesError("there is no such file or folder", where=path, hint="check the path")
    elif not path.is_file():
        raise UnsupportedError("it is neither a file nor a folder", where=path, hint="give a file, a folder or a zip")
    elif not zipfile.is_zipfile(path):
        yield path
    else:
        with private_folder() as folder:
            _unzip(path, folder, limits)
            yield folder


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that only this user can enter (0700), under a neutral name, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="anatomyxr-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def gunzipped(path: Path, limits: Limits = DEFAULT) -> Iterator[Path]:
    """The unpacked copy of a `.gz` file in a private folder, removed at the end.

    Raises
    ------
    DamagedFileError, TooLargeError
    """
    with private_folder() as folder:
        plain = folder / f"000001{_neutral_suffix(path.name.removesuffix('.gz'))}"
        meter = _Meter(path, packed=path.stat().st_size, limits=limits)
        with path.open("rb") as packed, plain.open("xb") as target:
            for chunk in unpacked_chunks(packed, "gzip", where=path):
                meter.count(len(chunk))
                target.write(chunk)
        yield plain


def inflate(stream: BinaryIO | bytes, limits: Limits = DEFAULT, *, where: str | Path = "") -> bytes:
    """The bytes of a raw deflate stream, as the deflated transfer syntax stores its data set.

    References
    ----------
    DICOM PS3.5 A.5 "Deflated Explicit VR Little Endian".

    Raises
    ------
    DamagedFileError, TooLargeError
    """
    import io

    source = io.BytesIO(stream) if isinstance(stream, bytes | bytearray | memoryview) else stream
    meter = _Meter(where, packed=None, limits=limits)
    unpacked = bytearray()
    for chunk in unpacked_chunks(source, "deflate", where=where):
        meter.count(len(chunk), packed=source.tell())
        unpacked += chunk
    return bytes(unpacked)


def unpacked_chunks(packed: BinaryIO, packing: Packing, *, where: str | Path = "") -> Iterator[bytes]:
    """The unpacked bytes, piece by piece, none larger than 1 MiB however small the packed piece was.

    A gzip file of several members (pigz, bgzip) is read to its last; what follows that is ignored, as gzip does.

    Raises
    ------
    DamagedFileError
        If the stream ends early, fails its checksum or was never packed this way.
    """
    if packing == "raw":
        while piece := packed.read(_CHUNK):
            yield piece
        return
    try:
        yield from _bunzipped(packed) if packing == "bzip2" else _inflated(packed, packing)
    except (zlib.error, OSError, EOFError) as error:
        raise DamagedFileError(
            f"the {packing} data cannot be unpacked: {error}", where=where, hint="copy the file again"
        ) from error


def _inflated(packed: BinaryIO, packing: Packing) -> Iterator[bytes]:
    inflater, piece = zlib.decompressobj(_WINDOW_BITS[packing]), packed.read(_CHUNK)
    while True:
        chunk = inflater.decompress(piece, _CHUNK)
        if chunk:
            yield chunk
        if inflater.eof:
            piece = inflater.unused_data or packed.read(_CHUNK)
            if packing != "gzip" or not piece.startswith(b"\x1f"):
                return
            inflater = zlib.decompressobj(_WINDOW_BITS[packing])
        elif inflater.unconsumed_tail or len(chunk) == _CHUNK:
            piece = inflater.unconsumed_tail
        elif not (piece := packed.read(_CHUNK)):
            raise EOFError("it ends before the end of the stream")


def _bunzipped(packed: BinaryIO) -> Iterator[bytes]:
    unpacker = bz2.BZ2Decompressor()
    while not unpacker.eof:
        piece = packed.read(_CHUNK) if unpacker.needs_input else b""
        if unpacker.needs_input and not piece:
            raise EOFError("it ends before the end of the stream")
        chunk = unpacker.decompress(piece, _CHUNK)
        if chunk:
            yield chunk


class Unpacked:
    """A file read forward, unpacked as it comes; only as much is unpacked as is asked for.

    Parameters
    ----------
    packed_from
        Bytes of plain header before the packing begins.
    """

    def __init__(self, path: Path, packing: Packing, *, packed_from: int = 0) -> None:
        self.path = path
        self._file = path.open("rb")
        self._file.seek(packed_from)
        self._chunks = unpacked_chunks(self._file, packing, where=path)
        self._left = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises
        ------
        DamagedFileError
            If fewer are left.
        """
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, in pieces of at most 1 MiB. Raises as `read`."""
        wanted = size
        while wanted:
            if not self._left:
                self._left = memoryview(next(self._chunks, b""))
            if not self._left:
                raise DamagedFileError(
                    f"the file ends {wanted} bytes before the end of its voxels",
                    where=self.path,
                    hint="it is truncated: copy it again",
                )
            piece, self._left = self._left[:wanted], self._left[wanted:]
            wanted -= len(piece)
            yield piece


class _Meter:
    """Counts unpacked bytes and stops what grows beyond the limits."""

    def __init__(self, where: str | Path, *, packed: int | None, limits: Limits) -> None:
        self.where, self.packed, self.limits, self.unpacked = where, packed, limits, 0

    def count(self, size: int, packed: int | None = None) -> None:
        self.unpacked += size
        packed = self.packed if packed is None else packed
        if self.unpacked > self.limits.max_bytes:
            raise TooLargeError(
                f"it unpacks to more than {self.limits.max_bytes / GIB:.3g} GiB",
                where=self.where,
                hint="if it is honest, raise the limit max_bytes",
            )
        if self.unpacked > self.limits.ratio_free_bytes and self.unpacked > self.limits.max_ratio * max(packed or 1, 1):
            raise TooLargeError(
                f"{packed} bytes unpack to more than {self.limits.max_ratio:.0f} times as many",
                where=self.where,
                hint="it looks like a decompression bomb; if it is honest, raise the limit max_ratio",
            )


def _unzip(path: Path, folder: Path, limits: Limits) -> None:
    try:
        _judge_directory(path, limits)
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path, limits)
            meter = _Meter(path, packed=path.stat().st_size, limits=limits)
            for number, member in enumerate(members, start=1):
                target = folder / f"{number:06d}{_neutral_suffix(member.filename)}"
                with archive.open(member) as packed, target.open("xb") as plain:
                    while chunk := packed.read(_CHUNK):
                        meter.count(len(chunk))
                        plain.write(chunk)
    except AnatomyError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        # zipfile says so for patched data and strong encryption.
        raise _strangely_packed(path, str(error)) from error
    except OSError as error:
        raise _unreadable(error, path) from error
    except Exception as error:
        # zipfile raises whatever damaged numbers lead it to.
        raise DamagedFileError(f"the zip is damaged: {error}", where=path, hint="copy or export it again") from error


def _members(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not stat.S_ISLNK(member.external_attr >> 16)
        and not _LITTER.search(member.filename.replace("\\", "/"))
    ]
    if len(members) > limits.max_members:
        raise _too_many(len(members), path, limits)
    if not members:
        raise NoImagesError("the zip holds no file", where=path, hint="export the study again")
    if encrypted := sum(bool(member.flag_bits & 0x1) for member in members):
        raise UnsupportedError(
            f"{encrypted} of {len(members)} files in the zip are encrypted",
            where=path,
            hint="unpack it with its password and give the folder",
        )
    # zipfile unpacks the other methods a whole piece at a time, without a cap on what comes out.
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise _strangely_packed(path, "its files are neither stored nor deflated")
    return members


def _judge_directory(path: Path, limits: Limits) -> None:
    """Refuse a central directory that is too large to list, before anything lists it."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 0x10000 - 22 - 20 - 56))
        tail = stream.read()
    at = tail.rfind(_END_OF_CENTRAL_DIRECTORY)
    at64 = tail.rfind(_END_OF_CENTRAL_DIRECTORY_64)
    size = struct.unpack_from("<I", tail, at + 12)[0] if at >= 0 else 0
    if at64 >= 0 and size == 0xFFFFFFFF:
        size = struct.unpack_from("<Q", tail, at64 + 40)[0]
    if size > limits.max_members * _DIRECTORY_BYTES_PER_MEMBER:
        raise _too_many(size // 46, path, limits)


def _too_many(count: int, path: Path, limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"the zip lists {count} files, the limit is {limits.max_members}",
        where=path,
        hint="give a part of the study, or raise the limit max_members",
    )


def _strangely_packed(path: Path, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"the zip is packed in a way that is not read here: {why}", where=path, hint="unpack it and give the folder"
    )


def _unreadable(error: OSError, path: Path) -> AnatomyError:
    if error.errno == errno.ENOSPC:
        where = tempfile.gettempdir()
        return TooLargeError(
            f"there is no room to unpack it in {where}", where=path, hint="free space there, or set TMPDIR"
        )
    return DamagedFileError(
        f"the zip cannot be read: {error.strerror or error}", where=path, hint="copy or export it again"
    )


def _neutral_suffix(name: str) -> str:
    name = name.lower()
    return next((suffix for suffix in _KEPT_SUFFIXES if name.endswith(suffix)), ".bin")
