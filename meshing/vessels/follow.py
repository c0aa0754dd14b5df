"""A lumen becomes a tree: the steps of this room in their order.

In: a `Lumen`, and roots and tips where the user set them. Out: a `VesselTree` in LPS mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import VesselError
from meshing.frames import FloatArray
from meshing.plan import Point
from meshing.progress import Progress
from meshing.vessels.assemble import Cut, assembled
from meshing.vessels.lattice import (
    NOWHERE,
    Floats,
    Index,
    Lattice,
    Skeleton,
    cheapest_ways,
    lattice_of,
    skeleton_of,
)
from meshing.vessels.lines import Line, lines_of
from meshing.vessels.lumen import WHERE, Lumen
from meshing.vessels.nouns import VesselTree
from meshing.vessels.roots import found_roots, keeping_in, price_of
from meshing.vessels.segments import Contact, contacts_of, segments_of
from meshing.volume import Fact

_THINNER = 0.7
_BARRED = 1e4
_MOST_LOOPS = 12
_LEAST_ELONGATION = 1.5


@dataclass(frozen=True, eq=False)
class Ends:
    """Where a tree begins and ends, as rows of the lattice; none where they are to be found."""

    roots: Index
    tips: Index


def followed(lumen: Lumen, roots_mm: tuple[Point, ...], tips_mm: tuple[Point, ...], progress: Progress) -> VesselTree:
    """The tree of a lumen.

    Raises
    ------
    VesselError
        If an end lies outside the lumen, root and tip are not connected, or the lumen is a blob.
    """
    progress(0.4, "measuring how deep the lumen is")
    lattice = lattice_of(lumen.mask, lumen.spacing_mm)
    radius = lumen.depth_mm(lattice.places)
    ends = Ends(_rows_at(lumen, lattice, roots_mm, "root"), _rows_at(lumen, lattice, tips_mm, "tip"))
    part = _parts(lattice)
    progress(0.55, "following vessels to their ends")
    price, facts = price_of(radius, lumen.voxel_mm), []
    if not len(ends.roots):
        roots = found_roots(lumen, lattice, radius, part)
        ends = Ends(roots.rows, ends.tips)
        if not tips_mm:
            price[roots.is_rag] = np.inf
            facts = roots.facts
    _require_connected(lumen, part, ends, tips_mm)
    skeleton, contacts = _untied(lumen, lattice, radius, ends, price, progress)
    skeleton, left_out = _without_blobs(lattice, skeleton, radius, part, is_given=bool(roots_mm))
    progress(0.75, "finding the middle")
    places, radii = lattice.places[skeleton.rows], radius[skeleton.rows]
    segments = segments_of(skeleton, places, radii, lumen.voxel_mm)
    lines = lines_of(lumen, segments, places, radii, progress)
    progress(0.95, "naming branches")
    return assembled(lumen, lines, _cuts(lattice, radius, skeleton, contacts, lines), [*facts, *left_out])


def _rows_at(lumen: Lumen, lattice: Lattice, points_mm: tuple[Point, ...], name: str) -> Index:
    """The voxels nearest to points that the user set."""
    from scipy.spatial import cKDTree

    if not points_mm:
        return np.zeros(0, np.int64)
    points = lumen.from_patient(points_mm)
    if not np.isfinite(points).all():
        raise VesselError(f"a {name} is not a finite point", where=WHERE)
    away, rows = cKDTree(lattice.places).query(points)
    room = 1.5 * max(lumen.spacing_mm)
    for point, far, row in zip(points_mm, away, rows, strict=True):
        if far > room:
            nearest = lumen.in_patient(lattice.places[row])
            raise VesselError(
                f"the {name} {_text(point)} lies {far:.1f} mm outside the lumen, whose nearest voxel is at"
                f" {_text(nearest)}",
                where=WHERE,
                hint="set it inside the vessel; points are LPS millimetres",
            )
    return np.asarray(rows, np.int64)


def _parts(lattice: Lattice) -> Index:
    """(N,), the connected part of every voxel."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    row, way = np.nonzero(lattice.beside[:, :13] >= 0)
    other = lattice.beside[row, way]
    count = len(lattice.voxels)
    graph = csr_matrix((np.ones(len(row), np.int8), (row, other)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _require_connected(lumen: Lumen, part: Index, ends: Ends, tips_mm: tuple[Point, ...]) -> None:
    rooted = set(part[ends.roots].tolist())
    for row, point in zip(ends.tips.tolist(), tips_mm, strict=True):
        if int(part[row]) in rooted:
            continue
        gap = _gap(lumen, part, int(part[row]), rooted)
        raise VesselError(
            f"no way leads from a root to the tip {_text(point)}: they lie in parts of the lumen {gap:.1f} mm apart",
            where=WHERE,
            hint="close the gap in the segmentation, or set a root in the same vessel",
        )


def _gap(lumen: Lumen, part: Index, one: int, others: set[int]) -> float:
    from scipy.spatial import cKDTree

    places = np.argwhere(lumen.mask.T)[:, ::-1] * np.array(lumen.spacing_mm)
    away, _ = cKDTree(places[part == one]).query(places[np.isin(part, sorted(others))])
    return float(away.min())


def _untied(
    lumen: Lumen, lattice: Lattice, radius: Floats, ends: Ends, price: Floats, progress: Progress
) -> tuple[Skeleton, list[Contact]]:
    """The skeleton, and the contacts where ways round are cut: at their thinnest place."""
    for turn in range(_MOST_LOOPS + 1):
        reached = cheapest_ways(lattice, price, ends.roots)
        progress(min(0.6 + 0.01 * turn, 0.72), "following vessels to their ends")
        skeleton = skeleton_of(lattice, reached, radius, keeping_in(lumen), ends.tips)
        contacts = [] if len(ends.tips) else contacts_of(lattice, skeleton, radius, lumen.voxel_mm)
        barred = [row for contact in contacts if (row := _thinner_place(skeleton, radius, contact, price)) is not None]
        if not barred or turn == _MOST_LOOPS:
            break
        for row in barred:
            near = np.linalg.norm(lattice.places - lattice.places[row], axis=1)
            price[near <= radius[row] + 1.5 * lumen.voxel_mm] *= _BARRED
    return skeleton, contacts


def _thinner_place(skeleton: Skeleton, radius: Floats, contact: Contact, price: Floats) -> int | None:
    """The voxel where a way round is much thinner than at its contact; None where the contact is as thin as any."""
    rows = skeleton.rows[contact.way]
    inner = rows[len(rows) // 8 : len(rows) - len(rows) // 8]
    thinnest = int(inner[radius[inner].argmin()])
    if radius[thinnest] >= _THINNER * radius[contact.row] or price[thinnest] > _BARRED:
        return None
    return thinnest


def _without_blobs(
    lattice: Lattice, skeleton: Skeleton, radius: Floats, part: Index, *, is_given: bool
) -> tuple[Skeleton, list[Fact]]:
    """The skeleton of the parts that are longer than wide.

    Raises
    ------
    VesselError
        If no part is.
    """
    places = lattice.places[skeleton.rows]
    depth, fat = np.zeros(len(places)), radius[skeleton.rows].copy()
    for entry, back in enumerate(skeleton.before.tolist()):
        if back >= 0:
            depth[entry] = depth[back] + np.linalg.norm(places[entry] - places[back])
    numbers = part[skeleton.rows]
    long, wide = np.zeros(part.max() + 1), np.zeros(part.max() + 1)
    np.maximum.at(long, numbers, depth)
    np.maximum.at(wide, numbers, 2.0 * fat)
    is_vessel = long >= _LEAST_ELONGATION * wide
    is_used = np.isin(np.arange(len(long)), numbers)
    if not (is_vessel & is_used).any():
        worst = int(np.where(is_used, long, -1.0).argmax())
        raise VesselError(
            f"no vessel: the longest way through the lumen is {long[worst]:.1f} mm, and it is {wide[worst]:.1f} mm wide"
            f" there; a vessel is at least {_LEAST_ELONGATION:g} times as long as wide"
            + (", or the root and the only end are one place" if is_given else ""),
            where=WHERE,
            hint="is this a vessel? A blob has no centreline",
        )
    blobs = int((is_used & ~is_vessel).sum())
    if not blobs:
        return skeleton, []
    keep = is_vessel[numbers]
    place = np.cumsum(keep) - 1
    before = np.where(skeleton.before[keep] >= 0, place[skeleton.before[keep]], NOWHERE)
    owner = np.where((skeleton.owner >= 0) & keep[skeleton.owner], place[skeleton.owner], NOWHERE).astype(np.int32)
    text = f"{blobs} parts of the lumen are blobs, no longer than {_LEAST_ELONGATION:g} times as wide: left out"
    return Skeleton(skeleton.rows[keep], before, owner), [Fact("blobs", text, {"parts": blobs})]


def _cuts(
    lattice: Lattice, radius: Floats, skeleton: Skeleton, contacts: list[Contact], lines: list[Line]
) -> list[Cut]:
    cuts = []
    for contact in contacts:
        at = lattice.places[contact.row]
        rows = skeleton.rows[contact.way]
        way = lattice.places[rows]
        between = tuple(sorted(_nearest_line(lines, way[end]) for end in (0, -1)))
        least = min(float(radius[rows].min()), float(radius[contact.row]))
        cuts.append(Cut(at, way, least, (between[0], between[1])))
    return cuts


def _nearest_line(lines: list[Line], place: FloatArray) -> int:
    return int(np.argmin([np.linalg.norm(line.points - place, axis=1).min() for line in lines]))


def _text(point: npt.ArrayLike) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in np.asarray(point, np.float64)) + ") mm"
