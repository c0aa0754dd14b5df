"""Windows: grey levels by the standard's formula, the same for every storage order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.errors import NotFoundError
from meshing.terminology import structures
from meshing.volume import Volume
from tests.shapes import storage_orders, upright_grid
from viewer.windows import Window, apply_window, automatic, presets, sampled, sampled_indices, suggested, window_for

GRID = upright_grid((9, 7, 5), (1.0, 1.0, 1.0))


def test_black_middle_and_white_stand_where_the_window_says() -> None:
    window = Window("test", "", "", width=400, level=40)
    greys = apply_window([-1000, -160, -60, 40, 140, 240, 3000, np.nan], window)
    # LINEAR_EXACT: −160 is 0, 240 is 255, quarters between; 63.75 and 191.25 round to 64 and 191.
    assert greys.tolist() == [0, 0, 64, 128, 191, 255, 255, 0]
    assert greys.dtype == np.uint8


@given(st.floats(1, 4000), st.floats(-1000, 3000), st.lists(st.floats(-5000, 5000), min_size=2, max_size=30))
def test_brighter_voxels_are_never_drawn_darker(width: float, level: float, values: list[float]) -> None:
    greys = apply_window(sorted(values), Window("test", "", "", width, level)).astype(int)
    assert (np.diff(greys) >= 0).all()


def test_presets_are_the_reading_room_ones_in_both_languages() -> None:
    known = {key: (window.width, window.level) for key, window in presets().items()}
    assert known["abdomen"] == (400, 40)
    assert known["lung"] == (1500, -600)
    assert known["brain"] == (80, 40)
    assert known["angio"] == (600, 200)
    assert all(window.name and window.name_zh for window in presets().values())


@pytest.mark.parametrize(
    ("keys", "window"),
    [
        (("liver", "aorta", "skin"), "abdomen"),
        (("vertebrae_L1", "hip_left", "skin"), "bone"),
        (("aorta", "portal_vein", "vertebrae_T12"), "angio"),
        (("lung_left", "airway", "skin"), "lung"),
        (("lung_vessels",), "lung"),
        (("lung_vessels", "aorta"), "abdomen"),
        (("lung_left", "airway", "bone", "skin"), "abdomen"),
        (("brain", "skull", "skin"), "brain"),
        ((), "abdomen"),
    ],
)
def test_the_window_suits_what_is_shown(keys: tuple[str, ...], window: str) -> None:
    known = structures()
    assert suggested("CT", [known[key] for key in keys]) == window
    assert suggested("MR", [known[key] for key in keys]) == "auto"


def test_an_unknown_window_is_named_with_those_that_exist() -> None:
    volume = Volume(np.zeros(GRID.shape, np.int16), GRID, "CT", "HU")
    with pytest.raises(NotFoundError, match="spleen") as caught:
        window_for(volume, [], "spleen")
    assert "abdomen" in caught.value.hint and "auto" in caught.value.hint


def test_the_automatic_window_holds_the_tissue_and_not_the_background() -> None:
    voxels = np.zeros((40, 40, 40), np.int16)
    voxels[10:30, 10:30, 10:30] = np.linspace(300, 700, 8000).reshape(20, 20, 20)
    window = automatic(Volume(voxels, upright_grid((40, 40, 40), (1, 1, 1)), "MR", ""))
    assert window.level - window.width / 2 == pytest.approx(304, abs=1)
    assert window.level + window.width / 2 == pytest.approx(698, abs=1)


def test_the_automatic_window_survives_a_flat_scan() -> None:
    window = automatic(Volume(np.full(GRID.shape, 3.0, np.float32), GRID, "MR", ""))
    assert window.width > 0 and np.isfinite(window.level)


@given(st.integers(1, 700))
def test_samples_lie_alike_from_both_ends(count: int) -> None:
    chosen = sampled_indices(count)
    assert (chosen == (count - 1 - chosen)[::-1]).all()
    assert chosen[0] == 0 and chosen[-1] == count - 1 and (np.diff(chosen) > 0).all()


def test_the_automatic_window_does_not_depend_on_storage_order() -> None:
    shape = (70, 90, 66)
    values = np.random.default_rng(3).integers(0, 900, shape).astype(np.int16)
    grid = upright_grid(shape, (1.0, 1.0, 1.0))
    wanted = automatic(Volume(values, grid, "MR", ""))
    for order in storage_orders(grid):
        axes = [int(np.argmax(np.abs(order.direction[:, column]))) for column in range(3)]
        turned = np.transpose(values, axes)
        flips = [column for column in range(3) if order.direction[axes[column], column] < 0]
        found = automatic(Volume(np.flip(turned, flips), order, "MR", ""))
        assert (found.width, found.level) == (wanted.width, wanted.level)
    assert sampled(values).size < values.size
