"""Scans of simple bodies with known truth, in any storage order; for tests of segmenters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from meshing.phantoms import Phantom, phantom
from meshing.segmentation import Segmentation
from meshing.volume import Grid, Volume
from tests.shapes import storage_orders, upright_grid

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Known:
    """A scan and what is truly in it, by key."""

    volume: Volume
    truth: dict[str, Mask]


class Canvas:
    """Shapes in mm from the middle of a grid along L, P, S, painted over each other."""

    def __init__(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], background: float) -> None:
        self.grid = upright_grid(shape, spacing_mm)
        axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
        self.x, self.y, self.z = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.values = np.full(shape, background, np.float32, order="F")
        self.truth: dict[str, Mask] = {}

    def ellipsoid(self, middle: tuple[float, float, float], radii: tuple[float, float, float]) -> Mask:
        offsets = zip((self.x, self.y, self.z), middle, radii, strict=True)
        inside: Mask = sum(((axis - at) / radius) ** 2 for axis, at, radius in offsets) <= 1
        return inside

    def rod(self, x: float, y: float, radius: float, z: tuple[float, float] = (-1e9, 1e9)) -> Mask:
        inside: Mask = ((self.x - x) ** 2 + (self.y - y) ** 2 <= radius**2) & (self.z >= z[0]) & (self.z <= z[1])
        return inside

    def box(self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float] = (-1e9, 1e9)) -> Mask:
        spans = zip((self.x, self.y, self.z), (x, y, z), strict=True)
        inside = np.ones(self.values.shape, np.bool_)
        for axis, (low, high) in spans:
            inside = inside & (axis >= low) & (axis <= high)
        return inside

    def paint(self, where: Mask, value: float, key: str = "") -> None:
        self.values[where] = value
        for other in self.truth.values():
            other &= ~where
        if key:
            self.truth[key] = self.truth.get(key, np.zeros_like(where)) | where

    def scanned(self, modality: str, noise: float, *, kind: type[np.generic] = np.int16, seed: int = 7) -> Known:
        from scipy import ndimage

        blurred = ndimage.gaussian_filter(self.values, 0.5)
        noisy = blurred + np.random.default_rng(seed).normal(0, noise, blurred.shape)
        if np.issubdtype(kind, np.integer):
            noisy = np.rint(noisy)
        voxels = np.asfortranarray(noisy.astype(kind))
        return Known(Volume(voxels, self.grid, modality, "HU" if modality == "CT" else ""), self.truth)


def chest(
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0), *, touching: bool = False, **scanned: object
) -> Known:
    """A chest on a table under a blanket: a large right and a small left lung, heart, airway, spine, arm, bowel gas.

    The left lung begins higher up; with `touching` both meet before the heart.
    """
    extent = (360.0, 280.0, 260.0)
    canvas = Canvas(tuple(round(e / s) for e, s in zip(extent, spacing_mm, strict=True)), spacing_mm, -1000.0)
    trunk = canvas.ellipsoid((0, 0, 0), (140, 95, 1e6))
    canvas.paint(canvas.box((-170, 170), (101, 108)), 60.0)  # table top, hollow
    canvas.paint(canvas.box((-170, 170), (108, 122)), -880.0)
    canvas.paint(canvas.box((-165, 165), (-112, -108)), -500.0)  # blanket
    canvas.paint(trunk, -90.0, "skin")
    arm = canvas.rod(158, 20, 18)
    canvas.paint(arm, 40.0)
    canvas.truth["skin"] |= arm
    canvas.paint(canvas.ellipsoid((0, 0, 0), (128, 83, 1e6)), 50.0)
    inner = {"skin": trunk | arm}
    reach = 14.0 if touching else 0.0
    canvas.paint(canvas.ellipsoid((-66 + reach, 0, 30), (54, 66, 120)), -850.0, "lung_right")
    canvas.paint(canvas.ellipsoid((64 - reach, 4, 45), (46, 60, 96)) & ~canvas.truth["lung_right"], -850.0, "lung_left")
    canvas.paint(canvas.ellipsoid((12, -22, -10), (40, 36, 45)), 45.0)
    canvas.paint(canvas.rod(0, 58, 18), 700.0, "bone")
    canvas.paint(canvas.rod(0, 58, 14), 150.0, "bone")
    canvas.paint(canvas.rod(0, 22, 13, (40, 1e9)), 50.0)
    canvas.paint(canvas.rod(0, 22, 10, (44, 1e9)), -995.0, "airway")
    canvas.paint(canvas.ellipsoid((40, -30, -100), (40, 25, 20)), -990.0)  # gas in the stomach
    canvas.truth |= inner
    return canvas.scanned("CT", 15.0, **scanned)  # type: ignore[arg-type]


def angiogram(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0), *, contrast_hu: float = 400.0) -> Known:
    """A trunk whose aorta, 1.5 mm before the spine, arches over to a chamber and feeds a kidney; a vein lies beside.

    Keys: bone, aorta, artery (renal), chamber, kidney, vein. Lungs lie on both sides of the chamber.
    """
    extent = (260.0, 200.0, 300.0)
    canvas = Canvas(tuple(round(e / s) for e, s in zip(extent, spacing_mm, strict=True)), spacing_mm, -1000.0)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (120, 92, 1e6)), 50.0)
    for side in (-1, 1):
        canvas.paint(canvas.ellipsoid((side * 72, 0, 90), (38, 60, 85)), -850.0)
    canvas.paint(canvas.rod(0, 58, 18), 500.0, "bone")
    canvas.paint(canvas.rod(0, 58, 15), 170.0, "bone")
    canvas.paint(canvas.ellipsoid((62, 35, -60), (24, 20, 50)), 50.0 + 0.4 * (contrast_hu - 50.0), "kidney")
    canvas.paint(canvas.ellipsoid((12, -40, 40), (32, 30, 34)), contrast_hu, "chamber")
    for x in np.arange(14.0, 50.0, 1.0):
        canvas.paint(canvas.ellipsoid((x, 29, -60), (3.2, 3.2, 3.2)), contrast_hu, "artery")
    canvas.paint(canvas.rod(-22, 24, 8, (-1e9, -20)), 0.75 * contrast_hu, "vein")
    canvas.paint(canvas.rod(12, 29, 11, (-1e9, 100)), contrast_hu, "aorta")
    for angle in np.linspace(0, np.pi, 60):
        y, z = -5.5 + 34.5 * np.cos(angle), 100 + 34.5 * np.sin(angle)
        canvas.paint(canvas.ellipsoid((12, y, z), (11, 11, 11)), contrast_hu, "aorta")
    canvas.paint(canvas.rod(12, -40, 11, (80, 100)), contrast_hu, "aorta")
    canvas.paint(canvas.rod(12, -40, 7, (70, 80)), contrast_hu)
    spongy = canvas.truth["bone"] & canvas.rod(0, 58, 15)
    canvas.values[spongy] += np.random.default_rng(3).normal(0, 150, int(spongy.sum()))  # trabeculae
    return canvas.scanned("CT", 20.0)


@cache
def arterial_abdomen() -> Phantom:
    """The phantom abdomen in the arterial phase, made once."""
    return phantom("abdomen", phase="arterial")


def reordered(known: Known, grid: Grid) -> Known:
    """The same scan and truth stored on one of the 48 orders of its grid."""

    def stored(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return _in_order(array, known.volume.grid, grid)

    volume = Volume(stored(known.volume.voxels), grid, known.volume.modality, known.volume.unit)
    return Known(volume, {key: stored(mask).astype(np.bool_) for key, mask in known.truth.items()})


def _in_order(array: npt.NDArray[np.generic], own: Grid, other: Grid) -> npt.NDArray[np.generic]:
    """Found by asking the grids where the other's corner voxels lie in the own one, so independent of `upright`."""
    corner = np.rint(own.to_voxel(other.to_patient((0, 0, 0)))).astype(int)
    steps = [np.rint(own.to_voxel(other.to_patient(np.eye(3)[axis]))).astype(int) - corner for axis in range(3)]
    axes = [int(np.abs(step).argmax()) for step in steps]
    turned = np.transpose(array, axes)
    flips = tuple(slice(None, None, int(step[axis])) for step, axis in zip(steps, axes, strict=True))
    return np.asfortranarray(turned[flips])


def orders(known: Known) -> list[Grid]:
    """The 48 storage orders of a scan."""
    return storage_orders(known.volume.grid)


def dice(one: Mask, other: Mask) -> float:
    """2·|A∩B| / (|A|+|B|)."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def volume_ml(segmentation: Segmentation, key: str) -> float:
    """Voxel volume of a segment."""
    return float(segmentation.mask(key).sum()) * segmentation.grid.voxel_volume_mm3 / 1000.0
