"""Segmenters that run in a process of their own: foreign packages, ONNX models, nnU-Net and MONAI model folders.

In: a `Volume`. Out: a checked `Segmentation` on its grid. What such a segmenter loads, and how it ends, does not touch
this process (docs/decisions/0012). `models.open_model` knows a model by what lies at its path; `catalogue` lists all.
"""

from meshing.ai.exchange import Drawn, Scan
from meshing.ai.plugin import PlugIn
from meshing.ai.runner import ChildLimits

__all__ = ["ChildLimits", "Drawn", "PlugIn", "Scan"]
