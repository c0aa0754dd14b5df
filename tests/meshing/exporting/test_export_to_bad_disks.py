"""Disks that are full or lie: a typed error, nothing half-written, and the file of yesterday untouched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshing.errors import ExportError
from meshing.exporting import gltf, meshfiles
from meshing.exporting.write import SUFFIXES, export
from meshing.progress import Cancelled


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a tiny disk; the other tests here stand in for it")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("a tiny disk cannot be mounted here; the other tests here stand in for it")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_said_and_leaves_nothing(case, tiny_disk, suffix):
    with pytest.raises(ExportError, match="disk is full") as caught:
        export(case, tiny_disk / f"a{suffix}")
    assert "free some space" in caught.value.hint
    assert not list(tiny_disk.iterdir())


class FailingFile:
    """A binary file that takes `room` bytes, then fails, or claims success and drops the rest."""

    def __init__(self, file, room: int, lies: bool) -> None:
        self._file, self._room, self._lies = file, room, lies

    def write(self, content) -> int:
        size = memoryview(content).nbytes
        kept = min(size, self._room)
        self._room -= kept
        self._file.write(bytes(content)[:kept])
        if kept < size and not self._lies:
            raise OSError(errno.ENOSPC, "No space left on device")
        return size

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *caught) -> None:
        self._file.__exit__(*caught)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def failing_disk(monkeypatch):
    """`failing_disk(room, lies=…)`: from now on files opened for writing hold `room` bytes."""
    opened = Path.open

    def install(room: int, *, lies: bool) -> None:
        def open_failing(path, mode="r", *args, **settings):
            file = opened(path, mode, *args, **settings)
            return FailingFile(file, room, lies) if "w" in mode else file

        monkeypatch.setattr(Path, "open", open_failing)

    return install


@pytest.mark.parametrize("lies", [False, True])
@pytest.mark.parametrize("room", [0, 10, 3_000, 40_000])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_old_file_survives_a_disk_that_fails_or_lies(case, failing_disk, tmp_path, suffix, room, lies):
    path = tmp_path / f"a{suffix}"
    export(case, path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert len(before[path.name]) > 50_000
    failing_disk(room, lies=lies)
    with pytest.raises(ExportError) as caught:
        export(case, path)
    if not lies:
        assert "disk is full" in caught.value.message
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_bit_that_rots_on_the_way_to_the_disk_is_found(case, monkeypatch, tmp_path):
    wrote = gltf.write_glb

    def write_rotten(file, document, arrays):
        rotten = [array.copy() for array in arrays]
        rotten[3].view(np.uint32)[40, 1] ^= 1 << 24
        wrote(file, document, rotten)

    monkeypatch.setattr(gltf, "write_glb", write_rotten)
    with pytest.raises(ExportError, match="not what the case says"):
        export(case, tmp_path / "a.glb")
    assert not list(tmp_path.iterdir())


def test_triangles_lost_on_the_way_to_the_disk_are_found(case, monkeypatch, tmp_path):
    wrote = meshfiles.WRITERS[".ply"]
    monkeypatch.setitem(meshfiles.WRITERS, ".ply", lambda file, chosen, path: wrote(file, chosen[:-1], path))
    with pytest.raises(ExportError, match="reads back with 3520 of 4320 triangles"):
        export(case, tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_is_not_there_is_said(case, tmp_path, suffix):
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export(case, tmp_path / "none" / f"a{suffix}")
    assert "folder exists" in caught.value.hint


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("after", range(2))
def test_cancelling_leaves_the_old_file_alone(case, tmp_path, suffix, after):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"yesterday")
    calls = []

    def stop(fraction: float, doing: str) -> None:
        calls.append(doing)
        if len(calls) > after:
            raise Cancelled

    with pytest.raises(Cancelled):
        export(case, path, progress=stop)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(path.name, b"yesterday")]
