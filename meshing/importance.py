"""How much a structure matters when triangles are short: `assets/importance.toml`, by system."""

from __future__ import annotations

import tomllib
from functools import cache

from meshing.library import asset
from meshing.terminology import Structure


def importance(structure: Structure) -> float:
    """By how much its claim on a budget is multiplied; 1 for most."""
    return _by_system().get(structure.system, 1.0)


@cache
def _by_system() -> dict[str, float]:
    table = tomllib.loads(asset("importance.toml").read_text(encoding="utf-8"))
    return {system: float(factor) for system, factor in table["systems"].items()}
