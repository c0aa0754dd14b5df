"""Vessel trees beside VMTK's centrelines, beside phantoms whose centrelines are known, and their time.

`python -m benchmarks.vessels [--data FOLDER]` prints the tables of docs/segmentation.md. Without the folder of real
scans only phantoms are run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.vesseltrees import apart, drawn, grid_round, grown_tree, imaged
from benchmarks.vmtk import SMALLEST_EDGE_MM, beside, read_pieces, read_surface
from meshing.importing.scan import import_scan
from meshing.phantoms.recipe import read_recipe
from meshing.segmenters.presets import segment
from meshing.vessels import VesselTree, lumen_of_surface, tree_of_lumen, vessel_tree
from meshing.volume import Grid
from meshing.voxels.morphology import largest

_PHANTOMS = (
    ((0.6, 0.6, 0.6), None, 0.0),
    ((0.7, 0.7, 1.0), 1, 0.0),
    ((0.7, 0.6, 0.5), None, 0.0),
    ((0.6, 0.6, 0.6), None, 15.0),
)
_SEEDS = 6


def main(arguments: list[str]) -> int:
    """0 when every branch of VMTK's was found near enough and no phantom lost a tip."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("ANATOMYXR_TEST_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default)
    folder = parser.parse_args(arguments).data / "mra_aorta_vmtk"
    good = _print_phantoms()
    if folder.is_dir():
        good &= _print_vmtk(folder)
    else:
        print(f"no real data in {folder}")
    _print_times()
    return 0 if good else 1


def _print_phantoms() -> bool:
    print(
        f"## Phantom trees of 16 tips and 31 branches, {_SEEDS} seeds each; errors in voxels, mean over seeds (worst)\n"
    )
    print("| voxel mm | turned | noise, % of the step | wall | tips missed | false | radius | bias | worst | centre |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    good = True
    for spacing, turn, noise in _PHANTOMS:
        for by_image in (False, True):
            found = []
            for seed in range(_SEEDS):
                true = grown_tree(seed)
                solid = true.tubes()
                grid = grid_round(solid, spacing, turn=turn)
                mask, image = drawn(solid, grid), None
                if by_image or noise:
                    image = imaged(solid, grid, noise=noise, seed=seed)
                    mask = largest(np.asfortranarray(image.voxels > 50.0))
                found.append(apart(vessel_tree(mask, grid, image=image if by_image else None), true))
            missed, false = sum(one.missed for one in found), sum(one.false for one in found)
            good &= missed == 0 and false == 0
            radius, bias = (float(np.mean([getattr(one, name) for one in found])) for name in ("radius", "radius_bias"))
            centre, worst = float(np.mean([one.centre for one in found])), max(one.radius_worst for one in found)
            print(
                f"| {' × '.join(f'{s:g}' for s in spacing)} | {'yes' if turn else 'no'} | {noise:g} |"
                f" {'image' if by_image else 'mask'} | {missed} | {false} | {radius:.3f} | {bias:+.3f} |"
                f" {worst:.2f} | {centre:.3f} |",
                flush=True,
            )
    return good


def _print_vmtk(folder: Path) -> bool:
    pieces = read_pieces(folder)
    vertices, faces = read_surface(folder)
    volume = import_scan(folder / "aorta.mha").volume
    levels = import_scan(folder / "aorta-final-levelset.mha").volume
    inside = np.asfortranarray(levels.voxels < 0)
    preset = segment(volume, "mr-vessels")
    mask = preset.mask(preset.segments[0].key)
    ways: dict[str, Callable[[], VesselTree]] = {
        "VMTK's surface": lambda: tree_of_lumen(lumen_of_surface(vertices, faces, 0.8)),
        "VMTK's level set as a mask": lambda: vessel_tree(inside, levels.grid),
        "the image, by preset mr-vessels": lambda: vessel_tree(mask, volume.grid, image=volume),
    }
    print(f"\n## mra_aorta_vmtk beside VMTK, mm; the smallest voxel edge is {SMALLEST_EDGE_MM} mm, half of it 0.44\n")
    print("| lumen | VMTK's line | length | to ours: mean | most | back: mean | most | radius bias | branches, CPU s |")
    print("|---|---|---|---|---|---|---|---|---|")
    good = True
    for name, make in ways.items():
        start = time.process_time()
        tree = make()
        took = time.process_time() - start
        for piece in pieces:
            found = beside(piece, tree)
            kind = "in the fork" if piece.is_blanked else f"group {piece.group}"
            length = float(np.linalg.norm(np.diff(piece.points, axis=0), axis=1).sum())
            good &= piece.is_blanked or (found.mean_mm <= 0.5 * SMALLEST_EDGE_MM and abs(found.radius_bias) <= 0.05)
            print(
                f"| {name} | {kind} | {length:.1f} | {found.mean_mm:.2f} | {found.most_mm:.2f} |"
                f" {found.back_mean_mm:.2f} | {found.back_most_mm:.2f} | {100 * found.radius_bias:+.1f} % |"
                f" {len(tree.branches)}, {took:.2f} |"
            )
    return good


def _print_times() -> None:
    """The portal tree of the abdomen phantom on 512 × 512 × 400 voxels."""
    true = next(part.tree for part in read_recipe("abdomen").parts if part.key == "portal_vein")
    assert true is not None
    solid = true.tubes()
    matrix = np.diag([0.45, 0.45, 0.45, 1.0])
    matrix[:3, 3] = np.mean(solid.bounds(), axis=0) - 0.45 * np.array([255.5, 255.5, 199.5])
    grid = Grid((512, 512, 400), matrix)
    mask = drawn(solid, grid)
    times = []
    for _ in range(3):
        start = time.perf_counter(), time.process_time()
        tree = vessel_tree(mask, grid)
        times.append((time.process_time() - start[1], time.perf_counter() - start[0]))
    cpu, wall = np.median(times, axis=0)
    print(
        f"\n512 × 512 × 400 voxels, {int(mask.sum()):,} of lumen, {len(tree.tips)} tips, {tree.length_mm:.0f} mm:"
        f" median {cpu:.1f} CPU s of {', '.join(f'{one:.1f}' for one, _ in times)}; {wall:.1f} s on the clock"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
