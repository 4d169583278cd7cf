"""Room on the disk that is given up when it is full, so that deliveries, which free space, can still be recorded."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger()

SIZE = 2 << 20
"""Bytes; more than the database's WAL ever needs."""


class Reserve:
    """One file of zeros beside the database. All methods block."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path = path
        self._size = size

    def ensure(self) -> None:
        """Take the room. Raises OSError when there is none: then nothing new should be taken either."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < self._size:
                os.posix_fallocate(handle, 0, self._size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)

    def release(self) -> bool:
        """Give the room back; False when it is already gone."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        log.warning("the disk is full: the outbox uses its reserve", file=str(self._path))
        return True
