"""Disks that misbehave, as the journal's own seam ``Files`` sees them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from vcond.calls import events as ev
from vcond.calls.time import Instant
from vcond.journal import Store
from vcond.journal.files import DiskFiles


class BadDisk(DiskFiles):
    """The real disk, until told otherwise."""

    def __init__(self) -> None:
        self.error: int = 0
        """errno of everything that writes; 0 = fine."""
        self.room: int | None = None
        """Bytes that can still be written; None = no end."""
        self.sync_error: int = 0
        self.link_error: int = 0
        self.only: str = ""
        """Trouble is only for paths that hold this."""
        self.gate = threading.Event()
        """While clear, writes hang."""
        self.gate.set()
        self.stuck = threading.Event()
        """Set as soon as a write hangs."""
        self.failed = threading.Event()
        """Set by every failure."""
        self.calls: list[tuple[str, str]] = []
        """What was done, to what."""
        self.open_now = 0
        self.most_open = 0
        self._paths: dict[int, str] = {}

    def _fail(self, code: int) -> None:
        self.failed.set()
        raise OSError(code, os.strerror(code))

    def open(self, path: str, *, create: bool) -> int:
        if self.error and create and self.only in path and not Path(path).exists():
            self._fail(self.error)
        fd = super().open(path, create=create)
        self._paths[fd] = path
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        return fd

    def close(self, fd: int) -> None:
        self.open_now -= 1
        super().close(fd)

    def make_folder(self, path: str) -> None:
        if self.error and self.only in path:
            self._fail(self.error)
        super().make_folder(path)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        path = self._paths[fd]
        self.calls.append(("pwrite", path))
        if not self.gate.is_set():
            self.stuck.set()
            self.gate.wait()
        if self.only in path:
            if self.error:
                self._fail(self.error)
            if self.room is not None:
                if self.room == 0:
                    self._fail(errno.ENOSPC)
                data = data[: self.room]
                self.room -= len(data)
        return super().pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        self.calls.append(("sync", self._paths[fd]))
        if self.sync_error and self.only in self._paths[fd]:
            self._fail(self.sync_error)
        super().sync(fd)

    def sync_folder(self, path: str) -> None:
        self.calls.append(("sync_folder", path))
        super().sync_folder(path)

    def link(self, old: str, new: str) -> None:
        if self.link_error:
            self._fail(self.link_error)
        super().link(old, new)


def uuid_of(number: int) -> str:
    return str(UUID(int=(0x018F << 112) + (number << 80) + (8 << 76) + (2 << 62)))


def opened(number: int = 1, **more: object) -> ev.CallOpened:
    return ev.CallOpened(at=Instant(number), call=uuid_of(number), adapter="test", key=f"k{number}", **more)


@pytest.fixture
def disk() -> Iterator[BadDisk]:
    disk = BadDisk()
    yield disk
    disk.gate.set()


@pytest.fixture
async def stores(tmp_path: Path, disk: BadDisk) -> AsyncIterator[Callable[..., Store]]:
    """Makes stores on the disk that misbehaves; closes them."""
    made: list[Store] = []

    def make(root: Path = tmp_path / "journal", **options: object) -> Store:
        made.append(Store(root, **{"files": disk, **options}))
        return made[-1]

    yield make
    disk.error, disk.sync_error, disk.room = 0, 0, None
    disk.gate.set()
    for store in made:
        await store.close()


@pytest.fixture
def call() -> Callable[..., ev.CallOpened]:
    """``call(n)`` is the first event of call n."""
    return opened
