"""What an imported scan is held to: the truth of the `Made` series that it came from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshing.importing.scan import ImportedScan
from meshing.volume import Fact
from tests.dicom_factory import Made

# What the intake promises: 0.01 mm, or 1 % of the spacing; synthetic positions have no excuse.
CLOSE_MM = 0.01


def fact(scan: ImportedScan, kind: str) -> Fact:
    (found,) = [fact for fact in scan.facts if fact.kind == kind]
    return found


def kinds(scan: ImportedScan) -> set[str]:
    return {fact.kind for fact in scan.facts} - {"source", "technique"}


def assert_is(scan: ImportedScan, made: Made) -> None:
    """Every voxel has its value, and every slice's first and last voxel lie where the source put them."""
    volume = scan.volume
    assert np.array_equal(volume.voxels, made.values)
    last = [size - 1 for size in made.values.shape[:2]]
    across = made.voxel_to_patient[:3, :2] @ last
    for k, position in enumerate(made.positions):
        placed = volume.grid.to_patient([(0, 0, k), (*last, k)])
        assert np.linalg.norm(placed - [position, position + across], axis=1).max() < CLOSE_MM


def smooth(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A field whose value is known everywhere, with waves of 20 mm and more."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 300 * np.sin(x / 5) * np.cos(y / 6) + 4 * z
