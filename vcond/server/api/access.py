"""Who read which vCon and watched which call, written before they get it: one JSON object a line, in a file of its own.

The ledger is told once a day of each who reads a vCon, however many pieces of it are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import msgspec

from vcond.base.errors import StorageError
from vcond.base.time import Instant, rfc3339
from vcond.storage.files import Files, put

OF_VCONS: Final = frozenset({"vcon", "audio", "transcript", "found"})
"""Kinds of reading that the ledger hears of."""
REMEMBERED: Final = 4096
"""Readings that it is known to have."""
LARGEST: Final = 16 << 20
"""Bytes of the file; then it is ``<name>.1``, in place of the one before."""


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line."""

    at: str
    who: str
    """A token's name and id, or the user of the admin socket."""
    what: str
    """``vcon``, ``audio``, ``transcript``, ``found``, ``search``, ``watch``, ``call``."""
    of: str
    """The uuid of the vCon or call; ``*`` for all calls, or vCons."""
    by: str = ""
    """Where the request came from."""


class Telling(Protocol):
    """Tells the ledger."""

    def __call__(self, event: str, *, fact: str, vcon: str, by: str, reason: str) -> Awaitable[None]:
        """On the disk when it returns. Raises StorageError."""


class AccessRecord:
    """Append only. Nobody gets what could not be written down here."""

    def __init__(self, file: Path, files: Files, now: Callable[[], int], tell: Telling) -> None:
        """``now``: nanoseconds since the epoch."""
        self._file, self._files, self._now, self._tell = file, files, now, tell
        self._told: set[tuple[str, str, str, str]] = set()
        """What the ledger has of today."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="access")

    async def add(self, who: str, what: str, of: str, by: str = "") -> None:
        """On the disk when it returns. Raises StorageError."""
        await self.add_each(who, what, [of], by)

    async def add_each(self, who: str, what: str, of: Sequence[str], by: str = "") -> None:
        """As ``add``, of each, with one sync. Raises StorageError."""
        at = rfc3339(Instant(self._now()))
        lines = b"".join(msgspec.json.encode(Access(at, who, what, one, by)) + b"\n" for one in of)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, lines)
        except OSError as why:
            raise StorageError(
                f"cannot write {self._file}: {why.strerror}; nothing is shown that is not recorded"
            ) from None
        for one in of if what in OF_VCONS else ():
            if (read := (at[:10], who, what, one)) not in self._told:
                await self._tell("read", fact="\0".join(read), vcon=one, by=who, reason=what)
                if len(self._told) >= REMEMBERED:
                    self._told.clear()
                self._told.add(read)

    def close(self) -> None:
        """What was given to it is written."""
        self._thread.shutdown(wait=False)

    def _append(self, lines: bytes) -> None:
        fd = self._files.open(str(self._file), create=True)
        try:
            size = self._files.size(fd)
            if size + len(lines) > LARGEST:
                self._files.rename(str(self._file), f"{self._file}.1")
                self._files.close(fd)
                fd, size = -1, 0
                fd = self._files.open(str(self._file), create=True)
            if size and self._files.pread(fd, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # of a crash, in the middle of a line
            put(self._files, fd, lines, size)
            self._files.sync(fd)
            if not size:
                self._files.sync_folder(str(self._file.parent))
        finally:
            if fd >= 0:
                self._files.close(fd)
