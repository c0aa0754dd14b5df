"""`anatomyxr demo`: the main job on the built-in phantom, shown on one page."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from meshing.build import BuildSettings, Built, Stopwatch, surfaces_of
from meshing.case import Case
from meshing.casefile import DISCLAIMER, read_case, write_case
from meshing.exporting.selection import ExportSettings
from meshing.exporting.write import export
from meshing.phantoms import phantom
from meshing.progress import Progress, part
from viewer.commands.build import report
from viewer.page import write_page
from viewer.preflight import check_rendering
from viewer.render import picture, save_png
from viewer.scene import Choices, resolve

BUDGET = 250_000
"""Triangles of the demo: what a stand-alone headset of 2020 still draws with ease."""

PICTURES = (
    ("four-up.png", Choices(layout="four-up", size=(1600, 1200)), "Three slices and the surfaces made from them"),
    ("front.png", Choices(layout="3d", hidden=frozenset({"skin"}), size=(1200, 1000)), "From the front, without skin"),
    (
        "behind.png",
        Choices(layout="3d", hidden=frozenset({"skin"}), view="posterior", size=(1200, 1000)),
        "From behind, without skin",
    ),
)


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    check_rendering()
    start = time.perf_counter()
    built = _built_phantom(part(progress, 0.0, 0.5))
    folder: Path = options.out
    write_case(folder / "case", built.case)
    case = read_case(folder / "case")
    model = export(case, folder / "abdomen.glb", ExportSettings(), progress=part(progress, 0.5, 0.7))
    for done, (file, choices, _) in enumerate(PICTURES):
        progress(0.7 + 0.1 * done, f"drawing {file}")
        save_png(folder / file, picture(resolve(case, choices), choices.size))
    made = report(built)
    made["seconds"]["all"] = round(time.perf_counter() - start, 2)
    colours = {segment.key: _hex(segment.structure.colour) for segment in case.segments.values()}
    page = folder / "index.html"
    shown = {**made, "title": "Abdomen phantom", "colours": colours}
    write_page(page, shown, [(file, caption) for file, _, caption in PICTURES], asdict(model))
    return {
        "page": str(page),
        "case": str(folder / "case"),
        "model": str(folder / "abdomen.glb"),
        "pictures": [str(folder / file) for file, _, _ in PICTURES],
        "verified": model.verified,
        **made,
    }


def _built_phantom(progress: Progress) -> Built:
    """The phantom's scan and its exact labels, as if they came from disk."""
    watch = Stopwatch()
    with watch.stage("phantom"):
        made = phantom("abdomen", progress=part(progress, 0.0, 0.6))
    with watch.stage("surfaces"):
        segmentations = {"main": made.segmentation}
        surfaces = surfaces_of(segmentations, BuildSettings(budget=BUDGET), progress=part(progress, 0.6, 1.0))
    case = Case("demo-abdomen", {"scan": made.volume}, segmentations, surfaces)
    return Built(case, watch.seconds, {})


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour)


def as_text(result: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"{result['page']}: {len(result['structures'])} structures in {result['seconds']['all']:.1f} s",
            f"{result['model']}: verified against the case",
            DISCLAIMER,
        ]
    )
