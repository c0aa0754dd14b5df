"""Reformats: lengths are true, frames do not turn, the vessel stands where it is said to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.vesseltrees import grid_round, imaged, tube
from meshing.errors import VesselError
from meshing.vessels import Reformat, straightened, stretched
from meshing.vessels.centreline import arc_of, tangents
from meshing.vessels.reformat import carried_across
from meshing.volume import Volume

ANGLE = np.linspace(0.0, 2.5 * np.pi, 241)
HELIX = np.column_stack([14.0 * np.cos(ANGLE), 14.0 * np.sin(ANGLE), 5.0 * ANGLE])


@pytest.fixture(scope="module")
def image() -> Volume:
    solid = tube(HELIX, 3.0)
    return imaged(solid, grid_round(solid, (0.7, 0.7, 0.7), turn=1))


def widths_mm(picture: Reformat) -> np.ndarray:
    """Of the bright run round the centre, row by row."""
    widths = []
    for row, centre in zip(picture.pixels, picture.centre_column, strict=True):
        dark = np.flatnonzero(row < 50.0)
        at = round(centre)
        widths.append((dark[dark > at].min() - dark[dark < at].max()) * picture.mm_per_pixel)
    return np.array(widths)


@pytest.mark.parametrize("turn_deg", [0.0, 30.0, 90.0])
def test_a_straightened_helix_is_a_straight_band_of_its_diameter(image: Volume, turn_deg: float) -> None:
    picture = straightened(image, HELIX, half_width_mm=8.0, mm_per_pixel=0.25, turn_deg=turn_deg)
    assert picture.row_arc_mm[-1] == pytest.approx(arc_of(HELIX)[-1], abs=0.25)
    inner = slice(20, -20)
    assert widths_mm(picture)[inner] == pytest.approx(6.0, abs=0.55)  # a pixel each side
    middle = picture.pixels.shape[1] // 2
    assert (picture.centre_column == middle).all()


def test_a_stretched_helix_keeps_its_length_and_swings_by_its_width(image: Volume) -> None:
    picture = stretched(image, HELIX, half_width_mm=8.0, mm_per_pixel=0.25, across=(1.0, 0.0, 0.0))
    corners = np.column_stack([np.arange(len(picture.row_arc_mm)), picture.centre_column]) * 0.25
    assert arc_of(corners)[-1] == pytest.approx(arc_of(HELIX)[-1], rel=0.01)
    swing = picture.centre_column.max() - picture.centre_column.min()
    assert swing * 0.25 == pytest.approx(28.0, abs=0.3)
    assert np.median([row[round(c)] for row, c in zip(picture.pixels, picture.centre_column, strict=True)]) > 95.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_frames_stand_across_and_do_not_turn(seed: int) -> None:
    chance = np.random.default_rng(seed)
    t = np.linspace(0.0, 1.0, 160)[:, None]
    line = 30.0 * t * chance.normal(size=3) + sum(
        6.0 * chance.normal(size=3) * np.sin(np.pi * n * t + chance.uniform(0, 6)) for n in (1, 2)
    )
    along = tangents(line)
    one = carried_across(line, along)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-12)
    assert np.abs((one * along).sum(axis=1)).max() < 1e-6
    # Whatever it does, it moves only along the tangent: what it turns about that is of second order.
    change = np.diff(one, axis=0)
    about = np.abs((change * np.cross(along, one)[:-1]).sum(axis=1))
    assert about.max() < 0.2 * max(np.linalg.norm(np.diff(along, axis=0), axis=1).max(), 0.02)


def test_what_has_no_length_is_refused(image: Volume) -> None:
    with pytest.raises(VesselError, match="less than two pixels"):
        straightened(image, HELIX[:1], half_width_mm=5.0)
    with pytest.raises(VesselError, match=r"pixels of 0\.0 mm"):
        straightened(image, HELIX, half_width_mm=5.0, mm_per_pixel=0.0)
    line = np.linspace([0.0, 0.0, 0.0], [0.0, 0.0, 30.0], 20)
    with pytest.raises(VesselError, match="nothing is swept"):
        stretched(image, line, half_width_mm=5.0, across=(0.0, 0.0, 1.0))
    with pytest.raises(VesselError, match="has no length"):
        stretched(image, line, half_width_mm=5.0, across=(0.0, 0.0, 0.0))
