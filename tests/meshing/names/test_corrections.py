"""Corrections in TOML: what is written is read again, and every mistake in them is said with its place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.errors import DamagedFileError, NotFoundError, SegmentationError
from meshing.names import Corrections, corrections_toml, read_corrections, refuse_numbers_that_are_not_there


def written(folder: Path, text: str) -> Path:
    path = folder / "names.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_and_numbers_are_read(tmp_path: Path) -> None:
    text = '[names]\n"Lebr 1" = "liver"\ncouch = ""\nodd = "keep"\n"r" = "右肾"\n[numbers]\n65535 = "Left kidney"\n'
    found = read_corrections(written(tmp_path, text))
    assert found.of(None, "lebr_1") == "liver" and found.of(3, "Couch") == "" and found.of(3, "odd") == "keep"
    assert found.of(None, "R") == "kidney_right"
    assert found.of(65535, "anything") == "kidney_left" and found.of(4, "anything") is None


def test_an_unknown_structure_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'kidny_left'") as refused:
        read_corrections(written(tmp_path, '[names]\n"x" = "kidny_left"'))
    assert "kidney_left" in refused.value.hint and "names.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ('[names]\n"a" = "liver"\n"a" = "spleen"\n', DamagedFileError, "line 3"),
        ('[names]\n"a b" = "liver"\n"A_b" = "spleen"\n', SegmentationError, "twice"),
        ('[names]\n"a" = \n', DamagedFileError, "line 2"),
        ('[names]\n"a" = 5\n', SegmentationError, "not a text"),
        ('[names]\n"a" = ["liver"]\n', SegmentationError, "not a text"),
        ('[numbers]\n0 = "liver"\n', SegmentationError, "'0'"),
        ('[numbers]\n65536 = "liver"\n', SegmentationError, "65536"),
        ('[numbers]\nfive = "liver"\n', SegmentationError, "'five'"),
        ('[colours]\n"a" = "liver"\n', SegmentationError, "colours"),
        ('"a" = "liver"\n', SegmentationError, "table of corrections"),
        ('names = "liver"\n', SegmentationError, "table of corrections"),
    ],
)
def test_mistakes_are_said_with_their_place(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_corrections(written(tmp_path, text))


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_bytes(b'[names]\n"\xff" = "liver"')
    with pytest.raises(DamagedFileError, match="byte 9"):
        read_corrections(path)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_corrections(tmp_path / "nowhere.toml")
    path.write_bytes(b"#" * (1 << 22) + b"##")
    with pytest.raises(DamagedFileError, match="larger"):
        read_corrections(path)


def test_a_number_that_the_file_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(NotFoundError, match=r"label 77; the file holds 1, 2 \(odd") as refused:
        refuse_numbers_that_are_not_there(Corrections(by_number={2: "liver", 77: "spleen"}), {1, 2}, Path("odd"))
    assert "[numbers]" in refused.value.hint
    refuse_numbers_that_are_not_there(Corrections(by_number={2: "liver"}), {1, 2}, Path("odd"))


@given(st.lists(st.text(min_size=1, max_size=20), max_size=8))
def test_whatever_names_are_called_the_template_is_toml(names: list[str]) -> None:
    text = corrections_toml(
        [*((name, "liver", "spelling, 0.9") for name in names), (7, "", "")], "Heading\nof two lines."
    )
    found = tomllib.loads(text)
    assert found["numbers"] == {"7": ""}
    assert set(found.get("names", {})) <= set(names) and set(found.get("names", {}).values()) <= {"liver"}
    assert bool(names) == ("names" in found)
