"""What a case holds, as JSON-ready rows: the tables of `build --json`, `info` and the report page."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshing.case import Case
from meshing.segmentation import segment_volumes
from meshing.split import together
from meshing.surface import Surface, area_mm2, check
from meshing.triangles.crossings import crossings
from meshing.volume import Fact, Grid

Row = dict[str, Any]


def structure_rows(case: Case) -> list[Row]:
    """One row per segment: names, code, volumes of surface and voxels, and what the check of its surface found."""
    rows = []
    for name, segmentation in case.segmentations.items():
        volumes = segment_volumes(segmentation)
        for segment in segmentation.segments:
            row: Row = {
                "key": segment.key,
                "label": segment.label,
                "name": segment.structure.name,
                "name_zh": segment.structure.name_zh,
                "code": segment.structure.code,
                "side": segment.structure.side,
                "system": segment.structure.system,
                "segmentation": name,
                "inside": segment.inside,
                "voxel_volume_ml": volumes[segment.key].inclusive_ml,
                "exclusive_volume_ml": volumes[segment.key].exclusive_ml,
            }
            rows.append(row | _surface_row(case, segment.key))
    return rows


def _surface_row(case: Case, key: str) -> Row:
    surface = case.surfaces.get(key)
    if surface is None:
        return {"volume_ml": 0.0, "volume_spread_ml": 0.0, "triangles": 0, "closed": False, "manifold": False}
    found = check(surface)
    deviation = surface.deviation
    return {
        "volume_ml": found.volume_ml,
        "volume_spread_ml": volume_spread_ml(case, key),
        "raw_volume_ml": surface.raw_volume_ml,
        "triangles": found.triangles,
        "closed": found.is_closed,
        "manifold": found.is_manifold,
        "mean_deviation_mm": deviation.mean_mm if deviation else 0.0,
        "max_deviation_mm": deviation.max_mm if deviation else 0.0,
    }


def crossings_between(case: Case) -> int:
    """Pairs of triangles that run through each other, within structures and between those of one label layer."""
    layers: dict[tuple[str, int], list[Surface]] = {}
    for name, segmentation in case.segmentations.items():
        for segment in segmentation.segments:
            if segment.key in case.surfaces:
                layers.setdefault((name, segment.layer), []).append(case.surfaces[segment.key])
    walls = [together(surfaces) for surfaces in layers.values()]
    return sum(len(crossings(wall.vertices, wall.faces)) for wall in walls)


def quality_rows(case: Case) -> list[Row]:
    """One row per surface: what smoothing and decimation did to it, and whether it is sound."""
    rows = []
    for row in structure_rows(case):
        surface = case.surfaces.get(row["key"])
        if surface is None:
            continue
        voxels = row["voxel_volume_ml"]
        rows.append(
            {
                "name": row["name"],
                "voxel_volume_ml": voxels,
                "volume_ml": row["volume_ml"],
                "volume_change": row["volume_ml"] / voxels - 1 if voxels else 0.0,
                "is_decimated": surface.deviation is not None,
                "mean_deviation_mm": row["mean_deviation_mm"],
                "max_deviation_mm": row["max_deviation_mm"],
                "triangles": row["triangles"],
                "closed": row["closed"],
                "manifold": row["manifold"],
                "crossings": len(crossings(surface.vertices, surface.faces)),
            }
        )
    return rows


def volume_spread_ml(case: Case, key: str) -> float:
    """How much the volume changes when the surface moves by half a voxel all round, in ml.

    No drawing on voxels knows its boundary better, and surfaces after the scan's edges rest on one; what the drawer got
    wrong comes on top.
    """
    surface = case.surface(key)
    made_from = case.segmentations.get(surface.made_from)
    grid = made_from.grid if made_from else case.scan.grid
    return float(area_mm2(surface) * np.cbrt(grid.voxel_volume_mm3) / 2 / 1000.0)


def grid_row(grid: Grid) -> Row:
    """Shape, spacing, origin and direction (columns are i, j, k) in LPS."""
    return {
        "shape": list(grid.shape),
        "spacing_mm": grid.spacing_mm.tolist(),
        "origin_mm": grid.origin_mm.tolist(),
        "direction": grid.direction.tolist(),
    }


def fact_row(fact: Fact) -> Row:
    return {"kind": fact.kind, "text": fact.text, **fact.values}
