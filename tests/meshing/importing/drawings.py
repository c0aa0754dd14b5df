"""Small label maps, the tables that name them, and how a test reads the facts about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meshing.volume import Fact, Grid
from tests.meshing.importing.specimens import oblique_grid, write_nifti

SHAPE = (20, 18, 12)
GRID = oblique_grid(SHAPE)


def blocks() -> np.ndarray:
    """Three labels, none of them symmetric: 1, 2 and 5."""
    labels = np.zeros(SHAPE, np.uint8, order="F")
    labels[2:9, 3:7, 1:5] = 1
    labels[10:14, 3:15, 2:9] = 2
    labels[4, 12, 9] = 5
    return labels


def caret(names: dict[int, str]) -> bytes:
    rows = "".join(
        f'<Label Key="{key}" Red="0.1" Green="0.2" Blue="0.3" Alpha="1"><![CDATA[{name}]]></Label>'
        for key, name in names.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension><VolumeInformation Index="0"><LabelTable>'
        f"{rows}</LabelTable></VolumeInformation></CaretExtension>"
    ).encode()


def named_nifti(path: Path, labels: np.ndarray, grid: Grid, table: bytes, code: int = 30) -> Path:
    import nibabel

    write_nifti(path, labels, grid)
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(code, table))
    nibabel.save(image, path)
    return path


def texts(facts: tuple[Fact, ...]) -> str:
    return "\n".join(fact.text for fact in facts)


def value(facts: tuple[Fact, ...], name: str) -> object:
    """The value of that name in the one fact that has it."""
    (found,) = [fact.values[name] for fact in facts if name in fact.values]
    return found
