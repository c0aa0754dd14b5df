"""The decoding child: what comes back is what was stored, and whatever the child does, the parent lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import AnatomyError, DamagedFileError, DecodeError, TooLargeError, UnsupportedError
from meshing.importing import decoder
from meshing.importing.decoder_child import Refusal, codestream_size
from meshing.importing.limits import Limits
from tests.meshing.importing.specimens import LOSSLESS, compact_frames, dicom_file, encoded

GOOD = compact_frames()
GOOD_FILE = dicom_file(GOOD, LOSSLESS["JPEG-LS"])


@pytest.fixture
def rogue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`rogue("hang")`: the next child misbehaves so; afterwards children are honest again."""
    decoder.close()
    monkeypatch.setattr(decoder, "_CHILD_MODULE", "tests.meshing.importing.rogue_child")
    monkeypatch.setattr(decoder, "_KEPT_VARIABLES", (*decoder._KEPT_VARIABLES, "ROGUE"))
    yield lambda how: monkeypatch.setenv("ROGUE", how)
    decoder.close()


# --------------------------------------------------------------------------------------------------------- right values


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("u2", 12), ("i2", 16), ("i2", 12), ("i2", 13)])
@pytest.mark.parametrize("count", [1, 3])
def test_lossless_frames_come_back_bit_for_bit(name: str, dtype: str, bits: int, count: int) -> None:
    frames = compact_frames(count, dtype=dtype, bits=bits)
    decoded = decoder.decode_frames(dicom_file(frames, LOSSLESS[name], bits_stored=bits))
    assert decoded.dtype == frames.dtype
    np.testing.assert_array_equal(decoded, frames)


@pytest.mark.parametrize(
    ("syntax", "dtype", "bits", "bound"),
    [
        # Bounds: a quantiser of quality 95 moves a smooth 8-bit ramp by a few steps, a 12-bit one by 16 times that.
        ("1.2.840.10008.1.2.4.50", "u1", 8, 8),
        ("1.2.840.10008.1.2.4.51", "u2", 12, 128),
        # 45 dB over 16 bits: a root mean square of 65535 / 10^(45/20) = 369; the largest of 768 samples is within 4 σ.
        ("1.2.840.10008.1.2.4.91", "i2", 16, 1476),
    ],
)
def test_lossy_frames_come_back_within_a_stated_bound(syntax: str, dtype: str, bits: int, bound: int) -> None:
    frames = compact_frames(2, dtype=dtype, bits=bits)
    decoded = decoder.decode_frames(dicom_file(frames, syntax, bits_stored=bits, lossy=True))
    assert decoded.dtype == frames.dtype
    off = np.abs(decoded.astype(int) - frames.astype(int)).max()
    assert 0 < off <= bound


def test_a_signed_ramp_of_unsigned_jpeg_2000_keeps_its_sign() -> None:
    # An encoder that stored 13-bit two's complement as unsigned: the header's sign wins (pydicom's correction).
    import imagecodecs

    frames = compact_frames(dtype="i2", bits=13)
    pattern = (frames[0].view("u2") & 0x1FFF).astype("u2")
    packed = imagecodecs.jpeg2k_encode(pattern, codecformat="j2k", reversible=True, bitspersample=13)
    whole = dicom_file(frames, LOSSLESS["JPEG 2000"], bits_stored=13)
    own = encoded(frames[0], LOSSLESS["JPEG 2000"], 13)
    swapped = replace_fragment(whole, own, bytes(packed))
    np.testing.assert_array_equal(decoder.decode_frames(swapped), frames)


def replace_fragment(file: bytes, old: bytes, new: bytes) -> bytes:
    """The file with its one compressed fragment exchanged, lengths mended."""
    old, new = (part + b"\0" * (len(part) % 2) for part in (old, new))
    at = file.index(old)
    return file[: at - 4] + len(new).to_bytes(4, "little") + new + file[at + len(old) :]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"])
