"""Oriented flux: where it peaks, what it ignores, and that slabs give what the whole gives."""

from __future__ import annotations

import numpy as np
import pytest

from meshing.progress import Cancelled
from meshing.voxels import flux
from meshing.voxels.flux import tube_likeness

SIDE = 40


def tube(radius_mm: float, direction: tuple[float, float, float]) -> np.ndarray:
    """A tube of brightness 100 through the middle of a cube, its edge spread over a voxel."""
    place = np.stack(np.meshgrid(*[np.arange(SIDE) - SIDE / 2] * 3, indexing="ij"), -1)
    along = np.array(direction) / np.linalg.norm(direction)
    apart = np.linalg.norm(place - (place @ along)[..., None] * along, axis=-1)
    return (100 * np.clip(radius_mm + 0.5 - apart, 0, 1)).astype(np.float32)


def at_the_middle(values: np.ndarray, radius_mm: float) -> float:
    likeness = tube_likeness(values, (1.0, 1.0, 1.0), (radius_mm,), smoothing_mm=0.5)
    return float(likeness[SIDE // 2, SIDE // 2, SIDE // 2])


@pytest.mark.parametrize("radius", [3.0, 4.0, 6.0])
def test_the_sphere_that_touches_the_wall_answers_most(radius: float) -> None:
    values = tube(radius, (0, 0, 1))
    tried = np.arange(1.5, 9.1, 0.5)
    best = tried[int(np.argmax([at_the_middle(values, float(r)) for r in tried]))]
    # Flux per area: a sphere a little wider than the tube meets more of its wall head on.
    assert radius - 0.5 <= best <= radius + 1.0


def test_the_answer_does_not_depend_on_how_the_tube_lies() -> None:
    answers = [at_the_middle(tube(4.0, way), 4.0) for way in [(0, 0, 1), (1, 0, 0), (0, 1, 1), (1, 2, 3)]]
    assert max(answers) / min(answers) < 1.06  # the tube itself is drawn on voxels


def test_dark_tubes_plates_and_even_places_do_not_answer() -> None:
    plate = np.zeros((SIDE, SIDE, SIDE), np.float32)
    plate[:, :, SIDE // 2 - 2 : SIDE // 2 + 2] = 100
    bright = at_the_middle(tube(3.0, (0, 0, 1)), 3.0)
    assert at_the_middle(-tube(3.0, (0, 0, 1)), 3.0) == pytest.approx(0.0, abs=1e-3)
    assert at_the_middle(plate, 3.0) < 0.15 * bright
    assert tube_likeness(np.full((9, 9, 9), 40.0, np.float32), (1.0, 1.0, 1.0), (2.0,), smoothing_mm=0.5).max() < 1e-3


def test_slabs_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    values = tube(3.0, (1, 2, 3)) + np.random.default_rng(1).normal(0, 5, (SIDE, SIDE, SIDE)).astype(np.float32)
    whole = tube_likeness(values, (1.0, 1.0, 1.0), (2.0, 3.0), smoothing_mm=0.5)
    monkeypatch.setattr(flux, "_TILE_VOXELS", SIDE * SIDE * 12)
    slabs = tube_likeness(values, (1.0, 1.0, 1.0), (2.0, 3.0), smoothing_mm=0.5)
    # What a slab does not see is farther than the sphere and six smoothing lengths away.
    np.testing.assert_allclose(slabs, whole, atol=0.02 * whole.max())


def test_it_can_be_stopped() -> None:
    def stop(fraction: float, doing: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        tube_likeness(tube(3.0, (0, 0, 1)), (1.0, 1.0, 1.0), (2.0,), smoothing_mm=0.5, progress=stop)
