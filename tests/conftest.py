"""Shared ground of the tests: where real scans lie, when they are there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # noisy machines miss deadlines of milliseconds
settings.load_profile("any machine")

REPOSITORY = Path(__file__).resolve().parent.parent


def _shared_data() -> Path:
    return Path(os.environ.get("ANATOMYXR_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("mra_aorta_vmtk/aorta.mha")`: that real file, or a skip that says why."""

    def find(name: str) -> Path:
        path = _shared_data() / name
        if not path.exists():
            pytest.skip(f"real data {name} is not here (looked in {path.parent})")
        return path

    return find
