"""Build `assets/terminology.toml` from `terminology.csv` and the public code tables.

Usage: ``python tools/build_terminology.py TABLES [--check]``, where TABLES holds `terminology/` and
`ct_abdomen_labels/` (the sources named in `assets/SOURCES.md`). With `--check` nothing is written; the exit status
says whether the asset is what the tables give.

The CSV is the part kept by hand: names in two languages, system, colours, aliases. One row may stand for many:
`{side}` gives a left and a right entry (`{Side}` in the name, `{侧}` in Chinese), `{1..12}` one per number (`{n}`
elsewhere), and `#AAAAAA|#BBBBBB` takes turns along them. `code` is empty where TotalSegmentator's table has the key,
`@key` to share that key's code, a SNOMED CT identifier that one of the tables must hold (where none holds the very
structure: the nearest broader concept), or `-` for shapes that are no anatomy.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = HERE / "terminology.csv"
ASSET = HERE.parent / "assets" / "terminology.toml"

SYSTEMS = {
    "skeletal": ("Bones and joints", "骨骼系统"),
    "muscular": ("Muscles", "肌肉系统"),
    "cardiac": ("Heart", "心脏"),
    "vascular_arterial": ("Arteries", "动脉系统"),
    "vascular_venous": ("Veins", "静脉系统"),
    "digestive": ("Digestive system", "消化系统"),
    "lymphatic": ("Lymphatic system", "淋巴系统"),
    "urinary": ("Urinary system", "泌尿系统"),
    "respiratory": ("Respiratory system", "呼吸系统"),
    "nervous": ("Nervous system", "神经系统"),
    "endocrine": ("Endocrine system", "内分泌系统"),
    "reproductive": ("Reproductive system", "生殖系统"),
    "integument": ("Skin and fat", "皮肤与脂肪"),
    "lesion": ("Lesions", "病变"),
    "other": ("Other", "其他"),
}
ANATOMY = "123037004"  # SNOMED CT "Anatomical Structure", the category of region tables, which name none
SIDES = {"left": ("Left", "左"), "right": ("Right", "右")}
MISSPELT = {"75297007": "Gluteus minimus muscle"}  # "minius" in TotalSegmentator's table


@dataclass(frozen=True)
class Concept:
    """A SNOMED CT concept as DICOM segments name it: type code, its meaning, its category."""

    code: str
    meaning: str
    category: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", type=Path)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where the asset differs")
    options = parser.parse_args(arguments)
    text = terminology_toml(options.tables)
    if options.check:
        return int(not ASSET.exists() or ASSET.read_text(encoding="utf-8") != text)
    ASSET.parent.mkdir(exist_ok=True)
    ASSET.write_text(text, encoding="utf-8", newline="\n")
    print(f"{ASSET}: {text.count('[structures.')} structures")
    return 0


def terminology_toml(tables: Path) -> str:
    """The whole asset as text."""
    concepts, by_key = read_concepts(tables)
    lines = ["# Made by tools/build_terminology.py from tools/terminology.csv and the tables of SOURCES.md.", ""]
    for key, (name, name_zh) in SYSTEMS.items():
        lines += [f"[systems.{key}]", f"name = {quoted(name)}", f"name_zh = {quoted(name_zh)}", ""]
    for row in expanded_rows():
        lines += [*entry(row, concept_of(row, concepts, by_key)), ""]
    return "\n".join(lines)


def read_concepts(tables: Path) -> tuple[dict[str, Concept], dict[str, str]]:
    """Concepts by SNOMED CT code, and codes by TotalSegmentator class; of several tables DICOM's wording stands."""
    concepts: dict[str, Concept] = {}
    for name in ("DICOM-Master", "SlicerGeneralAnatomy"):
        path = tables / "terminology" / f"SegmentationCategoryTypeModifier-{name}.json"
        for category in json.loads(path.read_text(encoding="utf-8"))["SegmentationCodes"]["Category"]:
            for kind in category["Type"]:
                keep(concepts, kind, category["CodeValue"])
    path = tables / "terminology" / "AnatomicRegionAndModifier-DICOM-Master.json"
    for region in json.loads(path.read_text(encoding="utf-8"))["AnatomicCodes"]["AnatomicRegion"]:
        keep(concepts, region, ANATOMY)
    by_key: dict[str, str] = {}
    with (tables / "ct_abdomen_labels" / "totalsegmentator_snomed_mapping.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            kind = {part: row[f"SegmentedPropertyTypeCodeSequence.{part}"] for part in CODED}
            keep(concepts, kind, row["SegmentedPropertyCategoryCodeSequence.CodeValue"])
            by_key[row["Structure"]] = kind["CodeValue"]
    return concepts, by_key


CODED = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")


def keep(concepts: dict[str, Concept], kind: dict[str, str], category: str) -> None:
    scheme, code, meaning = (kind[part] for part in CODED)
    if scheme == "SCT":
        concepts.setdefault(code, Concept(code, MISSPELT.get(code, meaning), category))


def expanded_rows() -> Iterator[dict[str, str]]:
    """Rows of the CSV with every side and number spelled out."""
    with ROWS.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, restval=""):
            sides = list(SIDES) if "{side}" in row["key"] else [row["side"]]
            span = re.search(r"\{(\d+)\.\.(\d+)\}", row["key"])
            numbers = [str(n) for n in range(int(span[1]), int(span[2]) + 1)] if span else [""]
            colours = row["colour"].split("|")
            turn = 0
            for side in sides:
                for number in numbers:
                    spelled = {column: spell(text, side, number) for column, text in row.items()}
                    yield spelled | {"colour": colours[turn % len(colours)], "side": side}
                    turn += 1


def spell(text: str, side: str, number: str) -> str:
    name, name_zh = SIDES.get(side, ("", ""))
    text = re.sub(r"\{\d+\.\.\d+\}", number, text).replace("{n}", number)
    return text.replace("{side}", side).replace("{Side}", name).replace("{侧}", name_zh)


def concept_of(row: dict[str, str], concepts: dict[str, Concept], by_key: dict[str, str]) -> Concept:
    written = row["code"]
    if written == "-":
        return Concept("", "", "")
    code = by_key.get(written.lstrip("@") or row["key"], "") if written[:1] in ("", "@") else written
    if code not in concepts:
        raise SystemExit(f"{row['key']}: code {code or written!r} is in none of the tables")
    return concepts[code]


def entry(row: dict[str, str], concept: Concept) -> list[str]:
    """The lines of one structure."""
    if row["system"] not in SYSTEMS:
        raise SystemExit(f"{row['key']}: system {row['system']!r} is not one of {', '.join(SYSTEMS)}")
    lines = [f"[structures.{row['key']}]", f"name = {quoted(row['name'])}", f"name_zh = {quoted(row['name_zh'])}"]
    if concept.code:
        lines += [f"code = {quoted(concept.code)}", f"meaning = {quoted(concept.meaning)}"]
        lines += [f"category = {quoted(concept.category)}"]
    if row["side"]:
        lines.append(f"side = {quoted(row['side'])}")
    lines += [f"system = {quoted(row['system'])}", f"colour = {quoted(row['colour'])}"]
    lines.append(f"opacity = {float(row['opacity'] or 1.0)}")
    if row["aliases"]:
        lines.append(f"aliases = [{', '.join(quoted(alias) for alias in row['aliases'].split('|'))}]")
    return lines


def quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
