"""Contrast-filled vessels of a CT or MR angiogram as one tree.

CT: the bright blobs of `contrast` are cut apart where a chamber of the heart, a vein full of undiluted contrast, an
organ or bone begins, by a cheapest cut whose price is how wide each door is open. The tree grows from seeds, else from
the aorta, which lies before the spine, else from the largest contrast-filled part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.progress import Progress
from meshing.segmenters.blobs import Floats
from meshing.segmenters.body import BodySettings, find_body
from meshing.segmenters.contrast import Bright, ContrastSettings, Spine, bright_parts, door_mm2, spine_of
from meshing.segmenters.cuts import FIRM, cheapest_cut, groups, joined
from meshing.segmenters.morphology import bounding_box, closed, dilated, nearest_of, opened, touching
from meshing.segmenters.seeds import brightness_at, checked_seeds
from meshing.segmenters.upright import Mask, Upright, to_full

WHERE = "preset cta-vessels"


@dataclass(frozen=True)
class TreeSettings:
    """Lengths in mm, thresholds in HU; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    aorta_left_mm, aorta_back_mm, aorta_back_in_chest_mm
        Window beside the middle of the spine in which the aorta lies: from, to. In the chest it hugs the spine, and
        the left atrium lies before it.
    root_share
        A blob is root when its score is this share of the best one's.
    chamber_mm, chamber_ratio
        A blob this fat, and so much fatter than the root, is a chamber or an organ.
    undiluted_ratio
        A blob so much brighter than the root is a vein full of contrast that has not passed the heart.
    organ_share, organ_ml
        Blobs less bright than this share of the root that hang together and are so large are the tissue of an organ.
    open_door
        Least brightness of a contact within one lumen, in units of the darker side.
    grow_share, grow_least_hu, grow_mm
        The edge of the tree: how far down from the lumen's brightness, and how far out.
    gap_mm
        Between lumens of the root, gaps of soft tissue narrower than twice this are flap or unmixed blood.
    least_ml
        Less than that is no tree.
    """

    aorta_left_mm: tuple[float, float]
    aorta_back_mm: tuple[float, float]
    aorta_back_in_chest_mm: tuple[float, float]
    root_share: float
    chamber_mm: float
    chamber_ratio: float
    undiluted_ratio: float
    organ_share: float
    organ_ml: float
    open_door: float
    grow_share: float
    grow_least_hu: float
    grow_mm: float
    gap_mm: float
    least_ml: float


@dataclass(frozen=True)
class CtaSettings:
    """Everything that cta-vessels is set by."""

    body: BodySettings
    contrast: ContrastSettings
    tree: TreeSettings


def arteries_of_ct(scan: Upright, settings: CtaSettings, seeds_mm: tuple[Point, ...], progress: Progress) -> Mask:
    """The tree of contrast-filled arteries, bool, in patient order.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan or in no contrast, or no tree is found.
    """
    seeds = checked_seeds(scan, seeds_mm, WHERE)
    most_hu = np.inf
    if len(seeds):
        most_hu = brightness_at(scan, seeds, seeds_mm, settings.contrast.least_hu, WHERE)
    progress(0.05, "finding the body")
    body = find_body(scan, settings.body)
    progress(0.25, "telling contrast from bone")
    bright = bright_parts(scan, body, settings.contrast, most_hu)
    progress(0.55, "finding the root of the tree")
    aorta = _aorta(bright, settings.tree)
    roots = _roots(bright, scan, seeds, aorta, settings.tree)
    progress(0.6, "cutting the tree free")
    tree = _cut_free(bright, roots, settings)
    if (tree & aorta & ~roots).any():
        # Seeds in one part of the aorta stand for all of it, also where a dissection narrows the way to the rest.
        roots = roots | aorta
        tree = _cut_free(bright, roots, settings)
    progress(0.7, "growing to the vessel wall")
    return _grown(scan, bright, tree, tree & roots, settings.tree)


Chosen = npt.NDArray[np.bool_]


def _roots(bright: Bright, scan: Upright, seeds: Floats, aorta: Chosen, settings: TreeSettings) -> Chosen:
    """The blobs that the tree starts from, bool per blob."""
    if len(seeds):
        seeded = _blobs_at(bright, scan, seeds)
        return seeded | aorta if (seeded & aorta).any() else seeded
    if aorta.any():
        return aorta
    contrast_ml = np.where(bright.is_contrast, bright.blobs.volume_ml, 0.0)
    if contrast_ml.sum() < settings.least_ml:
        raise SegmentationError(
            f"no contrast-filled vessel: {contrast_ml.sum():.1f} ml of even brightness above"
            f" {bright.threshold_hu:.0f} HU, wanted {settings.least_ml:.0f} ml",
            where=WHERE,
            hint="is this an angiogram in the arterial phase? Seeds in a vessel help where contrast is weak",
        )
    largest: Chosen = contrast_ml == contrast_ml.max()
    return largest


def _aorta(bright: Bright, settings: TreeSettings) -> Chosen:
    """Long upright blobs of contrast before the spine: the aorta or its lumens; none where there is no spine."""
    contrast_ml = np.where(bright.is_contrast, bright.blobs.volume_ml, 0.0)
    spine = spine_of(bright)
    if spine is None:
        return np.zeros(len(contrast_ml), np.bool_)
    share = _share_before_spine(bright, spine, settings)
    slim = np.minimum(1.0, settings.chamber_mm / np.maximum(bright.blobs.radius_mm, 1.0)) ** 2
    score = contrast_ml * share**4 * slim * np.clip((_elongation(bright) - 1.7) / 0.8, 0.0, 1.0)
    found: Chosen = (score >= settings.least_ml) & (score >= settings.root_share * score.max())
    return found


def _elongation(bright: Bright) -> Floats:
    """Height of each blob in units of the diameter of its mean axial section."""
    numbers, step_mm = bright.blobs.numbers, bright.low.spacing_mm[2]
    size = len(bright.blobs) + 1
    heights = np.full(size, 1e-6)
    for z in range(numbers.shape[2]):
        heights[np.unique(numbers[:, :, z])] += step_mm
    section_mm2 = np.maximum(1000.0 * bright.blobs.volume_ml / heights, 1e-6)
    elongation: Floats = heights / np.sqrt(4.0 * section_mm2 / np.pi)
    return elongation


def _share_before_spine(bright: Bright, spine: Spine, settings: TreeSettings) -> Floats:
    """How much of each blob lies where the aorta runs: before the spine, from its right edge to the left of it."""
    numbers, spacing = bright.blobs.numbers, bright.low.spacing_mm
    left = (np.arange(numbers.shape[0])[:, None] - spine.x[None, :]) * spacing[0]
    back = (np.arange(numbers.shape[1])[:, None] - spine.y[None, :]) * spacing[1]
    in_left = (left > settings.aorta_left_mm[0]) & (left < settings.aorta_left_mm[1])
    chest = _is_chest(bright)
    nearest = np.where(chest, settings.aorta_back_in_chest_mm[0], settings.aorta_back_mm[0])
    farthest = np.where(chest, settings.aorta_back_in_chest_mm[1], settings.aorta_back_mm[1])
    in_back = (back > nearest) & (back < farthest)
    window = in_left[:, None, :] & in_back[None, :, :]
    size = len(bright.blobs) + 1
    inside = np.bincount(numbers[window & (numbers > 0)], minlength=size)
    share: Floats = inside / np.maximum(np.bincount(numbers.ravel(order="K"), minlength=size), 1)
    return share


def _blobs_at(bright: Bright, scan: Upright, seeds: Floats) -> Chosen:
    """The blob under each seed, or the nearest one within 5 mm that is not bone."""
    numbers, spacing = bright.blobs.numbers, np.array(bright.low.spacing_mm)
    roots = np.zeros(len(bright.blobs) + 1, np.bool_)
    reach = np.ceil(5.0 / spacing).astype(int)
    corner = np.array([part.start for part in bright.low.box])
    for seed in seeds:
        block = np.floor((seed - corner + 0.5) / bright.low.factors).astype(int)
        block = np.clip(block, 0, np.array(numbers.shape) - 1)
        if numbers[tuple(block)]:
            roots[numbers[tuple(block)]] = True
            continue
        start = np.maximum(block - reach, 0)
        near = numbers[tuple(slice(a, b) for a, b in zip(start, block + reach + 1, strict=True))]
        places = np.argwhere((near > 0) & ~bright.is_bone[near])
        if len(places) == 0:
            raise SegmentationError(
                f"no vessel above {bright.threshold_hu:.0f} HU within 5 mm of the seed",
                where=WHERE,
                hint="move the seed",
            )
        distance = np.linalg.norm((places + start - block) * spacing, axis=1)
        roots[near[tuple(places[distance.argmin()])]] = True
    return roots


def _cut_free(bright: Bright, roots: Chosen, settings: CtaSettings) -> Chosen:
    """The blobs of the tree: on the root's side of the cheapest cut, and joined to it by open doors."""
    blobs, contacts = bright.blobs, bright.blobs.contacts
    doors = 0.3 * door_mm2(blobs, settings.contrast) * contacts.neck_mm * _tube_likeness(bright, roots) ** 4
    strangers = _strangers(bright, roots, settings.tree)
    bone_mm2 = np.where(bright.is_bone & ~roots, 6.0 * (1000.0 * blobs.volume_ml) ** (2 / 3), 0.0)
    cut = cheapest_cut(contacts, doors, np.where(roots, FIRM, 0.0), np.where(strangers, FIRM, bone_mm2))
    tree = ~cut.sink
    tree &= ~_vestibules(bright, tree, strangers | cut.sink, doors) | roots
    open_doors = tree[contacts.first] & tree[contacts.second] & (contacts.brightness > settings.tree.open_door)
    return tree & joined(contacts, open_doors, roots)


