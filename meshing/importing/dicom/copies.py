"""Identical files counted once: exports and archives hold images twice, and a slice twice is no second phase."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from meshing.importing.dicom.headers import Header, Slice


def drop_copies(headers: Iterable[Header]) -> list[Header]:
    """Each image once, with the number of copies dropped, sorted by what the headers say.

    A copy has the instance UID, place, scale and pixel bytes of another file; or all but the bytes and another transfer
    syntax, as archives keep them: then the uncompressed file stays.
    """
    alike: dict[tuple[str, str], list[Header]] = {}
    for header in headers:
        alike.setdefault((header.series, header.instance_uid), []).append(header)
    kept: list[Header] = []
    for (_, instance_uid), group in alike.items():
        kept += group if len(group) == 1 or not instance_uid else _distinct(group)
    return sorted(kept, key=_canonical)


def drop_twins(slices: Sequence[Slice]) -> list[Slice]:
    """Each image once, where files differ in nothing but their instance UID: a series anonymised twice."""
    alike: dict[Hashable, list[Slice]] = {}
    for one in slices:
        alike.setdefault((_place(one.header), one.plane.frame, one.plane.marks), []).append(one)
    kept: list[Slice] = []
    for group in alike.values():
        by_pixels: dict[str, list[Slice]] = {}
        for one in group:
            by_pixels.setdefault(pixel_digest(one.header) if len(group) > 1 else "", []).append(one)
        for same in by_pixels.values():
            header = replace(same[0].header, copies=same[0].header.copies + len(same) - 1)
            kept.append(Slice(header, same[0].plane) if len(same) > 1 else same[0])
    return kept


def _distinct(group: list[Header]) -> list[Header]:
    by_pixels: dict[Hashable, list[Header]] = {}
    for header in group:
        by_pixels.setdefault((_place(header), header.syntax, pixel_digest(header)), []).append(header)
    by_place: dict[Hashable, list[list[Header]]] = {}
    for key in sorted(by_pixels, key=repr):
        by_place.setdefault(_place(by_pixels[key][0]), []).append(by_pixels[key])
    distinct = []
    for rivals in by_place.values():
        syntaxes = [same[0].syntax for same in rivals]
        if len(set(syntaxes)) == len(syntaxes):
            best = min(rivals, key=lambda same: (_is_compressed(same[0]), same[0].syntax))[0]
            distinct.append(replace(best, copies=sum(map(len, rivals)) - 1))
        else:
            # One UID for different pixels: a contradiction, for the phases to resolve or refuse.
            distinct += [replace(same[0], copies=len(same) - 1) for same in rivals]
    return distinct


def pixel_digest(header: Header) -> str:
    """A hash of the file's pixel bytes; of all its bytes when it holds none."""
    digest = hashlib.sha256()
    with header.path.open("rb") as stream:
        if header.layout is not None and header.layout.offset < header.path.stat().st_size:
            stream.seek(header.layout.offset)
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _is_compressed(header: Header) -> bool:
    return header.layout is None or header.layout.is_compressed


def _place(header: Header) -> Hashable:
    planes = tuple(
        (plane.position_mm, plane.along_row, plane.along_column, plane.slope, plane.intercept, plane.problem is None)
        for plane in header.planes
    )
    return header.kind, header.size, header.instance, planes


def _canonical(header: Header) -> tuple[object, ...]:
    first = header.planes[0].position_mm if header.planes else (0.0, 0.0, 0.0)
    number = -1 if header.instance is None else header.instance
    return header.study, header.series_number, header.series, header.kind, number, first, header.instance_uid
