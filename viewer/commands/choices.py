"""Options that several commands share, as the library's settings."""

from __future__ import annotations

import argparse
from dataclasses import replace

from meshing.importing.limits import DEFAULT, Limits

_GIB = 1 << 30


def limits_of(options: argparse.Namespace) -> Limits:
    """The default limits, with the size that the user allowed."""
    if options.max_gib is None:
        return DEFAULT
    return replace(DEFAULT, max_bytes=int(options.max_gib * _GIB))
