"""Write `assets/samples.toml`: the public scans that `anatomyxr sample` fetches.

Usage: python tools/build_samples.py FOLDER, where FOLDER/*/PROVENANCE.md names repository, commit, path and sha256.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHOSEN = {
    "ct-abdomen": ("ct_abdomen_labels", "example_ct.nii.gz", "CT of abdomen and pelvis, 3 mm"),
    "ct-abdomen-labels": (
        "ct_abdomen_labels",
        "example_seg_fast_force_split.nii.gz",
        "61 labels of ct-abdomen, drawn by a model, named in the file",
    ),
    "cta-aorta": ("cta_aorta", "aorta/ct_cropped.nii.gz", "CT angiography of a dissected thoracic aorta, 1.5 mm"),
    "cta-aorta-mask": ("cta_aorta", "aorta/aorta.nii.gz", "the aorta of cta-aorta, drawn by a model"),
    "mr-brain-tumour": ("mr_brain_tumour", "brain1_image.nrrd", "MR of a brain with a tumour, 0.8 × 0.8 × 6.5 mm"),
    "mr-brain-tumour-mask": (
        "mr_brain_tumour",
        "brain1_label.nrrd",
        "the tumour of mr-brain-tumour, by an expert",
    ),
    "mr-spine": ("mr_spine_cord", "t2.nii.gz", "T2 MR of the cervical spine, 1 mm"),
    "mr-spine-cord": ("mr_spine_cord", "t2_seg-manual.nii.gz", "the cord of mr-spine, drawn by hand"),
    "atlas-abdomen-labels": ("atlas_abdomen", "seg.nrrd", "label volume of an abdominal atlas, drawn by experts"),
}


def main(folder: Path) -> None:
    lines = [
        "# Public scans that `anatomyxr sample` fetches. Made by tools/build_samples.py.",
        "",
    ]
    for name, (room, file, what) in CHOSEN.items():
        text = (folder / room / "PROVENANCE.md").read_text(encoding="utf-8")
        repository = re.search(r"Repository: https://github.com/(\S+)", text)
        commit = re.search(r"Commit: ([0-9a-f]{40})", text)
        licence = re.search(r"Licence: (.+)", text)
        row = re.search(rf"^\| {re.escape(file)} \| (\d+) \| ([0-9a-f]{{64}}) \| (\S+) \|$", text, re.MULTILINE)
        if not (repository and commit and licence and row):
            sys.exit(f"{room}/PROVENANCE.md does not name {file}")
        address = f"https://raw.githubusercontent.com/{repository[1]}/{commit[1]}/{row[3]}"
        lines += [
            f"[{name}]",
            f'what = "{what}"',
            f'file = "{name}{"".join(Path(file).suffixes)}"',
            f'original = "{file}"',
            f'address = "{address}"',
            f"bytes = {row[1]}",
            f'sha256 = "{row[2]}"',
            f'licence = "{re.split(r"[(;,]", licence[1])[0].strip()}"',
            "",
        ]
    target = Path(__file__).resolve().parent.parent / "assets" / "samples.toml"
    target.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
