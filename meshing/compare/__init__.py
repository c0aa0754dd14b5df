"""Agreement of graders: the same structures, drawn by two or more people or programs on one grid.

In come segmentations, out comes what they share and how far apart they lie: Dice, volumes, kappa, distances between
boundaries (`meshing.compare.boundary` says which) and, of three or more, Fleiss' kappa and a consensus
(`meshing.compare.votes`). Structures meet by their key; what some did not draw is listed with them. Voxels are compared
as they are drawn: a liver with its tumour is another structure than one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from meshing.compare.agreement import (
    NOT_TRUTH,
    CompareSettings,
    Comparison,
    Consensus,
    Pair,
    Performance,
    StructureAgreement,
    who_lie_apart,
)
from meshing.compare.boundary import Boundary, Distances, boundary_of, distances
from meshing.compare.votes import Votes, cohen_kappa, drawn_by, fleiss_kappa_of, staple, votes_of
from meshing.errors import SegmentationError
from meshing.progress import Progress, part, silent
from meshing.segmentation import Labels, Segmentation
from meshing.volume import Grid, is_same_grid

__all__ = [
    "MOST_GRADERS",
    "NOT_TRUTH",
    "CompareSettings",
    "Comparison",
    "Consensus",
    "Distances",
    "Pair",
    "Performance",
    "StructureAgreement",
    "compare",
    "who_lie_apart",
]

MOST_GRADERS = 16
"""Their ballots are bits of one number."""

_FEWEST_FOR_CONSENSUS = 3

Box = tuple[slice, slice, slice]
_AS_ASKED = CompareSettings()


def compare(
    graders: Mapping[str, Segmentation], settings: CompareSettings = _AS_ASKED, *, progress: Progress = silent
) -> Comparison:
    """How far graders agree, structure by structure and pair by pair.

    Parameters
    ----------
    graders
        Name → what that grader drew, all on one grid. Of each pair, the one that comes first is the reference.

    Raises
    ------
    SegmentationError
        If graders are fewer than 2 or more than 16, if their grids differ, or if no two drew the same structure.
    """
    _refuse_too_few_or_many(len(graders))
    grid = _one_grid(graders)
    drawings = {name: _drawings_of(segmentation) for name, segmentation in graders.items()}
    names = {
        segment.key: segment.structure.name for segmentation in graders.values() for segment in segmentation.segments
    }
    _refuse_strangers(drawings)
    structures = []
    for number, (key, name) in enumerate(names.items()):
        drawn = {grader: found[key] for grader, found in drawings.items() if key in found}
        step = part(progress, number / len(names), (number + 1) / len(names))
        step(0.0, f"comparing {name}")
        structures.append(_Table(key, name, tuple(graders), drawn, grid, settings).agreement(step))
    progress(1.0, "compared")
    return Comparison(tuple(graders), settings, tuple(structures))


def _refuse_too_few_or_many(count: int) -> None:
    if not 2 <= count <= MOST_GRADERS:
        raise SegmentationError(
            f"{count} graders; agreement is of 2 to {MOST_GRADERS}", hint="name the label files to compare"
        )


def _one_grid(graders: Mapping[str, Segmentation]) -> Grid:
    (first, reference), *others = ((name, segmentation.grid) for name, segmentation in graders.items())
    for name, grid in others:
        if not is_same_grid(reference, grid):
            raise SegmentationError(
                f"{name} drew on {_where(grid)}, {first} on {_where(reference)}",
                where=graders[name].source,
                hint=f"bring them onto one grid first: meshing.importing.labels.read_labels(path, grid of {first})",
            )
    return reference


def _where(grid: Grid) -> str:
    shape = " × ".join(map(str, grid.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in grid.spacing_mm)
    left, posterior, superior = grid.origin_mm
    return f"{shape} voxels of {spacing} mm from L {left:.1f}, P {posterior:.1f}, S {superior:.1f} mm"


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What one grader drew of one structure, and the box around it."""

    layer: Labels
    label: int
    box: Box

    def within(self, box: Box) -> npt.NDArray[np.bool_]:
        mask: npt.NDArray[np.bool_] = self.layer[box] == self.label
        return mask


def _drawings_of(segmentation: Segmentation) -> dict[str, _Drawing]:
    """By key, of the segments that some voxel has."""
    from scipy.ndimage import find_objects

    boxes = [find_objects(layer) for layer in segmentation.layers]
    found = {}
    for segment in segmentation.segments:
        of_layer = boxes[segment.layer]
        box = of_layer[segment.label - 1] if segment.label <= len(of_layer) else None
        if box is not None:
            found[segment.key] = _Drawing(segmentation.layers[segment.layer], segment.label, box)
    return found