def _strangers(bright: Bright, roots: Chosen, settings: TreeSettings) -> Chosen:
    """Heart chambers, organs and veins of undiluted contrast; not an aneurysm of the abdominal aorta."""
    blobs = bright.blobs
    root_mm = float(blobs.radius_mm[roots].max())
    root_hu = float(np.average(blobs.median[roots], weights=blobs.volume_ml[roots]))
    fat = blobs.radius_mm > max(settings.chamber_mm, settings.chamber_ratio * root_mm)
    dim = ~roots & (blobs.peak < bright.soft_hu + settings.organ_share * (root_hu - bright.soft_hu))
    organ = dim & (_group_ml(bright, dim) > settings.organ_ml)
    undiluted = blobs.median > settings.undiluted_ratio * root_hu
    undiluted &= blobs.radius_mm > 3.0 * bright.low.mean_spacing_mm
    spine = spine_of(bright)
    if spine is not None:
        beside = _share_before_spine(bright, spine, settings) >= 0.5
        fat &= ~beside | _share_in_chest(bright)
        organ &= ~beside  # unmixed blood of the aorta is dim too
    strangers: Chosen = (fat | undiluted | organ) & ~roots
    return strangers


def _group_ml(bright: Bright, chosen: Chosen) -> Floats:
    """Per blob, the volume of all chosen blobs that it hangs together with."""
    contacts = bright.blobs.contacts
    group = groups(contacts, chosen[contacts.first] & chosen[contacts.second], len(chosen))
    volume = np.bincount(group, weights=np.where(chosen, bright.blobs.volume_ml, 0.0)).astype(np.float64)
    return volume[group]


