"""How much room a disk has, without ever waiting for one that does not answer."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vcond.storage.files import Files

PATIENCE = 10.0
"""Seconds after which a file system that has not said how full it is counts as gone."""
FIRST = 1.0
"""Seconds that the first look may be waited for: before that nothing is known."""


class FreeSpace:
    """Called again and again: says what the last look found, and has a thread look anew."""

    def __init__(
        self, measure: Callable[[str], int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``measure``: bytes that are free at a path; see ``Files.free``."""
        self._measure, self._clock = measure or Files().free, clock
        self._wanted: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._asked: float | None = None
        """Since when an answer is waited for."""
        self._last: int | OSError | None = None
        self._told = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, path: Path) -> int:
        """Free bytes, as of a moment ago. Raises OSError as the file system did, or when it does not answer."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="vcond-disk", daemon=True)
            self._thread.start()
        asked = self._asked  # the thread may end the look at any moment
        if asked is None:
            first = self._last is None
            self._asked = self._clock()
            self._wanted.put(path)
            if first:
                self._told.wait(FIRST)
        elif self._clock() - asked > PATIENCE:
            raise OSError(errno.ETIMEDOUT, "the file system does not answer")
        if isinstance(self._last, OSError):
            raise OSError(self._last.errno, self._last.strerror)
        return self._last if self._last is not None else 1 << 62  # not known yet

    def _look(self) -> None:
        while True:
            path = self._wanted.get()
            try:
                self._last = self._measure(str(path))
            except OSError as why:
                self._last = why
            self._asked = None
            self._told.set()