def test_uncompressed_and_deflated_files_are_read_too(syntax: str) -> None:
    np.testing.assert_array_equal(decoder.decode_frames(dicom_file(GOOD, syntax)), GOOD)


def test_every_transfer_syntax_of_a_real_slice_decodes_to_the_same_pixels(real_data: Callable[[str], Path]) -> None:
    folder = real_data("ct_transfer_syntaxes")
    truth = decoder.decode_frames(folder / "CTImage.dcm")
    seen = 0
    for path in sorted(folder.glob("CTImage.dcm_*")):
        stored = decoder.decode_frames(path).astype(int)
        bound = 5 if ".4.91" in path.name else 0  # the one lossy file: its provenance measured 5
        assert np.abs(stored - truth).max() == bound, path.name
        seen += 1
    assert truth.shape == (1, 512, 512)
    assert seen == 8 - 1


def test_a_file_and_its_bytes_decode_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(GOOD_FILE)
    np.testing.assert_array_equal(decoder.decode_frames(path), decoder.decode_frames(GOOD_FILE))


def test_many_sources_come_back_in_their_order() -> None:
    series = [compact_frames(rows=8 + at, columns=16) for at in range(12)]
    files = [dicom_file(frames, LOSSLESS["JPEG 2000"]) for frames in series]
    for decoded, frames in zip(decoder.decode_many(files), series, strict=True):
        np.testing.assert_array_equal(decoded, frames)


def test_a_damaged_source_among_many_stops_the_series_where_it_stands() -> None:
    results = decoder.decode_many([GOOD_FILE, GOOD_FILE, GOOD_FILE[:-400], GOOD_FILE])
    assert next(results).shape == next(results).shape
    with pytest.raises(AnatomyError):
        next(results)
    np.testing.assert_array_equal(decoder.decode_frames(GOOD_FILE), GOOD)


