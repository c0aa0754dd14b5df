"""The terminology is complete, codes are real identifiers, sides are mirrored, and every name finds one structure."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshing.terminology import Structure, _names, _table, match, plain, structure_for, structures, systems

REPOSITORY = Path(__file__).resolve().parents[2]

# The one lobe and the one appendage that have no twin.
WITHOUT_TWIN = {"lung_middle_lobe_right", "atrial_appendage_left"}

# Classes of TotalSegmentator v2, task "total"; vertebrae and ribs are counted in the test.
ORGANS = (
    "spleen gallbladder liver stomach pancreas esophagus trachea thyroid_gland small_bowel duodenum colon "
    "urinary_bladder prostate sacrum vertebrae_S1 heart aorta pulmonary_vein brachiocephalic_trunk "
    "atrial_appendage_left superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein spinal_cord "
    "brain skull sternum costal_cartilages lung_upper_lobe_left lung_lower_lobe_left "
    "lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right "
)
PAIRED = (
    "kidney adrenal_gland kidney_cyst subclavian_artery common_carotid_artery brachiocephalic_vein "
    "iliac_artery iliac_vena humerus scapula clavicula femur hip gluteus_maximus gluteus_medius "
    "gluteus_minimus autochthon iliopsoas "
)

# Dihedral group D5 (Verhoeff 1969), the check of SNOMED CT identifiers.
TIMES = [
    [
        (a + b) % 5 if a < 5 and b < 5 else (a + b) % 5 + 5 if a < 5 else (a - b) % 5 + 5 if b < 5 else (a - b) % 5
        for b in range(10)
    ]
    for a in range(10)
]
TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def is_snomed_identifier(code: str) -> bool:
    """Whether the Verhoeff check digit holds."""
    check = 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = TURN[value]
        check = TIMES[check][value]
    return 6 <= len(code) <= 18 and check == 0


def spelled_names() -> Iterator[tuple[str, str]]:
    for key, row in _table()["structures"].items():
        for name in _names(key, row):
            yield key, name


def test_the_check_digit_catches_a_changed_digit_and_a_swap() -> None:
    assert is_snomed_identifier("64033007")
    assert not any(is_snomed_identifier(f"6403300{digit}") for digit in "012345689")
    assert not is_snomed_identifier("46033007")


def test_every_structure_is_complete() -> None:
    for key, structure in structures().items():
        assert structure.key == key
        assert plain(key) == key.lower()
        assert re.fullmatch(r"[A-Z].*", structure.name), key
        assert re.search(r"[\u4e00-\u9fff]", structure.name_zh), key
        assert structure.system in systems(), key
        assert 0 < structure.opacity <= 1, key
        assert all(0 <= channel <= 1 for channel in structure.colour), key


def test_every_system_is_used_and_named_in_both_languages() -> None:
    assert {structure.system for structure in structures().values()} == set(systems())
    for system in systems().values():
        assert system.name
        assert re.search(r"[\u4e00-\u9fff]", system.name_zh)


def test_codes_are_snomed_identifiers_with_meaning_and_category() -> None:
    for key, structure in structures().items():
        if structure.code:
            assert is_snomed_identifier(structure.code), key
            assert structure.meaning, key
            assert is_snomed_identifier(structure.category), key
    uncoded = {key for key, structure in structures().items() if not structure.code}
    assert uncoded == {"sphere", "tube", "ellipsoid", "head_phantom"}


def test_display_names_are_distinct_in_each_language() -> None:
    found = list(structures().values())
    assert len({structure.name for structure in found}) == len(found)
    assert len({structure.name_zh for structure in found}) == len(found)


def test_sided_structures_come_in_mirrored_pairs() -> None:
    by_side = {
        side: {key for key, structure in structures().items() if structure.side == side} - WITHOUT_TWIN
        for side in ("left", "right")
    }
    assert {key.replace("left", "right") for key in by_side["left"]} == by_side["right"]
    for key in by_side["left"]:
        left, right = structures()[key], structures()[key.replace("left", "right")]
        assert (left.system, left.code, left.opacity) == (right.system, right.code, right.opacity), key
        name = left.name.replace("Left", "Right").replace("left", "right")
        assert (name, left.name_zh.replace("左", "右")) == (right.name, right.name_zh)


def test_only_what_is_called_left_lies_left() -> None:
    for key, structure in structures().items():
        if structure.side:
            assert structure.side in key.split("_"), key
            assert structure.side in structure.name.lower(), key
            assert {"left": "左", "right": "右"}[structure.side] in structure.name_zh, key


def test_the_side_says_where_it_lies_and_not_what_it_is_called() -> None:
    assert structures()["kidney_left"].side == "left"
    assert structures()["rib_right_7"].side == "right"
    for key in ("heart_atrium_left", "hepatic_vein_branch_left", "left_gastric_artery", "hepatic_artery_branch_left"):
        assert structures()[key].side == "", key


def test_no_alias_is_ambiguous() -> None:
    owner: dict[str, str] = {}
    for key, name in spelled_names():
        assert owner.setdefault(plain(name), key) == key, f"{name!r} means {owner[plain(name)]} and {key}"


def test_every_name_finds_its_own_structure() -> None:
    for key, name in spelled_names():
        for written in (name, name.upper(), f"  {name.replace('_', ' ')} "):
            found = match(written)
            assert found is not None and found.key == key, written


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Kidney, left", "kidney_left"),
        ("Structure of left kidney", "kidney_left"),
        ("左肾", "kidney_left"),
        ("第3腰椎（L3）", "vertebrae_L3"),
        ("L3", "vertebrae_L3"),
        ("Left rib 3", "rib_left_3"),
        ("左侧第3肋", "rib_left_3"),
        ("门静脉和脾静脉", "portal_vein_and_splenic_vein"),
        ("esophagus", "esophagus"),
        ("Oesophagus", "esophagus"),
        ("Tumor", "tumour"),
        ("right_common_iliac_vein", "iliac_vena_right"),
    ],
)
def test_names_of_other_tools_and_people_match(name: str, key: str) -> None:
    found = match(name)
    assert found is not None and found.key == key


def test_an_unknown_name_keeps_itself_and_its_side() -> None:
    assert match("flux capacitor") is None
    unknown = structure_for("Flux capacitor, left", 3)
    assert unknown == Structure(
        "flux_capacitor_left", "Flux capacitor, left", "Flux capacitor, left", side="left", colour=unknown.colour
    )
    assert unknown.colour != structure_for("Flux capacitor, left", 4).colour


def test_left_never_matches_right() -> None:
    for structure in structures().values():
        if structure.side == "left" and structure.key not in WITHOUT_TWIN:
            swapped = match(structure.name.replace("Left", "Right").replace("left", "right"))
            assert swapped is not None and swapped.side == "right"


def test_all_117_classes_of_totalsegmentator_are_keys() -> None:
    organs = ORGANS.split()
    paired = PAIRED.split()
    vertebrae = [f"vertebrae_{part}{n}" for part, last in (("C", 7), ("T", 12), ("L", 5)) for n in range(1, last + 1)]
    sided = [f"{name}_{side}" for name in paired for side in ("left", "right")]
    ribs = [f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)]
    classes = {*organs, *vertebrae, *sided, *ribs}
    assert len(classes) == 117
    assert classes <= set(structures())


def test_the_asset_is_what_the_tables_give(real_data: Callable[[str], Path]) -> None:
    tables = real_data("terminology").parent
    real_data("ct_abdomen_labels/totalsegmentator_snomed_mapping.csv")
    tool = REPOSITORY / "tools" / "build_terminology.py"
    ran = subprocess.run([sys.executable, tool, tables, "--check"], check=False, timeout=60)
    assert ran.returncode == 0


def test_every_label_of_the_abdomen_scan_matches(real_data: Callable[[str], Path]) -> None:
    import nibabel
    import numpy as np

    image = nibabel.load(real_data("ct_abdomen_labels/example_seg_fast_force_split.nii.gz"))
    table = str(image.header.extensions[0].get_content())
    name_of = {int(label): name for label, name in re.findall(r'Key="(\d+)".*?CDATA\[(\w+)\]\]></Label>', table)}
    assert len(name_of) == 117
    present = [name_of[label] for label in np.unique(image.dataobj) if label]
    assert len(present) == 61
    for name in name_of.values():
        assert structure_for(name).key == name
        assert name in structures()


def test_every_mask_name_of_the_aorta_scan_matches(real_data: Callable[[str], Path]) -> None:
    folder = real_data("cta_aorta/aorta").parent
    stems = {path.name.removesuffix(".nii.gz") for path in folder.glob("*/*.nii.gz")} - {"ct_cropped"}
    # T710, T713, T716 are raw model outputs with several labels in one file: no one structure.
    names = {name for name in stems if not re.match(r"T\d+_", name)}
    assert len(names) > 15
    assert [name for name in sorted(names) if match(name) is None] == []


def test_every_name_of_the_atlas_colour_table_matches(real_data: Callable[[str], Path]) -> None:
    lines = real_data("atlas_abdomen/AbdominalAtlasColors.ctbl").read_text().splitlines()
    names = [line.split()[1] for line in lines if line and not line.startswith("#")]
    assert len(names) > 80
    assert [name for name in names if match(name) is None] == []
    assert match("Lumbar3") == structures()["vertebrae_L3"]
    assert match("right_kidney") == structures()["kidney_right"]
