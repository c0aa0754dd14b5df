"""Headers of a folder to the entries that a listing shows: series taken apart until one entry is one stack per phase.

Nothing here depends on file names or on the order of files: every order comes from what the headers say.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from meshing.errors import GeometryError, ScanError
from meshing.importing.dicom.geometry import Stack, axes_of, measure
from meshing.importing.dicom.headers import Header, Slice
from meshing.importing.dicom.kinds import SLICES
from meshing.importing.dicom.phases import split_by_phase


@dataclass(frozen=True, eq=False)
class Phase:
    """One stack of an entry: its slices along the normal, and what tells it from the other phases."""

    slices: tuple[Slice, ...]
    stack: Stack | None
    label: str = ""
    problem: ScanError | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a listing: a volume (one stack per phase), or something that is none."""

    kind: str
    headers: tuple[Header, ...]
    phases: tuple[Phase, ...] = ()
    copies: int = 0
    problem: ScanError | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_volume(self) -> bool:
        return self.kind == "volume"

    @property
    def is_usable(self) -> bool:
        return self.is_volume and self.problem is None and any(phase.problem is None for phase in self.phases)


def entries_of(headers: Iterable[Header]) -> tuple[Entry, ...]:
    """The entries, in an order that depends on the headers alone."""
    kept, copies = drop_copies(headers)
    series: dict[tuple[str, str, str], list[Header]] = {}
    for header in kept:
        series.setdefault((header.study, header.series, header.kind), []).append(header)
    entries: list[Entry] = []
    for key in sorted(series, key=lambda key: (key[0], series[key][0].series_number, key[1], key[2])):
        group = tuple(series[key])
        copied = sum(copies.get((header.series, header.instance_uid), 0) for header in group)
        if key[2] == SLICES:
            entries += _stacks_of(group, copied)
        else:
            entries.append(Entry(key[2], group, copies=copied))
    return tuple(entries)


def drop_copies(headers: Iterable[Header]) -> tuple[list[Header], Counter[tuple[str, str]]]:
    """The headers sorted by what they say, each image once; and how many copies of each were dropped.

    A copy has the same instance UID, the same place and the same pixel bytes; or the same UID and place in another
    transfer syntax, as archives keep them, of which the uncompressed one stays.
    """
    by_identity: dict[tuple[str, str], list[Header]] = {}
    for header in headers:
        by_identity.setdefault((header.series, header.instance_uid), []).append(header)
    kept: list[Header] = []
    copies: Counter[tuple[str, str]] = Counter()
    for identity, alike in by_identity.items():
        if len(alike) == 1 or not identity[1]:
            kept += alike
            continue
        distinct: dict[object, Header] = {}
        for header in sorted(
            alike, key=lambda header: (header.layout is None or header.layout.compressed, header.syntax)
        ):
            distinct.setdefault(_place(header), header)
        if len({header.syntax for header in alike}) == 1:
            distinct = {}
            for header in alike:
                distinct.setdefault((_place(header), pixel_digest(header)), header)
        kept += [header for _, header in sorted(distinct.items(), key=lambda item: repr(item[0]))]
        if len(distinct) < len(alike):
            copies[identity] += len(alike) - len(distinct)
    return sorted(kept, key=_canonical), copies


def pixel_digest(header: Header) -> str:
    """A hash of the file's pixel bytes, which tells copies from images that only share a place."""
    digest = hashlib.sha256()
    if header.layout is not None:
        with header.path.open("rb") as stream:
            if header.path.stat().st_size > header.layout.offset:
                stream.seek(header.layout.offset)
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _place(header: Header) -> tuple[object, ...]:
    planes = tuple((plane.position_mm, plane.along_row, plane.along_column, plane.slope) for plane in header.planes)
    return header.rows, header.columns, header.instance, planes


