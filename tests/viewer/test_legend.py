"""Legends: every structure once, in fewer lines where room is short, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.terminology import structures
from viewer.legend import LegendEntry, Shown, legend
from viewer.lettering import shortened, text_width, wrapped
from viewer.words import Language, word

KNOWN = structures()
WHOLE_BODY = [
    *(f"rib_left_{n}" for n in range(1, 13)),
    *(f"rib_right_{n}" for n in range(1, 13)),
    *(f"vertebrae_{n}" for n in ("T11", "T12", "L1", "L2", "L3")),
    "hip_left",
    "hip_right",
    "kidney_left",
    "kidney_right",
    "liver",
    "spleen",
    "aorta",
    "portal_vein",
    "skin",
]


def shown(*keys: str) -> list[Shown]:
    return [Shown(key, KNOWN[key], KNOWN[key].colour, KNOWN[key].opacity, 10.0) for key in keys]


def names(entries: tuple[LegendEntry, ...]) -> list[str]:
    return [entry.name for entry in entries]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(KNOWN)), unique=True, max_size=120),
    st.integers(1, 60),
    st.sampled_from(["en", "zh"]),
)
def test_every_structure_stands_in_the_legend_once_and_the_lines_fit(
    keys: list[str], limit: int, language: Language
) -> None:
    entries = legend(shown(*keys), language, limit)
    assert len(entries) <= limit
    assert sorted(key for entry in entries for key in entry.keys) == sorted(keys)


def test_lesions_and_vessels_come_first_and_skin_last() -> None:
    entries = legend(shown("skin", "vertebrae_L1", "liver", "aorta", "tumour"), "en", 40)
    assert [entry.keys[0] for entry in entries if entry.keys] == ["tumour", "aorta", "liver", "vertebrae_L1", "skin"]
    assert names(entries)[:4] == ["Lesions", "Tumour", "Arteries", "Aorta"]


def test_ribs_join_before_kidneys_do() -> None:
    ample = legend(shown(*WHOLE_BODY), "en", 60)
    assert len([entry for entry in ample if entry.keys]) == len(WHOLE_BODY)
    joined = legend(shown(*WHOLE_BODY), "en", 25)
    ribs = next(entry for entry in joined if "rib_left_1" in entry.keys)
    assert len(ribs.keys) == 24 and ribs.volume_ml == pytest.approx(240.0)
    assert any(entry.keys == ("kidney_left",) for entry in joined)
    tight = legend(shown(*WHOLE_BODY), "en", 17)
    assert any(set(entry.keys) == {"kidney_left", "kidney_right"} for entry in tight)


def test_systems_join_at_last_and_then_the_rest_is_counted() -> None:
    narrow = legend(shown(*WHOLE_BODY), "en", 7)
    bones = next(entry for entry in narrow if "rib_left_1" in entry.keys)
    assert "hip_left" in bones.keys and "vertebrae_L1" in bones.keys
    assert bones.volume_ml is None
    least = legend(shown(*WHOLE_BODY), "en", 3)
    assert least[-1].colours == () and str(len(least[-1].keys)) in least[-1].name


def test_copies_keep_their_number() -> None:
    second = Shown("tumour_2", KNOWN["tumour"], (1, 0, 0), 1.0)
    assert legend([*shown("tumour"), second], "en", 9)[2].name == f"{KNOWN['tumour'].name} 2"


def test_what_encloses_the_body_shows_no_volume() -> None:
    (_, entry) = legend(shown("skin"), "en", 5)
    assert entry.volume_ml is None


def test_every_name_and_word_can_be_written() -> None:
    """No missing glyph: its box is drawn the same for every missing character."""
    from fontTools.ttLib import TTFont

    from meshing.library import asset

    latin = set(TTFont(asset("fonts/Inter-Regular.otf")).getBestCmap())
    chinese = set(TTFont(asset("fonts/NotoSansSC-Regular.otf")).getBestCmap())
    texts = [name for one in KNOWN.values() for name in (one.name, one.name_zh)]
    for name in ("disclaimer", "more", "view", "window", "anterior", "plan"):
        texts += [word(name, "en"), word(name, "zh")]
    for character in set("".join(texts)):
        assert ord(character) in (chinese if ord(character) >= 0x2E80 else latin), character


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_notice_wraps_within_its_width(language: Language) -> None:
    lines = wrapped(word("disclaimer", language), 12, 150.0)
    assert len(lines) > 1
    assert all(text_width(line, 12) <= 150.0 for line in lines)
    assert "".join(lines).replace(" ", "") == word("disclaimer", language).replace(" ", "")


def test_a_long_name_ends_in_dots_within_its_width() -> None:
    text = shortened("Superior mesenteric artery", 14, 100.0)
    assert text.endswith("…") and text_width(text, 14) <= 100.0
    assert shortened("Liver", 14, 100.0) == "Liver"
