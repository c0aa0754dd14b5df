"""Trains the small ONNX model of the tests on varied phantoms. It knows phantoms and no patient.

    python -m venv FOLDER && FOLDER/bin/pip install --editable . torch==2.13.0 onnx
    FOLDER/bin/python -m tools.train_phantom_model tests/meshing/ai/models/phantom_abdomen.onnx

A 3D U-Net of 62 thousand weights at 6 mm learns liver, spleen and both kidneys from the phantoms of seeds 0 to 59;
seeds from 1000 on are held out for tests. The committed one had 700 steps, then 300 of 500 more (`--from`). Seeds are
fixed; another version of torch or another number of cores still gives other last digits. The sidecar that says how to
feed the model is written beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from meshing.ai.resample import resampled, shape_at
from meshing.phantoms import Phantom
from meshing.phantoms.varied import varied

KEYS = ("liver", "spleen", "kidney_right", "kidney_left")
WITHIN = {"liver": ("tumour", "cyst", "portal_vein", "hepatic_vein", "hepatic_artery")}
SPACING_MM = 6.0
PATCH = (40, 40, 40)
CLIP_HU = (-200.0, 300.0)
MEAN_HU, SD_HU = 50.0, 100.0
TRAINING_SEEDS = range(60)
Lessons = list[tuple[np.ndarray, np.ndarray]]

SIDECAR = """# How to feed phantom_abdomen.onnx, and what it says. Written by tools/train_phantom_model.py.
[model]
name = "phantom-abdomen"
version = "1"
title = "Phantom abdomen"
title_zh = "体模腹部"
description = "Liver, spleen and kidneys of the built-in phantoms; it has seen no patient"
description_zh = "内置体模的肝、脾、肾；未见过任何患者"
licence = "Apache-2.0"
source = "tools/train_phantom_model.py of AnatomyXR, torch 2.13"
sha256 = "{sha256}"
modality = "CT"

[input]
axes = "LPS"
spacing_mm = [6.0, 6.0, 6.0]
patch = [40, 40, 40]
overlap = 0.5
clip = [-200.0, 300.0]
scale = "z-score"
mean = 50.0
sd = 100.0

[output]
activation = "softmax"

[output.labels]
1 = "liver"
2 = "spleen"
3 = "kidney_right"
4 = "kidney_left"
"""


def block(channels: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, wanted, 3, padding=1),
        nn.InstanceNorm3d(wanted, affine=True),
        nn.LeakyReLU(0.01),
        nn.Conv3d(wanted, wanted, 3, padding=1),
        nn.InstanceNorm3d(wanted, affine=True),
        nn.LeakyReLU(0.01),
    )


class TinyUNet(nn.Module):
    """Four levels of 5, 10, 20 and 20 channels."""

    def __init__(self, channels: tuple[int, int, int] = (5, 10, 20)) -> None:
        super().__init__()
        one, two, three = channels
        self.down = nn.MaxPool3d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.first, self.second, self.third = block(1, one), block(one, two), block(two, three)
        self.fourth = block(three, three)
        self.back_third, self.back_second = block(2 * three, two), block(2 * two, one)
        self.back_first = block(2 * one, one)
        self.head = nn.Conv3d(one, len(KEYS) + 1, 1)

    def forward(self, scan: torch.Tensor) -> torch.Tensor:
        first = self.first(scan)
        second = self.second(self.down(first))
        third = self.third(self.down(second))
        fourth = self.fourth(self.down(third))
        x = self.back_third(torch.cat([self.up(fourth), third], 1))
        x = self.back_second(torch.cat([self.up(x), second], 1))
        x = self.back_first(torch.cat([self.up(x), first], 1))
        return self.head(x)


def lesson(made: Phantom) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of a phantom, and the label that it should say, both at its spacing, (X, Y, Z)."""
    volume = made.volume
    shape = shape_at(volume.grid.shape, volume.grid.spacing_mm, (SPACING_MM,) * 3)
    seen = (np.clip(resampled(volume.voxels, shape), *CLIP_HU) - MEAN_HU) / SD_HU
    shares = np.zeros((len(KEYS) + 1, *shape), np.float32)
    for number, key in enumerate(KEYS, start=1):
        shares[number] = resampled(whole(made, key), shape)
    shares[0] = 1.0 - shares[1:].sum(axis=0)
    return seen.astype(np.float32), shares.argmax(axis=0).astype(np.int64)


