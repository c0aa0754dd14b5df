"""AnatomyXR: a label file to a verified GLB, through the verbs that `anatomyxr build` and `export` call."""

from __future__ import annotations

from benchmarks.contenders.notes import LOADING, Diary, job
from meshing.case import Case
from meshing.exporting.gltf import export_glb
from meshing.extract import extract
from meshing.importing.files import read_header
from meshing.importing.labels import read_labels


def main() -> None:
    diary = Diary()
    work = job()
    with diary.stages.stage("reading"):
        segmentation, _ = read_labels(work.source, read_header(work.source).grid)
    diary.ready()
    diary.stages.progress(0.0, LOADING)
    surfaces = extract(segmentation, budget=work.budget, progress=diary.stages.progress)
    diary.stages.progress(0.0, LOADING)
    case = Case("benchmark", {}, {"main": segmentation}, surfaces)
    export_glb(case, work.target, progress=diary.stages.progress)
    diary.write(work.notes)


if __name__ == "__main__":
    main()
