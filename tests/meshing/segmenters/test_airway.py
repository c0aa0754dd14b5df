"""The airway of a chest whose bronchi are known: how far they are followed, and what is said when air leaks."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.segmentation import Segmentation
from meshing.segmenters.presets import segment
from tests.meshing.segmenters.scans import Canvas, Known, dice

# Direction, start and end along it in mm: main bronchi, then two branches of each.
BRONCHI = [
    ((0, 22, 44), (-42, 18, 6), 6.5),
    ((0, 22, 44), (46, 18, 2), 6.0),
    ((-42, 18, 6), (-66, 4, -22), 4.0),
    ((-42, 18, 6), (-58, 34, -34), 4.0),
    ((46, 18, 2), (66, 2, -22), 4.0),
    ((46, 18, 2), (60, 34, -32), 4.0),
]


def bronchial_tree(*, hole: bool = False) -> Known:
    """Trachea, two main bronchi and four lobar ones with walls of 1.5 mm in lung; `hole` opens one wall to the lung."""
    canvas = Canvas((150, 110, 120), (2.0, 2.0, 2.0), -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (140, 95, 1e6)), 50.0)
    canvas.paint(canvas.ellipsoid((-66, 0, 0), (54, 66, 110)), -860.0, "lung_right")
    canvas.paint(canvas.ellipsoid((64, 0, 0), (50, 62, 105)), -860.0, "lung_left")
    canvas.paint(canvas.rod(0, 66, 18), 700.0)
    canvas.paint(canvas.rod(0, 22, 12, (40, 1e9)), 50.0)
    walls, lumens = np.zeros(canvas.values.shape, np.bool_), canvas.rod(0, 22, 9, (40, 1e9))
    for start, end, radius in BRONCHI:
        walls |= tube(canvas, start, end, radius + 2.0)
        lumens |= tube(canvas, start, end, radius)
    canvas.paint(walls & ~lumens, 50.0)
    canvas.paint(lumens, -995.0, "airway")
    if hole:
        # Destroyed lung as dark as air, open to a lobar bronchus.
        canvas.paint(canvas.ellipsoid((-66, -8, -40), (34, 34, 34)) & ~lumens, -962.0)
    return canvas.scanned("CT", 12.0)


def tube(canvas: Canvas, start: tuple[float, ...], end: tuple[float, ...], radius: float) -> np.ndarray:
    along = np.subtract(end, start) / np.linalg.norm(np.subtract(end, start))
    offset = [axis - at for axis, at in zip((canvas.x, canvas.y, canvas.z), start, strict=True)]
    run = np.clip(sum(o * a for o, a in zip(offset, along, strict=True)), 0, np.linalg.norm(np.subtract(end, start)))
    return np.asarray(sum((o - run * a) ** 2 for o, a in zip(offset, along, strict=True)) <= radius**2)


def said(found: Segmentation) -> dict[str, object]:
    (fact,) = [fact for fact in found.facts if fact.kind == "airway"]
    return dict(fact.values)


def test_bronchi_are_followed_into_the_lobes() -> None:
    known = bronchial_tree()
    found = segment(known.volume, "ct-body")
    airway, truth = found.mask("airway"), known.truth["airway"]
    assert dice(airway, truth) > 0.85
    for _, end, _ in BRONCHI:
        middle = (np.array(known.volume.grid.shape) - 1) / 2 + 0.85 * np.array(end) / 2.0
        if end[2] < 0:  # a lobar bronchus: most of the way down its length is taken
            near = tuple(slice(int(m) - 4, int(m) + 5) for m in middle)
            assert (airway & truth)[near].sum() > 0.5 * truth[near].sum(), end
    assert not (airway & ~truth).sum() > 0.15 * truth.sum()


def test_a_leak_into_the_lung_is_kept_out_and_said() -> None:
    known = bronchial_tree(hole=True)
    found = segment(known.volume, "ct-body")
    values = said(found)
    assert values["leak_hu"] is not None and float(str(values["leak_ml"])) > 20.0
    assert "leaked into the lung" in next(fact.text for fact in found.facts if fact.kind == "airway")
    airway, truth = found.mask("airway"), known.truth["airway"]
    assert (airway & ~truth).sum() < 0.2 * truth.sum()
    # Trachea and what is joined to it more darkly than the destroyed lung; the rest is missing, as the fact says.
    assert (airway & truth).sum() > 0.4 * truth.sum()


def two_lungs(reach_mm: float) -> Known:
    """Lungs whose inner borders pass the midline by that much; negative: tissue lies between."""
    canvas = Canvas((80, 56, 60), (4.0, 4.0, 4.0), -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (140, 95, 1e6)), 50.0)
    canvas.paint(canvas.ellipsoid((-60 + reach_mm, 0, 0), (60, 60, 100)), -850.0)
    canvas.paint(canvas.ellipsoid((60 - reach_mm, 0, 0), (60, 60, 100)), -850.0)
    canvas.paint(canvas.rod(0, 74, 16), 700.0)
    return canvas.scanned("CT", 12.0)


def test_lungs_that_touch_are_parted_and_the_cut_is_said() -> None:
    """Two ellipsoids that pass the midline by 4 mm meet in an ellipse of π·60·100·(1 − (56/60)²) mm², 24 cm²."""
    found = segment(two_lungs(4.0).volume, "ct-body")
    (fact,) = [fact for fact in found.facts if fact.kind == "lungs"]
    # Gaps of less than a block of 4 mm round it read as lung: those of 3 mm and less make it 33 cm².
    assert 24.0 < float(fact.values["parted_cm2"]) < 40.0
    assert "parted where they are thinnest" in fact.text
    left, right = found.mask("lung_left"), found.mask("lung_right")
    assert not (left & right).any()
    assert left.sum() == pytest.approx(right.sum(), rel=0.03)


def test_nothing_is_said_of_lungs_that_lie_apart() -> None:
    found = segment(two_lungs(-8.0).volume, "ct-body")
    assert not [fact for fact in found.facts if fact.kind == "lungs"]
