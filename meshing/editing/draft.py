"""The draft: a label layer being drawn, the one thing here that changes.

It is kept in patient order, x to the left, y to the back, z to the head, so that what is drawn does not depend on how
the scan was stored; `stored` gives it back in the order of the scan. Every change is a step of its history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from meshing.editing.history import MOST_BYTES, History, Step, StepName, apply_difference, changed_box, difference_of
from meshing.editing.patch import (
    MOST_LABELS,
    LabelPatch,
    Patch,
    around,
    box_voxels,
    empty_patch,
    inside,
    label_boxes,
    one_grid,
    whole_box,
)
from meshing.editing.turning import turning_of
from meshing.errors import SegmentationError
from meshing.segmentation import Labels, Segmentation
from meshing.volume import Grid, Volume
from meshing.voxels.upright import Box

Way = Literal["replace", "add", "erase"]


@dataclass(frozen=True, eq=False)
class Masking:
    """Which voxels a change may touch.

    Parameters
    ----------
    within
        Only voxels of this patch (another segment, or a range of intensity).
    protected
        Labels whose voxels keep them.
    """

    within: Patch | None = None
    protected: frozenset[int] = frozenset()


EVERYWHERE = Masking()


class Draft:
    """A label layer on a scan, its scan in patient order, and the history of both.

    Parameters
    ----------
    volume
        The scan to draw on.
    drawn
        What is drawn already, on the grid of the scan; nothing when left out.
    layer
        Which of its layers is edited.
    most_bytes
        What the history may take; beyond it the oldest steps are dropped.

    Raises
    ------
    SegmentationError
        If `drawn` lies on another grid.
    """

    def __init__(
        self, volume: Volume, drawn: Segmentation | None = None, *, layer: int = 0, most_bytes: int = MOST_BYTES
    ) -> None:
        self._turning = turning_of(volume.grid)
        self.volume = self._turning.volume(volume)
        self.history = History(most_bytes)
        self._layer: Labels = np.zeros(self.volume.grid.shape, np.uint8, order="F")
        if drawn is not None:
            one_grid(drawn.grid, volume.grid)
            whole = LabelPatch(volume.grid, whole_box(volume.grid), drawn.layers[layer])
            self._layer = self._turning.labels(whole).labels.copy(order="F")

    @property
    def grid(self) -> Grid:
        """The grid in patient order."""
        return self.volume.grid

    @property
    def layer(self) -> Labels:
        """The labels in patient order; read-only."""
        view = self._layer.view()
        view.setflags(write=False)
        return view

    def stored(self) -> Labels:
        """The labels in the storage order of the scan."""
        labels: Labels = self._turning.array_back(self._layer)
        return labels

    def patch(self, label: int) -> Patch:
        """The voxels of a label, in their smallest box."""
        box = label_boxes(self._layer).get(label)
        if box is None:
            return empty_patch(self.grid)
        return Patch(self.grid, box, self._layer[box] == label)

    def labels(self) -> LabelPatch:
        """All labels, in the smallest box around them."""
        box = around(*label_boxes(self._layer).values())
        return LabelPatch(self.grid, box, self._layer[box].copy(order="F"))

    def draw(
        self, patch: Patch, label: int, name: StepName, *, way: Way = "replace", masking: Masking = EVERYWHERE
    ) -> Step | None:
        """The step that drew a patch, or None where nothing changed.

        Parameters
        ----------
        way
            "replace": the label has these voxels and no others; "add": these too; "erase": these no longer.

        Raises
        ------
        SegmentationError
            If the label is not 1 to 65,535, or the patch lies on another grid.
        """
        one_grid(patch.grid, self.grid)
        self._make_room_for(label)
        own = label_boxes(self._layer).get(label) if way == "replace" else None
        box = around(patch.box, own) if own else patch.box
        before = self._layer[box]
        after, drawn = before.copy(order="F"), patch.within(box)
        if way != "add":
            after[(before == label) & (drawn if way == "erase" else ~drawn)] = 0
        if way != "erase":
            after[drawn] = label
        return self._change(box, after, name, masking)

    def draw_labels(
        self, patch: LabelPatch, name: StepName, *, replacing: bool = False, masking: Masking = EVERYWHERE
    ) -> Step | None:
        """The step that drew several labels at once, or None where nothing changed.

        Parameters
        ----------
        replacing
            Whether voxels outside the patch lose those labels, and voxels in its box that it leaves empty lose any.
        """
        one_grid(patch.grid, self.grid)
        self._make_room_for(max(patch.numbers(), default=1))
        numbers = patch.numbers()
        own = label_boxes(self._layer)
        box = around(patch.box, *(own[number] for number in numbers if number in own)) if replacing else patch.box
        after = self._layer[box].copy(order="F")
        if replacing:
            after[np.isin(after, numbers)] = 0
        there = after[inside(patch.box, box)]
        new = np.ones(patch.labels.shape, np.bool_) if replacing else patch.labels != 0
        there[new] = patch.labels[new]
        return self._change(box, after, name, masking)

    def undo(self) -> Step | None:
        """The step undone, or None at the beginning."""
        return self._walk(self.history.back())

    def redo(self) -> Step | None:
        """The step done again, or None at the end."""
        return self._walk(self.history.forth())

    def _walk(self, step: Step | None) -> Step | None:
        if step is not None:
            apply_difference(self._layer, step.box, step.difference)
        return step

    def _make_room_for(self, label: int) -> None:
        if not 1 <= label <= MOST_LABELS:
            raise SegmentationError(f"label {label}; labels run from 1 to {MOST_LABELS}")
        if label > 255 and self._layer.dtype == np.uint8:
            self._layer = self._layer.astype(np.uint16, order="F")

    def _change(self, box: Box, after: Labels, name: StepName, masking: Masking) -> Step | None:
        if not box_voxels(box):
            return None
        before = self._layer[box]
        _keep(before, after, masking, box, self.grid)
        changed, count = changed_box(before, after, box)
        if not count:
            return None
        local = inside(changed, box)
        step = Step(name, changed, count, difference_of(before[local], after[local]))
        self._layer[changed] = after[local]
        self.history.record(step)
        return step


def _keep(before: Labels, after: Labels, masking: Masking, box: Box, grid: Grid) -> None:
    """Puts back, in place, what must not change."""
    if masking.within is not None:
        one_grid(masking.within.grid, grid)
        np.copyto(after, before, where=~masking.within.within(box))
    for label in masking.protected:
        np.copyto(after, before, where=before == label)
