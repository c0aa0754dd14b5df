"""Segmentation verbs: a scan, points of the user and what is drawn already go in; a patch of voxels comes out.

Verbs are functions on a grid of any orientation, they work in the box that matters, and they change nothing. What a
verb gives is drawn by the `Draft`, the one thing that changes: a label layer in patient order with a history of
differences, so that every step can be undone exactly. Points are LPS mm, lengths mm, volumes ml.
"""
