"""Label maps become smooth walls that neighbours share: a surface net, smoothed without losing what is thin.

`lattice` finds the net, `relax` smooths it, `balance` gives every part the volume of its voxels, `edges` moves it to
where the image shows an edge, `quads` makes triangles of it, `merge` makes fewer. Positions in here are millimetres
along the axes of the cropped lattice; `walls` turns them into LPS.
"""
