"""The scan about a click, on cubes and denoised, and the way back to the scan's voxels.

In: a scan in patient order and a continuous index. Out: a `Ground`, whose cubes have the same size for every scan, so
that thick slices, fine pixels and turned storage give nearly the same growth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.frames import FloatArray
from meshing.organs.priors import Prior
from meshing.voxels.morphology import from_image, to_image
from meshing.voxels.upright import Box, Float32Array, Spacing, Upright, coarse

_CLIP_HU = (-200.0, 500.0)
"""Air and cortex would bleed over the edges of soft tissue when they are blurred."""
_VARIATION = 1.5  # weight of the total variation, in deviations of the noise
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ground:
    """Where an organ is grown.

    Parameters
    ----------
    values
        float32, shape (X, Y, Z): HU on cubes, median of each with its 26 neighbours.
    spacing_mm
        Edge of a cube.
    box
        The voxels of the scan that are covered.
    origin_mm
        Centre of the first cube from the centre of the first voxel of `box`, along x, y, z.
    scan_spacing_mm
        Of the scan's voxels.
    noise_hu
        Deviation of neighbouring cubes in soft tissue.
    """

    values: Float32Array
    spacing_mm: float
    box: Box
    origin_mm: Spacing
    scan_spacing_mm: Spacing
    noise_hu: float

    @property
    def spacings(self) -> Spacing:
        """The edge of a cube, along x, y, z."""
        return self.spacing_mm, self.spacing_mm, self.spacing_mm

    @property
    def cube_ml(self) -> float:
        """Volume of a cube."""
        return self.spacing_mm**3 / 1000.0

    def cube_of(self, index: FloatArray) -> Index:
        """The cube (3,) that a continuous voxel index of the scan lies in; the nearest one from outside."""
        corner = np.array([part.start for part in self.box])
        place = ((index - corner) * self.scan_spacing_mm - self.origin_mm) / self.spacing_mm
        cube: Index = np.clip(np.rint(place).astype(np.int64), 0, np.array(self.values.shape) - 1)
        return cube


def ground_about(scan: Upright, index: FloatArray, prior: Prior) -> Ground:
    """The scan within the reach of an organ from a voxel, along each axis."""
    reach = np.ceil(prior.reach_mm / np.array(scan.spacing_mm)).astype(int)
    middle = np.rint(index).astype(int)
    spans = zip(middle, reach, scan.voxels.shape, strict=True)
    first, second, third = (slice(int(max(0, m - r)), int(min(n, m + r + 1))) for m, r, n in spans)
    return ground_of(scan, (first, second, third), prior)


def ground_of(scan: Upright, box: Box, prior: Prior) -> Ground:
    """A box of the scan on cubes, denoised; at most about 4 million cubes."""
    sizes = [(part.stop - part.start) * own for part, own in zip(box, scan.spacing_mm, strict=True)]
    spacing = max(prior.spacing_mm, float(np.cbrt(np.prod(sizes) / 4e6)))
    blocks = coarse(scan, 0.75 * spacing, most_voxels=np.inf, box=box)
    values, origin = _on_cubes(np.clip(blocks.values, *_CLIP_HU), blocks.spacing_mm, scan.spacing_mm, sizes, spacing)
    smooth = _median(values) if prior.denoising == "median" else _least_variation(values)
    return Ground(
        values=smooth,
        spacing_mm=spacing,
        box=box,
        origin_mm=origin,
        scan_spacing_mm=scan.spacing_mm,
        noise_hu=_noise(smooth),
    )


def on_scan(share: Float32Array, ground: Ground) -> Float32Array:
    """Values on cubes, interpolated to the voxels of `ground.box`."""
    import SimpleITK

    image = to_image(np.asfortranarray(share, dtype=np.float32), ground.spacings)
    image.SetOrigin(ground.origin_mm)
    size = [int(part.stop - part.start) for part in ground.box]
    stretched = SimpleITK.Resample(
        image,
        size,
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        [0.0, 0.0, 0.0],
        [float(own) for own in ground.scan_spacing_mm],
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        0.0,
        SimpleITK.sitkFloat32,
        True,
    )
    found: Float32Array = from_image(stretched)
    return found


def _on_cubes(
    values: Float32Array, own: Spacing, voxel: Spacing, sizes: list[float], spacing: float
) -> tuple[Float32Array, Spacing]:
    """The blocks on cubes that lie evenly in the box, and where the first one's centre is."""
    import SimpleITK

    counts = [max(1, round(size / spacing)) for size in sizes]
    lead = [(size - count * spacing) / 2 + spacing / 2 for size, count in zip(sizes, counts, strict=True)]
    origin = tuple(float(start - half / 2) for start, half in zip(lead, voxel, strict=True))
    first = [(block - one) / 2 for block, one in zip(own, voxel, strict=True)]
    image = to_image(np.asfortranarray(values, dtype=np.float32), own)
    image.SetOrigin(first)
    made = SimpleITK.Resample(
        image,
        counts,
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        list(origin),
        [spacing] * 3,
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        _CLIP_HU[0],
        SimpleITK.sitkFloat32,
        True,
    )
    return from_image(made), (origin[0], origin[1], origin[2])


def _median(values: Float32Array) -> Float32Array:
    import SimpleITK

    if min(values.shape) < 3:
        return values
    smooth: Float32Array = from_image(SimpleITK.Median(to_image(values, (1.0, 1.0, 1.0)), [1, 1, 1]))
    return smooth


def _least_variation(values: Float32Array) -> Float32Array:
    """Piecewise even values near the measured ones, as strongly as the noise asks for.

    References
    ----------
    Rudin, Osher, Fatemi, Physica D 60, 1992; Chambolle, J Math Imaging Vis 20, 2004.
    """
    from skimage.restoration import denoise_tv_chambolle

    noise = _noise(values)
    if noise < 0.5:
        return values
    smooth = denoise_tv_chambolle(values, weight=_VARIATION * noise, max_num_iter=40)
    return np.asfortranarray(smooth, dtype=np.float32)


def _noise(values: Float32Array) -> float:
    """From differences of cubes two apart in soft tissue; robust against edges."""
    if values.shape[0] < 3:
        return 0.0
    left, right = values[:-2], values[2:]
    soft = (left > -20.0) & (left < 120.0) & (right > -20.0) & (right < 120.0)
    if soft.sum() < 10:
        return 0.0
    return float(1.4826 * np.median(np.abs(left[soft] - right[soft])) / np.sqrt(2.0))
