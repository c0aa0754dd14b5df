"""Draw `docs/pictures/segmentation/*.png`: every editing verb on a real scan, before and after.

Usage: ``python -m tools.draw_segmentation_pictures FOLDER [NAME …]``, where FOLDER holds ct_dicom_lidc0314,
ct_abdomen_labels and mr_t1_head_dicom. Prints what each verb gave.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from meshing.editing.brush import stroke
from meshing.editing.draft import Draft
from meshing.editing.edges import edge_speed
from meshing.editing.flooding import region_grown
from meshing.editing.islands import islands_at
from meshing.editing.labelling import grown_from_seeds, watershed
from meshing.editing.levelset import LevelSet, level_set
from meshing.editing.logical import minus
from meshing.editing.marching import marched, marching_box
from meshing.editing.margins import hollowed, with_margin
from meshing.editing.patch import LabelPatch, Patch, label_patch_of
from meshing.editing.scissors import Cut, cut_away
from meshing.editing.slices import filled_between
from meshing.editing.smoothing import smoothed, smoothed_together
from meshing.editing.thresholds import Range, in_range, masked_by_range
from meshing.editing.walker import random_walker
from meshing.importing.labels import read_labels
from meshing.importing.scan import import_scan
from viewer.compose import PAGE, lay_region
from viewer.contours import outline
from viewer.lettering import write
from viewer.scene import Region
from viewer.slices import Plane, SliceView, fitted, letters, position_text, reslice
from viewer.windows import Window, apply_window, automatic, presets

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "segmentation"
PANEL = (480, 372)
FOOT, GAP, PX = 58, 8, 15
LIGHT, SOFT, BLACK, SEED = (232, 236, 240), (178, 186, 194), (0, 0, 0), (255, 232, 120)
COLOURS = [(240, 106, 96), (104, 200, 134), (108, 168, 250), (236, 188, 84), (196, 140, 240), (90, 206, 214)]
Point = tuple[float, float, float]
MOST_BYTES = 120_000


@dataclass(frozen=True, eq=False)
class Shown:
    """Two label patches on one slice, and what to write under them."""

    draft: Draft
    before: LabelPatch | Patch | None
    after: LabelPatch | Patch
    captions: tuple[str, str]
    view: tuple[Plane, float, Point, float]
    window: str = "abdomen"
    seeds: tuple[Point, ...] = field(default=())


@cache
def scan(name: str) -> Draft:
    """A scan as a draft; the labels of ct-abdomen in its layer."""
    folder = Path(sys.argv[1])
    if name == "chest":
        return Draft(import_scan(folder / "ct_dicom_lidc0314" / "lidc-idri-0314_ct.zip").volume)
    if name == "head":
        return Draft(import_scan(folder / "mr_t1_head_dicom" / "t1_head_dicom.zip").volume)
    volume = import_scan(folder / "ct_abdomen_labels" / "example_ct.nii.gz").volume
    drawn, _ = read_labels(folder / "ct_abdomen_labels" / "example_seg_fast_force_split.nii.gz", volume.grid)
    chosen.update({segment.key: segment.label for segment in drawn.segments})
    return Draft(volume, drawn)


chosen: dict[str, int] = {}


def organ(key: str) -> Patch:
    """A label of ct-abdomen, drawn by a model."""
    draft = scan("abdomen")
    return draft.patch(chosen[key])


def marks(draft: Draft, strokes: list[tuple[int, list[Point], float]]) -> LabelPatch:
    """Strokes of the brush as seeds."""
    labels = np.zeros(draft.grid.shape, np.uint8, order="F")
    for label, points, radius in strokes:
        patch = stroke(draft.grid, points, radius)
        labels[patch.box][patch.mask] = label
    return label_patch_of(labels, draft.grid)


def threshold() -> Shown:
    draft = scan("chest")
    bone = in_range(draft.volume, Range(180, 3000))
    return Shown(draft, None, bone, ("the scan", f"180 to 3000 HU: {bone.volume_ml:.0f} ml"), CHEST_LOW)


def masking() -> Shown:
    draft = scan("chest")
    ball = stroke(draft.grid, [(-10, 215, -649)], 38.0)
    kept = masked_by_range(ball, draft.volume, Range(150, 3000))
    said = (f"a ball of 38 mm: {ball.volume_ml:.0f} ml", f"kept to 150 HU and more: {kept.volume_ml:.0f} ml")
    return Shown(draft, ball, kept, said, CHEST_LOW)


def region_growing() -> Shown:
    draft, seed = scan("chest"), (80.0, 165.0, -612.0)
    grown = region_grown(draft.volume, [seed], Range(-1100, -500))
    edge = ", cut by the edge of the scan" if grown.reaches_edge else ""
    said = ("one seed in the left lung", f"−1100 to −500 HU: {grown.patch.volume_ml:.0f} ml{edge}")
    return Shown(draft, None, grown.patch, said, CHEST_HIGH, "lung", (seed,))


def upper_seeds(draft: Draft) -> LabelPatch:
    """Strokes at S 394: 1 liver, 2 spleen, 4 kidneys, 3 all around."""
    z = 394.0
    organs = [
        (1, [(-95.0, -225.0, z), (-110.0, -130.0, z)], 10.0),
        (1, [(-95.0, -225.0, z), (0.0, -240.0, z)], 7.0),
        (2, [(139.0, -137.0, z), (139.0, -118.0, z)], 7.0),
        (4, [(56.0, -117.0, z)], 7.0),
        (4, [(-54.0, -124.0, z)], 7.0),
    ]
    around = [
        [(2.0, -114.0, z)],
        [(-100.0, -66.0, z), (-45.0, -62.0, z), (55.0, -62.0, z), (95.0, -66.0, z)],
        [(45.0, -225.0, z), (45.0, -205.0, z)],
        [(14.0, -157.0, z)],
        *([(x, y, z)] for x, y in ((128.0, -84.0), (-78.0, -94.0), (32.0, -92.0), (80.0, -94.0), (150.0, -150.0))),
        [(-25.0, -155.0, z), (-10.0, -185.0, z), (95.0, -160.0, z)],
        [(-130.0, -240.0, z), (-70.0, -282.0, z), (70.0, -282.0, z), (140.0, -225.0, z)],
    ]
    return marks(draft, [*organs, *((3, points, 4.0) for points in around)])


def without_surroundings(labels: LabelPatch) -> LabelPatch:
    """The labels without the one that stands for all around."""
    return LabelPatch(labels.grid, labels.box, np.where(labels.labels == 3, 0, labels.labels).astype(np.uint8))


def agreement(labels: LabelPatch) -> str:
    """Dice with the model's liver, in the box that was looked at."""
    ours, model = labels.of(1).mask, organ("liver").within(labels.box)
    return f"liver: Dice {2 * (ours & model).sum() / (ours.sum() + model.sum()):.2f} with a model's label"


