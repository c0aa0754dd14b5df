"""One patient's scan with everything made from it; de-identified, frozen, a folder on disk (`meshing.casefile`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshing.errors import NotFoundError
from meshing.plan import Plan
from meshing.registration import Registration
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Surface
from meshing.volume import Fact, Volume


@dataclass(frozen=True, eq=False)
class Case:
    """A case.

    Parameters
    ----------
    id
        Random; says nothing of the patient.
    volumes
        name → scan. The first one gives the frame; "scan" is its usual name.
    segmentations
        name → segmentation; "main" is the usual name.
    surfaces
        segment key → surface.
    facts
        What was done to the scan and noticed in it.
    """

    id: str
    volumes: Mapping[str, Volume]
    segmentations: Mapping[str, Segmentation]
    surfaces: Mapping[str, Surface]
    registrations: tuple[Registration, ...] = field(default=())
    plan: Plan = field(default_factory=Plan)
    facts: tuple[Fact, ...] = field(default=())

    @property
    def scan(self) -> Volume:
        """The first volume."""
        for volume in self.volumes.values():
            return volume
        raise NotFoundError("the case holds no scan", where=self.id)

    @property
    def segments(self) -> dict[str, Segment]:
        """key → segment, over all segmentations, in their order."""
        return {segment.key: segment for s in self.segmentations.values() for segment in s.segments}

    def surface(self, key: str) -> Surface:
        """The surface of that key.

        Raises
        ------
        NotFoundError
            With the keys that the case holds.
        """
        if key not in self.surfaces:
            raise NotFoundError(
                f"the case holds no surface {key!r}",
                where=self.id,
                hint="one of: " + ", ".join(list(self.surfaces)[:20]),
            )
        return self.surfaces[key]
