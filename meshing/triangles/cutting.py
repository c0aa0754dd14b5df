"""How a four-sided piece of wall becomes two triangles: along its shorter diagonal, by the same rounding everywhere.

Whoever measures a net without its triangles must cut as the one who makes them.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from meshing.threads import inlined


@inlined
def cut(vertices: npt.NDArray[Any], a: Any, b: Any, c: Any, d: Any) -> Any:
    """Corners of a quad, turned so that its shorter diagonal runs from the first to the third."""
    x, y, z = vertices[a, 0] - vertices[c, 0], vertices[a, 1] - vertices[c, 1], vertices[a, 2] - vertices[c, 2]
    u, v, w = vertices[b, 0] - vertices[d, 0], vertices[b, 1] - vertices[d, 1], vertices[b, 2] - vertices[d, 2]
    if u * u + v * v + w * w < x * x + y * y + z * z:
        return b, c, d, a
    return a, b, c, d
