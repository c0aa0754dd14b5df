"""Enhanced multi-frame objects: what each frame says about itself in its functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshing.errors import DamagedFileError
from meshing.importing.dicom import tags
from meshing.importing.dicom.headers import Header, Marks

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_MACRO = {
    tags.POSITION: tags.PLANE_POSITION,
    tags.ORIENTATION: tags.PLANE_ORIENTATION,
    tags.PIXEL_SPACING: tags.PIXEL_MEASURES,
    tags.SLOPE: tags.PIXEL_TRANSFORMATION,
    tags.INTERCEPT: tags.PIXEL_TRANSFORMATION,
}

_MARKS = (
    ("time point", tags.FRAME_CONTENT, tags.TEMPORAL_INDEX),
    ("acquisition", tags.FRAME_CONTENT, tags.FRAME_ACQUISITION_NUMBER),
    ("echo time", tags.MR_ECHO, tags.EFFECTIVE_ECHO_TIME),
    ("b-value", tags.MR_DIFFUSION, tags.B_VALUE),
    ("trigger time", tags.CARDIAC_SYNCHRONIZATION, tags.NOMINAL_TRIGGER_DELAY),
)


@dataclass(frozen=True, eq=False)
class FrameGroups:
    """The functional groups of one frame: its own, then those that all frames share, then the file's top level."""

    own: Dataset
    shared: Dataset | None
    file: Dataset

    def scope(self, tag: int) -> Dataset:
        """The data set to look a geometric tag up in."""
        found = self.macro(_MACRO[tag])
        return self.file if found is None else found

    def macro(self, sequence: int) -> Dataset | None:
        """The item of a functional group macro; a frame's own wins over the shared one."""
        for groups in (self.own, self.shared):
            if groups is not None and (found := tags.items(groups, sequence)):
                return found[0]
        return None

    @property
    def stack(self) -> str:
        content = self.macro(tags.FRAME_CONTENT)
        return "" if content is None else tags.text(content, tags.STACK_ID)

    @property
    def marks(self) -> Marks:
        marks: list[tuple[str, float | str]] = []
        for name, sequence, tag in _MARKS:
            macro = self.macro(sequence)
            value = None if macro is None else tags.number(macro, tag)
            if value is not None and math.isfinite(value):
                marks.append((name, value))
        if (acquisition := tags.number(self.file, tags.ACQUISITION_NUMBER)) is not None:
            marks.append(("acquisition of the file", acquisition))
        for sequence in tags.FRAME_TYPE_SEQUENCES:
            macro = self.macro(sequence)
            if macro is not None:
                marks.append(("image type", tags.text(macro, tags.FRAME_TYPE)))
        return tuple(marks)


def groups_of(file: Dataset, header: Header) -> list[FrameGroups] | None:
    """The functional groups of each frame, or None for a file that has none (a classic, single-frame one).

    Raises
    ------
    DamagedFileError
        If there are more or fewer groups than frames.
    """
    own = tags.items(file, tags.FRAME_GROUPS)
    shared = tags.items(file, tags.SHARED_GROUPS)
    if not own:
        return None
    if len(own) != header.frame_count:
        raise DamagedFileError(
            f"it has {header.frame_count} frames and {len(own)} descriptions of frames",
            where=header.path,
            hint="export the series again",
        )
    return [FrameGroups(item, shared[0] if shared else None, file) for item in own]
