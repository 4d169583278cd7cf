"""How far a long job is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
REDRAW_SECONDS = 0.1
EVERY = 0.1
"""Share of the whole after which a line is printed where no bar can be drawn."""
EVERY_BYTES = 20 << 20
"""The same when nobody knows how much the whole is."""


class Bar:
    """Shows bytes. Call it with bytes that are there and bytes in all (0 = not known); ``close`` ends the line."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._bar = out.isatty()
        self._clock = clock
        self._began = self._shown = clock()
        self._first: int | None = None
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """There is more."""
        now = self._clock()
        if self._first is None:
            self._first = done
        if self._bar and (now - self._shown >= REDRAW_SECONDS or done == total):
            self._shown = now
            rate = (done - self._first) / max(now - self._began, 1e-3)
            self._out.write(f"\r{self._picture(done, total)}  {mb(rate)}/s\x1b[K")
            self._out.flush()
        elif not self._bar and done >= self._next:
            self._next = done + (total * EVERY if total else EVERY_BYTES)
            self._out.write(f"{mb(done)} of {mb(total) if total else '?'}\n")
            self._out.flush()

    def close(self) -> None:
        """No more will come."""
        if self._bar and self._first is not None:
            self._out.write("\n")
            self._out.flush()

    @staticmethod
    def _picture(done: int, total: int) -> str:
        if not total:
            return f"{mb(done)}"
        full = min(WIDTH, WIDTH * done // total)
        return f"[{'#' * full}{'.' * (WIDTH - full)}] {100 * done // total:3d} %  {mb(done)} of {mb(total)}"


def mb(count: float) -> str:
    """Bytes in millions."""
    return f"{count / 1e6:.1f} MB"
