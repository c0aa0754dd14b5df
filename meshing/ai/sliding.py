"""A model that sees patches, slid over a whole scan: overlapping patches, blended by a Gaussian.

Arrays are (X, Y, Z) in the model's own axes. In the middle of a patch a network knows the surroundings of a voxel, at
its border half of them, so the middle counts more.

References
----------
Isensee et al., "nnU-Net", Nature Methods 18 (2021): Gaussian importance weighting with sigma 1/8 of the patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from meshing.progress import Progress, silent

Float32Array = npt.NDArray[np.float32]
Model = Callable[[Float32Array], Float32Array]

_SIGMA = 1 / 8
_LEAST_WEIGHT = 1e-3
"""So that a voxel which only corners of patches cover is still divided by something."""


def slide(
    model: Model, scan: Float32Array, patch: Sequence[int], *, overlap: float = 0.5, progress: Progress = silent
) -> Float32Array:
    """What a model says of a whole scan, shape (channels, X, Y, Z).

    Parameters
    ----------
    model
        Takes a patch, shape `patch`, gives (channels, *patch).
    patch
        Voxels along each axis; a scan smaller than that is padded with its own border.
    overlap
        The part of a patch that the next one covers again, 0 to below 1.
    """
    padded, inner = _padded(scan, patch)
    starts = list(patch_starts(padded.shape, patch, overlap))
    weights = gaussian(patch)
    total: Float32Array | None = None
    weight = np.zeros(padded.shape, np.float32)
    for done, start in enumerate(starts):
        progress(done / len(starts), f"patch {done + 1} of {len(starts)}")
        there = tuple(slice(at, at + size) for at, size in zip(start, patch, strict=True))
        said = model(padded[there])
        if total is None:
            total = np.zeros((said.shape[0], *padded.shape), np.float32)
        total[(slice(None), *there)] += weights * said
        weight[there] += weights
    assert total is not None  # there is one patch at least
    total /= weight
    return total[(slice(None), *inner)]


def patch_starts(shape: Sequence[int], patch: Sequence[int], overlap: float) -> Iterator[tuple[int, ...]]:
    """First voxels of patches that cover the whole, evenly spread, each overlapping the next by at least `overlap`."""
    along = []
    for size, width in zip(shape, patch, strict=True):
        step = max(1, int(width * (1.0 - overlap)))
        count = -(-(size - width) // step) + 1
        along.append([round((size - width) * at / max(count - 1, 1)) for at in range(count)])
    return product(*along)


def gaussian(patch: Sequence[int]) -> Float32Array:
    """Weights of a patch: 1 in its middle, falling off with a sigma of an eighth of it."""
    weights = np.ones((1, 1, 1))
    for axis, size in enumerate(patch):
        away = (np.arange(size) - (size - 1) / 2) / (size * _SIGMA)
        weights = weights * np.exp(-0.5 * away**2).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.maximum(weights, _LEAST_WEIGHT).astype(np.float32)


def _padded(scan: Float32Array, patch: Sequence[int]) -> tuple[Float32Array, tuple[slice, ...]]:
    """The scan, no smaller than a patch, and where it lies in that."""
    lacking = [max(0, width - size) for size, width in zip(scan.shape, patch, strict=True)]
    before = [lack // 2 for lack in lacking]
    inner = tuple(slice(start, start + size) for start, size in zip(before, scan.shape, strict=True))
    if not any(lacking):
        return scan, inner
    after = [lack - start for lack, start in zip(lacking, before, strict=True)]
    return np.pad(scan, list(zip(before, after, strict=True)), mode="edge"), inner
