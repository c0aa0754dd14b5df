"""`anatomyxr export`: a model file of a case, verified before it is kept."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from meshing.casefile import DISCLAIMER, read_case
from meshing.exporting.selection import ExportSettings
from meshing.exporting.write import export
from meshing.progress import Progress
from viewer.commands.tables import table


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    settings = ExportSettings(structures=tuple(options.structures), budget=options.budget)
    report = export(read_case(options.case), options.model, settings, progress=progress)
    return {**asdict(report), "path": str(report.path), "disclaimer": DISCLAIMER}


def as_text(result: dict[str, Any]) -> str:
    rows = [
        (
            row["key"],
            row["triangles"],
            f"{row['volume_ml']:.2f}",
            f"{row['mean_deviation_mm']:.3f}",
            f"{row['max_deviation_mm']:.3f}",
        )
        for row in result["structures"]
    ]
    lines = table(("structure", "triangles", "ml", "mean dev. mm", "max dev. mm"), rows)
    verified = "verified against the case" if result["verified"] else "written (this format is not verified)"
    apart = [row["key"] for row in result["structures"] if row["is_apart"]]
    if apart:
        lines += ["", f"so few triangles parted the walls of {len(apart)} neighbours: {', '.join(apart[:10])}"]
    size = f"{result['path']}: {result['triangles']} triangles, {result['bytes'] / 1e6:.2f} MB, {verified}"
    return "\n".join([*lines, "", size, DISCLAIMER])
