"""Files that made widely used native readers crash or hang: each ends here in a typed error, and nothing dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import AnatomyError
from meshing.importing.decoder import decode_frames
from meshing.importing.files import read_file, survey_file
from meshing.importing.labels import read_labels
from meshing.importing.limits import Limits
from meshing.importing.scan import import_scan, survey
from tests.meshing.importing.specimens import LOSSLESS, compact_frames, dicom_file, oblique_grid

FILES = [
    *("j2k_a.dcm", "jls_a.dcm", "jls_b.dcm", "jls_c.dcm", "jls_hang.dcm", "nifti_a.nii", "nifti_hang.nii"),
    *(f"surface_{number}.ply" for number in range(1, 7)),
]
LIMITS = Limits(decode_seconds=2.0)
GOOD = compact_frames()
GRID = oblique_grid((8, 8, 8))

DOORS: dict[str, Callable[[Path], object]] = {
    "scan": lambda path: import_scan(path, limits=LIMITS),
    "file": lambda path: read_file(path, limits=LIMITS),
    "labels": lambda path: read_labels(path, GRID, limits=LIMITS),
    "frames": lambda path: decode_frames(path, limits=LIMITS),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_crashed_others_is_a_typed_error_in_bounded_time(
    real_data: Callable[[str], Path], name: str, door: str
) -> None:
    path = real_data(f"malformed/{name}")
    began = time.monotonic()
    with pytest.raises(AnatomyError) as caught:
        DOORS[door](path)
    assert time.monotonic() - began < LIMITS.decode_seconds + 5  # a child's start on a busy machine
    assert caught.value.where
    np.testing.assert_array_equal(decode_frames(dicom_file(GOOD, LOSSLESS["JPEG-LS"])), GOOD)


def test_no_file_is_left_out(real_data: Callable[[str], Path]) -> None:
    folder = real_data("malformed")
    assert {path.name for path in folder.iterdir()} - {"PROVENANCE.md"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_listing_survives_them_too(real_data: Callable[[str], Path], name: str) -> None:
    path = real_data(f"malformed/{name}")
    for look in (lambda: survey(path, limits=LIMITS), lambda: survey_file(path, LIMITS)):
        try:
            look()
        except AnatomyError as error:
            assert error.where
