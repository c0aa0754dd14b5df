"""Scenes: the same patient gives the same scene, whatever the storage order; choices do what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshing.case import Case
from meshing.errors import NotFoundError
from meshing.plan import AblationZone, CutPlane, Plan, Route, Trajectory
from meshing.surface import Surface, volume_ml
from tests.viewer.heads import EAR_MM, MIDDLE, NOSE_MM, TUMOUR_MM, head
from viewer.contours import area_and_centroid
from viewer.scene import Choices, Region, Scene, keys_of, resolve
from viewer.slices import PLANES, Plane, normal

SIZE = (640, 480)
CHOICES = Choices(size=SIZE)


def region(scene: Scene, plane: str, key: str) -> Region:
    return next(one for one in scene.slices[plane].regions if one.key == key)  # type: ignore[index]


@pytest.fixture(scope="module")
def wanted() -> Scene:
    return resolve(head(), CHOICES)


def bare(case: Case) -> Scene:
    """The scan alone, through the tumour."""
    return resolve(Case(case.id, case.volumes, {}, {}), replace(CHOICES, centre_mm=tuple(TUMOUR_MM)))


@pytest.mark.parametrize("order", range(48))
def test_slices_do_not_depend_on_storage_order(order: int) -> None:
    one, other = bare(head()), bare(head(order))
    for plane in PLANES:
        np.testing.assert_allclose(one.slices[plane].view.first_mm, other.slices[plane].view.first_mm, atol=1e-6)
        # Sums in another order: a value on the edge of two grey levels may round the other way.
        apart = np.abs(one.slices[plane].image.astype(int) - other.slices[plane].image)
        assert apart.max() <= 1 and (apart > 0).mean() < 0.01


@pytest.mark.parametrize("order", range(48))
def test_the_scene_does_not_depend_on_storage_order(order: int, wanted: Scene) -> None:
    scene = resolve(head(order), CHOICES)
    for plane in PLANES:
        one, other = wanted.slices[plane], scene.slices[plane]
        assert one.position == other.position
        # Marching cubes cut ambiguous corners by storage order, and smoothing carries that some hundredths of a mm far.
        np.testing.assert_allclose(one.view.first_mm, other.view.first_mm, atol=0.1)
        assert [r.key for r in one.regions] == [r.key for r in other.regions]
        for first, second in zip(one.regions, other.regions, strict=True):
            (area, middle), (other_area, other_middle) = (
                max((area_and_centroid(contour) for contour in r.contours), key=lambda found: abs(found[0]))
                for r in (first, second)
            )
            assert area == pytest.approx(other_area, rel=0.02, abs=20)
            np.testing.assert_allclose(middle, other_middle, atol=0.5)
    np.testing.assert_allclose(scene.camera.position_mm, wanted.camera.position_mm, atol=1.0)
    assert [(e.name, e.colours) for e in scene.legend] == [(e.name, e.colours) for e in wanted.legend]


def test_the_left_ear_lies_at_the_right_of_the_picture_and_the_nose_in_front() -> None:
    scene = resolve(head(), replace(CHOICES, centre_mm=(float(EAR_MM[0]), float(MIDDLE[1]), float(EAR_MM[2]))))
    axial = scene.slices["axial"]
    ear, nose = region(scene, "axial", "ear_left"), region(scene, "axial", "nose")
    middle = axial.view.to_pixels(MIDDLE)
    assert ear.contours[0][:, 0].mean() > middle[0] + 40 / axial.view.mm_per_pixel
    assert nose.contours[0][:, 1].mean() < middle[1] - 45 / axial.view.mm_per_pixel
    column, row = np.rint(axial.view.to_pixels(EAR_MM)).astype(int)
    assert axial.image[row, column] == 255  # the bright ear of the scan itself
    mirrored = np.rint(axial.view.to_pixels(2 * MIDDLE - EAR_MM + [0, 2 * (EAR_MM - MIDDLE)[1], 0])).astype(int)
    assert axial.image[row, mirrored[0]] == 0  # and air where a mirrored scan would show it
    sagittal = resolve(head(), replace(CHOICES, centre_mm=tuple(NOSE_MM))).slices["sagittal"]
    assert sagittal.view.to_pixels(NOSE_MM)[0] < sagittal.view.to_pixels(MIDDLE)[0]
    assert (
        scene.slices["coronal"].view.to_pixels(MIDDLE + [0, 0, 30])[1]
        < scene.slices["coronal"].view.to_pixels(MIDDLE)[1]
    )


@pytest.mark.parametrize("plane", PLANES)
def test_outline_and_scan_show_the_tumour_in_one_place(plane: Plane) -> None:
    scene = resolve(head(), replace(CHOICES, window="liver"))
    shown = scene.slices[plane]
    (contour,) = region(scene, plane, "tumour").contours
    area, centroid = area_and_centroid(contour)
    row, column = np.nonzero(shown.image > 76)  # half way from the brain's 25 to the tumour's 128
    near = np.hypot(column - centroid[0], row - centroid[1]) < 14.0 / shown.view.mm_per_pixel
    row, column = row[near], column[near]
    # An eighth of a voxel apart in place; in area, smoothing may move the outline by a sixth of a voxel.
    np.testing.assert_allclose([column.mean(), row.mean()], centroid, atol=0.25 / shown.view.mm_per_pixel)
    assert len(row) == pytest.approx(abs(area), rel=0.08)


def test_the_slices_cross_in_the_lesion_unless_told_otherwise(wanted: Scene) -> None:
    centre = [wanted.slices["sagittal"].view.level_mm, wanted.slices["coronal"].view.level_mm]
    centre.append(wanted.slices["axial"].view.level_mm)
    assert np.linalg.norm(np.array(centre) - TUMOUR_MM) < 2.5  # a voxel
    for plane in PLANES:
        np.testing.assert_allclose(wanted.slices[plane].crosshair, wanted.slices[plane].view.to_pixels(centre))
        assert {r.key for r in wanted.slices[plane].regions} >= {"tumour", "brain", "skin"}
    chosen = resolve(head(), replace(CHOICES, centre_mm=(1.0, 2.0, 250.0)))
    assert chosen.slices["axial"].position == "S 250.0 mm"
    assert chosen.slices["coronal"].view.level_mm == 2.0


def test_without_a_lesion_the_slices_cross_in_the_organ() -> None:
    scene = resolve(head(), replace(CHOICES, hidden=frozenset({"tumour"})))
    assert abs(scene.slices["axial"].view.level_mm - MIDDLE[2]) < 2.6


def test_a_hidden_structure_is_gone_from_everything(wanted: Scene) -> None:
    scene = resolve(head(), replace(CHOICES, hidden=frozenset({"ear_left"}), centre_mm=tuple(EAR_MM)))
    assert "ear_left" not in {surface.key for surface in scene.surfaces}
    assert "ear_left" not in {key for entry in scene.legend for key in entry.keys}
    assert "ear_left" not in {one.key for plane in PLANES for one in scene.slices[plane].regions}
    assert "ear_left" in {key for entry in wanted.legend for key in entry.keys}


def test_only_shows_nothing_else() -> None:
    scene = resolve(head(), replace(CHOICES, only=frozenset({"brain", "tumour"})))
    assert {surface.key for surface in scene.surfaces} == {"brain", "tumour"}


def test_one_colour_stands_for_a_structure_everywhere(wanted: Scene) -> None:
    in_legend = {key: entry.colours[0] for entry in wanted.legend if entry.colours for key in entry.keys}
    assert len(in_legend) == 5
    for surface in wanted.surfaces:
        assert surface.colour == in_legend[surface.key]
    for plane in PLANES:
        for one in wanted.slices[plane].regions:
            assert one.colour == in_legend[one.key]


def test_volumes_in_the_legend_are_those_of_the_surfaces(wanted: Scene) -> None:
    surface = head().surface("tumour")
    entry = next(entry for entry in wanted.legend if entry.keys == ("tumour",))
    assert entry.volume_ml == pytest.approx(volume_ml(surface.vertices, surface.faces), rel=0.01)
    assert entry.volume_ml == pytest.approx(4 / 3 * np.pi, rel=0.05)


def test_slices_show_the_patient_and_not_the_table() -> None:
    """A bright bar below the head stays outside the picture where the skin says who the patient is."""
    whole = head()
    voxels = np.array(whole.scan.voxels)
    voxels[:, -2:, :] = 500
    case = Case("table", {"scan": replace(whole.scan, voxels=voxels)}, whole.segmentations, whole.surfaces)
    assert resolve(case, CHOICES).slices["axial"].view == resolve(whole, CHOICES).slices["axial"].view
    bare = Case("table", case.volumes, {}, {})
    plain = Case("plain", whole.volumes, {}, {})
    assert (
        resolve(bare, CHOICES).slices["axial"].view.mm_per_pixel
        > resolve(plain, CHOICES).slices["axial"].view.mm_per_pixel
    )


@pytest.mark.parametrize("overlay", ["both", "fill", "outline", "none"])
def test_the_overlay_is_what_was_asked_for(overlay: str) -> None:
    scene = resolve(head(), replace(CHOICES, overlay=overlay))  # type: ignore[arg-type]
    regions = scene.slices["axial"].regions
    assert bool(regions) == (overlay != "none")
    for one in regions:
        assert (one.fill > 0) == (overlay in ("both", "fill"))
        assert (one.line > 0) == (overlay in ("both", "outline"))


def test_what_holds_another_structure_lets_it_shine_through(wanted: Scene) -> None:
    opacity = {surface.key: surface.opacity for surface in wanted.surfaces}
    assert opacity["brain"] < 0.5 and opacity["skin"] < 0.5
    assert opacity["tumour"] == 1.0
    chosen = resolve(head(), replace(CHOICES, opacity={"brain": 1.0, "tumour": 0.0}))
    assert {surface.key: surface.opacity for surface in chosen.surfaces}["brain"] == 1.0
    assert "tumour" not in {surface.key for surface in chosen.surfaces}


def test_what_is_filled_by_its_contents_is_a_faint_shell() -> None:
    """Two lumens that make up an aorta coincide with it; a mixture of both would look patchy."""
    whole = head()
    surface = whole.surface("tumour")
    shell = Surface(surface.vertices, surface.faces, "brain")
    case = Case("filled", whole.volumes, whole.segmentations, {**whole.surfaces, "brain": shell})
    opacity = {one.key: one.opacity for one in resolve(case, CHOICES).surfaces}
    assert opacity["brain"] == pytest.approx(0.15)
    alone = resolve(case, replace(CHOICES, hidden=frozenset({"tumour"})))
    assert {one.key: one.opacity for one in alone.surfaces}["brain"] > 0.5


def test_labels_without_surfaces_are_still_outlined() -> None:
    whole = head()
    bare = Case(whole.id, whole.volumes, whole.segmentations, {})
    scene = resolve(bare, replace(CHOICES, centre_mm=tuple(TUMOUR_MM)))
    assert scene.surfaces == ()
    assert {one.key for one in scene.slices["axial"].regions} >= {"tumour", "brain", "skin"}
    full = resolve(whole, replace(CHOICES, centre_mm=tuple(TUMOUR_MM)))
    for key in ("tumour", "brain"):
        areas_mm2 = [
            abs(area_and_centroid(region(one, "axial", key).contours[0])[0])
            * one.slices["axial"].view.mm_per_pixel ** 2
            for one in (scene, full)
        ]
        # Zooms differ: only the scene with surfaces knows the skin. A tenth of a 2 mm voxel round a 10 mm disc is 4 %.
        assert areas_mm2[0] == pytest.approx(areas_mm2[1], rel=0.06)


def test_what_is_planned_is_drawn_like_anatomy() -> None:
    target = tuple(TUMOUR_MM)
    plan = Plan(
        1,
        (
            Trajectory("needle", (float(TUMOUR_MM[0] - 40), target[1], target[2]), target, 1.0),
            AblationZone("zone", target, (1.0, 0.0, 0.0), 15.0, 12.0),
            Route("way", (tuple(MIDDLE), target)),
            CutPlane("cut", tuple(MIDDLE), (0.0, 0.0, 1.0)),
        ),
    )
    whole = head()
    case = Case(whole.id, whole.volumes, whole.segmentations, whole.surfaces, plan=plan)
    scene = resolve(case, CHOICES)
    planned = {surface.key: surface for surface in scene.surfaces if surface.key.startswith("plan:")}
    assert set(planned) == {"plan:needle", "plan:zone", "plan:way", "plan:cut"}
    zone = planned["plan:zone"]
    assert volume_ml(zone.vertices, zone.faces) == pytest.approx(4 / 3 * np.pi * 15 * 12 * 12 / 1000, rel=0.01)
    assert np.ptp(zone.vertices[:, 0]) == pytest.approx(30, rel=0.01)
    assert scene.legend[0].name == "Plan"
    zone_px = abs(area_and_centroid(region(scene, "axial", "plan:zone").contours[0])[0])
    assert zone_px * scene.slices["axial"].view.mm_per_pixel ** 2 == pytest.approx(np.pi * 15 * 12, rel=0.05)
    hidden = resolve(case, replace(CHOICES, hidden=frozenset({"plan:zone"})))
    assert "plan:zone" not in {surface.key for surface in hidden.surfaces}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("order", [0, 13, 38])
def test_a_sheet_shows_the_scan_in_its_place(plane: Plane, order: int) -> None:
    choices = Choices(layout="3d", size=SIZE, sheets=frozenset({plane}), centre_mm=tuple(EAR_MM), window="bone")
    (sheet,) = resolve(head(order), choices).sheets
    np.testing.assert_allclose(sheet.vertices @ np.abs(normal(plane)), normal(plane) @ EAR_MM)
    used = np.unique(sheet.faces)
    at, greys = sheet.vertices[used], sheet.greys[used].astype(int)
    deep_in_ear = np.linalg.norm(at - EAR_MM, axis=1) < 5.0
    assert deep_in_ear.sum() > 20
    assert (greys[deep_in_ear] == 102).all()  # 300 HU in a window of 2000 round 500
    relative = (at - MIDDLE) / [46.0, 52.0, 57.0]
    nose_or_ear = (np.linalg.norm(at - EAR_MM, axis=1) < 12) | (np.linalg.norm(at - NOSE_MM, axis=1) < 11)
    assert ((np.linalg.norm(relative, axis=1) < 1) | nose_or_ear).all()  # the air round the head is left out


def test_a_case_without_anything_still_gives_a_scene() -> None:
    whole = head()
    scene = resolve(Case("bare", whole.volumes, {}, {}), CHOICES)
    assert scene.legend == () and scene.surfaces == ()
    assert scene.slices["axial"].image.max() > 0


def test_an_empty_surface_does_no_harm() -> None:
    whole = head()
    empty = Surface(np.zeros((0, 3)), np.zeros((0, 3)), "tumour")
    case = Case("empty", whole.volumes, whole.segmentations, {**whole.surfaces, "tumour": empty})
    scene = resolve(case, CHOICES)
    assert "tumour" not in {surface.key for surface in scene.surfaces}
    only = resolve(Case("empty", whole.volumes, {}, {"skin": replace(empty, key="skin")}), CHOICES)
    assert only.surfaces == () and only.slices["axial"].image.max() > 0


def test_a_surface_without_a_segment_is_shown_by_its_key() -> None:
    whole = head()
    surface = whole.surface("tumour")
    extra = Surface(surface.vertices, surface.faces, "liver")
    scene = resolve(Case("extra", whole.volumes, {}, {"liver": extra}), CHOICES)
    assert [entry.name for entry in scene.legend] == ["Digestive system", "Liver"]


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["tumour"], ["tumour"]),
        (["Left ear"], ["ear_left"]),
        (["大脑", "皮肤"], ["brain", "skin"]),
        (["integument"], ["skin", "nose", "ear_left"]),
        (["*_left", "brain"], ["ear_left", "brain"]),
    ],
)
def test_structures_are_found_by_key_name_system_and_pattern(names: list[str], keys: list[str]) -> None:
    structures = {segment.key: segment.structure for segment in head().segments.values()}
    if names[0] == "大脑":
        names = [structures["brain"].name_zh, structures["skin"].name_zh]
    if names[0] == "integument":
        keys = [key for key, structure in structures.items() if structure.system == "integument"]
    assert keys_of(head(), names) == keys


@pytest.mark.parametrize(
    "choices",
    [
        Choices(hidden=frozenset({"spleen"})),
        Choices(only=frozenset({"spleen"})),
        Choices(opacity={"spleen": 0.5}),
        Choices(window="spleen"),
        Choices(view="spleen"),
    ],
)
def test_a_name_that_means_nothing_is_refused(choices: Choices) -> None:
    with pytest.raises(NotFoundError, match="spleen") as caught:
        resolve(head(), choices)
    assert caught.value.hint
    with pytest.raises(NotFoundError):
        keys_of(head(), ["spleen"])
