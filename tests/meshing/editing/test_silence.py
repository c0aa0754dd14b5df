"""How long a verb says nothing, and so cannot be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from meshing.editing.edges import edge_speed
from meshing.editing.flooding import region_grown
from meshing.editing.labelling import grown_from_seeds, watershed
from meshing.editing.levelset import LevelSet, level_set
from meshing.editing.marching import marched, marching_box
from meshing.editing.margins import with_margin
from meshing.editing.smoothing import smoothed, smoothed_together
from meshing.editing.thresholds import Range
from meshing.editing.walker import random_walker
from meshing.progress import Progress, silent
from tests.meshing.editing.drawings import at, ball, ball_patch, marked, scanned
from tests.shapes import upright_grid


def _verbs_of_160() -> dict[str, Callable[[Progress], object]]:
    grid = upright_grid((160, 160, 160), (1.0, 1.0, 1.0))
    organ, middle = ball(grid, 40.0), at(grid)
    volume = scanned(grid, [(organ, 100.0)], noise=10.0)
    seeds = marked(grid, {1: ball(grid, 12.0), 2: ~ball(grid, 70.0)})
    drawn = ball_patch(grid, 40.0)
    box = marching_box(grid, [middle], 50.0)
    speed = edge_speed(volume, box, steepness=15.0)
    return {
        "region growing": lambda heard: region_grown(volume, [middle], Range(50, 150), progress=heard),
        "grow from seeds": lambda heard: grown_from_seeds(volume, seeds, progress=heard),
        "watershed": lambda heard: watershed(volume, seeds, progress=heard),
        "walker": lambda heard: random_walker(volume, seeds, progress=heard),
        "fast marching": lambda heard: marched(grid, [middle], speed, 50.0, progress=heard),
        "level set": lambda heard: level_set(volume, ball_patch(grid, 20.0), LevelSet(15.0), progress=heard),
        "margin": lambda heard: with_margin(drawn, 5.0, progress=heard),
        "closing": lambda heard: smoothed(drawn, "closing", 3.0, progress=heard),
        "opening": lambda heard: smoothed(drawn, "opening", 3.0, progress=heard),
        "gaussian": lambda heard: smoothed(drawn, "gaussian", 2.0, progress=heard),
        "median": lambda heard: smoothed(drawn, "median", 2.0, progress=heard),
        "together": lambda heard: smoothed_together(seeds, 2.0, progress=heard),
    }


def test_no_verb_is_silent_for_long() -> None:
    """What is heard seldom can only be stopped late; the bound is for busy machines."""
    for name, verb in _verbs_of_160().items():
        verb(silent)  # compiles
        times = [time.perf_counter()]
        verb(lambda fraction, doing: times.append(time.perf_counter()))  # noqa: B023
        times.append(time.perf_counter())
        assert np.diff(times).max() < 1.0, name
