"""ONNX models through onnxruntime, in the child: a network of one convolution, and one trained on phantoms."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from meshing.ai.models import open_model
from meshing.ai.plugin import PlugIn
from meshing.errors import PlugInError, SegmentationError
from meshing.phantoms import Phantom, phantom
from meshing.phantoms.varied import varied
from meshing.segmentation import Segmentation
from meshing.segmenters.presets import segment_with
from meshing.volume import Grid, Volume
from tests.meshing.segmenters.scans import dice
from tests.shapes import oblique, storage_orders, upright_grid

pytest.importorskip("onnxruntime", reason="the extra [ai] is not installed")

MODELS = Path(__file__).parent / "models"
HELD_OUT = range(1000, 1008)
"""Seeds that the training never saw."""

GRID = upright_grid((20, 24, 17), (2.0, 2.0, 2.0))


def threshold(folder: Path, **changed: str) -> PlugIn:
    """The network that marks what is above 0.5, with lines of its sidecar changed."""
    shutil.copy(MODELS / "threshold.onnx", folder / "t.onnx")
    lines = (MODELS / "threshold.toml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition(" =")[0] not in changed]
    text = "\n".join(kept)
    for key, value in changed.items():
        table = "[output.labels]" if key == "2" else "[input]"
        text = text.replace(table, f"{table}\n{key} = {value}") if value else text
    (folder / "t.toml").write_text(text, encoding="utf-8")
    return open_model(folder / "t.onnx")


def blocks(grid: Grid = GRID) -> Volume:
    """1 in a block that is nowhere symmetric, 0 elsewhere; of any order of the grid."""
    at = GRID.to_voxel(grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)))
    inside = ((at > (2, 11, 4)) & (at < (9, 20, 13))).all(axis=-1)
    return Volume(inside.astype(np.float32), grid, "CT", "HU")


def test_at_its_own_spacing_it_marks_exactly_what_is_above(tmp_path: Path) -> None:
    found = segment_with(threshold(tmp_path), blocks())
    assert (found.mask("liver") == (blocks().voxels > 0.5)).all()
    assert found.source.startswith("model threshold 1 (sha256 558721282a2e, made by hand), Apache-2.0")


@pytest.mark.slow
def test_all_storage_orders_give_the_same_voxels_in_space(tmp_path: Path) -> None:
    plug_in = threshold(tmp_path)
    for grid in storage_orders(GRID):
        volume = blocks(grid)
        assert (segment_with(plug_in, volume).mask("liver") == (volume.voxels > 0.5)).all()


@pytest.mark.parametrize("axes", ["LPS", "RAS", "IPR"])
def test_the_order_of_its_axes_does_not_move_what_it_marks(tmp_path: Path, axes: str) -> None:
    found = segment_with(threshold(tmp_path, axes=f'"{axes}"'), blocks())
    assert (found.mask("liver") == (blocks().voxels > 0.5)).all()


def test_on_an_oblique_grid_it_marks_the_same_voxels(tmp_path: Path) -> None:
    grid = oblique(GRID, 3)
    volume = Volume(blocks().voxels, grid, "CT", "HU")
    assert (segment_with(threshold(tmp_path), volume).mask("liver") == (volume.voxels > 0.5)).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"2": '"spleen"'}, "the model gives 2 channels, the labels of the sidecar need 3"),
        ({"patch": "[8, 8, 8]"}, "InvalidArgument"),
    ],
)
def test_a_sidecar_that_does_not_fit_the_network_is_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(SegmentationError, match=said):
        segment_with(threshold(tmp_path, **changed), blocks())


def test_scores_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    voxels = blocks().voxels.copy()
    voxels[0, 0, 0] = np.nan
    with pytest.raises(SegmentationError, match=r"of 8192 scores of the model are not finite"):
        segment_with(threshold(tmp_path), Volume(voxels, GRID, "CT", "HU"))


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    plug_in = threshold(tmp_path, sha256="")
    (tmp_path / "t.onnx").write_bytes(b"no network")
    with pytest.raises(PlugInError, match="InvalidProtobuf"):
        segment_with(plug_in, blocks())


def test_another_modality_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="made for CT, the scan is MR"):
        segment_with(open_model(MODELS / "phantom_abdomen.onnx"), Volume(blocks().voxels, GRID, "MR", ""))


# -------------------------------------------------------------------------------------- the one trained on phantoms


def organ(made: Phantom, key: str) -> np.ndarray:
    """The organ with what is drawn inside it: a model has one label for both."""
    from scipy.ndimage import binary_fill_holes

    whole = made.segmentation.mask(key)
    for segment in made.segmentation.segments:
        if segment.inside == key:
            whole = whole | made.segmentation.mask(segment.key)
    return np.asarray(binary_fill_holes(whole))


def drawn_on(made: Phantom) -> Segmentation:
    return segment_with(open_model(MODELS / "phantom_abdomen.onnx"), made.volume)


@pytest.mark.slow
@pytest.mark.parametrize("seed", HELD_OUT)
def test_the_liver_of_a_phantom_that_it_never_saw_has_dice_above_090(seed: int) -> None:
    made = varied(seed, spacing_mm=4.0)
    found = drawn_on(made)
    assert dice(found.mask("liver"), organ(made, "liver")) >= 0.90
    for key in ("spleen", "kidney_right", "kidney_left"):
        assert dice(found.mask(key), organ(made, key)) >= 0.75, key


def test_the_built_in_phantom_comes_out_with_its_sides_right() -> None:
    made = phantom("abdomen", spacing_mm=3.0)
    found = drawn_on(made)
    assert dice(found.mask("liver"), organ(made, "liver")) >= 0.92
    middle = {
        key: made.volume.grid.to_patient(np.argwhere(found.mask(key)).mean(axis=0)) for key in ("kidney_left", "liver")
    }
    assert middle["kidney_left"][0] > 20 and middle["liver"][0] < -20
