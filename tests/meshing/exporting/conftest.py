"""Cases with analytic anatomy for the export tests, surgery on GLB files, and the Khronos validator."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshing.case import Case
from meshing.exporting.annotations import Line, Point
from meshing.exporting.gltf import export_glb
from meshing.exporting.selection import ExportSettings
from meshing.exporting.shapes import ball, tube
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Surface
from meshing.terminology import Structure
from meshing.volume import Fact, Grid, Volume

REPOSITORY = Path(__file__).resolve().parents[3]
VALIDATOR = REPOSITORY / "tests" / "gltf_validator"

Shape = tuple[np.ndarray, np.ndarray]

# Nothing here reads the terminology file: a test of the writer must not hang on what is written in there.
STRUCTURES = {
    one.key: one
    for one in (
        Structure("skin", "Skin", "皮肤", "39937001", "", "skin", (0.85, 0.68, 0.57), 0.25),
        Structure("liver", "Liver", "肝", "10200004", "", "digestive", (0.53, 0.20, 0.16), 0.6),
        Structure("tumour", "Tumour", "肿瘤", "", "", "lesion", (0.95, 0.85, 0.2), 1.0),
        Structure("kidney_left", "Left kidney", "左肾", "18639004", "left", "urinary", (0.72, 0.35, 0.25)),
        Structure("kidney_right", "Right kidney", "右肾", "9846003", "right", "urinary", (0.72, 0.35, 0.25)),
        Structure("aorta", "Aorta", "主动脉", "15825003", "", "vascular", (0.85, 0.1, 0.1)),
    )
}


def lumpy(centre: tuple[float, float, float], radii: tuple[float, float, float], refinements: int = 3) -> Shape:
    """An ellipsoid with a bump, so that no turn and no mirror maps it on itself."""
    unit, faces = ball((0, 0, 0), (1, 1, 1), refinements=refinements)
    bump = 0.25 * np.exp(-6 * ((unit - (0.6, 0.64, 0.48)) ** 2).sum(axis=1))
    dent = 0.2 * np.exp(-6 * ((unit - (-0.8, 0.36, -0.48)) ** 2).sum(axis=1))
    return unit * (1 + bump - dent)[:, None] * radii + centre, faces


def anatomy() -> dict[str, Shape]:
    """A torso in LPS mm, far from the origin: liver on the right, its tumour, two unlike kidneys, a bent aorta."""
    arch = [(8 + 2 * np.sin(t), 25 - 4 * t, -1180 + 45 * t) for t in np.linspace(0, 4, 25)]
    return {
        "skin": ball((0, 0, -1100), (170, 120, 190), refinements=3),
        "liver": lumpy((-60, -20, -1060), (75, 60, 55)),
        "tumour": ball((-80, -10, -1050), (12, 12, 14), refinements=2),
        "kidney_left": lumpy((62, 45, -1120), (26, 22, 52), 2),
        "kidney_right": lumpy((-58, 47, -1135), (25, 23, 49), 2),
        "aorta": tube(arch, 10.0),
    }


def case_of(
    shapes: Mapping[str, Shape],
    structures: Mapping[str, Structure] = STRUCTURES,
    *,
    facts: tuple[Fact, ...] = (),
    frame_of_reference: str = "",
    source: str = "test",
) -> Case:
    """A case that holds exactly these surfaces; its scan is a token."""
    middle = np.mean([vertices.mean(axis=0) for vertices, _ in shapes.values()], axis=0)
    matrix = np.eye(4)
    matrix[:3, 3] = middle - 1.5
    grid = Grid((4, 4, 4), matrix, frame_of_reference)
    known = {key: structures.get(key, Structure(key, key, key)) for key in shapes}
    segments = tuple(Segment(key, 10 + number, 0, known[key]) for number, key in enumerate(shapes))
    return Case(
        id="5f1c9a2e",
        volumes={"scan": Volume(np.zeros((4, 4, 4), np.int16), grid, "CT", "HU")},
        segmentations={"main": Segmentation((np.zeros((4, 4, 4), np.uint8),), grid, segments, source)},
        surfaces={key: Surface(vertices, faces, key) for key, (vertices, faces) in shapes.items()},
        facts=facts,
    )


@dataclass
class Opened:
    """A GLB on the operating table: change `document` and `binary`, then `close`."""

    document: dict[str, Any]
    binary: bytearray

    def node(self, name: str) -> dict[str, Any]:
        return next(node for node in self.document["nodes"] if node["name"] == name)

    def material(self, name: str) -> dict[str, Any]:
        return next(material for material in self.document["materials"] if material["name"] == name)

    def root(self) -> dict[str, Any]:
        return self.node("anatomyxr")["extras"]

    def array(self, number: int) -> np.ndarray:
        """A writable view of an accessor."""
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
        flat = np.frombuffer(self.binary, kind, accessor["count"] * width, view["byteOffset"])
        return flat if width == 1 else flat.reshape(-1, 3)

    def primitives(self, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        return [mesh["primitives"][0] for mesh in self.document["meshes"] if not names or mesh["name"] in names]

    def move(self, change: Callable[[np.ndarray], np.ndarray], *names: str) -> None:
        """Changes positions, and their declared limits so that the file stays valid."""
        for primitive in self.primitives(names):
            number = primitive["attributes"]["POSITION"]
            positions = self.array(number)
            positions[:] = change(positions.astype(np.float64))
            accessor = self.document["accessors"][number]
            accessor["min"], accessor["max"] = positions.min(axis=0).tolist(), positions.max(axis=0).tolist()

    def turn_normals(self, change: Callable[[np.ndarray], np.ndarray], *names: str) -> None:
        for primitive in self.primitives(names):
            normals = self.array(primitive["attributes"]["NORMAL"])
            normals[:] = change(normals.astype(np.float64))

    def flip(self, *names: str) -> None:
        """Turns the winding of every face round."""
        for primitive in self.primitives(names):
            faces = self.array(primitive["indices"]).reshape(-1, 3)
            faces[:] = faces[:, ::-1].copy()

    def close(self, path: Path) -> Path:
        text = json.dumps(self.document, ensure_ascii=False).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        total = 12 + 8 + len(text) + 8 + len(binary)
        path.write_bytes(
            struct.pack("<4sII", b"glTF", 2, total)
            + struct.pack("<II", len(text), 0x4E4F534A)
            + text
            + struct.pack("<II", len(binary), 0x004E4942)
            + binary
        )
        return path


def open_glb(path: Path) -> Opened:
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    return Opened(json.loads(content[20 : 20 + length]), bytearray(content[28 + length :]))


@pytest.fixture
def case() -> Case:
    return case_of(anatomy())


@pytest.fixture
def good(case: Case, tmp_path: Path) -> Path:
    """The GLB of `case`, with two marks."""
    marks = (Point("target", (-80, -10, -1050)), Line("needle", (-170, -60, -1040), (-80, -10, -1050)))
    return export_glb(case, tmp_path / "good.glb", ExportSettings(annotations=marks)).path


@dataclass(frozen=True)
class Lab:
    """The functions above, for tests that cannot import this file."""

    anatomy = staticmethod(anatomy)
    case_of = staticmethod(case_of)
    lumpy = staticmethod(lumpy)
    open_glb = staticmethod(open_glb)
    structures = STRUCTURES

    @staticmethod
    def moved(case: Case, change: Callable[[np.ndarray], np.ndarray]) -> Case:
        """The case with every vertex changed."""
        surfaces = {
            key: replace(one, vertices=change(one.vertices.astype(float))) for key, one in case.surfaces.items()
        }
        return replace(case, surfaces=surfaces)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="session")
def khronos() -> Callable[..., list[dict[str, Any]]]:
    """`khronos(path, …)`: the official validator's report on each file, `issues` among it."""
    modules = _installed_validator()

    def validate(*paths: Path) -> list[dict[str, Any]]:
        answer = subprocess.run(
            ["node", str(VALIDATOR / "validate.js"), *map(str, paths)],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        reports: list[dict[str, Any]] = json.loads(answer.stdout)
        return reports

    return validate


def _installed_validator() -> Path:
    """`node_modules` with the validator, installed once into a cache beside the checkout; several runs may race."""
    if not shutil.which("node") or not shutil.which("npm"):
        _unavailable("node and npm are not installed")
    lock = (VALIDATOR / "package-lock.json").read_bytes()
    home = REPOSITORY / ".cache" / "gltf_validator" / hashlib.sha256(lock).hexdigest()[:16]
    if not (home / "node_modules").exists():
        scratch = home.with_name(f"{home.name}.{uuid.uuid4().hex}")
        scratch.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(VALIDATOR / name, scratch)
        command = [shutil.which("npm") or "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        answer = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=240, check=False)
        if answer.returncode != 0:
            shutil.rmtree(scratch, ignore_errors=True)
            _unavailable(f"npm ci failed: {answer.stderr.strip()[-300:]}")
        try:
            scratch.rename(home)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
    return home / "node_modules"


def _unavailable(reason: str) -> None:
    """CI must have the validator; elsewhere its absence is said and skipped."""
    text = f"the Khronos glTF validator cannot run: {reason}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(text)
    pytest.skip(text)
