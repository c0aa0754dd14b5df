"""The flow: a recipe becomes a scan, its segmentation and the truth about both."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace

import numpy as np

from meshing.errors import GeometryError, NotFoundError
from meshing.library import asset
from meshing.phantoms.labels import Labels
from meshing.phantoms.recipe import Recipe, read_recipe
from meshing.phantoms.scan import exposed, paint, patches
from meshing.phantoms.shapes import Bounds
from meshing.phantoms.tree import Tree
from meshing.phantoms.voxelise import voxels_inside
from meshing.progress import Progress, silent
from meshing.segmentation import Segmentation
from meshing.volume import Grid, Volume


@dataclass(frozen=True)
class Truth:
    """The volume of a part within the field of view, in ml: "closed form", or "sampled" with its error."""

    volume_ml: float
    method: str
    error_ml: float = 0.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A scan of something known exactly.

    Parameters
    ----------
    truth
        Volume by key of the segmentation.
    trees
        Centrelines and radii of the grown vessel trees, by key.
    """

    volume: Volume
    segmentation: Segmentation
    truth: dict[str, Truth]
    trees: dict[str, Tree]
    recipe: Recipe


def phantom(
    name: str,
    *,
    spacing_mm: float | tuple[float, float, float] | None = None,
    seed: int = 0,
    phase: str | None = None,
    progress: Progress = silent,
) -> Phantom:
    """The phantom of that name: scan, segmentation and truth.

    Parameters
    ----------
    spacing_mm
        Of the voxels; the abdomen takes the nearest that divides its field of view. None: the recipe's own.
    seed
        Of the noise; everything else is always the same.
    phase
        "native", "arterial" or "portal", where the recipe has contrast phases.

    Raises
    ------
    NotFoundError
        If there is no such phantom or phase.
    """
    recipe = read_recipe(name)
    phase = phase or recipe.phase
    if phase not in recipe.phases:
        raise NotFoundError(f"phantom {name} has no phase {phase!r}", hint="one of: " + ", ".join(recipe.phases))
    chosen = replace(recipe, phase=phase)
    made = painted(chosen, spacing_mm=spacing_mm, seed=seed, truth=truth_of(recipe), progress=progress)
    return replace(made, recipe=recipe)


def painted(
    recipe: Recipe,
    *,
    spacing_mm: float | tuple[float, float, float] | None,
    seed: int,
    truth: dict[str, Truth],
    progress: Progress = silent,
) -> Phantom:
    """The scan of a recipe in its phase, with what is known of its volumes."""
    grid = grid_of(recipe, spacing_mm)
    labels = Labels(recipe.name, grid)
    hu = np.full(grid.shape, recipe.background_hu, np.float32, order="F")
    for number, (item, whole, core) in enumerate(patches(recipe, grid)):
        progress(0.85 * number / len(recipe.parts), f"painting {item.key}")
        paint(hu, whole, item.hu[recipe.phase])
        if core is not None:
            paint(hu, core, item.core_hu[recipe.phase])
        if item.structure is not None:
            labels.add(item, whole.box, whole.inside)
    progress(0.85, "scanning")
    volume = Volume(exposed(hu, recipe, grid, seed), grid, "CT", "HU")
    progress(1.0, "scanned")
    trees = {part.key: part.tree for part in recipe.parts if part.tree is not None}
    return Phantom(volume, labels.segmentation(), truth, trees, recipe)


def voxelise(name: str, grid: Grid) -> Segmentation:
    """The parts of the phantom of that name on any grid: oblique, left-handed, coarse or fine.

    Raises
    ------
    NotFoundError
        If there is no such phantom.
    """
    return labelled(read_recipe(name), grid)


def grid_of(recipe: Recipe, spacing_mm: float | tuple[float, float, float] | None = None) -> Grid:
    """The grid that covers the recipe's field of view: axis-aligned, i to L, j to P, k to S."""
    low, high = (np.array(corner) for corner in recipe.field_mm)
    wanted = np.broadcast_to(np.asarray(recipe.spacing_mm if spacing_mm is None else spacing_mm, float), (3,))
    if not (wanted > 0).all():
        raise GeometryError(f"spacing {wanted.tolist()} mm is not positive", where=f"phantom {recipe.name}")
    shape = np.maximum(np.rint((high - low) / wanted), 1).astype(int)
    # A part that the field cuts off has a known volume only if the voxels cover exactly that field.
    spacing = (high - low) / shape if recipe.fit else wanted
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = (low + high) / 2 - spacing * (shape - 1) / 2
    i, j, k = shape.tolist()
    return Grid((i, j, k), matrix, frame_of_reference=f"phantom-{recipe.name}")


def labelled(recipe: Recipe, grid: Grid) -> Segmentation:
    """The recipe's parts as labels: a voxel whose centre is inside, and for trees those that a centreline pierces."""
    labels = Labels(recipe.name, grid)
    for item in recipe.parts:
        if item.structure is not None:
            labels.add(item, *voxels_inside(item.shape, grid))
    return labels.segmentation()


def truth_of(recipe: Recipe) -> dict[str, Truth]:
    """The volume of every labelled part: by closed form where there is one, else as measured once and kept."""
    measured = _measured(recipe.name)
    found = {}
    for item in recipe.parts:
        if item.structure is None:
            continue
        exact = item.shape.volume_mm3
        if exact is not None and _is_within(item.shape.bounds(), recipe.field_mm):
            found[item.key] = Truth(exact / 1000.0, "closed form")
        elif item.key in measured:
            row = measured[item.key]
            found[item.key] = Truth(row["volume_ml"], "sampled", row["error_ml"])
    return found


def _measured(name: str) -> dict[str, dict[str, float]]:
    try:
        text = asset(f"phantoms/{name}_truth.toml").read_text(encoding="utf-8")
    except NotFoundError:
        return {}
    return tomllib.loads(text)["parts"]  # type: ignore[no-any-return]


def _is_within(inner: Bounds, outer: Bounds) -> bool:
    low, high = np.array(inner) - np.array(outer)
    return bool((low >= 0).all() and (high <= 0).all())
