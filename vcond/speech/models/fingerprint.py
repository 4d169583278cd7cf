"""A file of a model as it was when it was installed or made: its size and its hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec


class Fingerprint(msgspec.Struct, frozen=True):
    """One file."""

    size: int
    sha256: str


def keep(path: Path, *, sync: bool = False) -> Fingerprint:
    """A file as it is now; ``sync``: and it is on the disk. Raises OSError."""
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return Fingerprint(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def same(path: Path, kept: Fingerprint) -> bool:
    """Whether a file is still what it was. Raises OSError."""
    return path.stat().st_size == kept.size and keep(path) == kept
