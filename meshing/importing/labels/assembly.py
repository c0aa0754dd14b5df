"""Drawn labels brought onto the scan's grid, packed into layers, named, and their nesting found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.importing.labels.align import extent_mm, on_grid
from meshing.importing.labels.drawn import Box, Drawn, Name, Place, boxes_of, compact
from meshing.importing.labels.naming import Namer, listed, structure_of
from meshing.names import Label, Naming
from meshing.segmentation import Labels, Segment, Segmentation
from meshing.terminology import Structure, plain
from meshing.volume import Fact, Grid, is_same_grid

# A part lies inside another when so much of it does: drawings of wall and lumen cross by a voxel here and there.
INSIDE = 0.95

_MOST_NESTED = 40


@dataclass(frozen=True)
class _Entry:
    """A segment to be: its place in the layers, its structure and its bounding box.

    `rank` says who keeps the plain key when several claim it: 0 a file of its own under that very name, 1 a file of
    its own, 2 one label among others.
    """

    layer: int
    label: int
    structure: Structure
    box: Box
    rank: int = 2


class Assembly:
    """Collects drawn labels on one grid; `finished` is the segmentation and what was done.

    Parameters
    ----------
    where
        The label file or folder, for errors.
    naming
        How labels get their structures.
    """

    def __init__(self, grid: Grid, *, where: Path, naming: Naming) -> None:
        self._grid, self._where = grid, where
        self._naming, self._namer = naming, Namer(naming)
        self._layers: list[Labels] = []
        self._entries: list[_Entry] = []
        self._empty: list[str] = []
        self._lost: list[str] = []
        self._copies: list[str] = []
        self._facts: list[Fact] = []
        self._resampled: dict[tuple[str, str], tuple[float, float]] = {}

    @property
    def has_segments(self) -> bool:
        return bool(self._entries)

    def add_as_drawn(self, drawn: Drawn) -> None:
        """The layers of a file as they are, so that every label keeps its number.

        Raises
        ------
        SegmentationError
            If it draws nothing, or nothing that lies on the grid.
        """
        if not drawn.boxes:
            raise SegmentationError("nothing is drawn in it: every voxel is 0", where=self._where)
        layers, boxes = self._aligned(drawn)
        for (number, label), box in boxes.items():
            if structure := self._namer.structure(drawn, (number, label), label):
                self._entries.append(_Entry(len(self._layers) + number, label, structure, box))
        self._layers += layers
        self._note_absent(drawn, boxes)

    def add_mask_by_mask(self, drawn: Drawn) -> None:
        """Each label of a file into the first layer where it is free; its number stays where no other has it.

        Raises
        ------
        SegmentationError
            If what it draws does not lie on the grid.
        """
        if not drawn.boxes and not drawn.names:
            self._empty.append(self._name_of(drawn.fallback))
        layers, boxes = self._aligned(drawn) if drawn.boxes else ([], {})
        for (number, label), box in boxes.items():
            self._add_mask(layers[number][box] == label, box, (number, label), drawn)
        self._note_absent(drawn, boxes)

    def finished(self, source: str) -> tuple[Segmentation, tuple[Fact, ...]]:
        """The segmentation, each part inside the smallest that contains it, and the facts."""
        keys = _unique_keys(self._entries)
        inside = self._nesting()
        segments = tuple(
            Segment(key, entry.label, entry.layer, entry.structure, None if parent is None else keys[parent])
            for key, entry, parent in zip(keys, self._entries, inside, strict=True)
        )
        layers = tuple(compact(layer) for layer in self._layers)
        return Segmentation(layers, self._grid, segments, source), tuple(self._all_facts(segments))

    # ---- on the way in

    def _aligned(self, drawn: Drawn) -> tuple[list[Labels], Mapping[Place, Box]]:
        """Layers on the scan's grid and the boxes there; resampling is noted, and refused when nothing is left."""
        self._facts += [fact for fact in drawn.facts if fact not in self._facts]
        if is_same_grid(drawn.grid, self._grid):
            return list(drawn.layers), drawn.boxes
        layers = [on_grid(layer, drawn.grid, self._grid) for layer in drawn.layers]
        before, after = _volume_ml(drawn.layers, drawn.grid), _volume_ml(layers, self._grid)
        if not after:
            raise SegmentationError(
                f"its labels lie outside the scan: they span {extent_mm(drawn.grid)}, the scan {extent_mm(self._grid)}",
                where=self._where,
                hint="the labels belong to another scan, or were drawn on a registered copy of this one",
            )
        shape = " × ".join(map(str, drawn.grid.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in drawn.grid.spacing_mm)
        earlier = self._resampled.get((shape, spacing), (0.0, 0.0))
        self._resampled[shape, spacing] = (earlier[0] + before, earlier[1] + after)
        return layers, boxes_of(layers)

    def _add_mask(self, mask: npt.NDArray[np.bool_], box: Box, place: Place, drawn: Drawn) -> None:
        name = drawn.name(place)
        structure = self._namer.structure(drawn, place, len(self._entries) + 1)
        if structure is None:
            return
        rank = 2 if not drawn.is_one_mask else 1 if plain(name.text) != plain(structure.key) else 0
        for at, entry in enumerate(self._entries):
            same = entry.structure.key == structure.key and entry.box == box
            if same and (self._mask(entry) == mask).all():
                self._copies.append(structure.name)
                self._entries[at] = replace(entry, rank=min(entry.rank, rank))
                return
        number = self._free_layer(mask, box)
        label, taken = place[1], {entry.label for entry in self._entries}
        if label in taken:
            label = next(free for free in range(1, len(taken) + 2) if free not in taken)
        self._layers[number][box][mask] = label
        self._entries.append(_Entry(number, label, structure, box, rank))

    def _free_layer(self, mask: npt.NDArray[np.bool_], box: Box) -> int:
        for number, layer in enumerate(self._layers):
            if not layer[box][mask].any():
                return number
        self._layers.append(np.zeros(self._grid.shape, np.uint16, order="F"))
        return len(self._layers) - 1

    def _note_absent(self, drawn: Drawn, found: Mapping[Place, Box]) -> None:
        """Names that no voxel of the file has, and labels whose voxels all lie off the scan."""
        self._empty += [self._name_of(name.text) for place, name in drawn.names.items() if place not in drawn.boxes]
        self._lost += [self._name_of(drawn.name(place).text) for place in drawn.boxes if place not in found]

    def _name_of(self, text: str) -> str:
        return structure_of(Name(text), self._naming.match(Label(name=text)), 0).name

    # ---- on the way out

    def _nesting(self) -> list[int | None]:
        """For each entry the smallest other one that holds 95 % of it, or None."""
        if len(self._layers) == 1:
            return [None] * len(self._entries)  # one voxel has one label there
        index = {(entry.layer, entry.label): number for number, entry in enumerate(self._entries)}
        sizes = [int(np.count_nonzero(self._mask(entry))) for entry in self._entries]
        return [self._parent(number, index, sizes) for number in range(len(self._entries))]

    def _parent(self, number: int, index: Mapping[Place, int], sizes: Sequence[int]) -> int | None:
        child = self._entries[number]
        mask = self._mask(child)
        parents = []
        for other, layer in enumerate(self._layers):
            if other == child.layer:
                continue
            shared = np.bincount(layer[child.box][mask])
            for label in np.flatnonzero(shared[1:] >= INSIDE * sizes[number]) + 1:
                parent = index.get((other, int(label)))  # None: a label that is left out
                if parent is not None and sizes[parent] > sizes[number]:
                    parents.append(parent)
        return min(parents, key=lambda parent: sizes[parent], default=None)

    def _mask(self, entry: _Entry) -> npt.NDArray[np.bool_]:
        """The entry's voxels within its box."""
        mask: npt.NDArray[np.bool_] = self._layers[entry.layer][entry.box] == entry.label
        return mask

    def _all_facts(self, segments: tuple[Segment, ...]) -> Iterator[Fact]:
        yield from self._facts
        yield from self._namer.facts()
        for (shape, spacing), (before, after) in self._resampled.items():
            text = (
                f"labels on another grid ({shape} voxels of {spacing} mm) were brought onto the scan's by nearest "
                f"neighbour: {before:.4g} ml became {after:.4g} ml"
            )
            yield Fact("labels", text, {"shape": shape, "before_ml": round(before, 4), "after_ml": round(after, 4)})
        if self._empty:
            names = list(dict.fromkeys(self._empty))
            yield Fact("labels", f"{len(names)} structures have no voxel: {listed(names)}", {"empty": names})
        if self._lost:
            text = f"{len(self._lost)} structures lie wholly outside the scan: {listed(self._lost)}"
            yield Fact("labels", text, {"outside": self._lost})
        if self._copies:
            names = list(dict.fromkeys(self._copies))
            yield Fact("labels", f"drawn twice, voxel for voxel, and kept once: {listed(names)}", {"copies": names})
        nested = {segment.key: segment.inside for segment in segments if segment.inside}
        if nested:
            text = "; ".join(f"{child} in {parent}" for child, parent in list(nested.items())[:_MOST_NESTED])
            yield Fact("labels", f"nested by at least {INSIDE:.0%} of their voxels: {text}", {"inside": nested})


def _volume_ml(layers: Sequence[npt.NDArray[Any]], grid: Grid) -> float:
    return sum(int(np.count_nonzero(layer)) for layer in layers) * grid.voxel_volume_mm3 / 1000.0


def _unique_keys(entries: list[_Entry]) -> list[str]:
    """`structure.key` for the entry of best rank, and `key_2`, `key_3`, … for those that claim it too."""
    keys: dict[int, str] = {}
    for at in sorted(range(len(entries)), key=lambda at: (entries[at].rank, at)):
        plain_key = entries[at].structure.key
        numbered = (f"{plain_key}_{number}" for number in count(2))
        taken = set(keys.values())
        keys[at] = plain_key if plain_key not in taken else next(key for key in numbered if key not in taken)
    return [keys[at] for at in range(len(entries))]
