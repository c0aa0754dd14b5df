"""Where the data files of `assets/` lie, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

from meshing.errors import NotFoundError


def asset(name: str) -> Path:
    """The path of an asset, such as "terminology.toml" or "phantoms/abdomen.toml".

    Raises
    ------
    NotFoundError
        If the installation lacks it.
    """
    here = Path(__file__).parent
    for root in (here / "_assets", here.parent / "assets"):
        if (root / name).exists():
            return root / name
    raise NotFoundError(f"asset {name!r} is missing", where=here, hint="install the package again")
