"""Puts the network that `tools.train_phantom_model` trained into a MONAI bundle, for tests.

    pip install --editable ".[monai]"
    python -m tools.make_phantom_bundle phantom_abdomen.pt tests/ai/models/monai

The weights are those of the ONNX model, as TorchScript; preprocessing, inferer and postprocessing are MONAI's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from tools.train_phantom_model import CLIP_HU, KEYS, MEAN_HU, PATCH, SD_HU, SPACING_MM, TinyUNet

METADATA = {
    "name": "phantom_abdomen",
    "version": "1",
    "monai_version": "1.6.1",
    "task": "Liver, spleen and kidneys of the built-in phantoms; it has seen no patient",
    "license": "Apache-2.0",
    "network_data_format": {
        "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1, "spatial_shape": list(PATCH)}},
        "outputs": {
            "pred": {
                "type": "image",
                "num_channels": len(KEYS) + 1,
                "channel_def": {str(number): name for number, name in enumerate(("background", *KEYS))},
            }
        },
    },
}

INFERENCE = {
    "imports": ["$import glob"],
    "bundle_root": ".",
    "dataset_dir": "/data",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cpu')",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS", "labels": None},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [SPACING_MM] * 3, "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": CLIP_HU[0],
                "a_max": CLIP_HU[1],
                "b_min": (CLIP_HU[0] - MEAN_HU) / SD_HU,
                "b_max": (CLIP_HU[1] - MEAN_HU) / SD_HU,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": list(PATCH), "sw_batch_size": 1, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
}


def main(weights: Path, target: Path) -> None:
    model = TinyUNet()
    model.load_state_dict(torch.load(weights, weights_only=True))
    for folder in ("configs", "models"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    torch.jit.trace(model.eval(), torch.zeros(1, 1, *PATCH)).save(str(target / "models" / "model.ts"))
    for name, words in (("metadata.json", METADATA), ("inference.json", INFERENCE)):
        (target / "configs" / name).write_text(json.dumps(words, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
