"""What was forgotten, so that it stays so when an old backup comes back: keyed hashes of names, and nothing else of anybody.

One file of slots of one size, each synced before anything is deleted for its sake. Its key lies beside it, so who has neither
cannot ask whether a call was forgotten. Both are meant to lie where no backup of the state folder reaches.
"""

from __future__ import annotations

import hmac
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from vcond.base.errors import StorageError
from vcond.base.time import SECOND
from vcond.storage.files import Files, put
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()

FILE: Final = "tombstones"
KEY: Final = "tombstones.key"
KEY_BYTES: Final = 32
MOST: Final = 1 << 30
"""Bytes of the file."""
_SLOT: Final = struct.Struct(">16sQI4x")
"""Hash, until when it counts (nanoseconds since 1970; 0 = for ever), CRC-32."""


MARK: Final = "records-folder"
"""Of the state folder: says where they are."""
LONGEST: Final = 4096
"""Bytes of it."""
AS_LONG: Final = 48 * 3600 * SECOND
"""A call of that adapter and key is not recorded for so long: no call is longer."""
RESTORE: Final = (
    f"restore {FILE} and {KEY} from a backup of their folder; if they are lost for good, move both away: "
    "then old backups bring back what was forgotten"
)


def of_call(uuid: str) -> str:
    """The name of a call, or of a vCon."""
    return f"uuid {uuid}"


def of_key(adapter: str, key: str) -> str:
    """The name that a system has for a call that goes on."""
    return f"key {adapter} {key}"


class Tombstones:
    """In ``folder``; may be asked from any thread."""

    def __init__(self, folder: Path, now: Callable[[], int], files: Files | None = None, *, tells: bool = True) -> None:
        """``now``: nanoseconds since the epoch. ``tells``: what is wrong is logged."""
        self._folder, self._now, self._tells = folder, now, tells
        self._files = files or Files()
        self._whole = WholeFiles(self._files)
        self._lock = Lock()
        self._key = b""
        self._until: dict[bytes, int] = {}
        self._end = 0
        self.damaged = 0
        """Entries that cannot be read."""
        self.trouble = ""
        """Why nobody knows what was forgotten. Nothing may be delivered then, or deleted for its sake."""
        self.load()

    def load(self) -> None:
        """Read them, again perhaps: somebody may have restored them. Blocks."""
        with self._lock:
            before = self.trouble  # it stays until they are read: ``add`` would make another key
            try:
                self._load()
                self.trouble = ""
            except OSError as why:
                self.trouble = f"cannot read what was forgotten in {self._folder}: {why.strerror}"
            except StorageError as why:
                self.trouble = str(why)
        if self.trouble and self.trouble != before and self._tells:
            log.error(
                "cannot read what was forgotten; calls are recorded, deliveries wait until it can be read", error=self.trouble, hint=RESTORE,
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, name: str) -> bool:
        if not self._until:
            return False
        until = self._until.get(self._hash(name), -1)
        return until == 0 or until > self._now()

    def add(self, names: Iterable[str], until: int = 0) -> None:
        """Durable when it returns; what is there is not added again. Raises StorageError: none was added."""
        with self._lock:
            if self.trouble:
                raise StorageError(f"{self.trouble}; nothing was forgotten")
            try:
                if not self._key:
                    self._make_key()
                new = {self._hash(name): until for name in names}
                new = {one: until for one, until in new.items() if self._until.get(one, -1) != until}
                if not new:
                    return
                fd = self._files.open(str(self._folder / FILE), create=True)
                try:
                    put(self._files, fd, b"".join(_slot(one, ends) for one, ends in new.items()), self._end)
                    self._files.sync(fd)
                finally:
                    self._files.close(fd)
                self._files.sync_folder(str(self._folder))
            except OSError as why:
                raise StorageError(f"cannot note what is forgotten: {why.strerror}; nothing was forgotten") from None
            self._end += len(new) * _SLOT.size
            self._until = {**self._until, **new}

    def _hash(self, name: str) -> bytes:
        return hmac.digest(self._key, name.encode(), "sha256")[:16]

    def _make_key(self) -> None:
        self._whole.make_folder(self._folder)
        key = os.urandom(KEY_BYTES)
        self._whole.publish(self._folder / KEY, key)
        self._key = key

    def _load(self) -> None:
        raw = self._there(FILE, MOST)
        self._key = self._there(KEY, 4096)
        if len(self._key) != KEY_BYTES and (self._key or raw):
            raise StorageError(f"{self._folder / KEY} is no key, and without it nobody knows what was forgotten")
        self._end = len(raw) - len(raw) % _SLOT.size  # a torn slot was never acted upon: it is written over
        self.damaged, found = 0, dict[bytes, int]()
        for at in range(0, self._end, _SLOT.size):
            one, until, crc = _SLOT.unpack_from(raw, at)
            if crc == zlib.crc32(raw[at : at + 24]):
                found[one] = until
            else:
                self.damaged += 1
        self._until = found
        if self.damaged and self._tells:
            log.error(
                "some of what was forgotten cannot be read any more: an old backup would bring it back", entries=self.damaged,
                file=str(self._folder / FILE), hint="restore the file from a backup of its folder",
            )  # fmt: skip

    def _there(self, name: str, most: int) -> bytes:
        try:
            return self._whole.read(self._folder / name, most)
        except FileNotFoundError:
            return b""


def gone(state: Path) -> Callable[[str], bool]:
    """Of calls of a state folder, whether one was forgotten: what is left of its journal is none. For who only looks: nothing is changed or said. Blocks.

    What came to be held while it was being forgotten is not gone.
    """
    try:
        at = state / WholeFiles(Files()).read(state / MARK, LONGEST).decode("utf-8", "replace")
    except OSError:
        return lambda _: False
    stones = Tombstones(at, time.time_ns, tells=False)
    return lambda uuid: of_call(uuid) in stones and not (at / "holds" / f"{uuid}.json").exists()


def _slot(one: bytes, until: int) -> bytes:
    bare = one + until.to_bytes(8, "big")
    return (bare + zlib.crc32(bare).to_bytes(4, "big")).ljust(_SLOT.size, b"\0")
