"""Files that are there completely or not at all: written aside, synced, renamed, the name synced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vcond.storage.files import FILE_MODE, FOLDER_MODE, WHOEVER, Files, Owner, put

TEMPORARY: Final = ".tmp"
"""Ending of files that were never published; what a crash leaves of them is worth nothing."""


class WholeFiles:
    """On some ``Files``. Everything blocks and raises OSError; one may be used from any thread."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def read(self, path: Path, most: int) -> bytes:
        """What is in a file. OSError (EFBIG) for one of more than ``most`` bytes."""
        with self._opened(path) as fd:
            size = self.files.size(fd)
            if size > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
            body = self.files.pread(fd, size, 0)
            while len(body) < size and (more := self.files.pread(fd, size - len(body), len(body))):
                body += more
            return body

    def read_part(self, path: str, view: memoryview, start: int) -> None:
        """Fill ``view``, of bytes, with what is in a file from ``start`` on; what lies beyond its end stays as it is."""
        fd, done = self.files.open(path, write=False), 0
        try:
            while done < len(view) and (got := self.files.read_into(fd, view[done:], start + done)):
                done += got
        finally:
            self.files.close(fd)

    def publish(
        self,
        path: Path,
        body: bytes | Iterable[bytes],
        *,
        mode: int = FILE_MODE,
        owner: Owner = WHOEVER,
        durable: bool = True,
    ) -> None:
        """Durable when it returns, with ``mode`` whatever the umask, and ``owner``'s.

        On an error nothing is left behind, and a file of that name stays as it was. What can be made again, and is checked
        when it is read, need not be ``durable``: a power loss may leave anything of it, a crash all or nothing.
        """
        temporary = path.with_name(f".{path.name}{TEMPORARY}")
        try:
            self._write(temporary, [body] if isinstance(body, bytes) else body, mode, owner, durable=durable)
            self.files.rename(str(temporary), str(path))
        except BaseException:
            with suppress(FileNotFoundError):
                self.files.delete_one(str(temporary))
            raise
        if durable:
            self.files.sync_folder(str(path.parent))

    def make_folder(self, path: Path, mode: int = FOLDER_MODE) -> None:
        """A folder and its parents, each durably entered in its own parent; ``mode`` whatever the umask."""
        if path.is_dir():
            return
        self.make_folder(path.parent, mode)
        if self.files.make_folder(str(path), mode):
            self.files.sync_folder(str(path.parent))

    def move(self, path: Path, folder: Path) -> None:
        """Into another folder of the same file system, durably. A file that is gone is fine."""
        try:
            self.files.rename(str(path), str(folder / path.name))
        except FileNotFoundError:
            return
        self.files.sync_folder(str(folder))
        self.files.sync_folder(str(path.parent))

    def remove(self, path: Path) -> None:
        """Durably. A file that is gone is fine."""
        try:
            self.files.delete_one(str(path))
        except FileNotFoundError:
            return
        self.files.sync_folder(str(path.parent))

    def clear(self, folder: Path) -> None:
        """Remove what interrupted ``publish`` left in a folder."""
        with os.scandir(folder) as entries:
            left = [entry.path for entry in entries if entry.name.startswith(".") and entry.name.endswith(TEMPORARY)]
        for path in left:
            with suppress(FileNotFoundError):
                self.files.delete_one(path)

    def _write(self, path: Path, pieces: Iterable[bytes], mode: int, owner: Owner, *, durable: bool) -> None:
        with suppress(FileNotFoundError):
            self.files.delete_one(str(path))  # of a run that was killed, perhaps of another mode
        with self._opened(path, create=True, mode=mode, owner=owner) as fd:
            offset = 0
            for piece in pieces:
                put(self.files, fd, piece, offset)
                offset += len(piece)
            if durable:
                self.files.sync(fd)

    @contextmanager
    def _opened(
        self, path: Path, *, create: bool = False, mode: int = FILE_MODE, owner: Owner = WHOEVER
    ) -> Iterator[int]:
        fd = self.files.open(str(path), write=create, create=create, mode=mode, owner=owner)
        try:
            yield fd
        finally:
            self.files.close(fd)
