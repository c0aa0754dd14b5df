"""PyVista: contour and decimate, to an STL. Its faster contour filter is chosen."""

from __future__ import annotations

import pyvista

from benchmarks.contenders.notes import Diary, job


def main() -> None:
    diary = Diary()
    work = job()
    with diary.stages.stage("reading"):
        volume = pyvista.read(work.source)
    diary.ready()
    with diary.stages.stage("contour"):
        # Half a unit up: on an integer level the filter makes triangles without area, on which decimation tears.
        surface = volume.contour([work.level + 0.5], method="flying_edges", compute_normals=False)
    with diary.stages.stage("decimate"):
        fewer = surface.decimate(1 - work.budget / surface.n_cells)
    with diary.stages.stage("writing"):
        fewer.save(work.target)
    diary.write(work.notes)


if __name__ == "__main__":
    main()
