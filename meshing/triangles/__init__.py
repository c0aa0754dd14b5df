"""Triangles as bare arrays: how they hang together, how far away they are, where they cross. Knows no structure."""
