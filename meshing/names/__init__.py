"""Names of foreign label files brought onto the terminology: which structure each means, how that is known, how surely.

In come labels (number, name, code), out comes for each a `Match`, in the same order; what means nothing known here
keeps its own name and gets the nearest candidates. A name is looked up as it stands, then by its words in any language
and order (`meshing.names.spoken`), then mended where letters are wrong (`meshing.names.spelling`). Sides, numbers and
levels of the spine are never mended. Below `SURE` nothing is matched. A person's corrections go before all.
"""

from __future__ import annotations

from meshing.names.corrections import (
    KEEP,
    Corrections,
    corrections_toml,
    read_corrections,
    refuse_numbers_that_are_not_there,
)
from meshing.names.harmonise import (
    BY_NAME,
    SURE,
    How,
    Label,
    Match,
    Matched,
    Naming,
    harmonise,
    match_name,
    schemes,
)

__all__ = [
    "BY_NAME",
    "KEEP",
    "SURE",
    "Corrections",
    "How",
    "Label",
    "Match",
    "Matched",
    "Naming",
    "corrections_toml",
    "harmonise",
    "match_name",
    "read_corrections",
    "refuse_numbers_that_are_not_there",
    "schemes",
]
