"""Segmenters: a scan becomes a `Segmentation` by a named preset.

`presets.segment(volume, "ct-body")` is the way in. Scans come in any storage order and are first turned into patient
order (`upright`), so a preset gives the same voxels for all 48 orders. Thresholds stand with their sources in
`assets/presets.toml`.

=============== ====================================================================================================
ct-body         skin, lungs, airway, bone                      ct_body ← body, lungs, airway, ct_bone, contrast
ct-bone         bone without vessels and table                 ct_bone ← body, contrast
ct-bones        the trunk bone by bone, counted from below     ct_bone_parts ← ct_bone, spine, bone_parts
cta-vessels     arterial tree of a CT angiogram                vessels ← body, contrast, aorta, cuts
ct-lung-vessels arteries and veins of the lungs                lung_vessels ← ct_body
ct-portal       portal and hepatic veins (approximate)         liver_veins ← body, contrast
mr-vessels      vessel tree of an MR angiogram                 mr_vessels ← blobs
mr-head         head outline, brain (approximate)              mr_head
=============== ====================================================================================================

Other packages attach segmenters through the entry-point group "meshing.segmenters" (`presets.Segmenter`).
"""
