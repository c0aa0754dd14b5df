"""`anatomyxr info`: what a scan offers, or what a case holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from meshing.casefile import is_case, read_case
from meshing.describe import fact_row, grid_row, structure_rows
from meshing.importing.scan import survey
from meshing.progress import Progress
from viewer.commands.choices import limits_of
from viewer.commands.tables import table


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    if is_case(options.path):
        case = read_case(options.path)
        return {
            "case": str(options.path),
            "structures": structure_rows(case),
            "grid": grid_row(case.scan.grid),
            "facts": [fact_row(fact) for fact in case.facts],
            "plan_revision": case.plan.revision,
        }
    found = survey(options.path, limits=limits_of(options), progress=progress)
    return {"scan": str(options.path), "series": [asdict(series) for series in found]}


def as_text(result: dict[str, Any]) -> str:
    if "series" in result:
        return "\n".join(_series_lines(result["series"]))
    rows = [
        (
            row["name"],
            row["name_zh"],
            f"{row['volume_ml']:.2f}",
            f"{row['volume_spread_ml']:.2f}",
            row["triangles"],
            row["code"],
        )
        for row in result["structures"]
    ]
    lines = table(("structure", "名称", "ml", "± half a voxel", "triangles", "SNOMED CT"), rows)
    return "\n".join([*lines, "", *(f"· {fact['text']}" for fact in result["facts"])])


def _series_lines(series: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            row["ordinal"],
            row["kind"],
            row["modality"],
            "×".join(str(n) for n in row["shape"]) or "–",
            "×".join(f"{mm:.3g}" for mm in row["spacing_mm"]) or "–",
            row["phases"],
            "yes" if row["usable"] else "no",
            row["note"],
        )
        for row in series
    ]
    return table(("series", "kind", "modality", "voxels", "spacing mm", "phases", "usable", "note"), rows)
