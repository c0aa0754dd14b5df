"""What a verification found: problems, each of a kind, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProblemKind = Literal[
    "file",  # not a GLB that our reader takes apart
    "readers",  # trimesh reads it otherwise than we do
    "matrix",  # the way back to the patient is missing or leads elsewhere
    "units",  # not metres
    "mirrored",  # left and right, or another direction, turned into their opposite
    "axes",  # turned: not Y up with the patient's front to +Z
    "sides",  # a left structure stands under a right one's name, or the reverse
    "names",  # missing, unknown, repeated or changed names and labels
    "colour",
    "alpha",  # opacity or the mode that lets it count
    "bounds",
    "volume",
    "shape",  # farther from the case's surface than stated
    "mesh",  # open or not manifold
    "inward",  # faces look inward
    "normals",
    "annotation",  # a mark is not where its numbers say
    "notice",  # the notice that it is no medical device is gone
    "privacy",  # extras that no allow-list knows
]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the file, in a sentence with the numbers."""

    kind: ProblemKind
    text: str


@dataclass(frozen=True)
class VerifiedStructure:
    """A structure as read from the file, back in LPS mm."""

    key: str
    triangles: int
    volume_ml: float
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Verification:
    """What was found in `path`; `ok` means no problem, warnings notwithstanding."""

    path: Path
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    structures: tuple[VerifiedStructure, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def kinds(self) -> frozenset[ProblemKind]:
        """The kinds of the problems."""
        return frozenset(problem.kind for problem in self.problems)
