"""What a vessel tree is: branches with centreline and radius, nodes where they meet and end, and loops that were cut.

All points are LPS mm. A centreline runs from the root outward; a radius is that of the largest sphere inside the lumen
round that point of the centreline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from meshing.errors import NotFoundError
from meshing.frames import FloatArray
from meshing.plan import Point, Route
from meshing.triangles.bins import Bins, bins_of
from meshing.volume import Fact

NodeKind = Literal["root", "bifurcation", "tip"]
Triangles = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Node:
    """Where branches begin, meet or end.

    Parameters
    ----------
    kind
        "root", "bifurcation" (two branches or more go on) or "tip".
    at_mm, radius_mm
        The place, and the largest sphere there.
    at_border
        The vessel goes on beyond the scan.
    at_cut
        The vessel goes on, into a loop that was cut here.
    """

    number: int
    kind: NodeKind
    at_mm: Point
    radius_mm: float
    at_border: bool = False
    at_cut: bool = False


@dataclass(frozen=True, eq=False)
class Branch:
    """A vessel from one node to the next.

    Parameters
    ----------
    number, parent
        Its place in the tree's list, and that of the branch it comes from; None at a root.
    generation
        1 at a root, one more after every bifurcation.
    strahler
        Order after Strahler: 1 at a tip; where two of the highest order meet, one more.
    start, end
        Numbers of its nodes.
    points_mm, radius_mm
        (N, 3) and (N,), about half a voxel apart, read-only.
    own_from
        The first point that lies outside the spheres of the branches that it leaves: before it the centreline runs
        within the other vessel, and the radius there is not this branch's.
    """

    number: int
    parent: int | None
    generation: int
    strahler: int
    start: int
    end: int
    points_mm: FloatArray
    radius_mm: FloatArray
    own_from: int

    def __post_init__(self) -> None:
        for name in ("points_mm", "radius_mm"):
            view = np.ascontiguousarray(getattr(self, name), np.float64).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @cached_property
    def arc_mm(self) -> FloatArray:
        """(N,), the way along the centreline from its start."""
        steps = np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1)
        arc: FloatArray = np.concatenate([[0.0], np.cumsum(steps)])
        return arc

    @property
    def length_mm(self) -> float:
        """From node to node."""
        return float(self.arc_mm[-1])

    @property
    def own_length_mm(self) -> float:
        """From where it leaves the other vessel."""
        return float(self.arc_mm[-1] - self.arc_mm[self.own_from])

    @property
    def mean_radius_mm(self) -> float:
        """Over its own length."""
        return float(self.radius_mm[self.own_from :].mean())

    @property
    def least_radius_mm(self) -> float:
        """Over its own length."""
        return float(self.radius_mm[self.own_from :].min())


@dataclass(frozen=True)
class Loop:
    """A way round, which a tree cannot have: it was cut.

    Parameters
    ----------
    cut_mm
        Where.
    middle_mm, length_mm
        The middle of the way round, and how long that is.
    least_radius_mm
        The thinnest place on it.
    between
        Numbers of the two branches that meet at the cut; twice the same where a branch meets itself.
    """

    cut_mm: Point
    middle_mm: Point
    length_mm: float
    least_radius_mm: float
    between: tuple[int, int]


@dataclass(frozen=True, eq=False)
class VesselTree:
    """Branches and nodes of one lumen, of one root or several.

    Parameters
    ----------
    branches, nodes
        By number; parents stand before their children.
    voxel_mm
        Edges of the voxels that the lumen was drawn on.
    radius_uncertainty_mm
        Of one radius: what the wall's place between voxels leaves open.
    wall_vertices, wall_faces
        (V, 3) LPS mm and (F, 3), the wall of the lumen that radii were measured to. Where the vessel goes on beyond
        the scan the wall does too.
    facts
        What was done to the lumen, and what was left out.
    """

    branches: tuple[Branch, ...]
    nodes: tuple[Node, ...]
    loops: tuple[Loop, ...]
    voxel_mm: tuple[float, float, float]
    radius_uncertainty_mm: float
    wall_vertices: FloatArray
    wall_faces: Triangles
    facts: tuple[Fact, ...] = ()

    @cached_property
    def wall(self) -> Bins:
        """Its triangles in bins."""
        return bins_of(self.wall_vertices, self.wall_faces)

    @property
    def roots(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "root")

    @property
    def tips(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "tip")

    @property
    def bifurcations(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "bifurcation")

    @property
    def length_mm(self) -> float:
        """Of all branches."""
        return sum(branch.length_mm for branch in self.branches)

    def branch(self, number: int) -> Branch:
        """The branch of that number.

        Raises
        ------
        NotFoundError
            With how many there are.
        """
        if not 0 <= number < len(self.branches):
            raise NotFoundError(
                f"no branch {number}: the tree has {len(self.branches)}", hint=f"0 to {len(self.branches) - 1}"
            )
        return self.branches[number]

    def children(self, number: int) -> tuple[Branch, ...]:
        """The branches that come from a branch."""
        return tuple(branch for branch in self.branches if branch.parent == number)

    def way_to(self, number: int) -> tuple[Branch, ...]:
        """The branches from the root to a branch, that one last."""
        way = [self.branch(number)]
        while way[0].parent is not None:
            way.insert(0, self.branches[way[0].parent])
        return tuple(way)


def joined(branches: tuple[Branch, ...]) -> tuple[FloatArray, FloatArray]:
    """Points (N, 3) and radii (N,) of branches that follow each other, as one line."""
    points = [branches[0].points_mm, *(branch.points_mm[1:] for branch in branches[1:])]
    radii = [branches[0].radius_mm, *(branch.radius_mm[1:] for branch in branches[1:])]
    return np.concatenate(points), np.concatenate(radii)


def routes(tree: VesselTree, name: str = "vessel") -> tuple[Route, ...]:
    """Every way from a root to a tip as a route of the plan, named by the branch that ends it."""
    found = []
    for branch in tree.branches:
        if tree.nodes[branch.end].kind == "tip":
            points, _ = joined(tree.way_to(branch.number))
            corners = tuple((float(x), float(y), float(z)) for x, y, z in points)
            found.append(Route(f"{name} {branch.number}", corners))
    return tuple(found)