def grow_from_seeds() -> Shown:
    draft = scan("abdomen")
    seeds = upper_seeds(draft)
    found = grown_from_seeds(draft.volume, seeds, margin_mm=6.0)
    said = ("strokes: liver, spleen, kidneys, and all around", agreement(found))
    return Shown(draft, seeds, without_surroundings(found), said, UPPER)


def walker() -> Shown:
    draft = scan("abdomen")
    seeds = upper_seeds(draft)
    found = random_walker(draft.volume, seeds, margin_mm=6.0).labels
    said = ("the same strokes", agreement(found))
    return Shown(draft, seeds, without_surroundings(found), said, UPPER)


def flood() -> Shown:
    draft = scan("abdomen")
    bladder = [(-3.0, -170.0, 128.0), (-3.0, -170.0, 168.0)]
    heads = [(2, [(x, -160.0, 138.0), (x, -160.0, 154.0)], 9.0) for x in (-92.0, 88.0)]
    corners = [(-62.0, -110.0), (-66.0, -175.0), (-56.0, -240.0), (50.0, -240.0), (60.0, -175.0), (56.0, -110.0)]
    rings = [[(x, y, z) for x, y in [*corners, corners[0]]] for z in np.arange(100.0, 200.0, 8.0)]
    caps = [[(x, -175.0, z) for x in (-40.0, 34.0)] for z in (95.0, 199.0)]
    seeds = marks(draft, [*((3, points, 3.0) for points in [*rings, *caps]), *heads, (1, bladder, 20.0)])
    found = watershed(draft.volume, seeds, margin_mm=25.0)
    model = organ("urinary_bladder").volume_ml
    said = (
        "markers: bladder, femoral heads, a ring around",
        f"bladder {found.of(1).volume_ml:.0f} ml, model {model:.0f} ml",
    )
    return Shown(draft, seeds, without_surroundings(found), said, PELVIS)


