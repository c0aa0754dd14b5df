"""Walls that cross themselves: straightened where they do, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.analytic import labelled, posed
from meshing.build import BuildSettings, surfaces_of
from meshing.extract import extract
from meshing.importing.labels import read_labels
from meshing.importing.scan import import_scan
from meshing.nets.make import NetSettings, netted, walls_of
from meshing.split import together
from meshing.triangles.crossings import crossings
from meshing.untangle import untangled
from meshing.walls import Walls


@pytest.fixture(scope="module")
def ball() -> Walls:
    shape = labelled(posed(8.0, 0.0, np.random.default_rng(1)), (0.7, 0.7, 1.0))
    net = netted(shape.layers[0], shape.grid, NetSettings())
    assert net is not None
    return walls_of(net)


def test_sound_walls_come_back_as_they_are(ball: Walls) -> None:
    assert untangled(ball) is ball


@pytest.mark.parametrize("seed", range(6))
def test_spikes_through_the_other_side_are_drawn_back(ball: Walls, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = ball.vertices.copy()
    spikes = rng.choice(len(vertices), 3, replace=False)
    vertices[spikes] = 2.2 * vertices.mean(axis=0) - 1.2 * vertices[spikes]
    tangled = replace(ball, vertices=vertices)
    assert len(crossings(tangled.vertices, tangled.faces)) > 0
    straight = untangled(tangled)
    assert len(crossings(straight.vertices, straight.faces)) == 0
    moved = np.flatnonzero((straight.vertices != tangled.vertices).any(axis=1))
    assert set(spikes) <= set(moved.tolist())
    assert len(moved) < 0.1 * len(vertices)


@pytest.mark.parametrize("budget", [None, 600])
def test_vessels_of_labels_do_not_cross_themselves(budget: int | None) -> None:
    rng = np.random.default_rng(3)
    for _ in range(8):
        surface = extract(labelled(posed(1.0, 24.0, rng), (0.7, 0.7, 1.0)), budget=budget)["shape"]
        assert len(crossings(surface.vertices, surface.faces)) == 0


def test_real_organs_hardly_cross_themselves(real_data) -> None:
    folder = real_data("ct_abdomen_labels")
    scan = import_scan(folder / "example_ct.nii.gz").volume
    labels, _ = read_labels(folder / "example_seg.nii.gz", scan.grid)
    for budget, most in ((600_000, 2), (60_000, 8)):
        surfaces = surfaces_of({"labels": labels}, BuildSettings(budget=budget))
        assert sum(len(crossings(surface.vertices, surface.faces)) for surface in surfaces.values()) == 0
        walls = together(list(surfaces.values()))
        assert len(crossings(walls.vertices, walls.faces)) <= most, "between neighbours"
