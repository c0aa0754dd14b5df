"""How two scans, or a scan and the world, lie to each other; an alignment never travels without its error."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshing.frames import Transform


@dataclass(frozen=True, eq=False)
class Registration:
    """A transform, how it was found, and what is known of its error.

    Parameters
    ----------
    fre_mm
        Root mean square distance at the landmarks used to find it; not an accuracy.
    tre_mm
        Estimated error at the target, or None where nobody estimated it.
    landmarks
        Names of the landmarks used.
    """

    transform: Transform
    method: str
    fre_mm: float | None
    tre_mm: float | None
    landmarks: tuple[str, ...] = field(default=())
