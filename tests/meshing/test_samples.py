"""Samples: kept only when the bytes are those that were published."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from meshing import samples as room
from meshing.errors import AnatomyError, NotFoundError
from meshing.samples import Sample, fetch, samples


def published(content: bytes) -> Sample:
    digest = hashlib.sha256(content).hexdigest()
    return Sample("tiny", "a test", "tiny.nii", "tiny.nii", "https://example.org/tiny", len(content), digest, "CC0")


def test_every_sample_has_a_pinned_address_and_a_licence() -> None:
    names = [sample.name for sample in samples()]
    assert len(set(names)) == len(names) >= 8
    for sample in samples():
        assert sample.address.startswith("https://")
        assert len(sample.sha256) == 64
        assert sample.bytes > 0
        assert sample.licence


def test_sample_from_a_folder_is_checked_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "samples", lambda: (published(b"voxels"),))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "tiny.nii").write_bytes(b"voxels")
    path = fetch("tiny", tmp_path / "here", source=tmp_path / "there")
    assert path.read_bytes() == b"voxels"


@pytest.mark.parametrize("blocks", [[b"voxelz"], [b"vox"], [b"voxels", b"and more"], []])
def test_other_bytes_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[bytes]) -> None:
    monkeypatch.setattr(room, "samples", lambda: (published(b"voxels"),))
    monkeypatch.setattr(room, "_from_network", lambda sample: iter(blocks))
    with pytest.raises(AnatomyError, match="sha256"):
        fetch("tiny", tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_sample_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no sample is called 'brian'") as caught:
        fetch("brian", tmp_path)
    assert "ct-abdomen" in caught.value.hint


def test_folder_without_the_sample_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="2206612 bytes"):
        fetch("ct-abdomen", tmp_path / "out", source=tmp_path)


def test_real_files_are_the_published_ones(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    source = real_data("ct_abdomen_labels").parent
    for sample in samples():
        assert fetch(sample.name, tmp_path, source=source).stat().st_size == sample.bytes
