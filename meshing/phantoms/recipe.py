"""Phantom recipes: `assets/phantoms/NAME.toml` read into parts with shapes, Hounsfield units and nesting.

A part adds shapes, cuts others away, and keeps only what lies in yet others; a shape is a table with a `kind`, or the
name of a named shape (`[shapes.NAME]`) or of another part. Lengths are LPS mm.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.errors import NotFoundError
from meshing.library import asset
from meshing.phantoms import anatomy
from meshing.phantoms.compose import Carved, Grown, Tubes, Union, grown, path
from meshing.phantoms.shapes import Ball, Bounds, Capsule, Column, Ellipsoid, HalfSpace, Shape
from meshing.phantoms.tree import Growth, Tree, even_points, grow
from meshing.terminology import Structure, structures

NAMES = ("abdomen", "head", "spheres", "tubes")

Hounsfield = Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """One painted part of a phantom; `structure` is None for tissue that gets no label.

    Parameters
    ----------
    hu
        Hounsfield units by contrast phase.
    core_hu, core_depth_mm
        Another value for what lies deeper than that (marrow, renal medulla, bowel contents); 0 mm for none.
    inside
        Key of the part that contains it.
    tree
        Its centrelines, where it is a grown vessel tree.
    """

    key: str
    structure: Structure | None
    shape: Shape
    hu: Hounsfield
    core_hu: Hounsfield
    core_depth_mm: float = 0.0
    inside: str | None = None
    tree: Tree | None = None


@dataclass(frozen=True)
class Recipe:
    """A phantom to be: what it holds, where the scan looks, and how the scanner blurs it."""

    name: str
    parts: tuple[Part, ...]
    phases: tuple[str, ...]
    phase: str
    field_mm: Bounds
    spacing_mm: tuple[float, float, float]
    fit: bool
    background_hu: float
    psf_mm: float
    noise_hu: float
    needle: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None


@cache
def read_recipe(name: str) -> Recipe:
    """The recipe of that name; its vessel trees are grown when it is first read.

    Raises
    ------
    NotFoundError
        With the names that there are, or with the shape that the recipe names and does not hold.
    """
    if name not in NAMES:
        raise NotFoundError(f"no phantom is called {name!r}", hint="one of: " + ", ".join(NAMES))
    table = tomllib.loads(asset(f"phantoms/{name}.toml").read_text(encoding="utf-8"))
    table["parts"] = [*table["parts"], *anatomy.rib_rows(table.get("ribs", []))]
    workshop = _Workshop(table)
    scan, view = table["scan"], table["field"]
    needle = table.get("needle")
    return Recipe(
        name=name,
        parts=tuple(workshop.part(row) for row in _in_paint_order(table["parts"])),
        phases=tuple(table["phases"]),
        phase=table["phase"],
        field_mm=(tuple(view["low_mm"]), tuple(view["high_mm"])),
        spacing_mm=tuple(view["spacing_mm"]),
        fit=view.get("fit", False),
        background_hu=scan["background_hu"],
        psf_mm=scan["psf_mm"],
        noise_hu=scan["noise_hu"],
        needle=(tuple(needle["entry_mm"]), tuple(needle["target_mm"])) if needle else None,
    )


def _in_paint_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as they stand; generated ones (`after`) follow the row that they name."""
    ordered = [row for row in rows if "after" not in row]
    for row in reversed([row for row in rows if "after" in row]):
        at = next(n for n, other in enumerate(ordered) if other.get("key") == row["after"])
        ordered.insert(at + 1, row)
    return ordered


