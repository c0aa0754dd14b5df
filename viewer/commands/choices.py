"""Options that several commands share, as the library's settings."""

from __future__ import annotations

import argparse
from dataclasses import replace

from meshing.importing.limits import DEFAULT, Limits
from meshing.names import Naming, read_corrections

_GIB = 1 << 30


def limits_of(options: argparse.Namespace) -> Limits:
    """The default limits, with the size that the user allowed."""
    if options.max_gib is None:
        return DEFAULT
    return replace(DEFAULT, max_bytes=int(options.max_gib * _GIB))


def naming_of(options: argparse.Namespace) -> Naming:
    """How labels get their structures: by the user's corrections and class numbers, if given."""
    corrections = read_corrections(options.corrections) if options.corrections else None
    return Naming(corrections, options.scheme)
