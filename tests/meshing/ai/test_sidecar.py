"""The TOML beside a model: every wrong key is said by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshing.ai.sidecar import read_sidecar
from meshing.errors import SegmentationError

RIGHT = """
[model]
name = "m"
licence = "MIT"
source = "somebody"
[input]
spacing_mm = [1, 2.5, 3]
patch = [16, 16, 8]
axes = "SPL"
clip = [-100, 200]
scale = "z-score"
mean = 40
sd = 30
[output]
activation = "sigmoid"
[output.labels]
1 = "liver"
2 = "tumour"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "m.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_right_one_is_read(tmp_path: Path) -> None:
    found = read_sidecar(written(tmp_path, RIGHT))
    assert (found.about.name, found.about.licence) == ("m", "MIT")
    assert found.feed.spacing_mm == (1.0, 2.5, 3.0) and found.feed.patch == (16, 16, 8)
    assert found.feed.clip == (-100.0, 200.0) and found.feed.overlap == 0.5
    assert found.reading.labels == {1: "liver", 2: "tumour"} and found.reading.activation == "sigmoid"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('licence = "MIT"\n', "", r"\[model\] licence is missing"),
        ('name = "m"', "name = 3", r"\[model\] name is 3; it must be a text"),
        ("patch = [16, 16, 8]\n", "", r"\[input\] patch is missing"),
        ("patch = [16, 16, 8]", "patch = [16, 16]", r"\[input\] patch is \[16, 16\]"),
        ("patch = [16, 16, 8]", "patch = [16, 16, 8.5]", r"\[input\] patch"),
        ("patch = [16, 16, 8]", "patch = [16, 16, 0]", r"between 1 and 1024"),
        ("spacing_mm = [1, 2.5, 3]", "spacing_mm = [1, -2, 3]", "must be above 0"),
        ("spacing_mm = [1, 2.5, 3]", "spacing_mm = [1, nan, 3]", "must be above 0"),
        ("spacing_mm = [1, 2.5, 3]", "spacing_mm = [1, inf, 3]", "must be above 0"),
        ('1 = "liver"', '"²" = "liver"', r"\[output\] labels"),
        ("spacing_mm = [1, 2.5, 3]", "spacing_mm = 1.5", "spacing_mm is 1.5; it must be three numbers"),
        ('axes = "SPL"', 'axes = "SPI"', "one of L or R, one of P or A, one of S or I"),
        ('axes = "SPL"', 'axes = "spl"', "axes is 'spl'"),
        ('axes = "SPL"', 'axes = "SPLR"', "axes is 'SPLR'"),
        ("clip = [-100, 200]", "clip = [200, -100]", "must be a low and a high value"),
        ('scale = "z-score"', 'scale = "zscore"', "one of z-score, per-scan, unit, none"),
        ("sd = 30", "sd = 0", "sd is 0"),
        ("sd = 30", "sd = nan", "sd is nan; it must be a number"),
        ("sd = 30", "window = 30", r"\[input\] window is unknown"),
        ('"sigmoid"', '"tanh"', "one of softmax, sigmoid, argmax"),
        ('1 = "liver"', '0 = "liver"', "numbers from 1 and names"),
        ('1 = "liver"', "1 = 1", "numbers from 1 and names"),
        ('1 = "liver"\n2 = "tumour"\n', "", r"\[output\] labels"),
        ("[output]", "[outputs]", r"\[output.*is unknown"),
        ("[model]", "[model", "is no TOML"),
    ],
)
def test_a_wrong_one_is_refused_by_the_name_of_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RIGHT
    path = written(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(SegmentationError, match=said) as caught:
        read_sidecar(path)
    assert str(path) in str(caught.value)


def test_a_missing_one_says_where_to_learn(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="no sidecar") as caught:
        read_sidecar(tmp_path / "none.toml")
    assert "docs/segmentation.md" in caught.value.hint
