"""`anatomyxr build`: a scan becomes a case folder."""

from __future__ import annotations

import argparse
import json
from typing import Any

from meshing.ai.runner import ChildLimits
from meshing.atomic import write_bytes
from meshing.build import BuildSettings, Built, build
from meshing.case import Case
from meshing.casefile import DISCLAIMER, is_case, write_case
from meshing.describe import crossings_between, fact_row, grid_row, quality_rows, structure_rows
from meshing.errors import CaseError, SegmentationError, SurfaceError
from meshing.extract import Extraction
from meshing.importing.scan import SeriesChoice
from meshing.nets.make import NetSettings
from meshing.organs.together import requests_for
from meshing.progress import Progress, part
from meshing.segmenters.levels import Level
from viewer.commands.choices import limits_of, naming_of
from viewer.commands.tables import table


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    _refuse_contradictions(options)
    settings = BuildSettings(
        preset=options.preset,
        labels=options.labels,
        naming=naming_of(options),
        model=options.model,
        model_limits=ChildLimits(seconds=options.model_seconds),
        levels=tuple(Level(value, name) for value, name in options.level),
        choice=SeriesChoice(series=options.series, phase=options.phase, gaps=options.gaps),
        seeds_mm=tuple(options.seed),
        clicks=requests_for(options.click, options.outside, options.box),
        extraction=Extraction(options.method, NetSettings(is_fine=options.fine)),
        edges=options.edges,
        budget=options.budget,
        limits=limits_of(options),
    )
    built = build(options.scan, settings, progress=part(progress, 0.0, 0.95))
    if options.keep_link:  # before the case: a rebuild would make other identifiers
        write_bytes(options.keep_link, json.dumps(dict(built.original_identifiers), indent=1).encode(), CaseError)
    write_case(options.case, built.case, progress=part(progress, 0.95, 1.0))
    quality = _quality(built.case) if options.quality else {}
    return {"case": str(options.case), **report(built), **quality}


def _refuse_contradictions(options: argparse.Namespace) -> None:
    if (options.edges == "image" or options.fine) and options.method != "nets":
        raise SurfaceError("marching cubes know neither --fine nor --edges image", hint="leave --method out")
    if options.edges == "image" and options.fine:
        raise SurfaceError("--fine follows the labels, --edges image the scan", hint="choose one of the two")
    if (
        (options.edges == "image" or options.fine)
        and options.level
        and not (options.preset or options.labels or options.model)
    ):
        raise SurfaceError(
            "surfaces at grey levels know neither --fine nor --edges image", hint="leave it out, or give --preset too"
        )
    if (options.corrections or options.scheme) and not options.labels:
        raise SegmentationError("--names and --scheme are about labels, and none are given", hint="give --labels too")
    if is_case(options.scan):
        raise CaseError("that is a case, not a scan", where=options.scan, hint="see what it holds: anatomyxr info CASE")
    if options.keep_link and options.keep_link.resolve().is_relative_to(options.case.resolve()):
        raise CaseError(
            "the link file would lie inside the case", where=options.keep_link, hint="name a file elsewhere"
        )


def report(built: Built) -> dict[str, Any]:
    """The JSON object of a fresh case."""
    return {
        "structures": structure_rows(built.case),
        "grid": grid_row(built.case.scan.grid),
        "facts": [fact_row(fact) for fact in built.case.facts],
        "seconds": dict(built.seconds),
        "disclaimer": DISCLAIMER,
    }


def _quality(case: Case) -> dict[str, Any]:
    return {"quality": quality_rows(case), "crossings": crossings_between(case)}


def as_text(result: dict[str, Any]) -> str:
    grid = result["grid"]
    shape = " × ".join(str(n) for n in grid["shape"])
    spacing = " × ".join(f"{mm:.3g}" for mm in grid["spacing_mm"])
    lines = [f"{result['case']}: {shape} voxels of {spacing} mm", ""]
    lines += table(
        ("structure", "ml", "± half a voxel", "voxels ml", "triangles", "closed", "manifold"),
        [
            (
                row["name"],
                f"{row['volume_ml']:.2f}",
                f"{row['volume_spread_ml']:.2f}",
                f"{row['voxel_volume_ml']:.2f}",
                row["triangles"],
                "yes" if row["closed"] else "NO",
                "yes" if row["manifold"] else "NO",
            )
            for row in result["structures"]
        ],
    )
    if "quality" in result:
        lines += [
            "",
            *_quality_table(result["quality"]),
            f"triangles that cross, neighbours' too: {result['crossings']}",
        ]
    lines += ["", *(f"· {fact['text']}" for fact in result["facts"])]
    lines += ["", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result["seconds"].items())]
    return "\n".join([*lines, DISCLAIMER])


def _quality_table(rows: list[dict[str, Any]]) -> list[str]:
    """Distances are to the surface before decimation; the volume is held against the voxels."""
    header = ("structure", "volume against voxels", "mean mm", "max mm", "triangles", "closed", "manifold", "crossings")
    return table(
        header,
        [
            (
                row["name"],
                f"{100 * row['volume_change']:+.2f} %",
                f"{row['mean_deviation_mm']:.3f}" if row["is_decimated"] else "–",
                f"{row['max_deviation_mm']:.3f}" if row["is_decimated"] else "–",
                row["triangles"],
                "yes" if row["closed"] else "NO",
                "yes" if row["manifold"] else "NO",
                row["crossings"],
            )
            for row in rows
        ],
    )
