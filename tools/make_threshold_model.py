"""Writes the smallest model that says something, for tests: grey values above 0.5 are label 1. Needs onnx.

python -m tools.make_threshold_model tests/meshing/ai/models/threshold.onnx
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PATCH = [16, 16, 16]


def main(path: str) -> None:
    scan = helper.make_tensor_value_info("scan", TensorProto.FLOAT, [1, 1, *PATCH])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, *PATCH])
    weights = numpy_helper.from_array(np.array([0, 1], np.float32).reshape(2, 1, 1, 1, 1), "w")
    bias = numpy_helper.from_array(np.array([0, -0.5], np.float32), "b")
    convolution = helper.make_node("Conv", ["scan", "w", "b"], ["scores"])
    graph = helper.make_graph([convolution], "g", [scan], [scores], [weights, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # any onnxruntime since 2022 reads it
    onnx.save(model, path)


if __name__ == "__main__":
    main(sys.argv[1])
