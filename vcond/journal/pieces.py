"""Compressed pieces of a call's recording, beside its audio: what can be made again, and saves time at the end of a call.

They are never needed, so nothing waits for a disk to have them; each is checked when it is read, as a power loss may
leave anything of it. They are in the journal's folder and go with it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Final

from vcond.storage.whole_files import WholeFiles

FOLDER: Final = "pieces"
LARGEST: Final = 2 << 20
"""Bytes of a piece that is read: 20 s of the largest packets are 1.3 MB."""
_DIGEST: Final = 32


class KeptPieces:
    """The pieces of one call, by name. Blocks; one may be used from any thread."""

    def __init__(self, journal: Path, files: WholeFiles) -> None:
        """``journal`` is the call's folder; nothing is made while that is not there."""
        self._folder, self._files = journal / FOLDER, files
        self._lock, self._erased = threading.Lock(), 0

    def get(self, name: str) -> bytes | None:
        """A piece that is whole; None when it is not there, is damaged or cannot be read."""
        try:
            found = self._files.read(self._folder / name, LARGEST)
        except OSError:
            return None
        body = found[_DIGEST:]
        return body if found[:_DIGEST] == _digest(name, body) else None

    def put(self, name: str, body: bytes) -> None:
        """Keep a piece. Raises OSError, also when the journal is gone."""
        self._files.files.make_folder(str(self._folder))
        self._files.publish(self._folder / name, _digest(name, body) + body, durable=False)

    def until_erased(self) -> PiecesOfNow:
        """For whoever makes pieces of the audio as it is now: none is kept any more once some of that was erased."""
        before = self._erased
        return PiecesOfNow(self, self._lock, lambda: self._erased == before)

    def erase(self) -> None:
        """Delete all, and keep none that is being made. Raises OSError."""
        with self._lock:
            self._erased += 1
            self.keep_only(())

    def keep_only(self, names: Container[str]) -> None:
        """Delete all others, and what a crash left half written. Raises OSError."""
        try:
            with os.scandir(self._folder) as entries:
                others = [entry.path for entry in entries if entry.name not in names]
        except FileNotFoundError:
            return
        for path in others:
            with suppress(FileNotFoundError):
                self._files.files.delete_one(path)


class PiecesOfNow:
    """See ``KeptPieces.until_erased``."""

    def __init__(self, pieces: KeptPieces, lock: threading.Lock, whole: Callable[[], bool]) -> None:
        self._pieces, self._lock, self._whole = pieces, lock, whole
        self.get = pieces.get

    def put(self, name: str, body: bytes) -> None:
        """Keep a piece, unless audio was erased since. Raises OSError, also when the journal is gone."""
        with self._lock:
            if self._whole():
                self._pieces.put(name, body)


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.blake2b(name.encode() + body, digest_size=_DIGEST).digest()
