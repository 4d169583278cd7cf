"""Waits for the disk: an fsync may take seconds, and what comes meanwhile is written. Another thread makes it.

So a process that is killed has told the system all that it knew but for moments, however slow the disk is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final

from vcond.journal.file_buffers import FileBuffer, Folder, Log, Track
from vcond.journal.write_queue import WriteQueue

_Asked = tuple[Future[None], Callable[[], None]]


class Fsyncs:
    """Belongs to the writer thread; makes one fsync at a time, in a thread of its own for which no process waits at its end."""

    def __init__(
        self,
        queue: WriteQueue,
        due: deque[Track],
        write: Callable[[FileBuffer], None],
        room: Callable[[], bool],
        clock: Callable[[], float],
        *,
        apart: bool,
    ) -> None:
        """``due``: tracks that wait for their turn; ``write``: for one that can be written, as long as there is ``room`` to keep it for
        an fsync that fails. If not ``apart`` all wait for each fsync.
        """
        self.later: Final[list[FileBuffer]] = []
        """What came meanwhile and can be written when it is over."""
        self._queue, self._due, self._write, self._room, self._clock = queue, due, write, room, clock
        self._item: FileBuffer | Folder | None = None
        self._asked: SimpleQueue[_Asked | None] | None = SimpleQueue() if apart else None
        if self._asked is not None:
            threading.Thread(target=_run, args=(self._asked,), name="vcond-fsync", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether one is being made: what is written now is written meanwhile."""
        return self._item is not None

    def make(self, item: FileBuffer | Folder, sync: Callable[[], None]) -> None:
        """Return when ``sync`` has. Raises OSError."""
        if self._asked is None:
            sync()
            return
        done: Future[None] = Future()
        done.add_done_callback(self._wake)
        self._item = item
        self._asked.put((done, sync))
        try:
            while not done.done():
                if self._room():
                    self._write_what_came()
                self._queue.sleep(None, done.done, writes=self._room())
        finally:
            self._item = None
        done.result()

    def waited(self) -> list[FileBuffer]:
        """What had to wait until it was over, once."""
        waited = self.later.copy()
        self.later.clear()
        return waited

    def end(self) -> None:
        """The writer stops: all wait from now on."""
        if self._asked is not None:
            self._asked.put(None)
            self._asked = None

    def _wake(self, _: Future[None]) -> None:
        with self._queue.ready:
            self._queue.ready.notify()

    def _write_what_came(self) -> None:
        """But for the file that is synced, and for what must have something else on the disk first."""
        logs, tracks, _ = self._queue.collect(self._clock(), commands=False)
        due = (*logs, *self._due, *tracks)
        self._due.clear()
        for buffer in due:
            first = buffer.prerequisites or (isinstance(buffer, Log) and buffer.folder.after is not None)
            if first or buffer is self._item or not self._room():
                self.later.append(buffer)
            else:
                self._write(buffer)


def _run(asked: SimpleQueue[_Asked | None]) -> None:
    while (one := asked.get()) is not None:
        done, sync = one
        try:
            sync()
        except BaseException as why:  # noqa: BLE001 - the writer gets it
            done.set_exception(why)
        else:
            done.set_result(None)