def _share_in_chest(bright: Bright) -> Chosen:
    """Blobs most of which lies in slices that lung takes a fair part of."""
    numbers = bright.blobs.numbers
    chest = _is_chest(bright)
    size = len(bright.blobs) + 1
    inside = np.bincount(numbers[:, :, chest].ravel(order="K"), minlength=size)
    in_chest: Chosen = inside > 0.5 * np.bincount(numbers.ravel(order="K"), minlength=size)
    return in_chest


def _is_chest(bright: Bright) -> Chosen:
    """Per slice: whether lung takes a fair part of it."""
    chest: Chosen = bright.lung_share > 0.15
    return chest


def _tube_likeness(bright: Bright, roots: Chosen) -> Floats:
    """Per contact: 1 for a tube that goes on, small where a room opens that is wider than its door and the root."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    blobs, contacts = bright.blobs, bright.blobs.contacts
    resistance = 1.0 / np.maximum(contacts.neck_mm**2 * np.clip(contacts.brightness - 0.55, 0.02, 1.0), 1e-3)
    size = len(roots)
    graph = csr_matrix((resistance, (contacts.first, contacts.second)), shape=(size, size))
    far = dijkstra(graph, directed=False, indices=np.flatnonzero(roots), min_only=True)
    behind = np.where(far[contacts.first] > far[contacts.second], contacts.first, contacts.second)
    likeness: Floats = np.minimum(contacts.neck_mm / np.maximum(blobs.radius_mm[behind], 1e-3), 1.0)
    return likeness


def _vestibules(bright: Bright, tree: Chosen, beyond: Chosen, doors: Floats) -> Chosen:
    """Ball-like blobs between tree and chamber, such as the outflow tract: they belong to the chamber."""
    blobs, contacts = bright.blobs, bright.blobs.contacts
    ball_ml = 4.0 / 3.0 * np.pi * blobs.radius_mm**3 / 1000.0
    size = len(tree)
    to_beyond, to_tree, trunk_mm = np.zeros(size), np.zeros(size), np.zeros(size)
    for here, there in ((contacts.first, contacts.second), (contacts.second, contacts.first)):
        np.maximum.at(to_beyond, here, np.where(beyond[there], contacts.neck_mm * (doors > 1.0), 0.0))
        np.maximum.at(to_tree, here, np.where(tree[there], contacts.neck_mm, 0.0))
        np.maximum.at(trunk_mm, here, np.where(tree[there], blobs.radius_mm[there], 0.0))
    ball_like = (blobs.volume_ml < 2.5 * ball_ml) & (blobs.radius_mm < 0.75 * trunk_mm)
    found: Chosen = tree & ball_like & (to_beyond >= 0.6 * to_tree) & (to_beyond > 3.0)
    return found


def _grown(scan: Upright, bright: Bright, tree: Chosen, lumens: Chosen, settings: TreeSettings) -> Mask:
    """The tree on the voxels of the scan, out to its wall, with what lies between lumens of one aorta."""
    from scipy import ndimage

    low, blobs = bright.low, bright.blobs
    core = blobs.mask(tree)
    others = (blobs.numbers > 0) & ~core
    between = _between_lumens(bright, blobs.mask(lumens), others, settings)
    near = to_full(dilated(core | between, low.spacing_mm, settings.grow_mm), low)
    box = bounding_box(near)
    assert box is not None  # the roots are part of the tree
    values = ndimage.gaussian_filter(scan.voxels[box].astype(np.float32), 0.5)
    level = float(np.median(low.values[core]))
    edge_hu = max(settings.grow_least_hu, bright.soft_hu + settings.grow_share * (level - bright.soft_hu))
    inside = (values > edge_hu) & near[box]
    markers = np.zeros(values.shape, np.int32)
    markers[to_full(others, low)[box] & inside] = 2
    markers[to_full(core, low)[box] & inside] = 1
    grown = np.zeros(scan.voxels.shape, np.bool_, order="F")
    grown[box] = (nearest_of(markers, inside, -values) == 1) | to_full(between, low)[box]
    return touching(grown, np.asfortranarray(to_full(blobs.mask(lumens), low)))


def _between_lumens(bright: Bright, lumens: Mask, others: Mask, settings: TreeSettings) -> Mask:
    """Flap and unmixed blood between the lumens of a dissected root; nothing beside a single round lumen."""
    spacing = bright.low.spacing_mm
    gap = closed(lumens, spacing, settings.gap_mm) & ~lumens & ~others
    gap &= (bright.values > 0.0) & (bright.values < bright.threshold_hu)
    return opened(gap | lumens, spacing, 2.0) & gap
