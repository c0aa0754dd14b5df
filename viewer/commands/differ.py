"""The picture of `anatomyxr compare --picture`: where graders differ, from what they drew and how it was measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from meshing.compare import Comparison, Pair, StructureAgreement
from meshing.compare.apart import dispute_of, least_alike, wall_distances
from meshing.errors import NotFoundError
from meshing.importing.scan import import_scan
from meshing.names import match_name
from meshing.progress import Progress, part
from meshing.segmentation import Segmentation
from viewer.commands.choices import limits_of
from viewer.compose import Pixels
from viewer.differences import PANEL, Background, Difference, page, wall_camera, wall_colours
from viewer.preflight import check_rendering
from viewer.render import draw_field, save_png
from viewer.scene import SceneSurface
from viewer.windows import window_for

Chosen = tuple[StructureAgreement, Pair]


def draw_differences(
    options: argparse.Namespace, graders: Mapping[str, Segmentation], found: Comparison, progress: Progress
) -> None:
    """Write the picture that the options ask for.

    Raises
    ------
    NotFoundError
        If no two graders drew the structure that is asked for.
    """
    chosen = _chosen(options.structure, found)
    check_rendering()
    background = _background(options, graders, chosen, part(progress, 0.0, 0.3))
    steps = [
        part(progress, 0.3 + 0.7 * at / len(chosen), 0.3 + 0.7 * (at + 1) / len(chosen)) for at in range(len(chosen))
    ]
    differences = [_difference(graders, one, options, step) for one, step in zip(chosen, steps, strict=True)]
    views = [_view(difference) for difference in differences]
    paths = [options.reference, *options.others]
    names = {letter: path.name for letter, path in zip(graders, paths, strict=True)}
    save_png(options.picture, np.asarray(page(differences, views, names, background, options.language)))


def _chosen(name: str | None, found: Comparison) -> tuple[Chosen, ...]:
    ranked = least_alike(found, len(found.structures))
    if name is None:
        return ranked[:3]
    structure = match_name(name).structure
    wanted = {name, structure.key if structure else name}
    chosen = tuple(one for one in ranked if one[0].key in wanted)
    if not chosen:
        keys = ", ".join(one.key for one, _ in ranked)
        raise NotFoundError(f"no two graders drew {name!r}", where="--structure", hint=f"one of: {keys}")
    return chosen


def _background(
    options: argparse.Namespace, graders: Mapping[str, Segmentation], chosen: tuple[Chosen, ...], progress: Progress
) -> Background | None:
    if options.scan is None:
        return None
    scan = import_scan(options.scan, limits=limits_of(options), progress=progress).volume
    first = next(iter(graders.values()))
    keys = {structure.key for structure, _ in chosen}
    return Background(scan, window_for(scan, [one.structure for one in first.segments if one.key in keys]))


def _difference(
    graders: Mapping[str, Segmentation], chosen: Chosen, options: argparse.Namespace, progress: Progress
) -> Difference:
    structure, pair = chosen
    segments = (segment for one in graders.values() for segment in one.segments if segment.key == structure.key)
    terms = next(segments).structure
    dispute = dispute_of(graders, structure.key, progress=part(progress, 0.0, 0.2))
    both = graders[pair.reference], graders[pair.other]
    wall = wall_distances(*both, structure.key, progress=part(progress, 0.2, 0.9))
    name = terms.name_zh if options.language == "zh" else terms.name
    return Difference(name, dispute, pair, structure.missing_in, wall)


def _view(difference: Difference) -> Pixels | None:
    wall = difference.wall
    if wall is None:
        return None
    surface = SceneSurface(difference.dispute.key, wall.vertices, wall.faces, (1.0, 1.0, 1.0), 1.0)
    return draw_field(surface, wall_colours(wall), wall_camera(wall), PANEL)
