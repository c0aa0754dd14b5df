"""Bare arrays of a scan in patient order, for whoever draws in them: turned upright, masks in millimetres, seeds."""
