"""Small models of the heavy frameworks, run by their own code in the child: agreement with phantoms never seen."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from meshing.ai.models import open_model
from meshing.errors import SegmentationError
from meshing.phantoms.varied import varied
from meshing.segmenters.presets import segment_with
from meshing.volume import Grid, Volume
from tests.meshing.ai.test_onnx import blocks, organ
from tests.meshing.segmenters.scans import dice
from tests.shapes import storage_orders

pytestmark = pytest.mark.ai

MODELS = Path(__file__).parent / "models"


def needs(*modules: str) -> pytest.MarkDecorator:
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"{', '.join(lacking)} not installed; make test-ai installs them")


KINDS = [
    pytest.param("nnunet", marks=needs("nnunetv2", "torch")),
    pytest.param("monai", marks=needs("monai", "torch")),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_the_liver_of_a_phantom_that_it_never_saw_has_dice_above_090(kind: str, seed: int) -> None:
    made = varied(seed, spacing_mm=4.0)
    found = segment_with(open_model(MODELS / kind), made.volume)
    assert dice(found.mask("liver"), organ(made, "liver")) >= 0.90
    for key in ("spleen", "kidney_right", "kidney_left"):
        assert dice(found.mask(key), organ(made, key)) >= 0.80, key


@pytest.mark.parametrize("kind", KINDS)
def test_slices_twice_as_thick_are_fed_as_such(kind: str) -> None:
    made = varied(1004, spacing_mm=4.0)
    matrix = made.volume.grid.voxel_to_patient @ np.diag([1.0, 1.0, 2.0, 1.0])
    voxels = made.volume.voxels[:, :, ::2]
    found = segment_with(open_model(MODELS / kind), Volume(voxels, Grid(voxels.shape, matrix), "CT", "HU"))
    for key in ("liver", "kidney_right", "kidney_left"):
        assert dice(found.mask(key), organ(made, key)[:, :, ::2]) >= 0.80, key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [5, 22, 47])
def test_the_storage_order_changes_nothing(kind: str, order: int) -> None:
    """Three of the 48: each starts a framework. The child sees one upright scan whatever the order was."""
    made = varied(1003, spacing_mm=6.0)
    plug_in = open_model(MODELS / kind)
    wanted = segment_with(plug_in, made.volume).mask("liver")
    grid = storage_orders(made.volume.grid)[order]
    index = np.rint(made.volume.grid.to_voxel(grid.to_patient(np.indices(grid.shape).reshape(3, -1).T))).astype(int).T

    def stored(array: np.ndarray) -> np.ndarray:
        return array[tuple(index)].reshape(grid.shape)

    volume = Volume(stored(made.volume.voxels), grid, "CT", "HU")
    assert (segment_with(plug_in, volume).mask("liver") == stored(wanted)).all()


@needs("monai", "torch")
def test_a_bundle_with_a_network_of_its_configuration_loads_its_state(tmp_path: Path) -> None:
    """A convolution of MONAI that marks what is above 0.5, stored as model.pt beside a `network_def`."""
    import torch
    from monai.networks.blocks import Convolution

    folder = tmp_path / "bundle"
    shutil.copytree(MODELS / "monai", folder)
    (folder / "models" / "model.ts").unlink()
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "kernel_size": 1, "conv_only": True}
    network = Convolution(**arguments)
    with torch.no_grad():
        network.conv.weight.copy_(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1))
        network.conv.bias.copy_(torch.tensor([0.0, -0.5]))
    torch.save({"model": network.state_dict()}, folder / "models" / "model.pt")
    config = json.loads((folder / "configs" / "inference.json").read_text())
    config["network_def"] = {"_target_": "monai.networks.blocks.Convolution", **arguments}
    config["preprocessing"]["transforms"][3]["pixdim"] = [2.0, 2.0, 2.0]
    config["preprocessing"]["transforms"].pop(4)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "background", "1": "liver"}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    found = segment_with(open_model(folder), blocks())
    assert (found.mask("liver") == (blocks().voxels > 0.5)).all()


@needs("monai", "torch")
@pytest.mark.parametrize("lacking", ["preprocessing", "inferer", "postprocessing"])
def test_a_bundle_without_a_step_says_which(tmp_path: Path, lacking: str) -> None:
    shutil.copytree(MODELS / "monai", tmp_path / "bundle")
    path = tmp_path / "bundle" / "configs" / "inference.json"
    config = json.loads(path.read_text())
    del config[lacking]
    path.write_text(json.dumps(config))
    with pytest.raises(SegmentationError, match=f"has no '{lacking}'"):
        segment_with(open_model(tmp_path / "bundle"), blocks())


@needs("nnunetv2", "torch")
def test_a_checkpoint_that_is_none_is_a_typed_error(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "nnunet", tmp_path / "model")
    (tmp_path / "model" / "fold_0" / "checkpoint_final.pth").write_bytes(b"no weights")
    with pytest.raises(SegmentationError, match=r"(UnpicklingError|EOFError|RuntimeError)"):
        segment_with(open_model(tmp_path / "model"), blocks())
