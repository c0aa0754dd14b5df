"""Parts become a `Segmentation` one by one; each goes into the first layer where its voxels are free."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.phantoms.recipe import Part
from meshing.phantoms.voxelise import Box, Mask, pierced
from meshing.segmentation import Segment, Segmentation
from meshing.volume import Grid


class Labels:
    """The label layers of a phantom while they are filled."""

    def __init__(self, name: str, grid: Grid) -> None:
        self.name = name
        self.grid = grid
        self.layers: list[npt.NDArray[np.uint8]] = []
        self.segments: list[Segment] = []

    def add(self, part: Part, box: Box, inside: Mask) -> None:
        """Label a part, given which voxels of a box are inside; one that the grid misses is left out."""
        if part.structure is None:
            return
        if part.tree is not None:
            # A vessel thinner than a voxel misses most centres; a reader draws it one voxel wide, and so does this.
            axis = pierced(*part.tree.edges(), self.grid)
            inside = inside.copy()
            inside[tuple((axis - [s.start for s in box]).T)] = True
        if not inside.any():
            return
        at = next((n for n, layer in enumerate(self.layers) if not layer[box][inside].any()), len(self.layers))
        if at == len(self.layers):
            self.layers.append(np.zeros(self.grid.shape, np.uint8, order="F"))
        label = len(self.segments) + 1
        self.layers[at][box][inside] = label
        self.segments.append(Segment(part.key, label, at, part.structure, part.inside))

    def segmentation(self) -> Segmentation:
        return Segmentation(tuple(self.layers), self.grid, tuple(self.segments), source=f"phantom {self.name}")
