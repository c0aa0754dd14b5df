"""The nouns of a picture: what a reader asks for, and what is then shown. Points are LPS mm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.surface import Faces, Vertices
from viewer.contours import Contour
from viewer.layout import Layout
from viewer.legend import Colour, LegendEntry
from viewer.slices import Plane, SliceView
from viewer.viewpoint import Camera, Projection
from viewer.windows import Window
from viewer.words import Language

Overlay = Literal["both", "fill", "outline", "none"]


@dataclass(frozen=True)
class Choices:
    """What a reader asks for; every field has a good answer of its own.

    Parameters
    ----------
    hidden
        Keys of structures to leave out.
    only
        Keys of the structures to show; None shows all.
    window
        Name of a window preset or "auto"; None takes the one that suits what is shown.
    centre_mm
        Where the three slices cross; None takes the largest lesion, or else the largest organ.
    overlay
        How structures lie over the slices.
    sheets
        Planes that the 3D picture shows as grey sheets through `centre_mm`.
    opacity
        key → 0 to 1, in place of the terminology's.
    view
        Side the 3D picture is seen from, such as "anterior" or "right-anterior".
    size
        Width and height in pixels.
    is_confidence_shown
        Whether what grew from clicks is coloured by how sure it is.
    """

    layout: Layout = "four-up"
    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    window: str | None = None
    centre_mm: Point | None = None
    overlay: Overlay = "both"
    sheets: frozenset[Plane] = frozenset()
    opacity: Mapping[str, float] = field(default_factory=dict)
    view: str = "anterior"
    projection: Projection = "perspective"
    language: Language = "en"
    size: tuple[int, int] = (1600, 1200)
    is_confidence_shown: bool = False


@dataclass(frozen=True, eq=False)
class SceneSurface:
    """A surface to draw: vertices (V, 3), outward faces (F, 3), sRGB colour, opacity; `colours`: sRGB per vertex."""

    key: str
    vertices: Vertices | FloatArray
    faces: Faces
    colour: Colour
    opacity: float
    colours: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Sheet:
    """A slice as a sheet in space: vertices (V, 3), faces (F, 3), a grey level (V,) for each vertex."""

    plane: Plane
    vertices: FloatArray
    faces: Faces
    greys: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Region:
    """A structure on a slice: closed contours in pixels, in the colour of its surface.

    Parameters
    ----------
    fill, line
        Opacity of the area and of its outline; 0 draws none.
    """

    key: str
    contours: tuple[Contour, ...]
    colour: Colour
    fill: float
    line: float


@dataclass(frozen=True, eq=False)
class SceneSlice:
    """A slice to draw.

    Parameters
    ----------
    image
        uint8, shape `view.shape`; windowed grey values.
    regions
        Largest structure first, so that small ones stay visible.
    crosshair
        (column, row) where the other two planes cross this one.
    position
        Where the plane lies, as readers write it: "S 12.5 mm".
    bar_mm
        Length of the scale bar.
    overlay
        float32, `view.shape` + (4,): sRGB and opacity laid under the regions, or None.
    """

    view: SliceView
    image: npt.NDArray[np.uint8]
    regions: tuple[Region, ...]
    crosshair: tuple[float, float]
    position: str
    bar_mm: float
    overlay: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """All that a picture shows.

    Parameters
    ----------
    slices
        In reading order; none in the layout "3d".
    view
        The words of the side that the camera looks from.
    grid_shape, spacing_mm
        Of the scan, as stored.
    is_confidence_shown
        Whether the legend explains the colours of confidence.
    """

    layout: Layout
    size: tuple[int, int]
    language: Language
    surfaces: tuple[SceneSurface, ...]
    sheets: tuple[Sheet, ...]
    slices: Mapping[Plane, SceneSlice]
    camera: Camera
    view: tuple[str, ...]
    legend: tuple[LegendEntry, ...]
    window: Window
    modality: str
    grid_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    is_confidence_shown: bool = False
