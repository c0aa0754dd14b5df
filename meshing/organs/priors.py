"""What is known of an organ before it is looked at: sizes, values, necks; from `assets/organs.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from meshing.errors import NotFoundError
from meshing.library import asset

KINDS = ("liver", "spleen", "kidney_left", "kidney_right", "kidney", "urinary_bladder", "lesion")
"""What can be grown; "kidney" takes the side that the click lies on."""


@dataclass(frozen=True)
class Prior:
    """What is known of one kind of organ; the fields are explained in `assets/organs.toml`."""

    typical_ml: float
    spread: float
    plausible_ml: tuple[float, float]
    most_ml: float
    reach_mm: float
    values_hu: tuple[float, float]
    tolerances_hu: tuple[float, ...]
    necks_mm: tuple[float, ...]
    spacing_mm: float
    look_mm: float
    snap_mm: float
    denoising: Literal["median", "variation"]
    edge_hu: float
    fills_holes: bool


@dataclass(frozen=True)
class ScoreSettings:
    """Weights of an open border and of a ragged shape, and how fast worse guesses lose their vote."""

    open_weight: float
    shape_weight: float
    temperature: float


@cache
def prior_for(kind: str) -> Prior:
    """What is known of that kind.

    Raises
    ------
    NotFoundError
        If it cannot be grown.
    """
    if kind not in KINDS:
        raise NotFoundError(f"{kind!r} cannot be grown from a click", hint="one of: " + ", ".join(KINDS))
    row = _table()["organs"]["kidney" if kind.startswith("kidney") else kind]
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Prior(**fields)


@cache
def score_settings() -> ScoreSettings:
    """The weights of the score."""
    return ScoreSettings(**_table()["score"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(asset("organs.toml").read_text(encoding="utf-8"))
