"""`anatomyxr labels`: what the labels of a file mean, and a file in which that can be corrected."""

from __future__ import annotations

import argparse
from typing import Any

from meshing.atomic import write_bytes
from meshing.errors import SegmentationError
from meshing.importing.labels.listing import ListedLabel, list_labels
from meshing.importing.labels.naming import printable
from meshing.names import KEEP, SURE, corrections_toml
from meshing.progress import Progress
from viewer.commands.choices import limits_of, naming_of
from viewer.commands.tables import table

_HOW_SURE = (
    f"Confidence is an order, no probability; below {SURE} nothing is matched, and the label keeps its own name."
)


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    if options.write is not None and options.write.exists():
        raise SegmentationError(
            "that file exists and may hold corrections", where=options.write, hint="name a new file after --write"
        )
    listed = list_labels(options.path, naming_of(options), limits=limits_of(options), progress=progress)
    if options.write is not None:
        write_bytes(options.write, _template(listed, printable(options.path.name)).encode(), SegmentationError)
    rows = [_row(label) for label in listed]
    return {
        "path": str(options.path),
        "labels": rows,
        "matched": sum(1 for row in rows if row["key"]),
        "unmatched": [row["name"] or str(row["number"]) for row in rows if not row["key"] and not row["is_left_out"]],
        "sure": SURE,
        "written": str(options.write) if options.write else None,
    }


def _row(label: ListedLabel) -> dict[str, Any]:
    match, structure = label.match, label.match.structure
    return {
        "number": label.number,
        "layer": label.layer,
        "name": label.name,
        "key": structure.key if structure else None,
        "matched_name": structure.name if structure else None,
        "matched_name_zh": structure.name_zh if structure else None,
        "code": structure.code if structure else "",
        "how": match.how,
        "confidence": match.confidence,
        "is_left_out": match.is_left_out,
        "rivals": [{"key": rival.key, "name": rival.name, "name_zh": rival.name_zh} for rival in match.rivals],
        "voxels": label.voxels,
        "volume_ml": label.volume_ml,
    }


def _template(listed: tuple[ListedLabel, ...], of: str) -> str:
    rows = []
    for label in listed:
        match = label.match
        remark = f"{match.how}, {match.confidence:.2f}" if match.structure else ""
        if match.rivals and not match.structure:
            remark = "nearest: " + ", ".join(rival.key for rival in match.rivals)
        key = match.structure.key if match.structure else "" if match.is_left_out else KEEP
        rows.append((label.name or label.number, key, remark))
    return corrections_toml(rows, f"What the labels of {of} mean, as far as known.")


def as_text(result: dict[str, Any]) -> str:
    drawn = [row for row in result["labels"] if row["voxels"]]
    known = [row for row in drawn if row["key"]]
    unknown = [row for row in drawn if not row["key"]]
    lines = [f"{result['path']}: {len(drawn)} labels, {len(known)} matched, {len(unknown)} not", ""]
    if known:
        header = ("name in the file", "label", "structure", "名称", "SNOMED CT", "how", "confidence", "voxels", "ml")
        lines += [*table(header, [_known_cells(row) for row in known], (0, 2, 3, 5)), ""]
    if unknown:
        lines += [
            *table(
                ("not matched", "label", "voxels", "ml", "nearest"), [_unknown_cells(row) for row in unknown], (0, 4)
            ),
            "",
        ]
    if len(drawn) < len(result["labels"]):
        lines.append(f"{len(result['labels']) - len(drawn)} more names have no voxel.")
    if any(not row["name"] and row["how"] == "none" for row in unknown):
        lines.append("Labels without a name: if a program numbered them, say which: --scheme totalsegmentator.")
    lines.append(_HOW_SURE)
    if result["written"]:
        lines.append(
            f"Written to {result['written']}: correct it there, and give it to --corrections or build --names."
        )
    return "\n".join(lines)


def _known_cells(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["name"] or "–",
        row["number"],
        row["matched_name"],
        row["matched_name_zh"],
        row["code"] or "–",
        row["how"],
        f"{row['confidence']:.2f}",
        row["voxels"],
        f"{row['volume_ml']:.2f}",
    )


def _unknown_cells(row: dict[str, Any]) -> tuple[object, ...]:
    nearest = ", ".join(f"{rival['name']} {rival['name_zh']}" for rival in row["rivals"])
    said = (
        "left out" if row["is_left_out"] else "own name, as corrected" if row["how"] == "correction" else nearest or "–"
    )
    return row["name"] or "–", row["number"], row["voxels"], f"{row['volume_ml']:.2f}", said
