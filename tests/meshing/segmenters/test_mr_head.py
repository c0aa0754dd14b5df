"""Skin and brain of a T1 head: on heads of known shape in several storage orders, on a real scan, on no head at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from meshing.errors import SegmentationError
from meshing.importing.scan import import_scan
from meshing.segmenters.mr_head import head_of_mr
from meshing.volume import Grid, Volume
from meshing.voxels.morphology import components
from meshing.voxels.upright import Mask, to_storage, upright

SPACING = 1.5
SHAPE = (120, 146, 150)
MIDDLE = (-3.0, 4.0, 20.0)  # mm from the centre of the array, so that no axis is a mirror of itself
ORDERS = list(product(permutations(range(3)), product((False, True), repeat=3)))


def _axes() -> list[npt.NDArray[np.float64]]:
    grids = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * SPACING for n in SHAPE), indexing="ij", sparse=True)
    return [grid - at for grid, at in zip(grids, MIDDLE, strict=True)]


def _ellipsoid(x: float, y: float, z: float, *, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mask:
    a, b, c = _axes()
    inside: Mask = ((a - at[0]) / x) ** 2 + ((b - at[1]) / y) ** 2 + ((c - at[2]) / z) ** 2 <= 1.0
    return inside


def _rod(radius: float, along: int, start: float, stop: float, *, at: tuple[float, float]) -> Mask:
    axes = _axes()
    across = [axis for number, axis in enumerate(axes) if number != along]
    far = (across[0] - at[0]) ** 2 + (across[1] - at[1]) ** 2
    inside: Mask = (far <= radius**2) & (axes[along] >= start) & (axes[along] <= stop)
    return inside


def _shading() -> npt.NDArray[np.float64]:
    """A coil that sees the neck and the right side less than half as well as the left of the vertex."""
    x, y, z = _axes()
    shading: npt.NDArray[np.float64] = np.exp(0.004 * x + 0.005 * z - 0.00003 * y**2)
    return shading


def synthetic_head(
    noise: float = 0.05, fat: float = 1.5, seed: int = 3
) -> tuple[npt.NDArray[np.float32], dict[str, Mask]]:
    """Voxels in patient order and the truth: nested ellipsoids, with cord, optic nerve, eye and a vein as bridges."""
    skin = _ellipsoid(76, 94, 77) | _rod(55, 2, -200, 0, at=(0.0, 10.0))
    skull, fluid = _ellipsoid(69, 87, 70), _ellipsoid(63, 81, 64)
    brain = _ellipsoid(59, 77, 60)
    values = np.zeros(SHAPE)
    values[skin] = 0.45  # muscle
    values[skin & ~_ellipsoid(70, 88, 71) & (_axes()[2] > -55)] = fat
    values[skull] = 0.05
    values[_rod(10, 2, -200, -57, at=(0.0, 10.0))] = 0.2
    values[fluid] = 0.2
    values[brain] = 0.68
    values[_ellipsoid(53, 71, 54)] = 1.0
    values[_ellipsoid(12, 30, 14, at=(0.0, 0.0, 4.0))] = 0.2
    values[_rod(5, 2, -200, -50, at=(0.0, 10.0))] = 1.0
    values[_rod(2, 1, -90, -60, at=(25.0, -25.0))] = 1.0
    values[_ellipsoid(11, 11, 11, at=(25.0, -88.0, -25.0))] = 0.6
    values[_rod(1.5, 2, 50, 75, at=(-10.0, 5.0))] = 1.0
    chance = np.random.default_rng(seed)
    shaded = values * _shading()
    noisy = np.hypot(shaded + noise * chance.standard_normal(SHAPE), noise * chance.standard_normal(SHAPE))
    skin = skin | _ellipsoid(11, 11, 11, at=(25.0, -88.0, -25.0))
    return (200.0 * noisy).astype(np.float32), {"skin": skin, "brain": brain}


def stored(voxels: npt.NDArray[np.float32], axes: tuple[int, ...], back: tuple[bool, ...]) -> Volume:
    """The same head as a scanner with that storage order writes it."""
    turned = np.transpose(voxels, axes)[tuple(slice(None, None, -1 if b else 1) for b in back)]
    matrix = np.eye(4)
    matrix[:3, :3] = 0.0
    for column, (axis, reverse) in enumerate(zip(axes, back, strict=True)):
        matrix[axis, column] = -SPACING if reverse else SPACING
        matrix[axis, 3] = (SHAPE[axis] - 1) * SPACING if reverse else 0.0
    return Volume(turned, Grid((turned.shape[0], turned.shape[1], turned.shape[2]), matrix), "MR", "")


def dice(one: Mask, other: Mask) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


@pytest.fixture(scope="module")
def head() -> tuple[npt.NDArray[np.float32], dict[str, Mask]]:
    return synthetic_head()


@pytest.fixture(scope="module")
def found(head: tuple[npt.NDArray[np.float32], dict[str, Mask]]) -> dict[str, Mask]:
    return head_of_mr(upright(stored(head[0], (0, 1, 2), (False, False, False))))


def test_brain_and_skin_of_a_shaded_noisy_head_are_found(
    head: tuple[npt.NDArray[np.float32], dict[str, Mask]], found: dict[str, Mask]
) -> None:
    truth = head[1]
    assert set(found) == {"skin", "brain"}
    # A layer a quarter of a voxel thick is 2 % of this brain, a Dice of 0.99; without evening the shading it is 0.986.
    # The skin goes out to where the brightest fat blurs into air, and closes the fold between head and neck.
    assert dice(found["brain"], truth["brain"]) > 0.99
    assert dice(found["skin"], truth["skin"]) > 0.975


def test_brain_is_one_part_without_holes_inside_the_skin(found: dict[str, Mask]) -> None:
    _, parts = components(found["brain"])
    _, outside = components(~found["brain"])
    assert len(parts) == 2
    assert len(outside) == 2
    assert not (found["brain"] & ~found["skin"]).any()


@pytest.mark.parametrize(
    "bridge",
    [
        pytest.param(lambda: _rod(5, 2, -200, -68, at=(0.0, 10.0)), id="cord"),
        pytest.param(lambda: _ellipsoid(11, 11, 11, at=(25.0, -88.0, -25.0)), id="eye"),
        pytest.param(lambda: _rod(1.5, 2, 64, 75, at=(-10.0, 5.0)), id="vein through the skull"),
    ],
)
def test_brain_does_not_leak_along_bridges(bridge: Callable[[], Mask], found: dict[str, Mask]) -> None:
    assert not (found["brain"] & bridge()).any()


def test_ventricles_belong_to_the_brain(found: dict[str, Mask]) -> None:
    assert found["brain"][_ellipsoid(12, 30, 14, at=(0.0, 0.0, 4.0))].all()


@pytest.mark.parametrize(("axes", "back"), [ORDERS[n] for n in (3, 13, 22, 40)])
def test_result_is_the_same_in_every_storage_order(
    axes: tuple[int, ...],
    back: tuple[bool, ...],
    head: tuple[npt.NDArray[np.float32], dict[str, Mask]],
    found: dict[str, Mask],
) -> None:
    volume = stored(head[0], axes, back)
    scan = upright(volume)
    turn = tuple(slice(None, None, -1 if b else 1) for b in back)
    for key, mask in head_of_mr(scan).items():
        put_back = to_storage(mask, scan)
        assert put_back.shape == volume.grid.shape
        assert np.array_equal(put_back, np.transpose(found[key], axes)[turn])


def test_dark_fat_is_as_good_as_bright_fat() -> None:
    voxels, truth = synthetic_head(fat=0.35)
    masks = head_of_mr(upright(stored(voxels, (0, 1, 2), (False, False, False))))
    assert dice(masks["brain"], truth["brain"]) > 0.99


@pytest.mark.parametrize(("noise", "least"), [(0.02, 0.99), (0.1, 0.99), (0.15, 0.97)])
def test_noise_up_to_a_seventh_of_white_matter_leaves_the_brain_as_it_is(noise: float, least: float) -> None:
    voxels, truth = synthetic_head(noise=noise)
    masks = head_of_mr(upright(stored(voxels, (0, 1, 2), (False, False, False))))
    assert dice(masks["brain"], truth["brain"]) > least


def test_twice_the_shading_leaves_the_brain_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coil that sees one end of the head eighty times as well as the other, 0.06 to 5.2 of the middle."""
    usual = _shading()
    monkeypatch.setattr("tests.meshing.segmenters.test_mr_head._shading", lambda: usual**2)
    voxels, truth = synthetic_head()
    masks = head_of_mr(upright(stored(voxels, (0, 1, 2), (False, False, False))))
    assert dice(masks["brain"], truth["brain"]) > 0.99


