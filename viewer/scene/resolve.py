"""`resolve` decides everything that a picture shows, and draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from meshing.case import Case
from meshing.frames import FloatArray
from viewer.layout import SCALE_LINES, Box, PanelName, legend_lines, panels
from viewer.legend import legend
from viewer.scene.certainty import colours_of, keys_with_map, map_of, on_slice, on_surface
from viewer.scene.nouns import Choices, Scene, SceneSlice, SceneSurface, Sheet
from viewer.scene.parts import Part, shown_parts
from viewer.scene.sections import body_box, default_centre, slices_of
from viewer.scene.sheets import sheets_of
from viewer.slices import Plane
from viewer.viewpoint import Camera, camera_from, view_words
from viewer.windows import Window, window_for

_DEFAULT = Choices()


def resolve(case: Case, choices: Choices = _DEFAULT) -> Scene:
    """The scene of a case under a reader's choices.

    Raises
    ------
    NotFoundError
        If a structure, a window or a view has no such name.
    """
    parts = shown_parts(case, choices)
    shown = [part.shown for part in parts]
    scan = case.scan
    boxes = panels(choices.layout, choices.size)
    surfaces = _surfaces(parts)
    if choices.is_confidence_shown:
        surfaces = _by_confidence(case, surfaces)
    window = window_for(scan, [one.structure for one in shown], choices.window)
    centre = np.array(choices.centre_mm) if choices.centre_mm is not None else default_centre(scan, parts)
    sheets = sheets_of(case, choices.sheets, centre, window) if "3d" in boxes else ()
    spacing = scan.grid.spacing_mm
    return Scene(
        layout=choices.layout,
        size=choices.size,
        language=choices.language,
        surfaces=surfaces,
        sheets=sheets,
        slices=_slices(case, parts, boxes, window, (centre, choices)),
        camera=_camera(case, [*surfaces, *sheets], boxes, choices),
        view=view_words(choices.view),
        legend=legend(shown, choices.language, _lines(choices)) if "column" in boxes else (),
        window=window,
        modality=scan.modality,
        grid_shape=scan.grid.shape,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        is_confidence_shown=choices.is_confidence_shown,
    )


def _lines(choices: Choices) -> int:
    """Lines of the legend; the scale of confidence takes some of them."""
    lines = legend_lines(choices.size)
    return max(1, lines - SCALE_LINES) if choices.is_confidence_shown else lines


def _slices(
    case: Case,
    parts: Sequence[Part],
    boxes: Mapping[PanelName, Box],
    window: Window,
    where: tuple[FloatArray, Choices],
) -> dict[Plane, SceneSlice]:
    """The slices, under the map of confidence with outlines alone: two fills would mix their colours."""
    centre, choices = where
    if not choices.is_confidence_shown:
        return slices_of(case, parts, boxes, window, centre_mm=centre, overlay=choices.overlay)
    plain = slices_of(
        case, parts, boxes, window, centre_mm=centre, overlay="none" if choices.overlay == "none" else "outline"
    )
    return {plane: replace(one, overlay=on_slice(case, one.view)) for plane, one in plain.items()}


def _by_confidence(case: Case, surfaces: tuple[SceneSurface, ...]) -> tuple[SceneSurface, ...]:
    """The surfaces that the map is about, opaque and in its colours."""
    confidence, keys = map_of(case), keys_with_map(case)
    return tuple(
        replace(one, opacity=1.0, colours=colours_of(on_surface(confidence, one.vertices, one.faces)))
        if one.key in keys
        else one
        for one in surfaces
    )


def _surfaces(parts: Sequence[Part]) -> tuple[SceneSurface, ...]:
    return tuple(
        SceneSurface(
            part.shown.key, part.triangles.vertices, part.triangles.faces, part.shown.colour, part.shown.opacity
        )
        for part in parts
        if part.triangles is not None and len(part.triangles.faces) and part.shown.opacity > 0
    )


def _camera(
    case: Case, bodies: Sequence[SceneSurface | Sheet], boxes: Mapping[PanelName, Box], choices: Choices
) -> Camera:
    """The camera that just holds what is shown, or the patient where nothing is."""
    box = boxes.get("3d") or next(iter(boxes.values()))
    points = [body.vertices[np.unique(body.faces)] for body in bodies]
    return camera_from(
        choices.view,
        np.concatenate(points) if points else body_box(case),
        aspect=box.width / box.height,
        projection=choices.projection,
    )
