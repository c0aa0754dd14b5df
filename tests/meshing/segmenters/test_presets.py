"""The registry, the seam for other packages, and what is refused at either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from meshing.errors import NotFoundError, SegmentationError
from meshing.plan import Point
from meshing.progress import Cancelled, Progress
from meshing.segmentation import Segment, Segmentation
from meshing.segmenters import presets as registry
from meshing.segmenters.presets import Preset, Segmenter, preset_for, presets, segment
from meshing.terminology import match, structure_for
from meshing.volume import Volume
from tests.meshing.segmenters.scans import chest
from tests.shapes import upright_grid

GRID = upright_grid((6, 7, 8), (1.0, 1.0, 1.0))
BUILT_IN = ["ct-body", "ct-bone", "ct-bones", "cta-vessels", "ct-lung-vessels", "ct-portal", "mr-vessels", "mr-head"]
Make = Callable[[Volume], Segmentation]


@pytest.fixture(autouse=True)
def fresh_registry() -> Iterator[None]:
    registry._segmenters.cache_clear()
    yield
    registry._segmenters.cache_clear()


def scan(modality: str = "CT", low: int = -1000) -> Volume:
    voxels = np.full(GRID.shape, low, np.int16)
    voxels[2:4] = 100
    return Volume(voxels, GRID, modality, "HU")


@dataclass
class Foreign:
    """A segmenter of another package."""

    make: Make
    missing: str = ""

    @property
    def preset(self) -> Preset:
        return Preset("foreign", "CT", "Foreign", "外来", "From elsewhere", "来自别处", ("liver",), False)

    def unavailable_because(self) -> str:
        return self.missing

    def __call__(self, volume: Volume, seeds_mm: tuple[Point, ...], progress: Progress) -> Segmentation:
        return self.make(volume)


def one_label(volume: Volume, label: int = 1, drawn: int = 1) -> Segmentation:
    layer = np.zeros(volume.grid.shape, np.uint8)
    layer[2, 2, 2] = drawn
    return Segmentation((layer,), volume.grid, (Segment("liver", label, 0, structure_for("liver")),), "foreign")


def offer(monkeypatch: pytest.MonkeyPatch, loaded: object) -> None:
    class Entry:
        name = "foreign"

        @staticmethod
        def load() -> object:
            if isinstance(loaded, Exception):
                raise loaded
            return loaded

    def entries(*, group: str) -> list[type[Entry]]:
        return [Entry] if group == "meshing.segmenters" else []

    monkeypatch.setattr(registry, "entry_points", entries)


def test_every_preset_speaks_two_languages_and_names_known_structures() -> None:
    assert [preset.name for preset in presets()][: len(BUILT_IN)] == BUILT_IN
    for preset in presets():
        assert preset.title and preset.description
        assert any("一" <= letter <= "鿿" for letter in preset.title_zh + preset.description_zh), preset.name
        for key in preset.structures:
            known = match(key)
            assert known is not None and known.key == key, key


def test_the_approximate_preset_says_so() -> None:
    assert {p.name for p in presets() if p.is_approximate and p.name in BUILT_IN} == {
        "ct-bones",
        "ct-portal",
        "mr-head",
    }
    head = next(preset for preset in presets() if preset.name == "mr-head")
    assert "approximate" in head.title.lower() + head.description.lower()


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="'ct-liver'") as caught:
        segment(scan(), "ct-liver")
    assert "ct-body" in caught.value.hint


def test_a_ct_preset_refuses_an_mr_and_offers_what_fits() -> None:
    with pytest.raises(SegmentationError, match="made for CT, the scan is MR") as caught:
        segment(scan("MR"), "ct-body")
    assert "mr-head" in caught.value.hint
    assert "ct-bone" not in caught.value.hint


def test_a_scan_of_unknown_modality_is_tried() -> None:
    with pytest.raises(SegmentationError, match="no body"):
        segment(scan(""), "ct-body")


@pytest.mark.parametrize("preset", BUILT_IN)
@pytest.mark.parametrize("value", [0, -1000, 1000])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_constant_scan_is_refused_with_its_value(preset: str, value: int, kind: type[np.generic]) -> None:
    volume = Volume(np.full(GRID.shape, value, kind), GRID, preset[:2].upper(), "")
    with pytest.raises(SegmentationError, match=f"every voxel reads {value}"):
        segment(volume, preset)


@pytest.mark.parametrize("preset", BUILT_IN)
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 40, 40), (64, 64, 1), (2, 2, 2), (40, 40, 3)])
def test_noise_of_any_shape_ends_in_a_typed_error_or_a_checked_result(preset: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    voxels = np.asfortranarray(rng.integers(-1024, 1500, shape).astype(np.int16))
    volume = Volume(voxels, upright_grid(shape, (2.0, 2.0, 2.0)), preset[:2].upper(), "")
    try:
        found = segment(volume, preset)
    except SegmentationError as error:
        assert any(digit in error.message for digit in "0123456789"), error.message
    else:
        assert all(found.mask(one.key).any() for one in found.segments)


def test_air_alone_is_no_body() -> None:
    rng = np.random.default_rng(0)
    grid = upright_grid((40, 40, 40), (4.0, 4.0, 4.0))
    air = Volume(rng.normal(-1000, 10, grid.shape).astype(np.float32), grid, "CT", "HU")
    for preset in ("ct-body", "ct-bone", "cta-vessels"):
        with pytest.raises(SegmentationError, match=r"no body: 0\.0 ml lie above -400 HU"):
            segment(air, preset)


def test_the_modality_decides_the_usual_preset() -> None:
    assert preset_for(scan("CT")) == "ct-body"
    with pytest.raises(SegmentationError, match="'US'") as caught:
        preset_for(scan("US"))
    assert "ct-body" in caught.value.hint


def test_an_mr_with_a_thin_bright_tree_is_taken_for_an_angiogram() -> None:
    rng = np.random.default_rng(0)
    grid = upright_grid((60, 60, 60), (1.0, 1.0, 1.0))
    tissue = np.abs(rng.normal(100, 15, grid.shape)).astype(np.float32)
    head = Volume(tissue, grid, "MR", "")
    assert preset_for(head) == "mr-head"
    tissue = tissue.copy()
    tissue[28:33, 28:33, :] = 1000
    assert preset_for(Volume(tissue, grid, "MR", "")) == "mr-vessels"


def test_progress_rises_to_one_and_stopping_stops() -> None:
    known = chest()
    heard: list[float] = []
    segment(known.volume, "ct-body", progress=lambda done, doing: heard.append(done))
    assert heard == sorted(heard)
    assert heard[0] == 0.0 and heard[-1] == 1.0
    assert len(heard) > 8

    def stop(done: float, doing: str) -> None:
        if done > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(known.volume, "ct-body", progress=stop)


def test_a_segmenter_of_another_package_runs_and_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Foreign(one_label))
    assert isinstance(Foreign(one_label), Segmenter)
    assert "foreign" in {preset.name for preset in presets()}
    assert segment(scan(), "foreign").mask("liver").sum() == 1


def test_an_entry_point_may_load_to_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ready(Foreign):
        def __init__(self) -> None:
            super().__init__(one_label)

    offer(monkeypatch, Ready)
    assert segment(scan(), "foreign").mask("liver").sum() == 1


def test_what_is_missing_is_said_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Foreign(one_label, missing="pip install anatomyxr[ai]"))
    with pytest.raises(SegmentationError, match=r"pip install anatomyxr\[ai\]"):
        segment(scan(), "foreign")


def test_a_segmenter_that_does_not_load_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ImportError("No module named 'torch'"))
    assert "foreign" in {preset.name for preset in presets()}
    with pytest.raises(SegmentationError, match="No module named 'torch'"):
        segment(scan(), "foreign")
    with pytest.raises(SegmentationError, match="no body"):  # the others still run
        segment(scan(), "ct-body")


def test_nobody_replaces_a_built_in_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impostor(Foreign):
        @property
        def preset(self) -> Preset:
            return Preset("ct-body", "", "x", "x", "x", "x", (), False)

    offer(monkeypatch, Impostor(one_label))
    with pytest.raises(SegmentationError, match="no body"):
        segment(scan(), "ct-body")


def other_grid(volume: Volume) -> Segmentation:
    grid = upright_grid((6, 7, 9), (1.0, 1.0, 1.0))
    return one_label(Volume(np.zeros(grid.shape, np.int16), grid, "CT", "HU"))


def shifted_grid(volume: Volume) -> Segmentation:
    matrix = volume.grid.voxel_to_patient.copy()
    matrix[0, 3] += 1.0
    moved = type(volume.grid)(volume.grid.shape, matrix)
    return one_label(Volume(volume.voxels, moved, "CT", "HU"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_grid, r"grid of \(6, 7, 9\), the scan on \(6, 7, 8\)"),
        (shifted_grid, "elsewhere in space"),
        (lambda volume: one_label(volume, label=1, drawn=3), r"labels \[3\] that no segment names"),
        (lambda volume: one_label(volume, label=2, drawn=0), r"no voxel of label \[2\]"),
        (lambda volume: Segmentation((), volume.grid, (), "x"), "nothing was found"),
    ],
)
def test_what_another_package_gives_is_checked(monkeypatch: pytest.MonkeyPatch, make: Make, message: str) -> None:
    offer(monkeypatch, Foreign(make))
    with pytest.raises(SegmentationError, match=message):
        segment(scan(), "foreign")


def test_settings_and_their_table_must_agree() -> None:
    @dataclass(frozen=True)
    class BoneSettings:
        bone_hu: float

    with pytest.raises(NotFoundError, match=r"\[settings\.bone\] and BoneSettings differ in .*marrow_hu"):
        registry.settings_of(BoneSettings)


def test_importing_the_registry_loads_nothing_heavy() -> None:
    heavy = "SimpleITK|scipy|skimage|vtkmodules"
    program = (
        "import sys, meshing.segmenters.presets as p; p.presets();"
        f"print([n for n in sys.modules if n in {heavy.split('|')!r}])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_entry_points_are_read_from_the_installed_packages() -> None:
    assert all(isinstance(entry, EntryPoint) for entry in registry.entry_points(group=registry.ENTRY_POINTS))
