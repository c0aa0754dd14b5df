"""`anatomyxr vessels`: the branches of a vessel, its narrow places, and a picture of it laid straight."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from meshing.case import Case
from meshing.casefile import DISCLAIMER, read_case, save_plan
from meshing.describe import fact_row
from meshing.drawing import CLICKS
from meshing.errors import VesselError
from meshing.exporting.vesseltree import branch_row, loop_rows, node_row, write_tree
from meshing.plan import with_part
from meshing.progress import Progress, part
from meshing.segmentation import Segmentation
from meshing.terminology import Structure
from meshing.vessels import Stenosis, VesselTree, bifurcation_angles, routes, stenosis, vessel_tree
from meshing.volume import Fact, is_same_grid
from viewer.commands.tables import table
from viewer.scene import keys_of
from viewer.words import word

_LONG_ENOUGH = 3.0  # diameters of its own length that a branch needs to hold a narrow place and its reference


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    case = read_case(options.case)
    key = _one_key(case, options.structure)
    drawn_by, segmentation = _segmentation_of(case, key)
    image = case.scan if options.edges == "image" and is_same_grid(case.scan.grid, segmentation.grid) else None
    tree = vessel_tree(
        segmentation.mask(key),
        segmentation.grid,
        image=image,
        roots_mm=tuple(options.root),
        tips_mm=tuple(options.tip),
        progress=part(progress, 0.0, 0.7),
    )
    narrow, not_judged = _narrow_places(tree, options.reference) if drawn_by != CLICKS else ([], len(tree.branches))
    if options.out:
        write_tree(options.out, tree)
    if options.cpr:
        from viewer.preflight import check_rendering
        from viewer.render import save_png
        from viewer.vesselpage import vessel_page

        check_rendering()
        progress(0.8, "drawing")
        save_png(options.cpr, vessel_page(case, key, tree, narrow, language=options.language, size=options.size))
    if options.save:
        plan = case.plan
        for route in routes(tree, key):
            plan = with_part(plan, route)
        save_plan(options.case, replace(plan, revision=case.plan.revision + 1))
    return {
        "structure": key,
        "language": options.language,
        "voxel_mm": list(tree.voxel_mm),
        "wall": "image" if image is not None else "labels",
        "radius_uncertainty_mm": tree.radius_uncertainty_mm,
        "branches": [branch_row(branch) for branch in tree.branches],
        "nodes": [node_row(tree, number) for number in range(len(tree.nodes))],
        "bifurcations": [asdict(fork) for fork in bifurcation_angles(tree)],
        "loops": loop_rows(tree),
        "stenoses": [asdict(one) for one in narrow],
        "branches_not_judged": not_judged,
        "facts": [fact_row(fact) for fact in (*tree.facts, *_cautions(segmentation.segment(key).structure, drawn_by))],
        "files": [str(path) for path in (options.out, options.cpr) if path],
        "saved": len(tree.tips) if options.save else 0,
        "disclaimer": DISCLAIMER,
    }


def _one_key(case: Case, name: str) -> str:
    keys = keys_of(case, [name])
    if len(keys) > 1:
        raise VesselError(f"{name!r} means {len(keys)} structures", where=case.id, hint="one of: " + ", ".join(keys))
    return keys[0]


def _segmentation_of(case: Case, key: str) -> tuple[str, Segmentation]:
    """The segmentation that holds it, and its name."""
    for name, segmentation in case.segmentations.items():
        if any(segment.key == key for segment in segmentation.segments):
            return name, segmentation
    raise VesselError(f"{key} has a surface but no voxels", where=case.id, hint="build the case with a segmentation")


def _cautions(structure: Structure, drawn_by: str) -> Iterator[Fact]:
    """What whoever reads the numbers must know of where they come from."""
    if drawn_by == CLICKS:
        text = (
            "followed from clicks: its wall is drawn smooth where no edge shows, so narrow places are not judged, "
            "and radii are no surer than the facts of the case say"
        )
        yield Fact("clicks", text, {"key": structure.key})
    if not structure.system.startswith("vascular"):
        yield Fact("no vessel", f"{structure.name.lower()} is no vessel; its tree means little", {"key": structure.key})


def _narrow_places(tree: VesselTree, reference: Any) -> tuple[list[Stenosis], int]:
    """The narrow places that are beyond doubt, the tightest first; how many branches could not be judged."""
    found, not_judged = [], 0
    for branch in tree.branches:
        if branch.own_length_mm < _LONG_ENOUGH * 2.0 * branch.mean_radius_mm:
            not_judged += 1
            continue
        try:
            one = stenosis(tree, branch.number, reference=reference)
        except VesselError:  # its narrowest place lies at an end: nothing beyond it to hold it against
            not_judged += 1
            continue
        if one.is_beyond_doubt:
            found.append(one)
    return sorted(found, key=lambda one: -one.diameter_percent), not_judged


def as_text(result: dict[str, Any]) -> str:
    language = result["language"]
    kinds = [node["kind"] for node in result["nodes"]]
    lines = [
        word("vessel_counts", language).format(
            structure=result["structure"],
            branches=len(result["branches"]),
            roots=kinds.count("root"),
            forks=kinds.count("bifurcation"),
            tips=kinds.count("tip"),
            loops=len(result["loops"]),
        ),
        "",
        *_branch_table(result),
    ]
    lines += ["", *(_narrow_table(result) if result["stenoses"] else [word("vessel_no_stenosis", language)])]
    lines.append(
        word("vessel_not_judged", language).format(count=result["branches_not_judged"], all=len(result["branches"]))
    )
    for loop in result["loops"]:
        lines.append(
            word("vessel_loop", language).format(
                at=", ".join(f"{value:.1f}" for value in loop["cut_mm"]),
                length=f"{loop['length_mm']:.1f}",
                radius=f"{loop['least_radius_mm']:.2f}",
                one=loop["between"][0],
                other=loop["between"][1],
            )
        )
    lines += [f"· {fact['text']}" for fact in result["facts"]]
    lines += [
        "",
        word("vessel_how", language).format(
            uncertainty=f"{result['radius_uncertainty_mm']:.2f}",
            voxel=" × ".join(f"{edge:.2f}" for edge in result["voxel_mm"]),
        ),
    ]
    lines += result["files"]
    return "\n".join([*lines, result["disclaimer"]])


def _branch_table(result: dict[str, Any]) -> list[str]:
    names = ("branch", "parent", "generation", "strahler", "length", "own_length", "mean_diameter", "least_diameter")
    header = [word(f"vessel_{name}", result["language"]) for name in (*names, "tortuosity", "angle")]
    turns = {
        child: turn
        for fork in result["bifurcations"]
        for child, turn in zip(fork["children"], fork["turn_deg"], strict=False)
    }
    doubt = f"{2.0 * result['radius_uncertainty_mm']:.1f}"
    rows = [
        (
            branch["number"],
            "–" if branch["parent"] is None else branch["parent"],
            branch["generation"],
            branch["strahler"],
            f"{branch['length_mm']:.1f}",
            f"{branch['own_length_mm']:.1f}",
            f"{2.0 * branch['mean_radius_mm']:.1f} ± {doubt}",
            f"{2.0 * branch['least_radius_mm']:.1f} ± {doubt}",
            "–" if branch["tortuosity"] is None else f"{branch['tortuosity']:.3f}",
            f"{turns[branch['number']]:.0f}" if branch["number"] in turns else "–",
        )
        for branch in result["branches"]
    ]
    return table(header, rows)


def _narrow_table(result: dict[str, Any]) -> list[str]:
    names = ("branch", "along", "least", "reference", "by_diameter", "by_area", "lesion_length")
    header = [word(f"vessel_{name}", result["language"]) for name in names]
    rows = [
        (
            one["branch"],
            f"{one['arc_mm']:.1f}",
            f"{one['diameter_mm']:.1f}",
            f"{one['reference_diameter_mm']:.1f} ({word('vessel_' + one['reference'], result['language'])})",
            f"{one['diameter_percent']:.0f} ± {one['uncertainty_percent']:.0f}",
            f"{one['area_percent']:.0f}",
            f"{one['length_mm']:.1f}",
        )
        for one in result["stenoses"]
    ]
    return table(header, rows)
