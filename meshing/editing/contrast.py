"""How far apart seeds of several labels lie in brightness: the step that tells them, whatever else the box holds.

In: grey values of a box and seeds of the same shape; out: one number in the scan's unit. Air in the box of a CT widens
the range of brightness tenfold and tells nothing about organs; the seeds know what is to be told apart.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from meshing.segmentation import Labels
from meshing.volume import Voxels

_MOST_SEEDS = 20_000
"""Of a label: more say the same."""
_NEAREST_PERCENT = 10.0
"""Of a label's seeds: a background of air and muscle lies as far from an organ as its muscle does."""
_NOISES = 8.6
"""Standard deviations of noise that make a step of 1: at the usual β of 130 noise alone then weighs exp(−3.5)."""


def seed_contrast(values: Voxels, markers: Labels, numbers: list[int]) -> float:
    """The least contrast between two labels' seeds, but at least 8.6 times the noise there.

    Never more than the range of brightness (percentiles 0.5 to 99.5), which counts as well where seeds do not differ
    and there is no noise.

    Parameters
    ----------
    values
        Shape (X, Y, Z).
    markers
        Same shape, 0 = no seed.
    numbers
        The labels that count.
    """
    low, high = np.percentile(values[::3, ::3, ::3], [0.5, 99.5])
    most = max(float(high - low), 1e-6)
    told = [_told(values, markers, number) for number in numbers]
    steps = []
    for (one, one_noise), (other, other_noise) in combinations(told, 2):
        apart = min(
            float(np.percentile(np.abs(one - np.median(other)), _NEAREST_PERCENT)),
            float(np.percentile(np.abs(other - np.median(one)), _NEAREST_PERCENT)),
        )
        steps.append(max(apart, _NOISES * max(one_noise, other_noise)))
    least = min(steps)
    return min(least, most) if least > 1e-3 * most else most


def _told(values: Voxels, markers: Labels, number: int) -> tuple[npt.NDArray[np.float64], float]:
    """Values of a label's seeds, and the standard deviation of the noise by steps to their neighbours."""
    at = np.flatnonzero(markers.ravel(order="F") == number)
    at = at[:: -(-len(at) // _MOST_SEEDS)]
    place = np.stack(np.unravel_index(at, markers.shape, order="F"))
    here = values[tuple(place)].astype(np.float64)
    steps = []
    for axis, count in enumerate(values.shape):
        if count > 1:
            near = place.copy()
            near[axis] += np.where(near[axis] + 1 < count, 1, -1)
            steps.append(np.abs(values[tuple(near)] - here))
    noise = 1.4826 / 2.0**0.5 * float(np.median(np.concatenate(steps))) if steps else 0.0
    return here, noise
