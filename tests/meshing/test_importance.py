"""Structures that a needle seeks or shuns keep their detail when triangles are short."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from meshing.extract import extract
from meshing.importance import importance
from meshing.library import asset
from meshing.segmentation import Segment, Segmentation
from meshing.simplify import simplify
from meshing.surface import check
from meshing.terminology import structures, systems
from meshing.volume import Grid

SHAPE = (90, 60, 60)


def twins(one: str, other: str) -> Segmentation:
    """The same lumpy body twice, side by side, under two names."""
    i, j, k = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8, order="F")
    for label, middle in ((1, 22), (2, 67)):
        radius = 15 + 2 * np.sin(0.9 * j) * np.cos(0.7 * k)
        labels[(i - middle) ** 2 + (j - 30) ** 2 + (k - 30) ** 2 < radius**2] = label
    segments = tuple(Segment(key, label, 0, structures()[key]) for label, key in ((1, one), (2, other)))
    return Segmentation((labels,), Grid(SHAPE, np.eye(4)), segments, "drawn by rule")


@pytest.mark.parametrize(("dear", "least"), [("tumour", 1.7), ("aorta", 1.2)])
def test_what_matters_keeps_more_triangles_and_strays_less_than_its_twin(dear: str, least: float) -> None:
    found = extract(twins(dear, "spleen"), budget=2_000)
    assert len(found[dear].faces) > least * len(found["spleen"].faces)
    assert found[dear].deviation.mean_mm < 0.9 * found["spleen"].deviation.mean_mm
    assert all(check(surface).is_manifold and check(surface).is_closed for surface in found.values())
    assert sum(len(surface.faces) for surface in found.values()) <= 2_000


def test_twins_of_one_kind_share_alike() -> None:
    found = extract(twins("spleen", "liver"), budget=2_000)
    assert len(found["spleen"].faces) == pytest.approx(len(found["liver"].faces), rel=0.1)


def test_surfaces_by_themselves_share_by_importance_too() -> None:
    whole = extract(twins("tumour", "spleen"))
    found = simplify(whole, 2_000, importance={"tumour": 3.0})
    assert len(found["tumour"].faces) > 2 * len(found["spleen"].faces)
    assert sum(len(surface.faces) for surface in found.values()) <= 2_000


def test_table_names_systems_that_exist_and_only_raises() -> None:
    table = tomllib.loads(asset("importance.toml").read_text(encoding="utf-8"))["systems"]
    assert table.keys() <= systems().keys()
    assert min(table.values()) >= 1
    assert importance(structures()["tumour"]) == max(table.values())
