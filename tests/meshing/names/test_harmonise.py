"""Names of foreign files find their structure, or stay what they are; sides, numbers and levels are never bridged."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.errors import NotFoundError
from meshing.importing.labels import read_labels
from meshing.importing.labels.listing import list_labels
from meshing.importing.scan import import_scan
from meshing.names import SURE, Corrections, Label, Naming, harmonise, match_name, schemes
from meshing.names.lexicon import lexicon
from meshing.names.spelling import distance
from meshing.names.spoken import is_side, read, spellings, tokens_of
from meshing.terminology import names_of, structures

HERE = Path(__file__).parent
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def listed(name: str) -> list[tuple[str, str]]:
    """Name and the key that it means; "" where nothing here is meant. Both halves were written before the tables."""
    lines = (HERE / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return [(row[0], row[1]) for row in rows]


def key_of(name: str) -> str:
    structure = match_name(name).structure
    return structure.key if structure else ""


@pytest.mark.parametrize("half", ["tuning", "held_out"])
def test_names_of_the_list_are_right_and_none_is_wrong(half: str) -> None:
    rows = listed(half)
    wanted = [(name, key) for name, key in rows if key]
    assert len(wanted) >= 200 and len(rows) - len(wanted) >= 60
    assert [(name, key_of(name)) for name, key in rows if key_of(name) not in ("", key)] == []
    right = sum(key_of(name) == key for name, key in wanted)
    assert right >= 0.95 * len(wanted), right / len(wanted)


# Names of the table whose structure carries another code here: the nearest broader concept, or a usual other name.
OTHER_CODES = {
    *("Muscle", "Sphere", "Thrombus", "Right Atrium", "Left Atrium", "Left auricular appendage", "Ventricle"),
    *("Right Hepatic artery", "Left Hepatic artery", "Right Hepatic vein", "Left Hepatic vein", "Iliac artery"),
    *("Large intestine", "Cerebrospinal Fluid", "Right Thalamus", "Left Thalamus", "Right Eye", "Left Eye"),
    *("Diaphragm", "Inferior Mesenteric Vein", "Pulmonary trunk"),
}


def test_of_1490_names_of_dicoms_tables_none_means_another_structure(real_data: Callable[[str], Path]) -> None:
    folder = real_data("terminology/SegmentationCategoryTypeModifier-DICOM-Master.json").parent
    codes: dict[str, str] = {}
    for name in ("DICOM-Master", "SlicerGeneralAnatomy"):
        table = json.loads((folder / f"SegmentationCategoryTypeModifier-{name}.json").read_text(encoding="utf-8"))
        for kind in (kind for category in table["SegmentationCodes"]["Category"] for kind in category["Type"]):
            sides = [f"{side['CodeMeaning']} {kind['CodeMeaning']}" for side in kind.get("Modifier", [])]
            codes |= dict.fromkeys([kind["CodeMeaning"], *sides], kind["CodeValue"])
    regions = json.loads((folder / "AnatomicRegionAndModifier-DICOM-Master.json").read_text(encoding="utf-8"))
    for region in regions["AnatomicCodes"]["AnatomicRegion"]:
        codes.setdefault(region["CodeMeaning"], region["CodeValue"])
    assert len(codes) == 1490
    found = {name: structure for name in codes if (structure := match_name(name).structure)}
    assert {name for name, structure in found.items() if structure.code != codes[name]} <= OTHER_CODES
    assert len(found) > 200


@pytest.mark.parametrize("name", ["breast bone", "upper arm bone", "chest bone"])
def test_a_bone_is_not_the_region_that_it_is_named_after(name: str) -> None:
    assert key_of(name) in ("sternum", "humerus")
    assert key_of(name.removesuffix(" bone")) == ""


# Of AAPM TG-263, in its own way of writing; `parts.txt` holds names that look like a structure and mean another.
TG_263 = {
    "A_Celiac": "celiac_trunk",
    "A_Mesenteric_S": "superior_mesenteric_artery",
    "A_Pulmonary": "pulmonary_artery",
    "Bone_Mandible": "mandible",
    "Bowel_Large": "colon",
    "Glnd_Adrenal_L": "adrenal_gland_left",
    "Glnd_Submand_R": "submandibular_gland_right",
    "Kidney_Pelvis_L": "renal_pelvis_left",
    "Lung_LLL": "lung_lower_lobe_left",
    "Musc_Iliopsoas_L": "iliopsoas_left",
    "Rib01_L": "rib_left_1",
    "SeminalVes": "seminal_vesicles",
    "V_Brachioceph_L": "brachiocephalic_vein_left",
    "V_CavaSuperior": "superior_vena_cava",
    "VB_T01": "vertebrae_T1",
}


def test_names_of_radiotherapy_are_right_and_parts_are_not_their_whole() -> None:
    assert {name: key_of(name) for name in TG_263} == TG_263
    parts = (HERE / "parts.txt").read_text(encoding="utf-8").split()
    assert len(parts) > 40 and {name: key_of(name) for name in parts if key_of(name)} == {}


def test_the_halves_share_no_name() -> None:
    assert not {name for name, _ in listed("tuning")} & {name for name, _ in listed("held_out")}


def test_every_name_of_the_terminology_means_its_own_structure() -> None:
    for key in structures():
        for name in names_of(key):
            found = match_name(name)
            assert found.structure is not None and found.structure.key == key, name
            assert found.confidence == 1.0 and found.how in ("exact", "alias")


def test_no_reading_means_two_structures() -> None:
    assert {reading: keys for reading, keys in lexicon().by_reading.items() if len(keys) > 1} == {}


def test_canonical_words_mean_themselves() -> None:
    for table in ("words", "abbreviations"):
        for words in spellings()[table]:
            assert read(words.split()).words == tuple(sorted(words.split())), words


NAMED = [
    (key, name)
    for key in structures()
    for name in names_of(key)
    if len(name) >= 6 and name.isascii() and re.search("[A-Za-z]{4}", name)
]


def edited(name: str, random: np.random.Generator) -> str:
    """One letter less, more, another or swapped, in a word of four letters or more: digits and bare sides stay."""
    places = [at for word in re.finditer("[A-Za-z]{4,}", name) for at in range(word.start(), word.end())]
    if not places:
        return name
    at = int(random.choice(places))
    letter = LETTERS[int(random.integers(26))]
    before, after = name[:at], name[at + 1 :]
    ways = [
        before + after,
        before + letter + name[at:],
        before + letter + after,
        before + after[:1] + name[at] + after[1:],
    ]
    return ways[int(random.integers(4))]


def test_one_slip_of_the_hand_is_mended_and_never_to_another_structure() -> None:
    random = np.random.default_rng(20261127)
    slips = [(key, name, edited(name, random)) for key, name in NAMED for _ in range(2)]
    found = [(key, name, slip, key_of(slip)) for key, name, slip in slips]
    assert [row for row in found if row[3] not in ("", row[0])] == []
    assert sum(row[3] == row[0] for row in found) >= 0.95 * len(found)


@given(st.sampled_from(NAMED), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_two_slips_never_lead_to_the_other_side_or_another_number(named: tuple[str, str], seed: int) -> None:
    key, name = named
    random = np.random.default_rng(seed)
    found = match_name(edited(edited(name, random), random)).structure
    if found is not None:
        assert re.findall(r"\d+", found.key) == re.findall(r"\d+", key)
        assert found.side in ("", structures()[key].side) or not structures()[key].side


@pytest.mark.parametrize(
    "pair", [("left", "right"), ("L", "R"), ("sinister", "dexter"), ("links", "rechts"), ("左", "右")]
)
@pytest.mark.parametrize("organ", ["kidney", "Niere", "ren", "肾", "kidny"])
def test_sides_are_told_apart_in_every_language(pair: tuple[str, str], organ: str) -> None:
    assert [key_of(f"{organ} {side}") for side in pair] == ["kidney_left", "kidney_right"]


@pytest.mark.parametrize(
    ("name", "not_key"),
    [
        ("L1", "vertebrae_L2"),
        ("rib 1 left", "rib_left_11"),
        ("C5", "vertebrae_L5"),
        ("hypothalamus", "thalamus"),
        ("hypothalamus left", "thalamus_left"),
        ("urethra", "ureter"),
        ("ureter left", "urethra"),
        ("ilium left", "ileum"),
        ("ilium", "ileum"),
        ("peroneal artery left", "renal_artery_left"),
        ("parotid", "common_carotid_artery"),
        ("internal iliac artery left", "external_iliac_artery_left"),
        ("liver left", "liver"),
        ("上腔静脉", "inferior_vena_cava"),
        ("左肾静脉", "renal_artery_left"),
        ("T13", "vertebrae_T12"),
        ("left right kidney", "kidney"),
        ("left and right lung", "lung"),
        ("colour", "colon"),
        ("a", "arterial_tree"),
        ("v", "venous_tree"),
    ],
)
def test_traps_are_not_walked_into(name: str, not_key: str) -> None:
    assert not key_of(name).startswith(not_key) or key_of(name) == "vertebrae_L1"


def test_what_is_not_sure_has_no_structure_but_candidates_of_its_side() -> None:
    found = match_name("renal cortex left")
    assert found.structure is None and found.how == "none" and found.confidence == 0.0
    assert found.rivals and {rival.side for rival in found.rivals} <= {"", "left"}
    assert match_name("left thyrid gland").structure is None  # the side is said, and the gland has none


def test_a_match_says_how_and_how_surely() -> None:
    how = {
        name: (match_name(name).how, match_name(name).confidence) for name in ("Liver", "large bowel", "Leber", "Livr")
    }
    assert how["Liver"] == ("exact", 1.0) and how["large bowel"] == ("alias", 1.0)
    assert how["Leber"] == ("synonym", 0.95)
    assert how["Livr"][0] == "spelling" and SURE <= how["Livr"][1] < 0.9
    assert match_name("IVC").how == "alias" and match_name("Glnd_Thyroid").how == "abbreviation"


def test_confidence_falls_with_every_letter_that_is_wrong() -> None:
    sure = [
        match_name(name).confidence
        for name in ("superior mesenteric artery", "superor mesenteric artery", "superor mesentric artery")
    ]
    assert sure == sorted(sure, reverse=True) and len(set(sure)) == 3


def test_a_code_speaks_where_the_name_says_nothing() -> None:
    found = harmonise(
        [
            Label(1, "Segment_1", "10200004", "Liver"),
            Label(2, "thing", "64033007", "Left Kidney"),
            Label(3, "thing right", "64033007"),
            Label(4, "thing", "64033007"),
            Label(5, "Segment_5", "10200004"),
            Label(6, "Segment_6", "999", "Spleen"),
        ]
    )
    keys = [one.match.structure.key if one.match.structure else None for one in found]
    assert keys == ["liver", "kidney_left", "kidney_right", "kidney", "liver", "spleen"]
    assert {one.match.how for one in found} == {"code"}


def test_a_name_and_a_code_that_differ_are_matched_by_name_with_the_other_as_rival() -> None:
    (found,) = harmonise([Label(1, "Spleen", "10200004", "Liver")])
    assert found.match.structure is structures()["spleen"] and found.match.rivals == (structures()["liver"],)
    assert found.match.confidence == SURE


def test_class_numbers_count_only_when_asked_for() -> None:
    labels = [Label(5), Label(27), Label(32), Label(118), Label(5, "spleen")]
    assert [one.match.structure for one in harmonise(labels)][:4] == [None] * 4
    found = [one.match.structure for one in harmonise(labels, scheme="totalsegmentator")]
    keys = [structure.key if structure else None for structure in found]
    assert keys == ["liver", "vertebrae_L5", "vertebrae_T12", None, "spleen"]


def test_a_scheme_that_is_not_known_is_an_error_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match="'nnunet'") as refused:
        Naming(scheme="nnunet")
    assert "totalsegmentator" in refused.value.hint


def test_class_numbers_are_1_to_117_and_known_here() -> None:
    table = schemes()["totalsegmentator"]
    assert sorted(table) == list(range(1, 118)) and len(set(table.values())) == 117
    assert set(table.values()) <= set(structures())
    # Vertebrae count downwards in it, from S1 at 26 to C1 at 50.
    assert [table[number] for number in (26, 27, 31, 32, 43, 44, 50)] == [
        f"vertebrae_{level}" for level in ("S1", "L5", "L1", "T12", "T1", "C7", "C1")
    ]


def test_all_61_labels_of_the_abdomen_are_matched_without_their_names(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    import nibabel

    path = real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz")
    image = nibabel.load(path)
    bare = tmp_path / "numbers.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.uint8), image.affine), bare)
    by_number = list_labels(bare, Naming(scheme="totalsegmentator"))
    assert len(by_number) == 61 and {label.match.how for label in by_number} == {"class number"}
    by_name = {label.number: label for label in list_labels(path) if label.voxels}
    for label in by_number:  # the file's own table of names says the same
        assert label.match.structure is by_name[label.number].match.structure
        assert label.voxels == by_name[label.number].voxels
    grid = import_scan(real_data("ct_abdomen_labels/example_ct.nii.gz")).volume.grid
    segmentation, _ = read_labels(bare, grid, naming=Naming(scheme="totalsegmentator"))
    assert {segment.key for segment in segmentation.segments} == {
        label.match.structure.key for label in by_number if label.match.structure
    }
    assert {label.match.structure for label in list_labels(bare)} == {None}


def test_what_nobody_knows_stays_in_the_list_in_its_place() -> None:
    labels = [Label(number, name) for number, name in enumerate(["couch", "", "\x07", "liver", "🫀", "x" * 5000], 1)]
    found = harmonise(labels)
    assert [one.label for one in found] == labels
    assert [bool(one.match.structure) for one in found] == [False, False, False, True, False, False]


def test_corrections_go_before_all() -> None:
    corrections = Corrections({"couch": "liver", "liver": "", "spleen": "keep"}, {7: "spleen"})
    labels = [Label(1, "Couch"), Label(2, "liver"), Label(3, "spleen"), Label(7, "liver")]
    found = [one.match for one in harmonise(labels, corrections=corrections)]
    assert [match.structure.key if match.structure else None for match in found] == ["liver", None, None, "spleen"]
    assert [match.is_left_out for match in found] == [False, True, False, False]
    assert {match.how for match in found} == {"correction"}


def test_a_thousand_names_take_less_than_a_second() -> None:
    random = np.random.default_rng(3)
    names = [edited(NAMED[int(random.integers(len(NAMED)))][1], random) for _ in range(700)]
    names += ["".join(random.choice(list(LETTERS + " _"), 12)) for _ in range(300)]
    match_name("warm")
    seconds = []
    for repeat in range(3):
        start = time.process_time()
        harmonise([Label(at, f"{name} {'x' * repeat}".strip()) for at, name in enumerate(names)])
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0, seconds


@given(st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_is_answered(name: str) -> None:
    found = match_name(name)
    assert 0.0 <= found.confidence <= 1.0
    assert (found.structure is None) == (found.confidence < SURE)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
@settings(max_examples=200, deadline=None)
def test_distance_is_that_of_every_way_to_edit(one: str, other: str) -> None:
    assert distance(one, other, 12) == slow_distance(one, other)
    assert distance(one, other, 1) == min(slow_distance(one, other), 2)


def slow_distance(one: str, other: str) -> int:
    """By its definition: optimal string alignment, without bounds."""
    if not one or not other:
        return len(one) + len(other)
    ways = [
        slow_distance(one[1:], other) + 1,
        slow_distance(one, other[1:]) + 1,
        slow_distance(one[1:], other[1:]) + (one[0] != other[0]),
    ]
    if len(one) > 1 and len(other) > 1 and one[0] == other[1] and one[1] == other[0]:
        ways.append(slow_distance(one[2:], other[2:]) + 1)
    return min(ways)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("SpinalCord", ("spinal", "cord")),
        ("LKidney", ("l", "kidney")),
        ("Rückenmark", ("ruckenmark",)),
        ("第十二胸椎", ("t12",)),
        ("左側第七肋", ("左", "7", "肋")),
        ("Th12", ("t12",)),
        ("L4/5", ("l4", "l5")),
        ("3rd rib", ("3", "rib")),
    ],
)
def test_names_are_taken_apart(name: str, tokens: tuple[str, ...]) -> None:
    assert tokens_of(name) == tokens
    assert is_side(tokens[0]) == (tokens[0] in ("l", "左"))
