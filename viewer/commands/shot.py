"""`anatomyxr shot`: a picture of a case."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from meshing.case import Case
from meshing.casefile import read_case
from meshing.errors import AnatomyError
from meshing.plan import Point
from meshing.progress import Progress
from viewer.preflight import check_rendering
from viewer.render import picture, save_png
from viewer.scene import Choices, keys_of, resolve


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    case = read_case(options.case)
    if options.centre is not None:
        _require_inside(case, options.centre)
    hidden, only = frozenset(keys_of(case, options.hide)), frozenset(keys_of(case, options.only))
    if only and only <= hidden:
        raise AnatomyError(
            f"all {len(only)} structures of --only are hidden", where="--hide", hint="name other structures"
        )
    choices = Choices(
        layout=options.layout,
        hidden=hidden,
        only=only or None,
        window=options.window,
        centre_mm=options.centre,
        view=options.view,
        overlay=options.overlay,
        sheets=frozenset(options.sheet),
        language=options.language,
        size=options.size,
        is_confidence_shown=options.confidence,
    )
    progress(0.1, "arranging")
    scene = resolve(case, choices)
    if options.layout != "slices":
        check_rendering()
    progress(0.3, "drawing")
    save_png(options.picture, picture(scene, options.size))
    return {"path": str(options.picture), "bytes": options.picture.stat().st_size, "layout": options.layout}


def _require_inside(case: Case, centre_mm: Point) -> None:
    grid = case.scan.grid
    index = grid.to_voxel(centre_mm)
    if (index < -0.5).any() or (index > np.array(grid.shape) - 0.5).any():
        corners = grid.to_patient([(0, 0, 0), [n - 1 for n in grid.shape]])
        raise AnatomyError(
            f"the slices would cross outside the scan: {centre_mm} mm",
            where="--centre",
            hint=f"the scan reaches from {corners.min(axis=0).round(1)} to {corners.max(axis=0).round(1)} mm LPS",
        )


def as_text(result: dict[str, Any]) -> str:
    return f"{result['path']} ({result['layout']}, {result['bytes'] / 1e3:.0f} kB)"