def fast_marching() -> Shown:
    draft, seed = scan("abdomen"), (-3.0, -172.0, 145.0)
    box = marching_box(draft.grid, [seed], 80.0)
    speed = edge_speed(draft.volume, box, sigma_mm=4.0, steepness=1.2)
    arrival = marched(draft.grid, [seed], speed, 80.0)
    layers = np.zeros(arrival.at_mm.shape, np.uint8, order="F")
    for label, stop in enumerate((80.0, 60.0, 40.0, 20.0), start=1):
        layers[arrival.at_mm <= stop] = label
    said = ("one seed in the bladder", "arrival after 20, 40, 60 and 80 mm at full speed")
    return Shown(draft, None, LabelPatch(draft.grid, box, layers), said, PELVIS, seeds=(seed,))


def contour() -> Shown:
    draft = scan("abdomen")
    start = stroke(draft.grid, [(-3.0, -172.0, 148.0)], 32.0)
    settings = LevelSet(2.0, sigma_mm=3.0, balloon=0.5, smoothness=1.0, attraction=2.0, reach_mm=45.0, most_steps=300)
    found = level_set(draft.volume, start, settings)
    model = organ("urinary_bladder").volume_ml
    said = (f"a ball: {start.volume_ml:.0f} ml", f"{found.steps} steps: {found.after_ml:.0f} ml, model {model:.0f} ml")
    return Shown(draft, start, found.patch, said, PELVIS)


def brush() -> Shown:
    draft = scan("chest")
    painted = stroke(draft.grid, [(-110, 130, -649), (-70, 160, -649), (-40, 110, -649), (10, 100, -649)], 14.0)
    erased = minus(painted, stroke(draft.grid, [(-90, 100, -649), (-50, 170, -649)], 6.0))
    said = (f"a stroke of 14 mm radius: {painted.volume_ml:.0f} ml", f"6 mm erased again: {erased.volume_ml:.0f} ml")
    return Shown(draft, painted, erased, said, CHEST_LOW)


def scissors() -> Shown:
    draft = scan("chest")
    body = in_range(draft.volume, Range(-300, 3000))
    line = [(-190.0, 232.0, -650.0), (-60.0, 273.0, -650.0), (40.0, 273.0, -650.0), (190.0, 232.0, -650.0)]
    line += [(205.0, 338.0, -650.0), (-205.0, 338.0, -650.0)]
    cut = cut_away(body, Cut(line, (0.0, 0.0, 1.0)))
    said = (f"−300 HU and more: {body.volume_ml:.0f} ml", f"the table cut away: {cut.volume_ml:.0f} ml")
    return Shown(draft, body, cut, said, ("axial", -650.0, (0.0, 180.0, -650.0), 420.0), seeds=tuple(line))


def islands() -> Shown:
    draft = scan("chest")
    bright = in_range(draft.volume, Range(180, 3000))
    kept = islands_at(bright, [(-10.0, 219.0, -649.0)])
    said = (f"180 HU and more: {bright.volume_ml:.0f} ml", f"the part that was clicked: {kept.volume_ml:.0f} ml")
    return Shown(draft, bright, kept, said, CHEST_LOW, seeds=((-10.0, 219.0, -649.0),))


def margin() -> Shown:
    draft, kidney = scan("abdomen"), organ("kidney_right")
    grown = with_margin(kidney, 8.0)
    both = np.zeros(draft.grid.shape, np.uint8, order="F")
    both[grown.box][grown.mask] = 2
    both[kidney.box][kidney.mask] = 1
    said = (f"right kidney: {kidney.volume_ml:.0f} ml", f"with a margin of 8 mm: {grown.volume_ml:.0f} ml")
    return Shown(draft, kidney, label_patch_of(both, draft.grid), said, LOIN)