class _Workshop:
    """Makes shapes of recipe tables, each named one once."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.phases: list[str] = table["phases"]
        self.rows = {row["key"]: row for row in table["parts"] if "key" in row}
        self.made: dict[str, Shape] = {}
        self.trees: dict[str, Tree] = {}

    def part(self, row: dict[str, Any]) -> Part:
        key = row.get("key", row.get("tissue", ""))
        core = row.get("core", {"depth_mm": 0.0, "hu": 0.0})
        grown = next((spec["of"] for spec in row["add"] if isinstance(spec, dict) and spec["kind"] == "tree"), None)
        return Part(
            key=key,
            structure=self._structure(row) if "key" in row else None,
            shape=self.named(key) if "key" in row else self.assembled(row),
            hu=self._by_phase(row["hu"]),
            core_hu=self._by_phase(core["hu"]),
            core_depth_mm=core["depth_mm"],
            inside=row.get("inside"),
            tree=self.tree(grown) if grown else None,
        )

    def named(self, name: str) -> Shape:
        """The named shape or part of that name."""
        if name not in self.made:
            row = self.table.get("shapes", {}).get(name) or self.rows.get(name)
            if row is None:
                raise NotFoundError(f"no shape is called {name!r}", where=f"phantom {self.table['name']}")
            self.made[name] = self.assembled(row)
        return self.made[name]

    def assembled(self, row: dict[str, Any]) -> Shape:
        """The shape of one table with `add`, and perhaps `cut`, `keep` and `blend_mm`."""
        blend = row.get("blend_mm", 0.0)
        added = [self.shape(spec) for spec in row["add"]]
        if len(added) > 1 and not blend and all(isinstance(shape, Tubes) for shape in added):
            added = [Tubes(tuple(capsule for shape in added for capsule in shape.capsules))]  # type: ignore[attr-defined]
        solid = added[0] if len(added) == 1 else Union(tuple(added), blend)
        cuts = tuple(self.shape(spec) for spec in row.get("cut", ()))
        keeps = tuple(self.shape(spec) for spec in row.get("keep", ()))
        return Carved(solid, cuts, keeps, blend) if cuts or keeps else solid

    def shape(self, spec: str | dict[str, Any]) -> Shape:
        """The shape that a table or a name stands for."""
        if isinstance(spec, str):
            return self.named(spec)
        row: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in spec.items()}
        kind = row.pop("kind")
        if kind == "grown":
            return grown(self.named(row["of"]), row["by_mm"])
        if kind == "tree":
            return self.tree(row["of"]).tubes()
        if kind in ("rib", "cartilage"):
            bone: Shape = anatomy.KINDS[kind](**row, cage=self.table["cage"], ribs=self.table["ribs"])
            return bone
        if kind not in _KINDS:
            raise NotFoundError(f"shape kind {kind!r} is unknown", where=f"phantom {self.table['name']}")
        made: Shape = _KINDS[kind](**row)
        return made

    def tree(self, name: str) -> Tree:
        """The vessel tree of that name, grown when it is first asked for."""
        if name not in self.trees:
            self.trees[name] = self._grown_tree(name)
        return self.trees[name]

    def _trunks(self, name: str) -> list[npt.NDArray[np.float64]]:
        return [np.array(trunk, dtype=np.float64) for trunk in self.table["trees"][name]["trunks"]]

    def _grown_tree(self, name: str) -> Tree:
        row = self.table["trees"][name]
        organ = self.named(row["organ"])
        avoided = [self.named(key) for key in row["avoid"]]
        obstacles = [c for key in row.get("clear_of", ()) for c in self.tree(key).tubes().capsules]
        for key in row.get("leave_room_for", ()):  # a tree that is grown later: its trunks are known already
            for trunk in self._trunks(key):
                obstacles += path(trunk[:, :3], trunk[:, 3]).capsules

        def depth_mm(points: Any) -> Any:
            x, y, z = points.T
            depth = -organ.field(x, y, z)
            for shape in avoided:
                depth = np.minimum(depth, shape.field(x, y, z))
            return depth

        candidates = even_points(20 * row["points"], *organ.bounds())
        targets = candidates[depth_mm(candidates) > 3.0][: row["points"]]
        if "feeds" in row:
            fed = self.named(row["feeds"])
            near = even_points(60, *Grown(fed, 2.0).bounds())
            targets = np.vstack([targets, near[np.abs(fed.field(*near.T)) < 3.0]])
        growth = Growth(row["tip_radius_mm"], row["clearance_mm"])
        return grow(self._trunks(name), targets, depth_mm=depth_mm, obstacles=obstacles, growth=growth)

    def _structure(self, row: dict[str, Any]) -> Structure:
        known = structures()[row.get("structure", row["key"])]
        if "name" not in row:
            return known
        red, green, blue = (int(row["colour"][at : at + 2], 16) / 255 for at in (1, 3, 5))
        return replace(known, name=row["name"], name_zh=row["name_zh"], colour=(red, green, blue))

    def _by_phase(self, hu: float | dict[str, float]) -> Hounsfield:
        return hu if isinstance(hu, dict) else dict.fromkeys(self.phases, float(hu))


def _capsule(start: Any, end: Any, radius: float) -> Capsule:
    return Capsule(start, end, radius, radius)


def _path(points: Any, radii: Any, step_mm: float | None = None) -> Tubes:
    return path(points, radii, step_mm)


_KINDS: dict[str, Any] = {
    "ball": Ball,
    "ellipsoid": Ellipsoid,
    "capsule": _capsule,
    "half_space": HalfSpace,
    "column": Column,
    "path": _path,
    "vertebra": anatomy.vertebra,
    "disc": anatomy.disc,
}
