"""Hostile GLBs: whatever the bytes, the answer is a verdict or a typed error, soon, without much memory."""

from __future__ import annotations

import copy
import json
import random
import struct
import time
import tracemalloc

import pytest

from meshing.errors import AnatomyError, DamagedFileError
from meshing.exporting.annotations import Line, Point
from meshing.exporting.fields import parse_object
from meshing.exporting.gltf import export_glb
from meshing.exporting.model import read_model
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball
from meshing.exporting.verify import verify_glb

SECONDS = 5.0
"""A verification of this file takes 0.02 s; the rest is for a busy machine."""

STRANGE = (
    None,
    True,
    -1,
    0,
    1,
    7,
    2**31,
    2**53,
    2**70,
    -0.5,
    1e308,
    "",
    "x" * 500,
    [],
    [[]],
    {},
    {"a": 1},
    [1e308] * 16,
)


@pytest.fixture(scope="module")
def small(lab, tmp_path_factory):
    """A case of three small bodies with two marks, and its file."""
    shapes = {
        "liver": lab.lumpy((-60, 0, 0), (60, 50, 40), 1),
        "kidney_left": ball((50, 30, -40), (20, 20, 40), refinements=1),
        "skin": ball((0, 0, 0), (150, 100, 150), refinements=1),
    }
    case = lab.case_of(shapes)
    marks = (Point("target", (0, 0, 0)), Line("needle", (0, 0, 0), (9, 9, 9)))
    path = export_glb(case, tmp_path_factory.mktemp("fuzz") / "a.glb", ExportSettings(annotations=marks)).path
    return case, path


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes cut out, doubled, or overwritten, mostly near the front where the structure is."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = min(int(rng.expovariate(6 / len(changed))), len(changed) - 1) if len(changed) else 0
        length = rng.randint(1, 12)
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << rng.randrange(8)]) if changed else b"?"
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length]
            case 3:
                changed[at : at + length] = rng.randbytes(length)
            case 4:
                del changed[at:]
    return bytes(changed)


def places(value, path=()):
    """The way to every value in a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated_document(document, rng: random.Random):
    """One to three values replaced by strange ones, removed, or exchanged for another part of the document."""
    changed = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(list(places(changed))[1:])
        holder = changed
        for step in way:
            holder = holder[step]
        match rng.randrange(4):
            case 0:
                del holder[last]
            case 1:
                holder[last] = copy.deepcopy(value_at(changed, rng.choice(list(places(changed)))))
            case _:
                holder[last] = rng.choice(STRANGE)
    return changed


def value_at(document, way):
    for step in way:
        document = document[step]
    return document


def judge(path, case) -> str:
    """The verdict on a file: "ok", "broken", or the name of a typed error; anything else raises."""
    started = time.perf_counter()
    try:
        verdicts = {verify_glb(path, case).ok, verify_glb(path).ok}
        read_model(path)
        answer = "ok" if verdicts == {True} else "broken"
    except AnatomyError as error:
        answer = type(error).__name__
    assert time.perf_counter() - started < SECONDS
    return answer


def test_changed_bytes_give_a_verdict_or_a_typed_error(small, tmp_path):
    case, good = small
    content, path = good.read_bytes(), tmp_path / "a.glb"
    answers = []
    for seed in range(300):
        path.write_bytes(mutated_bytes(content, random.Random(seed)))
        answers.append(judge(path, case))
    assert set(answers) <= {"ok", "broken", "DamagedFileError", "UnsupportedError", "TooLargeError"}
    # A flip in a low bit of a coordinate is no fault; nearly everything else must be seen.
    assert answers.count("ok") < 15 and answers.count("DamagedFileError") > 100


def test_changed_fields_give_a_verdict_or_a_typed_error(lab, small, tmp_path):
    case, good = small
    opened = lab.open_glb(good)
    document = opened.document
    answers = []
    for seed in range(400):
        opened.document = mutated_document(document, random.Random(seed))
        answers.append(judge(opened.close(tmp_path / "a.glb"), case))
    assert set(answers) <= {"ok", "broken", "DamagedFileError", "UnsupportedError", "TooLargeError"}
    assert "broken" in answers and "DamagedFileError" in answers and "UnsupportedError" in answers


def test_changed_numbers_of_the_mesh_give_a_verdict(lab, small, tmp_path):
    """Coordinates and indices of random bits, with limits that agree: the container is sound, the anatomy absurd."""
    case, good = small
    for seed in range(40):
        rng = random.Random(seed)
        opened = lab.open_glb(good)
        for primitive in opened.primitives():
            positions = opened.array(primitive["attributes"]["POSITION"])
            positions[rng.randrange(len(positions))] = [rng.choice((1e-38, 1e30, -3e38, 0.0, 7.0)) for _ in range(3)]
            faces = opened.array(primitive["indices"])
            faces[rng.randrange(len(faces))] = rng.randrange(len(positions))
        opened.move(lambda points: points)
        assert judge(opened.close(tmp_path / "a.glb"), case) == "broken"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"asset":' + b"9" * 10_000 + b"}",
        b'{"asset": NaN}',
        b'{"asset": {}, "asset": {}}',
        b'{"asset": "\xff\xfe"}',
        b'"only text"',
        b"",
    ],
)
def test_json_bombs_are_damaged_files(text, tmp_path):
    with pytest.raises(DamagedFileError):
        parse_object(text)
    text += b" " * (-len(text) % 4)
    path = tmp_path / "a.glb"
    path.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text)
    assert verify_glb(path).kinds == {"file"}


def test_a_file_that_promises_terabytes_takes_no_memory(lab, small, tmp_path):
    case, good = small
    opened = lab.open_glb(good)
    opened.document["accessors"][0]["count"] = 2**44
    opened.document["buffers"][0]["byteLength"] = 2**48
    path = opened.close(tmp_path / "a.glb")
    tracemalloc.start()
    try:
        assert verify_glb(path, case).kinds == {"file"}
        assert tracemalloc.get_traced_memory()[1] < 20 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_the_fuzzer_starts_from_a_file_without_problems(small):
    case, good = small
    assert judge(good, case) == "ok"
    assert json.dumps(read_model(good).root_extras.values)
