"""Draw the pictures of organs grown from clicks for docs/segmentation.md, from two real scans.

Usage: ``ANATOMYXR_TEST_DATA=FOLDER python -m tools.picture_clicks`` (some minutes).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

from viewer.cli import main

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SCANS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "abdomen": (
        "ct_abdomen_labels/example_ct.nii.gz",
        (
            "liver=-80,-152.3,427.3",
            "spleen=85,-110.3,427.3",
            "kidney_left=85,-110.3,364.3",
            "kidney_right=-80,-140.3,316.3",
            "bladder=1,-170.3,148.3",
        ),
        ("--centre=-68,-130,391",),
    ),
    "lidc0314": (
        "ct_dicom_lidc0314/lidc-idri-0314_ct.zip",
        ("liver=-78.3,144.9,-667.8", "spleen=99.8,160.5,-669.8", "kidney=43.5,214.4,-675.8"),
        ("--centre=20,200,-668",),
    ),
}


def draw(folder: Path) -> None:
    """Every picture, as JPEG of moderate size."""
    shared = Path(os.environ["ANATOMYXR_TEST_DATA"])
    for name, (scan, clicks, centre) in SCANS.items():
        case = folder / name
        wanted = [word for click in clicks for word in ("--click", click)]
        run("build", shared / scan, case, *wanted)
        for kind, options in (
            ("before", ("--overlay", "none", "--layout", "slices")),
            ("after", ("--layout", "slices")),
            ("surfaces", ("--layout", "3d")),
            ("confidence", ("--confidence",)),
        ):
            picture = folder / f"{name}-{kind}.png"
            run("shot", case, picture, "--size", "1200x900", *centre, *options)
            Image.open(picture).convert("RGB").save(PICTURES / f"clicks-{name}-{kind}.jpg", quality=86)


def run(*words: object) -> None:
    """One command that must succeed."""
    if main([str(word) for word in words]) != 0:
        raise SystemExit(f"failed: {words[0]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        draw(Path(place))
