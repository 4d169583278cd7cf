"""The fsyncs of a store, in rounds: what was written since the last one is on the disk when a round is over.

A round first has the disk begin with all of its files, and then waits for each of them: what the file system writes of its
own is then written a few times for all of them, not once for each (decision 0055).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Protocol

from vcond.base import metrics
from vcond.journal.file_buffers import Disk, FileBuffer, Folder, Name

TOGETHER: Final = 32
"""Files that the disk is told to begin with between two looks at events, at most."""
PATIENCE: Final = 0.02
"""Seconds after which no further one is: whoever tells a disk whose queue is full waits for it (sync_file_range(2)), and events wait too."""


class Syncing(Disk, Protocol):
    """The writer, as a round sees it."""

    def written_again(self, buffer: FileBuffer, names: Sequence[Name]) -> AbstractContextManager[None]:
        """Around what asks the disk for a file: upon an OSError what was written of it is written again."""


class SyncRound:
    """Belongs to the writer thread. ``clock`` as the writer's; ``interval``: seconds from the begin of a round to the next."""

    def __init__(
        self,
        disk: Syncing,
        unsynced: dict[FileBuffer | Folder, None],
        failing: Container[object],
        clock: Callable[[], float],
        interval: float,
    ) -> None:
        """``unsynced``: what was written; ``failing``: what is tried again on its own."""
        self.at = 0.0
        """When the next one begins, if there is something."""
        self._disk, self._unsynced, self._failing = disk, unsynced, failing
        self._clock, self._interval = clock, interval
        self._begin: deque[FileBuffer] = deque()
        self._wait: deque[FileBuffer | Folder] = deque()
        self._took = 0.0

    def __bool__(self) -> bool:
        return bool(self._wait)

    def begin(self, now: float) -> None:
        """A round of all that was written, if it is time."""
        if self._unsynced and not self._wait and now >= self.at:
            self._wait.extend(self._unsynced)
            self._begin.extend(item for item in self._unsynced if isinstance(item, FileBuffer))
            self.at, self._took = now + self._interval, 0.0

    def go_on(self) -> None:
        """Have the disk begin with some more; when it has with all, wait for one."""
        began = self._clock()
        for _ in range(min(TOGETHER, len(self._begin))):
            buffer = self._begin.popleft()
            if buffer.unsynced and buffer not in self._failing:
                self._disk.attempt(buffer, partial(self._start, buffer), partial(self._disk.settle, buffer))
            if self._clock() - began >= PATIENCE:
                break
        if not self._begin:
            self._sync_next()
        self._took += self._clock() - began
        if not self._wait:
            metrics.journal_fsync_seconds.observe(self._took)

    def _start(self, buffer: FileBuffer) -> None:
        """A file that is not open is left to its fsync: descriptors are few where that is so. Raises OSError."""
        names = buffer.targets()
        with self._disk.written_again(buffer, names):
            for name in names:
                if (fd := self._disk.fds.held(name.path)) is not None:
                    self._disk.files.sync_soon(fd)

    def _sync_next(self) -> None:
        item = self._wait.popleft()
        if item in self._unsynced and item not in self._failing:
            sync = partial(self._disk.sync, item)
            again = partial(self._disk.settle, item) if isinstance(item, FileBuffer) else sync
            self._disk.attempt(item, sync, again)