def hollow() -> Shown:
    draft, bladder = scan("abdomen"), organ("urinary_bladder")
    wall = hollowed(bladder, 6.0)
    said = (f"bladder: {bladder.volume_ml:.0f} ml", f"a wall of 6 mm, inside: {wall.volume_ml:.0f} ml")
    return Shown(draft, bladder, wall, said, PELVIS)


def logical() -> Shown:
    draft, liver = scan("abdomen"), organ("liver")
    ball = stroke(draft.grid, [(-95.0, -170.0, 394.0)], 32.0)
    rest = minus(liver, ball)
    both = np.zeros(draft.grid.shape, np.uint8, order="F")
    both[liver.box][liver.mask] = 1
    both[ball.box][ball.mask] = 2
    said = (f"liver {liver.volume_ml:.0f} ml and a ball of 32 mm", f"liver minus ball: {rest.volume_ml:.0f} ml")
    return Shown(draft, label_patch_of(both, draft.grid), rest, said, UPPER)


def fill() -> Shown:
    draft, liver = scan("abdomen"), organ("liver")
    spleen = organ("spleen")
    whole = np.zeros(draft.grid.shape, np.uint8, order="F")
    whole[liver.box][liver.mask] = 1
    whole[spleen.box][spleen.mask] = 2
    drawn = np.zeros_like(whole)
    drawn[:, :, ::6] = whole[:, :, ::6]
    found = filled_between(label_patch_of(drawn, draft.grid), axis=2)
    said = ("liver and spleen on every sixth slice, 18 mm apart", f"filled: liver {found.of(1).volume_ml:.0f} ml")
    print(f"   liver as drawn: {liver.volume_ml:.0f} ml")
    return Shown(draft, label_patch_of(drawn, draft.grid), found, said, CORONAL)


def smoothing() -> Shown:
    draft = scan("chest")
    rough = in_range(draft.volume, Range(35, 120), stroke(draft.grid, [(-65, 140, -655)], 34.0))
    found = smoothed(rough, "median", 2.5)
    said = (f"35 to 120 HU in a ball: {rough.volume_ml:.0f} ml", f"median of ± 2.5 mm: {found.change_percent:+.1f} %")
    return Shown(draft, rough, found.patch, said, ("axial", -655.0, (-65.0, 140.0, -655.0), 110.0))


def together() -> Shown:
    draft = scan("abdomen")
    labels = draft.labels()
    found = smoothed_together(labels, 4.0)
    liver = chosen["liver"]
    before, after = found.volumes_ml[liver]
    said = ("61 labels, voxels of 3 mm", f"all blurred by 4 mm: liver {100 * (after / before - 1):+.1f} %")
    return Shown(draft, labels, found.labels, said, UPPER)


CHEST_LOW: tuple[Plane, float, Point, float] = ("axial", -649.0, (-5.0, 150.0, -649.0), 320.0)
CHEST_HIGH: tuple[Plane, float, Point, float] = ("axial", -612.0, (0.0, 150.0, -612.0), 340.0)
PELVIS: tuple[Plane, float, Point, float] = ("axial", 146.0, (-3.0, -175.0, 146.0), 260.0)
LOIN: tuple[Plane, float, Point, float] = ("axial", 312.0, (-45.0, -150.0, 312.0), 200.0)
UPPER: tuple[Plane, float, Point, float] = ("axial", 394.0, (-3.0, -162.0, 394.0), 285.0)
CORONAL: tuple[Plane, float, Point, float] = ("coronal", -160.0, (-3.0, -160.0, 340.0), 330.0)

VERBS: dict[str, Callable[[], Shown]] = {
    "threshold": threshold,
    "masking": masking,
    "region-growing": region_growing,
    "grow-from-seeds": grow_from_seeds,
    "random-walker": walker,
    "watershed": flood,
    "fast-marching": fast_marching,
    "level-set": contour,
    "brush": brush,
    "scissors": scissors,
    "fill-between-slices": fill,
    "islands": islands,
    "margin": margin,
    "hollow": hollow,
    "logical": logical,
    "smoothing": smoothing,
    "smoothing-together": together,
}


