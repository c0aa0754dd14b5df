"""Doors in: the only rooms that see headers and untrusted bytes.

Whatever comes in is first unpacked under caps (`unpack`), then its header is judged (`gate`), and only then are its
voxels read, those of native codecs in a child process (`decoder`). What leaves is a `Volume` or a `Segmentation` in LPS
millimetres with the facts that the user must be able to read later.
"""
