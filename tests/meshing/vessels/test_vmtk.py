"""A real aorta beside the centrelines that VMTK drew in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.vmtk import SMALLEST_EDGE_MM, beside, read_pieces, read_surface
from meshing.importing.scan import import_scan
from meshing.segmenters.presets import segment
from meshing.vessels import VesselTree, lumen_of_surface, tree_of_lumen, vessel_tree

Find = Callable[[str], Path]


def holds(tree: VesselTree, folder: Path) -> None:
    """Every line of VMTK's within half a voxel, its radius within 5 %: outside the fork, where a node is a choice."""
    for piece in read_pieces(folder):
        found = beside(piece, tree)
        limit = 0.5 if not piece.is_blanked else 1.5
        assert found.mean_mm <= limit * SMALLEST_EDGE_MM, (piece.group, found)
        assert abs(found.radius_bias) <= 0.05, (piece.group, found)
        if not piece.is_blanked:
            assert found.back_mean_mm <= 0.5 * SMALLEST_EDGE_MM, (piece.group, found)


def test_in_its_own_surface_the_tree_is_that_of_vmtk(real_data: Find) -> None:
    folder = real_data("mra_aorta_vmtk/aorta-surface.vtp").parent
    tree = tree_of_lumen(lumen_of_surface(*read_surface(folder), 0.8))
    assert [branch.parent for branch in tree.branches] == [None, 0, 0]
    holds(tree, folder)


def test_in_its_level_set_as_a_mask_the_tree_is_that_of_vmtk(real_data: Find) -> None:
    folder = real_data("mra_aorta_vmtk/aorta-final-levelset.mha").parent
    levels = import_scan(folder / "aorta-final-levelset.mha").volume
    tree = vessel_tree(np.asfortranarray(levels.voxels < 0), levels.grid)
    assert [branch.parent for branch in tree.branches] == [None, 0, 0]
    holds(tree, folder)


@pytest.mark.slow
def test_from_the_image_every_branch_of_vmtk_is_found(real_data: Find) -> None:
    folder = real_data("mra_aorta_vmtk/aorta.mha").parent
    volume = import_scan(folder / "aorta.mha").volume
    found = segment(volume, "mr-vessels")
    holds(vessel_tree(found.mask(found.segments[0].key), volume.grid, image=volume), folder)
