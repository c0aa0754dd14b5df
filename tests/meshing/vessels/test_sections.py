"""Cross-sections and stenoses against closed forms, from the wall and from grey values."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vesseltrees import drawn, grid_round, imaged, tube
from meshing.errors import NotFoundError, VesselError
from meshing.vessels import VesselTree, cross_sections, stenosis, vessel_tree
from meshing.vessels.sections import CrossSection
from meshing.vessels.stenosis import stenosis_of
from meshing.volume import Volume

SPACING = (0.6, 0.6, 0.6)


def narrowed(degree: float, radius: float = 4.0) -> tuple[VesselTree, Volume]:
    """A tube narrowed in its middle, over 16 mm, to 1 - degree of its diameter."""
    z = np.linspace(-45.0, 45.0, 181)
    dip = np.where(np.abs(z) < 8.0, 0.5 * (1.0 + np.cos(np.pi * z / 8.0)), 0.0)
    solid = tube(np.column_stack([0.1 * z, 0.05 * z, z]), radius * (1.0 - degree * dip))
    grid = grid_round(solid, SPACING, turn=3)
    image = imaged(solid, grid)
    return vessel_tree(drawn(solid, grid), grid, image=image), image


@pytest.fixture(scope="module")
def half() -> tuple[VesselTree, Volume]:
    return narrowed(0.5)


@pytest.mark.parametrize("by_image", [False, True])
def test_sections_of_a_tube_are_discs_of_its_radius(half: tuple[VesselTree, Volume], by_image: bool) -> None:
    tree, image = half
    sections = cross_sections(tree, 0, image=image if by_image else None)
    away = [section for section in sections if abs(section.at_mm[2]) > 15.0 and abs(section.at_mm[2]) < 38.0]
    assert len(away) > 30
    for section in away:
        assert section.area_mm2 == pytest.approx(np.pi * 16.0, rel=0.05)
        assert section.least_diameter_mm == pytest.approx(8.0, abs=0.35)
        assert section.greatest_diameter_mm == pytest.approx(8.0, abs=0.35)
        assert section.least_diameter_mm <= section.diameter_mm <= section.greatest_diameter_mm + 1e-9
        flat = (section.contour_mm - section.at_mm) @ np.array(section.normal)
        assert np.abs(flat).max() < 1e-9


@pytest.mark.parametrize("reference", ["distal", "proximal", "mean"])
def test_half_the_diameter_is_a_stenosis_of_50_and_75_percent(half: tuple[VesselTree, Volume], reference: str) -> None:
    tree, _ = half
    found = stenosis(tree, 0, reference=reference)  # type: ignore[arg-type]
    assert found.diameter_percent == pytest.approx(50.0, abs=3.0)
    assert found.area_percent == pytest.approx(75.0, abs=3.0)
    assert abs(found.diameter_percent - 50.0) <= 2.0 * found.uncertainty_percent
    assert found.reference_diameter_mm == pytest.approx(8.0, abs=0.2)
    assert found.is_beyond_doubt
    assert np.linalg.norm(found.at_mm) < 1.0
    for start, stop in found.reference_from_mm:
        assert (stop <= found.arc_mm) == (reference == "proximal" or start < found.arc_mm)
        assert stop - start == pytest.approx(16.0, abs=2.0)
    assert 8.0 < found.length_mm < 20.0


def test_a_stenosis_of_70_percent_is_one_by_grey_values_too() -> None:
    tree, image = narrowed(0.7)
    for values in (None, image):
        found = stenosis(tree, 0, image=values)
        # The lumen is then 2.4 mm wide, four voxels: two of them are wall.
        assert found.diameter_percent == pytest.approx(70.0, abs=5.0)


def test_an_even_tube_has_no_stenosis_beyond_doubt() -> None:
    tree, _ = narrowed(0.0)
    found = stenosis(tree, 0)
    assert abs(found.diameter_percent) < 4.0
    assert not found.is_beyond_doubt


def test_an_ellipse_has_two_diameters() -> None:
    grid = grid_round(tube([(0, 0, -20), (0, 0, 20)], 7.0), SPACING)
    x, y, z = np.moveaxis(grid.to_patient(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    mask = np.asfortranarray((x / 6.0) ** 2 + (y / 3.0) ** 2 < 1.0) & (np.abs(z) < 20.0)
    sections = cross_sections(vessel_tree(mask, grid), 0)
    middle = sections[len(sections) // 2]
    assert middle.least_diameter_mm == pytest.approx(6.0, abs=0.3)
    assert middle.greatest_diameter_mm == pytest.approx(12.0, abs=0.4)
    assert middle.area_mm2 == pytest.approx(np.pi * 18.0, rel=0.03)


def test_what_cannot_be_measured_is_refused_with_numbers(half: tuple[VesselTree, Volume]) -> None:
    tree, _ = half
    with pytest.raises(NotFoundError, match="no branch 5: the tree has 1"):
        cross_sections(tree, 5)
    with pytest.raises(VesselError, match=r"0\.0 mm apart"):
        cross_sections(tree, 0, every_mm=0.0)


def test_a_flare_at_the_end_of_a_tapering_vessel_is_no_reference() -> None:
    """As behind a fork: wide over a millimetre or two, then an even taper, which is no stenosis."""
    arc = np.arange(0.0, 60.0, 0.4)
    wide = 7.5 - 1.5 * arc / 60.0 + np.where(arc < 1.2, 2.5 * (1.2 - arc) / 1.2, 0.0)
    wide += 0.05 * np.sin(arc)
    found = stenosis_of(_round(arc, wide), 0, reference="distal", wall_uncertainty_mm=0.5)
    assert not found.is_beyond_doubt


def test_a_vessel_that_fades_towards_its_end_is_not_judged_and_a_narrow_start_is_by_what_follows() -> None:
    arc = np.arange(0.0, 40.0, 0.4)
    fading = np.where(arc < 30.0, 4.0, 4.0 - 0.3 * (arc - 30.0))
    with pytest.raises(VesselError, match="no stretch for the reference mean"):
        stenosis_of(_round(arc, fading), 0, reference="mean", wall_uncertainty_mm=0.1)
    narrow = np.where(arc < 2.0, 2.0, 4.0)
    found = stenosis_of(_round(arc, narrow), 0, reference="mean", wall_uncertainty_mm=0.1)
    assert found.reference == "distal" and found.diameter_percent == pytest.approx(50.0, abs=1.0)
    assert found.is_beyond_doubt


def test_a_least_radius_is_known_to_half_a_voxel() -> None:
    arc = np.arange(0.0, 60.0, 0.5)
    wide = np.where(np.abs(arc - 30.0) < 3.0, 5.0, 6.0)
    found = stenosis_of(_round(arc, wide), 0, reference="mean", wall_uncertainty_mm=0.5)
    assert found.diameter_percent == pytest.approx(100 / 6, abs=0.5)
    assert found.uncertainty_percent >= 100 * 2 * 0.5 / 6.0 and not found.is_beyond_doubt


def _round(arc: np.ndarray, wide: np.ndarray) -> list[CrossSection]:
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return [
        CrossSection(
            float(at),
            (0.0, 0.0, float(at)),
            (0.0, 0.0, 1.0),
            np.stack([d / 2 * np.cos(turns), d / 2 * np.sin(turns), np.full(24, at)], axis=1),
            np.pi * d * d / 4,
            float(d),
            float(d),
        )
        for at, d in zip(arc, wide, strict=True)
    ]
