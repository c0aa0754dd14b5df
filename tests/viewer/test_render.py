"""Pictures as they come out: golden images that another OpenGL passes and a wrong scene does not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshing.errors import RenderError
from meshing.plan import CutPlane
from meshing.surface import Surface
from tests.viewer.heads import EAR_MM, MIDDLE, TUMOUR_MM, head
from tests.viewer.likeness import MEAN, WORST, Picture, difference
from viewer.layout import panels
from viewer.planshapes import shape_of, structure_of
from viewer.render import draw_surfaces, picture, save_png, shading_normals
from viewer.scene import Choices, Scene, SceneSurface, resolve

GOLDEN = Path(__file__).parent / "golden"
SIZE = (480, 360)
CHOICES = {
    "four-up": Choices(size=SIZE),
    "slices-zh": Choices(layout="slices", language="zh", overlay="outline", window="bone", size=SIZE),
    "left-anterior": Choices(layout="3d", view="left-anterior", size=SIZE),
    "sheets": Choices(
        layout="3d", view="right-anterior-superior", sheets=frozenset({"axial"}), hidden=frozenset({"skin"}), size=SIZE
    ),
    "parallel-superior": Choices(layout="3d", view="superior", projection="parallel", size=SIZE),
}


def golden(name: str) -> Picture:
    return np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))


@pytest.mark.parametrize("name", CHOICES)
def test_picture_looks_as_it_should(name: str, tmp_path: Path) -> None:
    """To accept a change, look at the new picture, then run with ANATOMYXR_NEW_GOLDEN=1."""
    drawn = picture(resolve(head(), CHOICES[name]))
    if os.environ.get("ANATOMYXR_NEW_GOLDEN"):
        save_png(GOLDEN / f"{name}.png", drawn)
    save_png(tmp_path / f"{name}.png", drawn)
    found = difference(drawn, golden(name))
    assert not found.is_seen, f"{found}, allowed {MEAN} and {WORST}; see {tmp_path / name}.png"


def mirrored(scene: Scene) -> Scene:
    """Left and right exchanged in 3D, as a forgotten flip does."""
    flip = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
    middle = np.array([MIDDLE[0], 0.0, 0.0], dtype=np.float32)
    return replace(
        scene,
        surfaces=tuple(
            replace(s, vertices=(s.vertices - middle) * flip + middle, faces=s.faces[:, ::-1]) for s in scene.surfaces
        ),
    )


def with_mirrored_slices(scene: Scene) -> Scene:
    return replace(scene, slices={plane: replace(s, image=s.image[:, ::-1]) for plane, s in scene.slices.items()})


def without(key: str, scene: Scene) -> Scene:
    return replace(scene, surfaces=tuple(s for s in scene.surfaces if s.key != key))


def recoloured(key: str, scene: Scene) -> Scene:
    return replace(
        scene, surfaces=tuple(replace(s, colour=(0.1, 0.3, 0.9)) if s.key == key else s for s in scene.surfaces)
    )


def solid(key: str, scene: Scene) -> Scene:
    return replace(scene, surfaces=tuple(replace(s, opacity=1.0) if s.key == key else s for s in scene.surfaces))


def inside_out(scene: Scene) -> Scene:
    return replace(scene, surfaces=tuple(replace(s, faces=s.faces[:, ::-1]) for s in scene.surfaces))


WRONG = {
    "mirrored surfaces": mirrored,
    "mirrored slices": with_mirrored_slices,
    "an ear lost": lambda scene: without("ear_left", scene),
    "a tumour lost": lambda scene: without("tumour", scene),
    "a tumour in blue": lambda scene: recoloured("tumour", scene),
    "opaque skin": lambda scene: solid("skin", scene),
    "surfaces inside out": inside_out,
    "another slice": lambda scene: resolve(
        head(), replace(CHOICES["four-up"], centre_mm=(TUMOUR_MM[0], TUMOUR_MM[1], TUMOUR_MM[2] + 10))
    ),
    "another window": lambda scene: resolve(head(), replace(CHOICES["four-up"], window="lung")),
    "another side": lambda scene: resolve(head(), replace(CHOICES["four-up"], view="posterior")),
    "no outlines": lambda scene: resolve(head(), replace(CHOICES["four-up"], overlay="fill")),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_picture_is_noticed(mistake: str) -> None:
    scene = resolve(head(), CHOICES["four-up"])
    found = difference(picture(WRONG[mistake](scene)), golden("four-up"))
    assert found.is_seen
    assert found.mean > 1.5 * MEAN or found.worst > 1.5 * WORST, found  # and not by a hair


@pytest.mark.parametrize("order", range(48))
def test_the_picture_does_not_depend_on_storage_order(order: int) -> None:
    found = difference(picture(resolve(head(order), CHOICES["four-up"])), golden("four-up"))
    assert not found.is_seen, found


def test_the_left_ear_stands_at_the_right_of_the_front_view() -> None:
    scene = resolve(head(), replace(CHOICES["left-anterior"], view="anterior", only=frozenset({"ear_left", "skin"})))
    box = panels("3d", SIZE)["3d"]
    with_ear = draw_surfaces(scene, (box.width, box.height)).astype(int)
    without_ear = draw_surfaces(without("ear_left", scene), (box.width, box.height)).astype(int)
    columns = np.flatnonzero((np.abs(with_ear - without_ear).max(axis=2) > 40).any(axis=0))
    assert len(columns) > 5
    assert columns.min() > box.width / 2
    assert EAR_MM[0] > MIDDLE[0]


def ball(centre: tuple[float, float, float], radius: float, key: str, opacity: float) -> SceneSurface:
    from meshing.exporting.shapes import ball as shape

    vertices, faces = shape(centre, (radius, radius, radius), refinements=4)
    colours = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
    return SceneSurface(key, vertices, faces, colours[key], opacity)


def of_balls(*balls: SceneSurface, view: str = "anterior") -> np.ndarray:
    """The middle pixel of balls seen along their common axis."""
    from viewer.viewpoint import camera_from

    scene = resolve(head(), Choices(layout="3d", size=(400, 300)))
    camera = camera_from(view, np.concatenate([one.vertices for one in balls]), aspect=1.0)
    drawn = draw_surfaces(replace(scene, surfaces=balls, camera=camera), (120, 120))
    middle: np.ndarray = drawn[56:64, 56:64].mean(axis=(0, 1))
    return middle


def test_an_opaque_ball_shines_through_a_translucent_one() -> None:
    red, green, _ = of_balls(ball((0, 0, 0), 20.0, "red", 0.4), ball((0, 0, 0), 8.0, "green", 1.0))
    assert green > 60 and red > 30


def test_of_two_translucent_balls_the_nearer_one_shows_more_from_either_side() -> None:
    """Sorted from back to front: in the order given, one of the two views would be wrong."""
    near = ball((0, -30, 0), 10.0, "red", 0.6)
    far = ball((0, 30, 0), 10.0, "green", 0.6)
    for pair in ((near, far), (far, near)):
        front = of_balls(*pair, view="anterior")
        back = of_balls(*pair, view="posterior")
        assert front[0] > 1.3 * front[1]
        assert back[1] > 1.3 * back[0]


@pytest.mark.parametrize("view", ["anterior", "posterior", "left-posterior"])
def test_a_planned_plane_is_seen_from_both_sides(view: str) -> None:
    part = CutPlane("cut", (0.0, 0.0, 0.0), (0.3, -1.0, 0.1))
    vertices, faces = shape_of(part)
    colour = structure_of(part).colour
    drawn = of_balls(SceneSurface("plan:cut", vertices, faces, colour, 0.5), view=view)
    bare = of_balls(ball((0, 0, 0), 20.0, "red", 0.0), view=view)
    assert drawn[1] > bare[1] + 25 and np.argmax(drawn - bare) == np.argmax(colour)


def test_an_opaque_ball_hides_what_lies_behind() -> None:
    red, green, _ = of_balls(ball((0, -30, 0), 10.0, "red", 1.0), ball((0, 30, 0), 10.0, "green", 1.0))
    assert red > 100 and green < 0.35 * red


def test_shading_normals_of_a_ball_point_outward() -> None:
    surface = ball((5, 6, 7), 10.0, "red", 1.0)
    outward = (surface.vertices - [5, 6, 7]) / 10.0
    assert (np.einsum("vi,vi->v", shading_normals(surface), outward) > 0.999).all()


def test_twenty_pictures_leave_nothing_behind() -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("memory is read from /proc, which this system lacks")

    def resident_mib() -> float:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    scene = resolve(head(), Choices(layout="3d", size=(320, 240)))
    for _ in range(6):  # caches and arenas fill
        picture(scene)
    before = resident_mib()
    for _ in range(20):
        picture(scene)
    # One leaked render window of this size, supersampled, holds over 3 MiB of colour and depth: twenty would be 60.
    assert resident_mib() - before < 15.0


def test_a_plotter_is_closed_when_drawing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvista

    from viewer import render

    def fail(*_: object) -> None:
        raise ValueError("a bad mesh")

    closed = []
    close = pyvista.Plotter.close
    monkeypatch.setattr(pyvista.Plotter, "close", lambda self: (closed.append(self), close(self))[1])
    monkeypatch.setattr(render, "add_surfaces", fail)
    with pytest.raises(ValueError, match="a bad mesh"):
        picture(resolve(head(), CHOICES["left-anterior"]))
    assert len(closed) == 1


def test_another_size_than_the_scenes_is_refused() -> None:
    with pytest.raises(RenderError, match="480"):
        picture(resolve(head(), CHOICES["four-up"]), (100, 100))


def test_a_png_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    save_png(tmp_path / "a.png", pixels)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(RenderError):
        save_png(tmp_path / "missing" / "a.png", pixels)


def test_degenerate_scenes_are_drawn() -> None:
    """Nothing to show, a single triangle, a surface without opacity."""
    scene = resolve(head(), CHOICES["left-anterior"])
    triangle = Surface(np.array([[0, 0, 0], [30, 0, 0], [0, 0, 30]], np.float32), np.array([[0, 1, 2]]), "tumour")
    for surfaces in ((), (SceneSurface("tumour", triangle.vertices, triangle.faces, (1, 0, 0), 0.5),)):
        assert picture(replace(scene, surfaces=surfaces)).shape == (360, 480, 3)
