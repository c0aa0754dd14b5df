"""`anatomyxr.toml` in a model folder: what nnU-Net and MONAI folders do not say themselves."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from meshing.errors import SegmentationError

NOTES = "anatomyxr.toml"


@dataclass(frozen=True)
class Notes:
    """What a person wrote down about a model folder.

    Parameters
    ----------
    axes
        Where the voxel axes of its training files ran to, three letters as in a sidecar: "RAS", "LPS", …
    licence
        Of the weights.
    device
        "cpu" or "cuda"; "" takes CUDA where there is one.
    """

    axes: str
    licence: str = ""
    device: str = ""

    def device_option(self) -> dict[str, str]:
        """For the options of a plug-in."""
        return {"device": self.device} if self.device else {}


def notes_in(folder: Path, *, axes: str) -> Notes:
    """The notes of a folder; `axes` stands where they say nothing.

    Raises
    ------
    SegmentationError
        If the file is no TOML, or holds a key that is unknown or no text.
    """
    path = folder / NOTES
    if not path.exists():
        return Notes(axes)
    try:
        row = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SegmentationError(f"it is no TOML: {error}", where=path) from error
    known = [field.name for field in fields(Notes)]
    for key, value in row.items():
        if key not in known or not isinstance(value, str):
            raise SegmentationError(f"{key} = {value!r} is not known", where=path, hint="texts: " + ", ".join(known))
    found = Notes(**{"axes": axes, **row})
    if sorted("LPS"["RAI".find(a)] if a in "RAI" else a for a in found.axes) != sorted("LPS"):
        raise SegmentationError(f"axes is {found.axes!r}; it must be three letters such as RAS or LPS", where=path)
    return found
