"""How much like a bright tube each place is, in the unit of the scan, whatever the tube's width.

In: values and spacing. Out: the curvature across the tube at the scale where it is greatest, normalised so that a tube
of any radius and of contrast C gives about the same share of C.

References
----------
Lindeberg T. Feature detection with automatic scale selection. IJCV 1998, doi:10.1023/A:1008045108935: derivatives of
order two times σ². Sato Y et al. Three-dimensional multi-scale line filter. MedIA 1998,
doi:10.1016/S1361-8415(98)80009-1: the middle eigenvalue tells a line from a sheet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshing.progress import Progress, silent
from meshing.voxels.upright import Float32Array, Mask, Spacing


def curvature_across(
    values: Float32Array,
    spacing_mm: Spacing,
    scales_mm: Sequence[float],
    where: Mask,
    progress: Progress = silent,
) -> Float32Array:
    """The greatest response over the scales; 0 outside `where`, on sheets, and where it is darker than around.

    Parameters
    ----------
    scales_mm
        σ of the Gaussians; a tube answers most at σ of about 0.7 of its radius.
    where
        bool: places to look at.
    """
    from scipy import ndimage

    best = np.zeros(values.shape, np.float32, order="F")
    if not where.any():
        return best
    answer = np.zeros(int(where.sum()), np.float32)
    for number, scale in enumerate(scales_mm):
        sigma = [max(scale / s, 0.35) for s in spacing_mm]
        hessian = np.zeros((len(answer), 3, 3), np.float32)
        for first in range(3):
            progress(number / len(scales_mm), "looking for tubes")
            for second in range(first, 3):
                order = [0, 0, 0]
                order[first] += 1
                order[second] += 1
                curved = ndimage.gaussian_filter(values, sigma, order=order, mode="nearest")[where]
                curved *= np.float32(scale**2 / (spacing_mm[first] * spacing_mm[second]))
                hessian[:, first, second] = hessian[:, second, first] = curved
        middle = np.linalg.eigvalsh(hessian)[:, 1]
        answer = np.maximum(answer, -middle)
    best[where] = answer
    return best
