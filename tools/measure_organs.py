"""Figures of growing from clicks: agreement with AI labels, lesions of known shape, and whether confidence tells.

Run in the repository: `python -m tools.measure_organs agreement|variations|lesions|confidence [places]`. The real scan
comes from the folder that ANATOMYXR_TEST_DATA names.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from meshing.errors import AnatomyError
from meshing.importing.labels import read_labels
from meshing.importing.scan import import_scan
from meshing.organs.grow import Found, grow
from meshing.phantoms import phantom
from meshing.plan import Point
from meshing.segmentation import Segmentation
from meshing.volume import Grid, Volume
from tests.meshing.organs.lesions import box_round, inner_point, lesion
from tests.meshing.segmenters.scans import Known, dice

KINDS = ("liver", "spleen", "kidney_left", "kidney_right", "urinary_bladder")
Mask = npt.NDArray[np.bool_]


def real_scan() -> tuple[Volume, Segmentation]:
    """The abdomen with AI labels."""
    folder = Path(os.environ["ANATOMYXR_TEST_DATA"]) / "ct_abdomen_labels"
    volume = import_scan(folder / "example_ct.nii.gz").volume
    return volume, read_labels(folder / "example_seg_fast_force_split.nii.gz", volume.grid)[0]


def places_in(mask: Mask, count: int, *, interior: bool) -> npt.NDArray[np.int64]:
    """Random voxels of a label; interior ones lie at least one voxel from its border."""
    places = np.argwhere(ndimage.binary_erosion(mask) if interior else mask)
    rng = np.random.default_rng(0 if interior else 1)
    return places[rng.choice(len(places), count, replace=False)]


def clicked(volume: Volume, kind: str, place: npt.ArrayLike) -> Found | None:
    """What grows from a voxel; None where that is an error."""
    left, posterior, superior = volume.grid.to_patient(place).tolist()
    try:
        return grow(volume, kind, ((left, posterior, superior),))
    except AnatomyError:
        return None


def agreement(count: int) -> None:
    """Dice with the AI labels from single clicks."""
    volume, labels = real_scan()
    print("| organ | clicks | median | worst | ≥ 0.85 | seconds |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        mask = labels.mask(kind)
        for interior in (True, False):
            row(
                kind,
                "one voxel inside" if interior else "any voxel",
                volume,
                mask,
                places_in(mask, count, interior=interior),
            )


def row(kind: str, name: str, volume: Volume, mask: Mask, places: npt.NDArray[np.int64]) -> None:
    """One row of a table of agreement."""
    found, seconds = [], []
    for place in places:
        start = time.perf_counter()
        one = clicked(volume, kind, place)
        seconds.append(time.perf_counter() - start)
        found.append(dice(one.mask, mask) if one else 0.0)
    good = sum(value >= 0.85 for value in found)
    cells = (
        kind,
        name,
        f"{np.median(found):.3f}",
        f"{min(found):.3f}",
        f"{good}/{len(found)}",
        f"{np.median(seconds):.1f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def variations(count: int) -> None:
    """The same scan, changed: noise, other values, thick slices."""
    volume, labels = real_scan()
    rng = np.random.default_rng(2)
    noisy = volume.voxels + np.rint(rng.normal(0, 15, volume.grid.shape)).astype(np.int16)
    changed: dict[str, Volume] = {"noise of 15 HU added": Volume(noisy, volume.grid, "CT", "HU")}
    for shift in (-15, 15):
        changed[f"{shift:+d} HU"] = Volume(volume.voxels + np.int16(shift), volume.grid, "CT", "HU")
    print("| scan | organ | clicks | median | worst | ≥ 0.85 | seconds |")
    for name, scan in changed.items():
        for kind in KINDS[:4]:
            mask = labels.mask(kind)
            row(kind, name, scan, mask, places_in(mask, count, interior=True))
    thick, labels_of = resampled(volume, (0.8, 0.8, 5.0))
    for kind in KINDS[:4]:
        mask = labels_of(labels.mask(kind))
        row(kind, "0.8 × 0.8 × 5 mm", thick, mask, places_in(mask, count, interior=True))


def resampled(volume: Volume, spacing: tuple[float, float, float]) -> tuple[Volume, Callable[[Mask], Mask]]:
    """The scan on other voxels, and what turns masks likewise."""
    own = volume.grid.spacing_mm
    ratio = np.array(spacing) / own
    shape = tuple(int((n - 1) * step / new) + 1 for n, step, new in zip(volume.grid.shape, own, spacing, strict=True))
    matrix = volume.grid.voxel_to_patient.copy()
    matrix[:3, :3] *= ratio

    def turned(values: npt.NDArray[np.float32], order: int) -> npt.NDArray[np.float32]:
        return ndimage.affine_transform(values, ratio, output_shape=shape, order=order, mode="nearest")

    voxels = np.rint(turned(volume.voxels.astype(np.float32), 1)).astype(np.int16)
    scan = Volume(np.asfortranarray(voxels), Grid((shape[0], shape[1], shape[2]), matrix), "CT", "HU")
    return scan, lambda mask: turned(mask.astype(np.float32), 1) > 0.5


def cases_of_lesions() -> list[tuple[str, Known]]:
    """Sizes, contrasts, noise and slices."""
    made = []
    for number, radii in enumerate(
        ((4.0, 4.0, 4.0), (6.0, 5.0, 5.0), (10.0, 9.0, 8.0), (16.0, 12.0, 14.0), (24.0, 20.0, 22.0))
    ):
        for contrast in (-60.0, -35.0, -20.0, 30.0, 80.0):
            for noise, spacing in ((5.0, (1.0, 1.0, 1.0)), (12.0, (1.0, 1.0, 1.0)), (12.0, (0.8, 0.8, 2.5))):
                known = lesion(radii, contrast, noise_hu=noise, spacing_mm=spacing, seed=number)
                made.append((f"{radii[0]:g}|{contrast:+g}|{noise:g} HU, {spacing[2]:g} mm", known))
    return made


def lesions(_: int) -> None:
    """Dice with the truth, from one click and from one box, by size, contrast and noise."""
    rows = []
    for name, known in cases_of_lesions():
        values = []
        point: Point = inner_point(known, "lesion", 0.35, 3)
        for points, box in (((point,), None), ((), box_round(known, "lesion"))):
            try:
                values.append(dice(grow(known.volume, "lesion", points, box_mm=box).mask, known.truth["lesion"]))
            except AnatomyError:
                values.append(0.0)
        rows.append((*name.split("|"), *values))
    print("| | n | click: median | worst | ≥ 0.9 | box: median | worst | ≥ 0.9 |")
    print_rows("all", rows)
    for column in range(3):
        for value in dict.fromkeys(one[column] for one in rows):
            print_rows(str(value), [one for one in rows if one[column] == value])


def print_rows(name: str, rows: list[tuple[object, ...]]) -> None:
    """One row of the table of lesions."""
    parts = [f"| {name} | {len(rows)}"]
    for column in (3, 4):
        values = np.array([one[column] for one in rows], dtype=np.float64)
        parts.append(f"{np.median(values):.3f} | {values.min():.3f} | {(values >= 0.9).sum()}")
    print(" | ".join(parts), "|", flush=True)


def confidence(_: int) -> None:
    """How often a voxel is right, by how sure it is called: within 8 mm of the true border, on phantoms."""
    edges = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01])
    right, all_of = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for number, (_name, known) in enumerate(cases_of_lesions()):
        if number % 3 == 1:
            tally(known, "lesion", inner_point(known, "lesion", 0.35, 3), edges, (right, all_of))
    for phase in ("native", "portal"):
        made = phantom("abdomen", phase=phase)
        for kind in ("liver", "spleen", "kidney_left", "kidney_right"):
            known = Known(made.volume, {kind: made.segmentation.mask(kind)})
            tally(known, kind, inner_point(known, kind, 0.5, 3), edges, (right, all_of))
    print("| confidence | voxels | right |\n|---|---|---|")
    for low, high, good, every in zip(edges, edges[1:], right, all_of, strict=False):
        print(f"| {low:.2f} … {min(high, 1):.2f} | {every:,.0f} | {100 * good / max(every, 1):.1f} % |")


def tally(
    known: Known, kind: str, point: Point, edges: npt.NDArray[np.float64], counts: tuple[npt.NDArray[np.float64], ...]
) -> None:
    """Counts voxels that are right, and all, by confidence."""
    found = grow(known.volume, kind, (point,))
    truth = known.truth[kind]
    spacing = known.volume.grid.spacing_mm
    near = (ndimage.distance_transform_edt(~truth, sampling=spacing) < 8) & (
        ndimage.distance_transform_edt(truth, sampling=spacing) < 8
    )
    box = found.confidence_box
    near, is_right, sure = near[box], (found.mask == truth)[box], found.confidence
    for number, (low, high) in enumerate(pairwise(edges)):
        there = near & (sure >= low) & (sure < high)
        counts[0][number] += (there & is_right).sum()
        counts[1][number] += there.sum()
    print(f"  {kind}: Dice with the truth {dice(found.mask, truth):.3f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    tables: dict[str, Callable[[int], None]] = {
        "agreement": agreement,
        "variations": variations,
        "lesions": lesions,
        "confidence": confidence,
    }
    tables[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 20)
