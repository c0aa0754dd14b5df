"""The benchmark of the editing verbs runs, and ours does what the plain calls do."""

from __future__ import annotations

import pytest

from benchmarks import segmentation


def test_every_verb_stands_beside_a_plain_call_that_it_agrees_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert segmentation.main(["--rounds", "1", "--size", "48"]) == 0
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines() if line.startswith("|")]
    agreement = {cells[0]: float(cells[-1]) for cells in rows[2:]}
    assert len(agreement) == 19
    # Margins and walls count from the surface, not from centres; the other half differs by the rim of small shapes.
    assert {verb for verb, dice in agreement.items() if dice < 0.9} <= {"margin 5 mm", "hollow 3 mm"}
    assert min(agreement.values()) > 0.6
