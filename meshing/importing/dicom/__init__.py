"""DICOM folders to volumes: headers, grouping, geometry, regular grids, pixels.

The only room, with the export door, that reads DICOM headers. Read `survey` first: it lists what a folder holds.
"""
