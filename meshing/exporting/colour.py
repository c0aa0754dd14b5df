"""Colours as files want them: terminology and screens speak sRGB, glTF factors are linear light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Colour = tuple[float, float, float]


def srgb_to_linear(colour: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Linear light (0 to 1) of sRGB values (0 to 1), any shape.

    References
    ----------
    IEC 61966-2-1:1999; glTF 2.0 §3.9.2 "Metallic-Roughness Material": factors are linear.
    """
    encoded = np.asarray(colour, dtype=np.float64)
    # The outer clip only keeps the branch that is not taken free of NaN.
    curved = ((np.clip(encoded, 0.0, None) + 0.055) / 1.055) ** 2.4
    linear: npt.NDArray[np.float64] = np.where(encoded <= 0.04045, encoded / 12.92, curved)
    return linear
