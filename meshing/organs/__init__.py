"""Organs, lesions and vessels from clicks or a box: adaptive growing with terms for shape and edges, without weights.

`grow.grow(volume, "liver", [point])` is the way in; `grow.refine` takes further clicks, inside and outside.

======== ===========================================================================================================
priors   what is known of an organ beforehand, from `assets/organs.toml`
ground   the scan about the click on cubes, denoised, and the way back to the scan's own voxels
guesses  masks that could be the organ: each a band of values and a neck that is cut
votes    how good a guess is by its border, shape and volume; what the good ones agree on
notes    what a person should know of the result: leaks, necks, volumes, with the numbers
grow     click → checks → guesses → votes → mask, confidence, facts
lumen    clicks along a vessel → its way, its wall unrolled, mask
======== ===========================================================================================================

The method: around the click the typical value is taken. For each of several bands about it, and several radii, the
voxels that a ball of that radius reaches from the click inside the band are one guess. A good guess ends at edges
(values change across its border), is round rather than ragged, and has a volume that such organs have. The guesses
vote, each by its score; the mask is what the majority holds, and where they differ the confidence is low.

References
----------
Adams, Bischof, Seeded region growing, IEEE TPAMI 16(6), 1994. Hojjatoleslami, Kittler, Region growing: a new approach,
IEEE Trans. Image Processing 7(7), 1998 (growing until the border's contrast is largest).
"""
