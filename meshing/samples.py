"""Public sample scans: fetched from where their authors published them, kept only when the sha256 agrees."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshing.atomic import replace_file
from meshing.errors import AnatomyError, NotFoundError
from meshing.library import asset
from meshing.progress import Progress, silent

_BLOCK = 1 << 16
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Sample:
    """A published file: where it lies, how long it is and what its bytes hash to."""

    name: str
    what: str
    file: str
    original: str
    address: str
    bytes: int
    sha256: str
    licence: str


def samples() -> tuple[Sample, ...]:
    """Every sample, in the order of `assets/samples.toml`."""
    table = tomllib.loads(asset("samples.toml").read_text(encoding="utf-8"))
    return tuple(Sample(name=name, **row) for name, row in table.items())


def fetch(name: str, folder: Path, *, source: Path | None = None, progress: Progress = silent) -> Path:
    """The sample as a file in `folder`.

    Parameters
    ----------
    source
        A folder searched for a file with the right sha256, instead of the network.

    Raises
    ------
    NotFoundError
        No such sample, or `source` does not hold it.
    AnatomyError
        The network fails, or what came is not what was published.
    """
    sample = _named(name)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / sample.file
    blocks = _from_folder(sample, source) if source else _from_network(sample)
    seen, digest = 0, hashlib.sha256()
    with replace_file(target, AnatomyError) as file:
        for block in blocks:
            seen += len(block)
            if seen > sample.bytes:
                break
            digest.update(block)
            file.write(block)
            progress(seen / sample.bytes, f"fetching {name}")
        if seen != sample.bytes or digest.hexdigest() != sample.sha256:
            raise AnatomyError(
                f"{name} came with {seen} bytes and sha256 {digest.hexdigest()[:12]}…, "
                f"published are {sample.bytes} bytes and {sample.sha256[:12]}…",
                where=sample.address,
                hint="try again later; the file was not kept",
            )
    return target


def _named(name: str) -> Sample:
    for sample in samples():
        if sample.name == name:
            return sample
    raise NotFoundError(f"no sample is called {name!r}", hint="one of: " + ", ".join(s.name for s in samples()))


def _from_folder(sample: Sample, folder: Path) -> Iterator[bytes]:
    names = {sample.file, Path(sample.original).name}
    found = [path for path in sorted(folder.rglob("*")) if path.name in names and path.stat().st_size == sample.bytes]
    if not found:
        raise NotFoundError(
            f"neither {' nor '.join(sorted(names))} with {sample.bytes} bytes lies there",
            where=folder,
            hint="leave --from out to fetch it from the network",
        )
    with found[0].open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _from_network(sample: Sample) -> Iterator[bytes]:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(sample.address, timeout=_TIMEOUT_S) as reply:
            while block := reply.read(_BLOCK):
                yield block
    except (URLError, TimeoutError, OSError) as error:
        raise AnatomyError(
            f"the network gave no answer: {error}", where=sample.address, hint="try again, or pass --from FOLDER"
        ) from error
