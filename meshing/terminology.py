"""What structures are called, in both languages, with code, side, system and colour.

Reads `assets/terminology.toml`; foreign names ("kidney_left", "Left kidney", "左肾") find their structure by alias.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from meshing.library import asset

Side = Literal["left", "right", ""]


@dataclass(frozen=True)
class Structure:
    """A kind of anatomy.

    Parameters
    ----------
    key
        Stable, lower case, with underscores: "kidney_left".
    name, name_zh
        Display names.
    code
        SNOMED CT concept identifier, or "" where none is known.
    side
        "left", "right" or "".
    system
        Group key: "skeletal", "vascular", "digestive", …
    colour
        sRGB, each 0 to 1.
    opacity
        How it is drawn unless the user says otherwise, 0 to 1.
    """

    key: str
    name: str
    name_zh: str
    code: str = ""
    side: Side = ""
    system: str = "other"
    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0


@cache
def structures() -> dict[str, Structure]:
    """Every structure of the terminology by key."""
    table = tomllib.loads(asset("terminology.toml").read_text(encoding="utf-8"))
    return {key: _structure(key, row) for key, row in table["structures"].items()}


@cache
def _aliases() -> dict[str, str]:
    table = tomllib.loads(asset("terminology.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for key, row in table["structures"].items():
        for name in (key, row["name"], row["name_zh"], *row.get("aliases", ())):
            found.setdefault(plain(name), key)
    return found


def plain(name: str) -> str:
    """The name as a key: lower case, words joined by underscores; Chinese characters stay."""
    return re.sub(r"[^\w]+", "_", name.strip().lower()).strip("_")


def match(name: str) -> Structure | None:
    """The structure of that name, key or alias in either language, or None."""
    key = _aliases().get(plain(name))
    return structures()[key] if key else None


def structure_for(name: str, number: int = 0) -> Structure:
    """The structure of that name; an unknown name keeps itself and gets a colour of its own from `number`."""
    known = match(name)
    if known:
        return known
    key = plain(name) or f"structure_{number}"
    return Structure(key, name.strip() or key, name.strip() or key, colour=_spread_colour(number))


def _spread_colour(number: int) -> tuple[float, float, float]:
    """A colour that differs from its neighbours': hue steps by the golden ratio."""
    import colorsys

    return colorsys.hsv_to_rgb((0.61803398875 * number + 0.1) % 1.0, 0.45, 0.85)


def _structure(key: str, row: dict[str, object]) -> Structure:
    side = (
        "left"
        if key.endswith("_left") or "_left_" in key
        else "right"
        if key.endswith("_right") or "_right_" in key
        else ""
    )
    colour = str(row["colour"]).lstrip("#")
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return Structure(
        key=key,
        name=str(row["name"]),
        name_zh=str(row["name_zh"]),
        code=str(row.get("code", "")),
        side=row.get("side", side),  # type: ignore[arg-type]
        system=str(row["system"]),
        colour=(red, green, blue),
        opacity=float(row.get("opacity", 1.0)),  # type: ignore[arg-type]
    )
