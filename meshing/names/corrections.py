"""What a person says that labels mean: a TOML file, read with all its errors named, and written to be edited.

::

    [names]
    "Lebr" = "liver"            # a key of the terminology, or a name of the structure in either language
    "couch" = ""                # left out
    "my own ROI" = "keep"       # keeps its own name

    [numbers]
    5 = "liver"                 # the label of that number; goes before its name
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshing.errors import DamagedFileError, NotFoundError, SegmentationError
from meshing.names.likeness import nearest
from meshing.terminology import match, plain, structures

KEEP = "keep"
"""Instead of a structure: the label keeps its own name."""

_MOST_BYTES = 1 << 22
_LARGEST_NUMBER = 0xFFFF
_HOW = 'give a key such as kidney_left, a name, "" to leave the label out, or "keep" to let it keep its own'


@dataclass(frozen=True)
class Corrections:
    """Key, "" or `KEEP`, by the name as folded by `terminology.plain`, and by number."""

    by_name: Mapping[str, str] = field(default_factory=dict)
    by_number: Mapping[int, str] = field(default_factory=dict)

    def of(self, number: int | None, name: str) -> str | None:
        """What is said of a label; None where nothing is."""
        if number is not None and number in self.by_number:
            return self.by_number[number]
        return self.by_name.get(_folded(name)) if name else None


def read_corrections(path: Path) -> Corrections:
    """The corrections of a TOML file.

    Raises
    ------
    DamagedFileError
        If it is no TOML, with the line.
    SegmentationError
        If it has a table, a number or a value that means nothing, or says two things of one name.
    NotFoundError
        If a structure is not known, with the nearest names.
    """
    tables = _parsed(Path(path))
    strange = sorted(set(tables) - {"names", "numbers"})
    if strange or not all(isinstance(table, dict) for table in tables.values()):
        raise SegmentationError(
            f"{', '.join(strange) or 'names or numbers'}: not a table of corrections",
            where=path,
            hint='write [names] and "their name" = "liver" below it, or [numbers] and 5 = "liver"',
        )
    by_name: dict[str, str] = {}
    for name, said in tables.get("names", {}).items():
        key = _key(said, name, path)
        if by_name.setdefault(_folded(name), key) != key:
            raise SegmentationError(f"{name!r} stands twice, with different structures", where=path, hint="keep one")
    numbers = tables.get("numbers", {})
    return Corrections(by_name, {_number(text, path): _key(said, text, path) for text, said in numbers.items()})


def refuse_numbers_that_are_not_there(corrections: Corrections, numbers: Collection[int], where: Path) -> None:
    """Raise `NotFoundError` if a label of that number is not in the file: the corrections belong to another."""
    missing = sorted(set(corrections.by_number) - set(numbers))
    if missing:
        there = sorted(numbers)
        some = ", ".join(map(str, there[:12])) + (f" … {there[-1]}" if len(there) > 12 else "")
        raise NotFoundError(
            f"the corrections name label {', '.join(map(str, missing[:12]))}; the file holds {some or 'none'}",
            where=where,
            hint="take the number out of [numbers], or give the file that it was written for",
        )


def corrections_toml(rows: Iterable[tuple[str | int, str, str]], heading: str) -> str:
    """A file to be edited: of each row the name, or the number of a label without one; the key; a remark."""
    names: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for label, key, remark in rows:
        at, table = (str(label), numbers) if isinstance(label, int) else (_folded(label), names)
        left = str(label) if isinstance(label, int) else _quoted(label)
        table.setdefault(at, f"{left} = {_quoted(key)}" + (f"  # {remark}" if remark else ""))
    lines = [*heading.splitlines(), *textwrap.wrap(f"After each label stands its structure: {_HOW}.", 110)]
    tables = [("[names]", names), ("[numbers]", numbers)]
    written = [line for title, table in tables if table for line in ("", title, *table.values())]
    return "\n".join([*(f"# {line}" for line in lines), *written]) + "\n"


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise DamagedFileError(f"it is larger than {_MOST_BYTES} bytes", where=path, hint="give the TOML file")
        return tomllib.loads(content.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        hint = 'mend that line: "their name" = "liver"; each name may stand once'
        raise DamagedFileError(f"it is not TOML: {error}", where=path, hint=hint) from error
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"byte {error.start} is not UTF-8", where=path, hint="save it as UTF-8") from error
    except OSError as error:
        raise DamagedFileError(f"it cannot be read: {error.strerror}", where=path, hint="check the path") from error


def _key(said: object, of: str, path: Path) -> str:
    if not isinstance(said, str):
        raise SegmentationError(f"{of!r} = {said!r} is not a text", where=path, hint=_HOW)
    if said in ("", KEEP) or said in structures():
        return said
    if known := match(said):
        return known.key
    close = ", ".join(structure.key for structure in nearest(said))
    raise NotFoundError(
        f"{of!r} = {said!r}: no structure is called so", where=path, hint=f"nearest: {close}" if close else _HOW
    )


def _number(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LARGEST_NUMBER):
        raise SegmentationError(
            f"{text!r} under [numbers] is no label", where=path, hint=f"labels are 1 to {_LARGEST_NUMBER}"
        )
    return int(text)


def _folded(name: str) -> str:
    return plain(name) or name.strip()


def _quoted(text: str) -> str:
    """A TOML basic string, with what may not stand in it escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(sign if sign.isprintable() else f"\\U{ord(sign):08X}" for sign in escaped) + '"'
