"""`python -m meshing.warm` compiles the kernels once, so that the first scan does not wait for it: about a minute.

It compiles the modules too: where Python may not keep what it compiled, every run would wait 0.1 s for them.
"""

from __future__ import annotations

import compileall
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.case import Case
from meshing.editing.edges import edge_speed
from meshing.editing.flooding import region_grown
from meshing.editing.labelling import grown_from_seeds, watershed
from meshing.editing.levelset import LevelSet, level_set
from meshing.editing.marching import marched, marching_box
from meshing.editing.margins import with_margin
from meshing.editing.patch import LabelPatch, whole_box
from meshing.editing.smoothing import smoothed, smoothed_together
from meshing.editing.thresholds import Range
from meshing.editing.walker import random_walker
from meshing.exporting.gltf import export_glb
from meshing.extract import Extraction, extract
from meshing.importing.labels.drawn import boxes_of
from meshing.nets.make import NetSettings, fewer_walls_of, netted
from meshing.segmentation import Segment, Segmentation
from meshing.simplify import simplify
from meshing.terminology import Structure
from meshing.volume import Grid, Volume


def warm() -> None:
    """Runs every kernel on a few voxels, for both widths of labels."""
    for width in (np.uint8, np.uint16):
        layer = np.zeros((20, 20, 20), width, order="F")
        layer[4:16, 4:16, 4:10] = 1
        layer[4:16, 4:12, 10:15] = 2
        layer[16:18, 16:18, 4:10] = 1  # touches the first in an edge only
        segments = tuple(Segment(name, n, 0, Structure(name, name, name)) for n, name in enumerate("ab", start=1))
        blocks = Segmentation((layer,), Grid((20, 20, 20), np.eye(4)), segments, "drawn by rule")
        extract(blocks, Extraction(nets=NetSettings(is_fine=True)), budget=400)
        net = netted(layer, blocks.grid, NetSettings())
        if net is not None:
            fewer_walls_of(net, np.array([np.inf, 0.1, 0.1]))  # only large jobs merge
        surfaces = simplify(extract(blocks), 400, neighbours=[["a", "b"]])
        boxes_of((layer,))
        with TemporaryDirectory() as folder:
            export_glb(Case("warm", {}, {"main": blocks}, surfaces), Path(folder) / "blocks.glb")
        for kind in (np.int16, np.float32):
            voxels = np.asfortranarray(np.where(layer == 1, 300, 50).astype(kind))
            extract(blocks, image=Volume(voxels, blocks.grid, "CT", "HU"))
            # Above a million voxels, where the work begins at half the resolution.
            large = Grid((120, 120, 120), np.eye(4))
            seeds = LabelPatch(large, whole_box(large), _six_fold(layer))
            warm_verbs(Volume(_six_fold(voxels), large, "CT", "HU"), seeds)


def _six_fold(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asfortranarray(array.repeat(6, 0).repeat(6, 1).repeat(6, 2))


def warm_verbs(volume: Volume, seeds: LabelPatch) -> None:
    """Runs the kernels of the slow editing verbs on a few voxels."""
    grown_from_seeds(volume, seeds)
    watershed(volume, seeds)
    random_walker(volume, seeds)
    drawn = seeds.of(1)
    level_set(volume, drawn, LevelSet(10.0, most_steps=1))
    with_margin(drawn, 1.0)
    smoothed(drawn, "closing", 1.0)
    smoothed(drawn, "gaussian", 1.0)
    smoothed_together(seeds, 1.0)
    middle = (42.0, 42.0, 42.0)
    region_grown(volume, [middle], Range(200, 400))
    box = marching_box(volume.grid, [middle], 4.0)
    marched(volume.grid, [middle], edge_speed(volume, box, steepness=10.0), 4.0)


if __name__ == "__main__":
    compileall.compile_dir(Path(__file__).parent, quiet=2)
    warm()
