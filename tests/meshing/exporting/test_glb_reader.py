"""The strict reader: damaged containers and contents that our models never have, refused before they cost anything."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from meshing.exporting.verify import verify_glb


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def cut_in_header(content: bytes) -> bytes:
    return content[:10]


def declare_shorter(content: bytes) -> bytes:
    return content[:8] + struct.pack("<I", len(content) - 4) + content[12:]


def declare_longer_chunk(content: bytes) -> bytes:
    length = struct.unpack_from("<I", content, 12)[0]
    return content[:12] + struct.pack("<I", length + 4) + content[16:]


def text_form(content: bytes) -> bytes:
    length = struct.unpack_from("<I", content, 12)[0]
    return content[20 : 20 + length]


def hidden_tail(content: bytes) -> bytes:
    """A chunk of unknown kind, which readers skip: the format allows it, privacy does not."""
    tail = struct.pack("<II", 8, 0x12345678) + b"PATIENT1"
    return content[:8] + struct.pack("<I", len(content) + len(tail)) + content[12:] + tail


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut, "bytes"),
        (cut_in_header, "inside its header"),
        (declare_shorter, "the header says"),
        (declare_longer_chunk, "chunk"),
        (text_form, "JSON text named .glb"),
        (hidden_tail, "follow the last chunk"),
        (lambda content: b"", "begins with"),
        (lambda content: b"solid nothing" * 10, "begins with"),
        (lambda content: content[:4] + struct.pack("<I", 1) + content[8:], "version 1"),
    ],
)
def test_a_damaged_container_is_a_problem_of_the_file(case, good, tmp_path, change, says):
    path = tmp_path / "broken.glb"
    path.write_bytes(change(good.read_bytes()))
    (problem,) = verify_glb(path, case).problems
    assert problem.kind == "file" and says in problem.text and "broken.glb" in problem.text


def lie_about_limits(opened):
    opened.document["accessors"][0]["max"][0] += 1


def index_out_of_range(opened):
    opened.array(opened.primitives()[0]["indices"])[7] = 65_000


def not_a_number(opened):
    opened.array(opened.primitives()[0]["attributes"]["POSITION"])[3, 1] = np.nan


def ring_of_nodes(opened):
    nodes = opened.document["nodes"]
    nodes[0] = {"name": "ring", "children": [len(nodes) - 1]}


def bomb(opened):
    opened.document["accessors"].append({"componentType": 5126, "count": 2**40, "type": "VEC3", "bufferView": 0})


def bomb_without_view(opened):
    opened.document["accessors"].append({"componentType": 5126, "count": 2**40, "type": "VEC3"})


def file_outside(opened):
    opened.document["buffers"][0]["uri"] = "../../etc/passwd"


def many_draws(opened):
    """A mesh drawn by hundred thousands of nodes: small file, endless picture."""
    nodes = opened.document["nodes"]
    first = len(nodes)
    nodes.extend({"name": f"n{number}", "mesh": 0} for number in range(60_000))
    opened.node("anatomyxr")["children"].extend(range(first, len(nodes)))


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (lie_about_limits, "declared min and max"),
        (index_out_of_range, "index 65000"),
        (not_a_number, "finite"),
        (ring_of_nodes, "reached twice"),
        (bomb, "leave its view"),
        (bomb_without_view, "bufferView is missing"),
        (file_outside, "one inside the file"),
        (many_draws, "triangles, at most"),
        (lambda o: o.document.update(cameras=[]), "cameras"),
        (lambda o: o.primitives()[0].update(extensions={"KHR_draco_mesh_compression": {}}), "extensions"),
        (lambda o: o.primitives()[0].update(mode=1), "one of triangles"),
        (lambda o: o.document["accessors"][0].update(normalized=True), "normalised"),
        (lambda o: o.document["asset"].update(version="1.0"), "version '1.0'"),
        (lambda o: o.document["bufferViews"][1].update(byteOffset=2), "not aligned"),
    ],
)
def test_contents_that_our_models_never_have_are_refused(lab, case, good, tmp_path, operation, says):
    opened = lab.open_glb(good)
    operation(opened)
    found = verify_glb(opened.close(tmp_path / "broken.glb"), case)
    assert found.kinds == {"file"} and says in found.problems[0].text
