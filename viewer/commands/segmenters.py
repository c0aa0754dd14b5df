"""`anatomyxr segmenters`: presets, plug-ins and models, each with its licence and what it lacks."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from meshing.ai.catalogue import catalogue
from meshing.progress import Progress
from viewer.commands.tables import table

_NAMED = 4


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    rows = catalogue(options.model)
    return {"segmenters": [{**asdict(row), "is_available": row.is_available} for row in rows]}


def as_text(result: dict[str, Any]) -> str:
    rows = result["segmenters"]
    offered = [row for row in rows if row["kind"] != "not offered"]
    header = ("segmenter", "名称", "kind", "for", "ready", "structures", "licence")
    lines = table(
        header,
        [
            (
                row["name"],
                row["title_zh"],
                row["kind"],
                row["modality"] or "any",
                "yes" if row["is_available"] else "no",
                _listed(row["structures"]),
                row["licence"],
            )
            for row in offered
        ],
    )
    lacking = [row for row in offered if not row["is_available"]]
    if lacking:
        lines += ["", "What is missing:", *(f"  {row['name']}: {row['missing']}" for row in lacking)]
    closed = [row for row in rows if row["kind"] == "not offered"]
    if closed:
        names = ", ".join(row["name"].partition(":")[2] for row in closed)
        lines += ["", f"TotalSegmentator tasks not offered ({closed[0]['missing']}): {names}"]
    return "\n".join([*lines, "", "What a model draws is its opinion, not the truth: look at it before you use it."])


def _listed(structures: list[str] | tuple[str, ...]) -> str:
    if len(structures) <= _NAMED:
        return ", ".join(structures)
    return f"{', '.join(structures[:2])} and {len(structures) - 2} more"