def test_threads_share_the_children_without_mixing_answers() -> None:
    series = [compact_frames(rows=10 + at) for at in range(6)]
    files = [dicom_file(frames, LOSSLESS["JPEG-LS"]) for frames in series]
    wrong: list[int] = []

    def decode(at: int) -> None:
        for _ in range(5):
            if not np.array_equal(decoder.decode_frames(files[at]), series[at]):
                wrong.append(at)

    threads = [threading.Thread(target=decode, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ----------------------------------------------------------------------------------------------------- a child gone bad


@pytest.mark.parametrize(
    "how",
    [
        *("segfault", "exit", "hang", "endless header", "no json", "a list", "object dtype", "negative shape"),
        *("two dimensions", "fractional shape", "wrong frame", "dribble"),
    ],
)
def test_a_child_that_misbehaves_is_a_decode_error_and_the_next_call_works(
    rogue: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rogue(how)
    began = time.monotonic()
    with pytest.raises(DecodeError) as caught:
        decoder.decode_frames(GOOD_FILE, limits=Limits(decode_seconds=0.7))
    # The child's start, the limit and a tenth of it for its frame, and room for a busy machine.
    assert time.monotonic() - began < 5
    assert caught.value.where and caught.value.hint
    monkeypatch.undo()
    np.testing.assert_array_equal(decoder.decode_frames(GOOD_FILE), GOOD)


def test_a_child_that_crashes_says_by_which_signal(rogue: Callable[[str], None]) -> None:
    rogue("segfault")
    with pytest.raises(DecodeError, match=r"crashed \(signal 11\)"):
        decoder.decode_frames(GOOD_FILE)


def test_a_child_that_hangs_is_stopped_with_the_seconds_it_had(rogue: Callable[[str], None]) -> None:
    rogue("hang")
    with pytest.raises(DecodeError, match="longer than 1 s"):
        decoder.decode_frames(GOOD_FILE, limits=Limits(decode_seconds=0.6))


def test_a_child_that_claims_too_much_is_refused_before_memory_is_taken(rogue: Callable[[str], None]) -> None:
    rogue("huge shape")
    with pytest.raises(TooLargeError, match="1048576 × 1048576 × 1048576"):
        decoder.decode_frames(GOOD_FILE)


def test_a_child_that_sends_less_than_it_said_is_waited_for_no_longer_than_the_limit(
    rogue: Callable[[str], None],
) -> None:
    rogue("too few bytes")
    with pytest.raises(DecodeError, match="longer than"):
        decoder.decode_frames(GOOD_FILE, limits=Limits(decode_seconds=0.6))


def test_the_words_of_a_child_are_cut_and_cleaned(rogue: Callable[[str], None]) -> None:
    rogue("long refusal")
    with pytest.raises(DamagedFileError) as caught:
        decoder.decode_frames(GOOD_FILE)
    assert len(caught.value.message) <= 200
    assert caught.value.message.isprintable()


def test_an_honest_rogue_shows_that_the_stage_works(rogue: Callable[[str], None]) -> None:
    rogue("right")
    np.testing.assert_array_equal(decoder.decode_frames(GOOD_FILE), [[[0, 1], [2, 3]]])


def test_a_child_killed_between_two_calls_is_replaced() -> None:
    decoder.decode_frames(GOOD_FILE)
    child = decoder._idle.get_nowait()
    child._process.kill()
    child._process.wait()
    decoder._idle.put(child)
    np.testing.assert_array_equal(decoder.decode_frames(GOOD_FILE), GOOD)


def test_the_child_stays_warm_between_calls() -> None:
    decoder.close()
    decoder.decode_frames(GOOD_FILE)
    first = decoder._idle.get_nowait()
    decoder._idle.put(first)
    decoder.decode_frames(GOOD_FILE)
    assert decoder._idle.get_nowait() is first
    decoder._idle.put(first)


def test_the_child_inherits_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSPITAL_PASSWORD", "canary")
    assert "canary" not in str(decoder._child_environment("here"))
    assert decoder._child_environment("here")["PYTHONPATH"] == "here"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such clock")
def test_a_child_whose_parent_is_gone_ends_by_itself() -> None:
    hang = "from meshing.importing.decoder_child import end_after; end_after(0.1); import time; time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", hang], timeout=30).returncode == -signal.SIGALRM


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory limit needs Linux")
def test_a_decode_that_takes_too_much_memory_is_refused_and_the_next_one_works() -> None:
    big = dicom_file(np.zeros((1, 6000, 6000), "i2"), LOSSLESS["JPEG 2000"])
    with pytest.raises(DecodeError, match="memory") as caught:
        decoder.decode_frames(big, limits=Limits(decode_memory_bytes=16 << 20))
    assert "decode_memory_bytes" in caught.value.hint
    np.testing.assert_array_equal(decoder.decode_frames(GOOD_FILE), GOOD)


# ------------------------------------------------------------------------------------------------------- refused bytes


def test_a_frame_larger_than_its_header_is_refused_before_a_codec_sees_it() -> None:
    small, large = compact_frames(rows=8), compact_frames(rows=3000, columns=3000)
    file = replace_fragment(
        dicom_file(small, LOSSLESS["JPEG-LS"]),
        encoded(small[0], LOSSLESS["JPEG-LS"], 16),
        encoded(large[0], LOSSLESS["JPEG-LS"], 16),
    )
    with pytest.raises(DamagedFileError, match=r"8 × 32 pixels, the compressed frame \(3000, 3000\)"):
        decoder.decode_frames(file)


def test_a_frame_deeper_than_its_header_is_refused_not_wrapped() -> None:
    shallow, deep = compact_frames(dtype="u1", bits=8), compact_frames(dtype="u2", bits=16)
    file = replace_fragment(
        dicom_file(shallow, LOSSLESS["JPEG-LS"]),
        encoded(shallow[0], LOSSLESS["JPEG-LS"], 8),
        encoded(deep[0], LOSSLESS["JPEG-LS"], 16),
    )
    with pytest.raises(DamagedFileError, match="uint16"):
        decoder.decode_frames(file)


def test_missing_frames_are_said_with_their_number() -> None:
    file = dicom_file(compact_frames(3), LOSSLESS["JPEG-LS"])
    more = file.replace(b"IS\x02\x003 ", b"IS\x02\x005 ")
    assert more != file
    with pytest.raises(DamagedFileError, match=r"3 of 5 frames|refuses"):
        decoder.decode_frames(more)


def test_colour_pictures_and_unknown_compressions_are_said_to_be_unsupported() -> None:
    colour = dicom_file(GOOD, LOSSLESS["JPEG-LS"])
    colour = colour.replace(b"\x28\x00\x02\x00US\x02\x00\x01\x00", b"\x28\x00\x02\x00US\x02\x00\x03\x00")
    with pytest.raises(UnsupportedError, match="colour"):
        decoder.decode_frames(colour)
    mpeg = GOOD_FILE.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.99")
    with pytest.raises(AnatomyError):
        decoder.decode_frames(mpeg)


@pytest.mark.parametrize("file", [b"", b"not dicom", bytes(4096), GOOD_FILE[:300], b"\xff" * 999])
def test_what_is_no_dicom_file_is_a_damaged_file(file: bytes) -> None:
    with pytest.raises((DamagedFileError, UnsupportedError)):
        decoder.decode_frames(file)


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError):
        decoder.decode_frames(tmp_path / "nowhere.dcm")