@pytest.mark.slow
def test_thick_slices_after_contrast_are_refused_rather_than_guessed(real_data: Callable[[str], Path]) -> None:
    """Slices of 6.5 mm: marrow and scalp run into the brain where the skull is thinner than a block."""
    volume = import_scan(real_data("mr_brain_tumour/brain1_image.nrrd")).volume
    with pytest.raises(SegmentationError, match=r"no brain: 2\d\d\d ml"):
        head_of_mr(upright(volume))


def test_brightness_has_no_unit(head: tuple[npt.NDArray[np.float32], dict[str, Mask]], found: dict[str, Mask]) -> None:
    brighter = head_of_mr(upright(stored(head[0] * np.float32(8.0), (0, 1, 2), (False, False, False))))
    assert dice(brighter["brain"], found["brain"]) > 0.999


def test_unmeasured_voxels_belong_to_nothing(head: tuple[npt.NDArray[np.float32], dict[str, Mask]]) -> None:
    plain = stored(head[0], (0, 1, 2), (False, False, False))
    outside = np.zeros(SHAPE, np.bool_)
    outside[:, :, :20] = True
    masks = head_of_mr(upright(Volume(plain.voxels, plain.grid, "MR", "", outside)))
    assert not masks["skin"][outside].any()
    assert dice(masks["brain"], head[1]["brain"]) > 0.99


