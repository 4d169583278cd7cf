"""Everything that vcond asks of an operating system to keep something, for reading and for writing.

This is the seam: a full, slow or dying disk, and one that encrypts, is another ``Files``, handed to whoever keeps
something. ``tools/disk_door.py`` holds that nobody goes past it but with a reason.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from vcond.storage.writeback import start_writeback

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
Owner = tuple[int, int]
"""User and group."""
WHOEVER: Final[Owner] = (-1, -1)
"""As a file gets them by itself (chown(2))."""


class Files:
    """The real disk. Paths are absolute, offsets and lengths bytes. Everything blocks and raises OSError.

    It has no state: one may be used from any thread.
    """

    def open(
        self, path: str, *, write: bool = True, create: bool = False, mode: int = FILE_MODE, owner: Owner = WHOEVER
    ) -> int:
        """A descriptor for reading, and for writing unless told otherwise. A symbolic link is not followed.

        ``create`` makes the file when it is not there, with ``mode`` whatever the umask, and ``owner``'s.
        """
        # a FIFO in the place of a file must not keep us
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_RDWR if write else os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
        fd = os.open(path, flags | os.O_CREAT, mode)
        try:
            if owner != WHOEVER:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        os.close(fd)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """Write at an offset; how many bytes were taken, perhaps fewer than given."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """Read at an offset; perhaps fewer bytes than asked for, none only at the end."""
        return os.pread(fd, count, offset)

    def read_into(self, fd: int, view: memoryview, offset: int) -> int:
        """As ``pread``, into memory that is there; how many bytes."""
        return os.preadv(fd, [view], offset)

    def size(self, file: int | str) -> int:
        """Bytes in a file, by descriptor or path."""
        return (os.fstat(file) if isinstance(file, int) else Path(file).lstat()).st_size

    def truncate(self, fd: int, length: int, *, room: bool = False) -> None:
        """Cut or extend the file; with ``room`` extend it, and take the room on the disk for all of it."""
        if room:
            os.posix_fallocate(fd, 0, length)
        else:
            os.ftruncate(fd, length)

    def sync_soon(self, fd: int) -> None:
        """Have the file's data written without waiting until it is: the ``sync`` of many files, told first, finds most of it done.

        A disk whose queue is full is waited for. Without a means to do so nothing is done. Raises OSError when what was written cannot be kept.
        """
        if start_writeback is not None:
            start_writeback(fd)

    def sync(self, fd: int) -> None:
        """Return when the file's data is on the disk; fdatasync also writes the length and what else reading needs."""
        os.fdatasync(fd)

    def make_folder(self, path: str, mode: int = FOLDER_MODE) -> bool:
        """A folder, ``mode`` whatever the umask; False when it was there already, which is fine."""
        with suppress(FileExistsError):
            Path(path).mkdir(mode=FOLDER_MODE)
            Path(path).chmod(mode)
            return True
        return False

    def sync_folder(self, path: str) -> None:
        """Return when the names in the folder are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, old: str, new: str) -> None:
        """A second name for a file."""
        os.link(old, new, follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Move a file or folder within the file system; what had the name is replaced."""
        Path(old).rename(new)

    def delete_one(self, path: str, *, folder: bool = False) -> bool:
        """Delete a file; where ``folder`` is meant, one entry of it, or itself when it is empty. Whether it is still there.

        A folder that was not meant is left as it is (IsADirectoryError). What lies deeper in one that was is not ours, yet
        in our trash: it goes as a whole. No link is followed.
        """
        found = Path(path)
        if not folder or not stat.S_ISDIR(found.lstat().st_mode):
            found.unlink()
            return False
        entry = next(found.iterdir(), None)
        if entry is None:
            found.rmdir()
            return False
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        return True

    def free(self, path: str) -> int:
        """Bytes that this user may still write. Waits for the file system, for ever if that is a network one that is gone."""
        space = os.statvfs(path)
        return space.f_bavail * space.f_frsize


def put(files: Files, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of it at an offset. Raises OSError."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            taken = files.pwrite(fd, view[done:], offset + done)
            if taken <= 0:
                raise OSError(errno.EIO, "nothing written")
            done += taken