def test_no_error_quotes_the_header() -> None:
    for cut in range(140, len(GOOD_FILE), 97):
        try:
            decoder.decode_frames(GOOD_FILE[:cut])
        except AnatomyError as error:
            assert "Canary" not in f"{error}{error.hint}"


def test_gdcm_is_never_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # pydicom imports a gdcm that it finds; this one leaves a mark as soon as something of it is called.
    witness = tmp_path / "used"
    (tmp_path / "gdcm.py").write_text(
        "__version__ = '3.9.9'\n"
        "class Version:\n    GetVersion = staticmethod(lambda: '3.9.9')\n"
        f"class Trap:\n    def __init__(self, *_):\n        open({str(witness)!r}, 'w').close()\n"
        "def __getattr__(name):\n    if name.startswith('_'): raise AttributeError(name)\n    return Trap\n"
    )
    decoder.close()
    start = decoder.subprocess.Popen

    def with_gdcm(*arguments: object, env: dict[str, str], **more: object) -> object:
        paths = os.pathsep.join([env["PYTHONPATH"], str(tmp_path)])
        return start(*arguments, env={**env, "PYTHONPATH": paths}, **more)  # type: ignore[call-overload]  # a wrapper

    monkeypatch.setattr(decoder.subprocess, "Popen", with_gdcm)
    for name in LOSSLESS:
        np.testing.assert_array_equal(decoder.decode_frames(dicom_file(GOOD, LOSSLESS[name])), GOOD)
    decoder.close()
    assert not witness.exists()


# ----------------------------------------------------------------------------------------------- claims of a codestream


@pytest.mark.parametrize("name", [name for name in LOSSLESS if name != "RLE"])
def test_the_size_of_a_codestream_is_read_without_decoding_it(name: str) -> None:
    frame = compact_frames(rows=19, columns=45)[0]
    assert codestream_size(encoded(frame, LOSSLESS[name], 16)) == (19, 45)


@pytest.mark.parametrize("packed", [b"", b"\xff\xd8", b"\xff\xd8" + b"\xff" * 50, b"\xff\x4f\xff\x51", bytes(99)])
def test_a_codestream_without_a_size_is_refused(packed: bytes) -> None:
    with pytest.raises(Refusal):
        codestream_size(packed)
