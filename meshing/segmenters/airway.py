"""The airway in a CT of the chest: trachea and bronchi as far as they can be followed without leaking into lung.

In: a scan in patient order, its body and the airy parts of it. Out: a mask on working blocks, or None where no trachea
is in view. The trachea is found as a chain of small round holes in axial slices; from it air is flooded at the highest
threshold at which the flood does not burst into the lung.

References
----------
Mori K et al. Automated extraction and visualization of bronchus from 3D CT images of lung. CVRMed 1995,
doi:10.1007/978-3-540-49197-2_64: the explosion-controlled region growing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshing.voxels.morphology import bounding_box, closed, from_image, to_image
from meshing.voxels.upright import Coarse, Mask


@dataclass(frozen=True)
class AirwaySettings:
    """Thresholds in HU, lengths in mm; their sources stand in `assets/presets.toml`.

    Parameters
    ----------
    lumen_hu
        A trachea is darker than this.
    area_mm2
        Least and largest section of a trachea.
    roundness
        Least share of its circumscribed circle that a section fills.
    drift_mm
        Most that its middle moves per mm of height, and a bit for noise.
    least_length_mm
        A shorter chain is no trachea.
    flood_hu
        Lowest and highest threshold tried, and the step.
    burst, burst_ml
        A step at which the flood, having filled the trachea, grows by that factor and that much has leaked.
    most_ml
        An airway is never larger.
    """

    lumen_hu: float
    area_mm2: tuple[float, float]
    roundness: float
    drift_mm: float
    least_length_mm: float
    flood_hu: tuple[float, float, float]
    burst: float
    burst_ml: float
    most_ml: float


@dataclass(frozen=True, eq=False)
class Airway:
    """The airway on the blocks, and how it was kept from leaking.

    Parameters
    ----------
    threshold_hu
        Air below this was followed.
    leak_hu, leak_ml
        At that threshold the flood burst into the lung, and took in so much at once; None and 0 where it never did.
    """

    mask: Mask
    threshold_hu: float
    leak_hu: float | None
    leak_ml: float


def airway_of(low: Coarse, solid: Mask, settings: AirwaySettings) -> Airway | None:
    """The airway on the blocks, or None where no trachea is in view."""
    chain = _trachea(low, solid, settings)
    if chain is None:
        return None
    flood = _flooded(low, solid, chain, settings)
    # The half-filled blocks at the wall belong to the lumen; a closing of one block takes them and smooths.
    return replace(flood, mask=closed(flood.mask, low.spacing_mm, 1.1 * max(low.spacing_mm)) & solid)


@dataclass(frozen=True)
class _Section:
    """A round hole in one axial slice."""

    z: int
    x: float
    y: float
    area_mm2: float
    seed: tuple[int, int]


def _trachea(low: Coarse, solid: Mask, settings: AirwaySettings) -> list[_Section] | None:
    """The longest chain of round holes, slice after slice."""
    step_mm = low.spacing_mm[2]
    chains: list[list[_Section]] = []
    best: list[_Section] = []
    for z in range(solid.shape[2] - 1, -1, -1):
        grown: list[list[_Section]] = []
        for section in _sections(low, solid, z, settings):
            before = [c for c in chains if _follows(c[-1], section, low, settings.drift_mm * step_mm + 3.0)]
            longest = max(before, key=len, default=[])
            grown.append([*longest, section])
        chains = grown
        best = max([best, *chains], key=len)
    return best if len(best) * step_mm >= settings.least_length_mm else None


def _sections(low: Coarse, solid: Mask, z: int, settings: AirwaySettings) -> list[_Section]:
    from scipy import ndimage

    sx, sy, _ = low.spacing_mm
    air = solid[:, :, z] & (low.values[:, :, z] < settings.lumen_hu)
    numbers, _ = ndimage.label(air)
    found = []
    for number, window in enumerate(ndimage.find_objects(numbers), start=1):
        part = numbers[window] == number
        area = float(part.sum()) * sx * sy
        if not settings.area_mm2[0] <= area <= settings.area_mm2[1]:
            continue
        places = np.argwhere(part)
        middle = places.mean(axis=0)
        reach = float(np.linalg.norm((places - middle) * (sx, sy), axis=1).max()) + 0.5 * max(sx, sy)
        if area < settings.roundness * np.pi * reach**2:
            continue
        seed = places[np.linalg.norm(places - middle, axis=1).argmin()]
        x0, y0 = window[0].start, window[1].start
        found.append(_Section(z, middle[0] + x0, middle[1] + y0, area, (int(seed[0] + x0), int(seed[1] + y0))))
    return found


def _follows(one: _Section, other: _Section, low: Coarse, reach_mm: float) -> bool:
    sx, sy, _ = low.spacing_mm
    return bool(np.hypot((one.x - other.x) * sx, (one.y - other.y) * sy) <= reach_mm)


def _flooded(low: Coarse, solid: Mask, chain: list[_Section], settings: AirwaySettings) -> Airway:
    """Air joined to the trachea below the highest threshold that does not leak."""
    import SimpleITK
    from scipy import ndimage

    window = bounding_box(solid & (low.values < settings.flood_hu[1]))
    assert window is not None  # the chain itself is air
    # Noise at the level of the threshold would make the flood a sponge.
    calm = ndimage.gaussian_filter(low.values[window], [min(0.7, 0.9 / s) for s in low.spacing_mm])
    image = to_image(np.where(solid[window], calm, np.float32(3000.0)), (1.0, 1.0, 1.0))
    corner = [part.start for part in window]
    middle = chain[len(chain) // 4 : 3 * len(chain) // 4 + 1]
    seeds = [[int(s.seed[0] - corner[0]), int(s.seed[1] - corner[1]), int(s.z - corner[2])] for s in middle]
    trachea_ml = sum(s.area_mm2 for s in chain) * low.spacing_mm[2] / 1000.0
    least, most, step = settings.flood_hu
    kept, kept_ml, kept_hu = np.zeros(image.GetSize(), np.uint8), 0.0, float(least)
    leak_hu, leak_ml = None, 0.0
    for threshold in np.arange(least, most + step / 2, step):
        flood = SimpleITK.ConnectedThreshold(image, seedList=seeds, lower=-4000.0, upper=float(threshold))
        flooded = from_image(flood)
        flooded_ml = float(flooded.sum()) * low.voxel_ml
        burst = flooded_ml > settings.burst * kept_ml and flooded_ml - kept_ml > settings.burst_ml
        if flooded_ml > settings.most_ml or (burst and kept_ml > 0.5 * trachea_ml):
            leak_hu, leak_ml = float(threshold), flooded_ml - kept_ml
            break
        kept, kept_ml, kept_hu = flooded, flooded_ml, float(threshold)
    full = np.zeros(solid.shape, np.bool_, order="F")
    full[window] = kept > 0
    return Airway(full, kept_hu, leak_hu, leak_ml)
