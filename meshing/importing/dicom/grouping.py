"""Headers of a folder to the entries that a listing shows: series taken apart until one entry is one stack per phase.

Nothing here depends on file names or on the order of files: every order comes from what the headers say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from meshing.errors import GeometryError, ScanError
from meshing.frames import FloatArray
from meshing.importing.dicom.copies import drop_copies, drop_twins
from meshing.importing.dicom.geometry import Stack, tolerance_mm
from meshing.importing.dicom.headers import Header, Slice
from meshing.importing.dicom.kinds import SLICES
from meshing.importing.dicom.phases import split_by_phase, stack_of

_STEEPEST_DEG = 45.0
"""No gantry tilts further than 30°; planes that slide by more than their distance are no stack."""


@dataclass(frozen=True, eq=False)
class Phase:
    """One stack of an entry: its slices along the normal, and what tells it from the other phases."""

    slices: tuple[Slice, ...]
    stack: Stack
    label: str


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a listing: a volume (one stack per phase), or something that is none.

    Parameters
    ----------
    problem
        What an import would refuse it for; missing slices are not among it, since a choice may fill them.
    remarks
        What was noticed and accepted.
    """

    kind: str
    headers: tuple[Header, ...]
    phases: tuple[Phase, ...] = ()
    problem: ScanError | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        return bool(self.phases) and self.problem is None

    @property
    def copies(self) -> int:
        return sum(header.copies for header in self.headers)


def entries_of(headers: Iterable[Header]) -> tuple[Entry, ...]:
    """The entries, in an order that depends on the headers alone."""
    series: dict[tuple[str, str, str], list[Header]] = {}
    for header in drop_copies(headers):  # sorted by study, series number, series, kind
        series.setdefault((header.study, header.series, header.kind), []).append(header)
    entries: list[Entry] = []
    for (_, _, kind), group in series.items():
        if kind == SLICES:
            entries += _entries_of_series(group)
        else:
            entries.append(Entry(kind, tuple(group)))
    return tuple(entries)


def _entries_of_series(headers: Sequence[Header]) -> list[Entry]:
    """Volumes and single images: one entry per size, orientation and frame of reference.

    A plane without a place taints every volume of its size: it may be a slice of it.
    """
    slices = [Slice(header, plane) for header in headers for plane in header.planes]
    broken = [one for one in slices if one.plane.problem]
    clusters = _clusters([one for one in slices if not one.plane.problem])
    entries = []
    for cluster in clusters:
        tainting = [one for one in broken if one.header.size == cluster[0].header.size or 0 in one.header.size]
        entries += _entries_of_cluster(cluster, tainting[0].plane.problem if tainting else None)
    sizes = {cluster[0].header.size for cluster in clusters}
    orphans = [one for one in broken if one.header.size not in sizes and not (sizes and 0 in one.header.size)]
    if orphans:
        kind = "volume" if len(orphans) > 1 else "single image"
        entries.append(Entry(kind, _headers_of(orphans), problem=orphans[0].plane.problem))
    return entries


def _headers_of(slices: Sequence[Slice]) -> tuple[Header, ...]:
    return tuple({id(one.header): one.header for one in slices}.values())


def _clusters(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that may share a volume, in an order of their own: equal in size, orientation, frame of reference."""
    clusters: dict[int, list[Slice]] = {}
    number_of: dict[object, int] = {}
    anchors: dict[object, list[tuple[int, FloatArray]]] = {}
    for one in slices:
        kin = (one.header.size, one.plane.stack)
        posture = (*kin, one.plane.along_row, one.plane.along_column, one.plane.pixel_mm)
        if posture not in number_of:
            number_of[posture] = _nearest(one, anchors.setdefault(kin, []), len(number_of))
        clusters.setdefault(number_of[posture], []).append(one)
    parts = [part for cluster in clusters.values() for part in _by_frame_of_reference(cluster)]
    return sorted(parts, key=lambda part: (part[0].header.size, part[0].plane.along_row, part[0].plane.along_column))


def _nearest(one: Slice, anchors: list[tuple[int, FloatArray]], fresh: int) -> int:
    """The cluster whose corners lie within half a pixel of the slice's if their first voxels met, or a new one."""
    edges = one.edges_mm
    if anchors:
        apart = np.abs(np.array([anchor for _, anchor in anchors]) - edges).max(axis=1)
        if apart.min() <= 0.5 * min(one.plane.pixel_mm):
            return anchors[int(apart.argmin())][0]
    anchors.append((fresh, edges))
    return fresh


def _by_frame_of_reference(cluster: list[Slice]) -> list[list[Slice]]:
    """The cluster by frame of reference, unless every slice has one of its own: then anonymising made them up."""
    frames: dict[str, list[Slice]] = {}
    for one in cluster:
        frames.setdefault(one.header.frame_of_reference, []).append(one)
    if len(frames) == 1 or max(map(len, frames.values())) == 1:
        return [cluster]
    return [frames[key] for key in sorted(frames)]


def _entries_of_cluster(cluster: Sequence[Slice], problem: ScanError | None) -> list[Entry]:
    """The volume of a cluster with its phases, and apart from it the phases that are single images."""
    try:
        try:
            parts = split_by_phase(cluster)
        except GeometryError:
            # Looked for only now: twins of a time series may be honest, as where nothing moves between two phases.
            parts = split_by_phase(drop_twins(cluster))
    except GeometryError as error:
        return [Entry("volume", _headers_of(cluster), problem=problem or error)]
    stacks = [(label, part) for label, part in parts if len(part) > 1]
    singles = [one for _, part in parts if len(part) == 1 for one in part]
    entries = []
    if stacks:
        phases = tuple(_phase(label, part) for label, part in stacks)
        problem = problem or next((found for phase in phases if (found := _stack_problem(phase))), None)
        headers = _headers_of([one for phase in phases for one in phase.slices])
        entries.append(Entry("volume", headers, phases, problem, _remarks(headers)))
    if singles:
        entries.append(Entry("single image", _headers_of(singles), problem=None if stacks else problem))
    return entries


def _phase(label: str, slices: Sequence[Slice]) -> Phase:
    stack = stack_of(slices)
    return Phase(tuple(slices[index] for index in stack.order), stack, label)


def _stack_problem(phase: Phase) -> GeometryError | None:
    stack, first = phase.stack, phase.slices[0]
    if stack.tilt_deg > _STEEPEST_DEG:
        return GeometryError(
            f"the slices slide sideways at {stack.tilt_deg:.0f}° to their normal: parallel images, but no stack",
            where=first.header.path,
            hint="choose another series",
        )
    swing = max(float(np.abs(one.edges_mm - first.edges_mm).max()) for one in phase.slices)
    if swing > tolerance_mm(stack.spacing_mm):
        return GeometryError(
            f"orientation or pixel spacing vary within the stack: corners lie up to {swing:.3f} mm off",
            where=first.header.path,
            hint="export the original series again",
        )
    return None


def _remarks(headers: Sequence[Header]) -> tuple[str, ...]:
    if len({header.frame_of_reference for header in headers}) > 1:
        return ("every slice names another frame of reference; their positions were taken as one frame",)
    return ()
