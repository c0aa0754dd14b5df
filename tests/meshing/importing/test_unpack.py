"""Zips and packed streams: what is honest comes out whole, what is not stops at the limits."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.errors import DamagedFileError, NoImagesError, TooLargeError, UnsupportedError
from meshing.importing.limits import MIB, Limits
from meshing.importing.unpack import Packing, Unpacked, gunzipped, inflate, opened, unpacked_chunks

TIGHT = Limits(max_bytes=4 * MIB, max_ratio=50, ratio_free_bytes=MIB, max_members=20)


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def raw_deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(plain) + packer.flush()


# ------------------------------------------------------------------------------------------------------------- opened


def test_a_folder_and_a_plain_file_are_read_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "scan.dcm"
    file.write_bytes(b"x" * 200)
    for path in (tmp_path, file):
        with opened(path) as found:
            assert found == path


def test_a_zip_becomes_a_private_folder_that_is_gone_afterwards(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"b/two.dcm": b"22", "a/one.dcm": b"1"})
    with opened(path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())] == [
            ("000001.dcm", b"22"),
            ("000002.dcm", b"1"),
        ]
    assert not folder.exists()


def test_the_folder_is_gone_after_an_error_too(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"one": b"1"})
    with pytest.raises(RuntimeError), opened(path) as folder:
        raise RuntimeError
    assert not folder.exists()


def test_no_temporary_name_holds_a_name_of_the_zip(tmp_path: Path) -> None:
    canaries = {"MUELLER^ERIKA/19700101/IM1.MUELLER": b"1", "Mueller.Erika.nii.gz": b"2", "x.seg.nrrd": b"3", "P": b"4"}
    with opened(zipped(tmp_path / "Mueller.zip", canaries)) as folder:
        names = [file.name for file in sorted(folder.iterdir())]
        assert names == ["000001.bin", "000002.nii.gz", "000003.seg.nrrd", "000004.bin"]
        assert "ueller" not in str(folder).lower().replace(str(tmp_path).lower(), "")


@pytest.mark.parametrize(
    "name",
    ["../../evil.dcm", "/etc/evil.dcm", "..\\..\\evil.dcm", "C:\\evil.dcm", "a/../../b/evil.dcm", "evil\x00.dcm"],
)
def test_a_member_that_climbs_out_lands_inside(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "s.zip", {name: b"content"})
    with opened(path) as folder:
        (only,) = folder.iterdir()
        assert only.read_bytes() == b"content"
        assert only.resolve().parent == folder.resolve()
    assert not list(tmp_path.rglob("*evil*"))


def test_links_folders_and_litter_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder/", b"")
        archive.writestr("__MACOSX/._IM1", b"litter")
        archive.writestr("a/.DS_Store", b"litter")
        archive.writestr("a/IM1", b"image")
    with opened(path) as folder:
        assert [file.read_bytes() for file in folder.iterdir()] == [b"image"]


def test_a_zip_bomb_stops_at_the_ratio(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"zeros": bytes(3 * MIB)})
    with pytest.raises(TooLargeError, match="50 times") as caught, opened(path, TIGHT):
        pass
    assert "max_ratio" in caught.value.hint


def test_a_zip_of_many_middling_members_stops_at_the_bytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "big.zip", {f"{at}": os.urandom(MIB) for at in range(5)}, zipfile.ZIP_STORED)
    with pytest.raises(TooLargeError, match=r"more than 0.00391 GiB"), opened(path, TIGHT):
        pass


def test_an_honest_zip_within_the_limits_passes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ok.zip", {f"{at}": os.urandom(MIB // 2) for at in range(7)})
    with opened(path, TIGHT) as folder:
        assert sum(file.stat().st_size for file in folder.iterdir()) == 7 * MIB // 2


def test_a_member_that_lies_about_its_size_is_stopped_by_what_it_unpacks_to(tmp_path: Path) -> None:
    # Headers say ten bytes, the stream holds three million: zipfile stops there, and its checksum then fails.
    path = zipped(tmp_path / "liar.zip", {"zeros": bytes(3 * MIB)})
    content = path.read_bytes().replace(struct.pack("<I", 3 * MIB), struct.pack("<I", 10))
    path.write_bytes(content)
    with pytest.raises((DamagedFileError, TooLargeError)), opened(path, TIGHT):
        pass


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "many.zip", {f"{at}": b"" for at in range(21)})
    with pytest.raises(TooLargeError, match="21 files, the limit is 20"), opened(path, TIGHT):
        pass


def test_a_directory_too_large_to_list_is_refused_unlisted(tmp_path: Path) -> None:
    path = zipped(tmp_path / "names.zip", {"n" * 60_000 + str(at): b"" for at in range(18)})
    tracemalloc.start()
    with pytest.raises(TooLargeError), opened(path, TIGHT):
        pass
    # The tail alone was read: 64 KiB and a little, far below the megabyte of names.
    assert tracemalloc.get_traced_memory()[1] < 700_000
    tracemalloc.stop()


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"one": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(UnsupportedError, match="1 of 1 files in the zip are encrypted"), opened(path):
        pass


@pytest.mark.parametrize("method", [9, 12, 14, 93])  # Deflate64, bzip2, LZMA, Zstandard
def test_an_unbounded_or_unknown_packing_method_says_so(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "s.zip", {"one": b"1" * 99})
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(mark) + at] = method
    path.write_bytes(content)
    with pytest.raises(UnsupportedError, match="not read here"), opened(path):
        pass


def test_a_bzip2_bomb_in_a_zip_is_never_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"zeros": bytes(100 * MIB)}, zipfile.ZIP_BZIP2)
    assert path.stat().st_size < 1000
    tracemalloc.start()
    with pytest.raises(UnsupportedError), opened(path):
        pass
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()


def test_a_full_disk_says_where_room_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    path = zipped(tmp_path / "s.zip", {"one": b"1"})

    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    with pytest.raises(TooLargeError, match="no room") as caught, opened(path):
        pass
    assert "TMPDIR" in caught.value.hint


def test_an_empty_zip_and_a_missing_path_hold_no_images(tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "s.zip", {}), tmp_path / "nowhere"):
        with pytest.raises(NoImagesError), opened(path):
            pass


def test_a_zip_cut_anywhere_is_damaged_or_no_zip_at_all(tmp_path: Path) -> None:
    content = zipped(tmp_path / "s.zip", {f"{at}.dcm": os.urandom(3000) for at in range(4)}).read_bytes()
    for cut in range(1, 21):
        path = tmp_path / f"cut{cut}"
        path.write_bytes(content[: len(content) * cut // 21])
        if zipfile.is_zipfile(path):
            with pytest.raises(DamagedFileError), opened(path):
                pass
        else:
            with opened(path) as found:
                assert found == path


def test_a_zip_with_a_damaged_member_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"one.dcm": os.urandom(5000)})
    content = bytearray(path.read_bytes())
    content[2000] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="CRC"), opened(path):
        pass


# ------------------------------------------------------------------------------------------------------------ streams


@given(plain=st.binary(max_size=5000), cut=st.integers(0, 60))
def test_inflate_gives_back_what_was_deflated(plain: bytes, cut: int) -> None:
    assert inflate(raw_deflate(plain)) == plain
    assert inflate(io.BytesIO(raw_deflate(plain) + b"\0")) == plain  # the pad byte of an odd length


def test_inflate_of_every_truncation_is_a_damaged_file() -> None:
    packed = raw_deflate(os.urandom(500) + bytes(2000))
    for cut in range(len(packed)):
        with pytest.raises(DamagedFileError):
            inflate(packed[:cut])


def test_a_deflate_bomb_stops_and_takes_little_memory() -> None:
    packed = raw_deflate(bytes(60 * MIB))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        inflate(packed, TIGHT)
    # At most the 4 MiB that the limit allows, held twice while they grow, and a chunk.
    assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    tracemalloc.stop()


def test_a_gz_of_zeros_stops_at_the_ratio(tmp_path: Path) -> None:
    path = tmp_path / "zeros.nii.gz"
    path.write_bytes(gzip.compress(bytes(30 * MIB)))
    with pytest.raises(TooLargeError), gunzipped(path, TIGHT):
        pass


def test_a_gz_is_unpacked_under_a_neutral_name(tmp_path: Path) -> None:
    path = tmp_path / "Mueller.nii.gz"
    path.write_bytes(gzip.compress(b"plain"))
    with gunzipped(path) as plain:
        assert (plain.name, plain.read_bytes()) == ("000001.nii", b"plain")
    assert not plain.exists()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
@pytest.mark.parametrize("packing", ["raw", "gzip", "zlib", "deflate", "bzip2"])
def test_every_packing_is_unpacked_in_bounded_pieces(packing: Packing, size: int) -> None:
    plain = (os.urandom(1000) + bytes(3000)) * (size // 4000 + 1)
    plain = plain[:size]
    packed = {
        "raw": lambda: plain,
        "gzip": lambda: gzip.compress(plain),
        "zlib": lambda: zlib.compress(plain),
        "deflate": lambda: raw_deflate(plain),
        "bzip2": lambda: bz2.compress(plain),
    }[packing]()
    pieces = list(unpacked_chunks(io.BytesIO(packed), packing))
    assert b"".join(pieces) == plain
    assert all(0 < len(piece) <= MIB for piece in pieces)


def test_a_gz_of_several_members_is_read_to_its_last() -> None:
    packed = gzip.compress(b"one") + gzip.compress(b"two") + gzip.compress(b"") + gzip.compress(b"three") + b"\0\0"
    assert b"".join(unpacked_chunks(io.BytesIO(packed), "gzip")) == b"onetwothree"


@pytest.mark.parametrize("packing", ["gzip", "zlib", "deflate", "bzip2"])
def test_noise_is_never_taken_for_a_packed_stream(packing: Packing) -> None:
    with pytest.raises(DamagedFileError):
        list(unpacked_chunks(io.BytesIO(b"\xff" * 5000), packing))


def test_a_flipped_byte_of_a_gz_is_found_by_its_checksum() -> None:
    packed = bytearray(gzip.compress(os.urandom(1000)))
    packed[500] ^= 1
    with pytest.raises(DamagedFileError):
        list(unpacked_chunks(io.BytesIO(bytes(packed)), "gzip"))


def test_reading_beyond_the_end_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"head" + bytes(10))
    with Unpacked(path, "raw", packed_from=4) as stream:
        assert stream.read(4) == bytes(4)
        with pytest.raises(DamagedFileError, match="ends 94 bytes before"):
            stream.read(100)
