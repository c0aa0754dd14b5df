"""Contrast-filled vessels of a CT or MR angiogram as one tree.

CT: the bright blobs of `contrast` are cut apart where a chamber of the heart, a vein full of undiluted contrast, an
organ or bone begins, by a cheapest cut whose price is how wide each door is open. The tree grows from seeds, else from
the aorta, which lies before the spine, else from the largest contrast-filled part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshing.errors import SegmentationError
from meshing.plan import Point
from meshing.progress import Progress, part
from meshing.segmenters.aorta import Aorta, AortaSettings, aorta_of
from meshing.segmenters.blobs import Floats
from meshing.segmenters.body import Body, BodySettings, find_body
from meshing.segmenters.contrast import Bright, ContrastSettings, bright_parts, door_mm2
from meshing.segmenters.cuts import FIRM, Chosen, cheapest_cut, groups, joined
from meshing.voxels.morphology import bounding_box, closed, dilated, nearest_of, opened, touching
from meshing.voxels.seeds import brightness_at, checked_seeds
from meshing.voxels.upright import Mask, Upright, to_full

WHERE = "preset cta-vessels"

# How far beside a vessel a click may lie: beside the tree that is found without it, and beside any other.
_NEAR_MM, _BESIDE_MM = 2.5, 5.0


@dataclass(frozen=True)
class TreeSettings:
    """Lengths in mm, thresholds in HU; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
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
    aorta: AortaSettings
    tree: TreeSettings


def arteries_of_ct(scan: Upright, settings: CtaSettings, seeds_mm: tuple[Point, ...], progress: Progress) -> Mask:
    """The tree of contrast-filled arteries, bool, in patient order.

    Raises
    ------
    SegmentationError
        If a seed lies outside the scan or in no contrast, or no tree is found.
    """
    seeds = checked_seeds(scan, seeds_mm, WHERE)
    progress(0.05, "finding the body")
    body = find_body(scan, settings.body)
    progress(0.25, "telling contrast from bone")
    bright = bright_parts(scan, body, settings.contrast)
    aorta = aorta_of(bright, settings.aorta)
    roots = aorta.found if aorta.found.any() else _largest(bright, settings.tree)
    usual = np.zeros(scan.voxels.shape, np.bool_, order="F")
    if roots.any():
        usual = _tree_from(scan, bright, aorta, roots, settings, part(progress, 0.45, 0.7))
    elif not len(seeds):
        raise _no_vessel(bright, settings.tree)
    # A seed anywhere in the usual tree stands for all of it, so that where the seed lies in it changes nothing.
    off = ~_lie_in(usual, seeds, scan, bright.threshold_hu)
    if not off.any():
        return usual
    others = tuple(seed for seed, is_off in zip(seeds_mm, off, strict=True) if is_off)
    own = _tree_of_seeds(scan, body, others, settings, part(progress, 0.7, 1.0))
    return own if off.all() else usual | own


def _tree_of_seeds(
    scan: Upright, body: Body, seeds_mm: tuple[Point, ...], settings: CtaSettings, progress: Progress
) -> Mask:
    """The tree of seeds that lie off the usual one; its threshold is lowered to what they read."""
    progress(0.0, "following the seeds")
    seeds = checked_seeds(scan, seeds_mm, WHERE)
    most_hu = brightness_at(scan, seeds, seeds_mm, settings.contrast.least_hu, WHERE)
    bright = bright_parts(scan, body, settings.contrast, most_hu)
    aorta = aorta_of(bright, settings.aorta)
    seeded = _blobs_at(bright, scan, seeds)
    first = _cut_free(bright, seeded, aorta, settings)
    # Grown again from its largest blob, so that every seed in a tree gives the same tree.
    volume_ml = np.where(first & bright.is_contrast, bright.blobs.volume_ml, 0.0)
    root: Chosen = (volume_ml == volume_ml.max()) & (volume_ml > 0.0)
    roots = root if root.any() and (_cut_free(bright, root, aorta, settings) >= seeded).all() else seeded
    return _tree_from(scan, bright, aorta, roots, settings, part(progress, 0.5, 1.0))


def _tree_from(
    scan: Upright, bright: Bright, aorta: Aorta, roots: Chosen, settings: CtaSettings, progress: Progress
) -> Mask:
    """The tree of these roots on the voxels of the scan."""
    progress(0.0, "cutting the tree free")
    tree = _cut_free(bright, roots, aorta, settings)
    if (tree & aorta.found & ~roots).any():
        # One part of the aorta stands for all of it, also where a dissection narrows the way to the rest.
        roots = roots | aorta.found
        tree = _cut_free(bright, roots, aorta, settings)
    progress(0.4, "growing to the vessel wall")
    return _grown(scan, bright, tree, tree & roots, settings.tree)


def _largest(bright: Bright, settings: TreeSettings) -> Chosen:
    """The largest blob of contrast, where there is enough contrast for a tree."""
    contrast_ml = np.where(bright.is_contrast, bright.blobs.volume_ml, 0.0)
    largest: Chosen = (contrast_ml == contrast_ml.max()) & (contrast_ml.sum() >= settings.least_ml)
    return largest


def _no_vessel(bright: Bright, settings: TreeSettings) -> SegmentationError:
    contrast_ml = float(bright.blobs.volume_ml[bright.is_contrast].sum())
    return SegmentationError(
        f"no contrast-filled vessel: {contrast_ml:.1f} ml of even brightness above"
        f" {bright.threshold_hu:.0f} HU, wanted {settings.least_ml:.0f} ml",
        where=WHERE,
        hint="is this an angiogram in the arterial phase? Seeds in a vessel help where contrast is weak",
    )


