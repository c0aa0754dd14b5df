"""What stands where in our GLB: the words that the writer and the verifier share.

`extras` may hold these fields and no other: what is not listed here is a leak until somebody lists it.
"""

from __future__ import annotations

from importlib import metadata

from meshing.exporting.annotations import KINDS, number_fields

NOT_FOR_CLINICAL_USE = "For planning practice and teaching; not a medical device."

ROOT_NAME = "anatomyxr"
ANNOTATIONS_NAME = "annotations"

CASE_KIND = "case"
STRUCTURE_KIND = "structure"
MATRIX = "lps_mm_to_gltf_m"

ROOT_FIELDS = frozenset(
    {"kind", "case", "generator", "frame", "unit", MATRIX, "bounds_mm", "structures", "notForClinicalUse"}
)
STRUCTURE_FIELDS = frozenset(
    {"kind", "name", "name_zh", "label", "code", "side", "system", "volume_ml"}
    | {"bounds_mm", "centroid_mm", "mean_deviation_mm", "max_deviation_mm"}
)
ASSET_FIELDS = frozenset({"disclaimer"})

FIELDS_OF_KIND = {
    CASE_KIND: ROOT_FIELDS,
    STRUCTURE_KIND: STRUCTURE_FIELDS,
    **{kind: frozenset({"kind", *number_fields(kind)}) for kind in KINDS},
}


def generator() -> str:
    """ "AnatomyXR" and its version."""
    return f"AnatomyXR {metadata.version('anatomyxr')}"
