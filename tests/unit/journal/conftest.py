"""Disks that misbehave, as the seam ``Files`` sees them."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import CallJournal, Store
from vcond.journal.file_buffers import Folder
from vcond.journal.write_queue import WriteQueue
from vcond.journal.writer import Writer
from vcond.storage.files import FOLDER_MODE, Files
from vcond.storage.whole_files import WholeFiles

STORAGE = str(Path(__file__).parents[1] / "storage")
if STORAGE not in sys.path:
    sys.path.insert(0, STORAGE)


class BadDisk(Files):
    """The real disk, until told otherwise."""

    def __init__(self) -> None:
        self.error: int = 0
        """errno of everything that writes; 0 = fine."""
        self.room: int | None = None
        """Bytes that can still be written; None = no end."""
        self.at_most: int | None = None
        """Bytes that one write takes."""
        self.fault: bool = False
        """Writes raise what no disk does."""
        self.lazy: bool = False
        """Syncing does nothing, for tests of something else."""
        self.sync_error: int = 0
        self.soon_error: int = 0
        self.folder_error: int = 0
        self.link_error: int = 0
        self.rename_error: int = 0
        self.delete_error: int = 0
        self.only: str = ""
        """Trouble is only for paths that hold this."""
        self.gate = threading.Event()
        """While clear, writes hang."""
        self.gate.set()
        self.stuck = threading.Event()
        """Set as soon as a write hangs."""
        self.failed = threading.Event()
        """Set by every failure."""
        self.hangs: Callable[[str], bool] = lambda _: False
        """Of which path a sync hangs, until ``answers`` is set."""
        self.answers, self.asked = threading.Event(), threading.Event()
        """``asked`` is set as soon as one does."""
        self.wrote = threading.Condition()
        """Told of every write."""
        self.calls: list[tuple[str, str]] = []
        """What was done, to what."""
        self.open_now = 0
        self.most_open = 0
        self._paths: dict[int, str] = {}

    def _fail(self, code: int) -> None:
        self.failed.set()
        raise OSError(code, os.strerror(code))

    def open(self, path: str, *, create: bool = False, **options: Any) -> int:
        if self.error and create and self.only in path and not Path(path).exists():
            self._fail(self.error)
        self.calls.append(("open", path))
        fd = super().open(path, create=create, **options)
        self._paths[fd] = path
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        return fd

    def close(self, fd: int) -> None:
        self.open_now -= 1
        self.calls.append(("close", self._paths[fd]))
        super().close(fd)

    def make_folder(self, path: str, mode: int = FOLDER_MODE) -> bool:
        if self.error and self.only in path:
            self._fail(self.error)
        return super().make_folder(path, mode)

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
            if self.fault:
                raise ZeroDivisionError
            if self.at_most == 0:
                return 0
            data = data[: self.at_most]
        done = super().pwrite(fd, data, offset)
        with self.wrote:
            self.wrote.notify_all()
        return done

    def _take_long(self, path: str) -> None:
        if self.hangs(path):
            self.asked.set()
            self.answers.wait()

    def sync_soon(self, fd: int) -> None:
        self.calls.append(("sync_soon", self._paths[fd]))
        if self.soon_error and self.only in self._paths[fd]:
            self._fail(self.soon_error)

    def sync(self, fd: int) -> None:
        self.calls.append(("sync", self._paths[fd]))
        self._take_long(self._paths[fd])
        if self.sync_error and self.only in self._paths[fd]:
            self._fail(self.sync_error)
        if not self.lazy:
            super().sync(fd)

    def sync_folder(self, path: str) -> None:
        self.calls.append(("sync_folder", path))
        self._take_long(path)
        if self.folder_error and self.only in path:
            self._fail(self.folder_error)
        if not self.lazy:
            super().sync_folder(path)

    def link(self, old: str, new: str) -> None:
        if self.link_error:
            self._fail(self.link_error)
        super().link(old, new)

    def rename(self, old: str, new: str) -> None:
        if self.rename_error:
            self._fail(self.rename_error)
        super().rename(old, new)

    def delete_one(self, path: str, *, folder: bool = False) -> bool:
        if self.delete_error:
            self._fail(self.delete_error)
        return super().delete_one(path, folder=folder)


class Hand:
    """A store without a thread: time and every step of the writer by hand."""

    def __init__(self, root: Path, disk: BadDisk, *, max_pending: int = 1 << 20, sync_interval: float = 1.0) -> None:
        root.mkdir(exist_ok=True)
        self.disk, self.root, self.now = disk, root, 0.0
        self.files = WholeFiles(disk)
        self.lost: list[tuple[str, int, int]] = []
        self.queue = WriteQueue(max_pending, lambda: self.now, self._report)
        self.writer = Writer(
            Folder(str(root), made=True),
            self.queue,
            disk,
            clock=lambda: self.now,
            sync_interval=sync_interval,
            max_open=4,
        )

    def _report(self, lost: Callable[[str, int, int], None], file: str, start: int, stop: int) -> None:
        self.lost.append((file, start, stop))
        lost(file, start, stop)

    def call(self, number: int = 1) -> CallJournal:
        uuid = uuid_of(number)
        journal = CallJournal(self, uuid, Folder(str(self.root / uuid), made=False), None)
        journal.append(opened(number))
        return journal

    def remove(self, uuid: str) -> None:
        raise AssertionError

    def forget(self, journal: CallJournal) -> None:
        """What a store does when a journal is closed."""

    def step(self, by: float = 0.0) -> float | None:
        self.now += by
        return self.writer.step(self.now)

    def settle(self) -> None:
        """All that is due now, and nothing that time brings."""
        while (again := self.step()) is not None and again <= self.now:
            pass

    def done(self, what: str) -> list[str]:
        """Names of files to which something was done since the last time."""
        names = [path.rpartition("/")[2] for name, path in self.disk.calls if name == what]
        self.disk.calls = [(name, path) for name, path in self.disk.calls if name != what]
        return names


def uuid_of(number: int) -> str:
    return str(UUID(int=(0x018F << 112) + (number << 80) + (8 << 76) + (2 << 62)))


def opened(number: int = 1, **more: object) -> ev.CallOpened:
    return ev.CallOpened(at=Instant(number), call=uuid_of(number), adapter="test", key=f"k{number}", **more)


@pytest.fixture
def disk() -> Iterator[BadDisk]:
    disk = BadDisk()
    yield disk
    disk.gate.set()
    disk.answers.set()


@pytest.fixture
def hand(tmp_path: Path, disk: BadDisk) -> Hand:
    return Hand(tmp_path / "journal", disk)


@pytest.fixture(scope="session")
def hands() -> Callable[..., Hand]:
    """Makes stores without a thread, each with a disk of its own."""
    return lambda root, disk=None, **options: Hand(root, disk or BadDisk(), **options)


@pytest.fixture
async def stores(tmp_path: Path, disk: BadDisk) -> AsyncIterator[Callable[..., Store]]:
    """Makes stores on the disk that misbehaves; closes them."""
    made: list[Store] = []

    def make(root: Path = tmp_path / "journal", **options: object) -> Store:
        made.append(Store(root, **{"files": disk, **options}))
        return made[-1]

    yield make
    disk.error = disk.sync_error = disk.folder_error = disk.link_error = disk.rename_error = disk.delete_error = 0
    disk.room = disk.at_most = None
    disk.fault = False
    disk.gate.set()
    disk.answers.set()
    for store in made:
        await store.close()


@pytest.fixture
def call() -> Callable[..., ev.CallOpened]:
    """``call(n)`` is the first event of call n."""
    return opened
