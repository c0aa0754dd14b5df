"""Scans of something known exactly, for demonstration, teaching and tests; nobody was scanned.

`phantom(name)` gives a CT scan with partial volume, blur and noise, its segmentation (nested, overlapping, with
terminology keys) and the true volume of every part; `voxelise(name, grid)` puts the parts on any other grid. The
recipes are `assets/phantoms/*.toml`. Frame: LPS millimetres.

========== ===================================================================================================
abdomen    skin to spine with liver, tumour, vessel trees, kidneys, bowel; three contrast phases
spheres    balls of radius 3, 5, 10, 20 and 30 mm
tubes      capsules of radius 1, 2 and 4 mm, along an axis and oblique
head       an ellipsoid with a left ear (towards L) and a nose (towards A): which way round is it?
========== ===================================================================================================
"""

from meshing.phantoms.make import Phantom, Truth, phantom, voxelise
from meshing.phantoms.recipe import NAMES

__all__ = ["NAMES", "Phantom", "Truth", "phantom", "voxelise"]
