"""A bounded number of open files: the least recently used one is closed when another is needed."""

from __future__ import annotations

import errno
import resource
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from vcond.journal.disk_errors import say
from vcond.storage.files import Files

log = structlog.get_logger()


def fair_share() -> int:
    """How many descriptors the journal may keep: a quarter of what the process may have, between 16 and 1,024."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(16, min(1024, soft // 4))


class FdCache:
    """Descriptors by path. Closing one early loses nothing: fsync on a new descriptor covers the same pages."""

    def __init__(self, files: Files, limit: int) -> None:
        self._files, self._limit = files, limit
        self._open: OrderedDict[str, int] = OrderedDict()
        self._pinned = ""

    def __len__(self) -> int:
        return len(self._open)

    def get(self, path: str, *, create: bool = False) -> int:
        """A descriptor, good until the next call of this object. Raises OSError."""
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        while len(self._open) >= self._limit and self._give_up():
            pass
        fd = self._open[path] = self._opened(path, create=create)
        return fd

    @contextmanager
    def pinned(self, path: str) -> Iterator[int]:
        """A descriptor that another thread uses: it is not closed for others, and one at a time. Raises OSError."""
        fd = self.get(path)
        self._pinned = path
        try:
            yield fd
        finally:
            self._pinned = ""

    def held(self, path: str) -> int | None:
        """Its descriptor, if it is open."""
        return self._open.get(path)

    def forget(self, path: str) -> None:
        """Close a file, if it is open, so that the next use opens it anew."""
        fd = self._open.pop(path, None)
        if fd is not None:
            self._close(fd)

    def forget_folder(self, folder: str) -> None:
        """Close all files in a folder."""
        for path in [path for path in self._open if path.startswith(folder + "/")]:
            self.forget(path)

    def close(self) -> None:
        """Close everything."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _opened(self, path: str, *, create: bool) -> int:
        """When the process or the machine has no descriptor left, one of ours is given up for it: calls go on."""
        while True:
            try:
                return self._files.open(path, create=create)
            except OSError as why:
                if why.errno not in {errno.EMFILE, errno.ENFILE} or not self._give_up():
                    raise

    def _give_up(self) -> bool:
        """Close the one that was not used for the longest time. Whether there was one."""
        path = next((path for path in self._open if path != self._pinned), None)
        if path is not None:
            self._close(self._open.pop(path))
        return path is not None

    def _close(self, fd: int) -> None:
        try:
            self._files.close(fd)
        except OSError as why:
            # network file systems report late write errors here; what was not synced yet is still held by its buffer,
            # and the fsync that follows on a new descriptor says whether it has to be written again
            say(log.warning, "a journal file could not be closed cleanly", errno=why.errno)
