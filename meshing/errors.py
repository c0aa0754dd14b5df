"""One tree of errors: what is wrong with the numbers, where, and what to try.

Libraries and rooms raise; only the front ends (command line, window, server) catch.

::

    AnatomyError
    ├── ScanError                 the input cannot become a volume
    │   ├── NoImagesError         nothing readable in there
    │   ├── ChooseSeriesError     several volumes, none chosen
    │   ├── GeometryError         missing, singular or contradictory positions
    │   │   └── MissingSlicesError
    │   ├── DamagedFileError      truncated, malformed, or refused by the header gate
    │   ├── TooLargeError         over a limit that the user can raise
    │   └── UnsupportedError      a valid file of a kind that is not read here
    ├── DecodeError               native code crashed, hung or refused; it ran in a child process
    ├── SegmentationError         a segmenter or a label file gave something unusable
    │   └── PlugInError           a segmenter in a process of its own crashed, hung, or answered what cannot be
    ├── VesselError               no vessel tree: empty, a blob, an end outside the lumen, ends not connected
    ├── SurfaceError              a surface is open, empty, inward or too far from its labels
    ├── CaseError                 a case folder is missing, torn or of an unknown version
    │   └── StaleRevisionError    somebody saved a newer plan
    ├── ExportError               a model could not be written, or is not what the case says
    ├── RenderError               no picture can be drawn on this machine
    └── NotFoundError             a name that the case or the library does not hold
"""

from __future__ import annotations

from pathlib import Path


class AnatomyError(Exception):
    """Base of every error that this project raises on purpose.

    Parameters
    ----------
    message
        What is wrong, with the numbers.
    where
        The file, series, structure or option that it is about.
    hint
        What to try; the usual advice of the class when it is left out.
    """

    usual_hint = "see anatomyxr COMMAND --help"

    def __init__(self, message: str, *, where: str | Path = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = str(where)
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class ScanError(AnatomyError):
    """The input cannot become a volume."""

    usual_hint = "see what is in there: anatomyxr info PATH"


class NoImagesError(ScanError):
    """Nothing readable was found."""

    usual_hint = "name the folder, zip or file that holds the images"


class ChooseSeriesError(ScanError):
    """Several volumes were found and none was chosen."""


class GeometryError(ScanError):
    """Positions or orientations are missing, singular or contradict each other."""

    usual_hint = "export the series again from the scanner or PACS"


class MissingSlicesError(GeometryError):
    """A stack has a gap that slices should fill."""


class DamagedFileError(ScanError):
    """A file is truncated or malformed, or its header promises what it cannot hold."""

    usual_hint = "copy or export the file again"


class TooLargeError(ScanError):
    """A size passes a limit that the user can raise."""

    usual_hint = "raise the limit: --max-gib"


class UnsupportedError(ScanError):
    """A valid file of a kind that is not read here."""

    usual_hint = "convert it to DICOM, NIfTI, NRRD or MetaImage"


class DecodeError(AnatomyError):
    """Native code crashed, hung or refused the bytes; it ran in a child process."""

    usual_hint = "export the series again, uncompressed"


class SegmentationError(AnatomyError):
    """A segmenter or a label file gave something unusable."""

    usual_hint = "try another preset, or give --labels"


class PlugInError(SegmentationError):
    """A segmenter in a process of its own crashed, hung, or answered what cannot be."""

    usual_hint = "tell who made the plug-in; what is installed: anatomyxr segmenters"


class VesselError(AnatomyError):
    """No vessel can be followed: the lumen is empty or a blob, or an end lies outside it or is not connected."""

    usual_hint = "segment the vessel first, and set its ends inside it"


class SurfaceError(AnatomyError):
    """A surface is open, empty, inward or too far from its labels."""

    usual_hint = "leave the structure out, or draw it again"


class CaseError(AnatomyError):
    """A case folder is missing, torn or of an unknown version."""

    usual_hint = "build the case again from the scan"


class StaleRevisionError(CaseError):
    """Somebody saved a newer plan."""


class ExportError(AnatomyError):
    """A model could not be written, or is not what the case says."""

    usual_hint = "export again from the case"


class RenderError(AnatomyError):
    """No picture can be drawn on this machine."""


class NotFoundError(AnatomyError):
    """A name that the case or the library does not hold."""