def _canonical(header: Header) -> tuple[object, ...]:
    first = header.planes[0].position_mm if header.planes else (0.0, 0.0, 0.0)
    number = -1 if header.instance is None else header.instance
    return header.study, header.series_number, header.series, header.kind, number, first, header.instance_uid


def _stacks_of(headers: Sequence[Header], copies: int) -> list[Entry]:
    """The volumes and single images of one series: one entry per size, orientation and frame of reference."""
    slices = [Slice(header, plane) for header in headers for plane in header.planes]
    broken = [one for one in slices if one.plane.problem]
    clusters = [
        part
        for cluster in _clusters([one for one in slices if not one.plane.problem])
        for part in _by_frame_of_reference(cluster)
    ]
    entries = []
    for cluster in clusters:
        of_this_size = [one for one in broken if _size(one) in (_size(cluster[0]), (0, 0))]
        entries.append(_entry(cluster, of_this_size, copies))
    claimed = {_size(cluster[0]) for cluster in clusters}
    orphans = [one for one in broken if _size(one) not in claimed and not (clusters and _size(one) == (0, 0))]
    if orphans:
        problem = orphans[0].plane.problem
        kind = "volume" if len(orphans) > 1 else "single image"
        entries.append(Entry(kind, tuple({id(o.header): o.header for o in orphans}.values()), (), copies, problem))
    return entries


def _size(one: Slice) -> tuple[int, int]:
    return one.header.columns, one.header.rows


def _clusters(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices of one size whose edges lie within half a pixel of each other: one orientation, one pixel spacing."""
    clusters: list[list[Slice]] = []
    for one in slices:
        for cluster in clusters:
            if _size(one) == _size(cluster[0]) and _is_parallel(one, cluster[0]):
                cluster.append(one)
                break
        else:
            clusters.append([one])
    return sorted(
        clusters, key=lambda cluster: (_size(cluster[0]), cluster[0].plane.along_row, cluster[0].plane.along_column)
    )


def _is_parallel(one: Slice, other: Slice) -> bool:
    return bool(np.abs(one.edges_mm - other.edges_mm).max() <= 0.5 * min(*one.plane.pixel_mm, *other.plane.pixel_mm))


def _by_frame_of_reference(cluster: list[Slice]) -> list[list[Slice]]:
    """The cluster by frame of reference, unless every slice has one of its own: then anonymising made them up."""
    frames: dict[str, list[Slice]] = {}
    for one in cluster:
        frames.setdefault(one.header.frame_of_reference, []).append(one)
    if len(frames) == 1 or max(map(len, frames.values())) == 1:
        return [cluster]
    return [frames[key] for key in sorted(frames)]


def _entry(cluster: Sequence[Slice], broken: Sequence[Slice], copies: int) -> Entry:
    headers = tuple({id(one.header): one.header for one in cluster}.values())
    problem = broken[0].plane.problem if broken else None
    remarks = []
    if len({header.frame_of_reference for header in headers}) > 1:
        remarks.append("every slice names another frame of reference; their positions were taken as one frame")
    try:
        parts = split_by_phase(cluster)
    except GeometryError as error:
        return Entry("volume", headers, (), copies, problem or error, tuple(remarks))
    stacks = [(label, part) for label, part in parts if len(part) > 1] or parts
    if all(len(part) == 1 for _, part in stacks):
        return Entry("single image", headers, (), copies, problem, tuple(remarks))
    phases = tuple(_phase(label, part) for label, part in stacks)
    return Entry("volume", headers, phases, copies, problem, tuple(remarks))


def _phase(label: str, slices: Sequence[Slice]) -> Phase:
    first = slices[0].plane
    stack = measure(
        np.array([one.plane.position_mm for one in slices]),
        axes_of(first.along_row, first.along_column),
        first.pixel_mm,
        [_number(one) for one in slices],
    )
    return Phase(tuple(slices[index] for index in stack.order), stack, label)


def _number(one: Slice) -> int | None:
    return one.plane.frame if one.header.frame_count > 1 else one.header.instance
