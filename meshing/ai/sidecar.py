"""The TOML file beside an ONNX model: what it is, how it wants to be fed, and what its numbers mean.

Every key is checked when the file is read; one that is missing, unknown or of another kind is an error with its name.
`docs/segmentation.md` explains each.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from meshing.errors import SegmentationError

Scale = Literal["z-score", "per-scan", "unit", "none"]
Activation = Literal["softmax", "sigmoid", "argmax"]
Triple = tuple[float, float, float]

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
_MOST_PATCH = 1024
_LEAST_SPACING_MM = 0.01


@dataclass(frozen=True)
class About:
    """[model]: what it is. `sha256` is of the .onnx file; "" leaves it unchecked."""

    name: str
    licence: str
    source: str
    version: str = ""
    title: str = ""
    title_zh: str = ""
    description: str = ""
    description_zh: str = ""
    modality: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Feed:
    """[input]: how the model wants to see a scan.

    Parameters
    ----------
    axes
        Three letters: where the tensor's spatial axes run to, in their order. "LPS": first to the left, then to the
        back, then to the head; "SPL" is what SimpleITK's arrays of an LPS image are.
    spacing_mm, patch
        Along those axes.
    clip
        Grey values are cut off there first.
    scale
        "z-score": minus `mean`, over `sd`; "per-scan": minus the scan's own mean, over its own standard deviation;
        "unit": the clip range becomes 0 to 1; "none".
    """

    spacing_mm: Triple
    patch: tuple[int, int, int]
    axes: str = "LPS"
    overlap: float = 0.5
    clip: tuple[float, float] = (-math.inf, math.inf)
    scale: Scale = "none"
    mean: float = 0.0
    sd: float = 1.0


@dataclass(frozen=True)
class Reading:
    """[output]: what the model's channels mean.

    Parameters
    ----------
    labels
        Number → key or name of the structure. With "softmax" and "argmax" the number is the channel, channel 0 being
        background; with "sigmoid" channel 0 is label 1, and structures may overlap.
    activation
        "softmax" and "sigmoid" are applied here, to what the model gives; "argmax" takes the channels as they are.
    threshold
        Of a sigmoid.
    """

    labels: Mapping[int, str]
    activation: Activation = "softmax"
    threshold: float = 0.5


@dataclass(frozen=True)
class Sidecar:
    """A whole sidecar."""

    about: About
    feed: Feed
    reading: Reading


def read_sidecar(path: Path) -> Sidecar:
    """The checked sidecar.

    Raises
    ------
    SegmentationError
        With the table and key that is missing, unknown or wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SegmentationError(
            f"the model has no sidecar that can be read: {error.strerror}",
            where=path,
            hint="write one beside it: docs/segmentation.md, “AI plug-ins”",
        ) from error
    except ValueError as error:
        raise SegmentationError(f"the sidecar is no TOML: {error}", where=path) from error
    unknown = sorted(set(table) - {"model", "input", "output"})
    if unknown:
        raise SegmentationError(f"[{unknown[0]}] is unknown", where=path, hint="tables: model, input, output")
    found = Sidecar(
        _filled(About, table.get("model", {}), "model", path),
        _filled(Feed, table.get("input", {}), "input", path),
        _filled(Reading, table.get("output", {}), "output", path),
    )
    for problem in (*_wrong_with_feed(found.feed), *_wrong_with_reading(found.reading)):
        raise SegmentationError(problem, where=path)
    return found


_T = TypeVar("_T", About, Feed, Reading)


def _filled(kind: type[_T], row: Any, name: str, path: Path) -> _T:
    """A table's noun; the kinds of its values are those of the fields."""
    if not isinstance(row, dict):
        raise SegmentationError(f"{name} is no table", where=path)
    known = {one.name: one for one in fields(kind)}
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    for key in sorted(set(row) - set(known)):
        raise SegmentationError(f"[{name}] {key} is unknown", where=path, hint="known: " + ", ".join(known))
    for key in sorted(needed - set(row)):
        raise SegmentationError(f"[{name}] {key} is missing", where=path)
    return kind(**{key: _value(value, str(known[key].type), f"[{name}] {key}", path) for key, value in row.items()})


def _value(value: Any, kind: str, name: str, path: Path) -> Any:
    number = _is_number(value, whole=False) and math.isfinite(value)
    if kind in ("str", "Scale", "Activation") and isinstance(value, str):
        return value
    if kind == "float" and number:
        return float(value)
    if kind.startswith(("Triple", "tuple")) and isinstance(value, list):
        wanted = 2 if kind == "tuple[float, float]" else 3
        whole = "int" in kind
        right = [_is_number(one, whole=whole) for one in value]
        if len(value) == wanted and all(right):
            return tuple(value)
    if kind.startswith("Mapping") and isinstance(value, dict) and value and all(map(_is_label, value.items())):
        return {int(key): text for key, text in value.items()}
    wanted_text = {"str": "a text", "float": "a number", "Triple": "three numbers"}.get(kind, kind)
    if kind.startswith("Mapping"):
        wanted_text = 'numbers from 1 and names, as in 1 = "liver"'
    raise SegmentationError(f"{name} is {value!r}; it must be {wanted_text}", where=path)


def _is_number(value: Any, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _is_label(row: tuple[str, Any]) -> bool:
    return row[0].isascii() and row[0].isdigit() and 0 < int(row[0]) < 65_536 and isinstance(row[1], str)


def _wrong_with_feed(feed: Feed) -> list[str]:
    problems = []
    letters = {feed.axes[at : at + 1] for at in range(3)}
    if len(feed.axes) != 3 or not letters <= set(_OPPOSITE) or len(letters | {_OPPOSITE[a] for a in letters}) != 6:
        problems.append(f"[input] axes is {feed.axes!r}; it must be one of L or R, one of P or A, one of S or I")
    if not all(_LEAST_SPACING_MM <= spacing < math.inf for spacing in feed.spacing_mm):
        problems.append(f"[input] spacing_mm is {list(feed.spacing_mm)}; it must be above 0")
    if not 1 <= min(feed.patch) <= max(feed.patch) <= _MOST_PATCH:
        problems.append(f"[input] patch is {list(feed.patch)}; it must lie between 1 and {_MOST_PATCH}")
    if not 0 <= feed.overlap <= 0.9:
        problems.append(f"[input] overlap is {feed.overlap:g}; it must lie between 0 and 0.9")
    if feed.scale not in get_args(Scale):
        problems.append(f"[input] scale is {feed.scale!r}; it must be one of {', '.join(get_args(Scale))}")
    if not feed.clip[0] < feed.clip[1] or (feed.scale == "unit" and not math.isfinite(feed.clip[1] - feed.clip[0])):
        problems.append(f"[input] clip is {list(feed.clip)}; it must be a low and a high value")
    if feed.sd <= 0:
        problems.append(f"[input] sd is {feed.sd:g}; it must be above 0")
    return problems


def _wrong_with_reading(reading: Reading) -> list[str]:
    problems = []
    if reading.activation not in get_args(Activation):
        choices = ", ".join(get_args(Activation))
        problems.append(f"[output] activation is {reading.activation!r}; it must be one of {choices}")
    if not 0 < reading.threshold < 1:
        problems.append(f"[output] threshold is {reading.threshold:g}; it must lie between 0 and 1")
    return problems