def whole(made: Phantom, key: str) -> np.ndarray:
    """An organ with what is drawn in it, on the phantom's grid."""
    mask = made.segmentation.mask(key)
    for segment in made.segmentation.segments:
        if segment.key.startswith(WITHIN.get(key, ("\0",))):
            mask = mask | (made.segmentation.mask(segment.key) & liver_hull(mask))
    return mask


def liver_hull(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes closed: what else is drawn in there belongs to the organ for this model."""
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(mask)


def patches(lessons: Lessons, rng: np.random.Generator, count: int) -> Iterator[tuple]:
    """Random patches, a little brighter, darker, noisier than the phantom."""
    for _ in range(count):
        seen, wanted = lessons[int(rng.integers(len(lessons)))]
        lacking = [(0, max(0, p - n)) for p, n in zip(PATCH, seen.shape, strict=True)]
        seen, wanted = np.pad(seen, lacking, "edge"), np.pad(wanted, lacking, "edge")
        at = [int(rng.integers(0, n - p + 1)) for p, n in zip(PATCH, seen.shape, strict=True)]
        there = tuple(slice(a, a + p) for a, p in zip(at, PATCH, strict=True))
        seen = seen[there] * rng.uniform(0.9, 1.1) + rng.uniform(-0.15, 0.15)
        seen = seen + rng.normal(0, rng.uniform(0, 0.15), PATCH)
        yield seen.astype(np.float32), wanted[there]


def loss_of(said: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross entropy plus one minus the mean soft Dice of the structures."""
    shares = said.softmax(1)
    truth = nn.functional.one_hot(wanted, said.shape[1]).movedim(-1, 1).float()
    axes = (0, 2, 3, 4)
    dice = (2 * (shares * truth).sum(axes) + 1) / (shares.sum(axes) + truth.sum(axes) + 1)
    return nn.functional.cross_entropy(said, wanted) + 1 - dice[1:].mean()


def trained(model: nn.Module, lessons: Lessons, *, steps: int, batch: int, checkpoint: Path) -> nn.Module:
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    print(len(lessons), "phantoms,", sum(weight.numel() for weight in model.parameters()), "weights", flush=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    mean = 2.0
    for step in range(steps):
        seen, wanted = zip(*patches(lessons, rng, batch), strict=True)
        said = model(torch.from_numpy(np.stack(seen))[:, None])
        loss = loss_of(said, torch.from_numpy(np.stack(wanted)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean = 0.95 * mean + 0.05 * float(loss.detach())
        if step % 50 == 0:
            torch.save(model.state_dict(), checkpoint)
            print(f"step {step}: loss {mean:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model.eval()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--steps", type=int, default=700)
    arguments.add_argument("--batch", type=int, default=2)
    arguments.add_argument("--from", type=Path, dest="start_from", help="weights (.pt) to go on from")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    options.model.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = TinyUNet()
    if options.start_from:
        model.load_state_dict(torch.load(options.start_from, weights_only=True))
    lessons = [lesson(varied(seed, spacing_mm=5.0)) for seed in TRAINING_SEEDS]
    weights = options.model.with_suffix(".pt")
    model = trained(model, lessons, steps=options.steps, batch=options.batch, checkpoint=weights)
    torch.save(model.state_dict(), weights)
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, *PATCH),),
        str(options.model),
        input_names=["scan"],
        output_names=["scores"],
        opset_version=17,
        dynamo=False,
    )
    content = options.model.read_bytes()
    options.model.with_suffix(".toml").write_text(
        SIDECAR.format(sha256=hashlib.sha256(content).hexdigest()), encoding="utf-8"
    )
    print(f"{options.model}: {len(content) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
