"""Typed access to JSON that a stranger wrote: every field is what it should be, or a `DamagedFileError` names it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from meshing.errors import DamagedFileError


@dataclass(frozen=True)
class Fields:
    """A JSON object and its place in the file ("accessors[3]"), for the error."""

    values: Mapping[str, Any]
    where: str

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def whole(self, key: str, default: int | None = None, *, below: int = 2**53) -> int:
        """A whole number from 0 to under `below`."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
            self._refuse(key, f"a whole number from 0 to under {below}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            self._refuse(key, "text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self.values.get(key, default)
        if not _is_number(value):
            self._refuse(key, "a finite number")
        return float(value)

    def array(self, key: str, shape: tuple[int, ...], default: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Finite numbers of that shape; -1 in `shape` stands for any length, () for one number."""
        value = self.values.get(key)
        if value is None and default is not None:
            return np.asarray(default, dtype=np.float64)
        if not _has_shape(value, shape):
            size = "×".join("n" if n < 0 else str(n) for n in shape)
            self._refuse(key, f"finite numbers of shape {size}" if shape else "a finite number")
        return np.asarray(value, dtype=np.float64)

    def inner(self, key: str) -> Fields:
        """The object under that key, empty where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self._refuse(key, "an object")
        return Fields(value, f"{self.where}.{key}")

    def each(self, key: str) -> list[Fields]:
        """The objects of the list under that key, none where it is missing."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._refuse(key, "a list of objects")
        return [Fields(item, f"{self.where}.{key}[{number}]".lstrip(".")) for number, item in enumerate(value)]

    def indices(self, key: str, below: int) -> list[int]:
        """Whole numbers under `below`, none where the key is missing."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(type(item) is int and 0 <= item < below for item in value):
            self._refuse(key, f"a list of whole numbers under {below}")
        return value

    def texts(self, key: str) -> list[str]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(key, "a list of texts")
        return value

    def _refuse(self, key: str, wanted: str) -> NoReturn:
        found = "missing" if key not in self.values else repr(self.values[key])[:60]
        raise DamagedFileError(f"{key} is {found}, wanted {wanted}", where=self.where or "top of the file")


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8 `text`; NaN, repeated keys and endless nesting are refused.

    Raises
    ------
    DamagedFileError
        With the place of the fault.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"its JSON cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"its JSON is a {type(value).__name__}, wanted an object")
    return value


def every_object(value: Any, where: str = "") -> Iterator[Fields]:
    """Every JSON object inside `value`, itself included, each with its place."""
    waiting = [(value, where)]
    while waiting:
        current, place = waiting.pop()
        if isinstance(current, dict):
            yield Fields(current, place)
            waiting.extend((item, f"{place}.{key}".lstrip(".")) for key, item in current.items())
        elif isinstance(current, list):
            waiting.extend((item, f"{place}[{number}]") for number, item in enumerate(current))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 if isinstance(value, int) else math.isfinite(value)


def _has_shape(value: object, shape: tuple[int, ...]) -> bool:
    if not shape:
        return _is_number(value)
    if not isinstance(value, list) or shape[0] not in (-1, len(value)):
        return False
    return all(_has_shape(item, shape[1:]) for item in value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
