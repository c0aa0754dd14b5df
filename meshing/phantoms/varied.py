"""The abdomen phantom as other people would have it: stretched, bent, in another contrast, with other lesions.

In: a seed. Out: a `Phantom` on LPS axes that differs from the recipe's own in size, in the shape and place of every
organ, in Hounsfield units, noise, blur, phase and spacing, and in how many lesions its liver holds. Made to train small
models and to test them on phantoms that they never saw; one seed gives one phantom for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from meshing.phantoms.compose import Tubes
from meshing.phantoms.make import Phantom, painted
from meshing.phantoms.recipe import Part, Recipe, read_recipe
from meshing.phantoms.shapes import Array, Ball, Bounds, Capsule, Shape, box, point
from meshing.terminology import structures

_LESIONS = ("tumour", "cyst")
_MOST_LESIONS = 4
_WAVES = 4
_STEPS = 20
"""Each brings a point at least a third nearer: no wave is steeper."""


@dataclass(frozen=True)
class Bend:
    """A smooth map of LPS points: a stretch about the origin, then sine waves.

    Parameters
    ----------
    stretch
        Factors along L, P, S.
    amplitudes_mm, waves_per_mm, turns
        Per wave and axis, shape (waves, 3); phase in radians.
    """

    stretch: tuple[float, float, float]
    amplitudes_mm: tuple[tuple[float, float, float], ...]
    waves_per_mm: tuple[tuple[float, float, float], ...]
    turns: tuple[float, ...]

    @property
    def reach_mm(self) -> float:
        """No point moves further than that, the stretch left aside."""
        return float(np.abs(np.array(self.amplitudes_mm)).max(axis=1).sum())

    def of(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Where points come from."""
        waves = [
            np.sin(x * u + y * v + z * w + turn) for (u, v, w), turn in zip(self.waves_per_mm, self.turns, strict=True)
        ]
        moved = []
        for axis, (along, factor) in enumerate(zip((x, y, z), self.stretch, strict=True)):
            shift = sum(row[axis] * wave for row, wave in zip(self.amplitudes_mm, waves, strict=True))
            moved.append(along / np.float32(factor) + shift)
        return moved[0], moved[1], moved[2]

    def to(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where points, shape (n, 3), go: those that come from there."""
        found = points * self.stretch
        for _ in range(_STEPS):
            found = found + (points - np.stack(self.of(*found.T), axis=1)) * self.stretch
        return found


@dataclass(frozen=True)
class Bent:
    """A solid seen through a bend; its values are distances times about the stretch."""

    solid: Shape
    bend: Bend

    def field(self, x: Array, y: Array, z: Array) -> Array:
        return self.solid.field(*self.bend.of(x, y, z))

    def bounds(self) -> Bounds:
        low, high = (np.array(corner) for corner in self.solid.bounds())
        factors, reach = np.array(self.bend.stretch), self.bend.reach_mm
        return box((low - reach) * factors, (high + reach) * factors)

    @property
    def volume_mm3(self) -> None:
        return None


def varied(seed: int, *, spacing_mm: float | None = None) -> Phantom:
    """The abdomen of that seed.

    Parameters
    ----------
    spacing_mm
        About, along each axis; None: between 1.5 and 5 mm, thicker along S, by chance.
    """
    rng = np.random.default_rng([2026, seed])
    own = read_recipe("abdomen")
    bend = _bend(rng)
    parts = tuple(_varied_part(part, bend, rng) for part in _with_lesions(own, rng))
    low, high = (np.array(corner) * bend.stretch for corner in own.field_mm)
    recipe = replace(
        own,
        name=f"varied {seed}",
        parts=parts,
        phase=str(rng.choice(own.phases)),
        field_mm=box(low - rng.uniform(0, 10, 3), high + rng.uniform(-25, 5, 3)),
        psf_mm=float(rng.uniform(0.5, 1.2)),
        noise_hu=float(rng.uniform(6, 25)),
    )
    plane = float(rng.uniform(1.5, 3.0))
    chosen = (plane, plane, plane * float(rng.uniform(1.0, 1.7))) if spacing_mm is None else spacing_mm
    return painted(recipe, spacing_mm=chosen, seed=seed, truth={})


def _bend(rng: np.random.Generator) -> Bend:
    """Waves of 150 mm and longer, so that organs bend but do not fold."""
    directions = rng.standard_normal((_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * (2 * np.pi / rng.uniform(150, 350, (_WAVES, 1)))
    stretch = 1.0 + rng.uniform(-0.12, 0.12, 3)
    return Bend(
        stretch=(float(stretch[0]), float(stretch[1]), float(stretch[2])),
        amplitudes_mm=tuple(map(tuple, rng.uniform(-4.0, 4.0, (_WAVES, 3)).tolist())),
        waves_per_mm=tuple(map(tuple, waves.tolist())),
        turns=tuple(rng.uniform(0, 2 * np.pi, _WAVES).tolist()),
    )


def _with_lesions(recipe: Recipe, rng: np.random.Generator) -> Iterator[Part]:
    """The parts with the recipe's own lesions left out and others put where they stood in the order of painting."""
    liver = next(part for part in recipe.parts if part.key == "liver")
    for part in recipe.parts:
        if part.key not in _LESIONS:
            yield part
        if part.key == "liver":
            yield from _lesions(liver, rng)


def _lesions(liver: Part, rng: np.random.Generator) -> Iterator[Part]:
    low, high = (np.array(corner) for corner in liver.shape.bounds())
    made: list[Ball] = []
    wanted = int(rng.integers(0, _MOST_LESIONS + 1))
    for _ in range(200):
        if len(made) == wanted:
            break
        radius, centre = float(rng.uniform(4, 18)), rng.uniform(low, high)
        depth = -float(liver.shape.field(*(np.array([along]) for along in centre))[0])
        apart = all(np.linalg.norm(np.array(ball.centre) - centre) > ball.radius + radius + 2 for ball in made)
        if depth > radius + 2 and apart:
            made.append(Ball((float(centre[0]), float(centre[1]), float(centre[2])), radius))
    for number, ball in enumerate(made, start=1):
        value = float(rng.uniform(0, 40) if rng.random() < 0.3 else rng.uniform(35, 150))
        hu = dict.fromkeys(liver.hu, value)
        yield Part(f"tumour_{number}", structures()["tumour"], ball, hu, hu, inside="liver")


def _bent(shape: Shape, bend: Bend) -> Shape:
    """The shape through the bend; of tubes the axes bend, so that each keeps its own small box."""
    if not isinstance(shape, Tubes):
        return Bent(shape, bend)
    wider = float(np.cbrt(np.prod(bend.stretch)))
    starts, ends = (bend.to(np.array([getattr(one, end) for one in shape.capsules])) for end in ("start", "end"))
    return Tubes(
        tuple(
            Capsule(point(start), point(end), one.start_radius * wider, one.end_radius * wider)
            for one, start, end in zip(shape.capsules, starts, ends, strict=True)
        )
    )


def _varied_part(part: Part, bend: Bend, rng: np.random.Generator) -> Part:
    """Another value of the tissue, by about a tenth; what is gas or fat stays so."""
    factor, shift = float(rng.uniform(0.92, 1.08)), float(rng.uniform(-8, 8))
    return replace(
        part,
        shape=_bent(part.shape, bend),
        hu={phase: value * factor + shift for phase, value in part.hu.items()},
        core_hu={phase: value * factor + shift for phase, value in part.core_hu.items()},
        tree=None,
    )
