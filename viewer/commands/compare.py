"""`anatomyxr compare`: how far label files of one scan agree."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from string import ascii_uppercase
from typing import Any

from meshing.casefile import DISCLAIMER
from meshing.compare import MOST_GRADERS, NOT_TRUTH, CompareSettings, Comparison, Pair, compare, who_lie_apart
from meshing.describe import fact_row, grid_row
from meshing.errors import SegmentationError
from meshing.importing.labels.graders import read_graders
from meshing.progress import Progress, part
from viewer.commands.choices import limits_of, naming_of
from viewer.commands.differ import draw_differences
from viewer.commands.tables import table


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    paths = [options.reference, *options.others]
    if not options.picture and (options.scan or options.structure):
        raise SegmentationError("--scan and --structure are about the picture", hint="give --picture FILE.png too")
    if len(paths) > MOST_GRADERS:
        raise SegmentationError(f"{len(paths)} label files", hint=f"compare at most {MOST_GRADERS} at once")
    drawn = read_graders(paths, naming=naming_of(options), limits=limits_of(options), progress=part(progress, 0.0, 0.4))
    graders = dict(zip(ascii_uppercase, (segmentation for segmentation, _ in drawn), strict=False))
    settings = CompareSettings(tolerance_mm=options.tolerance, margin_mm=options.margin)
    found = compare(graders, settings, progress=part(progress, 0.4, 0.7 if options.picture else 1.0))
    if options.picture:
        draw_differences(options, graders, found, part(progress, 0.7, 1.0))
    return {
        "graders": [
            {
                "name": name,
                "path": str(path),
                "source": segmentation.source,
                "facts": [fact_row(fact) for fact in facts],
            }
            for name, path, (segmentation, facts) in zip(graders, paths, drawn, strict=True)
        ],
        "grid": grid_row(drawn[0][0].grid),
        **_measured(found),
        "warnings": [
            f"{one} and {other} share almost nothing of any structure (best Dice {dice:.3f}): "
            "they may belong to different scans, or the header of one may place it wrong"
            for one, other, dice in who_lie_apart(found)
        ],
        "picture": str(options.picture) if options.picture else None,
        "note": NOT_TRUTH,
        "disclaimer": DISCLAIMER,
    }


def _measured(found: Comparison) -> dict[str, Any]:
    structures = [
        {**asdict(structure), "pairs": [_pair_row(pair) for pair in structure.pairs]} for structure in found.structures
    ]
    return {**asdict(found.settings), "structures": structures}


def _pair_row(pair: Pair) -> dict[str, Any]:
    """A flat row; what could not be measured is None."""
    row = asdict(pair)
    apart = row.pop("distances") or dict.fromkeys(("hausdorff_mm", "hd95_mm", "assd_mm", "surface_dice"))
    return {**row, "difference_ml": pair.difference_ml, "difference_percent": pair.difference_percent, **apart}


def as_text(result: dict[str, Any]) -> str:
    lines = [f"{grader['name']} = {grader['path']}, {grader['source']}" for grader in result["graders"]]
    lines += _fact_lines(result["graders"])
    lines += ["", *_pair_table(result["structures"], result["tolerance_mm"])]
    lines += _missing_lines(result["structures"])
    lines += [f"warning: {warning}" for warning in result["warnings"]]
    if any(structure["consensus"] for structure in result["structures"]):
        lines += ["", *_consensus_table(result["structures"])]
    if result["picture"]:
        lines += ["", f"picture: {result['picture']}"]
    lines += ["", _how(result), result["note"], result["disclaimer"]]
    return "\n".join(lines)


def _fact_lines(graders: list[dict[str, Any]]) -> list[str]:
    lines = [f"· {grader['name']}: {fact['text']}" for grader in graders for fact in grader["facts"]]
    return [*lines, "· (the scan's grid is here that of A)"] if lines else []


def _pair_table(structures: list[dict[str, Any]], tolerance_mm: float) -> list[str]:
    header = ("structure", "pair", "ml", "ml", "difference ml", "%", "Dice", "kappa", "HD95 mm", "Hausdorff mm")
    rows = [
        (
            structure["name"],
            f"{pair['reference']} {pair['other']}",
            *_volume_cells(pair),
            _number(pair["dice"], ".3f"),
            _number(pair["kappa"], ".3f"),
            _number(pair["hd95_mm"], ".2f"),
            _number(pair["hausdorff_mm"], ".2f"),
            _number(pair["assd_mm"], ".3f"),
            _number(pair["surface_dice"], ".3f"),
        )
        for structure in structures
        for pair in structure["pairs"]
        if pair["reference_ml"] or pair["other_ml"]
    ]
    return table((*header, "ASSD mm", f"surface Dice at {tolerance_mm:g} mm"), rows)


def _volume_cells(pair: dict[str, Any]) -> tuple[str, ...]:
    """Both volumes and their difference; who drew nothing differs by no percentage."""
    volumes = (pair["reference_ml"], pair["other_ml"])
    cells = tuple(f"{ml:.2f}" if ml else "not drawn" for ml in volumes)
    if not all(volumes):
        return (*cells, "–", "–")
    return (*cells, f"{pair['difference_ml']:+.2f}", _number(pair["difference_percent"], "+.1f"))


def _missing_lines(structures: list[dict[str, Any]]) -> list[str]:
    return [
        f"{structure['name']}: drawn by {', '.join(structure['drawn_by']) or 'nobody'}, "
        f"not by {', '.join(structure['missing_in'])}"
        for structure in structures
        if structure["missing_in"]
    ]


def _consensus_table(structures: list[dict[str, Any]]) -> list[str]:
    header = ("structure", "Fleiss' kappa", "consensus ml", "grader", "sensitivity", "specificity", "Dice to consensus")
    rows = [
        (
            structure["name"],
            _number(structure["fleiss_kappa"], ".3f"),
            f"{structure['consensus']['volume_ml']:.2f}",
            grader["grader"],
            f"{grader['sensitivity']:.4f}",
            f"{grader['specificity']:.4f}",
            _number(grader["dice"], ".3f"),
        )
        for structure in structures
        if structure["consensus"]
        for grader in structure["consensus"]["graders"]
    ]
    return table(header, rows)


def _how(result: dict[str, Any]) -> str:
    return (
        "Distances lie between the faces of boundary voxels and know no more than a voxel does; between curved walls "
        "ASSD comes out up to 0.6 voxel short. Kappa, specificity and "
        f"the consensus count the voxels of the box around what was drawn and {result['margin_mm']:g} mm beyond."
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