def _lie_in(tree: Mask, seeds: Floats, scan: Upright, threshold_hu: float) -> Chosen:
    """Which seeds lie in a tree or in its half-filled rim of one voxel, or near it in what is no vessel."""
    near = np.ceil(_NEAR_MM / np.array(scan.spacing_mm)).astype(int)
    inside = np.zeros(len(seeds), np.bool_)
    for number, middle in enumerate(np.round(seeds).astype(int)):
        reach = near if scan.voxels[tuple(middle)] < threshold_hu else np.ones(3, np.int64)
        window = tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach, strict=True))
        inside[number] = tree[window].any()
    return inside


def _blobs_at(bright: Bright, scan: Upright, seeds: Floats) -> Chosen:
    """The blob under each seed, or the nearest one within 5 mm that is not bone."""
    numbers, spacing = bright.blobs.numbers, np.array(bright.low.spacing_mm)
    roots = np.zeros(len(bright.blobs) + 1, np.bool_)
    reach = np.ceil(_BESIDE_MM / spacing).astype(int)
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
                f"no vessel above {bright.threshold_hu:.0f} HU within {_BESIDE_MM:.0f} mm of the seed",
                where=WHERE,
                hint="move the seed",
            )
        distance = np.linalg.norm((places + start - block) * spacing, axis=1)
        roots[near[tuple(places[distance.argmin()])]] = True
    return roots


def _cut_free(bright: Bright, roots: Chosen, aorta: Aorta, settings: CtaSettings) -> Chosen:
    """The blobs of the tree: on the root's side of the cheapest cut, and joined to it by open doors."""
    blobs, contacts = bright.blobs, bright.blobs.contacts
    doors = 0.3 * door_mm2(blobs, settings.contrast) * contacts.neck_mm * _tube_likeness(bright, roots) ** 4
    strangers = _strangers(bright, roots, aorta, settings.tree)
    bone_mm2 = np.where(bright.is_bone & ~roots, 6.0 * (1000.0 * blobs.volume_ml) ** (2 / 3), 0.0)
    cut = cheapest_cut(contacts, doors, np.where(roots, FIRM, 0.0), np.where(strangers, FIRM, bone_mm2))
    tree = ~cut.sink
    tree &= ~_vestibules(bright, tree, strangers | cut.sink, doors) | roots
    open_doors = tree[contacts.first] & tree[contacts.second] & (contacts.brightness > settings.tree.open_door)
    return tree & joined(contacts, open_doors, roots)


def _strangers(bright: Bright, roots: Chosen, aorta: Aorta, settings: TreeSettings) -> Chosen:
    """Heart chambers, organs and veins of undiluted contrast; not an aneurysm of the abdominal aorta."""
    blobs = bright.blobs
    fat = blobs.radius_mm > max(settings.chamber_mm, settings.chamber_ratio * float(blobs.radius_mm[roots].max()))
    fat &= ~aorta.is_beside | aorta.is_in_chest
    dim = ~roots & (blobs.peak < _organ_hu(bright, roots, settings))
    organ = dim & (_group_ml(bright, dim) > settings.organ_ml) & ~aorta.is_beside  # unmixed blood is dim too
    undiluted = blobs.median > settings.undiluted_ratio * _level_hu(bright, roots)
    undiluted &= blobs.radius_mm > 3.0 * bright.low.mean_spacing_mm
    strangers: Chosen = (fat | undiluted | organ) & ~roots
    return strangers


def _level_hu(bright: Bright, chosen: Chosen) -> float:
    """Brightness of blobs, the large ones first."""
    return float(np.average(bright.blobs.median[chosen], weights=bright.blobs.volume_ml[chosen]))


def _organ_hu(bright: Bright, roots: Chosen, settings: TreeSettings) -> float:
    """Below it is the tissue of organs, above it blood."""
    return bright.soft_hu + settings.organ_share * (_level_hu(bright, roots) - bright.soft_hu)


def _group_ml(bright: Bright, chosen: Chosen) -> Floats:
    """Per blob, the volume of all chosen blobs that it hangs together with."""
    contacts = bright.blobs.contacts
    group = groups(contacts, chosen[contacts.first] & chosen[contacts.second], len(chosen))
    volume = np.bincount(group, weights=np.where(chosen, bright.blobs.volume_ml, 0.0)).astype(np.float64)
    return volume[group]


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
    core = _with_arteries_of_organs(bright, tree, lumens, settings)
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


def _with_arteries_of_organs(bright: Bright, tree: Chosen, roots: Chosen, settings: TreeSettings) -> Mask:
    """The blobs of the tree, and blood that it shares a blob with an organ with: an artery up to where it enters."""
    blobs = bright.blobs
    core = blobs.mask(tree)
    organ_hu = _organ_hu(bright, roots, settings)
    shared = (blobs.median < organ_hu) & ~tree & ~bright.is_bone
    return touching(core | (blobs.mask(shared) & (bright.values > organ_hu)), core)


def _between_lumens(bright: Bright, lumens: Mask, others: Mask, settings: TreeSettings) -> Mask:
    """Flap and unmixed blood between the lumens of a dissected root; nothing beside a single round lumen."""
    spacing = bright.low.spacing_mm
    gap = closed(lumens, spacing, settings.gap_mm) & ~lumens & ~others
    gap &= (bright.values > 0.0) & (bright.values < bright.threshold_hu)
    return opened(gap | lumens, spacing, 2.0) & gap