def picture(shown: Shown) -> Image.Image:
    """Both panels and their captions."""
    plane, level, middle, extent = shown.view
    half = np.array(middle) + np.array([[-0.5], [0.5]]) * extent * np.array([1.0, 1.0, 1.0])
    view, bar_mm = fitted(plane, half, level, (PANEL[1], PANEL[0]))
    window = automatic(shown.draft.volume) if shown.window == "auto" else presets()[shown.window]
    page = Image.new("RGB", (2 * PANEL[0] + GAP, PANEL[1] + FOOT), PAGE)
    for number, (drawn, caption) in enumerate(zip((shown.before, shown.after), shown.captions, strict=True)):
        left = number * (PANEL[0] + GAP)
        panel = panel_of(shown.draft, drawn, view, window)
        if number == 0 or len(shown.seeds) > 1:
            mark(panel, view, shown.seeds)
        edges(panel, view, bar_mm)
        page.paste(panel, (left, 0))
        write(
            page,
            (left + 10, PANEL[1] + 14),
            ("Before", "After")[number],
            px=PX,
            ink=LIGHT,
            weight="SemiBold",
            anchor="lt",
        )
        write(page, (left + 10, PANEL[1] + 36), caption, px=PX, ink=SOFT, anchor="lt")
    return page


def panel_of(draft: Draft, drawn: LabelPatch | Patch | None, view: SliceView, window: Window) -> Image.Image:
    """One slice with what is drawn on it."""
    grey = apply_window(reslice(draft.volume.voxels, draft.grid, view), window)
    pixels = np.repeat(grey[:, :, None], 3, axis=2).astype(np.float32)
    if drawn is not None:
        layer = np.zeros(draft.grid.shape, np.uint16, order="F")
        layer[drawn.box] = drawn.mask if isinstance(drawn, Patch) else drawn.labels
        for label in np.unique(layer)[1:].tolist():
            contours = outline(layer, draft.grid, view, label)
            if contours:
                red, green, blue = (c / 255 for c in COLOURS[(label - 1) % len(COLOURS)])
                lay_region(pixels, Region(str(label), contours, (red, green, blue), 0.32, 0.95), 1.6)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def mark(panel: Image.Image, view: SliceView, points: tuple[Point, ...]) -> None:
    """A seed as a ringed dot; several points as a closed line."""
    if not points:
        return
    draw = ImageDraw.Draw(panel)
    places = [tuple(view.to_pixels(point).tolist()) for point in points]
    if len(places) > 1:
        draw.line([*places, places[0]], fill=SEED, width=2, joint="curve")
        return
    x, y = places[0]
    for radius, ink in ((6, BLACK), (4, SEED)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def edges(panel: Image.Image, view: SliceView, bar_mm: float) -> None:
    """Letters of the sides, the position, and a scale bar of exactly `bar_mm`."""
    width, height = panel.size
    left, right, top, bottom = letters(view.plane)
    for letter, at, anchor in (
        (left, (10, height / 2), "lm"),
        (right, (width - 10, height / 2), "rm"),
        (top, (width / 2, 10), "mt"),
        (bottom, (width / 2, height - 10), "ms"),
    ):
        write(panel, at, letter, px=PX, ink=LIGHT, weight="SemiBold", anchor=anchor, halo=BLACK)
    text = position_text(view.plane, view.level_mm)
    write(panel, (10, 12), text, px=13, ink=SOFT, anchor="lt", halo=BLACK)
    length = round(bar_mm / view.mm_per_pixel)
    draw = ImageDraw.Draw(panel)
    x, y = width - 12, height - 12
    draw.rectangle((x - length - 1, y - 4, x, y), fill=BLACK)
    draw.rectangle((x - length, y - 3, x - 1, y - 1), fill=LIGHT)
    write(panel, (x - length / 2, y - 9), f"{bar_mm:g} mm", px=13, ink=LIGHT, anchor="ms", halo=BLACK)


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or VERBS:
        shown = VERBS[name]()
        file = PICTURES / f"{name}.png"
        # 96 colours are enough for greys and six tints, and halve the file; 56 where noise makes it large.
        for colours in (96, 56):
            picture(shown).quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
            if file.stat().st_size < MOST_BYTES:
                break
        print(f"{name}: {shown.captions[0]} | {shown.captions[1]} | {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
