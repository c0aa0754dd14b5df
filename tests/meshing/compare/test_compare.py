"""Agreement of graders on a structure: closed forms, in every storage order, and what cannot be measured said so."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshing.compare import CompareSettings, Comparison, Pair, StructureAgreement, compare, who_lie_apart
from meshing.errors import SegmentationError
from meshing.progress import Cancelled
from meshing.segmentation import Segmentation
from tests.meshing.compare.graders import GRID, SHAPE, block, cube, drawn, noisy
from tests.shapes import ball, capsule, labelled, middle_of, oblique, storage_orders, upright_grid


def only(found: Comparison) -> StructureAgreement:
    (structure,) = found.structures
    return structure


def pair_of(one: Segmentation, other: Segmentation, **choices: float) -> Pair:
    (pair,) = only(compare({"A": one, "B": other}, CompareSettings(**choices))).pairs
    return pair


def test_equal_drawings_agree_wholly() -> None:
    pair = pair_of(drawn(GRID, liver=cube(0)), drawn(GRID, liver=cube(0)), tolerance_mm=0.0)
    assert pair.dice == pair.kappa == 1.0
    assert pair.reference_ml == pair.other_ml == pytest.approx(1.0)
    assert pair.difference_ml == pair.difference_percent == 0.0
    assert pair.distances is not None
    assert astuple(pair.distances) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("voxels", [1, 5, 10])
def test_shifted_cubes_have_their_dice_and_kappa(voxels: int) -> None:
    pair = pair_of(drawn(GRID, liver=cube(0)), drawn(GRID, liver=cube(voxels)), margin_mm=1.0)
    assert pair.dice == pytest.approx((20 - voxels) / 20)
    total = (20 + voxels + 4) * 24 * 24  # two voxels of margin around the box of both
    apart, shared = 400 * voxels, 400 * (20 - voxels)
    by_chance = (8000 / total) ** 2 + (1 - 8000 / total) ** 2
    observed = (shared + total - shared - 2 * apart) / total
    assert pair.kappa == pytest.approx((observed - by_chance) / (1 - by_chance))


def test_volumes_differ_by_what_one_drew_more() -> None:
    smaller = block(SHAPE, (4, 5, 5), (20, 25, 25))
    pair = pair_of(drawn(GRID, liver=cube(0)), drawn(GRID, liver=smaller))
    assert (pair.reference_ml, pair.other_ml) == pytest.approx((1.0, 0.8))
    assert pair.difference_ml == pytest.approx(-0.2) and pair.difference_percent == pytest.approx(-20.0)


def test_balls_at_anisotropic_spacing_have_their_dice() -> None:
    grid = oblique(upright_grid((70, 56, 22), (0.7, 0.9, 2.5)))
    small, large = (labelled(grid, {"liver": ball(middle_of(grid), radius)}) for radius in (15.0, 20.0))
    dice = pair_of(small, large).dice
    assert dice == pytest.approx(2 * 15**3 / (15**3 + 20**3), abs=0.01)  # voxels make 1 % of such a ball's volume


def test_the_box_grows_by_its_margin_no_farther_than_the_grid() -> None:
    whole = pair_of(drawn(GRID, liver=cube(0)), drawn(GRID, liver=cube(4)), margin_mm=1000.0).kappa
    total = np.prod(SHAPE)
    by_chance = (8000 / total) ** 2 + (1 - 8000 / total) ** 2
    assert whole == pytest.approx((1 - 3200 / total - by_chance) / (1 - by_chance))


def test_drawings_without_a_common_voxel_have_right_numbers() -> None:
    one, other = block(SHAPE, (1, 5, 5), (11, 15, 15)), block(SHAPE, (25, 5, 5), (35, 15, 15))
    pair = pair_of(drawn(GRID, liver=one), drawn(GRID, liver=other))
    assert pair.dice == 0.0 and pair.kappa is not None and pair.kappa < 0.0
    assert pair.distances is not None
    assert pair.distances.hausdorff_mm == pytest.approx(12.0) and pair.distances.surface_dice == 0.0


def test_kappa_is_none_where_the_box_holds_nothing_else() -> None:
    full = block(SHAPE, (0, 0, 0), SHAPE)
    three = compare(dict.fromkeys("ABC", drawn(GRID, liver=full)))
    assert {pair.kappa for pair in only(three).pairs} == {None}
    assert only(three).fleiss_kappa is None and only(three).consensus is None
    assert {pair.dice for pair in only(three).pairs} == {1.0}


def test_what_one_did_not_draw_is_listed_and_not_measured() -> None:
    nothing = np.zeros(SHAPE, bool)
    graders = {
        "A": drawn(GRID, liver=cube(0), spleen=cube(3)),
        "B": drawn(GRID, liver=cube(1), spleen=nothing, cyst=nothing),
        "C": drawn(GRID, liver=cube(2), kidney=cube(8)),
    }
    found = {structure.key: structure for structure in compare(graders).structures}
    assert set(found) == {"liver", "spleen", "cyst", "kidney"}
    assert {key: (s.drawn_by, s.missing_in) for key, s in found.items()} == {
        "liver": (("A", "B", "C"), ()),
        "spleen": (("A",), ("B", "C")),
        "cyst": ((), ("A", "B", "C")),
        "kidney": (("C",), ("A", "B")),
    }
    first = found["spleen"].pairs[0]
    assert (first.dice, first.kappa, first.distances) == (None, None, None)
    assert (first.reference_ml, first.other_ml, first.difference_percent) == (pytest.approx(1.0), 0.0, -100.0)
    assert found["kidney"].pairs[0].difference_percent is None
    assert found["kidney"].pairs[1].other_ml == pytest.approx(1.0)
    assert [len(structure.pairs) for structure in found.values()] == [3, 3, 3, 3]
    assert found["liver"].consensus and not found["spleen"].consensus


def test_of_three_the_one_who_is_right_is_trusted() -> None:
    truth = cube(0)
    graders = {"careless": noisy(truth, 1, 0.1), "right": truth, "hasty": noisy(truth, 2, 0.1)}
    found = only(compare({name: drawn(GRID, liver=mask) for name, mask in graders.items()}))
    assert found.consensus is not None and found.fleiss_kappa is not None
    careless, right, hasty = found.consensus.graders
    # In a hundredth of the voxels both others are wrong alike.
    assert right.sensitivity > 0.98 and right.specificity > 0.98 and right.dice and right.dice > 0.98
    assert max(careless.sensitivity, hasty.sensitivity) < 0.95
    assert found.consensus.volume_ml == pytest.approx(1.0, rel=0.02)
    assert 0.5 < found.fleiss_kappa < 0.9


def test_three_equal_graders_agree_wholly() -> None:
    found = only(compare(dict.fromkeys("ABC", drawn(GRID, liver=cube(0)))))
    assert found.fleiss_kappa == pytest.approx(1.0)
    assert found.consensus is not None and found.consensus.volume_ml == pytest.approx(1.0)
    for grader in found.consensus.graders:
        assert (grader.sensitivity, grader.specificity, grader.dice) == pytest.approx((1.0, 1.0, 1.0))


def test_agreement_is_the_same_in_every_storage_order() -> None:
    grid = oblique(upright_grid((20, 16, 12), (0.8, 1.1, 2.0)))
    middle = middle_of(grid)
    answers = []
    for order in storage_orders(grid):
        inside = [ball(middle, 5.0), capsule(middle - 3, middle + (4, 1, 2), 4.0), ball(middle + (1, 0, 2), 5.5)]
        graders = {name: labelled(order, {"liver": shape}) for name, shape in zip("ABC", inside, strict=True)}
        answers.append(numbers_in(compare(graders)))
    assert len(answers) == 48
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-6, atol=1e-7)


def numbers_in(found: Comparison) -> list[float]:
    structure = only(found)
    assert structure.consensus is not None

    def flat(value: Any) -> list[float]:
        if isinstance(value, tuple):
            return [number for part in value for number in flat(part)]
        return [value] if isinstance(value, float) else []

    pairs = [number for pair in structure.pairs for number in flat(astuple(pair))]
    return [*pairs, structure.fleiss_kappa or 0.0, *flat(astuple(structure.consensus))]


def test_graders_who_lie_apart_in_everything_are_named() -> None:
    far = block(SHAPE, (30, 5, 5), (39, 25, 25))
    graders = {"A": cube(0), "B": cube(1), "C": far}
    found = compare({name: drawn(GRID, liver=mask) for name, mask in graders.items()})
    assert [(one, other) for one, other, _ in who_lie_apart(found)] == [("A", "C"), ("B", "C")]


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.9), st.floats(0.0, 3.0))
@settings(max_examples=25, deadline=None)
def test_it_is_the_same_whoever_comes_first(seed: int, share: float, tolerance: float) -> None:
    random = np.random.default_rng(seed)
    grid = upright_grid((6, 5, 4), (0.7, 1.3, 2.9))
    masks = [random.random(grid.shape) < share for _ in range(2)]
    for mask in masks:
        mask[tuple(random.integers(grid.shape))] = True
    one, other = (drawn(grid, liver=mask) for mask in masks)
    there, back = (pair_of(*two, tolerance_mm=tolerance) for two in ((one, other), (other, one)))
    assert there.dice == back.dice and there.kappa == pytest.approx(back.kappa)
    assert there.difference_ml == -back.difference_ml
    assert there.distances is not None and back.distances is not None
    assert astuple(there.distances) == pytest.approx(astuple(back.distances))
    assert 0.0 <= there.distances.assd_mm <= there.distances.hausdorff_mm
    assert there.distances.hd95_mm <= there.distances.hausdorff_mm
    assert there.dice is not None and 0.0 <= there.dice <= 1.0


def test_grids_that_differ_are_refused_with_where_they_lie() -> None:
    far = upright_grid(SHAPE, (0.5, 0.5, 0.75))
    with pytest.raises(SegmentationError, match=r"0\.5 × 0\.5 × 0\.75 mm from L -31\.0") as refused:
        compare({"A": drawn(GRID, liver=cube(0)), "B": drawn(far, liver=cube(0))})
    assert "read_labels" in refused.value.hint


def test_graders_who_drew_nothing_in_common_are_refused_with_their_lists() -> None:
    with pytest.raises(SegmentationError, match="A has liver; B has spleen") as refused:
        compare({"A": drawn(GRID, liver=cube(0)), "B": drawn(GRID, spleen=cube(0))})
    assert "by name" in refused.value.hint


@pytest.mark.parametrize("count", [0, 1, 17])
def test_too_few_or_many_graders_are_refused(count: int) -> None:
    with pytest.raises(SegmentationError, match=f"{count} graders"):
        compare({str(number): drawn(GRID, liver=cube(0)) for number in range(count)})


@pytest.mark.parametrize("choices", [{"tolerance_mm": -1.0}, {"margin_mm": float("nan")}])
def test_distances_that_are_none_are_refused(choices: dict[str, float]) -> None:
    with pytest.raises(SegmentationError, match="mm"):
        CompareSettings(**choices)


def test_it_can_be_stopped_and_says_how_far_it_is() -> None:
    graders = {"A": drawn(GRID, liver=cube(0), spleen=cube(3)), "B": drawn(GRID, liver=cube(1), spleen=cube(2))}
    said: list[float] = []
    compare(graders, progress=lambda fraction, _: said.append(fraction))
    assert said == sorted(said) and said[-1] == 1.0

    def stop(fraction: float, doing: str) -> None:
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        compare(graders, progress=stop)
