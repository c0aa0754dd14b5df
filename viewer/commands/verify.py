"""`anatomyxr verify`: a GLB held against its case; exit code 1 when they differ."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from meshing.casefile import read_case
from meshing.exporting.verify import verify_glb
from meshing.progress import Progress


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    case = read_case(options.of_case) if options.of_case else None
    found = verify_glb(options.model, case)
    if not found.ok:
        sys.stderr.write(
            f"anatomyxr: {len(found.problems)} problems ({options.model})\nTry: export it again from its case\n"
        )
    return {
        "path": str(options.model),
        "ok": found.ok,
        "problems": [asdict(problem) for problem in found.problems],
        "warnings": list(found.warnings),
        "structures": [asdict(structure) for structure in found.structures],
        "exit": 0 if found.ok else 1,
    }


def as_text(result: dict[str, Any]) -> str:
    lines = [f"PROBLEM {problem['kind']}: {problem['text']}" for problem in result["problems"]]
    lines += [f"warning: {warning}" for warning in result["warnings"]]
    verdict = "right" if result["ok"] else "WRONG"
    return "\n".join([*lines, f"{result['path']}: {len(result['structures'])} structures, {verdict}"])
