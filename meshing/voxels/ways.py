"""The nearest seed by the way through a mask: which of several seeds each voxel belongs to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.voxels.morphology import bounding_box
from meshing.voxels.upright import Float32Array, Mask, Spacing


def nearest_through(
    seeds: npt.NDArray[np.int32], inside: Mask, slowness: Float32Array, spacing_mm: Spacing
) -> npt.NDArray[np.int32]:
    """Every voxel of `inside` given to the seed number from which the way through `inside` is shortest.

    Parameters
    ----------
    slowness
        How much longer a millimetre counts at each voxel; at least 1 where a way may lead.
    """
    from skimage.graph import MCP_Geometric

    box = bounding_box(inside)
    numbers = np.zeros(inside.shape, np.int32, order="F")
    if box is None or not (seeds[box] > 0).any():
        return numbers
    ways = MCP_Geometric(np.where(inside[box], slowness[box], -1.0).astype(np.float64), sampling=spacing_mm)
    own = seeds[box]
    _, came_from = ways.find_costs(np.argwhere(own > 0))
    strides = np.array([own.shape[1] * own.shape[2], own.shape[2], 1])
    jumps = np.append(np.asarray(ways.offsets) @ strides, 0)
    # −1 marks a seed, −2 what no seed reaches; both stay. Following twice as far each time finds the end.
    steps = came_from.ravel()
    source = np.arange(own.size) - np.where(steps >= 0, jumps[steps], 0)
    while not np.array_equal(source[source], source):
        source = source[source]
    numbers[box] = np.where(inside[box], own.ravel()[source].reshape(own.shape), 0)
    return numbers
