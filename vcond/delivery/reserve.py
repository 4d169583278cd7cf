"""Room on the disk that is given up when it is full, so that deliveries, which free space, can still be recorded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import structlog

from vcond.storage.files import Files

log = structlog.get_logger()

SIZE = 2 << 20
"""Bytes; more than the database's WAL ever needs."""


class Reserve:
    """One file of zeros beside the database. All methods block."""

    def __init__(self, path: Path, files: Files, size: int = SIZE) -> None:
        self._path = path
        self._files = files
        self._size = size

    def ensure(self) -> None:
        """Take the room. Raises OSError when there is none: then nothing new should be taken either."""
        handle = self._files.open(str(self._path), create=True)
        try:
            if self._files.size(handle) < self._size:
                self._files.truncate(handle, self._size, room=True)
        except OSError:
            with suppress(FileNotFoundError):
                self._files.delete_one(str(self._path))
            raise
        finally:
            self._files.close(handle)

    def release(self) -> bool:
        """Give the room back; False when it is already gone."""
        try:
            self._files.delete_one(str(self._path))
        except FileNotFoundError:
            return False
        log.warning("disk full: the outbox uses its reserved space", file=str(self._path))
        return True
