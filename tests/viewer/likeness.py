"""How far two pictures differ to an eye: in blocks, so that another rasteriser or font engine passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

BLOCK = 4
"""Pixels per block side: edges and glyphs that shift by a fraction of a pixel vanish in the mean."""

MEAN = 0.6
"""Mean difference allowed, in grey levels of 255. Mesa's other rasteriser (softpipe for llvmpipe) makes 0.10, another
storage order of the same patient 0.15."""

WORST = 26.0
"""Largest difference allowed of a block's mean in any colour. The other rasteriser makes 10, another storage order 18;
of the mistakes in `test_render` the least, missing outlines, makes 44 and a lost structure over 120."""


@dataclass(frozen=True)
class Difference:
    """Mean over the picture and largest block difference, in grey levels of 255."""

    mean: float
    worst: float

    @property
    def is_seen(self) -> bool:
        return self.mean > MEAN or self.worst > WORST


def difference(one: Picture, other: Picture) -> Difference:
    """Between pictures of one size, on means of blocks."""
    assert one.shape == other.shape, (one.shape, other.shape)
    apart = np.abs(_blocks(one) - _blocks(other))
    return Difference(float(apart.mean()), float(apart.max()))


def _blocks(picture: Picture) -> npt.NDArray[np.float64]:
    rows, columns = (length // BLOCK for length in picture.shape[:2])
    cropped = picture[: rows * BLOCK, : columns * BLOCK].astype(np.float64)
    means: npt.NDArray[np.float64] = cropped.reshape(rows, BLOCK, columns, BLOCK, 3).mean(axis=(1, 3))
    return means
