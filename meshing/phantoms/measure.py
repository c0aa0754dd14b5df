"""How large a shape without a closed form is: counted on a lattice much finer than any scan.

The answers for the shipped recipes stand in `assets/phantoms/*_truth.toml`; `tools/measure_phantoms.py` renews them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Tubes
from meshing.phantoms.shapes import Shape
from meshing.phantoms.voxelise import box_of, field_on, fraction_of_tubes
from meshing.volume import Grid


def sampled_volume_ml(shape: Shape, grid: Grid, split: int = 8) -> float:
    """The volume of a shape within the grid, from `split`³ samples of every voxel that its boundary can cross."""
    box = box_of(shape.bounds(), grid)
    if isinstance(shape, Tubes):
        slabs = range(box[2].start, box[2].stop, 8)  # the fine lattice of a whole bowel would fill the memory
        filled = sum(
            float(
                fraction_of_tubes(shape, grid, (*box[:2], slice(k, min(k + 8, box[2].stop))), split).sum(
                    dtype=np.float64
                )
            )
            for k in slabs
        )
        return filled * grid.voxel_volume_mm3 / 1000.0
    distance = field_on(shape, grid, box)
    # Generous: a first-order field can be off by a fifth near tight bends.
    crossed = np.abs(distance) < 0.75 * float(np.linalg.norm(grid.spacing_mm))
    filled = float(((distance < 0) & ~crossed).sum())
    voxels = np.argwhere(crossed) + [s.start for s in box]
    for start in range(0, len(voxels), 4096):
        filled += _samples_inside(shape, grid, voxels[start : start + 4096], split) / split**3
    return filled * grid.voxel_volume_mm3 / 1000.0


def _samples_inside(shape: Shape, grid: Grid, voxels: npt.NDArray[np.int64], split: int) -> int:
    """How many of the `split`³ samples of each voxel, shape (n, 3), are inside, all together."""
    steps = (np.arange(split) + 0.5) / split - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    samples = grid.to_patient((voxels[:, None] + offsets[None]).reshape(-1, 3))
    return int((shape.field(*samples.T) < 0).sum())
