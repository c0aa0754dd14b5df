"""`anatomyxr sample`: public sample scans by name, each checked by its sha256."""

from __future__ import annotations

import argparse
from typing import Any

from meshing.progress import Progress
from meshing.samples import fetch, samples
from viewer.commands.tables import table


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    if options.name == "list":
        rows = [
            {"name": s.name, "file": s.file, "bytes": s.bytes, "what": s.what, "licence": s.licence} for s in samples()
        ]
        return {"samples": rows}
    path = fetch(options.name, options.out, source=options.source, progress=progress)
    return {"name": options.name, "path": str(path)}


def as_text(result: dict[str, Any]) -> str:
    if "path" in result:
        return str(result["path"])
    rows = [(row["name"], f"{row['bytes'] / 1e6:.2f}", row["licence"], row["what"]) for row in result["samples"]]
    return "\n".join(table(("name", "MB", "licence", "what"), rows))
