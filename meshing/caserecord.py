"""A case as JSON-ready records and named arrays, and back; knows no disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.case import Case
from meshing.errors import CaseError
from meshing.frames import Frame, Transform
from meshing.plan import AblationZone, CutPlane, Plan, PlanPart, Route, Trajectory
from meshing.registration import Registration
from meshing.segmentation import Segment, Segmentation
from meshing.surface import Deviation, Surface
from meshing.terminology import Structure
from meshing.volume import Fact, Grid, Volume

Record = dict[str, Any]
Array = npt.NDArray[Any]

_PLAN_PARTS: dict[str, type[PlanPart]] = {
    "trajectory": Trajectory,
    "zone": AblationZone,
    "route": Route,
    "plane": CutPlane,
}


def arrays_of(case: Case) -> dict[str, Array]:
    """Every array by the part name (room/stem) that it is stored under."""
    arrays: dict[str, Array] = {}
    for name, volume in case.volumes.items():
        arrays[f"volumes/{name}"] = volume.voxels
        if volume.outside is not None:
            arrays[f"volumes/{name}.outside"] = volume.outside
    for name, segmentation in case.segmentations.items():
        for number, layer in enumerate(segmentation.layers):
            arrays[f"layers/{name}-{number}"] = layer
    for key, surface in case.surfaces.items():
        arrays[f"surfaces/{key}"] = surface.vertices
        arrays[f"surfaces/{key}.faces"] = surface.faces
    return arrays


def case_record(case: Case, parts: Mapping[str, Record]) -> Record:
    """The index of a case whose arrays are stored as `parts` (by the names of `arrays_of`)."""
    return {
        "id": case.id,
        "volumes": {name: _volume_record(name, volume, parts) for name, volume in case.volumes.items()},
        "segmentations": {name: _segmentation_record(name, s, parts) for name, s in case.segmentations.items()},
        "surfaces": {key: _surface_record(key, surface, parts) for key, surface in case.surfaces.items()},
        "registrations": [_registration_record(registration) for registration in case.registrations],
        "plan": plan_record(case.plan),
        "facts": [asdict(fact) for fact in case.facts],
    }


def case_from(index: Mapping[str, Any], load: Callable[[Record], Array]) -> Case:
    """The case of an index; `load` gives the array of a part."""
    return Case(
        id=str(index["id"]),
        volumes={name: _volume(row, load) for name, row in index["volumes"].items()},
        segmentations={name: _segmentation(row, load) for name, row in index["segmentations"].items()},
        surfaces={key: _surface(key, row, load) for key, row in index["surfaces"].items()},
        registrations=tuple(_registration(row) for row in index["registrations"]),
        plan=plan_from(index["plan"]),
        facts=tuple(Fact(row["kind"], row["text"], row["values"]) for row in index["facts"]),
    )


def parts_of(index: Mapping[str, Any]) -> Iterator[Record]:
    """Every part that an index names."""
    for row in index["volumes"].values():
        yield row["voxels"]
        if row["outside"] is not None:
            yield row["outside"]
    for row in index["segmentations"].values():
        yield from row["layers"]
    for row in index["surfaces"].values():
        yield row["vertices"]
        yield row["faces"]


def plan_record(plan: Plan) -> Record:
    kinds = {kind: name for name, kind in _PLAN_PARTS.items()}
    return {
        "revision": plan.revision,
        "parts": [{"kind": kinds[type(part)], **asdict(part)} for part in plan.parts],
    }


def plan_from(row: Mapping[str, Any]) -> Plan:
    """The plan of a record.

    Raises
    ------
    CaseError
        If it holds a kind of part that this version does not know.
    """
    return Plan(int(row["revision"]), tuple(_plan_part(part) for part in row["parts"]))


def _plan_part(row: Mapping[str, Any]) -> PlanPart:
    kind = _PLAN_PARTS.get(str(row["kind"]))
    if kind is None:
        raise CaseError(
            f"the plan holds a {row['kind']!r}, known are {', '.join(_PLAN_PARTS)}", hint="update anatomyxr"
        )
    return kind(**{name: _frozen(value) for name, value in row.items() if name != "kind"})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _grid_record(grid: Grid) -> Record:
    return {
        "shape": list(grid.shape),
        "voxel_to_patient": grid.voxel_to_patient.tolist(),
        "frame_of_reference": grid.frame_of_reference,
    }


def _grid(row: Mapping[str, Any]) -> Grid:
    i, j, k = row["shape"]
    return Grid((i, j, k), np.array(row["voxel_to_patient"], dtype=np.float64), str(row["frame_of_reference"]))


def _volume_record(name: str, volume: Volume, parts: Mapping[str, Record]) -> Record:
    return {
        "voxels": parts[f"volumes/{name}"],
        "outside": parts.get(f"volumes/{name}.outside"),
        "grid": _grid_record(volume.grid),
        "modality": volume.modality,
        "unit": volume.unit,
    }


def _volume(row: Mapping[str, Any], load: Callable[[Record], Array]) -> Volume:
    outside = None if row["outside"] is None else load(row["outside"])
    return Volume(load(row["voxels"]), _grid(row["grid"]), str(row["modality"]), str(row["unit"]), outside)


def _segmentation_record(name: str, segmentation: Segmentation, parts: Mapping[str, Record]) -> Record:
    return {
        "layers": [parts[f"layers/{name}-{number}"] for number in range(len(segmentation.layers))],
        "grid": _grid_record(segmentation.grid),
        "source": segmentation.source,
        "segments": [asdict(segment) for segment in segmentation.segments],
    }


def _segmentation(row: Mapping[str, Any], load: Callable[[Record], Array]) -> Segmentation:
    segments = tuple(
        Segment(**{**segment, "structure": _structure(segment["structure"])}) for segment in row["segments"]
    )
    layers = tuple(load(part) for part in row["layers"])
    return Segmentation(layers, _grid(row["grid"]), segments, str(row["source"]))


def _structure(row: Mapping[str, Any]) -> Structure:
    return Structure(**{**row, "colour": tuple(row["colour"])})


def _surface_record(key: str, surface: Surface, parts: Mapping[str, Record]) -> Record:
    return {
        "vertices": parts[f"surfaces/{key}"],
        "faces": parts[f"surfaces/{key}.faces"],
        "made_from": surface.made_from,
        "deviation": None if surface.deviation is None else asdict(surface.deviation),
        "raw_volume_ml": surface.raw_volume_ml,
    }


def _surface(key: str, row: Mapping[str, Any], load: Callable[[Record], Array]) -> Surface:
    deviation = None if row["deviation"] is None else Deviation(**row["deviation"])
    return Surface(load(row["vertices"]), load(row["faces"]), key, row["made_from"], deviation, row["raw_volume_ml"])


def _registration_record(registration: Registration) -> Record:
    return {
        "matrix": registration.transform.matrix.tolist(),
        "source": asdict(registration.transform.source),
        "target": asdict(registration.transform.target),
        "method": registration.method,
        "fre_mm": registration.fre_mm,
        "tre_mm": registration.tre_mm,
        "landmarks": list(registration.landmarks),
    }


def _registration(row: Mapping[str, Any]) -> Registration:
    transform = Transform(np.array(row["matrix"]), Frame(**row["source"]), Frame(**row["target"]))
    return Registration(transform, row["method"], row["fre_mm"], row["tre_mm"], tuple(row["landmarks"]))
