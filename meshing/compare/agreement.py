"""What a comparison found, as nouns: by structure, by pair of graders, and of all of them together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshing.compare.boundary import Distances
from meshing.errors import SegmentationError

NOT_TRUTH = (
    "Agreement is not truth: graders may share a mistake, and a consensus is their weighed vote, not the anatomy."
)

_ALIKE = 0.1
"""A Dice that graders of one scan reach in some structure, if they draw in the same place at all."""


@dataclass(frozen=True)
class CompareSettings:
    """How to compare.

    Parameters
    ----------
    tolerance_mm
        How far apart boundaries may lie and still count as the same, for surface Dice.
    margin_mm
        By how much the box around what was drawn grows, as far as the grid goes. Kappa, Fleiss' kappa, specificity
        and the consensus know the voxels of that box only: more background makes them look better.
    """

    tolerance_mm: float = 1.0
    margin_mm: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("tolerance", self.tolerance_mm), ("margin", self.margin_mm)):
            if not (math.isfinite(value) and value >= 0):
                raise SegmentationError(f"a {name} of {value} mm", hint="give 0 or a number of millimetres above it")


@dataclass(frozen=True)
class Pair:
    """Two graders on one structure.

    Parameters
    ----------
    reference, other
        Their names; differences are the other's less the reference's.
    reference_ml, other_ml
        Voxel volumes; 0 where a grader did not draw the structure.
    dice, kappa, distances
        None where one of the two did not draw it; kappa also where the box holds nothing else.
    """

    reference: str
    other: str
    reference_ml: float
    other_ml: float
    dice: float | None = None
    kappa: float | None = None
    distances: Distances | None = None

    @property
    def difference_ml(self) -> float:
        return self.other_ml - self.reference_ml

    @property
    def difference_percent(self) -> float | None:
        """Of the reference; None where that is empty."""
        return 100.0 * self.difference_ml / self.reference_ml if self.reference_ml else None


@dataclass(frozen=True)
class Performance:
    """What the consensus makes of one grader; `dice` is None where the consensus is empty."""

    grader: str
    sensitivity: float
    specificity: float
    dice: float | None


@dataclass(frozen=True)
class Consensus:
    """Where the structure is more likely than not, after STAPLE, of those who drew it."""

    volume_ml: float
    graders: tuple[Performance, ...]


@dataclass(frozen=True)
class StructureAgreement:
    """One structure.

    Parameters
    ----------
    drawn_by, missing_in
        Names of graders; each stands in one of the two.
    pairs
        Every two graders, in the order given.
    fleiss_kappa, consensus
        Of those who drew it; None where they are fewer than three, or the box holds nothing else.
    """

    key: str
    name: str
    drawn_by: tuple[str, ...]
    missing_in: tuple[str, ...]
    pairs: tuple[Pair, ...]
    fleiss_kappa: float | None = None
    consensus: Consensus | None = None


@dataclass(frozen=True)
class Comparison:
    """All structures that anybody drew, in the order in which graders name them."""

    graders: tuple[str, ...]
    settings: CompareSettings
    structures: tuple[StructureAgreement, ...]


def who_lie_apart(found: Comparison) -> tuple[tuple[str, str, float], ...]:
    """Pairs of graders who share almost no voxel of any structure that both drew, with their best Dice.

    Rather than disagree so much, one of their files belongs elsewhere: programs that crop a scan forget to move it.
    """
    best: dict[tuple[str, str], float] = {}
    for structure in found.structures:
        for pair in structure.pairs:
            if pair.dice is not None:
                both = pair.reference, pair.other
                best[both] = max(pair.dice, best.get(both, 0.0))
    return tuple((one, other, dice) for (one, other), dice in best.items() if dice < _ALIKE)