def _refuse_strangers(drawings: Mapping[str, Mapping[str, _Drawing]]) -> None:
    if any(one.keys() & other.keys() for one, other in combinations(drawings.values(), 2)):
        return
    lists = "; ".join(f"{name} has {', '.join(sorted(found)[:10]) or 'nothing'}" for name, found in drawings.items())
    raise SegmentationError(
        f"no two graders drew the same structure: {lists}",
        hint="structures meet by name: name the labels, or give each grader a folder with files like liver.nii.gz",
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """One structure, and what each grader drew of it."""

    key: str
    name: str
    graders: tuple[str, ...]
    drawn: Mapping[str, _Drawing]
    grid: Grid
    settings: CompareSettings

    def agreement(self, progress: Progress) -> StructureAgreement:
        missing = tuple(grader for grader in self.graders if grader not in self.drawn)
        if not self.drawn:
            empty = tuple(Pair(one, other, 0.0, 0.0) for one, other in combinations(self.graders, 2))
            return StructureAgreement(self.key, self.name, (), missing, empty)
        votes = self._votes(tuple(self.drawn))
        pairs = self._pairs(votes, progress)
        fleiss = consensus = None
        if len(self.drawn) >= _FEWEST_FOR_CONSENSUS:
            fleiss, consensus = fleiss_kappa_of(votes), self._consensus(votes)
        return StructureAgreement(self.key, self.name, tuple(self.drawn), missing, pairs, fleiss, consensus)

    def _votes(self, graders: Sequence[str]) -> Votes:
        """Ballots within the box around what they drew, grown by the margin."""
        box = _around(self.drawn[grader].box for grader in graders)
        votes = votes_of([self.drawn[grader].within(box) for grader in graders])
        votes[0] = self._voxels_around(box) - votes[1:].sum()
        return votes

    def _voxels_around(self, box: Box) -> int:
        margins = np.ceil(self.settings.margin_mm / self.grid.spacing_mm - 1e-6).astype(int)
        low = np.maximum([side.start for side in box] - margins, 0)
        high = np.minimum([side.stop for side in box] + margins, self.grid.shape)
        return int((high - low).prod())

    def _pairs(self, votes: Votes, progress: Progress) -> tuple[Pair, ...]:
        volumes = dict.fromkeys(self.graders, 0.0)
        for grader, voxels in zip(self.drawn, votes @ drawn_by(votes), strict=True):
            volumes[grader] = float(voxels) * self._ml
        boundaries: dict[str, Boundary] = {}
        pairs = []
        both = list(combinations(self.graders, 2))
        for number, (one, other) in enumerate(both):
            step = part(progress, number / len(both), (number + 1) / len(both))
            step(0.0, f"comparing {self.name}: {one} and {other}")
            is_drawn = {one, other} <= self.drawn.keys()
            measured = self._measured(one, other, boundaries, step) if is_drawn else (None,) * 3
            pairs.append(Pair(one, other, volumes[one], volumes[other], *measured))
        return tuple(pairs)

    def _measured(
        self, one: str, other: str, boundaries: dict[str, Boundary], progress: Progress
    ) -> tuple[float | None, float | None, Distances | None]:
        """Dice, kappa and distances; `boundaries` are kept for the next pair."""
        neither, only_one, only_other, shared = (int(count) for count in self._votes((one, other)))
        dice = 2 * shared / (only_one + only_other + 2 * shared)
        for grader in (one, other):
            if grader not in boundaries:
                drawing = self.drawn[grader]
                first = (drawing.box[0].start, drawing.box[1].start, drawing.box[2].start)
                boundaries[grader] = boundary_of(drawing.within(drawing.box), first, self.grid)
        apart = distances(boundaries[one], boundaries[other], self.settings.tolerance_mm, progress=progress)
        return dice, cohen_kappa([[neither, only_other], [only_one, shared]]), apart

    def _consensus(self, votes: Votes) -> Consensus | None:
        found = staple(votes)
        if found is None:
            return None
        likely = votes * (found.probability > 0.5)
        agreed, said = int(likely.sum()), drawn_by(votes)
        shares = zip(self.drawn, found.sensitivity, found.specificity, likely @ said, votes @ said, strict=True)
        performances = tuple(
            Performance(grader, float(p), float(q), 2 * int(shared) / (agreed + int(own)) if agreed else None)
            for grader, p, q, shared, own in shares
        )
        return Consensus(agreed * self._ml, performances)

    @property
    def _ml(self) -> float:
        return self.grid.voxel_volume_mm3 / 1000.0


def _around(boxes: Iterable[Box]) -> Box:
    """The box around boxes."""
    sides = [
        slice(min(side.start for side in along), max(side.stop for side in along)) for along in zip(*boxes, strict=True)
    ]
    return sides[0], sides[1], sides[2]
