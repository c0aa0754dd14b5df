"""A scan as a model wants it, and its scores back on the scan's voxels as labels.

In and out: arrays (X, Y, Z) of an upright scan. In between: the axes, spacing and grey values of the sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.ai.exchange import Scan
from meshing.ai.resample import Float32Array, resampled, shape_at
from meshing.ai.sidecar import Feed, Reading
from meshing.errors import SegmentationError
from meshing.progress import Progress, silent

_UPRIGHT = "LPS"
_OPPOSITE = "RAI"


def turned(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """An upright array with its axes in that order and sense; a view."""
    order, backwards = _order(axes)
    return np.transpose(array, order)[tuple(slice(None, None, -1 if back else 1) for back in backwards)]


def turned_back(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """The upright array that `turned` made that of; a view."""
    order, backwards = _order(axes)
    straight = array[tuple(slice(None, None, -1 if back else 1) for back in backwards)]
    return np.transpose(straight, np.argsort(order))


def _order(axes: str) -> tuple[list[int], list[bool]]:
    order = [_UPRIGHT.find(letter) if letter in _UPRIGHT else _OPPOSITE.find(letter) for letter in axes]
    return order, [letter in _OPPOSITE for letter in axes]


def fed(scan: Scan, feed: Feed) -> Float32Array:
    """The scan in the model's axes, spacing and grey values."""
    voxels = turned(scan.voxels, feed.axes)
    spacing = [scan.spacing_mm[axis] for axis in _order(feed.axes)[0]]
    return scaled(resampled(voxels, shape_at(voxels.shape, spacing, feed.spacing_mm)), feed)


def scaled(values: Float32Array, feed: Feed) -> Float32Array:
    """Grey values clipped and scaled as the sidecar says."""
    low, high = feed.clip
    values = np.clip(values, low, high) if np.isfinite([low, high]).any() else values
    match feed.scale:
        case "z-score":
            middle, width = feed.mean, feed.sd
        case "per-scan":
            middle, width = float(values.mean(dtype=np.float64)), max(float(values.std(dtype=np.float64)), 1e-6)
        case "unit":
            middle, width = low, high - low
        case _:
            return values
    return np.asarray((values - np.float32(middle)) / np.float32(width), np.float32)


def activated(scores: Float32Array, reading: Reading) -> Float32Array:
    """Scores of one patch, (channels, …), as what may be averaged over patches."""
    if reading.activation == "softmax":
        shares = np.exp(scores - scores.max(axis=0))
        return np.asarray(shares / shares.sum(axis=0), np.float32)
    if reading.activation == "sigmoid":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -60, 60))), np.float32)
    return scores


def check_channels(channels: int, reading: Reading) -> None:
    """Refuses a model whose channels are not those of the labels.

    Raises
    ------
    SegmentationError
        With both numbers.
    """
    wanted = max(reading.labels) + (0 if reading.activation == "sigmoid" else 1)
    if channels != wanted:
        raise SegmentationError(
            f"the model gives {channels} channels, the labels of the sidecar need {wanted}",
            where="[output]",
            hint="name every channel, background aside, and check the activation",
        )


def drawn(
    scores: Float32Array, scan_shape: Sequence[int], feed: Feed, reading: Reading, progress: Progress = silent
) -> npt.NDArray[np.uint16]:
    """Labels on the voxels of the upright scan, (X, Y, Z); (channels, X, Y, Z) for a sigmoid.

    Scores, not labels, are brought to the scan's voxels, so that borders run between the model's voxels.
    """
    shape = [scan_shape[axis] for axis in _order(feed.axes)[0]]
    if reading.activation == "sigmoid":
        layers = np.zeros((len(scores), *scan_shape), np.uint16)
        for channel, score in enumerate(scores):
            progress(channel / len(scores), "back to the scan's voxels")
            above = resampled(score, shape) > reading.threshold
            layers[channel][turned_back(above, feed.axes)] = channel + 1
        return layers
    best = resampled(scores[0], shape)
    labels = np.zeros(shape, np.uint16)
    for channel in range(1, len(scores)):
        progress(channel / len(scores), "back to the scan's voxels")
        score = resampled(scores[channel], shape)
        is_better = score > best
        labels[is_better] = channel
        np.maximum(best, score, out=best)
    return turned_back(labels, feed.axes)
