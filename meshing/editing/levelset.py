"""Level set: a surface that moves from a first guess to edges of the scan and stays smooth.

In: a scan and a patch to start from; out: a patch, how far the volume changed, and whether it ran into its limit. Where
voxels are many and fine the surface moves on blocks, each as slow as its slowest voxel: no edge is averaged away.

References
----------
Caselles, Kimmel, Sapiro, Geodesic active contours, Int. J. Comput. Vision 22(1), 1997 (SimpleITK's filter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meshing.editing.distances import distance_mm
from meshing.editing.edges import blurred, gradient_magnitude, grey
from meshing.editing.halving import doubled, doubled_values, halved_least, halved_values
from meshing.editing.patch import Patch, one_grid, spacing_of, widened
from meshing.editing.turning import turning_of
from meshing.errors import SegmentationError
from meshing.progress import Cancelled, Progress, part, silent
from meshing.volume import Volume
from meshing.voxels.morphology import from_image, to_image
from meshing.voxels.upright import Float32Array, Mask, Spacing

_MOST_VOXELS = 500_000
_COARSEST_MM = 2.0
"""Blocks are no wider, however many: on wider ones a step leaps over an edge."""
_SETTLED = 0.002
"""Root mean square change per step below which the surface stands still."""


@dataclass(frozen=True)
class LevelSet:
    """How the surface moves.

    Parameters
    ----------
    steepness
        Of edges, in the scan's unit per mm: there the surface has half its speed.
    sigma_mm
        Blur before edges are measured.
    balloon
        Above 0 the surface grows where there is no edge, below 0 it shrinks.
    smoothness, attraction
        Weights of curvature, and of the pull into edges.
    most_steps
        Then it stops, wherever it is.
    reach_mm
        How far from the first guess it may go.
    """

    steepness: float
    sigma_mm: float = 1.0
    balloon: float = 0.3
    smoothness: float = 0.5
    attraction: float = 1.0
    most_steps: int = 150
    reach_mm: float = 15.0


@dataclass(frozen=True, eq=False)
class Evolved:
    """Where the surface came to.

    Parameters
    ----------
    steps
        How many it took.
    is_settled
        Whether it stands still; otherwise more steps would move it on.
    reaches_limit
        Whether it touches the limit of its reach, as one does that leaked.
    worked_at_mm
        Spacing of the blocks on which it moved, along L, P, S.
    """

    patch: Patch
    steps: int
    is_settled: bool
    reaches_limit: bool
    before_ml: float
    after_ml: float
    worked_at_mm: Spacing


def level_set(volume: Volume, start: Patch, settings: LevelSet, *, progress: Progress = silent) -> Evolved:
    """The patch whose surface a geodesic active contour moved to edges.

    Raises
    ------
    SegmentationError
        If the start is empty or on another grid, or the surface vanished.
    """
    one_grid(start.grid, volume.grid)
    turning = turning_of(volume.grid)
    volume, start = turning.volume(volume), turning.patch(start)
    if not start.voxels:
        raise SegmentationError("the level set starts from nothing", where="level set", hint="draw a first guess")
    box = widened(start.box, volume.grid, settings.reach_mm)
    first = start.within(box)
    progress(0.0, "measuring edges")
    spacing = spacing_of(volume.grid)
    shapes = [first.shape]
    height, values = _height(first, spacing, part(progress, 0.0, 0.3)), grey(volume, box)
    steep = gradient_magnitude(blurred(values, spacing, settings.sigma_mm), spacing) / np.float32(settings.steepness)
    speed = np.reciprocal(1.0 + steep * steep)
    while height.size > _MOST_VOXELS and 2 * min(spacing) <= _COARSEST_MM:
        height, speed, spacing = halved_values(height), halved_least(speed), doubled(spacing)
        shapes.append(height.shape)
    height, steps, change = _moved(height, speed, spacing, settings, part(progress, 0.3, 1.0))
    # The filter leaves the outermost layer alone: what touches the next one has come to the limit.
    near_limit = height < 0
    near_limit[2:-2, 2:-2, 2:-2] = False
    for shape in reversed(shapes[:-1]):
        height = doubled_values(height, shape)
    patch = Patch(volume.grid, box, np.asfortranarray(height < 0))
    if not patch.voxels:
        raise SegmentationError(
            f"the surface vanished after {steps} steps; it began with {start.volume_ml:.2f} ml",
            where="level set",
            hint="give a larger balloon, less smoothness or a larger first guess",
        )
    return Evolved(
        turning.patch_back(patch.trimmed()),
        steps,
        change <= _SETTLED,
        bool(near_limit.any()),
        start.volume_ml,
        patch.volume_ml,
        spacing,
    )


def _height(mask: Mask, spacing: Spacing, progress: Progress) -> Float32Array:
    """Signed distance from the surface in mm, negative inside, held within 20 mm: farther is not needed."""
    outside = distance_mm(mask, spacing, part(progress, 0.0, 0.5))
    inside = distance_mm(~mask, spacing, part(progress, 0.5, 1.0))
    half = np.float32(0.5 * min(spacing))
    signed: Float32Array = np.where(mask, np.minimum(half - inside, 0), outside - half)
    return np.clip(signed, np.float32(-20), np.float32(20))


def _moved(
    height: Float32Array, speed: Float32Array, spacing: Spacing, settings: LevelSet, progress: Progress
) -> tuple[Float32Array, int, float]:
    import SimpleITK

    contour = SimpleITK.GeodesicActiveContourLevelSetImageFilter()
    contour.SetPropagationScaling(settings.balloon)
    contour.SetCurvatureScaling(settings.smoothness)
    contour.SetAdvectionScaling(settings.attraction)
    contour.SetMaximumRMSError(_SETTLED)
    contour.SetNumberOfIterations(settings.most_steps)
    images = to_image(np.asfortranarray(height), spacing), to_image(np.asfortranarray(speed, np.float32), spacing)
    moved = stoppable(contour, images, progress, "moving the surface")
    found = np.asfortranarray(from_image(moved), np.float32)
    return found, int(contour.GetElapsedIterations()), float(contour.GetRMSChange())


def stoppable(work: Any, images: tuple[Any, ...], progress: Progress, doing: str) -> Any:
    """What a SimpleITK filter makes of images; an exception raised by `progress` stops it.

    The filter calls from native code, which no exception may cross: it is kept, the filter aborted, and then raised.
    """
    import SimpleITK

    kept: list[BaseException] = []

    def report() -> None:
        try:
            progress(float(work.GetProgress()), doing)
        except (Exception, Cancelled, KeyboardInterrupt) as stop:  # raised again below
            kept.append(stop)
            work.Abort()

    work.AddCommand(SimpleITK.sitkIterationEvent, report)
    work.AddCommand(SimpleITK.sitkProgressEvent, report)
    try:
        made = work.Execute(*images)
    except RuntimeError:
        if not kept:
            raise
        made = None
    if kept:
        raise kept[0]
    return made
