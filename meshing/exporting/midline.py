"""Whether structures named left and right lie on that side: warnings only, for hearts do lie on the right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import median

from meshing.case import Case
from meshing.exporting.expected import Measured

_TOLERANCE_MM = 5.0
"""A structure whose middle is nearer to the midline than this lies on neither side."""

_ON_THE_MIDLINE = ("vertebra", "spinal", "spine", "sacrum", "sternum", "trachea", "brain", "skull", "skin", "body")


def side_warnings(measured: Mapping[str, Measured], sides: Mapping[str, str], case: Case | None) -> list[str]:
    """One sentence for each structure on the wrong side of the midline.

    Parameters
    ----------
    sides
        key → "left", "right" or "".
    """
    middle_mm, source = _midline(measured, sides, case)
    if middle_mm is None:
        return []
    warnings = []
    for key, found in measured.items():
        toward_left = _middle(found) - middle_mm
        wanted = {"left": 1.0, "right": -1.0}.get(sides.get(key, ""), 0.0)
        if wanted * toward_left < -_TOLERANCE_MM:
            lies = "left" if toward_left > 0 else "right"
            warnings.append(
                f"{key} lies {abs(toward_left):.0f} mm to the patient's {lies} of the midline (taken from {source})"
            )
    return warnings


def _midline(measured: Mapping[str, Measured], sides: Mapping[str, str], case: Case | None) -> tuple[float | None, str]:
    """L of the midline in mm and what it was taken from: pairs, else structures that lie on it, else the scan."""
    pairs = [
        (_middle(found) + _middle(measured[_partner(key)])) / 2
        for key, found in measured.items()
        if sides.get(key) == "left" and _partner(key) in measured
    ]
    if pairs:
        return median(pairs), "left and right pairs"
    central = [
        _middle(found) for key, found in measured.items() if key.startswith(_ON_THE_MIDLINE) and not sides.get(key)
    ]
    if central:
        return median(central), "structures on it"
    if case is not None and case.volumes:
        grid = case.scan.grid
        return float(grid.to_patient([(size - 1) / 2 for size in grid.shape])[0]), "the middle of the scan"
    return None, ""


def _partner(key: str) -> str:
    """The key of the same structure on the other side."""
    return re.sub(r"(?<![a-z])left(?![a-z])", "right", key)


def _middle(found: Measured) -> float:
    return float(found.bounds_mm[:, 0].mean())
