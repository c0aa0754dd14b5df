"""Any ONNX model with a TOML sidecar, through onnxruntime, slid over the scan.

`onnx_plug_in` runs in our process and reads the sidecar only; `segment` runs in the child.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from meshing.ai.exchange import Drawn, Scan
from meshing.ai.feeding import activated, check_channels, drawn, fed
from meshing.ai.plugin import PlugIn
from meshing.ai.sidecar import Reading, read_sidecar
from meshing.ai.sliding import Float32Array, slide
from meshing.errors import SegmentationError
from meshing.progress import Progress, part
from meshing.segmenters.presets import Preset

_SHOWN_DIGITS = 12


def onnx_plug_in(model: Path) -> PlugIn:
    """The model of an .onnx file, described by the .toml beside it.

    Raises
    ------
    SegmentationError
        If the sidecar is missing or wrong, or the model is not the one that its sha256 names.
    """
    sidecar = read_sidecar(model.with_suffix(".toml"))
    about = sidecar.about
    found = sha256_of(model)
    if about.sha256 and about.sha256.lower() != found:
        raise SegmentationError(
            f"its sha256 is {found[:_SHOWN_DIGITS]}…, the sidecar says {about.sha256[:_SHOWN_DIGITS]}…",
            where=model,
            hint="the model was changed or the sidecar belongs to another: get both again",
        )
    title = about.title or about.name
    preset = Preset(
        name=about.name,
        modality=about.modality,
        title=title,
        title_zh=about.title_zh or title,
        description=about.description or about.source,
        description_zh=about.description_zh or about.description or about.source,
        structures=tuple(sidecar.reading.labels.values()),
        is_approximate=False,
    )
    return PlugIn(
        preset=preset,
        runs="meshing.ai.onnx_model:segment",
        source=f"model {f'{about.name} {about.version}'.strip()} (sha256 {found[:_SHOWN_DIGITS]}, {about.source})",
        licence=about.licence,
        needs=("onnxruntime",),
        install=("anatomyxr[ai]",),
        options={"model": str(model.resolve())},
    )


def sha256_of(path: Path) -> str:
    """The file's digest, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def segment(scan: Scan, options: dict[str, Any], progress: Progress) -> Drawn:
    """What the model draws; runs in the child."""
    path = Path(options["model"])
    sidecar = read_sidecar(path.with_suffix(".toml"))
    progress(0.0, "loading the model")
    model = _Model(path, sidecar.reading)
    seen = fed(scan, sidecar.feed)
    progress(0.1, f"{' × '.join(map(str, seen.shape))} voxels for the model")
    feed = sidecar.feed
    scores = slide(model, seen, feed.patch, overlap=feed.overlap, progress=part(progress, 0.1, 0.9))
    labels = drawn(scores, scan.voxels.shape, feed, sidecar.reading, part(progress, 0.9, 1.0))
    return Drawn(labels, sidecar.reading.labels)


class _Model:
    """The network, called on one patch: (X, Y, Z) to activated (channels, X, Y, Z)."""

    def __init__(self, path: Path, reading: Reading) -> None:
        import onnxruntime

        # CUDA where onnxruntime was installed with it; its own words go to the log.
        chosen = [name for name in ("CUDAExecutionProvider",) if name in onnxruntime.get_available_providers()]
        self._session = onnxruntime.InferenceSession(str(path), providers=[*chosen, "CPUExecutionProvider"])
        self._reading = reading
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 5 or inputs[0].type not in ("tensor(float)", "tensor(float16)"):
            seen = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
            raise SegmentationError(
                f"the model takes {seen}; it must take one float tensor (batch, channel, three axes)", where=path
            )
        self._input = inputs[0].name
        self._kind = np.float16 if inputs[0].type == "tensor(float16)" else np.float32

    def __call__(self, patch: Float32Array) -> Float32Array:
        fed_patch = np.ascontiguousarray(patch[None, None], dtype=self._kind)
        (scores, *_) = self._session.run(None, {self._input: fed_patch})
        scores = np.asarray(scores, np.float32)
        if scores.ndim != 5 or scores.shape[0] != 1 or scores.shape[2:] != patch.shape:
            raise SegmentationError(
                f"the model answers {scores.shape} to a patch of {patch.shape}; it must be (1, channels, *patch)",
                where="[input] patch",
            )
        if not np.isfinite(scores).all():
            wrong = int((~np.isfinite(scores)).sum())
            raise SegmentationError(f"{wrong} of {scores.size} scores of the model are not finite", where="model")
        check_channels(scores.shape[1], self._reading)
        return activated(scores[0], self._reading)
