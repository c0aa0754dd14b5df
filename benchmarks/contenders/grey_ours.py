"""AnatomyXR: the surface at a grey level, simplified, to a verified STL."""

from __future__ import annotations

from benchmarks.contenders.notes import LOADING, Diary, job
from meshing.case import Case
from meshing.cubes import extract_grey
from meshing.exporting.meshfiles import export_mesh
from meshing.importing.files import read_file
from meshing.segmentation import Segment, Segmentation
from meshing.simplify import simplify
from meshing.terminology import structures


def main() -> None:
    diary = Diary()
    work = job()
    with diary.stages.stage("reading"):
        volume, _ = read_file(work.source, modality="CT")
    diary.ready()
    diary.stages.progress(0.0, LOADING)
    bone = structures()["bone"]
    surface = extract_grey(volume, work.level, bone.key, progress=diary.stages.progress)
    diary.stages.progress(0.0, "preparing to simplify")
    fewer = simplify({bone.key: surface}, work.budget, progress=diary.stages.progress)
    diary.stages.progress(0.0, LOADING)
    named = Segmentation((volume.voxels,), volume.grid, (Segment(bone.key, 1, 0, bone),), "a grey level")
    case = Case("benchmark", {"scan": volume}, {"main": named}, fewer)
    export_mesh(case, work.target, progress=diary.stages.progress)
    diary.write(work.notes)


if __name__ == "__main__":
    main()
