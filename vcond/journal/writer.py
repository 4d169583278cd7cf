"""The one writer of a store: takes what waits in the queue to the disk, in order, and syncs it in rounds.

``Writer.step`` does what is due and says when it wants to be called again; ``run`` is the thread around it. Each step
serves events first, then a slice of the audio that is due, then one slow thing (an fsync, the deletion of a file), so
that events never wait for a round of fsyncs. Nor do they wait for one fsync, which may take seconds: another thread makes it (fsyncs.py), and
what comes meanwhile is written, so that a process that is killed then has told the system all that it knew.

A file that cannot be written keeps its blocks and is tried again, at most every ``LONGEST`` seconds; the others go on.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import structlog

from vcond.base.errors import StorageError
from vcond.journal.disk_errors import advice, say
from vcond.journal.fd_cache import FdCache
from vcond.journal.file_buffers import FileBuffer, Folder, Log, Name, Track
from vcond.journal.fsyncs import Fsyncs
from vcond.journal.retries import LONGEST, Retries
from vcond.journal.sync_round import SyncRound
from vcond.journal.write_queue import Command, WriteQueue
from vcond.storage.files import Files, put

log = structlog.get_logger()

SLICE: Final = 32
"""Tracks written between two looks at events."""
TRASH: Final = ".trash"
"""Folder in a store for what is being deleted."""


class Writer:
    """Owns the files. Everything here runs in the writer thread; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        root: Folder,
        queue: WriteQueue,
        files: Files,
        *,
        clock: Callable[[], float],
        sync_interval: float,
        max_open: int,
        apart: bool = False,
    ) -> None:
        """``apart``: what comes during an fsync is written during it."""
        self.root, self.queue, self.files = root, queue, files
        self.fds = FdCache(files, max_open)
        self.stopped = False
        self.purges: deque[str] = deque()
        """Folders in the trash, to be deleted."""
        self._due: deque[Track] = deque()
        self._unsynced: dict[FileBuffer | Folder, None] = {}
        self._kept = 0
        self._fsyncs = Fsyncs(queue, self._due, self._write_soon, lambda: self._kept <= queue.limit, clock, apart=apart)
        self._retries = Retries(queue, root.path, clock)
        self.attempt = self._retries.attempt
        self._round = SyncRound(self, self._unsynced, self._retries, clock, sync_interval)

    def step(self, now: float) -> float | None:
        """Do what is due; when to come again if nothing new is said before (None = never)."""
        logs, tracks, commands = self.queue.collect(now)
        for buffer in (*self._fsyncs.waited(), *logs):
            self._write_soon(buffer)
        self._due.extend(tracks)
        for command in commands:
            self._serve(command)
        for _ in range(SLICE):
            if self._due:  # what it waits for may have written some
                self._write_soon(self._due.popleft())
        if self._retries and now >= self._retries.at:
            self._retries.again(now)
        self._round.begin(now)
        if self._round:
            self._round.go_on()
        elif self.purges:
            _purge_next(self.files, self.purges, self.root.path)
        return self._next(now)

    def stop(self) -> str:
        """Write and sync all that can be; why not everything could (empty = it could)."""
        queued, commands = self.queue.close()
        self._fsyncs.end()
        buffers = {*queued, *self._fsyncs.later, *self._due, *self._unsynced, *self._retries}
        for item in sorted(buffers, key=lambda item: not isinstance(item, Log)):
            if isinstance(item, FileBuffer):
                self.attempt(item, partial(self.settle, item))
        for item in list(self._unsynced):
            self.attempt(item, partial(self.sync, item))
        for command in commands:
            command.fail(StorageError("the store is closed"))
        self.fds.close()
        self.stopped = True
        return f"{self.queue.waiting} bytes could not be written: {self.queue.trouble}" if self._retries else ""

    # For prerequisites and commands. All but ``attempt`` raise OSError.

    def make(self, folder: Folder) -> None:
        """Make a folder, unless it is there."""
        if not folder.made:
            self.files.make_folder(folder.path)
            folder.made = True
            self._mark(self.root)

    def open(self, buffer: FileBuffer, name: Name) -> int:
        """A descriptor of a buffer's file, made when it is new."""
        if buffer.made:
            return self.fds.get(name.path)
        self.make(name.folder)
        fd = self.fds.get(name.path, create=True)
        buffer.made = True
        self._mark(name.folder)
        return fd

    def write(self, buffer: FileBuffer) -> None:
        """Write what waits."""
        blocks = self.queue.take(buffer)
        if buffer.gone:
            self.queue.discard(buffer)
        else:
            self._prepare(buffer)
        targets = buffer.targets()
        while blocks:
            try:
                for name in targets:
                    put(self.files, self.open(buffer, name), blocks[0].data, blocks[0].start)
            except OSError as why:
                for name in targets:
                    self.fds.forget(name.path)
                if why.errno != errno.EFBIG or not isinstance(buffer, Track):
                    raise
                self.queue.refused(buffer)
                self._retries.complain(advice(why, self.root.path))
                continue
            self._kept += len(self.queue.written(buffer).data)
            self._unsynced[buffer] = None
        self._bound_kept()

    def sync(self, item: FileBuffer | Folder) -> None:
        """Have what was written on the disk."""
        self._unsynced.pop(item, None)
        if isinstance(item, Folder):
            try:
                if item.taken():
                    self._fsyncs.make(item, partial(self.files.sync_folder, item.path))
            except OSError:
                self._mark(item)
                raise
            return
        if not item.unsynced:
            return
        names = item.targets()
        with self.written_again(item, names):
            for name in names:
                with self.fds.pinned(name.path) as fd:
                    self._fsyncs.make(item, partial(self.files.sync, fd))
        self.let_go(item)

    @contextmanager
    def written_again(self, buffer: FileBuffer, names: Sequence[Name]) -> Iterator[None]:
        """What was written is written again: the system may have dropped it, and a second fsync would say all is well."""
        try:
            yield
        except OSError:
            self._kept -= self.queue.again(buffer)
            for name in names:
                self.fds.forget(name.path)
            raise

    def let_go(self, buffer: FileBuffer) -> None:
        """What was written and not synced need not be kept any more: its file goes."""
        self._unsynced.pop(buffer, None)
        self._kept -= sum(len(block.data) for block in buffer.unsynced)
        buffer.unsynced.clear()

    def settle(self, buffer: FileBuffer) -> None:
        """Write what waits and have it on the disk, with its names."""
        self.write(buffer)
        self.sync(buffer)
        for folder in (*(name.folder for name in buffer.targets()), self.root):
            self.sync(folder)

    def discard(self, path: str) -> None:
        """Move a file or folder to the trash, to be deleted when there is time. One that is not there is fine."""
        place = _in_trash(self.root.path, path)
        self.files.make_folder(f"{self.root.path}/{TRASH}")
        self.fds.forget(path)
        self.fds.forget_folder(path)
        with suppress(FileNotFoundError):
            self.files.rename(path, place)
            self.purges.append(place)

    # Inside.

    def _prepare(self, buffer: FileBuffer) -> None:
        """What has to come first: other calls, links, repairs, what is to be gone."""
        if isinstance(buffer, Log) and buffer.folder.after is not None:
            self.settle(buffer.folder.after)
        while buffer.prerequisites:
            buffer.prerequisites[0].run(self)
            buffer.prerequisites.popleft()

    def _mark(self, folder: Folder) -> None:
        folder.dirty = True
        self._unsynced[folder] = None

    def _bound_kept(self) -> None:
        """Sync earlier than planned when too much is kept in memory for it."""
        while self._kept > self.queue.limit and not self._fsyncs.busy:
            item = next(item for item in self._unsynced if isinstance(item, FileBuffer))
            self.attempt(item, partial(self.sync, item), partial(self.settle, item))

    def _write_soon(self, buffer: FileBuffer) -> None:
        if buffer not in self._retries:
            self.attempt(buffer, partial(self.write, buffer), partial(self.settle, buffer))

    def _serve(self, command: Command) -> None:
        try:
            command.run(self)
        except Exception as why:  # noqa: BLE001 - whoever asked must get an answer, whatever went wrong
            say(log.exception, "internal error in the journal writer; continuing")
            command.fail(why)

    def _next(self, now: float) -> float | None:
        if self._due or self._fsyncs.later or self._round or self.purges:
            return now
        times = [at for at, due in ((self._round.at, self._unsynced), (self._retries.at, self._retries)) if due]
        return min(times, default=None)


def _in_trash(root: str, path: str) -> str:
    """Where something of the store lies in the trash; a file bears the name of its folder, too."""
    folder, _, file = path.rpartition("/")
    return f"{root}/{TRASH}/{file}" if folder == root else f"{root}/{TRASH}/{folder.rpartition('/')[2]}-{file}"


def _purge_next(files: Files, purges: deque[str], root: str) -> None:
    """Delete one thing of what is in the trash."""
    try:
        if files.delete_one(purges[0], folder=True):
            return
    except FileNotFoundError:
        pass
    except OSError as why:
        say(log.warning, "deleted journals stay in the trash until the next start", error=advice(why, root))
    purges.popleft()


def run(writer: Writer, clock: Callable[[], float]) -> None:
    """The thread: step by step until stopped. A fault of ours is logged and does not end it."""
    while not writer.stopped:
        try:
            until = writer.step(clock())
        except Exception:  # noqa: BLE001 - the thread is all there is between the calls and the disk
            say(log.exception, "internal error in the journal writer; continuing")
            until = clock() + LONGEST
        if not writer.stopped:
            writer.queue.sleep(until)
