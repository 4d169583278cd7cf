"""The few things the journal asks of an operating system, and the real ones.

This is the seam for tests: a full, slow or dying disk is another ``Files``. Paths are strings, offsets and lengths
bytes. Everything raises OSError; all of it is called from the writer thread only.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from vcond.base.atomic_files import sync_folder

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class Files(Protocol):
    """What the writer needs."""

    def open(self, path: str, *, create: bool) -> int:
        """A descriptor for reading and writing; ``create`` makes the file (mode 0600) when it is not there."""

    def close(self, fd: int) -> None:
        """Give a descriptor back."""

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """Write at an offset; how many bytes were taken, perhaps fewer than given."""

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """Read at an offset; fewer bytes only at the end."""

    def size(self, fd: int) -> int:
        """Length of the file."""

    def truncate(self, fd: int, length: int) -> None:
        """Cut or extend the file."""

    def sync(self, fd: int) -> None:
        """Return when the file's data is on the disk."""

    def make_folder(self, path: str) -> None:
        """A folder of mode 0700; one that is there already is fine."""

    def sync_folder(self, path: str) -> None:
        """Return when the names in the folder are on the disk."""

    def link(self, old: str, new: str) -> None:
        """A second name for a file."""

    def rename(self, old: str, new: str) -> None:
        """Move a file or folder within the store."""

    def delete_one(self, folder: str) -> bool:
        """Delete one entry of a folder, or the folder itself when it is empty; whether it still exists."""


class DiskFiles:
    """The real disk."""

    def open(self, path: str, *, create: bool) -> int:
        """See ``Files``. A symbolic link is not followed; the mode is 0600 whatever the umask."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
        fd = os.open(path, flags | os.O_CREAT, FILE_MODE)
        os.fchmod(fd, FILE_MODE)
        return fd

    def close(self, fd: int) -> None:
        """See ``Files``."""
        os.close(fd)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """See ``Files``."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """See ``Files``."""
        return os.pread(fd, count, offset)

    def size(self, fd: int) -> int:
        """See ``Files``."""
        return os.fstat(fd).st_size

    def truncate(self, fd: int, length: int) -> None:
        """See ``Files``."""
        os.ftruncate(fd, length)

    def sync(self, fd: int) -> None:
        """See ``Files``. fdatasync also writes the length and whatever else is needed to read the data back."""
        os.fdatasync(fd)

    def make_folder(self, path: str) -> None:
        """See ``Files``."""
        with suppress(FileExistsError):
            Path(path).mkdir(mode=FOLDER_MODE)
            Path(path).chmod(FOLDER_MODE)

    def sync_folder(self, path: str) -> None:
        """See ``Files``."""
        sync_folder(Path(path))

    def link(self, old: str, new: str) -> None:
        """See ``Files``."""
        os.link(old, new, follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """See ``Files``."""
        Path(old).rename(new)

    def delete_one(self, folder: str) -> bool:
        """See ``Files``. What lies deeper is not ours, yet is in our trash: it goes as a whole."""
        path = Path(folder)
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return False
        entry = next(path.iterdir(), None)
        if entry is None:
            path.rmdir()
            return False
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        return True
