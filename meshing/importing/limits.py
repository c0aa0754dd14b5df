"""How much of an untrusted file is believed: the sizes and times that a reader may spend before it refuses."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Caps on what one input may cost; every one of them is the user's to raise.

    Parameters
    ----------
    max_voxels
        Voxels of one volume (all phases together). 2^31 is a whole-body CT of 512 × 512 × 8192.
    max_bytes
        Bytes that one input may unpack to, on disk or in memory.
    max_ratio
        Unpacked over packed bytes. Judged only beyond `ratio_free_bytes`: an honest label map packs 1000 : 1.
    ratio_free_bytes
        Unpacked bytes for which the ratio does not matter.
    max_members
        Files in a zip or folder.
    max_header_bytes
        Text or extensions before the voxels.
    decode_seconds
        Time for one frame in the decoding child; a file of many frames gets a tenth of it more for each.
    decode_memory_bytes
        Memory that the decoding child may take beyond what it needs to stand and to hold the voxels.
    """

    max_voxels: int = 1 << 31
    max_bytes: int = 16 * GIB
    max_ratio: float = 200.0
    ratio_free_bytes: int = GIB
    max_members: int = 200_000
    max_header_bytes: int = 16 * MIB
    decode_seconds: float = 20.0
    decode_memory_bytes: int = GIB


DEFAULT = Limits()
