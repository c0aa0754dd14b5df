"""Trains a very small nnU-Net v2 with nnU-Net's own tools on varied phantoms, for tests. It knows phantoms only.

    pip install --editable ".[nnunet]"
    python -m tools.train_phantom_nnunet tests/ai/models/nnunet

nnU-Net plans, preprocesses, augments and trains as it always does; only its plan is cut down (a network of three levels
on patches of 32 voxels at 6 mm) and its epochs are few. Of the checkpoint, what only training needs is left out.
Phantoms of seeds from 1000 on are held out for tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

NAME = "Dataset901_Phantom"
LABELS = {"background": 0, "liver": 1, "spleen": 2}
TRAINING_SEEDS = range(8)
SPACING_MM = 6.0
PATCH = [32, 32, 32]
FEATURES = [8, 16, 24]


def write_dataset(raw: Path) -> None:
    """The phantoms as nnU-Net wants its raw files: NIfTI, here with axes to the left, back and head."""
    import nibabel

    from meshing.phantoms.varied import varied

    folder = raw / NAME
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for seed in TRAINING_SEEDS:
        made = varied(seed, spacing_mm=SPACING_MM)
        labels = np.zeros(made.volume.grid.shape, np.uint8)
        labels[made.segmentation.mask("spleen")] = 2
        liver = made.segmentation.mask("liver")
        for segment in made.segmentation.segments:
            if segment.inside == "liver":
                liver = liver | made.segmentation.mask(segment.key)
        labels[liver] = 1
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ made.volume.grid.voxel_to_patient
        nibabel.save(nibabel.Nifti1Image(made.volume.voxels, affine), folder / "imagesTr" / f"p{seed:03}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labelsTr" / f"p{seed:03}.nii.gz")
    about = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": len(TRAINING_SEEDS),
        "file_ending": ".nii.gz",
        "licence": "Apache-2.0",
    }
    (folder / "dataset.json").write_text(json.dumps(about))


def cut_down(plans_file: Path) -> None:
    """A plan for a machine without a graphics processor."""
    plans = json.loads(plans_file.read_text())
    plan = plans["configurations"]["3d_fullres"]
    plan["patch_size"], plan["batch_size"] = PATCH, 2
    plan["spacing"] = [SPACING_MM] * 3
    levels = len(FEATURES)
    plan["architecture"]["arch_kwargs"].update(
        n_stages=levels,
        features_per_stage=FEATURES,
        kernel_sizes=[[3, 3, 3]] * levels,
        strides=[[1, 1, 1]] + [[2, 2, 2]] * (levels - 1),
        n_conv_per_stage=[2] * levels,
        n_conv_per_stage_decoder=[2] * (levels - 1),
    )
    plans_file.write_text(json.dumps(plans))


def train(epochs: int, iterations: int) -> Path:
    """nnU-Net's own way from raw files to a checkpoint; gives the model folder."""
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    preprocessed = Path(nnUNet_preprocessed) / NAME
    extract_fingerprints([901], num_processes=1, check_dataset_integrity=True)
    plan_experiments([901])
    cut_down(preprocessed / "nnUNetPlans.json")
    preprocess([901], configurations=["3d_fullres"], num_processes=[1])
    os.environ.update(nnUNet_n_proc_DA="0")  # augment in this process
    torch.manual_seed(0)
    torch.set_num_threads(1)
    plans = {**json.loads((preprocessed / "nnUNetPlans.json").read_text()), "continue_training": False}
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, "3d_fullres", "all", dataset, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = epochs, iterations, 2
    trainer.run_training()
    return Path(trainer.output_folder_base)


def keep(model: Path, target: Path) -> None:
    """What inference needs of a model folder, and what nnU-Net does not write down."""
    import torch

    (target / "fold_all").mkdir(parents=True, exist_ok=True)
    for name in ("dataset.json", "plans.json"):
        shutil.copy(model / name, target / name)
    found = torch.load(model / "fold_all" / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    needed = ("network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes")
    torch.save({key: found[key] for key in needed}, target / "fold_all" / "checkpoint_final.pth")
    (target / "anatomyxr.toml").write_text('axes = "LPS"\nlicence = "Apache-2.0"\ndevice = "cpu"\n', encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("target", type=Path)
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--iterations", type=int, default=25)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for part in ("raw", "preprocessed", "results"):
            (Path(name) / part).mkdir()
            os.environ[f"nnUNet_{part}"] = str(Path(name) / part)
        os.environ.update(nnUNet_n_proc_DA="1", nnUNet_compile="f")
        write_dataset(Path(name) / "raw")
        keep(train(options.epochs, options.iterations), options.target)


if __name__ == "__main__":
    main()
