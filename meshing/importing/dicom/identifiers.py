"""Source identifiers replaced by salted ones, so that a case links back to its patient only through a file apart."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from types import MappingProxyType


class Pseudonyms:
    """Identifiers of one import under one random salt: equal sources give equal pseudonyms, and only here."""

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(32) if salt is None else salt
        self._originals: dict[str, str] = {}

    def of(self, identifier: str) -> str:
        """The pseudonym, a valid UID under 2.25 (PS3.5 B.2); "" stays ""."""
        if not identifier:
            return ""
        digest = hashlib.blake2b(identifier.encode(), key=self._salt, digest_size=16).digest()
        pseudonym = f"2.25.{int.from_bytes(digest)}"
        self._originals[pseudonym] = identifier
        return pseudonym

    @property
    def originals(self) -> Mapping[str, str]:
        """Pseudonym → original, of all asked for so far."""
        return MappingProxyType(dict(self._originals))