def _constant() -> npt.NDArray[np.float32]:
    return np.full(SHAPE, 7.0, np.float32)


def _noise() -> npt.NDArray[np.float32]:
    return np.abs(np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)


def _small_ball() -> npt.NDArray[np.float32]:
    return (100.0 * _ellipsoid(40, 40, 40)).astype(np.float32) + _noise()


def _solid_without_brain() -> npt.NDArray[np.float32]:
    return (100.0 * _ellipsoid(76, 94, 86)).astype(np.float32)


def _head_with_a_small_brain() -> npt.NDArray[np.float32]:
    values = 5.0 * _noise() + 10.0 * _ellipsoid(70, 88, 80) + 60.0 * (_ellipsoid(76, 94, 86) & ~_ellipsoid(70, 88, 80))
    values += 60.0 * _ellipsoid(36, 36, 36) + 40.0 * _ellipsoid(32, 32, 32)
    return np.asarray(values, np.float32)


@pytest.mark.parametrize(
    ("voxels", "says"),
    [
        (_constant, r"no head: values reach from 7 to 7"),
        (_noise, r"no (head|brain): .*\d+ ml"),
        (_small_ball, r"no head: .* has 2\d\d ml, wanted 500"),
        (_solid_without_brain, r"no brain: \d+ ml"),
        (_head_with_a_small_brain, r"no brain: \d+ ml"),
    ],
)
def test_what_is_no_head_is_refused_with_the_numbers(voxels: Callable[[], npt.NDArray[np.float32]], says: str) -> None:
    with pytest.raises(SegmentationError, match=says) as caught:
        head_of_mr(upright(stored(voxels(), (0, 1, 2), (False, False, False))))
    assert caught.value.where == "preset mr-head"
    assert caught.value.hint


def test_progress_grows_and_can_stop_the_work(head: tuple[npt.NDArray[np.float32], dict[str, Mask]]) -> None:
    class Stop(BaseException):
        pass

    heard: list[float] = []

    def hear(fraction: float, doing: str) -> None:
        heard.append(fraction)
        if fraction > 0.6:
            raise Stop

    with pytest.raises(Stop):
        head_of_mr(upright(stored(head[0], (0, 1, 2), (False, False, False))), hear)
    assert heard == sorted(heard)
    assert len(heard) >= 4


@pytest.mark.slow
def test_brain_of_a_real_head_has_the_size_shape_and_place_of_a_brain(real_data: Callable[[str], Path]) -> None:
    scan = upright(import_scan(real_data("mr_t1_head_dicom/t1_head_dicom.zip")).volume)
    started = time.process_time()
    masks = head_of_mr(scan)
    assert time.process_time() - started < 15.0
    brain, skin = masks["brain"], masks["skin"]
    # An adult's brain with ventricles, without cord; the head is defaced and reaches down to the fifth vertebra.
    assert 1200.0 < float(brain.sum()) * scan.voxel_ml < 1700.0
    assert 3500.0 < float(skin.sum()) * scan.voxel_ml < 5500.0
    assert len(components(brain)[1]) == 2
    places = np.argwhere(brain)
    extent = (places.max(axis=0) - places.min(axis=0) + 1) * scan.spacing_mm
    # Adults: 13 to 15 cm wide, 16 to 19 cm long; 11 to 16 cm from vertex to medulla.
    assert 125.0 < extent[0] < 150.0
    assert 155.0 < extent[1] < 195.0
    assert 110.0 < extent[2] < 160.0
    assert _mirror_dice(brain) > 0.9
    # Read off the scan: voxels in the eyes' back wall, cord, neck muscle, scalp; and in every lobe, stem, cerebellum.
    for x, y, z in ((128, 222, 90), (126, 225, 60), (60, 250, 60), (137, 365, 260), (137, 200, 372)):
        assert not brain[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3].any(), (x, y, z)
    for x, y, z in (
        (135, 213, 153),
        (110, 290, 165),
        (165, 290, 165),
        (137, 200, 240),
        (100, 120, 230),
        (190, 120, 230),
    ):
        assert brain[x, y, z], (x, y, z)


def _mirror_dice(mask: Mask) -> float:
    """Overlap with the mirror image in the sagittal plane through the centroid."""
    middle = round(2.0 * float(np.argwhere(mask)[:, 0].mean()))
    reach = min(middle, 2 * (mask.shape[0] - 1) - middle)
    first = (middle - reach) // 2
    part = mask[first : first + reach + 1]
    return dice(part, part[::-1])
