"""The decimation benchmark runs, and what it says of us is sound."""

from __future__ import annotations

import pytest

from benchmarks import decimation


def test_table_names_everyone_and_our_surface_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    assert decimation.main(["--rounds", "1", "--size", "tiny"]) == 0
    said = capsys.readouterr().out
    ours = next(line for line in said.splitlines() if line.startswith("| AnatomyXR"))
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells[3:6] == ["4,000", "0", "0"]
    assert 0 < float(cells[6]) < 0.01
    assert "| fast-simplification" in said
