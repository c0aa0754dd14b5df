"""Trains the small nnU-Net v2 folder of the tests on varied phantoms. It knows phantoms and no patient.

    pip install --editable ".[nnunet]"
    python -m tools.train_phantom_nnunet tests/ai/models/nnunet

The folder is what nnU-Net reads: its own plans, its own network class, its own names of weights. The lessons go
through nnU-Net's own preprocessor. Only the loop is ours, that of `tools.train_phantom_model`: nnU-Net's trainer takes
250 thousand steps, which needs a graphics processor. The committed folder had 1000 steps from random weights, on
phantoms of seeds 0 to 59, in ten minutes on one core; seeds from 1000 on are held out for tests. The seed of chance is
fixed; another version of torch still gives other last digits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from meshing.phantoms import Phantom
from meshing.phantoms.varied import varied
from tools.train_phantom_model import (
    CLIP_HU,
    KEYS,
    MEAN_HU,
    PATCH,
    SD_HU,
    SPACING_MM,
    TRAINING_SEEDS,
    trained,
    whole,
)

CONFIGURATION = "3d_fullres"
FEATURES = (5, 10, 20, 20)
LEVELS = len(FEATURES)
RESAMPLING = "resample_data_or_seg_to_shape"

DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, **{key: number for number, key in enumerate(KEYS, start=1)}},
    "numTraining": len(TRAINING_SEEDS),
    "file_ending": ".nii.gz",
    "licence": "Apache-2.0",
}

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": LEVELS,
        "features_per_stage": FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * LEVELS,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (LEVELS - 1),
        "n_conv_per_stage": [2] * LEVELS,
        "n_conv_per_stage_decoder": [2] * (LEVELS - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


def resampling(order: int, *, is_seg: bool = False) -> dict[str, object]:
    return {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}


PLANS = {
    "dataset_name": "Dataset901_Phantom",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": [5.0] * 3,
    "original_median_shape_after_transp": [50, 50, 70],
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {
        CONFIGURATION: {
            "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": PATCH,
            "median_image_size_in_voxels": [42.0, 42.0, 58.0],
            "spacing": [SPACING_MM] * 3,
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": RESAMPLING,
            "resampling_fn_seg": RESAMPLING,
            "resampling_fn_probabilities": RESAMPLING,
            "resampling_fn_data_kwargs": resampling(3),
            "resampling_fn_seg_kwargs": resampling(1, is_seg=True),
            "resampling_fn_probabilities_kwargs": resampling(1),
            "architecture": ARCHITECTURE,
            "batch_dice": False,
        }
    },
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {
        "0": {
            "min": CLIP_HU[0],
            "percentile_00_5": CLIP_HU[0],
            "mean": MEAN_HU,
            "median": MEAN_HU,
            "percentile_99_5": CLIP_HU[1],
            "max": CLIP_HU[1],
            "std": SD_HU,
        }
    },
}


def lesson(made: Phantom, plans: PlansManager) -> tuple[np.ndarray, np.ndarray]:
    """What nnU-Net makes of a phantom and its labels, (Z, Y, X) at the spacing of the plan."""
    volume = made.volume
    labels = np.zeros(volume.grid.shape, np.int16)
    for number, key in enumerate(KEYS, start=1):
        labels[whole(made, key)] = number
    seen, wanted, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        volume.voxels.transpose(2, 1, 0)[None],
        labels.transpose(2, 1, 0)[None],
        {"spacing": list(volume.grid.spacing_mm[::-1])},
        plans,
        plans.get_configuration(CONFIGURATION),
        DATASET,
    )
    return np.asarray(seen[0], np.float32), np.maximum(wanted[0], 0).astype(np.int64)


def keep(network: nn.Module, target: Path) -> None:
    """The folder as nnU-Net leaves it, without what only its own training goes on from."""
    (target / "fold_0").mkdir(parents=True, exist_ok=True)
    for name, words in (("dataset.json", DATASET), ("plans.json", PLANS)):
        (target / name).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    checkpoint = {
        "network_weights": network.state_dict(),
        "init_args": {"configuration": CONFIGURATION, "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": None,  # left and right kidney are not each other's mirror images
    }
    torch.save(checkpoint, target / "fold_0" / "checkpoint_final.pth")
    (target / "anatomyxr.toml").write_text('axes = "LPS"\nlicence = "Apache-2.0"\ndevice = "cpu"\n', encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("target", type=Path)
    arguments.add_argument("--steps", type=int, default=1000)
    arguments.add_argument("--batch", type=int, default=2)
    options = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    plans = PlansManager(PLANS)
    network = nnUNetTrainer.build_network_architecture(
        plans, plans.get_configuration(CONFIGURATION), 1, len(KEYS) + 1, enable_deep_supervision=False
    )
    lessons = [lesson(varied(seed, spacing_mm=5.0), plans) for seed in TRAINING_SEEDS]
    options.target.mkdir(parents=True, exist_ok=True)
    weights = options.target.with_suffix(".pt")
    keep(trained(network, lessons, steps=options.steps, batch=options.batch, checkpoint=weights), options.target)
    weights.unlink()


if __name__ == "__main__":
    main()
